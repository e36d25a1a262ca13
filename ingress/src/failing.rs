//! What fails, whether it is tried once more, and what the caller hears of it.

use mesh_protocol::http1::{self, CloseReason, ServerConn};
use mesh_protocol::{Buf, Closing, ConnId, Context};

use crate::balance::{Scope, Tried};
use crate::downstream::State;
use crate::ending::Fault;
use crate::exchange::{Phase, Reached};
use crate::ingress::Ingress;
use crate::moving::Routed;
use crate::replies::{self, Format, HeadSeen, Reason};

/// What a connection may have been sent in all that is closed without waiting for the peer's end: no more
/// than leaves at once (RFC 6928 2).
const SHORT_BYTES_MAX: u64 = 14_600;

impl Ingress {
    /// The exchange failed. It is tried once more where that is safe, else answered, else cut.
    pub(crate) fn fail(
        &mut self,
        conn: ConnId,
        reason: Reason,
        reached: Reached,
        cx: &mut Context<'_>,
    ) {
        let Some(mut exchange) = self.take_exchange(conn) else { return };
        self.reset_stream(&exchange, reason);
        if exchange.phase != Phase::Waiting {
            self.cut(conn, &exchange, reason);
            self.metrics.cut(reason);
            return self.conclude(conn, exchange, Some(Fault::of_begun(reason)));
        }
        let is_repeatable = exchange.replay.is_possible(reached);
        // A 503 asks the caller to come again, which may do harm.
        let is_safe = is_repeatable || reason != Reason::Draining;
        let reason = if is_safe { reason } else { Reason::AgentLost };
        if is_repeatable && !self.drain.is_leaving() {
            let (route, tried) = (exchange.route, Tried::of(&exchange, reason));
            let chosen = self.choose_from(conn, route, Scope::Everywhere, Some(&tried), cx);
            if let Ok(place) = chosen {
                self.metrics.retries += 1;
                exchange.replay.restart(tried);
                self.place_request(conn, place, Routed::retry(exchange), cx);
                return self.advance_exchange(conn, cx);
            }
        }
        self.answer(conn, reason, Format::asked_in(exchange.replay.head()));
        self.conclude(conn, exchange, Some(Fault::Told(reason)));
    }

    /// Answers a request that did not become an exchange, and logs it.
    pub(crate) fn decline(&mut self, conn: ConnId, reason: Reason, head: HeadSeen<'_>) {
        self.answer(conn, reason, head.format());
        self.log_declined(conn, reason, head);
    }

    /// Tells a caller that a limit is reached.
    pub(crate) fn turn_away(&mut self, conn: ConnId) {
        self.decline(conn, Reason::Overloaded, HeadSeen::None);
        if let Some((downstream, io)) = self.downstream(conn) {
            downstream.is_turned_away = true;
            io.close(Closing::AfterFlush);
        }
    }

    /// Answers a request for a host that nobody serves, and logs it.
    pub(crate) fn decline_host(&mut self, conn: ConnId, host: &str, head: &[u8]) {
        let (reason, format) = (Reason::NoRoute, Format::asked_in(head));
        self.answer_by(conn, reason, |http, tx| {
            replies::write_no_route(host, format, http, tx);
        });
        self.log_declined(conn, reason, HeadSeen::Received(head));
    }

    /// The caller sent no request head, or one that is refused.
    pub(crate) fn refuse(&mut self, conn: ConnId, error: http1::Error, head: HeadSeen<'_>) {
        log::debug!("refused a request: {error}");
        self.decline(conn, Reason::of_head(error), head);
    }

    /// The caller's request body breaks its framing.
    pub(crate) fn refuse_body(&mut self, conn: ConnId, error: http1::Error, cx: &mut Context<'_>) {
        log::debug!("refused a request body: {error}");
        self.fail(conn, Reason::BadRequest, Reached::Certainly, cx);
    }

    /// Writes an answer of our own. The connection goes on if its request was read to the end.
    pub(crate) fn answer(&mut self, conn: ConnId, reason: Reason, format: Format) {
        self.answer_by(conn, reason, |http, tx| replies::write(reason, format, http, tx));
    }

    /// Writes an answer of our own, by way of `write`. The connection goes on if its request was
    /// read to the end.
    pub(crate) fn answer_by(
        &mut self,
        conn: ConnId,
        reason: Reason,
        write: impl FnOnce(&mut ServerConn, &mut Buf),
    ) {
        self.metrics.count(reason);
        let is_draining = self.drain.is_draining();
        let Some((downstream, io)) = self.downstream(conn) else { return };
        if is_draining {
            downstream.http.close_after();
        }
        write(&mut downstream.http, &mut io.tx);
        self.deliver(conn);
    }

    /// The response is complete: the connection takes the next request, or ends.
    pub(crate) fn deliver(&mut self, conn: ConnId) {
        let since = self.now;
        let Some((downstream, io)) = self.downstream(conn) else { return };
        downstream.state = State::Delivered { since };
        if let Some(reason) = downstream.http.close_reason() {
            log::trace!("a caller's connection ends: {reason}");
            // Of a long answer much is still here when the connection closes, and what comes then
            // would destroy it; and some callers send an empty line behind a body (RFC 9112 2.2).
            let is_last = matches!(reason, CloseReason::PeerAskedClose | CloseReason::Http10)
                && downstream.http.has_request_ended()
                && !downstream.http.has_body()
                && io.rx.is_empty()
                && io.tx.added() <= SHORT_BYTES_MAX;
            io.close(if is_last { Closing::Agreed } else { Closing::AfterFlush });
        }
    }
}
