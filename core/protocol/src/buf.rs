//! A byte queue: filled at the back, consumed at the front, always one contiguous slice.
//!
//! Both counters of what ever passed through are kept, because two questions need them: "has this
//! request left the process?" and "how much credit was earned by flushing?".
//!
//! ```text
//!   memory   |--- consumed ---|--- queued ---|--- spare, initialised ---|
//!            0              start           end                  memory.len()
//! ```
//!
//! Memory stays initialised when it is used again, so that a read can go straight into it.

use std::io;

/// A contiguous byte queue. It never limits itself: whoever fills it knows the limit.
#[derive(Debug, Default)]
pub struct Buf {
    /// All of it initialised.
    memory: Vec<u8>,
    /// Invariant: `start <= end <= memory.len()`; and both are 0 whenever the queue is empty.
    start: usize,
    end: usize,
    /// Bytes ever consumed.
    taken: u64,
    /// The most bytes of memory that were in use lately.
    peak: usize,
}

/// A queue forgets this part of its peak each time it is lent memory: one whose needs change gets
/// the memory for the largest of them, and one that needs little from now on soon gets little.
const PEAK_FORGOTTEN: usize = 32;

/// The first memory of a queue that was lent none.
const FIRST_BYTES: usize = 64;
/// A queue of more bytes than this gets a quarter more memory than it has bytes, and not twice as
/// much.
const DOUBLED_BYTES_MAX: usize = 32 * 1024;

impl Buf {
    /// An empty queue that owns no memory.
    #[must_use]
    pub const fn new() -> Self {
        Self { memory: Vec::new(), start: 0, end: 0, taken: 0, peak: 0 }
    }

    /// Appends `bytes` at the back.
    #[inline(always)]
    pub fn extend(&mut self, bytes: &[u8]) {
        if self.memory.len() - self.end < bytes.len() {
            self.make_room(bytes.len());
        }
        let end = self.end + bytes.len();
        copy(&mut self.memory[self.end..end], bytes);
        self.advance(end);
    }

    /// The unused memory at the back, to be filled and then [committed](Self::commit). There may be
    /// none.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        // Moving few bytes is cheaper than the small reads that little room would make.
        if self.start > self.len() {
            self.move_to_front();
        }
        &mut self.memory[self.end..]
    }

    /// Appends the first `count` bytes of the [unused memory](Self::spare_mut).
    ///
    /// # Panics
    /// When there are not so many.
    pub fn commit(&mut self, count: usize) {
        assert!(
            count <= self.memory.len() - self.end,
            "committed {count} bytes that are not there"
        );
        self.advance(self.end + count);
    }

    #[inline]
    fn advance(&mut self, end: usize) {
        self.peak = self.peak.max(end);
        self.end = end;
    }

    /// Drops the first `count` bytes.
    ///
    /// # Panics
    /// When fewer than `count` bytes are queued: that is a mistake of the caller, not of a peer.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "consumed {count} of {} bytes", self.len());
        self.start += count;
        self.taken += count as u64;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Counts bytes as consumed that went past the queue, while it was empty.
    pub fn pass(&mut self, count: usize) {
        assert!(self.is_empty(), "passed by what came before");
        self.taken += count as u64;
    }

    /// Drops everything that is queued.
    pub fn clear(&mut self) {
        self.consume(self.len());
    }

    /// Drops everything that is queued as if it had never been appended.
    pub const fn discard(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// The queued bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// The queued bytes, to be changed in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.end]
    }

    /// How many bytes are queued.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.end - self.start
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
        self.end = self.end.min(self.start + len);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Keeps the first `len` bytes, and gives the memory of the rest back.
    pub fn cut_off(&mut self, len: usize) {
        if len < self.len() {
            self.truncate(len);
            self.move_to_front();
            self.memory.truncate(self.end);
            self.memory.shrink_to_fit();
        }
    }

    /// Bytes of memory that the queue owns, used or not.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// The most bytes of memory that were in use lately.
    pub(crate) const fn peak(&self) -> usize {
        self.peak
    }

    /// Gives an empty queue without memory some used memory to work in.
    pub(crate) fn lend(&mut self, memory: Vec<u8>) {
        if self.memory.is_empty() {
            self.memory = memory;
            self.peak -= self.peak / PEAK_FORGOTTEN;
        }
    }

    /// Takes the memory of an empty queue back.
    #[inline]
    pub(crate) fn reclaim(&mut self) -> Option<Vec<u8>> {
        (self.is_empty() && !self.memory.is_empty()).then(|| std::mem::take(&mut self.memory))
    }

    /// Sees to it that so many bytes fit at the back: by moving the queue to the front of its
    /// memory when that is cheap and suffices, else by growing. So a long queue whose bytes come as
    /// fast as they go is moved once for each quarter of it that went, and not for each piece.
    #[cold]
    fn make_room(&mut self, count: usize) {
        let wanted = self.len() + count;
        let is_enough = wanted <= self.memory.len() && self.start >= self.len() / 4;
        self.move_to_front();
        if !is_enough {
            let size = if wanted <= DOUBLED_BYTES_MAX {
                wanted.max(2 * self.memory.len()).max(FIRST_BYTES)
            } else {
                wanted + wanted / 4
            };
            self.memory.resize(size, 0);
        }
    }

    fn move_to_front(&mut self) {
        self.memory.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.len());
    }
}

/// Copies `from` to as many bytes. Heads are written in pieces of some ten bytes and read as a whole, and
/// the C library of the static programs takes 25 ns for the least that it is asked to copy: up to 256
/// bytes are therefore copied by the loads and stores that they need.
#[inline]
pub(crate) fn copy(to: &mut [u8], from: &[u8]) {
    match from.len() {
        129.. => copy_many(to, from),
        65.. => copy_ends::<64>(to, from),
        33.. => copy_ends::<32>(to, from),
        16.. => copy_ends::<16>(to, from),
        8.. => copy_ends::<8>(to, from),
        4.. => copy_ends::<4>(to, from),
        2.. => copy_ends::<2>(to, from),
        _ => copy_ends::<1>(to, from),
    }
}

#[inline(never)]
fn copy_many(to: &mut [u8], from: &[u8]) {
    match from.len() {
        257.. => to.copy_from_slice(from),
        _ => copy_ends::<128>(to, from),
    }
}

/// Copies the first `N` bytes and the last `N`, which are all if there are no more than twice as many.
#[inline]
fn copy_ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk()) {
        *to = *from;
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
