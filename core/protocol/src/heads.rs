//! Memory for request heads that are kept until their requests are answered, to be sent once more.
//!
//! There is one for each request under way, and most are of a few hundred bytes: too small for the
//! pool of queues, and too many to be allocated for each request.

use crate::Buf;

/// Used memory for heads. It keeps 1 MiB at the most.
#[derive(Debug, Default)]
pub struct Heads {
    free: Vec<Buf>,
    /// Invariant: what all of them own.
    bytes: usize,
}

/// Thousands of requests under way at once.
const BYTES_MAX: usize = 1024 * 1024;
/// A larger one is an exception, and would take the place of many.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

impl Heads {
    /// Memory for a head, empty.
    #[must_use]
    pub fn take(&mut self) -> Buf {
        let head = self.free.pop().unwrap_or_default();
        self.bytes -= head.capacity();
        head
    }

    /// Keeps the memory of a head that is of no use any more.
    pub fn keep(&mut self, mut head: Buf) {
        let capacity = head.capacity();
        if (1..=HEAD_BYTES_MAX).contains(&capacity) && self.bytes + capacity <= BYTES_MAX {
            head.discard();
            self.bytes += capacity;
            self.free.push(head);
        }
    }
}

#[cfg(test)]
mod tests;
