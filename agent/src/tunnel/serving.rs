//! What a tunnel does while it serves: it is read and written, its time passes, and it ends. Until then it
//! is read here too, for `registration.rs`.

use mesh_protocol::mux::{self, Event, FrameKind, Turn};
use mesh_protocol::ws::close;
use mesh_protocol::{Buf, Closing, Connection, Context, Liveness, WorkerId, link};

use super::{Phase, TunnelId};
use crate::agent::{Agent, Conn};
use crate::exchange::Pumped;
use crate::ledger::Serial;
use crate::losses::{ASKED, WORN};
use crate::registration::read_welcome;
use crate::upstream::{Grown, State, Upstream};
use crate::workers::Message;

/// Why the agent closes a tunnel that the ingress asked it to leave, and does not close.
const LEFT_BEHIND: &str = "left behind";

impl Agent {
    /// Acts on what arrived on a tunnel.
    pub(crate) fn advance_tunnel(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        let Some(connection) = self.conns.get_mut(id.conn()) else { return };
        let (is_over, needs_replacing) = (connection.io.rx_eof, connection.io.needs_replacing);
        let mut rx = std::mem::take(&mut connection.io.rx);
        let outcome = self.read_tunnel(id, &mut rx, cx);
        let Some(connection) = self.conns.get_mut(id.conn()) else { return };
        connection.io.rx = rx;
        let is_over = is_over && !connection.io.is_behind;
        if let Conn::Moving(_) = connection.state {
            // Its worker reads on.
            return;
        }
        match outcome {
            Err(Failure::Upgrade(error)) => {
                self.close_tunnel(id, close::NORMAL, &error, cx);
            }
            Err(Failure::Link(error @ link::Error::Closed(_))) => {
                self.close_tunnel(id, close::NORMAL, &error.to_string(), cx);
            }
            Err(Failure::Link(error)) => {
                self.close_tunnel(id, close::PROTOCOL_ERROR, &error.to_string(), cx);
            }
            Ok(()) if is_over => self.close_tunnel(id, close::NORMAL, "closed by the peer", cx),
            Ok(()) if needs_replacing => self.move_on(id, WORN, cx),
            Ok(()) => {}
        }
    }

    fn read_tunnel(
        &mut self,
        id: TunnelId,
        rx: &mut Buf,
        cx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        self.read_upgrade(id, rx, cx).map_err(Failure::Upgrade)?;
        for _ in 0..link::EVENTS_MAX {
            let Some(tunnel) = self.tunnels.get_mut(&id) else { return Ok(()) };
            let Some(link) = tunnel.link_mut() else { return Ok(()) };
            if let Some(run) = link.poll_run(rx, cx.now).map_err(Failure::Link)? {
                self.handle_data(run.owner, run.pieces(), None, cx);
                continue;
            }
            let event = link.poll_event(rx, cx.now).map_err(Failure::Link)?;
            let Some(event) = event else { return Ok(()) };
            match event {
                Event::Handled | Event::Response { .. } => {}
                // Before WELCOME no window is agreed, nor which worker the tunnel is to have.
                Event::Opened { .. } if tunnel.serving_mut().is_none() => {
                    return Err(Failure::Link(link::Error::Session(mux::Error::OutOfOrder)));
                }
                Event::Opened { stream, head } => self.handle_request(id, stream, head, cx),
                Event::Data { owner, bytes, end } => self.handle_data(owner, &[bytes], end, cx),
                Event::Reset { owner, code, text } => self.handle_reset(owner, code, text),
                Event::Connection { kind, payload } => self.handle_notice(id, kind, payload, cx),
            }
        }
        if let Some(connection) = self.conns.get_mut(id.conn()) {
            connection.io.is_behind = true;
        }
        Ok(())
    }

    /// A frame about the tunnel itself.
    fn handle_notice(
        &mut self,
        id: TunnelId,
        kind: FrameKind,
        payload: &[u8],
        cx: &mut Context<'_>,
    ) {
        match kind {
            FrameKind::Welcome => match read_welcome(payload) {
                Ok(welcome) => self.welcomed(id, &welcome, cx),
                Err(why) => self.close_tunnel(id, close::PROTOCOL_ERROR, &why, cx),
            },
            FrameKind::Refused => self.refused(id, payload, cx),
            FrameKind::Challenge => self.challenged(id, payload, cx),
            FrameKind::Drain => self.move_on(id, ASKED, cx),
            FrameKind::Hello
            | FrameKind::Proof
            | FrameKind::Request
            | FrameKind::Response
            | FrameKind::Data
            | FrameKind::Window
            | FrameKind::Reset
            | FrameKind::Trailers
            | FrameKind::Health
            | FrameKind::Echo
            | FrameKind::EchoReply => {
                let why = format!("{kind:?} frame out of order");
                self.close_tunnel(id, close::PROTOCOL_ERROR, &why, cx);
            }
        }
    }

    /// Has a tunnel send: frames that wait, then DATA by turns.
    pub(crate) fn transmit_tunnel(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        let Some(link) = self.tunnels.get_mut(&id).and_then(|tunnel| tunnel.link_mut()) else {
            return;
        };
        if !link.has_output() {
            return;
        }
        let Some(connection) = self.conns.get_served(id.conn()) else { return };
        let mut tx = std::mem::take(&mut connection.io.tx);
        let mut over = std::mem::take(&mut self.over);
        let (conns, now) = (&mut self.conns, cx.now);
        link.transmit_to(id.conn(), &mut tx, cx, |session, stream, owner, out| {
            let Some(Connection { io, state: Conn::Upstream(upstream) }) = conns.get_mut(owner)
            else {
                return Turn::Over;
            };
            let Upstream { http, state: State::Busy(exchange), .. } = upstream else {
                return Turn::Over;
            };
            match exchange.pump(http, io, session, out, now) {
                Ok(Pumped::Over) => {}
                Ok(Pumped::Again) => return Turn::Again,
                Ok(Pumped::Complete) => {
                    // The request may still be under way: nobody waits for it any more.
                    session.forget(stream);
                    let grown = session.claim_growth(stream);
                    upstream.grown = grown.map(|bytes| Grown { tunnel: id, bytes });
                    over.push((owner, Ok(())));
                }
                Err(error) => over.push((owner, Err(error))),
            }
            Turn::Over
        });
        if let Some(connection) = self.conns.get_served(id.conn()) {
            connection.io.tx = tx;
        }
        for (owner, outcome) in over.drain(..) {
            match outcome {
                Ok(()) => self.complete(owner, cx),
                Err(error) => self.refuse_response(owner, error),
            }
        }
        self.over = over;
    }

    /// The tunnel's deadline passed: an echo is due, or something took too long.
    pub(crate) fn expire_tunnel(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else { return };
        let left_at = tunnel.left_at();
        let Phase::Serving(link) = &mut tunnel.phase else {
            let (_, timeout) = tunnel.phase_timeout(&self.config.timeouts);
            let missing =
                self.conns.get(id.conn()).map_or("", |connection| tunnel.missing(&connection.io));
            let why = format!("{missing} within {timeout:?}");
            return self.close_tunnel(id, close::NORMAL, &why, cx);
        };
        if link.handle_timeout(cx.now) == Liveness::Dead {
            return self.close_tunnel(id, close::NORMAL, "silent for two echo intervals", cx);
        }
        if left_at.is_some_and(|due| due <= cx.now) {
            self.close_tunnel(id, close::NORMAL, LEFT_BEHIND, cx);
        }
    }

    /// The tunnel will not last, for this reason: another one first, then this one may go.
    fn move_on(&mut self, id: TunnelId, why: &'static str, cx: &mut Context<'_>) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else { return };
        if tunnel.moving.is_some() {
            return;
        }
        tunnel.moving = Some(cx.now);
        let serial = tunnel.serial;
        self.tell(WorkerId::FIRST, Message::Moves(serial, why), cx);
    }

    /// Ends a tunnel that others have come in place of.
    pub(crate) fn leave_tunnel(&mut self, serial: Serial, cx: &mut Context<'_>) {
        let found = self.tunnels.iter().find(|(_, tunnel)| tunnel.serial == serial);
        if let Some(id) = found.map(|(id, _)| *id) {
            self.close_tunnel(id, close::NORMAL, LEFT_BEHIND, cx);
        }
    }

    /// Ends a tunnel that cannot go on, saying goodbye as far as that is possible.
    pub(crate) fn close_tunnel(
        &mut self,
        id: TunnelId,
        code: u16,
        why: &str,
        cx: &mut Context<'_>,
    ) {
        if let Some(link) = self.link_mut(id) {
            link.close(code, why);
        }
        self.transmit_tunnel(id, cx);
        self.lose_tunnel(id, why, cx);
        if let Some(connection) = self.conns.get_mut(id.conn()) {
            connection.io.close(Closing::AfterFlush);
        }
    }

    /// A tunnel is over, and so are its exchanges. What the service has not been sent of them it is not to
    /// get any more: callers were told of their end, and may have asked again.
    pub(crate) fn lose_tunnel(&mut self, id: TunnelId, why: &str, cx: &mut Context<'_>) {
        let Some(tunnel) = self.tunnels.remove(&id) else { return };
        let mut owners: Vec<_> =
            tunnel.link().map(|link| link.session.owners().collect()).unwrap_or_default();
        owners.sort_unstable();
        for (_, owner) in owners {
            if self.conclude(owner).is_some()
                && let Some((_, io)) = self.upstream(owner)
            {
                io.abandon();
            }
        }
        self.tell(WorkerId::FIRST, Message::Ended(tunnel.serial, why.to_owned()), cx);
    }
}

/// Why a tunnel cannot go on.
enum Failure {
    /// Half a sentence.
    Upgrade(String),
    Link(link::Error),
}
