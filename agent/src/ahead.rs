//! How far ahead of their turn the service's bytes are read: 128 KiB, and twice as much where they go on as
//! fast as they come.
//!
//! What is read in one call leaves in one run, so longer reads mean fewer calls, wake-ups and packets. A
//! budget bounds what all connections of a worker have beyond the 128 KiB: who comes first has it, until
//! its bytes wait or its connection rests.

use std::time::{Duration, Instant};

use mesh_protocol::Duplex;
use mesh_protocol::mux::frame::{RUN_BYTES, RUN_BYTES_MAX};

/// What connections may read beyond the first 128 KiB.
#[derive(Debug)]
pub(crate) struct Budget(usize);

/// Bytes of it, of one worker: for eight connections.
const BUDGET_BYTES: usize = 8 * (RUN_BYTES_MAX - RUN_BYTES);

/// Full reads that went on at once, one after the other, before the next ones may be longer.
const TAKEN_MIN: u8 = 4;
/// What "at once" means: a turn or two of the loop.
const FAST: Duration = Duration::from_millis(2);
/// Bytes that wait as long as this are in no hurry.
const SLOW: Duration = Duration::from_millis(50);

/// How far ahead one connection is read.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// Beyond the first 128 KiB.
    extra: usize,
    taken: u8,
    /// Since when as much waits as may.
    full_since: Option<Instant>,
}

impl Budget {
    pub(crate) const fn new() -> Self {
        Self(BUDGET_BYTES)
    }

    /// Whether nothing is lent.
    pub(crate) const fn is_whole(&self) -> bool {
        self.0 == BUDGET_BYTES
    }
}

impl Ahead {
    /// Something was read.
    pub(crate) const fn note_read(&mut self, io: &Duplex, now: Instant) {
        if io.rx_room() == 0 && self.full_since.is_none() {
            self.full_since = Some(now);
        }
    }

    /// Something of it went on.
    pub(crate) fn note_sent(&mut self, io: &mut Duplex, budget: &mut Budget, now: Instant) {
        let Some(since) = self.full_since else { return };
        let waited = now.saturating_duration_since(since);
        if waited >= SLOW {
            self.shrink(io, budget);
        }
        if !io.rx.is_empty() {
            return;
        }
        self.full_since = None;
        self.taken = if waited <= FAST { self.taken + 1 } else { 0 };
        if self.taken >= TAKEN_MIN {
            self.taken = 0;
            self.grow(io, budget);
        }
    }

    /// All that may be read ahead, as far as the budget goes.
    const fn grow(&mut self, io: &mut Duplex, budget: &mut Budget) {
        let more = RUN_BYTES_MAX - RUN_BYTES - self.extra;
        if more <= budget.0 {
            budget.0 -= more;
            self.extra += more;
            io.rx_limit += more;
        }
    }

    /// As little as that is, but for what is there already.
    fn shrink(&mut self, io: &mut Duplex, budget: &mut Budget) {
        let unused = self.extra.min(io.rx_room());
        budget.0 += unused;
        self.extra -= unused;
        io.rx_limit -= unused;
    }

    /// The connection rests, or is over: nothing is left in `rx` that would still be sent.
    pub(crate) fn give_back(&mut self, io: &mut Duplex, budget: &mut Budget) {
        io.rx_limit -= self.extra;
        budget.0 += self.extra;
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests;
