//! Callers' connections that go to the worker of the tunnel that their request is for.
//!
//! ```text
//!   here:  route -- pick: at another worker --> State::Moving --> the shell
//!   there: Event::Adopted -- the one that was picked, or else pick, here only --> open_stream
//!                        `-- none is left: once more, HOPS_MAX in all, or the answer of the mesh
//! ```
//!
//! A request moves with its head rewritten, as it goes to an agent and as a retry keeps it, so it is
//! parsed once. What follows it, its body and pipelined requests, is in the connection's `rx`
//! and goes along unread.

use std::sync::Arc;
use std::time::Instant;

use mesh_protocol::mux::Flags;
use mesh_protocol::{ConnId, Connection, Context, Outgoing, WorkerId};

use crate::balance::Scope;
use crate::downstream::{State, Stay};
use crate::ending::{Ended, Fault};
use crate::exchange::{Exchange, Replay};
use crate::gauge::{Gauge, Reservation};
use crate::ingress::{Conn, Ingress};
use crate::metrics::Observation;
use crate::replies::{Format, HeadSeen, Reason};
use crate::routes::{Place, RouteId};

/// A request that has a route, on its way to a stream, here or at another worker.
#[derive(Debug)]
pub(crate) struct Routed {
    pub(crate) route: RouteId,
    pub(crate) replay: Replay,
    /// When the request head was complete.
    pub(crate) since: Instant,
    pub(crate) request_bytes: u64,
    /// How often it moved before.
    hops: u8,
    /// It counts as reserved at the tunnel that it is for.
    reservation: Option<Reservation>,
}

/// How often a request may move. A tunnel may have ended when it arrives; then there is a second
/// chance, and not a third.
const HOPS_MAX: u8 = 2;

impl Routed {
    /// A request that no agent has had.
    pub(crate) const fn fresh(route: RouteId, replay: Replay, since: Instant) -> Self {
        Self { route, replay, since, request_bytes: 0, hops: 0, reservation: None }
    }

    /// The rest of an exchange whose agent failed it.
    pub(crate) fn retry(exchange: Exchange) -> Self {
        let Exchange { route, replay, since, request_bytes, .. } = exchange;
        Self { route, replay, since, request_bytes, hops: 0, reservation: None }
    }
}

impl Ingress {
    /// Sends a caller's connection to the worker of the tunnel that was chosen for its request.
    pub(crate) fn send_caller(
        &mut self,
        conn: ConnId,
        to: WorkerId,
        gauge: Arc<Gauge>,
        mut routed: Routed,
    ) {
        routed.reservation = Some(gauge.reserve());
        routed.hops += 1;
        let own = self.workers.own;
        let mut leaving = Outgoing::Connection(conn);
        if let Some(Connection { state: Conn::Downstream(downstream), .. }) =
            self.conns.get_mut(conn)
        {
            // With more to come of the request, the kernel had news of it at once.
            let is_whole = routed.replay.flags.has(Flags::END);
            let stay = downstream.note_worker(to);
            let is_guest = downstream.lender.take().is_some();
            if is_whole && stay == Stay::Visit && !is_guest {
                downstream.lender = Some(own);
                leaving = Outgoing::Loan(conn);
            } else {
                downstream.set_home(to, &self.workers.homes);
            }
            downstream.state = State::Moving(routed);
        }
        self.outgoing.push_back((to, leaving));
    }

    /// Sends a caller's connection back that was lent for an exchange, when that is over.
    pub(crate) fn send_home(&mut self, conn: ConnId, home: WorkerId) {
        let (since, memory) = (self.now, self.heads.take());
        if let Some((downstream, _)) = self.downstream(conn) {
            downstream.state = State::Homeward { since, memory };
        }
        self.outgoing.push_back((home, Outgoing::Return(conn)));
    }

    /// A caller's connection came from another worker.
    pub(crate) fn adopt_caller(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let Some((downstream, _)) = self.downstream(conn) else { return };
        let idle = State::Idle { since: cx.now };
        let mut routed = match std::mem::replace(&mut downstream.state, idle) {
            State::Moving(routed) => routed,
            State::Homeward { memory, .. } => {
                self.metrics.moves += 1;
                self.heads.keep(memory);
                return self.advance_downstream(conn, cx);
            }
            other @ (State::Idle { .. }
            | State::Head { .. }
            | State::Busy(_)
            | State::Asked { .. }
            | State::Delivered { .. }) => {
                downstream.state = other;
                return self.advance_downstream(conn, cx);
            }
        };
        self.metrics.moves += 1;
        let picked = routed.reservation.take().map(|reservation| reservation.serial());
        let scope = if routed.hops < HOPS_MAX { Scope::Everywhere } else { Scope::Here };
        let (route, tried) = (routed.route, routed.replay.tried.as_ref());
        let chosen = match picked.and_then(|picked| self.keep_choice(conn, route, picked)) {
            Some(place) => Ok(place),
            None => self
                .choose_from(conn, route, Scope::Here, tried, cx)
                .or_else(|_| self.choose_from(conn, route, scope, tried, cx)),
        };
        match chosen {
            Ok(place) => {
                self.place_request(conn, place, routed, cx);
                self.advance_exchange(conn, cx);
            }
            Err(reason) => self.answer_stranded(conn, routed, reason),
        }
    }

    /// Sends a request on its way to the tunnel that was chosen for it. If it moved or is tried again, all
    /// of its body may be there already, and has its turn after this.
    pub(crate) fn place_request(
        &mut self,
        conn: ConnId,
        place: Place,
        routed: Routed,
        cx: &mut Context<'_>,
    ) {
        match place {
            Place::Here(tunnel) => self.open_stream(conn, tunnel, routed, cx),
            Place::There(worker, gauge) => self.send_caller(conn, worker, gauge, routed),
        }
    }

    /// Nobody is left for a request that moved or is tried again, or its tunnel does not take it.
    pub(crate) fn answer_stranded(&mut self, conn: ConnId, routed: Routed, reason: Reason) {
        let Some(tried) = &routed.replay.tried else {
            self.count_unserved(routed.route, reason);
            self.decline(conn, reason, HeadSeen::Rewritten(routed.replay.head()));
            return self.heads.keep(routed.replay.into_memory());
        };
        self.answer(conn, tried.reason, Format::asked_in(routed.replay.head()));
        let seen = Observation {
            route: routed.route,
            service: &tried.service,
            status: tried.reason.status(),
            duration: self.now.saturating_duration_since(routed.since),
            request_bytes: routed.request_bytes,
            response_bytes: 0,
        };
        let (error, head) = (Some(Fault::Told(tried.reason)), routed.replay.head());
        self.finish(conn, &Ended { seen, error, tunnel: None, retried: true, head });
        self.heads.keep(routed.replay.into_memory());
    }
}
