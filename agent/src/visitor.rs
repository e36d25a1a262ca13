//! Whoever asks this process how it is: one request, one answer.
//!
//! `/health` says whether the agent is of use: whether it has a tunnel that is not about to end, its
//! service has been healthy once, and the agent is not leaving. One that never was belongs to a
//! release that does not work, and an engine must not stop the pair before in its favour. How the
//! service is later does not count: what would be restarted for it is the agent.

use std::time::{Duration, Instant};

use mesh_protocol::control::shorten;
use mesh_protocol::http1::scan::{HeadScan, Kind};
use mesh_protocol::http1::{Page, RequestHead, Storage, path_of};
use mesh_protocol::{Closing, ConnId, Connection, Context, Duplex};
use serde::Serialize;

use crate::agent::{Agent, Conn};

/// A connection to the health port.
#[derive(Debug)]
pub struct Visitor {
    scan: HeadScan,
    pub(crate) since: Instant,
}

/// What `/health` says.
#[derive(Serialize)]
struct Health<'a> {
    hosts: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    service: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_reason: Option<&'a str>,
    status: &'static str,
    tunnels: usize,
    tunnels_wanted: usize,
    uptime_seconds: u64,
    version: &'static str,
}

/// How long a visit may take.
pub(crate) const VISIT: Duration = Duration::from_secs(10);
/// Visitors at once; who looks after a process comes alone.
const VISITORS_MAX: usize = 16;
/// Request heads here are small.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// What is shown of a sentence, in which an ingress may have had its say.
const REASON_CHARS_MAX: usize = 500;

impl Agent {
    /// Lets a visitor in. Where there are too many, the one that has been there for longest makes room:
    /// else a few who say nothing could hide how this process is.
    pub(crate) fn admit(&mut self, cx: &Context<'_>) -> Option<ConnId> {
        let visitors = self.conns.iter().filter_map(|(conn, one)| match &one.state {
            Conn::Visitor(visitor) => Some((visitor.since, conn, one.io.closing)),
            Conn::Tunnel | Conn::Moving(_) | Conn::Upstream(_) | Conn::Probe(_) => None,
        });
        let visitors: Vec<_> = visitors.collect();
        let staying = visitors.iter().filter(|(.., closing)| *closing < Some(Closing::Abort));
        if visitors.len() >= 2 * VISITORS_MAX {
            return None;
        }
        if staying.clone().count() >= VISITORS_MAX
            && let Some((_, first, _)) = staying.min()
            && let Some(connection) = self.conns.get_mut(*first)
        {
            connection.io.close(Closing::Abort);
        }
        let visitor = Visitor { scan: HeadScan::new(Kind::Request, HEAD_BYTES_MAX), since: cx.now };
        Some(self.conns.insert(Duplex::new(HEAD_BYTES_MAX), Conn::Visitor(visitor)))
    }

    /// Answers once the request is there, and ends the connection.
    pub(crate) fn advance_visitor(&mut self, conn: ConnId) {
        let Some(Connection { io, state: Conn::Visitor(visitor) }) = self.conns.get_mut(conn)
        else {
            return;
        };
        let rx = std::mem::take(&mut io.rx);
        let mut storage = Storage::new();
        let asked = match visitor.scan.poll(rx.as_slice()) {
            Ok(None) if !io.rx_eof => {
                io.rx = rx;
                return;
            }
            Ok(None) => return io.close(Closing::AfterFlush),
            Ok(Some(length)) => {
                RequestHead::parse_forwarded(&rx.as_slice()[..length], &mut storage)
            }
            Err(error) => Err(error),
        };
        let (method, page) = match &asked {
            Ok(head) => (head.method, self.page(head)),
            Err(_) => ("", Page::text(400, "This is not a request.\n")),
        };
        if let Some(Connection { io, .. }) = self.conns.get_mut(conn) {
            page.as_reply().write_last(method, &mut io.tx);
            io.close(Closing::AfterFlush);
        }
    }

    /// A visit takes too long.
    pub(crate) fn expire_visitor(&mut self, conn: ConnId) {
        if let Some(connection) = self.conns.get_mut(conn) {
            connection.io.close(Closing::Abort);
        }
    }

    fn page(&self, head: &RequestHead<'_, '_>) -> Page {
        match (head.method, path_of(head.target)) {
            ("GET" | "HEAD", "/health") => self.health_page(),
            ("GET" | "HEAD", _) => Page::text(404, "There is /health.\n"),
            (_, _) => Page::method_not_allowed(),
        }
    }

    fn health_page(&self) -> Page {
        let reason = self.unhealthy_reason();
        let is_well = reason.is_none();
        let service_reason = (!self.health.is_healthy()).then(|| self.health.reason());
        let word = |is_well| if is_well { "healthy" } else { "unhealthy" };
        let page = Health {
            hosts: &self.config.hosts,
            reason: reason.map(|reason| shorten(reason, REASON_CHARS_MAX)),
            service: word(self.health.is_healthy()),
            service_reason,
            status: word(is_well),
            tunnels: self.ledger.serving(),
            tunnels_wanted: self.slots.len(),
            uptime_seconds: self.now.saturating_duration_since(self.started).as_secs(),
            version: env!("CARGO_PKG_VERSION"),
        };
        Page::json(if is_well { 200 } else { 503 }, &page)
    }

    /// Why nothing new comes through this agent.
    fn unhealthy_reason(&self) -> Option<&str> {
        if self.drain.is_draining() {
            return Some("this agent is leaving");
        }
        if self.ledger.serving() > 0 {
            let is_useful = self.health.has_been_healthy();
            return (!is_useful).then_some("the service has not been healthy yet");
        }
        Some(match self.losses.last() {
            "" => "no ingress has registered this agent yet",
            loss => loss,
        })
    }
}
