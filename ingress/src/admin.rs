//! The pages that the ingress answers itself: health, metrics, and what is registered.
//!
//! `/health` says that this process serves, never that agents are connected: a load balancer whose
//! targets all fail sends to all of them anyway.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use mesh_protocol::control::RefusalCode;
use mesh_protocol::http1::{self, Page, Reply, Request, RequestHead, ServerConn, Storage, path_of};
use mesh_protocol::{Closing, ConnId, Connection, Context, Duplex, ListenerId, ws};
use serde_json::json;

use crate::access_log::Head;
use crate::config::Timeouts;
use crate::downstream;
use crate::ingress::{Conn, Ingress, TUNNEL};
use crate::metrics::{Metrics, Sample};
use crate::pages::{self, Moment, Question};
use crate::registration::REGISTRATION_RX_MAX;
use crate::replies::{self, Format, Reason};
use crate::routes;
use crate::workers::Message;

/// A connection to the health port or, before its upgrade, to the agents' port.
#[derive(Debug)]
pub struct Admin {
    http: ServerConn,
    listener: ListenerId,
    peer: SocketAddr,
    /// When it last began to wait, for a request or for its answer to leave.
    since: Instant,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Between requests.
    Idle {
        /// When the first byte of one came of which not all is there.
        begun: Option<Instant>,
    },
    /// Other workers are asked for their parts of the answer.
    Asked,
    /// The answer is complete and on its way.
    Delivered,
}

/// Request heads here are small.
const HEAD_BYTES_MAX: usize = 8 * 1024;

impl Admin {
    pub(crate) const fn new(listener: ListenerId, peer: SocketAddr, now: Instant) -> Self {
        let http = ServerConn::new(HEAD_BYTES_MAX);
        Self { http, listener, peer, since: now, state: State::Idle { begun: None } }
    }

    pub(crate) const fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn deadline(&self, timeouts: &Timeouts) -> Instant {
        match self.state {
            _ if self.listener == TUNNEL => self.since + timeouts.registration,
            State::Idle { begun: Some(begun) } => begun + timeouts.head,
            State::Delivered => self.since + timeouts.head,
            State::Idle { begun: None } | State::Asked => self.since + timeouts.idle,
        }
    }
}

impl Ingress {
    /// Answers requests on the health port and the agents' port.
    pub(crate) fn advance_admin(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        self.name_itself(cx);
        loop {
            let Some(Connection { io, state: Conn::Admin(admin) }) = self.conns.get_mut(conn)
            else {
                // It was upgraded just now; frames may have followed at once.
                return self.advance_registration(conn, cx);
            };
            let begun = match admin.state {
                State::Idle { begun } => begun,
                State::Delivered if io.tx.is_empty() => {
                    admin.http.next();
                    admin.since = cx.now;
                    None
                }
                State::Asked | State::Delivered => return,
            };
            let mut rx = std::mem::take(&mut io.rx);
            let answered = self.answer_admin(conn, rx.as_slice());
            if let Ok(Some(end)) = answered {
                rx.consume(end);
            }
            let Some(Connection { io, state }) = self.conns.get_mut(conn) else { return };
            io.rx = rx;
            let Conn::Admin(admin) = state else { continue };
            match answered {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let is_there = !io.rx.is_empty();
                    let begun = is_there.then(|| begun.unwrap_or(cx.now));
                    admin.state = State::Idle { begun };
                    if io.rx_eof {
                        io.close(Closing::AfterFlush);
                    }
                    return;
                }
                Err(error) => {
                    let reason = Reason::of_head(error);
                    replies::write(reason, Format::Text, &mut admin.http, &mut io.tx);
                    return io.close(Closing::AfterFlush);
                }
            }
        }
    }

    fn name_itself(&mut self, cx: &mut Context<'_>) {
        if self.process.is_empty() {
            self.process = format!("{:016x}", cx.rng.bits());
            if self.workers.is_first() {
                log::info!("agents know this process as ingress {}", self.process);
            }
        }
    }

    /// Nothing came for too long.
    pub(crate) fn expire_admin(&mut self, conn: ConnId) {
        if let Some(connection) = self.conns.get_mut(conn) {
            connection.io.close(Closing::AfterFlush);
        }
    }

    /// Tells a caller that a limit is reached.
    pub(crate) fn turn_away(&mut self, conn: ConnId) {
        self.decline(conn, Reason::Overloaded, Head::None);
        if let Some((_, io)) = self.downstream(conn) {
            io.close(Closing::AfterFlush);
        }
    }

    /// Answers a caller's request if it is for the ingress itself: the load balancer's health
    /// check, when no registration claims its host; and `/debug/services` from and for this very machine.
    /// Whoever does not want to see the page means a service.
    pub(crate) fn answer_built_in(
        &mut self,
        conn: ConnId,
        head: &RequestHead<'_, '_>,
        request: &Request<'_>,
        peer: IpAddr,
        cx: &mut Context<'_>,
    ) -> bool {
        let is_ours = match path_of(head.target) {
            _ if !asks_to_see(head.method) => false,
            "/health" => self.routes.lookup(request.host).is_none(),
            "/debug/services" => {
                peer.to_canonical().is_loopback() && is_straight(head, request.host)
            }
            _ => false,
        };
        if !is_ours {
            return false;
        }
        self.name_itself(cx);
        let since = self.now;
        match self.page(conn, head.method, path_of(head.target)) {
            Some(page) => self.deliver_page(conn, &page),
            None => {
                if let Some((downstream, _)) = self.downstream(conn) {
                    downstream.state = downstream::State::Asked { since };
                }
            }
        }
        true
    }

    /// Answers the request that `rx` begins with. Says where its head ends, if it is complete.
    fn answer_admin(&mut self, conn: ConnId, rx: &[u8]) -> Result<Option<usize>, http1::Error> {
        let Some(Connection { state: Conn::Admin(admin), .. }) = self.conns.get_mut(conn) else {
            return Ok(None);
        };
        let mut storage = Storage::new();
        let Some((head, end)) = admin.http.read_head(rx, &mut storage)? else { return Ok(None) };
        admin.http.begin(&head)?;
        let (listener, peer) = (admin.listener, admin.peer);
        if listener == TUNNEL && path_of(head.target) != "/health" {
            self.answer_agent(conn, &head, peer);
            return Ok(Some(end));
        }
        match self.page(conn, head.method, path_of(head.target)) {
            Some(page) => self.reply_page(conn, &page),
            None => self.await_page(conn),
        }
        Ok(Some(end))
    }

    fn await_page(&mut self, conn: ConnId) {
        let since = self.now;
        if let Some(Connection { state: Conn::Admin(admin), .. }) = self.conns.get_mut(conn) {
            (admin.state, admin.since) = (State::Asked, since);
        }
    }

    /// Writes a page to whoever asked for it on the health port or the agents' port.
    pub(crate) fn reply_page(&mut self, conn: ConnId, page: &Page) {
        let name = self.process.clone();
        self.reply_admin(conn, |http, io| pages::write(page, &name, http, &mut io.tx));
    }

    /// Answers a request on the agents' port: it is to become a tunnel.
    fn answer_agent(&mut self, conn: ConnId, head: &RequestHead<'_, '_>, peer: SocketAddr) {
        let refusal = match (self.drain.is_draining(), self.has_room_for_agent()) {
            (true, _) => Some((Reason::Draining, RefusalCode::Draining)),
            (false, false) => Some((Reason::Overloaded, RefusalCode::Overloaded)),
            (false, true) => None,
        };
        if let Some((reason, code)) = refusal {
            self.metrics.count(reason);
            self.metrics.refused(code);
            if reason == Reason::Overloaded {
                self.note_full();
            }
            return self.reply_admin(conn, |http, io| {
                replies::write(reason, Format::Text, http, &mut io.tx);
            });
        }
        let mut tx = match self.conns.get_mut(conn) {
            Some(connection) => std::mem::take(&mut connection.io.tx),
            None => return,
        };
        let upgraded = self.upgrade(head, peer, &mut tx);
        let Some(connection) = self.conns.get_mut(conn) else { return };
        connection.io.tx = tx;
        match upgraded {
            Ok(state) => {
                connection.io.rx_limit = REGISTRATION_RX_MAX;
                connection.state = state;
                self.registering += 1;
            }
            Err(error) => self.reply_admin(conn, |http, io| {
                let body = format!("This port is for agents ({error}).\n");
                // RFC 6455 4.2.2 wants the version to be named.
                let upgrade = [
                    ("Connection", "Upgrade"),
                    ("Upgrade", "websocket"),
                    ("Sec-WebSocket-Version", ws::upgrade::VERSION),
                ];
                // No other upgrade of a web page would do either.
                let is_hopeless = error == ws::Error::FromWebPage;
                let (status, fields) =
                    if is_hopeless { (403, &[][..]) } else { (426, &upgrade[..]) };
                let content_type = "text/plain; charset=utf-8";
                let body = body.as_bytes();
                http.reply(&Reply { status, fields, content_type, body }, &mut io.tx);
            }),
        }
    }

    fn reply_admin(&mut self, conn: ConnId, reply: impl FnOnce(&mut ServerConn, &mut Duplex)) {
        let now = self.now;
        let Some(Connection { io, state: Conn::Admin(admin) }) = self.conns.get_mut(conn) else {
            return;
        };
        reply(&mut admin.http, io);
        (admin.state, admin.since) = (State::Delivered, now);
        if admin.http.close_reason().is_some() {
            io.close(Closing::AfterFlush);
        }
    }

    /// The page, unless other workers have to be asked for it.
    fn page(&mut self, conn: ConnId, method: &str, path: &str) -> Option<Page> {
        if !asks_to_see(method) {
            return Some(Page::only_for_get());
        }
        Some(match path {
            "/health" => {
                self.note_check();
                self.health()
            }
            "/ready" => {
                self.note_check();
                self.ready()
            }
            "/metrics" => return self.ask_all(conn, Question::Metrics),
            "/debug/services" => return self.ask_all(conn, Question::Services),
            _ => Page::text(404, "There is /health, /ready, /metrics and /debug/services.\n"),
        })
    }

    /// Somebody watches: a drain lasts until that has noticed.
    fn note_check(&mut self) {
        self.drain.checked(self.now);
        self.tell_first(Message::Checked);
    }

    fn health(&self) -> Page {
        let is_draining = self.drain.is_draining();
        Page::json(
            if is_draining { 503 } else { 200 },
            &json!({
                "status": if is_draining { "draining" } else { "healthy" },
                "version": env!("CARGO_PKG_VERSION"),
                "uptime_seconds": self.now.saturating_duration_since(self.started).as_secs(),
                "tunnels": self.all_tunnels(),
                "hosts": self.routes.served(),
                "identity": self.identity_state(),
            }),
        )
    }

    /// Whether those can be asked who know agents; never why this process should be replaced.
    fn identity_state(&self) -> serde_json::Value {
        match self.silent_since() {
            None => json!("ok"),
            Some(since) => {
                let seconds = self.now.saturating_duration_since(since).as_secs();
                json!({ "ecs": "unreachable", "seconds": seconds })
            }
        }
    }

    fn ready(&self) -> Page {
        let age = self.now.saturating_duration_since(self.started);
        match self.drain.is_draining() {
            true => Page::text(503, "draining\n"),
            // The agents have to find this process before callers do.
            false if age < self.config.timeouts.warm_up => Page::text(503, "warming up\n"),
            false => Page::text(200, "ready\n"),
        }
    }

    /// What all workers counted, and how they are.
    pub(crate) fn metrics_page(&self, metrics: &Metrics, moment: &Moment) -> Page {
        let count = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let up = self.now.saturating_duration_since(self.started).as_secs();
        let silent = self
            .silent_since()
            .map_or(0, |since| self.now.saturating_duration_since(since).as_secs().max(1));
        let gauge = |name, help, value| Sample { name, help, value };
        let gauges = [
            gauge("mesh_uptime_seconds", "Since the process began.", up),
            gauge("mesh_workers", "Event loops of this process.", self.workers.count.into()),
            gauge("mesh_draining", "1 while leaving.", u64::from(self.drain.is_draining())),
            gauge("mesh_connections", "Callers' connections.", count(moment.callers)),
            gauge("mesh_requests_in_flight", "Exchanges in progress.", count(moment.in_flight)),
            gauge("mesh_tunnels", "Tunnels of registered agents.", count(moment.tunnels)),
            gauge("mesh_tunnels_available", "Tunnels that take requests.", count(moment.available)),
            gauge("mesh_identity_jobs", "Questions to AWS that wait.", count(moment.jobs)),
            gauge("mesh_ecs_silent_seconds", "Since ECS fell silent; 0 if it answers.", silent),
        ];
        let mut body = String::new();
        let written = metrics.write(&mut body, &gauges, |route| self.agents_available(route));
        debug_assert!(written.is_ok(), "text grows in memory");
        Page { status: 200, content_type: "text/plain; version=0.0.4; charset=utf-8", body }
    }
}

/// Whether a request from this machine is for it, and of nobody else's making: a web page may be called by
/// a name that leads here, and a proxy asks for others. Both say so.
fn is_straight(head: &RequestHead<'_, '_>, host: &str) -> bool {
    const OF_OTHERS: [&str; 5] = ["x-forwarded-for", "forwarded", "via", "x-real-ip", "origin"];
    routes::is_loopback(host) && OF_OTHERS.iter().all(|name| head.field(name).is_none())
}

/// Whether a method asks for a page as it is.
fn asks_to_see(method: &str) -> bool {
    matches!(method, "GET" | "HEAD")
}
