//! A connection to the health port or, before its upgrade, to the agents' port.

use std::net::SocketAddr;
use std::time::Instant;

use mesh_protocol::control::RefusalCode;
use mesh_protocol::http1::{self, Page, Reply, RequestHead, ServerConn, Storage, Version, path_of};
use mesh_protocol::{Closing, ConnId, Connection, Context, Duplex, ListenerId, ws};

use crate::config::Timeouts;
use crate::ingress::{ADMIN, Conn, Ingress, TUNNEL};
use crate::pages;
use crate::registration::REGISTRATION_RX_MAX;
use crate::replies::{self, Format, Reason};

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
/// Unread bytes of such a connection.
const RX_BYTES_MAX: usize = 16 * 1024;
/// Connections that are neither callers' nor tunnels: health checks, scrapes, handshakes.
pub(crate) const OTHERS_MAX: usize = 1024;
/// So many more for the health port: whoever floods the agents' port must not make us look dead.
pub(crate) const HEALTH_RESERVE: usize = 128;

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

    /// Its answer has been written.
    fn delivered(&mut self, io: &mut Duplex, now: Instant) {
        (self.state, self.since) = (State::Delivered, now);
        if self.http.close_reason().is_some() {
            io.close(Closing::AfterFlush);
        }
    }
}

impl Ingress {
    /// Somebody connects to the health port or the agents' port.
    pub(crate) fn accept_admin(
        &mut self,
        listener: ListenerId,
        peer: SocketAddr,
    ) -> Option<ConnId> {
        let reserve = if listener == ADMIN { HEALTH_RESERVE } else { 0 };
        if self.others >= OTHERS_MAX + reserve {
            if listener == TUNNEL {
                self.metrics.refused(RefusalCode::Overloaded);
                self.note_crowd();
            }
            return None;
        }
        self.others += 1;
        let admin = Admin::new(listener, peer, self.now);
        Some(self.conns.insert(Duplex::new(RX_BYTES_MAX), Conn::Admin(admin)))
    }

    /// Answers requests on the health port and the agents' port.
    pub(crate) fn advance_admin(&mut self, conn: ConnId, cx: &mut Context<'_>) {
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

    /// Nothing came for too long.
    pub(crate) fn expire_admin(&mut self, conn: ConnId) {
        if let Some(connection) = self.conns.get_mut(conn) {
            connection.io.close(Closing::AfterFlush);
        }
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

    /// Writes a page to whoever asked for it on the health port or the agents' port. An agent may publish the
    /// health port, so that this one does not say whose it is.
    pub(crate) fn reply_page(&mut self, conn: ConnId, page: &Page) {
        let now = self.now;
        let Some(Connection { io, state: Conn::Admin(admin) }) = self.conns.get_mut(conn) else {
            return;
        };
        if admin.listener == TUNNEL {
            pages::write(page, &self.config.process, &mut admin.http, &mut io.tx);
        } else {
            admin.http.reply(&page.as_reply(), &mut io.tx);
        }
        admin.delivered(io, now);
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
            Err(error) => self.refuse_upgrade(conn, &error, head.version, peer),
        }
    }

    /// It is no request of an agent, or not any more: a proxy on the way may have made another one of it.
    fn refuse_upgrade(
        &mut self,
        conn: ConnId,
        error: &ws::Error,
        version: Version,
        peer: SocketAddr,
    ) {
        if *error == ws::Error::FromWebPage {
            // No other upgrade of a web page would do either.
            return self.reply_admin(conn, |http, io| {
                let (status, content_type) = (403, "text/plain; charset=utf-8");
                let body = format!("This port is for agents ({error}).\n");
                let reply = Reply { status, fields: &[], content_type, body: body.as_bytes() };
                http.reply(&reply, &mut io.tx);
            });
        }
        let reason = match version {
            Version::Http10 => Reason::HttpVersion,
            Version::Http11 => Reason::NoUpgrade,
        };
        log::debug!("{peer} gets no tunnel ({}): {error}", reason.name());
        self.metrics.count(reason);
        self.reply_admin(conn, |http, io| {
            replies::write(reason, Format::Text, http, &mut io.tx);
        });
    }

    fn reply_admin(&mut self, conn: ConnId, reply: impl FnOnce(&mut ServerConn, &mut Duplex)) {
        let now = self.now;
        let Some(Connection { io, state: Conn::Admin(admin) }) = self.conns.get_mut(conn) else {
            return;
        };
        reply(&mut admin.http, io);
        admin.delivered(io, now);
    }
}
