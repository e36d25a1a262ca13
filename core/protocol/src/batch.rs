//! How much goes to a peer at once, where nothing can overtake it: little at first, and more where the
//! peer takes it, since a write of much costs less than many writes.
//!
//! ```text
//!          four full ones taken in a row              the same
//!   least ------------------------------> twice that ----------> most
//!      ^                                       |                   |
//!      '------- something is left of one ------'-------------------'
//! ```

/// The size of what goes at once, and what became of those before.
#[derive(Debug)]
pub(crate) struct Batch {
    least: usize,
    most: usize,
    size: usize,
    /// Full batches that were taken whole, one after the other.
    taken: u8,
    /// Whether the last batch was full, and nobody knows yet what becomes of it.
    is_full: bool,
}

/// Full batches that are taken before the next ones may be larger. A slow path takes one or two and
/// then none for a while.
pub(crate) const TAKEN_MIN: u8 = 4;

impl Batch {
    /// Batches of `least` bytes at first, which double until they are of `most`.
    pub(crate) const fn new(least: usize, most: usize) -> Self {
        Self { least, most, size: least, taken: 0, is_full: false }
    }

    /// Bytes that may go at once.
    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// So many bytes go at once.
    pub(crate) const fn note_sent(&mut self, bytes: usize) {
        self.is_full = bytes >= self.size;
    }

    /// What went last was taken whole.
    pub(crate) fn note_taken(&mut self) {
        if !std::mem::take(&mut self.is_full) {
            return;
        }
        self.taken += 1;
        if self.taken >= TAKEN_MIN {
            self.taken = 0;
            self.size = self.most.min(2 * self.size);
        }
    }

    /// Something is left of what went last.
    pub(crate) const fn note_left(&mut self) {
        *self = Self::new(self.least, self.most);
    }
}
