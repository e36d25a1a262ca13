//! How long to wait before connecting again: exponential, with full jitter, so that agents that
//! lost their ingress together do not come back together.

use std::time::{Duration, Instant};

use mesh_protocol::Rng;

/// The waits between attempts.
#[derive(Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    stable: Duration,
    attempts: u32,
}

impl Backoff {
    /// Waits of up to `min` at first and up to `max` at last; a tunnel that lived for `stable`
    /// starts them anew.
    #[must_use]
    pub const fn new(min: Duration, max: Duration, stable: Duration) -> Self {
        Self { min, max, stable, attempts: 0 }
    }

    /// How long to wait now, after a tunnel that was welcomed at `welcomed`, or one that never was.
    pub fn next(&mut self, welcomed: Option<Instant>, now: Instant, rng: &mut Rng) -> Duration {
        let lived = welcomed.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if lived >= self.stable {
            self.attempts = 0;
        }
        self.draw(self.max, rng)
    }

    /// How long to wait now, after an attempt that led to a good place and not to the one that is
    /// looked for while somebody waits: trying is cheap there, and being late is not.
    pub fn next_of_search(&mut self, rng: &mut Rng) -> Duration {
        self.draw((self.max / 8).max(self.min), rng)
    }

    fn draw(&mut self, most: Duration, rng: &mut Rng) -> Duration {
        let ceiling = self.min.saturating_mul(1 << self.attempts.min(20)).min(most);
        self.attempts = self.attempts.saturating_add(1);
        let micros = u64::try_from(ceiling.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(rng.below(micros))
    }
}

#[cfg(test)]
mod tests;
