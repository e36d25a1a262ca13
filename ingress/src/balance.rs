//! Which of several agents gets a request: the one with fewer requests in flight of two random
//! ones. Two choices spread load nearly as well as looking at all, without the herd that runs to
//! the momentarily best. Of two that are equally busy, the one at this worker: its caller need not
//! move. Two that are idle are equal: moving costs nobody anything then, and agents that share a
//! host share its few requests too.

use std::time::Instant;

use mesh_protocol::Rng;

use crate::routes::{Candidate, Place};
use crate::tunnel::{Serial, Tunnels};

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

/// What all candidates are measured by.
#[derive(Debug, Clone, Copy)]
struct View<'t> {
    tunnels: &'t Tunnels,
    except: Option<Serial>,
    scope: Scope,
    now: Instant,
}

/// Picks one of the candidates, not `except`, which was tried already.
///
/// # Errors
/// None can take a request.
pub fn pick<'c>(
    candidates: &'c [Candidate],
    tunnels: &Tunnels,
    (scope, except): (Scope, Option<Serial>),
    now: Instant,
    rng: &mut Rng,
) -> Result<&'c Candidate, Unavailable> {
    let view = View { tunnels, except, scope, now };
    let usable = |one: &&Candidate| view.is_usable(one);
    let calm = |one: &&Candidate| !view.is_ejected(one);
    // An ejected agent is better than none: everything failing is no reason to fail everything.
    let (first, second) = match two_of(|| candidates.iter().filter(usable).filter(calm), rng) {
        (None, _) => two_of(|| candidates.iter().filter(usable), rng),
        calm => calm,
    };
    let picked = match (first, second) {
        (None, _) => return Err(Unavailable::NoHealthyAgent),
        (Some(only), None) => only,
        (Some(one), Some(two)) => {
            if view.cost(two) < view.cost(one) {
                two
            } else {
                one
            }
        }
    };
    if view.has_room(picked) {
        return Ok(picked);
    }
    let mut others = candidates.iter().filter(usable);
    others.find(|one| view.has_room(one)).ok_or(Unavailable::Overloaded)
}

/// Two different ones at random, as far as there are two.
fn two_of<'c, C: Iterator<Item = &'c Candidate>>(
    candidates: impl Fn() -> C,
    rng: &mut Rng,
) -> (Option<&'c Candidate>, Option<&'c Candidate>) {
    match candidates().count() {
        0 => (None, None),
        1 => (candidates().next(), None),
        count => {
            let one = rng.index(count);
            let step = 1 + rng.index(count - 1);
            (candidates().nth(one), candidates().nth((one + step) % count))
        }
    }
}

impl View<'_> {
    fn is_usable(&self, candidate: &Candidate) -> bool {
        if Some(candidate.serial) == self.except {
            return false;
        }
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

    /// Requests in flight, and whether moving the caller matters.
    fn cost(&self, candidate: &Candidate) -> (usize, bool) {
        match &candidate.place {
            Place::Here(id) => {
                (self.tunnels.get(*id).map_or(usize::MAX, |tunnel| tunnel.load()), false)
            }
            Place::There(_, gauge) => {
                let load = gauge.in_flight() + gauge.coming();
                (load, load > 0)
            }
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
