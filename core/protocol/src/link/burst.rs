//! How much DATA may wait in a tunnel's `tx`: little where the path is slow, since all of it is ahead of
//! what comes later; more where the kernel takes it at once, since a write of many frames costs less
//! than many writes.
//!
//! ```text
//!            four full ones taken in a row               the same
//!   32 KiB ---------------------------------> 64 KiB ----------------> as much as a run
//!      ^                                         |                        |
//!      '-------- something is left of one -------'------------------------'
//! ```

use crate::mux::Turns;
use crate::mux::frame::{DATA_BYTES_FULL, RUN_BYTES_MAX};

/// Bytes that may wait when DATA is added to them.
const BYTES_MIN: usize = 2 * DATA_BYTES_FULL;
/// So many more may wait when the stream has sent little.
const FRESH_BYTES: usize = 32 * 1024;
/// Full ones that the kernel took at once before there may be more in one. A slow path takes one and
/// then none for a while.
const TAKEN_MIN: u8 = 4;

/// What one call of `transmit` may add.
#[derive(Debug)]
pub(super) struct Burst {
    max: usize,
    /// Full ones that were taken at once, one after the other.
    taken: u8,
    /// Whether the last one was full.
    was_full: bool,
}

impl Burst {
    pub(super) const fn new() -> Self {
        Self { max: BYTES_MIN, taken: 0, was_full: false }
    }

    /// Another one begins, behind so many bytes of those before.
    pub(super) fn begin(&mut self, queued: usize) {
        if queued > 0 {
            *self = Self::new();
        } else if std::mem::take(&mut self.was_full) {
            self.taken += 1;
            if self.taken >= TAKEN_MIN {
                self.taken = 0;
                self.max = RUN_BYTES_MAX.min(2 * self.max);
            }
        }
    }

    /// What waits now, at the end of this one.
    pub(super) const fn end(&mut self, queued: usize) {
        self.was_full = queued >= self.max;
    }

    /// Whose turn it may be behind so many bytes.
    pub(super) const fn turns(&self, queued: usize) -> Option<Turns> {
        if queued < self.max {
            Some(Turns::All)
        } else if queued < self.max + FRESH_BYTES {
            Some(Turns::FreshOnly)
        } else {
            None
        }
    }

    /// DATA frames that one turn may bring.
    pub(super) const fn frames(&self) -> usize {
        self.max / DATA_BYTES_FULL
    }
}

#[cfg(test)]
mod tests;
