//! What the windows of a session may grow by, and when they do.

use std::time::Duration;

/// The budget of all streams together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Growth {
    /// Bytes left.
    pub(super) left: u32,
    /// How long a frame and its answer take.
    pub(super) round_trip: Option<Duration>,
}

/// Half a window may come in one turn of the loop, in no time: less than this says nothing of the path.
const MEASURABLE: Duration = Duration::from_millis(1);
/// Where a round trip takes no more than that, a window of so many bytes holds nothing back: larger ones
/// would only wait at the far end.
const SHORT_WINDOW_MAX: u32 = 1024 * 1024;
/// How many times as large a window becomes at once, at the most: what the default one needs to be 8 MiB.
const TIMES_MAX: u32 = 32;

impl Growth {
    /// By how much a window grows; `took` is the time in which half of it was used up.
    ///
    /// Round trips that are too short to be measured count as [`MEASURABLE`]: both ends wait for
    /// their turn at a processor then, and not for the path.
    ///
    /// The window becomes as many times as large as such halves fit into a round trip, and twice as
    /// large at least: what came so fast is what the path can carry, and each step takes a round
    /// trip. What is more than doubling leaves half of the budget to others.
    pub(super) fn take(&mut self, window: u32, took: Duration) -> u32 {
        let Some(round_trip) = self.round_trip else { return 0 };
        let round_trip = round_trip.max(MEASURABLE);
        let is_enough = round_trip == MEASURABLE && window >= SHORT_WINDOW_MAX;
        if took > 2 * round_trip || is_enough {
            return 0;
        }
        let halves = round_trip.as_micros() / took.max(MEASURABLE).as_micros();
        let times = u32::try_from(halves).unwrap_or(u32::MAX).clamp(2, TIMES_MAX);
        let more = window.saturating_mul(times - 1);
        let more = more.min(window.max(self.left / 2)).min(self.left);
        self.left -= more;
        more
    }
}
