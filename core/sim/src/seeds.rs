//! Many histories of one test, and the way back to one of them.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs a check for the seeds from 0 to below `count`; or, when `SIM_SEED` is set, for that seed
/// alone. `SIM_SEEDS` sets another count, for longer sweeps. A failure names its seed.
pub fn seeds(count: u64, check: impl Fn(u64)) {
    if let Some(seed) = chosen() {
        return check(seed);
    }
    for seed in 0..variable("SIM_SEEDS").unwrap_or(count) {
        if let Err(failure) = catch_unwind(AssertUnwindSafe(|| check(seed))) {
            eprintln!("failed; to replay this history alone: SIM_SEED={seed}");
            resume_unwind(failure);
        }
    }
}

/// The seed that is to be replayed.
pub(crate) fn chosen() -> Option<u64> {
    variable("SIM_SEED")
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
