//! A connection to the local service.
//!
//! ```text
//!   Busy (perhaps still connecting) <--> Idle
//!     |                                   |
//!     `--------------> Spent <------------'
//!                        `--> closed
//! ```
//!
//! It may break in each of them.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use mesh_protocol::http1::ClientConn;
use mesh_protocol::mux::frame::RUN_BYTES;
use mesh_protocol::{Closing, ConnId, Connection, Duplex, Patience};

use crate::agent::{Agent, Conn};
use crate::config::Timeouts;
use crate::exchange::Exchange;
use crate::tunnel::TunnelId;
use crate::workers::Message;

/// What the agent knows of a connection to the local service.
#[derive(Debug)]
pub struct Upstream {
    pub(crate) http: ClientConn,
    pub(crate) state: State,
    /// Whether the connection is still being made, which began with its exchange.
    pub(crate) is_connecting: bool,
    pub(crate) grown: Option<Grown>,
}

/// What the rest of a request that waits in `tx` takes of the window growth of a tunnel, until the
/// connection is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grown {
    pub(crate) tunnel: TunnelId,
    pub(crate) bytes: NonZeroU32,
}

#[derive(Debug)]
pub(crate) enum State {
    /// Kept for the next request.
    Idle { since: Instant },
    /// In the middle of an exchange.
    Busy(Exchange),
    /// Without use; it is about to close.
    Spent { since: Instant },
}

/// Unread bytes of a connection to the local service: what one read brings.
pub(crate) const RX_MAX: usize = RUN_BYTES;
/// Unread bytes of a connection whose service filled those, while no more than [`FAST_STREAMS_MAX`]
/// streams share its tunnel: what one write takes.
pub(crate) const FAST_RX_MAX: usize = 2 * RUN_BYTES;
/// Streams of one tunnel, at the most, for which [`FAST_RX_MAX`] may be read.
pub(crate) const FAST_STREAMS_MAX: usize = 8;

/// How long an exchange must have rested for a lost packet not to end it. By then what was
/// sent is acknowledged, and only the kernel's questions whether the service is there are under way.
const SETTLED: Duration = Duration::from_secs(10);

/// How long a new connection waits for the service's first byte until a kept one gives way to it, and each
/// time again: the service may have so few places that the kept ones take them all.
pub(crate) const GIVING_WAY: Duration = Duration::from_secs(1);

impl Upstream {
    pub(crate) const fn new(exchange: Exchange, head_bytes: usize) -> Self {
        let http = ClientConn::new(head_bytes);
        Self { http, state: State::Busy(exchange), is_connecting: true, grown: None }
    }

    /// When the connection has waited long enough, or another one is to give way to it.
    pub(crate) fn deadline(&self, patience: Patience, timeouts: &Timeouts) -> Instant {
        let due = self.due(patience, timeouts);
        match &self.state {
            State::Busy(exchange) => exchange.make_room_at.map_or(due, |at| at.min(due)),
            State::Idle { .. } | State::Spent { .. } => due,
        }
    }

    fn due(&self, patience: Patience, timeouts: &Timeouts) -> Instant {
        match &self.state {
            State::Busy(exchange) if self.is_connecting => {
                exchange.since + timeouts.upstream_connect
            }
            State::Busy(exchange) => match patience {
                Patience::Long => exchange.moved + timeouts.stream_idle,
                Patience::Short => exchange.moved + timeouts.stream_idle.min(SETTLED),
            },
            State::Idle { since } | State::Spent { since } => *since + timeouts.upstream_idle,
        }
    }
}

impl Agent {
    /// A request has waited for a while on a new connection, perhaps for a place at the service: a kept one
    /// gives way to it, if the service is not just slow. Where this worker keeps none, the places may be
    /// those of the others.
    pub(crate) fn make_room(&mut self, has_no_place: bool) {
        let is_time = self.pool.is_time(self.now);
        match self.pool.give_way(has_no_place, self.now) {
            Some(conn) => self.let_go(conn),
            None if is_time => self.tell_others(|| Message::GiveWay),
            None => {}
        }
    }

    /// A request at another worker has waited on a new connection, and that worker keeps none.
    pub(crate) fn make_room_elsewhere(&mut self) {
        if let Some(conn) = self.pool.give_way_seldom(self.now) {
            self.let_go(conn);
        }
    }

    /// A health check waits on a new connection: any kept one gives way to it, now or once there is
    /// one, since whether requests come at all hangs on the check.
    pub(crate) fn make_room_for_probe(&mut self) {
        if let Some(conn) = self.pool.take_oldest_or_owe() {
            self.let_go(conn);
        }
    }

    /// Closes a connection to the service that is not in the pool any more. There is no waiting: the whole
    /// answer is here, what else the service says is for nobody, and it may have few places. A service that
    /// has answered gets the rest of its request no more, and must not take what it got for the whole.
    pub(crate) fn let_go(&mut self, conn: ConnId) {
        let since = self.now;
        if let Some((upstream, io)) = self.upstream(conn) {
            upstream.state = State::Spent { since };
            let is_cut = !io.tx.is_empty() || !upstream.http.has_request_ended();
            if is_cut { io.abandon() } else { io.close(Closing::Discard) }
        }
    }

    /// A connection to the local service and its bytes, touched.
    pub(crate) fn upstream(&mut self, conn: ConnId) -> Option<(&mut Upstream, &mut Duplex)> {
        match self.conns.get_mut(conn)? {
            Connection { io, state: Conn::Upstream(upstream) } => Some((upstream, io)),
            Connection {
                state: Conn::Tunnel | Conn::Moving(_) | Conn::Probe(_) | Conn::Visitor(_),
                ..
            } => None,
        }
    }
}
