//! What the windows of a session may grow by, and when they do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The budget of all streams together.
#[derive(Debug)]
pub(super) struct Growth {
    /// Bytes left. Connections give back to it wherever they are by then.
    left: Arc<AtomicU32>,
    /// How long a frame and its answer take.
    pub(super) round_trip: Option<Duration>,
}

/// Bytes of such a budget. They go back when this is dropped: not with the stream, but when what came
/// by it has left.
#[derive(Debug)]
pub struct Grown {
    budget: Arc<AtomicU32>,
    bytes: u32,
}

/// Half a window may come in one turn of the loop, in no time: less than this says nothing of the path.
const MEASURABLE: Duration = Duration::from_millis(1);
/// Where a round trip takes no more than that, a window of so many bytes holds nothing back: larger ones
/// would only wait at the far end.
const SHORT_WINDOW_MAX: u32 = 1024 * 1024;
/// How many times as large a window becomes at once, at the most: what the default one needs to be 8 MiB.
const TIMES_MAX: u32 = 32;

impl Growth {
    pub(super) fn new(bytes: u32) -> Self {
        Self { left: Arc::new(AtomicU32::new(bytes)), round_trip: None }
    }

    /// By how much a window grows of which half was used up in that time, if it does.
    ///
    /// Round trips that are too short to be measured by that count as the least that can be: both ends
    /// wait for their turn at a processor then, and not for the path.
    ///
    /// It becomes as many times as large as such halves fit into a round trip, and twice at least: what
    /// came so fast is what the path can carry, and each step takes a round trip. More than to double
    /// it leaves half of the budget to others.
    pub(super) fn take(&self, window: u32, took: Duration) -> Option<Grown> {
        let round_trip = self.round_trip?.max(MEASURABLE);
        let is_enough = round_trip == MEASURABLE && window >= SHORT_WINDOW_MAX;
        if took > 2 * round_trip || is_enough {
            return None;
        }
        let halves = round_trip.as_micros() / took.max(MEASURABLE).as_micros();
        let times = u32::try_from(halves).unwrap_or(u32::MAX).clamp(2, TIMES_MAX);
        let more = window.saturating_mul(times - 1);
        // Others only ever add to it.
        let left = self.left.load(Ordering::Relaxed);
        let bytes = more.min(window.max(left / 2)).min(left);
        self.left.fetch_sub(bytes, Ordering::Relaxed);
        Some(Grown { budget: Arc::clone(&self.left), bytes })
    }

    #[cfg(test)]
    pub(super) fn left(&self) -> u32 {
        self.left.load(Ordering::Relaxed)
    }

    /// Nothing of it.
    pub(super) fn none(&self) -> Grown {
        Grown { budget: Arc::clone(&self.left), bytes: 0 }
    }
}

impl Grown {
    pub(super) const fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Takes in more of the same budget.
    pub(super) fn add(&mut self, mut more: Self) {
        self.bytes += std::mem::take(&mut more.bytes);
    }

    /// Gives back all but so many bytes.
    pub(super) fn keep(&mut self, bytes: u32) {
        let rest = self.bytes.saturating_sub(bytes);
        self.bytes -= rest;
        self.budget.fetch_add(rest, Ordering::Relaxed);
    }
}

impl Drop for Grown {
    fn drop(&mut self) {
        self.keep(0);
    }
}
