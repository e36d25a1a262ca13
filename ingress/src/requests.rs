//! From a caller's connection to an agent's tunnel.

use std::sync::Arc;

use mesh_protocol::http1::forward::{self, BodyKind, Upgrade};
use mesh_protocol::http1::{self, BodyLength, Request, RequestHead, ServerConn, Storage};
use mesh_protocol::mux::Flags;
use mesh_protocol::{Closing, ConnId, Connection, Context, Duplex};

use crate::downstream::{Expired, State, Step};
use crate::ending::Fault;
use crate::exchange::{Exchange, Phase, Reached, Replay};
use crate::ingress::{Conn, Ingress};
use crate::moving::Routed;
use crate::replies::{HeadSeen, Reason};
use crate::routes::{Place, RouteId};
use crate::tunnel::TunnelId;

/// What came of the head that a caller's bytes begin with.
enum Begun {
    /// It is on its way, or answered.
    Whole,
    /// More of it has to come.
    Incomplete,
}

impl Ingress {
    /// Goes on with a caller's connection on which something moved.
    pub(crate) fn advance_downstream(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        while let Some((downstream, io)) = self.downstream(conn) {
            if io.tx.is_empty()
                && let Some(grown) = downstream.grown.take()
            {
                self.give_back(grown);
                continue;
            }
            match downstream.advance(io, cx.now) {
                Step::Wait => return,
                Step::Home(home) => return self.send_home(conn, home),
                Step::Exchange => return self.advance_exchange(conn, cx),
                Step::Head => match self.begin(conn, cx) {
                    Ok(Begun::Whole) => {}
                    Ok(Begun::Incomplete) => return,
                    Err(error) => return self.refuse(conn, error, HeadSeen::None),
                },
                Step::Close => return io.close(Closing::AfterFlush),
            }
        }
    }

    /// The caller's deadline passed.
    pub(crate) fn expire_downstream(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let timeouts = self.config.timeouts;
        let Some((downstream, io)) = self.downstream(conn) else { return };
        let (_, expired) = downstream.deadline(io, &timeouts);
        match expired {
            Expired::Idle => io.close(Closing::AfterFlush),
            Expired::Handshake => {
                log::debug!("{}: the TLS handshake was not over in time", downstream.peer);
                io.close(Closing::AfterFlush);
            }
            Expired::Head => {
                self.decline(conn, Reason::HeadTimeout, HeadSeen::None);
            }
            Expired::Body => self.fail(conn, Reason::BodyTimeout, Reached::Certainly, cx),
            Expired::Request => {
                self.fail_upstream(conn, Reason::RequestTimeout, Reached::Certainly, cx);
            }
            Expired::Silent => self.fail(conn, Reason::RequestTimeout, Reached::Certainly, cx),
            Expired::Unread => {
                io.close(Closing::Abort);
                self.abandon(conn, Some(Fault::SendTimeout));
            }
        }
    }

    /// Reads a request head and sends it on its way.
    fn begin(&mut self, conn: ConnId, cx: &mut Context<'_>) -> Result<Begun, http1::Error> {
        let Some((_, io)) = self.downstream(conn) else { return Ok(Begun::Incomplete) };
        let mut rx = std::mem::take(&mut io.rx);
        let outcome = self.route(conn, rx.as_slice(), cx);
        if let Ok(Some(end)) = outcome {
            rx.consume(end);
        }
        let Some((_, io)) = self.downstream(conn) else { return Ok(Begun::Incomplete) };
        io.rx = rx;
        if io.closing == Some(Closing::Agreed) && !io.rx.is_empty() {
            // It was answered as the last one, and something follows that must not reset the answer.
            io.closing = Some(Closing::AfterFlush);
        }
        if outcome?.is_some() {
            return Ok(Begun::Whole);
        }
        if io.rx_eof {
            io.close(Closing::AfterFlush);
        }
        Ok(Begun::Incomplete)
    }

    /// Finds the agent for a request head and opens a stream to it, or answers. Says where the head
    /// ends, if it is complete, or what was skipped behind it.
    fn route(
        &mut self,
        conn: ConnId,
        rx: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Option<usize>, http1::Error> {
        let is_draining = self.drain.is_draining();
        let mut storage = Storage::new();
        let Some((downstream, io)) = self.downstream(conn) else { return Ok(None) };
        let is_last = is_draining || io.needs_replacing;
        let Some((head, end)) = downstream.http.read_head(rx, &mut storage)? else {
            return Ok(None);
        };
        let peer = downstream.peer.ip();
        let request = match downstream.http.begin(&head) {
            Ok(request) => request,
            Err(error) => {
                self.refuse(conn, error, HeadSeen::Refused(head.bytes));
                return Ok(Some(end));
            }
        };
        if is_last {
            downstream.http.close_after();
        }
        if self.answer_built_in(conn, &head, &request, peer) {
            return Ok(Some(end));
        }
        let reason = match self.choose(conn, request.host, cx) {
            Ok((route, place)) => {
                self.open(conn, &head, &request, route, place, cx);
                return Ok(Some(end));
            }
            Err(reason) => reason,
        };
        let Some((downstream, _)) = self.downstream(conn) else { return Ok(Some(end)) };
        let body = downstream.skip_body(rx.get(end..).unwrap_or_default());
        if reason == Reason::NoRoute {
            self.decline_host(conn, request.host, head.bytes);
        } else {
            self.decline(conn, reason, HeadSeen::Received(head.bytes));
        }
        Ok(Some(end + body))
    }

    fn open(
        &mut self,
        conn: ConnId,
        head: &RequestHead<'_, '_>,
        request: &Request<'_>,
        route: RouteId,
        place: Place,
        cx: &mut Context<'_>,
    ) {
        let own = self.workers.own;
        let mut rewritten = self.heads.take();
        let Some((downstream, _)) = self.downstream(conn) else { return };
        if let Place::Here(_) = place {
            downstream.note_worker(own);
        }
        let body = match request.body {
            BodyLength::Empty => BodyKind::Empty,
            BodyLength::Sized(_) => BodyKind::Sized,
            BodyLength::Chunked | BodyLength::UntilClose => BodyKind::Chunked,
        };
        let has_no_body = matches!(request.body, BodyLength::Empty | BodyLength::Sized(0));
        // Whoever is asked to upgrade may decline (RFC 9110 7.8). We do where the answer can have no body,
        // and with a body in chunks: its end would end all that the caller says.
        let upgrades = request.is_upgrade && body != BodyKind::Chunked && head.method != "HEAD";
        let upgrade = if upgrades { Upgrade::Asked } else { Upgrade::No };
        forward::request(head, body, upgrade, &downstream.forwarded, &mut rewritten);
        let flags = Flags::NONE
            .with_if(Flags::END, has_no_body && !upgrades)
            .with_if(Flags::UPGRADE, upgrades);
        let window = self.config.limits.stream_window;
        let replay = Replay::new(rewritten, flags, request.is_idempotent, window);
        let routed = Routed::fresh(route, replay, cx.now);
        // What follows the head has its turn later: `rx` is taken out now.
        self.place_request(conn, place, routed, cx);
    }

    /// Opens a stream and with it the exchange.
    pub(crate) fn open_stream(
        &mut self,
        conn: ConnId,
        id: TunnelId,
        routed: Routed,
        cx: &mut Context<'_>,
    ) {
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return self.answer_stranded(conn, routed, Reason::NoHealthyAgent);
        };
        let replay = &routed.replay;
        let opened = tunnel.link.session.open(conn, replay.flags, |out| out.extend(replay.head()));
        let Ok(stream) = opened else {
            return self.answer_stranded(conn, routed, Reason::Overloaded);
        };
        let Routed { route, replay, since, request_bytes, .. } = routed;
        tunnel.requests += 1;
        let needs_replacing = tunnel.link.session.needs_replacing();
        let (serial, agent) = (tunnel.serial, tunnel.agent);
        let service = Arc::clone(&tunnel.service);
        tunnel.publish();
        self.conns.touch(id.conn());
        if needs_replacing {
            self.tell_to_move(id);
        }
        let exchange = Exchange {
            route,
            tunnel: id,
            serial,
            agent,
            service,
            stream,
            since,
            moved: cx.now,
            replay,
            phase: Phase::Waiting,
            request_bytes,
            response_bytes: 0,
            is_starved: false,
        };
        if let Some(Connection { state: Conn::Downstream(downstream), .. }) =
            self.conns.get_mut(conn)
        {
            downstream.state = State::Busy(exchange);
            // Whoever is only lent keeps its home.
            if downstream.lender.is_none() || downstream.home.is_none() {
                downstream.set_home(self.workers.own, &self.workers.homes);
            }
        }
        self.in_flight += 1;
        self.flush_tunnel_if_full(id, cx);
    }

    /// Something moved on the connection of an exchange: credit goes back, and its stream gets a
    /// turn when there is more to send.
    pub(crate) fn advance_exchange(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let Connection { io, state: Conn::Downstream(downstream) } = connection else { return };
        let has_taken = downstream.has_taken(&io.tx);
        let State::Busy(exchange) = &mut downstream.state else { return };
        let is_upgraded = exchange.phase == Phase::Upgraded;
        let has_ended = !is_upgraded && downstream.http.has_request_ended();
        // What follows on a request is none of its business.
        if has_taken || !has_ended {
            exchange.moved = cx.now;
        }
        if has_left(&downstream.http, exchange, io) {
            // An answer that has begun must not end as if it were whole.
            let has_begun = matches!(exchange.phase, Phase::Responding { .. });
            io.close(if has_begun { Closing::Abort } else { Closing::AfterFlush });
            return self.abandon(conn, Some(Fault::CallerGone));
        }
        let Some(tunnel) = self.tunnels.get_mut(exchange.tunnel) else { return };
        let session = &mut tunnel.link.session;
        session.release_all_but(io.tx.len(), exchange.stream, cx.now);
        let has_more = !has_ended && (!io.rx.is_empty() || io.rx_eof || is_upgraded);
        // Another agent got what this one lacks, which may be no more than the end.
        let is_repeated = exchange.replay.tried.is_some();
        if has_more || is_repeated {
            session.mark_ready(exchange.stream);
        }
        if session.has_pending() || session.has_ready() {
            let tunnel = exchange.tunnel;
            self.conns.touch(tunnel.conn());
        }
    }
}

/// Whether the caller left in the middle of its request, and all that it sent has gone on.
pub(crate) fn has_left(http: &ServerConn, exchange: &Exchange, io: &Duplex) -> bool {
    let is_upgraded = exchange.phase == Phase::Upgraded;
    io.rx_eof && io.rx.is_empty() && !is_upgraded && !http.has_request_ended()
}
