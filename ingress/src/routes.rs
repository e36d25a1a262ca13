//! Which agents serve which host.
//!
//! Exact names beat `*.suffix`, longer suffixes beat shorter ones, and those beat `*`. A host that
//! was ever claimed stays known when its last agent leaves: its callers are told to come back (503),
//! not that there is no such host (404). When too many are known, those are forgotten that
//! have been without an agent for longest.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use mesh_protocol::WorkerId;

use crate::gauge::Gauge;
use crate::tunnel::{AgentId, Serial, TunnelId};

/// All routes, by host pattern.
#[derive(Debug, Default)]
pub struct Routes {
    by_pattern: HashMap<Box<str>, RouteId>,
    slots: Vec<Slot>,
    /// Slots whose route was forgotten; the last one is used first.
    free: Vec<u32>,
    /// Routes without any agent, by when they lost the last one, counted in such losses.
    vacant: BTreeSet<(u64, RouteId)>,
    losses: u64,
}

/// Where a route may be.
#[derive(Debug)]
struct Slot {
    /// How many routes were forgotten here.
    generation: u32,
    route: Option<Route>,
}

/// Names a route for the life of the process, and the same one in all workers: each learns and
/// forgets all patterns, and in the same order. After its route was forgotten it names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId {
    slot: u32,
    generation: u32,
}

/// One host pattern and who serves it.
#[derive(Debug)]
pub struct Route {
    /// The pattern, in lower case: `name`, `*.suffix` or `*`.
    pub pattern: Box<str>,
    /// The service that its last agent named.
    pub service: Arc<str>,
    /// The tunnels whose agents registered it, those of one agent side by side, else in the order of
    /// their registration.
    pub candidates: Vec<Candidate>,
    /// Whether the log was told that its agents name different services.
    is_mixed: bool,
    /// When it lost its last agent, as in [`Routes::vacant`]; none while it has one.
    vacant_since: Option<u64>,
}

impl Route {
    /// The tunnels by agent.
    pub fn agents(&self) -> impl Iterator<Item = &[Candidate]> {
        agents(&self.candidates)
    }

    /// Whether an agent of this service is there.
    #[must_use]
    pub fn has_agent_of(&self, service: &str) -> bool {
        self.candidates.iter().any(|one| *one.service == *service)
    }
}

/// Candidates by agent.
pub(crate) fn agents(candidates: &[Candidate]) -> impl Iterator<Item = &[Candidate]> {
    candidates.chunk_by(|one, next| one.agent == next.agent)
}

/// The agent whose first candidate is at this index; none when another one's is, or a further one of it.
pub(crate) fn agent_from(candidates: &[Candidate], index: usize) -> Option<&[Candidate]> {
    let is_first = index == 0 || candidates[index - 1].agent != candidates.get(index)?.agent;
    agents(&candidates[index..]).next().filter(|_| is_first)
}

/// A tunnel that may get a request.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its number in this process.
    pub serial: Serial,
    /// Whose it is.
    pub agent: AgentId,
    /// The service that the agent named.
    pub service: Arc<str>,
    /// Where it is.
    pub place: Place,
}

/// Where a tunnel is.
#[derive(Debug, Clone)]
pub enum Place {
    /// At this worker.
    Here(TunnelId),
    /// At another one, which alone knows more of it than this.
    There(WorkerId, Arc<Gauge>),
}

/// The longest DNS name (RFC 1035 2.3.4).
pub(crate) const HOST_BYTES_MAX: usize = 253;

impl Routes {
    /// Adds a tunnel to a pattern that [`normalize`] returned.
    pub fn add(&mut self, pattern: &str, candidate: Candidate) {
        let id = self.learn(pattern, &candidate.service);
        let Some(route) = self.route_mut(id) else { return };
        let candidates = &mut route.candidates;
        let last = candidates.iter().rposition(|one| one.agent == candidate.agent);
        candidates.insert(last.map_or(candidates.len(), |last| last + 1), candidate);
        if let Some(since) = route.vacant_since.take() {
            self.vacant.remove(&(since, id));
        }
    }

    /// Makes sure that a pattern is known, for a service. How many there may be is a matter of those that
    /// let agents in: see [`Self::vacancies`].
    pub(crate) fn learn(&mut self, pattern: &str, service: &Arc<str>) -> RouteId {
        if let Some(id) = self.by_pattern.get(pattern).copied() {
            if let Some(route) = self.route_mut(id) {
                route.service = Arc::clone(service);
            }
            return id;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, route: None });
            u32::try_from(self.slots.len() - 1).expect("the bound on routes is far below")
        });
        let Slot { generation, route } = &mut self.slots[slot as usize];
        let id = RouteId { slot, generation: *generation };
        self.losses += 1;
        *route = Some(Route {
            pattern: pattern.into(),
            service: Arc::clone(service),
            candidates: Vec::new(),
            is_mixed: false,
            vacant_since: Some(self.losses),
        });
        self.vacant.insert((self.losses, id));
        self.by_pattern.insert(pattern.into(), id);
        id
    }

    /// Takes a tunnel out of a pattern.
    pub fn remove(&mut self, pattern: &str, tunnel: Serial) {
        let Some(id) = self.by_pattern.get(pattern).copied() else { return };
        let losses = self.losses + 1;
        let Some(route) = self.route_mut(id) else { return };
        route.candidates.retain(|candidate| candidate.serial != tunnel);
        if route.candidates.is_empty() && route.vacant_since.is_none() {
            route.vacant_since = Some(losses);
            self.losses = losses;
            self.vacant.insert((losses, id));
        }
    }

    /// Which routes have to be forgotten so that these patterns can be learned and no more than `max` are
    /// known; `None` when too few of them are without an agent.
    pub(crate) fn vacancies(&self, patterns: &[String], max: usize) -> Option<Vec<RouteId>> {
        let is_new = |pattern: &&String| !self.by_pattern.contains_key(pattern.as_str());
        let wanted = self.by_pattern.len() + patterns.iter().filter(is_new).count();
        let lacking = wanted.saturating_sub(max);
        if lacking == 0 {
            return Some(Vec::new());
        }
        let is_wanted = |id: RouteId| {
            let route = self.get(id);
            route.is_some_and(|route| patterns.iter().any(|one| **one == *route.pattern))
        };
        let vacant = self.vacant.iter().map(|(_, id)| *id).filter(|id| !is_wanted(*id));
        let vacant: Vec<_> = vacant.take(lacking).collect();
        (vacant.len() == lacking).then_some(vacant)
    }

    /// Forgets a pattern, and says who served it.
    pub(crate) fn forget(&mut self, id: RouteId) -> Vec<Candidate> {
        let Some(slot) = self.slots.get_mut(id.slot as usize) else { return Vec::new() };
        if slot.generation != id.generation {
            return Vec::new();
        }
        let Some(route) = slot.route.take() else { return Vec::new() };
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        self.by_pattern.remove(&route.pattern);
        if let Some(since) = route.vacant_since {
            self.vacant.remove(&(since, id));
        }
        route.candidates
    }

    /// The route of exactly this pattern.
    pub(crate) fn of_pattern(&self, pattern: &str) -> Option<(RouteId, &Route)> {
        let id = self.by_pattern.get(pattern).copied()?;
        Some((id, self.get(id)?))
    }

    /// An agent of this service comes to a pattern: which other one is there, if that is to be told. It is
    /// told once.
    pub(crate) fn note_service(&mut self, pattern: &str, service: &str) -> Option<Arc<str>> {
        let id = self.by_pattern.get(pattern).copied()?;
        let route = self.route_mut(id)?;
        let is_other = |name: &str| !service.is_empty() && !name.is_empty() && *name != *service;
        let mut services = route.candidates.iter().map(|one| &one.service);
        let other = Arc::clone(services.find(|name| is_other(name))?);
        (!std::mem::replace(&mut route.is_mixed, true)).then_some(other)
    }

    /// How long a route has been without an agent, as an order among such routes: less is longer.
    pub(crate) fn vacant_since(&self, id: RouteId) -> Option<u64> {
        self.get(id)?.vacant_since
    }

    /// The best route for the host of a request (`host` or `host:port`). Patterns without any
    /// agent give way to less specific ones, and are found only when nothing else is.
    #[must_use]
    pub fn lookup(&self, host: &str) -> Option<RouteId> {
        let mut buffer = [0; HOST_BYTES_MAX];
        let name = name_of(host, &mut buffer)?;
        self.matching(name).find(|id| self.has_agents(*id)).or_else(|| self.matching(name).next())
    }

    /// The next less specific route for the host of a request that has agents.
    #[must_use]
    pub fn lookup_after(&self, route: RouteId, host: &str) -> Option<RouteId> {
        let mut buffer = [0; HOST_BYTES_MAX];
        let name = name_of(host, &mut buffer)?;
        let mut rest = self.matching(name).skip_while(|id| *id != route).skip(1);
        rest.find(|id| self.has_agents(*id))
    }

    /// The routes for a name, best first.
    fn matching(&self, name: &str) -> impl Iterator<Item = RouteId> {
        patterns(name).filter_map(|pattern| self.find(pattern))
    }

    fn has_agents(&self, id: RouteId) -> bool {
        self.get(id).is_some_and(|route| !route.candidates.is_empty())
    }

    /// A route by its id; none when it was forgotten.
    #[must_use]
    pub fn get(&self, id: RouteId) -> Option<&Route> {
        let slot = self.slots.get(id.slot as usize)?;
        slot.route.as_ref().filter(|_| slot.generation == id.generation)
    }

    fn route_mut(&mut self, id: RouteId) -> Option<&mut Route> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        slot.route.as_mut().filter(|_| slot.generation == id.generation)
    }

    /// How many of them have an agent.
    #[must_use]
    pub fn served(&self) -> usize {
        self.by_pattern.len() - self.vacant.len()
    }

    /// All routes.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.slots.iter().filter_map(|slot| slot.route.as_ref())
    }

    fn find(&self, pattern: Pattern<'_>) -> Option<RouteId> {
        match pattern {
            Pattern::Exact(name) => self.by_pattern.get(name).copied(),
            Pattern::Suffix(suffix) => {
                let mut key = [0; HOST_BYTES_MAX + 2];
                let (star, rest) = key.split_at_mut(2);
                star.copy_from_slice(b"*.");
                rest.get_mut(..suffix.len())?.copy_from_slice(suffix.as_bytes());
                let key = std::str::from_utf8(&key[..2 + suffix.len()]).ok()?;
                self.by_pattern.get(key).copied()
            }
            Pattern::Any => self.by_pattern.get("*").copied(),
        }
    }
}

enum Pattern<'n> {
    Exact(&'n str),
    Suffix(&'n str),
    Any,
}

/// The patterns that may match a name, best first. An address literal is matched only by itself:
/// the load balancer's health checks carry one, and must not reach a service.
fn patterns(name: &str) -> impl Iterator<Item = Pattern<'_>> {
    let is_address = |name: &&str| name.starts_with('[') || name.parse::<IpAddr>().is_ok();
    // Looked at only when there is no exact match, which there nearly always is.
    let wild = std::iter::once(name).filter(move |name| !is_address(name)).flat_map(|name| {
        let dots = name.match_indices('.').map(|(at, _)| Pattern::Suffix(&name[at + 1..]));
        dots.chain(std::iter::once(Pattern::Any))
    });
    std::iter::once(Pattern::Exact(name)).chain(wild)
}

/// The host of a request without its port, in lower case, which it mostly is, without the trailing
/// dot.
fn name_of<'b>(host: &'b str, buffer: &'b mut [u8; HOST_BYTES_MAX]) -> Option<&'b str> {
    let name = without_dot(without_port(host));
    let lower = buffer.get_mut(..name.len())?;
    if !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(name);
    }
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    std::str::from_utf8(lower).ok()
}

/// Whether the host of a request (`host` or `host:port`) is this very machine's: an address, or the one name
/// that is nobody else's.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = without_dot(without_port(host));
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    let address = address.parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn without_port(host: &str) -> &str {
    if host.starts_with('[') {
        return host.split_inclusive(']').next().unwrap_or(host);
    }
    let port = host.bytes().position(|byte| byte == b':');
    port.and_then(|port| host.get(..port)).unwrap_or(host)
}

/// A name that ends with a dot is the same name.
fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// The canonical form of a pattern that an agent wants to register; `None` if it is none.
#[must_use]
pub fn normalize(pattern: &str) -> Option<String> {
    if pattern == "*" {
        return Some(pattern.to_owned());
    }
    let pattern = without_dot(pattern).to_ascii_lowercase();
    let name = pattern.strip_prefix("*.").unwrap_or(&pattern);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let is_name = name.len() <= HOST_BYTES_MAX && name.split('.').all(is_label);
    is_name.then_some(pattern)
}

#[cfg(test)]
mod tests;
