//! Setting an agent aside that fails again and again, for longer each time.

use std::time::{Duration, Instant};

/// How often an agent failed lately.
#[derive(Debug, Default)]
pub(super) struct Outliers {
    /// Failures in a row.
    failures: u32,
    /// Ejections in a row.
    ejections: u32,
    pub(super) ejected_until: Option<Instant>,
}

/// Whether a failure ejected an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ejected {
    /// It did not, or not anew.
    No,
    /// It did, for this long.
    For(Duration),
}

/// Failures in a row that eject an agent.
const FAILURES_MAX: u32 = 5;
/// How long the first ejection lasts; the n-th in a row lasts n times as long.
const EJECTION: Duration = Duration::from_secs(10);
/// The ejections after which they grow no longer: ten minutes.
const EJECTIONS_MAX: u32 = 60;

impl Outliers {
    pub(super) fn is_ejected(&self, now: Instant) -> bool {
        self.ejected_until.is_some_and(|until| now < until)
    }

    /// It failed once more.
    pub(super) fn failed(&mut self, now: Instant) -> Ejected {
        self.failures += 1;
        if self.failures < FAILURES_MAX || self.is_ejected(now) {
            return Ejected::No;
        }
        self.failures = 0;
        self.ejections = (self.ejections + 1).min(EJECTIONS_MAX);
        let duration = EJECTION * self.ejections;
        self.ejected_until = Some(now + duration);
        Ejected::For(duration)
    }
}
