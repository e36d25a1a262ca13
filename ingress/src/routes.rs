//! Which agents serve which host.
//!
//! Exact names beat `*.suffix`, longer suffixes beat shorter ones, and those beat `*`. A host that
//! was ever claimed stays known when its last agent leaves: its callers are told to come back
//! (503) instead of that they are wrong here (404).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use mesh_protocol::WorkerId;

use crate::gauge::Gauge;
use crate::tunnel::{AgentId, Serial, TunnelId};

/// All routes, by host pattern.
#[derive(Debug, Default)]
pub struct Routes {
    by_pattern: HashMap<Box<str>, RouteId>,
    /// Routes are never moved, so that an id stays good; the bound keeps them few.
    routes: Vec<Route>,
}

/// Names a route for the life of the process, and the same one in all workers: each learns all
/// patterns, and in the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RouteId(usize);

impl RouteId {
    /// The route's number, for tables kept beside the routes.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

/// One host pattern and who serves it.
#[derive(Debug)]
pub struct Route {
    /// The pattern, in lower case: `name`, `*.suffix` or `*`.
    pub pattern: Box<str>,
    /// The service that its last agent named.
    pub service: Box<str>,
    /// The tunnels whose agents registered it, those of one agent side by side, else in the order of
    /// their registration.
    pub candidates: Vec<Candidate>,
}

impl Route {
    /// The tunnels by agent.
    pub fn agents(&self) -> impl Iterator<Item = &[Candidate]> {
        agents(&self.candidates)
    }
}

/// Candidates by agent.
pub(crate) fn agents(candidates: &[Candidate]) -> impl Iterator<Item = &[Candidate]> {
    candidates.chunk_by(|one, next| one.agent == next.agent)
}

/// A tunnel that may get a request.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its number in this process.
    pub serial: Serial,
    /// Whose it is.
    pub agent: AgentId,
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

/// Patterns remembered at the most.
const ROUTES_MAX: usize = 65_536;

/// The longest DNS name (RFC 1035 2.3.4).
const NAME_BYTES_MAX: usize = 253;

impl Routes {
    /// Adds a tunnel to a pattern that [`normalize`] returned. False when too many patterns are
    /// known already.
    pub fn add(&mut self, pattern: &str, service: &str, candidate: Candidate) -> bool {
        let Some(id) = self.learn(pattern, service) else { return false };
        let candidates = &mut self.routes[id.0].candidates;
        let last = candidates.iter().rposition(|one| one.agent == candidate.agent);
        candidates.insert(last.map_or(candidates.len(), |last| last + 1), candidate);
        true
    }

    /// Makes sure that a pattern is known, for a service.
    pub(crate) fn learn(&mut self, pattern: &str, service: &str) -> Option<RouteId> {
        let id = match self.by_pattern.get(pattern) {
            Some(id) => *id,
            None if self.routes.len() >= ROUTES_MAX => return None,
            None => {
                let id = RouteId(self.routes.len());
                self.by_pattern.insert(pattern.into(), id);
                let service = service.into();
                self.routes.push(Route {
                    pattern: pattern.into(),
                    service,
                    candidates: Vec::new(),
                });
                id
            }
        };
        let route = &mut self.routes[id.0];
        if *route.service != *service {
            route.service = service.into();
        }
        Some(id)
    }

    /// Takes a tunnel out of a pattern.
    pub fn remove(&mut self, pattern: &str, tunnel: Serial) {
        if let Some(id) = self.by_pattern.get(pattern) {
            self.routes[id.0].candidates.retain(|candidate| candidate.serial != tunnel);
        }
    }

    /// The best route for the host of a request (`host` or `host:port`). Patterns without any
    /// agent give way to less specific ones, and are found only when nothing else is.
    #[must_use]
    pub fn lookup(&self, host: &str) -> Option<RouteId> {
        let mut buffer = [0; NAME_BYTES_MAX];
        let name = name_of(host, &mut buffer)?;
        let mut known = None;
        for pattern in patterns(name) {
            let Some(id) = self.find(pattern) else { continue };
            if !self.routes[id.0].candidates.is_empty() {
                return Some(id);
            }
            known = known.or(Some(id));
        }
        known
    }

    /// A route by its id.
    #[must_use]
    pub fn get(&self, id: RouteId) -> Option<&Route> {
        self.routes.get(id.0)
    }

    /// All routes, in the order in which they were first claimed.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    fn find(&self, pattern: Pattern<'_>) -> Option<RouteId> {
        match pattern {
            Pattern::Exact(name) => self.by_pattern.get(name).copied(),
            Pattern::Suffix(suffix) => {
                let mut key = [0; NAME_BYTES_MAX + 2];
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
fn name_of<'b>(host: &'b str, buffer: &'b mut [u8; NAME_BYTES_MAX]) -> Option<&'b str> {
    let name = without_port(host);
    let name = name.strip_suffix('.').unwrap_or(name);
    let lower = buffer.get_mut(..name.len())?;
    if !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(name);
    }
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    std::str::from_utf8(lower).ok()
}

fn without_port(host: &str) -> &str {
    if host.starts_with('[') {
        return host.split_inclusive(']').next().unwrap_or(host);
    }
    let port = host.bytes().position(|byte| byte == b':');
    port.and_then(|port| host.get(..port)).unwrap_or(host)
}

/// The canonical form of a pattern that an agent wants to register; `None` if it is none.
#[must_use]
pub fn normalize(pattern: &str) -> Option<String> {
    if pattern == "*" {
        return Some(pattern.to_owned());
    }
    let pattern = pattern.strip_suffix('.').unwrap_or(pattern).to_ascii_lowercase();
    let name = pattern.strip_prefix("*.").unwrap_or(&pattern);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let is_name = name.len() <= NAME_BYTES_MAX && name.split('.').all(is_label);
    is_name.then_some(pattern)
}

#[cfg(test)]
mod tests;
