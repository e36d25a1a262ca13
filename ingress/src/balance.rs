//! Which of several agents gets a request: the one with fewer requests in flight of two random
//! ones. Two choices spread load nearly as well as looking at all, without the herd that runs to
//! the momentarily best.

use std::time::Instant;

use mesh_protocol::Rng;

use crate::tunnel::{TunnelId, Tunnels};

/// Why no agent can take the request now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// No agent is there, or all are unhealthy or leaving.
    NoHealthyAgent,
    /// Healthy agents are there, but all carry as many streams as they may.
    Overloaded,
}

/// Picks one of the candidates, not `except`, which was tried already.
///
/// # Errors
/// None can take a request.
pub fn pick(
    candidates: &[TunnelId],
    tunnels: &Tunnels,
    except: Option<TunnelId>,
    now: Instant,
    rng: &mut Rng,
) -> Result<TunnelId, Unavailable> {
    let usable = |id: &&TunnelId| {
        Some(**id) != except && tunnels.get(**id).is_some_and(|tunnel| tunnel.takes_requests())
    };
    let calm = |id: &&TunnelId| tunnels.get(**id).is_some_and(|tunnel| !tunnel.is_ejected(now));
    // An ejected agent is better than none: everything failing is no reason to fail everything.
    let (first, second) = match two_of(|| candidates.iter().filter(usable).filter(calm), rng) {
        (None, _) => two_of(|| candidates.iter().filter(usable), rng),
        calm => calm,
    };
    let load = |id: &TunnelId| tunnels.get(*id).map_or(usize::MAX, |tunnel| tunnel.in_flight());
    match (first, second) {
        (None, _) => Err(Unavailable::NoHealthyAgent),
        (Some(only), None) => room(*only, tunnels),
        (Some(one), Some(two)) => {
            let better = if load(two) < load(one) { two } else { one };
            room(*better, tunnels).or_else(|_| {
                let mut others = candidates.iter().filter(usable);
                let with_room = others.find(|id| room(**id, tunnels).is_ok());
                with_room.copied().ok_or(Unavailable::Overloaded)
            })
        }
    }
}

/// Two different ones at random, as far as there are two.
fn two_of<'c, C: Iterator<Item = &'c TunnelId>>(
    candidates: impl Fn() -> C,
    rng: &mut Rng,
) -> (Option<&'c TunnelId>, Option<&'c TunnelId>) {
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

fn room(id: TunnelId, tunnels: &Tunnels) -> Result<TunnelId, Unavailable> {
    let has_room = tunnels.get(id).is_some_and(|tunnel| tunnel.has_room());
    if has_room { Ok(id) } else { Err(Unavailable::Overloaded) }
}

#[cfg(test)]
mod tests;
