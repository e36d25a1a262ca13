//! One tunnel of a registered agent: its link, what came with it, and how it fares.

mod outliers;
mod serving;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh_protocol::control::{Health, Hello, shorten};
use mesh_protocol::{ConnId, Link};

use crate::admission::Standing;
use crate::application::Applicant;
use crate::gauge::{Gauge, Reading};

pub use outliers::Ejected;
use outliers::Outliers;

/// Names a tunnel: the connection it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelId(pub(crate) ConnId);

impl TunnelId {
    /// The connection the tunnel runs on.
    #[must_use]
    pub const fn conn(self) -> ConnId {
        self.0
    }
}

/// Names a tunnel in all workers, and never another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(pub u64);

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names an agent in all workers, by the first of its tunnels that were there together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(pub Serial);

/// A registered agent's tunnel, perhaps one of several.
#[derive(Debug)]
pub struct Tunnel {
    /// The streams and signs of life.
    pub link: Link,
    /// Its number in this process.
    pub serial: Serial,
    /// Whose it is.
    pub agent: AgentId,
    /// What the agent said of itself; its hosts are normalised patterns.
    pub hello: Hello,
    /// The service that it named there, for whoever outlives it.
    pub service: Arc<str>,
    /// Where it connected from.
    pub peer: SocketAddr,
    /// By what right it is registered.
    pub standing: Standing,
    /// When its agent introduced itself. Decisions need not come in the order of introductions.
    pub introduced: Instant,
    /// When it was registered.
    pub since: Instant,
    /// How much earlier than others its agent is asked for another proof.
    pub(crate) renewal_head_start: Duration,
    /// The state of the service behind it, as the agent sees it.
    pub is_healthy: bool,
    /// Whether it was healthy at any time, here or on another tunnel of the same agent.
    pub was_healthy: bool,
    /// Why the service is in that state, in the agent's words.
    pub health_reason: String,
    /// When the log was last told that it changed.
    health_logged: Option<Instant>,
    /// Whether the agent gets no new requests because it is about to leave: it said so, or its registration
    /// is being withdrawn.
    pub is_draining: bool,
    /// Whether the agent was asked to open another tunnel.
    pub was_told_to_move: bool,
    /// The one that has come in its place, if there is one.
    pub successor: Successor,
    /// If its agent has said that it leaves, and has nothing under way.
    unused: Option<Unused>,
    /// Requests it was given so far.
    pub requests: u64,
    /// What other workers know of it; none where there are no others.
    pub gauge: Option<Arc<Gauge>>,
    outliers: Outliers,
}

/// How it is known that another tunnel has come in place of one. That gets what is new, and the old
/// one ends after its last stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Successor {
    /// There is none.
    None,
    /// It was found: its agent has opened one that is to have the same place.
    Found,
    /// The agent says so: it may have proved to be somebody else by then.
    Announced,
}

/// A tunnel without use.
#[derive(Debug, Clone, Copy)]
struct Unused {
    since: Instant,
    /// How many requests it had had by then.
    requests: u64,
}

/// Between two lines in the log about one service. An honest agent looks twice, a second apart,
/// before it believes in a change, and a hostile one could fill the disk.
const HEALTH_PAUSE: Duration = Duration::from_secs(1);
/// What is kept of an agent's words about its service.
const REASON_CHARS_MAX: usize = 256;

impl Tunnel {
    /// A tunnel whose registration is just accepted.
    pub(crate) fn new(
        link: Link,
        serial: Serial,
        agent: AgentId,
        applicant: Applicant,
        peer: SocketAddr,
        standing: Standing,
        now: Instant,
    ) -> Self {
        let Applicant { hello, introduced, .. } = applicant;
        let is_healthy = hello.healthy;
        Self {
            link,
            serial,
            agent,
            service: hello.service.as_str().into(),
            hello,
            peer,
            standing,
            introduced,
            since: now,
            renewal_head_start: Duration::ZERO,
            is_healthy,
            was_healthy: is_healthy,
            health_reason: String::new(),
            health_logged: None,
            is_draining: false,
            was_told_to_move: false,
            successor: Successor::None,
            unused: None,
            requests: 0,
            gauge: None,
            outliers: Outliers::default(),
        }
    }

    /// The agent says how the service behind it is.
    pub fn note_health(&mut self, health: Health, now: Instant) {
        let has_changed = health.healthy != self.is_healthy;
        self.is_healthy = health.healthy;
        self.was_healthy |= self.is_healthy;
        shorten(&health.reason, REASON_CHARS_MAX).clone_into(&mut self.health_reason);
        if !has_changed {
            return;
        }
        if self.health_logged.is_some_and(|at| now.saturating_duration_since(at) < HEALTH_PAUSE) {
            return log::debug!("{self}: healthy: {} (flapping)", self.is_healthy);
        }
        self.health_logged = Some(now);
        if self.is_healthy {
            log::info!("{self}: the service is healthy");
        } else {
            log::warn!("{self}: the service is unhealthy: {:?}", self.health_reason);
        }
    }

    /// The agent says that it is about to leave.
    pub fn note_draining(&mut self) {
        if !std::mem::replace(&mut self.is_draining, true) {
            log::info!("{self}: the agent is draining");
        }
    }

    /// Another one has come in place of this one. Nothing new goes to this one, as soon as the other
    /// one is known: not every worker may know that yet.
    pub fn note_successor(&mut self, successor: Successor) {
        if !self.is_replaced() {
            log::info!("{self}: its agent has replaced it");
        }
        self.successor = self.successor.max(successor);
    }

    /// Whether another one has come in its place.
    #[must_use]
    pub const fn is_replaced(&self) -> bool {
        !matches!(self.successor, Successor::None)
    }

    /// Whether new requests may go to it.
    #[must_use]
    pub const fn takes_requests(&self) -> bool {
        self.is_healthy && !self.is_leaving()
    }

    /// Whether its agent is about to leave: it said so itself, or ECS did.
    #[must_use]
    pub const fn is_leaving(&self) -> bool {
        self.is_draining || matches!(&self.standing.ecs, Some(ecs) if ecs.is_leaving)
    }

    /// Whether it is there to stay: its agent is not to open another one, has none in its place,
    /// and is not about to leave.
    #[must_use]
    pub const fn lasts(&self) -> bool {
        !self.was_told_to_move && !self.is_replaced() && !self.is_leaving()
    }

    /// Notes whether it is in use, and tells for how long it was not since its agent said that it leaves. One
    /// that was told to move may take its time, and its end is known.
    pub fn note_use(&mut self, now: Instant) -> Duration {
        let is_to_end = self.is_draining || (self.is_replaced() && !self.was_told_to_move);
        let requests = self.requests;
        let was_used = self.unused.is_some_and(|unused| unused.requests != requests);
        if !is_to_end || self.in_flight() > 0 || was_used {
            self.unused = None;
            return Duration::ZERO;
        }
        let Unused { since, .. } = *self.unused.get_or_insert(Unused { since: now, requests });
        now.saturating_duration_since(since)
    }

    /// Whether its hosts are not for others, although it may take no requests now: its service was healthy
    /// once, and its agent is not about to leave.
    #[must_use]
    pub const fn holds_hosts(&self) -> bool {
        self.was_healthy && !self.is_leaving()
    }

    /// Whether it may carry one more request now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.link.session.has_room()
    }

    /// Requests it carries.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.link.session.len()
    }

    /// Requests it carries, and those on their way to it from other workers.
    #[must_use]
    pub fn load(&self) -> usize {
        self.in_flight() + self.gauge.as_ref().map_or(0, |gauge| gauge.reserved())
    }

    /// What other workers may know.
    #[must_use]
    pub fn reading(&self) -> Reading {
        Reading {
            in_flight: self.in_flight(),
            takes_requests: self.takes_requests(),
            has_room: self.has_room(),
            lasts: self.lasts(),
            holds_hosts: self.holds_hosts(),
            is_replaced: self.is_replaced(),
            ejected_until: self.outliers.ejected_until,
        }
    }

    /// Lets other workers know how it fares now.
    pub fn publish(&self) {
        if let Some(gauge) = &self.gauge {
            gauge.publish(&self.reading());
        }
    }

    /// Whether it failed so often that others are better.
    #[must_use]
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.outliers.is_ejected(now)
    }

    /// The service answered, whatever it said.
    pub fn succeeded(&mut self) {
        self.outliers = Outliers::default();
    }

    /// The service could not be reached or broke. Says whether this ejects the agent.
    pub fn failed(&mut self, now: Instant) -> Ejected {
        self.outliers.failed(now)
    }
}

/// For the log, which is to say by itself whose a tunnel is: the line that has all of its hosts may be hours old.
impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tunnel {}", self.serial)?;
        match &*self.hello.hosts {
            [] => Ok(()),
            [host] => write!(f, " ({host})"),
            [host, more @ ..] => write!(f, " ({host} and {} more)", more.len()),
        }
    }
}

/// All tunnels.
#[derive(Debug, Default)]
pub struct Tunnels {
    /// By the slot of their connection.
    slots: Vec<Option<(TunnelId, Box<Tunnel>)>>,
    count: usize,
}

impl Tunnels {
    /// Takes a tunnel in.
    pub fn insert(&mut self, id: TunnelId, tunnel: Tunnel) {
        if id.0.index() >= self.slots.len() {
            self.slots.resize_with(id.0.index() + 1, || None);
        }
        let slot = &mut self.slots[id.0.index()];
        debug_assert!(slot.is_none(), "a connection is one tunnel at most");
        *slot = Some((id, Box::new(tunnel)));
        self.count += 1;
    }

    /// Takes a tunnel out.
    pub fn remove(&mut self, id: TunnelId) -> Option<Tunnel> {
        let slot = self.slots.get_mut(id.0.index())?;
        let (_, tunnel) = slot.take_if(|(owner, _)| *owner == id)?;
        self.count -= 1;
        Some(*tunnel)
    }

    /// A tunnel, to be looked at.
    #[must_use]
    pub fn get(&self, id: TunnelId) -> Option<&Tunnel> {
        let (owner, tunnel) = self.slots.get(id.0.index())?.as_ref()?;
        (*owner == id).then_some(tunnel)
    }

    /// A tunnel, to be worked on. What it is to send is sent only once its connection is touched.
    pub fn get_mut(&mut self, id: TunnelId) -> Option<&mut Tunnel> {
        let (owner, tunnel) = self.slots.get_mut(id.0.index())?.as_mut()?;
        (*owner == id).then_some(tunnel)
    }

    /// All tunnels.
    pub fn iter(&self) -> impl Iterator<Item = (TunnelId, &Tunnel)> {
        self.slots.iter().flatten().map(|(id, tunnel)| (*id, &**tunnel))
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
pub(crate) mod tests;
