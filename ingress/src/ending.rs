//! How exchanges end, well or badly.

use std::time::Instant;

use mesh_protocol::mux::{ResetCode, StreamId};
use mesh_protocol::{CloseReason, Closing, ConnId, Context};

use crate::downstream::{Downstream, Grown, State};
use crate::exchange::{BESIDES_WINDOW, Exchange, Phase, Reached};
use crate::ingress::{Conn, Ingress};
use crate::metrics::{Metrics, Observation};
use crate::replies::Reason;
use crate::tunnel::{Serial, TunnelId};
use crate::workers::Message;

impl Ingress {
    /// The response is complete.
    pub(crate) fn complete(&mut self, owner: ConnId, trailers: &[u8], cx: &mut Context<'_>) {
        let Some((downstream, io)) = self.downstream(owner) else { return };
        if let Err(error) = downstream.http.finish(trailers, &mut io.tx) {
            log::debug!("the end of a response: {error}");
            return self.fail(owner, Reason::UpstreamProtocol, Reached::Certainly, cx);
        }
        let Some(exchange) = self.take_exchange(owner) else { return };
        self.keep_grown(owner, exchange.tunnel, exchange.stream);
        // A request that is still under way is of no use to anybody now.
        self.cancel_stream(&exchange);
        self.deliver(owner);
        self.conclude(owner, exchange, None);
        if let Some((_, io)) = self.downstream(owner)
            && io.tx.is_empty()
            && io.closing.is_none()
        {
            // Its end took no bytes, so none leave that would take the connection on.
            self.advance_downstream(owner, cx);
        }
    }

    /// What an answer took of the window growth of its tunnel stays taken until it has left: callers that
    /// stop reading would else each have as much wait, one after the other.
    pub(crate) fn keep_grown(&mut self, owner: ConnId, id: TunnelId, stream: StreamId) {
        if let Some(tunnel) = self.tunnels.get_mut(id)
            && let Some(bytes) = tunnel.link.session.claim_growth(stream)
            && let Some((downstream, _)) = self.downstream(owner)
        {
            downstream.grown = Some(Grown { tunnel: id, bytes });
        }
    }

    /// The answer has left, or nobody wants it any more.
    pub(crate) fn give_back(&mut self, grown: Grown) {
        if let Some(tunnel) = self.tunnels.get_mut(grown.tunnel) {
            tunnel.link.session.give_back(grown.bytes);
        }
    }

    /// Nobody wants the rest of an exchange: its caller is gone, or has all that it gets in good order.
    pub(crate) fn abandon(&mut self, conn: ConnId, fault: Option<Fault>) {
        let Some(exchange) = self.take_exchange(conn) else { return };
        self.cancel_stream(&exchange);
        if fault.is_some() {
            self.metrics.caller_aborts += 1;
        }
        self.conclude(conn, exchange, fault);
    }

    /// A caller's connection is over.
    pub(crate) fn downstream_closed(&mut self, conn: ConnId, reason: &CloseReason) {
        let has_finished = matches!(reason, CloseReason::Finished) && self.end_upgraded(conn);
        self.abandon(conn, (!has_finished).then_some(Fault::CallerGone));
        let grown = self.downstream(conn).and_then(|(downstream, _)| downstream.grown.take());
        grown.into_iter().for_each(|grown| self.give_back(grown));
        if let Some((downstream, _)) = self.downstream(conn) {
            let (address, is_turned_away) = (downstream.peer.ip(), downstream.is_turned_away);
            if let Some(home) = downstream.home.take() {
                self.workers.homes.leave(home);
            }
            if is_turned_away {
                // It never went from where it was accepted, which is where all are counted.
                self.callers.turned_away_left();
            } else if self.workers.is_first() {
                self.callers.left(address);
            } else {
                self.tell_first(Message::Left(address));
            }
        }
    }

    /// Both directions of a connection have ended. If it was an upgraded one, the agent hears of the
    /// caller's end, which may not have had a turn yet. Says whether it was.
    fn end_upgraded(&mut self, conn: ConnId) -> bool {
        let Some((Downstream { state: State::Busy(exchange), .. }, _)) = self.downstream(conn)
        else {
            return false;
        };
        let (phase, id, stream) = (exchange.phase, exchange.tunnel, exchange.stream);
        if phase != Phase::Upgraded {
            return false;
        }
        if let Some(tunnel) = self.tunnels.get_mut(id) {
            tunnel.link.session.end(stream);
            self.conns.touch(id.conn());
        }
        true
    }

    /// Ends a caller's connection in a way that cannot be taken for a whole response. What a service sent
    /// before it failed is good, and a reset could destroy it on its way: the caller gets it where the framing
    /// says that the rest is missing, as it does wherever the bytes stop. What waits besides a window counts
    /// for the tunnel, so nobody gets that whose tunnel is gone.
    pub(crate) fn cut(&mut self, conn: ConnId, exchange: &Exchange, reason: Reason) {
        self.keep_grown(conn, exchange.tunnel, exchange.stream);
        let window = self.config.limits.stream_window as usize;
        let has_tunnel = self.tunnels.get(exchange.tunnel).is_some();
        let Some((downstream, io)) = self.downstream(conn) else { return };
        let is_told = downstream.http.is_answer_framed();
        if !is_told || !reason.is_of_service() {
            return io.close(Closing::Abort);
        }
        if !has_tunnel {
            // All of it is of this answer: no other begins before the one before it has left.
            io.tx.cut_off(window + BESIDES_WINDOW);
        }
        io.close(Closing::AfterFlush);
    }

    /// Takes the exchange off its connection, which counts as answered unless the caller of this says
    /// otherwise.
    #[inline]
    pub(crate) fn take_exchange(&mut self, conn: ConnId) -> Option<Exchange> {
        let since = self.now;
        let (downstream, _) = self.downstream(conn)?;
        if !matches!(downstream.state, State::Busy(_)) {
            return None;
        }
        let state = std::mem::replace(&mut downstream.state, State::Delivered { since });
        let State::Busy(exchange) = state else { return None };
        self.in_flight -= 1;
        Some(exchange)
    }

    /// Tells the agent that nobody wants the exchange any more, unless it is over there too.
    fn cancel_stream(&mut self, exchange: &Exchange) {
        self.reset_with(exchange, ResetCode::Cancel, "");
    }

    /// Tells the agent that the exchange failed here.
    pub(crate) fn reset_stream(&mut self, exchange: &Exchange, reason: Reason) {
        let is_late = matches!(reason, Reason::RequestTimeout | Reason::BodyTimeout);
        let code = if is_late { ResetCode::Timeout } else { ResetCode::Cancel };
        self.reset_with(exchange, code, reason.name());
    }

    fn reset_with(&mut self, exchange: &Exchange, code: ResetCode, text: &str) {
        if let Some(tunnel) = self.tunnels.get_mut(exchange.tunnel) {
            tunnel.link.session.reset(exchange.stream, code, text);
            tunnel.publish();
            self.conns.touch(exchange.tunnel.conn());
        }
    }

    /// The exchange is over: it is counted and logged, and its memory serves another request.
    pub(crate) fn conclude(&mut self, conn: ConnId, exchange: Exchange, fault: Option<Fault>) {
        self.finish(conn, &Ended::of(&exchange, fault, self.now));
        self.heads.keep(exchange.replay.into_memory());
    }

    /// The one place where an exchange is counted and logged.
    pub(crate) fn finish(&mut self, conn: ConnId, ended: &Ended<'_>) {
        let seen = &ended.seen;
        self.metrics.observe(seen);
        log::debug!(
            "exchange: status {} after {:?}, {} bytes up, {} bytes down",
            seen.status,
            seen.duration,
            seen.request_bytes,
            seen.response_bytes,
        );
        self.log_exchange(conn, ended);
    }

    /// All that was counted, with the bytes of exchanges that are not over, which may take hours. Before its
    /// answer one may still become another service's, and counters must not go back.
    pub(crate) fn counted(&self) -> Metrics {
        let mut metrics = self.metrics.clone();
        for (_, connection) in self.conns.iter() {
            if let Conn::Downstream(downstream) = &connection.state
                && let State::Busy(exchange) = &downstream.state
                && exchange.phase != Phase::Waiting
            {
                let Exchange { route, service, request_bytes, response_bytes, .. } = exchange;
                // Of those together counters would go back when one gets a row of its own.
                if metrics.hosts.has(*route, service) {
                    metrics.hosts.add_bytes(*route, service, *request_bytes, *response_bytes);
                }
            }
        }
        metrics
    }
}

/// Why an exchange ended without a whole answer of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What the caller is told, unless its answer had begun.
    Told(Reason),
    /// The caller left.
    CallerGone,
    /// The caller took nothing of its answer for too long.
    SendTimeout,
    /// Nothing moved any more after the answer had begun.
    StreamIdle,
}

impl Fault {
    /// Why an answer is cut that had begun.
    pub(crate) const fn of_begun(reason: Reason) -> Self {
        // Its head came in time.
        let is_late = matches!(reason, Reason::RequestTimeout);
        if is_late { Self::StreamIdle } else { Self::Told(reason) }
    }

    /// The word in the access log.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Told(reason) => reason.name(),
            Self::CallerGone => "caller_gone",
            Self::SendTimeout => "send_timeout",
            Self::StreamIdle => "stream_idle",
        }
    }
}

/// What is counted and logged of an exchange that is over.
#[derive(Debug)]
pub(crate) struct Ended<'e> {
    pub(crate) seen: Observation<'e>,
    /// Why the answer is ours, or was cut.
    pub(crate) error: Option<Fault>,
    /// Which tunnel had it; none when there was none for its second attempt.
    pub(crate) tunnel: Option<Serial>,
    pub(crate) retried: bool,
    /// The head of the request, as it went to the agent.
    pub(crate) head: &'e [u8],
}

impl<'e> Ended<'e> {
    pub(crate) fn of(exchange: &'e Exchange, error: Option<Fault>, now: Instant) -> Self {
        let status = match (exchange.phase, error) {
            (Phase::Responding { status }, _) => status,
            (Phase::Upgraded, _) => 101,
            (Phase::Waiting, Some(Fault::Told(reason))) => reason.status(),
            // It was sent none.
            (
                Phase::Waiting,
                None | Some(Fault::CallerGone | Fault::SendTimeout | Fault::StreamIdle),
            ) => 0,
        };
        let seen = Observation {
            route: exchange.route,
            service: &exchange.service,
            status,
            duration: now.saturating_duration_since(exchange.since),
            request_bytes: exchange.request_bytes,
            response_bytes: exchange.response_bytes,
        };
        Self {
            seen,
            error,
            tunnel: Some(exchange.serial),
            retried: exchange.replay.tried.is_some(),
            head: exchange.replay.head(),
        }
    }
}
