//! A caller's connection: one exchange after the other.
//!
//! ```text
//!          first byte       head complete         response complete
//!   Idle ------------> Head --------------> Busy --------------------> Delivered
//!    ^ ^                |  |                  | 101                        | tx is empty
//!    | |                |  |                  `--> Busy, both ways raw     |
//!    | |                |  `--> Moving ..> Busy, at another worker         |
//!    | |                `-----> Asked: a page of all workers ------------->|
//!    | `-------------------------------------------------------------------'
//!    `.. Homeward <-- Delivered, of a connection that is lent
//! ```
//!
//! The next request is looked for only when the answer before it has left: otherwise a caller that
//! pipelines and does not read would earn a fresh window with each request.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Instant;

use mesh_protocol::http1::ServerConn;
use mesh_protocol::http1::forward::{Forwarded, Proto};
use mesh_protocol::mux::frame::RUN_BYTES;
use mesh_protocol::{Buf, ConnId, Connection, Duplex, Security, WorkerId};

use crate::callers::Arrival;
use crate::config::Timeouts;
use crate::exchange::{Exchange, Phase};
use crate::gauge::Homes;
use crate::ingress::{Conn, Ingress};
use crate::moving::Routed;
use crate::tunnel::TunnelId;

/// What the ingress knows of a caller's connection.
#[derive(Debug)]
pub struct Downstream {
    pub(crate) http: ServerConn,
    pub(crate) peer: SocketAddr,
    /// What services are told about it.
    pub(crate) forwarded: Forwarded,
    /// Whether it was only told to come back: it does not count among those that are served.
    pub(crate) is_turned_away: bool,
    /// The worker among whose callers it counts.
    pub(crate) home: Option<WorkerId>,
    /// The worker that lent the connection for the present exchange, unless it is kept.
    pub(crate) lender: Option<WorkerId>,
    pub(crate) state: State,
    /// What the answer that waits in `tx` takes of the window growth of the tunnel that brought it.
    pub(crate) grown: Option<Grown>,
    /// Bytes of its `tx` that had left when it was last looked at.
    taken: u64,
    habit: Habit,
}

/// Where a caller's last requests were served.
#[derive(Debug, Clone, Copy)]
struct Habit {
    worker: WorkerId,
    /// How many of them in a row; none at first.
    in_a_row: u8,
}

/// For how long a request takes its caller's connection to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stay {
    /// For as long as it is served.
    Visit,
    /// For good: the connection belongs there.
    Settle,
}

/// What an answer takes of a tunnel's window growth until it has left. A caller that has not got all of
/// its answer asks for nothing else, so it is at the tunnel's worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grown {
    pub(crate) tunnel: TunnelId,
    pub(crate) bytes: NonZeroU32,
}

/// Requests in a row that are served at the same worker, after which that is where the caller
/// belongs. One that asks for many hosts by turns would else move with each request, and a move for
/// good costs three times what a loan does.
const SETTLED_AFTER: u8 = 3;
/// Unread bytes of a caller's connection, besides a whole head: what one read brings.
const RX_BYTES_MAX: usize = RUN_BYTES;

#[derive(Debug)]
pub(crate) enum State {
    /// Between requests.
    Idle { since: Instant },
    /// In the middle of a request head.
    Head { since: Instant },
    /// In the middle of an exchange.
    Busy(Exchange),
    /// A page was asked for that other workers have a say in.
    Asked { since: Instant },
    /// The response is complete and on its way.
    Delivered { since: Instant },
    /// On the way to another worker.
    Moving(Routed),
    /// On the way back from one, between requests. The memory of the request comes back too: the
    /// home of many callers would else allocate for each request what others free.
    Homeward { since: Instant, memory: Buf },
}

/// What a caller's connection asks for.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing now.
    Wait,
    /// What is in `rx` is a request head, or becomes one.
    Head,
    /// The exchange may go on.
    Exchange,
    /// Nothing keeps the connection here any more: it goes back to the worker that lent it.
    Home(WorkerId),
    /// The caller has left between requests.
    Close,
}

/// What a deadline that passed means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expired {
    /// The caller did not finish its TLS handshake.
    Handshake,
    /// Nobody asked for anything.
    Idle,
    /// The caller did not finish its head.
    Head,
    /// The caller did not go on with its body.
    Body,
    /// The service did not answer.
    Request,
    /// The caller does not take what waits for it, or other workers say nothing.
    Unread,
    /// Nothing waits for the caller: it is the service that does not go on.
    Silent,
}

impl Downstream {
    pub(crate) const fn new(
        peer: SocketAddr,
        forwarded: Forwarded,
        head_bytes: usize,
        now: Instant,
    ) -> Self {
        let http = ServerConn::new(head_bytes);
        let state = State::Idle { since: now };
        let habit = Habit { worker: WorkerId::FIRST, in_a_row: 0 };
        Self {
            http,
            peer,
            forwarded,
            is_turned_away: false,
            home: None,
            lender: None,
            state,
            grown: None,
            taken: 0,
            habit,
        }
    }

    /// The connection belongs to this worker from now on.
    pub(crate) fn set_home(&mut self, worker: WorkerId, homes: &Homes) {
        if self.home == Some(worker) {
            return;
        }
        if let Some(home) = self.home.replace(worker) {
            homes.leave(home);
        }
        homes.enter(worker);
    }

    /// A request goes to an agent of this worker. With its first one a caller's connection belongs there
    /// too: if all stayed where they were accepted, one worker would read for all, and the others sleep
    /// and wake for each request.
    pub(crate) const fn note_worker(&mut self, worker: WorkerId) -> Stay {
        let Habit { worker: last, in_a_row: count } = self.habit;
        let in_a_row = if last.0 == worker.0 { count.saturating_add(1) } else { 1 };
        self.habit = Habit { worker, in_a_row };
        if count == 0 || in_a_row >= SETTLED_AFTER { Stay::Settle } else { Stay::Visit }
    }

    /// Looks at what arrived and what left.
    pub(crate) fn advance(&mut self, io: &Duplex, now: Instant) -> Step {
        if io.is_closing() {
            // Whatever was begun here was given up, and nothing follows.
            return Step::Wait;
        }
        if let State::Homeward { since, .. } = self.state {
            // It became this worker's before it left.
            self.state = State::Idle { since };
        }
        if let State::Delivered { since } = self.state {
            if !io.tx.is_empty() {
                // What it sends meanwhile is no sign that it reads.
                let since = if self.has_taken(&io.tx) { now } else { since };
                self.state = State::Delivered { since };
                return Step::Wait;
            }
            self.http.next();
            self.state = State::Idle { since: now };
        }
        match self.state {
            State::Busy(_) => Step::Exchange,
            State::Asked { .. }
            | State::Delivered { .. }
            | State::Moving(_)
            | State::Homeward { .. } => Step::Wait,
            State::Idle { .. } | State::Head { .. } => self.look_for_head(io, now),
        }
    }

    /// Whether it took some of what waits for it since this was last asked.
    pub(crate) const fn has_taken(&mut self, tx: &Buf) -> bool {
        std::mem::replace(&mut self.taken, tx.taken()) != tx.taken()
    }

    fn look_for_head(&mut self, io: &Duplex, now: Instant) -> Step {
        if io.rx.is_empty() {
            if io.rx_eof {
                return Step::Close;
            }
            let is_idle = matches!(self.state, State::Idle { .. });
            let home = if is_idle { self.lender.take() } else { None };
            return home.map_or(Step::Wait, Step::Home);
        }
        if let State::Idle { .. } = self.state {
            self.state = State::Head { since: now };
        }
        Step::Head
    }

    /// Reads over what is there of the body of a request that nobody gets; how many bytes that is. If it
    /// is all of it, the connection need not end with the answer.
    pub(crate) fn skip_body(&mut self, rx: &[u8]) -> usize {
        let mut used = 0;
        while let Some(rest) = rx.get(used..)
            && let Ok(decoded) = self.http.decode(rest, rest.len())
            && decoded.used > 0
        {
            used += decoded.used;
        }
        used
    }

    /// Whether it is the caller's turn. It is not while its request, all of which is here, is served.
    pub(crate) fn awaits_caller(&self) -> bool {
        match &self.state {
            State::Busy(exchange) => {
                exchange.phase == Phase::Upgraded || !self.http.has_request_ended()
            }
            State::Idle { .. }
            | State::Head { .. }
            | State::Asked { .. }
            | State::Delivered { .. }
            | State::Moving(_)
            | State::Homeward { .. } => true,
        }
    }

    /// When the connection has waited long enough, and for what.
    pub(crate) fn deadline(&self, io: &Duplex, timeouts: &Timeouts) -> (Instant, Expired) {
        match &self.state {
            State::Idle { since } if io.is_handshaking => {
                (*since + timeouts.head, Expired::Handshake)
            }
            State::Idle { since } | State::Homeward { since, .. } => {
                (*since + timeouts.idle, Expired::Idle)
            }
            State::Head { since } => (*since + timeouts.head, Expired::Head),
            State::Delivered { since } => (*since + timeouts.send, Expired::Unread),
            State::Asked { since } => (*since + timeouts.head, Expired::Unread),
            State::Moving(routed) => (routed.since + timeouts.request, Expired::Unread),
            State::Busy(exchange) if !io.tx.is_empty() => {
                (exchange.moved + timeouts.send, Expired::Unread)
            }
            State::Busy(exchange) => match exchange.phase {
                Phase::Waiting => {
                    let is_callers_turn = !self.http.has_request_ended()
                        && (io.rx.is_empty() || exchange.is_starved)
                        && !self.is_kept_waiting(exchange);
                    let expired = if is_callers_turn { Expired::Body } else { Expired::Request };
                    (exchange.moved + timeouts.request, expired)
                }
                Phase::Responding { .. } | Phase::Upgraded => {
                    (exchange.moved + timeouts.stream_idle, Expired::Silent)
                }
            },
        }
    }

    /// Whether it is the service's turn: the caller sends the body once it is asked for it.
    pub(crate) const fn is_kept_waiting(&self, exchange: &Exchange) -> bool {
        self.http.awaits_continue() && exchange.request_bytes == 0
    }
}

impl Ingress {
    /// Somebody connects to the port for requests.
    pub(crate) fn accept_caller(&mut self, peer: SocketAddr) -> Option<ConnId> {
        let arrival = self.callers.arrived(peer.ip(), &self.config.limits);
        match arrival {
            Arrival::Admitted => self.metrics.connections += 1,
            Arrival::TurnedAway => self.metrics.connections_refused += 1,
            Arrival::Dropped => {
                self.metrics.connections_refused += 1;
                return None;
            }
        }
        let head_bytes = self.config.limits.head_bytes;
        let io = Duplex::new(RX_BYTES_MAX.max(head_bytes));
        let proto = match self.config.traffic_security {
            Security::Plain => Proto::Http,
            Security::Tls => Proto::Https,
        };
        let forwarded = Forwarded::new(peer.ip(), proto, self.config.traffic_port);
        let downstream = Downstream::new(peer, forwarded, head_bytes, self.now);
        let conn = self.conns.insert(io, Conn::Downstream(downstream));
        if arrival == Arrival::TurnedAway {
            self.turn_away(conn);
        }
        Some(conn)
    }

    /// A caller's connection and its bytes, touched.
    pub(crate) fn downstream(&mut self, conn: ConnId) -> Option<(&mut Downstream, &mut Duplex)> {
        match self.conns.get_mut(conn)? {
            Connection { io, state: Conn::Downstream(downstream) } => Some((downstream, io)),
            Connection {
                state: Conn::Admin(_) | Conn::Registration(_) | Conn::Tunnel | Conn::Moving(_),
                ..
            } => None,
        }
    }
}
