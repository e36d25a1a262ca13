//! Memory of empty queues, lent to the next queue that needs some: an idle connection owns none,
//! and a busy one allocates none.
//!
//! Most queues never hold more than a head and a small body; those of tunnels and of bulk do, again
//! and again. If everybody drew from one stack, all of its pieces would grow to the largest size in
//! time. So there are two, and each queue asks for what it used lately.

use crate::{Buf, Duplex};

/// The memory that nobody uses now.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    /// Invariant: the bytes of all large pieces.
    large_bytes: usize,
}

/// Bytes of a small piece: a head, or a small answer.
pub(crate) const SMALL_BYTES: usize = 4 * 1024;
/// Small pieces kept at the most: 2 MiB. One read of a tunnel brings some 300 small messages, each for
/// a queue of its own.
const SMALL_MAX: usize = 512;
/// Bytes of large pieces kept at the most.
const LARGE_BYTES_MAX: usize = 3 * 1024 * 1024;

impl Spare {
    /// No memory.
    pub(crate) const fn new() -> Self {
        Self { small: Vec::new(), large: Vec::new(), large_bytes: 0 }
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
        match large {
            Some(piece) => {
                self.large_bytes -= piece.len();
                piece
            }
            None => self.small.pop().unwrap_or_else(|| vec![0; SMALL_BYTES]),
        }
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
        if piece.len() <= SMALL_BYTES {
            if self.small.len() < SMALL_MAX {
                self.small.push(piece);
            }
        } else if self.large_bytes + piece.len() <= LARGE_BYTES_MAX {
            self.large_bytes += piece.len();
            self.large.push(piece);
        }
    }
}

#[cfg(test)]
mod tests;
