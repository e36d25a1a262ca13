//! What a tunnel does while it serves: it is read and written, its time passes, and it ends.

use mesh_protocol::mux::{self, Event, FrameKind, Turn};
use mesh_protocol::ws::close;
use mesh_protocol::{Buf, Closing, Connection, Context, Liveness, control, link};

use super::{Successor, TunnelId};
use crate::downstream::{Downstream, State};
use crate::exchange::Reached;
use crate::ingress::{Conn, Ingress};
use crate::replies::Reason;
use crate::requests::has_left;
use crate::workers::Message;

impl Ingress {
    /// Acts on what arrived on a tunnel.
    pub(crate) fn advance_tunnel(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        let Some(connection) = self.conns.get_mut(id.conn()) else { return };
        let (is_over, needs_replacing) = (connection.io.rx_eof, connection.io.needs_replacing);
        let mut rx = std::mem::take(&mut connection.io.rx);
        let outcome = self.handle_frames(id, &mut rx, cx);
        if let Some(tunnel) = self.tunnels.get(id) {
            tunnel.publish();
        }
        let Some(connection) = self.conns.get_mut(id.conn()) else { return };
        connection.io.rx = rx;
        let is_behind = connection.io.is_behind;
        if let Err(error) = outcome {
            self.end_tunnel(id, &error, cx);
        } else if is_over && !is_behind {
            self.end_tunnel(id, &link::Error::Closed(None), cx);
        } else if needs_replacing {
            self.tell_to_move(id);
        }
    }

    fn handle_frames(
        &mut self,
        id: TunnelId,
        rx: &mut Buf,
        cx: &mut Context<'_>,
    ) -> Result<(), link::Error> {
        for _ in 0..link::EVENTS_MAX {
            let Some(tunnel) = self.tunnels.get_mut(id) else { return Ok(()) };
            if let Some(run) = tunnel.link.poll_run(rx, cx.now)? {
                self.handle_data(run.owner, run.pieces(), None, cx);
                continue;
            }
            let Some(event) = tunnel.link.poll_event(rx, cx.now)? else { return Ok(()) };
            match event {
                Event::Handled | Event::Opened { .. } => {}
                Event::Response { owner, head } => self.handle_response(owner, id, head, cx),
                Event::Data { owner, bytes, end } => self.handle_data(owner, &[bytes], end, cx),
                Event::Reset { owner, code, text } => self.handle_reset(owner, id, code, text, cx),
                Event::Connection { kind, payload } => self.handle_notice(id, kind, payload)?,
            }
        }
        if let Some(connection) = self.conns.get_mut(id.conn()) {
            connection.io.is_behind = true;
        }
        Ok(())
    }

    /// A frame about the agent itself.
    fn handle_notice(
        &mut self,
        id: TunnelId,
        kind: FrameKind,
        payload: &[u8],
    ) -> Result<(), link::Error> {
        let Some(tunnel) = self.tunnels.get_mut(id) else { return Ok(()) };
        match kind {
            FrameKind::Health => {
                let health = control::decode::<control::Health>(payload)
                    .map_err(|_| link::Error::Session(mux::Error::MalformedFrame))?;
                tunnel.note_health(health, self.now);
            }
            FrameKind::Drain if payload == control::REPLACED => {
                tunnel.note_successor(Successor::Announced);
            }
            FrameKind::Drain => tunnel.note_draining(),
            FrameKind::Hello
            | FrameKind::Welcome
            | FrameKind::Refused
            | FrameKind::Challenge
            | FrameKind::Proof
            | FrameKind::Request
            | FrameKind::Response
            | FrameKind::Data
            | FrameKind::Window
            | FrameKind::Reset
            | FrameKind::Trailers
            | FrameKind::Echo
            | FrameKind::EchoReply => {
                return Err(link::Error::Session(mux::Error::OutOfOrder));
            }
        }
        Ok(())
    }

    /// Fills a tunnel's `tx`: frames that wait, then DATA by turns.
    pub(crate) fn transmit_tunnel(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        let Some(tunnel) = self.tunnels.get_mut(id) else { return };
        if !tunnel.link.has_output() {
            return;
        }
        let Some(connection) = self.conns.get_served(id.conn()) else { return };
        let mut tx = std::mem::take(&mut connection.io.tx);
        let (mut failures, mut leavers) = (Vec::new(), Vec::new());
        let (conns, now) = (&mut self.conns, cx.now);
        tunnel.link.transmit_to(id.conn(), &mut tx, cx, |session, _, owner, out| {
            let Some(Connection { io, state: Conn::Downstream(downstream) }) = conns.get_mut(owner)
            else {
                return Turn::Over;
            };
            let Downstream { http, state: State::Busy(exchange), .. } = downstream else {
                return Turn::Over;
            };
            let turn = exchange.pump(http, io, session, out, now).unwrap_or_else(|error| {
                failures.push((owner, error));
                Turn::Over
            });
            if has_left(http, exchange, io) {
                leavers.push(owner);
            }
            turn
        });
        tunnel.publish();
        if let Some(connection) = self.conns.get_served(id.conn()) {
            connection.io.tx = tx;
        }
        for (owner, error) in failures {
            self.refuse_body(owner, error, cx);
        }
        // Their end came while bytes before it still waited, and no event comes after it.
        for owner in leavers {
            self.advance_exchange(owner, cx);
        }
    }

    /// Has what waits for a tunnel leave now if it is much. The tunnel's turn comes after that of all
    /// callers who are there, and what they want of it together may be more than may wait.
    pub(crate) fn flush_tunnel_if_full(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        while self.tunnels.get(id).is_some_and(|tunnel| tunnel.link.session.is_filling()) {
            self.transmit_tunnel(id, cx);
            let Some(connection) = self.conns.get_mut(id.conn()) else { return };
            cx.flush(id.conn(), &mut connection.io.tx);
            if !connection.io.tx.is_empty() {
                return;
            }
        }
    }

    /// The tunnel's deadline passed: a sign of life is due, or a proof of identity, or its end.
    pub(crate) fn expire_tunnel(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        self.renew_proof_if_due(id, cx);
        let Some(tunnel) = self.tunnels.get_mut(id) else { return };
        if tunnel.link.handle_timeout(cx.now) == Liveness::Dead {
            return self.close_tunnel(id, close::NORMAL, "silent for two echo intervals", cx);
        }
        self.end_if_left(id, cx);
    }

    /// Ends a tunnel that its agent leaves, once nothing is under way on it. Where there is no other one in
    /// its place, the agent itself is to close it. Such tunnels do not count among those that there may
    /// be, and whoever says that it leaves and stays would keep others out for ever.
    fn end_if_left(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        let Some(tunnel) = self.tunnels.get(id) else { return };
        if tunnel.is_replaced() && tunnel.link.session.is_empty() && self.has_successor(id) {
            return self.close_replaced(id, cx);
        }
        // One that has another in its place is used again while that is lost.
        let intervals = if tunnel.is_draining { 2 } else { 20 };
        let patience = intervals * self.config.timeouts.echo;
        let Some(tunnel) = self.tunnels.get_mut(id) else { return };
        if tunnel.note_use(cx.now) >= patience {
            let why = "its agent said that it was leaving, and did not";
            self.close_tunnel(id, close::NORMAL, why, cx);
        }
    }

    /// Ends a tunnel in whose place its agent has another one.
    pub(crate) fn close_replaced(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        self.close_tunnel(id, close::GOING_AWAY, "its agent has replaced it", cx);
    }

    /// Ends a tunnel that cannot go on, saying goodbye as far as that is possible.
    fn end_tunnel(&mut self, id: TunnelId, error: &link::Error, cx: &mut Context<'_>) {
        let code = match error {
            link::Error::Closed(_) => close::NORMAL,
            link::Error::WebSocket(_) | link::Error::Session(_) => close::PROTOCOL_ERROR,
        };
        self.close_tunnel(id, code, &error.to_string(), cx);
    }

    /// Ends a tunnel with this code of RFC 6455 7.4.1, after what already waits for the agent itself.
    pub(crate) fn close_tunnel(
        &mut self,
        id: TunnelId,
        code: u16,
        why: &str,
        cx: &mut Context<'_>,
    ) {
        if let Some(tunnel) = self.tunnels.get_mut(id)
            && let Some(connection) = self.conns.get_mut(id.conn())
        {
            tunnel.link.give_up(code, why, &mut connection.io.tx);
        }
        self.transmit_tunnel(id, cx);
        if let Some(connection) = self.conns.get_mut(id.conn()) {
            connection.io.close(Closing::AfterFlush);
        }
        self.lose_tunnel(id, why, cx);
    }

    /// Takes a tunnel out of the routes and fails its exchanges at once.
    pub(crate) fn lose_tunnel(&mut self, id: TunnelId, why: &str, cx: &mut Context<'_>) {
        let Some(tunnel) = self.tunnels.remove(id) else { return };
        self.metrics.tunnels_lost += 1;
        for host in &tunnel.hello.hosts {
            self.routes.remove(host, tunnel.serial);
        }
        if let Some(gauge) = &tunnel.gauge {
            gauge.leave();
            self.tell_others(|| Message::Removed(tunnel.serial));
        }
        log::info!(
            "{tunnel}: ended after {:.1?}, {} requests: {why}",
            cx.now.saturating_duration_since(tunnel.since),
            tunnel.requests,
        );
        // It is we who end all of them when we leave.
        let is_leaving = self.drain.is_leaving();
        let reason = if is_leaving { Reason::Draining } else { Reason::AgentLost };
        let mut owners: Vec<_> = tunnel.link.session.owners().collect();
        owners.sort_unstable();
        for (stream, owner) in owners {
            let tx = self.conns.get(id.conn()).map(|connection| &connection.io.tx);
            let is_unsent = tx.is_some_and(|tx| tunnel.link.is_unsent(stream, tx));
            let reached = if is_unsent { Reached::CertainlyNot } else { Reached::Perhaps };
            self.fail(owner, reason, reached, cx);
        }
    }
}
