//! Memory of empty queues, lent to the next queue that needs some: an idle connection owns none,
//! and a busy one allocates none.
//!
//! Most queues never hold more than a head and a small body; those of tunnels and of bulk do, again
//! and again. If everybody drew from one stack, all of its pieces would grow to the largest size in
//! time. So there are two, and each queue asks for what it used lately.

use crate::{Buf, Duplex};

/// The memory that nobody uses now.
#[derive(Debug)]
pub(crate) struct Spare {
    small: Stack,
    large: Stack,
}

#[derive(Debug)]
struct Stack {
    pieces: Vec<Vec<u8>>,
    /// Invariant: the bytes of all pieces, and not more than `bytes_max`.
    bytes: usize,
    bytes_max: usize,
}

/// Bytes of a new piece: a head, or a small answer.
pub(crate) const SMALL_BYTES: usize = 4 * 1024;
/// A small piece may have grown once and is still one: else each queue that needs now and then a bit
/// more would turn a small piece into a large one, and another small one would be allocated.
const GROWN_BYTES: usize = 2 * SMALL_BYTES;
/// Bytes of small pieces kept at the most. One read of a tunnel brings some 300 small messages, each
/// for a queue of its own.
const SMALL_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes of large pieces kept at the most.
const LARGE_BYTES_MAX: usize = 3 * 1024 * 1024;

impl Spare {
    /// No memory.
    pub(crate) const fn new() -> Self {
        Self { small: Stack::new(SMALL_BYTES_MAX), large: Stack::new(LARGE_BYTES_MAX) }
    }

    /// Gives a queue without memory a piece of the size that it used lately.
    #[inline]
    pub(crate) fn lend(&mut self, queue: &mut Buf) {
        if queue.capacity() == 0 {
            queue.lend(self.take(queue.peak()));
        }
    }

    fn take(&mut self, used_lately: usize) -> Vec<u8> {
        let large = if used_lately > SMALL_BYTES { self.large.pop() } else { None };
        large.or_else(|| self.small.pop()).unwrap_or_else(|| vec![0; SMALL_BYTES])
    }

    /// Takes back the memory of a connection's empty queues.
    #[inline]
    pub(crate) fn take_back_all(&mut self, io: &mut Duplex) {
        self.take_back(&mut io.rx);
        self.take_back(&mut io.tx);
    }

    /// Takes back the memory of a queue that is empty.
    #[inline]
    fn take_back(&mut self, queue: &mut Buf) {
        if let Some(piece) = queue.reclaim() {
            self.keep(piece);
        }
    }

    fn keep(&mut self, piece: Vec<u8>) {
        let is_small = piece.len() <= GROWN_BYTES;
        if is_small { &mut self.small } else { &mut self.large }.push(piece);
    }
}

impl Stack {
    const fn new(bytes_max: usize) -> Self {
        Self { pieces: Vec::new(), bytes: 0, bytes_max }
    }

    fn push(&mut self, piece: Vec<u8>) {
        if self.bytes + piece.len() <= self.bytes_max {
            self.bytes += piece.len();
            self.pieces.push(piece);
        }
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let piece = self.pieces.pop()?;
        self.bytes -= piece.len();
        Some(piece)
    }
}

#[cfg(test)]
mod tests;
