//! From an agent's tunnel to the callers' connections.

use mesh_protocol::http1::forward::RESPONSE_HEAD_BYTES_MAX;
use mesh_protocol::http1::{self, ResponseHead, Storage};
use mesh_protocol::mux::{Flags, Head, ResetCode};
use mesh_protocol::{Closing, ConnId, Context};

use crate::downstream::{Downstream, State};
use crate::exchange::{Exchange, Phase, Reached};
use crate::ingress::{Conn, Ingress};
use crate::replies::Reason;
use crate::tunnel::{Ejected, TunnelId};

/// Bytes that may wait for a caller with an interim response, or before the one 100 that it waits for; a
/// longer one is left out. The final head and a whole window may join them; by then the request's own head
/// has left the tunnel, which made room for as much where heads may be so long (docs/operations.md,
/// "Memory").
const INTERIM_QUEUE_MAX: usize = 8 * 1024;

impl Ingress {
    /// A response head.
    pub(crate) fn handle_response(
        &mut self,
        owner: ConnId,
        id: TunnelId,
        head: Head<'_>,
        cx: &mut Context<'_>,
    ) {
        let written = self.write_head(owner, head, cx);
        match written {
            Ok(()) => {
                if let Some(tunnel) = self.tunnels.get_mut(id) {
                    tunnel.succeeded();
                }
                if head.flags.has(Flags::END) {
                    self.complete(owner, &[], cx);
                }
            }
            Err(error) => {
                if let Some(tunnel) = self.tunnels.get(id) {
                    log::debug!("{tunnel}: a response: {error}");
                }
                self.fail_upstream(owner, Reason::UpstreamProtocol, Reached::Certainly, cx);
            }
        }
    }

    fn write_head(
        &mut self,
        owner: ConnId,
        head: Head<'_>,
        cx: &Context<'_>,
    ) -> Result<(), http1::Error> {
        if head.bytes.len() > RESPONSE_HEAD_BYTES_MAX {
            return Err(http1::Error::HeadTooLarge);
        }
        let mut storage = Storage::new();
        let response = ResponseHead::parse(head.bytes, &mut storage)?;
        let is_draining = self.drain.is_draining();
        let Some((downstream, io)) = self.downstream(owner) else { return Ok(()) };
        let Downstream { http, state: State::Busy(exchange), .. } = downstream else {
            return Ok(());
        };
        exchange.moved = cx.now;
        exchange.replay.forget();
        if head.flags.has(Flags::INTERIM) {
            if !(100..200).contains(&response.status) || response.status == 101 {
                return Err(http1::Error::BadStatus);
            }
            // An interim response is a courtesy: a caller that does not read gets no more of them, but for
            // the one that it waits for.
            let is_awaited = response.status == 100 && http.awaits_continue();
            let before = if is_awaited { 0 } else { io.tx.len() };
            if before + head.bytes.len() <= INTERIM_QUEUE_MAX {
                http.interim(&response, &mut io.tx);
            }
            return Ok(());
        }
        if head.flags.has(Flags::UPGRADE) {
            // The caller may have asked for one that was declined here, and the agent knows nothing of it.
            if !exchange.replay.flags.has(Flags::UPGRADE) {
                return Err(http1::Error::BadStatus);
            }
            http.upgrade(&response, &mut io.tx)?;
            exchange.phase = Phase::Upgraded;
            io.is_opaque = true;
        } else {
            if response.status < 200 {
                return Err(http1::Error::BadStatus);
            }
            if is_draining || io.needs_replacing {
                // The request may be older than that.
                http.close_after();
            }
            http.respond(&response, &mut io.tx)?;
            exchange.phase = Phase::Responding { status: response.status };
        }
        Ok(())
    }

    /// Body bytes, and perhaps the end.
    pub(crate) fn handle_data(
        &mut self,
        owner: ConnId,
        pieces: &[&[u8]],
        end: Option<&[u8]>,
        cx: &mut Context<'_>,
    ) {
        let Some((downstream, io)) = self.downstream(owner) else { return };
        let Downstream { http, state: State::Busy(exchange), .. } = downstream else { return };
        exchange.moved = cx.now;
        exchange.response_bytes += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        if exchange.phase == Phase::Upgraded {
            let (tunnel, stream) = (exchange.tunnel, exchange.stream);
            cx.send(owner, &mut io.tx, pieces);
            if end.is_some() {
                // The exchange is over when its connection is.
                io.close(Closing::Write);
                self.keep_grown(owner, tunnel, stream);
            }
            return;
        }
        let written = match end {
            None => http.pass(pieces, |pieces| cx.send(owner, &mut io.tx, pieces)),
            // The last bytes wait for the end, to leave with it.
            Some(_) => pieces.iter().try_for_each(|piece| http.write(piece, &mut io.tx)),
        };
        if let Err(error) = written {
            log::debug!("a response body: {error}");
            return self.fail(owner, Reason::UpstreamProtocol, Reached::Certainly, cx);
        }
        if let Some(trailers) = end {
            self.complete(owner, trailers, cx);
        }
    }

    /// The stream was reset by the agent.
    pub(crate) fn handle_reset(
        &mut self,
        owner: ConnId,
        id: TunnelId,
        code: ResetCode,
        text: &str,
        cx: &mut Context<'_>,
    ) {
        if let Some(tunnel) = self.tunnels.get(id) {
            log::debug!("{tunnel}: stream reset: {code:?} {text:?}");
        }
        if let Some((downstream, io)) = self.downstream(owner)
            && let State::Busy(exchange) = &downstream.state
            && exchange.phase == Phase::Upgraded
            && io.closing == Some(Closing::Write)
        {
            // The service ended in good order before, and does not hear the caller out.
            io.close(Closing::AfterFlush);
            return self.abandon(owner, None);
        }
        let (reason, reached) = match code {
            ResetCode::ConnectFailed => (Reason::UpstreamConnect, Reached::CertainlyNot),
            ResetCode::Refused => (Reason::Overloaded, Reached::CertainlyNot),
            ResetCode::Draining => (Reason::NoHealthyAgent, Reached::CertainlyNot),
            ResetCode::Protocol => (Reason::UpstreamProtocol, Reached::Certainly),
            ResetCode::Timeout => (Reason::RequestTimeout, Reached::Certainly),
            ResetCode::UpstreamReset | ResetCode::Cancel | ResetCode::Unknown(_) => {
                (Reason::UpstreamReset, Reached::Perhaps)
            }
        };
        if code == ResetCode::Draining
            && let Some(tunnel) = self.tunnels.get_mut(id)
        {
            tunnel.note_draining();
        }
        self.fail_upstream(owner, reason, reached, cx);
    }

    /// The exchange failed behind the agent: that counts against the agent.
    pub(crate) fn fail_upstream(
        &mut self,
        owner: ConnId,
        reason: Reason,
        reached: Reached,
        cx: &mut Context<'_>,
    ) {
        let counts = match reason {
            Reason::UpstreamConnect => true,
            // A connection that was upgraded was answered, hours ago perhaps.
            Reason::UpstreamReset => !self.is_upgraded(owner),
            // Services may grant an upgrade before its body is there, and that may never come.
            Reason::UpstreamProtocol => !self.lacks_body_of_upgrade(owner),
            // An answer may rest for as long as it likes, and a caller may never send its body.
            Reason::RequestTimeout => self.is_unanswered(owner),
            Reason::BadRequest
            | Reason::HttpVersion
            | Reason::NoUpgrade
            | Reason::NoRoute
            | Reason::HeadTimeout
            | Reason::BodyTimeout
            | Reason::HeadTooLarge
            | Reason::AgentLost
            | Reason::NoHealthyAgent
            | Reason::Overloaded
            | Reason::Draining => false,
        };
        if counts
            && let Some(id) = self.busy(owner).map(|(_, exchange)| exchange.tunnel)
            && let Some(tunnel) = self.tunnels.get_mut(id)
            && let Ejected::For(duration) = tunnel.failed(cx.now)
        {
            log::warn!("{tunnel}: ejected for {duration:?}: {}", reason.name());
            self.metrics.ejections += 1;
        }
        self.fail(owner, reason, reached, cx);
    }

    /// Whether a caller waits for the head of its answer, and for nothing before it.
    fn is_unanswered(&self, conn: ConnId) -> bool {
        self.busy(conn).is_some_and(|(downstream, exchange)| {
            exchange.phase == Phase::Waiting && !downstream.is_kept_waiting(exchange)
        })
    }

    /// Whether a caller talks with its service itself.
    fn is_upgraded(&self, conn: ConnId) -> bool {
        self.busy(conn).is_some_and(|(_, exchange)| exchange.phase == Phase::Upgraded)
    }

    /// Whether a caller who asked for an upgrade has not sent all of the body before it.
    fn lacks_body_of_upgrade(&self, conn: ConnId) -> bool {
        self.busy(conn).is_some_and(|(downstream, exchange)| {
            exchange.replay.flags.has(Flags::UPGRADE) && !downstream.http.has_request_ended()
        })
    }

    /// A caller whose request is under way, and its exchange.
    pub(crate) fn busy(&self, conn: ConnId) -> Option<(&Downstream, &Exchange)> {
        let Conn::Downstream(downstream) = self.conns.state(conn)? else { return None };
        let State::Busy(exchange) = &downstream.state else { return None };
        Some((downstream, exchange))
    }
}
