//! What holds between any two turns of an ingress, and a census of what it holds. The simulation
//! asks for both after each turn.

use std::collections::BTreeSet;

use mesh_protocol::{ConnId, Connection};

use crate::downstream::{Downstream, State};
use crate::exchange::{Exchange, Phase};
use crate::ingress::{Conn, Ingress};
use crate::routes::{Candidate, Place};
use crate::tunnel::TunnelId;

/// Bytes that one byte in a chunk of its own takes.
const CHUNKED: usize = "1\r\nx\r\n".len();
/// Heads that may wait besides body bytes.
const HEADS: usize = 128 * 1024;

/// How much there is of everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Connections of any kind.
    pub connections: usize,
    /// Callers' connections, as the first worker counts those of all.
    pub callers: usize,
    /// Callers' connections that are at this worker.
    pub downstreams: usize,
    /// Callers' connections that count as this worker's, those on their way to it included.
    pub residents: usize,
    /// Exchanges in progress.
    pub in_flight: usize,
    /// Callers on their way to a tunnel of this worker.
    pub reserved: usize,
    /// Registered agents.
    pub tunnels: usize,
    /// Those of them that take requests.
    pub healthy: usize,
    /// Streams open on all tunnels.
    pub streams: usize,
    /// Places that agents have in routes.
    pub candidates: usize,
    /// The bytes that wait for all callers.
    pub callers_tx: usize,
    /// The bytes that wait for those who asked for a page.
    pub pages_tx: usize,
    /// The most bytes that wait for one tunnel, whether as bytes or as frames.
    pub tunnel_tx: usize,
    /// The most unread bytes of an agent that is not registered.
    pub registration_rx: usize,
}

impl Census {
    /// That of two workers together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            connections: self.connections + other.connections,
            callers: self.callers + other.callers,
            downstreams: self.downstreams + other.downstreams,
            residents: self.residents + other.residents,
            in_flight: self.in_flight + other.in_flight,
            reserved: self.reserved + other.reserved,
            tunnels: self.tunnels + other.tunnels,
            healthy: self.healthy + other.healthy,
            streams: self.streams + other.streams,
            candidates: self.candidates + other.candidates,
            callers_tx: self.callers_tx + other.callers_tx,
            pages_tx: self.pages_tx + other.pages_tx,
            tunnel_tx: self.tunnel_tx.max(other.tunnel_tx),
            registration_rx: self.registration_rx.max(other.registration_rx),
        }
    }
}

impl Ingress {
    /// Counts everything.
    #[must_use]
    pub fn census(&self) -> Census {
        let mut census = Census {
            connections: self.conns.len(),
            callers: self.callers.total(),
            residents: self.workers.homes.at(self.workers.own),
            in_flight: self.in_flight,
            reserved: self
                .tunnels
                .iter()
                .filter_map(|(_, one)| Some(one.gauge.as_ref()?.reserved()))
                .sum(),
            tunnels: self.tunnels.len(),
            healthy: self.tunnels.iter().filter(|(_, tunnel)| tunnel.takes_requests()).count(),
            candidates: self
                .routes
                .iter()
                .flat_map(|route| &route.candidates)
                .filter(is_here)
                .count(),
            ..Census::default()
        };
        for (conn, connection) in self.conns.iter() {
            let waiting = connection.io.tx.len();
            match connection.state {
                Conn::Downstream(_) => {
                    census.downstreams += 1;
                    census.callers_tx += waiting;
                }
                Conn::Tunnel => {
                    let session = self.tunnels.get(TunnelId(conn)).map(|one| &one.link.session);
                    let pending = session.map_or(0, |session| session.pending_bytes());
                    census.tunnel_tx = census.tunnel_tx.max(waiting + pending);
                    census.streams += session.map_or(0, |session| session.len());
                }
                Conn::Registration(_) => {
                    census.registration_rx = census.registration_rx.max(connection.io.rx.len());
                }
                Conn::Admin(_) => census.pages_tx += waiting,
                Conn::Moving(_) => {}
            }
        }
        census
    }

    /// Compares what is kept in several places.
    ///
    /// # Panics
    /// When it does not agree.
    pub fn check_invariants(&self) {
        assert!(!self.conns.has_touched(), "a touched connection was not served");
        let (mut callers, mut busy, mut residents) = (0, 0, 0);
        let (mut others, mut registering) = (0, 0);
        for (conn, connection) in self.conns.iter() {
            assert!(connection.io.rx.len() <= connection.io.rx_limit, "more was read than wanted");
            match &connection.state {
                Conn::Downstream(downstream) => {
                    callers += 1;
                    residents += usize::from(downstream.home == Some(self.workers.own));
                    busy += usize::from(matches!(downstream.state, State::Busy(_)));
                    self.check_downstream(conn, downstream);
                }
                Conn::Admin(_) => others += 1,
                Conn::Registration(registration) => {
                    others += 1;
                    registering += usize::from(!registration.is_over());
                }
                Conn::Tunnel => self.check_tunnel(TunnelId(conn), connection),
                Conn::Moving(_) => self.check_leaving(connection),
            }
        }
        // Callers that other workers have are counted by the first.
        let counts_all = self.workers.count > 1;
        assert!(
            counts_all || self.callers.total() == callers,
            "callers' connections: {callers}, counted: {}",
            self.callers.total(),
        );
        assert!(self.outgoing.is_empty(), "something for another worker was not fetched");
        let counted = self.workers.homes.at(self.workers.own);
        assert!(counted >= residents, "{residents} callers are at home here, not {counted}");
        assert_eq!(self.in_flight, busy, "exchanges in flight");
        assert_eq!(self.others, others, "connections besides callers' and tunnels");
        assert_eq!(self.registering, registering, "connections that may become tunnels");
        self.check_routes();
    }

    fn check_downstream(&self, conn: ConnId, downstream: &Downstream) {
        let State::Busy(exchange) = &downstream.state else {
            if let State::Moving(_) = &downstream.state
                && let Some(connection) = self.conns.get(conn)
            {
                self.check_leaving(connection);
            }
            return;
        };
        let is_home = downstream.home == Some(self.workers.own);
        assert!(is_home || downstream.lender.is_some(), "a request without a home");
        let tunnel = self.tunnels.get(exchange.tunnel);
        let owner = tunnel.and_then(|tunnel| tunnel.link.session.owner(exchange.stream));
        assert!(owner == Some(conn) || has_ended(exchange, owner), "an exchange without a stream");
        let session = tunnel.map(|tunnel| &tunnel.link.session);
        if let Some(owed) = session.and_then(|session| session.unreleased(exchange.stream)) {
            let waiting = self.conns.get(conn).map_or(0, |connection| connection.io.tx.len());
            let most = CHUNKED * owed as usize + HEADS;
            assert!(waiting <= most, "{waiting} bytes wait, and their credit was returned");
        }
    }

    fn check_tunnel(&self, id: TunnelId, connection: &Connection<Conn>) {
        let Some(tunnel) = self.tunnels.get(id) else {
            return assert!(connection.io.is_closing(), "a lost tunnel's connection goes on");
        };
        if let Some(gauge) = &tunnel.gauge {
            let reading = tunnel.reading();
            assert!(
                gauge.agrees_with(&reading),
                "other workers see {gauge:?}, which is {reading:?}"
            );
        }
        for (stream, owner) in tunnel.link.session.owners() {
            let Some((_, exchange)) = self.busy(owner) else {
                panic!("stream {} has no exchange", stream.number());
            };
            assert_eq!((exchange.tunnel, exchange.stream), (id, stream), "another one's stream");
        }
    }

    /// What is on its way to another worker leaves at once, unless it is closing.
    fn check_leaving(&self, connection: &Connection<Conn>) {
        let own = self.workers.own;
        assert!(connection.io.is_closing(), "what belongs to another worker stays at {own:?}");
    }

    fn check_routes(&self) {
        let (mut places, mut elsewhere) = (0, 0);
        for route in self.routes.iter() {
            let mut agents: Vec<_> = route.candidates.iter().map(|one| one.agent).collect();
            agents.dedup();
            let distinct: BTreeSet<_> = agents.iter().collect();
            assert_eq!(distinct.len(), agents.len(), "the tunnels of an agent lie scattered");
            for candidate in &route.candidates {
                let Place::Here(id) = &candidate.place else {
                    elsewhere += 1;
                    let remote = self.workers.remotes.get(&candidate.serial);
                    let remote = remote.expect("routes name live tunnels only");
                    assert!(remote.hosts.iter().any(|host| **host == *route.pattern));
                    assert_eq!(remote.agent, candidate.agent, "another agent's place");
                    continue;
                };
                places += 1;
                let tunnel = self.tunnels.get(*id).expect("routes name live tunnels only");
                assert_eq!(tunnel.serial, candidate.serial, "another tunnel's place");
                assert_eq!(tunnel.agent, candidate.agent, "another agent's place");
                let claims = tunnel.hello.hosts.iter().any(|host| **host == *route.pattern);
                assert!(claims, "a route to an agent that did not ask for it");
            }
        }
        let claimed: usize = self.tunnels.iter().map(|(_, tunnel)| tunnel.hello.hosts.len()).sum();
        assert_eq!(places, claimed, "places in routes");
        let remotes = self.workers.remotes.values();
        let claimed: usize = remotes.map(|remote| remote.hosts.len()).sum();
        assert_eq!(elsewhere, claimed, "places of other workers' tunnels in routes");
    }
}

fn is_here(candidate: &&Candidate) -> bool {
    matches!(candidate.place, Place::Here(_))
}

/// Whether both directions of an upgraded connection have ended: only its caller is still there.
fn has_ended(exchange: &Exchange, owner: Option<ConnId>) -> bool {
    exchange.phase == Phase::Upgraded && owner.is_none()
}
