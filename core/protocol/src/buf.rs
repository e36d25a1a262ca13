//! A byte queue: filled at the back, consumed at the front, always one contiguous slice.
//!
//! Both counters of what ever passed through are kept, because two questions need them: "has this
//! request left the process?" and "how much credit was earned by flushing?".

use std::io;

/// A contiguous byte queue. It never limits itself: whoever fills it knows the limit.
#[derive(Debug, Default)]
pub struct Buf {
    bytes: Vec<u8>,
    /// Invariant: `start <= bytes.len()`; and `start == 0` whenever the queue is empty.
    start: usize,
    /// Bytes ever consumed.
    taken: u64,
    /// The most bytes of memory that were in use since the queue was last begun.
    peak: usize,
}

impl Buf {
    /// An empty queue that owns no memory.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), start: 0, taken: 0, peak: 0 }
    }

    /// Appends `bytes` at the back.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        let before = if self.bytes.is_empty() { 0 } else { self.peak };
        self.bytes.extend_from_slice(bytes);
        self.peak = before.max(self.bytes.len());
    }

    /// Drops the first `count` bytes.
    ///
    /// # Panics
    /// When fewer than `count` bytes are queued: that is a mistake of the caller, not of a peer.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "consumed {count} of {} bytes", self.len());
        self.start += count;
        self.taken += count as u64;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Drops everything that is queued.
    pub fn clear(&mut self) {
        self.consume(self.len());
    }

    /// Drops everything that is queued as if it had never been appended.
    pub fn discard(&mut self) {
        self.bytes.clear();
        self.start = 0;
    }

    /// The queued bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The queued bytes, to be changed in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }

    /// How many bytes are queued.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether nothing is queued.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes ever consumed.
    #[must_use]
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// Bytes ever appended: the position in the stream of the next byte to come.
    #[must_use]
    pub const fn added(&self) -> u64 {
        self.taken + self.len() as u64
    }

    /// Shortens the queue to its first `len` bytes; longer than the queue changes nothing.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(self.start + len);
    }

    /// Bytes of memory that the queue owns, used or not.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The most bytes of memory that were in use since the queue was last begun.
    pub(crate) const fn peak(&self) -> usize {
        self.peak
    }

    /// Gives an empty queue without memory some used memory to work in.
    pub(crate) fn lend(&mut self, mut storage: Vec<u8>) {
        if self.bytes.capacity() == 0 {
            storage.clear();
            self.bytes = storage;
        }
    }

    /// Takes the memory of an empty queue back.
    pub(crate) fn reclaim(&mut self) -> Option<Vec<u8>> {
        (self.is_empty() && self.bytes.capacity() > 0).then(|| std::mem::take(&mut self.bytes))
    }

    /// Moves the queue to the front of its memory rather than growing, when that suffices.
    fn make_room(&mut self, count: usize) {
        if self.start > 0 && self.bytes.capacity() - self.bytes.len() < count {
            let len = self.len();
            self.bytes.copy_within(self.start.., 0);
            self.bytes.truncate(len);
            self.start = 0;
        }
    }
}

impl io::Write for Buf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
