//! Which of several agents gets a request, and through which of its tunnels.
//!
//! The agent is the one with fewer requests in flight of two random ones. Two choices spread load
//! nearly as well as comparing all, without everybody rushing to the one that is best now. Of two
//! that are equally busy, it is one with a tunnel at this worker: its caller need not move. Two that
//! are idle are equal: moving costs nobody anything then, and agents that share a host share its few
//! requests too.
//!
//! An agent with several tunnels is one agent. It is drawn as often as others are, what all of its
//! tunnels carry is its load, and when it is set aside on one of them, it is set aside. Which of the
//! tunnels is used is a matter of workers: a caller stays at the worker where it is. One that sends its
//! first request has no worker yet, since all callers arrive at the first one, and goes to the one with
//! the fewest callers.

use std::sync::Arc;
use std::time::Instant;

use mesh_protocol::{Rng, WorkerId};

use crate::exchange::Exchange;
use crate::gauge::Homes;
use crate::replies::Reason;
use crate::routes::{self, Candidate, Place};
use crate::tunnel::{AgentId, Serial, Tunnel, Tunnels};

/// Why no agent can take the request now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// No agent is there, or all are unhealthy or leaving.
    NoHealthyAgent,
    /// Healthy agents are there, but all carry as many streams as they may.
    Overloaded,
}

/// Where an agent may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// At any worker.
    Everywhere,
    /// At this one.
    Here,
}

/// Who had a request before, and failed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The tunnel.
    pub serial: Serial,
    /// Whose it is.
    pub agent: AgentId,
    /// The service that its agent named.
    pub service: Arc<str>,
    /// Why it failed.
    pub reason: Reason,
}

/// What failed a request, and is not to be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Culprit {
    /// The tunnel. Other agents are better, since its agent may be gone altogether; but another
    /// tunnel to it is better than none.
    Tunnel,
    /// What is behind the tunnel: the agent's service, by whatever tunnel.
    Agent,
}

/// What all candidates are measured by.
#[derive(Debug, Clone, Copy)]
pub struct View<'t> {
    /// Those of this worker.
    pub tunnels: &'t Tunnels,
    /// This worker.
    pub own: WorkerId,
    /// Where callers are.
    pub homes: &'t Homes,
    /// Requests that one agent may have in flight.
    pub streams_max: usize,
    /// Where this caller is at home, unless this is its first request.
    pub home: Option<WorkerId>,
    /// Where an agent may be.
    pub scope: Scope,
    /// The time.
    pub now: Instant,
}

impl Tried {
    /// The agent that had this exchange, which failed for this reason.
    pub(crate) fn of(exchange: &Exchange, reason: Reason) -> Self {
        let service = Arc::clone(&exchange.service);
        Self { serial: exchange.serial, agent: exchange.agent, service, reason }
    }
}

impl Culprit {
    /// What failed a request that failed for this reason.
    const fn of(reason: Reason) -> Self {
        match reason {
            Reason::AgentLost | Reason::Overloaded => Self::Tunnel,
            Reason::BadRequest
            | Reason::HttpVersion
            | Reason::NoUpgrade
            | Reason::NoRoute
            | Reason::HeadTimeout
            | Reason::BodyTimeout
            | Reason::HeadTooLarge
            | Reason::UpstreamConnect
            | Reason::UpstreamReset
            | Reason::UpstreamProtocol
            | Reason::NoHealthyAgent
            | Reason::Draining
            | Reason::RequestTimeout => Self::Agent,
        }
    }
}

/// Picks one of the candidates, not the one that was tried already.
///
/// # Errors
/// None can take a request.
pub fn pick<'c>(
    candidates: &'c [Candidate],
    view: &View<'_>,
    tried: Option<&Tried>,
    rng: &mut Rng,
) -> Result<&'c Candidate, Unavailable> {
    let Some(tried) = tried else {
        return pick_where(candidates, view, |_| true, rng);
    };
    let others = pick_where(candidates, view, |one| one.agent != tried.agent, rng);
    match Culprit::of(tried.reason) {
        Culprit::Agent => others,
        Culprit::Tunnel => {
            others.or_else(|_| pick_where(candidates, view, |one| one.serial != tried.serial, rng))
        }
    }
}

/// The candidate of this worker that another one picked for a request, if it still takes it.
///
/// Whoever comes from there is not to be drawn for again: among the agents of this worker alone, those
/// that are at others too would get more than their share.
pub fn confirm<'c>(
    candidates: &'c [Candidate],
    view: &View<'_>,
    picked: Serial,
) -> Option<&'c Candidate> {
    let is_it = |one: &Candidate| one.serial == picked && view.is_usable(one);
    let agent = routes::agents(candidates).find(|agent| agent.iter().any(is_it))?;
    let is_calm = !agent.iter().any(|one| view.is_ejected(one));
    is_calm.then(|| view.tunnel_of(agent, is_it)).flatten()
}

fn pick_where<'c>(
    candidates: &'c [Candidate],
    view: &View<'_>,
    is_wanted: impl Fn(&Candidate) -> bool,
    rng: &mut Rng,
) -> Result<&'c Candidate, Unavailable> {
    let agents = || routes::agents(candidates);
    let is_usable = |one: &Candidate| is_wanted(one) && view.is_usable(one);
    if let [only] = candidates
        && is_usable(only)
        && view.has_room(only)
    {
        return Ok(only);
    }
    let usable = |agent: &&[Candidate]| agent.iter().any(is_usable);
    // One that was asked for another tunnel, and has it by another name, is to get nothing new here.
    let calm = |agent: &&[Candidate]| {
        !agent.iter().any(|one| view.is_ejected(one))
            && agent.iter().any(|one| is_usable(one) && !view.is_replaced(one))
    };
    // Others are better than none: everything failing is no reason to fail everything.
    let is_calm = |agent: &[Candidate]| usable(&agent) && calm(&agent);
    let (first, second) = match two_agents(candidates, is_calm, rng) {
        (None, _) => two_of(|| agents().filter(usable), rng),
        calm => calm,
    };
    let picked = match (first, second) {
        (None, _) => return Err(Unavailable::NoHealthyAgent),
        (Some(only), None) => only,
        (Some(one), Some(two)) => {
            if view.cost(two, is_usable) < view.cost(one, is_usable) {
                two
            } else {
                one
            }
        }
    };
    if let Some(tunnel) = view.tunnel_of(picked, is_usable) {
        return Ok(tunnel);
    }
    let mut others = agents().filter(usable);
    others.find_map(|agent| view.tunnel_of(agent, is_usable)).ok_or(Unavailable::Overloaded)
}

/// Of so few tunnels all are looked at.
const FEW: usize = 8;
/// Draws among more of them before all are looked at: where most agents are wanted, two are found by then.
const DRAWS_MAX: usize = 16;

/// Two different agents that are wanted, at random, as far as there are two.
fn two_agents<'c>(
    candidates: &'c [Candidate],
    is_wanted: impl Fn(&[Candidate]) -> bool,
    rng: &mut Rng,
) -> (Option<&'c [Candidate]>, Option<&'c [Candidate]>) {
    let mut drawn: Option<&[Candidate]> = None;
    let draws = if candidates.len() <= FEW { 0 } else { DRAWS_MAX };
    for _ in 0..draws {
        // The first of several tunnels stands for its agent, so that all agents are drawn equally often.
        let Some(agent) = routes::agent_from(candidates, rng.index(candidates.len())) else {
            continue;
        };
        let is_same = |one: &[Candidate]| one[0].agent == agent[0].agent;
        if drawn.is_some_and(is_same) || !is_wanted(agent) {
            continue;
        }
        if drawn.is_some() {
            return (drawn, Some(agent));
        }
        drawn = Some(agent);
    }
    two_of(|| routes::agents(candidates).filter(|agent| is_wanted(agent)), rng)
}

/// Two different ones at random, as far as there are two.
fn two_of<T, I: Iterator<Item = T>>(all: impl Fn() -> I, rng: &mut Rng) -> (Option<T>, Option<T>) {
    match all().count() {
        0 => (None, None),
        1 => (all().next(), None),
        count => {
            let one = rng.index(count);
            let step = 1 + rng.index(count - 1);
            (all().nth(one), all().nth((one + step) % count))
        }
    }
}

impl View<'_> {
    /// How many agents take requests.
    pub(crate) fn available(&self, candidates: &[Candidate]) -> usize {
        let agents = routes::agents(candidates);
        agents.filter(|agent| agent.iter().any(|one| self.is_usable(one))).count()
    }

    /// Whether one of them holds on to their host, which is not for less specific patterns then.
    pub(crate) fn is_held(&self, candidates: &[Candidate]) -> bool {
        candidates.iter().any(|candidate| match &candidate.place {
            Place::Here(id) => self.tunnels.get(*id).is_some_and(Tunnel::holds_hosts),
            Place::There(_, gauge) => gauge.holds_hosts(),
        })
    }

    fn is_usable(&self, candidate: &Candidate) -> bool {
        match &candidate.place {
            Place::Here(id) => self.tunnels.get(*id).is_some_and(|tunnel| tunnel.takes_requests()),
            Place::There(_, gauge) => self.scope == Scope::Everywhere && gauge.takes_requests(),
        }
    }

    fn is_ejected(&self, candidate: &Candidate) -> bool {
        match &candidate.place {
            Place::Here(id) => {
                self.tunnels.get(*id).is_none_or(|tunnel| tunnel.is_ejected(self.now))
            }
            Place::There(_, gauge) => gauge.is_ejected(self.now),
        }
    }

    /// Requests of an agent in flight, and whether moving the caller matters.
    fn cost(&self, agent: &[Candidate], is_usable: impl Fn(&Candidate) -> bool) -> (usize, bool) {
        let load = agent.iter().map(|one| self.load(one)).sum();
        let is_near = |one: &Candidate| matches!(one.place, Place::Here(_)) && is_usable(one);
        (load, load > 0 && !agent.iter().any(is_near))
    }

    /// Which tunnel of an agent takes one more request, if any does.
    fn tunnel_of<'c>(
        &self,
        agent: &'c [Candidate],
        is_usable: impl Fn(&Candidate) -> bool,
    ) -> Option<&'c Candidate> {
        if let [only] = agent {
            return self.has_room(only).then_some(only);
        }
        let in_flight: usize = agent.iter().map(|one| self.load(one)).sum();
        if in_flight >= self.streams_max {
            return None;
        }
        // What has another one in its place ends soon, with what is under way on it.
        let has_successor = agent.iter().any(|one| is_usable(one) && !self.is_replaced(one));
        let fitting = agent.iter().filter(|one| {
            is_usable(one) && self.has_room(one) && !(has_successor && self.is_replaced(one))
        });
        fitting.min_by_key(|one| {
            let worker = match &one.place {
                Place::Here(_) => self.own,
                Place::There(worker, _) => *worker,
            };
            let (is_far, callers) = (worker != self.own, self.homes.at(worker));
            let moves = self.home.is_some() && is_far;
            (moves, callers, is_far, self.load(one))
        })
    }

    fn load(&self, candidate: &Candidate) -> usize {
        match &candidate.place {
            Place::Here(id) => self.tunnels.get(*id).map_or(0, |tunnel| tunnel.load()),
            Place::There(_, gauge) => gauge.in_flight() + gauge.reserved(),
        }
    }

    /// Whether its agent has another one in its place.
    fn is_replaced(&self, candidate: &Candidate) -> bool {
        match &candidate.place {
            Place::Here(id) => self.tunnels.get(*id).is_some_and(Tunnel::is_replaced),
            Place::There(_, gauge) => gauge.is_replaced(),
        }
    }

    fn has_room(&self, candidate: &Candidate) -> bool {
        match &candidate.place {
            Place::Here(id) => self.tunnels.get(*id).is_some_and(|tunnel| tunnel.has_room()),
            Place::There(_, gauge) => gauge.has_room(),
        }
    }
}

#[cfg(test)]
mod tests;
