//! Drawing from the seed: the few distributions that links, faults and peers need.

use std::time::Duration;

use mesh_protocol::Rng;

/// A generator of its own for one part of the world, so that parts do not disturb each other.
pub(crate) fn fork(rng: &mut Rng) -> Rng {
    Rng::from_seed(rng.bits())
}

/// True once in `odds` draws; never when `odds` is 0.
pub(crate) fn one_in(rng: &mut Rng, odds: u64) -> bool {
    odds > 0 && rng.below(odds) == 0
}

/// True in that many of a thousand draws.
pub(crate) fn per_mille(rng: &mut Rng, rate: u16) -> bool {
    rng.below(1000) < u64::from(rate)
}

/// A size in `1..=max`.
pub(crate) fn size(rng: &mut Rng, max: usize) -> usize {
    1 + usize::try_from(rng.below(max as u64)).unwrap_or(0)
}

/// A number below `2^bits`, small and large ones equally often by order of magnitude.
pub(crate) fn magnitude(rng: &mut Rng, bits: u64) -> u64 {
    let order = rng.below(bits) + 1;
    rng.below(1 << order)
}

/// A duration from zero to `max`.
pub(crate) fn up_to(rng: &mut Rng, max: Duration) -> Duration {
    let nanos = u64::try_from(max.as_nanos()).unwrap_or(u64::MAX - 1);
    Duration::from_nanos(rng.below(nanos + 1))
}

/// Any one of them; `None` where there are none.
pub(crate) fn one_of<'a, T>(rng: &mut Rng, all: &'a [T]) -> Option<&'a T> {
    if all.is_empty() {
        return None;
    }
    all.get(size(rng, all.len()) - 1)
}
