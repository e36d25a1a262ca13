//! Requests of callers that are for the ingress itself.

use std::net::IpAddr;

use mesh_protocol::ConnId;
use mesh_protocol::http1::{Request, RequestHead, path_of};

use crate::downstream::State;
use crate::ingress::Ingress;
use crate::pages;
use crate::routes;

impl Ingress {
    /// Answers a caller's request if it is for the ingress itself: the load balancer's health
    /// check, when no registration claims its host; and `/debug/services` from and for this very machine.
    /// Whoever does not want to see the page means a service.
    pub(crate) fn answer_built_in(
        &mut self,
        conn: ConnId,
        head: &RequestHead<'_, '_>,
        request: &Request<'_>,
        peer: IpAddr,
    ) -> bool {
        let is_ours = match path_of(head.target) {
            _ if !pages::is_get_or_head(head.method) => false,
            "/health" => self.routes.lookup(request.host).is_none(),
            "/debug/services" => peer.to_canonical().is_loopback() && is_direct(head, request.host),
            _ => false,
        };
        if !is_ours {
            return false;
        }
        let since = self.now;
        match self.page(conn, head.method, path_of(head.target)) {
            Some(page) => self.deliver_page(conn, &page),
            None => {
                if let Some((downstream, _)) = self.downstream(conn) {
                    downstream.state = State::Asked { since };
                }
            }
        }
        true
    }
}

/// Whether a request from this machine is for it, and of nobody else's making: a web page may be called by
/// a name that leads here, and a proxy asks for others. Both say so.
fn is_direct(head: &RequestHead<'_, '_>, host: &str) -> bool {
    const OF_OTHERS: [&str; 5] = ["x-forwarded-for", "forwarded", "via", "x-real-ip", "origin"];
    routes::is_loopback(host) && OF_OTHERS.iter().all(|name| head.field(name).is_none())
}
