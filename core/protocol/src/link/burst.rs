//! How much DATA may wait in a tunnel's `tx`: little where the path is slow, since all of it is ahead of
//! what comes later; more where the kernel takes it at once. Between 32 KiB and as much as a run.

use crate::batch::Batch;
use crate::mux::Turns;
use crate::mux::frame::{DATA_BYTES_FULL, RUN_BYTES, RUN_BYTES_MAX};
use crate::ws::Role;

/// Bytes that may wait when DATA is added to them.
const BYTES_MIN: usize = 2 * DATA_BYTES_FULL;
/// So many more may wait when the stream has sent little.
const FRESH_BYTES: usize = 32 * 1024;

/// What one call of `transmit` may add.
#[derive(Debug)]
pub(super) struct Burst(Batch);

impl Burst {
    pub(super) const fn new(role: Role) -> Self {
        let most = match role {
            Role::Client => RUN_BYTES_MAX,
            Role::Server => RUN_BYTES,
        };
        Self(Batch::new(BYTES_MIN, most))
    }

    /// Another burst begins, while so many bytes of those before it still wait.
    pub(super) fn begin(&mut self, queued: usize) {
        match queued {
            0 => self.0.note_taken(),
            _ => self.0.note_left(),
        }
    }

    /// The burst has ended, and so many bytes wait now.
    pub(super) const fn end(&mut self, queued: usize) {
        self.0.note_sent(queued);
    }

    /// Whose turn it may be behind so many bytes.
    pub(super) const fn turns(&self, queued: usize) -> Turns {
        if queued < self.0.size() {
            Turns::All
        } else if queued < self.0.size() + FRESH_BYTES {
            Turns::FreshOnly
        } else {
            Turns::OwedOnly
        }
    }

    /// DATA frames that one turn may bring.
    pub(super) const fn frames(&self) -> usize {
        self.0.size() / DATA_BYTES_FULL
    }
}

#[cfg(test)]
mod tests;
