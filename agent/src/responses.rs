//! From the local service to a tunnel.

use std::io::ErrorKind;

use mesh_protocol::mux::ResetCode;
use mesh_protocol::{Awaited, CloseReason, Closing, ConnId, Connection, Context, Patience, http1};

use crate::agent::{Agent, Conn};
use crate::exchange::{Exchange, Phase};
use crate::faults::{SPEAKS_TLS, TLS_ALERT};
use crate::upstream::{GIVING_WAY, State, Upstream};

impl Agent {
    /// Something moved on a connection to the service: credit goes back, and its stream gets a
    /// turn when there is something to send.
    pub(crate) fn advance_upstream(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let Some(Connection { io, state: Conn::Upstream(upstream) }) = self.conns.get_mut(conn)
        else {
            return;
        };
        let State::Busy(exchange) = &mut upstream.state else {
            // Nothing is expected here: the service closes, or speaks out of turn.
            if io.rx_eof || !io.rx.is_empty() {
                self.pool.remove(conn);
                self.let_go(conn);
            }
            return;
        };
        if io.rx_eof && io.rx.is_empty() && exchange.can_be_repeated() {
            return self.replay_on_new_connection(conn, "closed before answering", cx);
        }
        let Some(tunnel) = self.tunnels.get_mut(&exchange.tunnel) else { return };
        let Some(link) = tunnel.link_mut() else { return };
        exchange.moved = cx.now;
        link.session.release_all_but(io.tx.len(), exchange.stream, cx.now);
        if !io.rx.is_empty() || io.rx_eof {
            link.session.mark_ready(exchange.stream);
        }
        if link.has_output() {
            let tunnel = exchange.tunnel;
            self.conns.touch(tunnel.conn());
        }
    }

    /// A connection to the service took too long.
    pub(crate) fn expire_upstream(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let timeouts = self.config.timeouts;
        let Some(Connection { state: Conn::Upstream(upstream), .. }) = self.conns.get_mut(conn)
        else {
            return;
        };
        if let State::Busy(exchange) = &mut upstream.state
            && exchange.make_room_at.is_some_and(|at| at <= cx.now)
        {
            exchange.make_room_at = Some(cx.now + GIVING_WAY);
            // Once for each request: the service may be slow with this one alone.
            let has_no_place = !exchange.was_placed && self.pool.was_quick_since(exchange.since);
            exchange.was_placed |= has_no_place;
            self.make_room(has_no_place);
        }
        let Some((upstream, io)) = self.upstream(conn) else { return };
        if upstream.deadline(io.patience, &timeouts) > cx.now {
            return;
        }
        // What was sent has arrived by now: a packet that is lost from here on is not to end the exchange.
        io.patience = Patience::Long;
        if upstream.deadline(io.patience, &timeouts) > cx.now {
            return;
        }
        match &upstream.state {
            State::Busy(_) if upstream.is_connecting => {
                let fault = format!("{} in time", io.awaits.unwrap_or(Awaited::Peer).missing());
                self.faults.log(&fault, cx.now);
                self.suspect_service(cx);
                self.fail(conn, ResetCode::ConnectFailed, &fault);
            }
            State::Busy(_) => {
                self.fail(conn, ResetCode::Timeout, "nothing moved for too long");
            }
            State::Idle { .. } | State::Spent { .. } => {
                self.pool.remove(conn);
                self.let_go(conn);
            }
        }
    }

    /// A connection to the service is over.
    pub(crate) fn upstream_closed(
        &mut self,
        conn: ConnId,
        reason: &CloseReason,
        cx: &mut Context<'_>,
    ) {
        if let CloseReason::Failed(_) = reason {
            self.send_last_words(conn, cx);
        }
        self.pool.remove(conn);
        self.give_back_grown(conn);
        let has_ended = self.has_ended_upgraded(conn);
        let Some((upstream, _)) = self.upstream(conn) else { return };
        let State::Busy(exchange) = &upstream.state else { return };
        match reason {
            CloseReason::ConnectFailed(error) => {
                self.faults.log(&format_args!("cannot connect: {error}"), cx.now);
                self.suspect_service(cx);
                self.fail(conn, ResetCode::ConnectFailed, "cannot connect");
            }
            CloseReason::Failed(error) if exchange.can_be_repeated() => {
                if is_unreachable(error) {
                    self.empty_pool();
                }
                self.replay_on_new_connection(conn, "broke a kept connection", cx);
            }
            // Both directions of an upgraded connection ended by themselves.
            CloseReason::Finished if exchange.phase == Phase::Upgraded => self.end_upgraded(conn),
            // It ended in good order, and what the caller still said found nobody.
            CloseReason::Failed(_) if has_ended => {
                self.fail(conn, ResetCode::Cancel, "the service had ended");
            }
            CloseReason::Finished | CloseReason::Aborted | CloseReason::Failed(_) => {
                self.faults.log(reason, cx.now);
                self.fail(conn, ResetCode::UpstreamReset, "connection broke");
            }
        }
    }

    /// Whether the ingress was told that the service has ended its direction of an upgraded connection.
    fn has_ended_upgraded(&mut self, conn: ConnId) -> bool {
        let Some((Upstream { state: State::Busy(exchange), .. }, _)) = self.upstream(conn) else {
            return false;
        };
        let (phase, tunnel, stream) = (exchange.phase, exchange.tunnel, exchange.stream);
        let tunnel = self.tunnels.get(&tunnel);
        phase == Phase::Upgraded && tunnel.is_some_and(|tunnel| tunnel.has_ended(stream))
    }

    /// Sends what the service said before its connection broke, its end too, as far as the tunnel
    /// takes it now. A service that has enough of an upload answers and closes; what was still on
    /// its way to it turns that end into a reset.
    fn send_last_words(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let Some((Upstream { state: State::Busy(exchange), .. }, io)) = self.upstream(conn) else {
            return;
        };
        if io.rx.is_empty() && !io.rx_eof {
            return;
        }
        let (tunnel, stream) = (exchange.tunnel, exchange.stream);
        if let Some(link) = self.link_mut(tunnel) {
            link.session.mark_ready(stream);
        }
        self.transmit_tunnel(tunnel, cx);
        self.conns.touch(tunnel.conn());
    }

    /// The response is complete: the connection is kept, or closed.
    pub(crate) fn complete(&mut self, conn: ConnId, cx: &Context<'_>) {
        let now = cx.now;
        let Some(Exchange { since, .. }) = self.conclude(conn) else { return };
        let Some((upstream, io)) = self.upstream(conn) else { return };
        let has_rest = !io.tx.is_empty() || !io.rx.is_empty() || io.rx_eof;
        // What follows on a response would be the answer to somebody else's request.
        let has_rest = has_rest || cx.has_unread(conn);
        let reusable = upstream.http.close_reason().is_none() && !has_rest;
        if reusable && self.pool.put(conn, since, now) {
            // All of it has left, but the tunnel had its turn before this connection could say so.
            self.give_back_grown(conn);
            if let Some((upstream, _)) = self.upstream(conn) {
                upstream.state = State::Idle { since: now };
            }
        } else {
            self.let_go(conn);
        }
    }

    /// The service's answer is none.
    pub(crate) fn refuse_response(&mut self, conn: ConnId, error: http1::Error) {
        match self.speaks_tls(conn) {
            true => self.faults.log(&SPEAKS_TLS, self.now),
            false => self.faults.log(&error, self.now),
        }
        let is_cut = error == http1::Error::Truncated;
        let code = if is_cut { ResetCode::UpstreamReset } else { ResetCode::Protocol };
        self.fail(conn, code, &error.to_string());
    }

    /// Whether what came in place of a head is an alert of TLS.
    fn speaks_tls(&mut self, conn: ConnId) -> bool {
        let Some((Upstream { state: State::Busy(exchange), .. }, io)) = self.upstream(conn) else {
            return false;
        };
        exchange.phase == Phase::Waiting && io.rx.as_slice().starts_with(&TLS_ALERT)
    }

    /// Sends the request again if that does no harm, else gives up.
    fn replay_on_new_connection(&mut self, conn: ConnId, why: &str, cx: &mut Context<'_>) {
        let Some(exchange) = self.take_exchange(conn) else { return };
        if let Some((_, io)) = self.upstream(conn) {
            io.abandon();
        }
        log::debug!("the local service {why}: sending the request again");
        self.replay(exchange, cx);
    }

    /// Lets go of the connections that are kept: one of them led nowhere.
    fn empty_pool(&mut self) {
        let since = self.now;
        for conn in self.pool.take_all() {
            if let Some((upstream, io)) = self.upstream(conn) {
                upstream.state = State::Spent { since };
                io.close(Closing::Abort);
            }
        }
    }

    /// Ends the exchange of a connection, and the connection.
    pub(crate) fn fail(&mut self, conn: ConnId, code: ResetCode, text: &str) {
        let Some(Exchange { tunnel, stream, .. }) = self.conclude(conn) else { return };
        self.reset(tunnel, stream, code, text);
        if let Some((_, io)) = self.upstream(conn) {
            io.abandon();
        }
        self.conns.touch(tunnel.conn());
    }

    /// Both directions of an upgraded connection have ended: the ingress hears of the service's
    /// end, which may not have had a turn yet.
    fn end_upgraded(&mut self, conn: ConnId) {
        let Some(Exchange { tunnel, stream, .. }) = self.conclude(conn) else { return };
        if let Some(link) = self.link_mut(tunnel) {
            link.session.end(stream);
            self.conns.touch(tunnel.conn());
        }
    }

    /// The exchange of a connection is over, and its memory serves another request.
    #[inline]
    pub(crate) fn conclude(&mut self, conn: ConnId) -> Option<Exchange> {
        let mut exchange = self.take_exchange(conn)?;
        if let Some(head) = exchange.replay.take() {
            self.heads.keep(head);
        }
        Some(exchange)
    }

    /// Takes the exchange off its connection, which is of no more use unless the caller of this says
    /// otherwise.
    #[inline]
    fn take_exchange(&mut self, conn: ConnId) -> Option<Exchange> {
        let spent = State::Spent { since: self.now };
        let (upstream, _) = self.upstream(conn)?;
        if !matches!(upstream.state, State::Busy(_)) {
            return None;
        }
        match std::mem::replace(&mut upstream.state, spent) {
            State::Busy(exchange) => Some(exchange),
            State::Idle { .. } | State::Spent { .. } => None,
        }
    }
}

/// Whether a connection broke because what was sent did not arrive, and not because of the peer.
fn is_unreachable(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable
    )
}
