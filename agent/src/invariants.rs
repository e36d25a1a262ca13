//! What holds between any two turns of an agent, and a census of what it holds. The simulation
//! asks for both after each turn.

use std::collections::HashSet;

use mesh_protocol::ConnId;

use crate::agent::{Agent, Conn, Dial};
use crate::exchange::{self, Exchange};
use crate::tunnel::{Phase, TunnelId};
use crate::upstream::State;

/// Bytes that one byte in a chunk of its own takes.
const CHUNKED: usize = "1\r\nx\r\n".len();
/// Heads that may wait besides body bytes.
const HEADS: usize = 128 * 1024;

/// How much there is of everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Connections of any kind.
    pub connections: usize,
    /// Tunnels, whether they serve already or not.
    pub tunnels: usize,
    /// Streams open on all tunnels.
    pub streams: usize,
    /// Connections to the service that carry a request.
    pub busy: usize,
    /// Connections to the service that wait for a request.
    pub idle: usize,
    /// The most bytes that wait for one connection to the service.
    pub upstream_tx: usize,
    /// The most bytes that wait for one tunnel, whether as bytes or as frames.
    pub tunnel_tx: usize,
}

impl Census {
    /// That of two workers together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            connections: self.connections + other.connections,
            tunnels: self.tunnels + other.tunnels,
            streams: self.streams + other.streams,
            busy: self.busy + other.busy,
            idle: self.idle + other.idle,
            upstream_tx: self.upstream_tx.max(other.upstream_tx),
            tunnel_tx: self.tunnel_tx.max(other.tunnel_tx),
        }
    }
}

impl Agent {
    /// Counts everything.
    #[must_use]
    pub fn census(&self) -> Census {
        let mut census = Census {
            connections: self.conns.len(),
            tunnels: self.tunnels.len(),
            idle: self.pool.len(),
            ..Census::default()
        };
        for (conn, connection) in self.conns.iter() {
            let waiting = connection.io.tx.len();
            match &connection.state {
                Conn::Upstream(upstream) => {
                    census.busy += usize::from(matches!(upstream.state, State::Busy(_)));
                    census.upstream_tx = census.upstream_tx.max(waiting);
                }
                Conn::Tunnel => {
                    let (streams, pending) = self.tunnel_load(TunnelId(conn));
                    census.streams += streams;
                    census.tunnel_tx = census.tunnel_tx.max(waiting + pending);
                }
                Conn::Probe(_) | Conn::Moving(_) | Conn::Visitor(_) => {}
            }
        }
        census
    }

    /// Streams and waiting bytes of frames of a tunnel.
    fn tunnel_load(&self, id: TunnelId) -> (usize, usize) {
        let link = self.tunnels.get(&id).and_then(|tunnel| tunnel.link());
        link.map_or((0, 0), |link| (link.session.len(), link.session.pending_bytes()))
    }

    /// Compares what is kept in several places.
    ///
    /// # Panics
    /// When it does not agree.
    pub fn check_invariants(&self) {
        assert!(!self.conns.has_touched(), "a touched connection was not served");
        let mut idle = HashSet::new();
        for (conn, connection) in self.conns.iter() {
            assert!(connection.io.rx.len() <= connection.io.rx_limit, "more was read than wanted");
            if let Conn::Moving(_) = &connection.state {
                assert!(connection.io.is_closing(), "what belongs to another worker stays");
            }
            let Conn::Upstream(upstream) = &connection.state else { continue };
            match &upstream.state {
                State::Idle { .. } => {
                    assert!(upstream.grown.is_none(), "a kept connection holds growth of windows");
                    idle.insert(conn);
                }
                State::Busy(exchange) => self.check_exchange(conn, exchange),
                State::Spent { .. } => {
                    assert!(connection.io.is_closing(), "a spent connection goes on");
                }
            }
        }
        let pooled: HashSet<_> = self.pool.iter().collect();
        assert_eq!(pooled, idle, "idle connections are those in the pool");
        assert_eq!(self.pool.len(), idle.len(), "twice in the pool");
        assert!(self.outgoing.is_empty(), "something for another worker was not fetched");
        self.check_tunnels();
    }

    fn check_exchange(&self, conn: ConnId, exchange: &Exchange) {
        let session = match self.tunnels.get(&exchange.tunnel).map(|tunnel| &tunnel.phase) {
            Some(Phase::Serving(link)) => Some(&link.session),
            Some(_) | None => None,
        };
        let owner = session.and_then(|session| session.owner(exchange.stream));
        // When both directions of an upgraded connection have ended, only the service is left.
        let may_have_ended = exchange.phase == exchange::Phase::Upgraded && owner.is_none();
        assert!(owner == Some(conn) || may_have_ended, "an exchange without a stream");
        if let Some(owed) = session.and_then(|session| session.unreleased(exchange.stream)) {
            let waiting = self.conns.get(conn).map_or(0, |connection| connection.io.tx.len());
            let most = CHUNKED * owed as usize + HEADS;
            assert!(waiting <= most, "{waiting} bytes wait, and their credit was returned");
        }
    }

    fn check_tunnels(&self) {
        for slot in &self.slots {
            if let Dial::Tunnel(serial) = slot.dial {
                assert!(self.ledger.has(serial), "the tunnel that serves is gone");
            }
        }
        if self.workers.is_first() {
            let mut own: Vec<_> = self.tunnels.values().map(|tunnel| tunnel.serial).collect();
            own.sort_unstable();
            let moving = self.conns.iter().filter_map(|(_, connection)| match &connection.state {
                Conn::Moving(tunnel) => Some(tunnel.serial),
                Conn::Tunnel | Conn::Upstream(_) | Conn::Probe(_) | Conn::Visitor(_) => None,
            });
            assert!(moving.into_iter().all(|serial| self.ledger.has(serial)), "forgotten");
            assert_eq!(self.ledger.at(self.workers.own), own, "the tunnels of the first worker");
        }
        for (id, tunnel) in &self.tunnels {
            assert!(self.conns.get(id.conn()).is_some(), "a tunnel without a connection");
            let Some(link) = tunnel.link() else { continue };
            for (stream, owner) in link.session.owners() {
                let exchange = match self.conns.state(owner) {
                    Some(Conn::Upstream(upstream)) => match &upstream.state {
                        State::Busy(exchange) => Some(exchange),
                        State::Idle { .. } | State::Spent { .. } => None,
                    },
                    Some(Conn::Tunnel | Conn::Moving(_) | Conn::Probe(_) | Conn::Visitor(_))
                    | None => None,
                };
                let of_stream = exchange.map(|exchange| (exchange.tunnel, exchange.stream));
                assert_eq!(of_stream, Some((*id, stream)), "a stream without its exchange");
            }
        }
    }
}
