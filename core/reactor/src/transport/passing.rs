//! Writing bytes from where they lie, without a copy in the queue.

use std::io::{self, IoSlice, Write};

use mesh_protocol::{Buf, Flushed, PIECES_MAX};

use super::{Plain, Then, Tls, retry};

impl Plain {
    /// One write of everything. What does not go is queued, and the queue flushed: only when the
    /// kernel says "would block" is it certain that it will report free space.
    pub(super) fn flush_with(&mut self, tx: &mut Buf, pieces: &[&[u8]]) -> io::Result<Flushed> {
        let slices = slices(tx, pieces);
        let slices = &slices[..=pieces.len()];
        let Some(count) = retry(|| self.stream.write_vectored(slices))? else {
            consume_written(0, tx, pieces);
            return Ok(Flushed::Blocked(0));
        };
        consume_written(count, tx, pieces);
        Ok(match self.flush(tx, Then::More)? {
            Flushed::All(more) => Flushed::All(count + more),
            Flushed::Blocked(more) => Flushed::Blocked(count + more),
        })
    }
}

impl Tls {
    /// Seals the queue and the pieces from where they lie, as far as that can be done at once, and
    /// writes what is sealed.
    pub(super) fn flush_with(&mut self, tx: &mut Buf, pieces: &[&[u8]]) -> io::Result<Flushed> {
        let (count, sealed) = match self.write(Then::More)? {
            Flushed::All(count) => (count, self.filter.seal(&slices(tx, pieces)[..=pieces.len()])),
            Flushed::Blocked(count) => (count, 0),
        };
        consume_written(sealed, tx, pieces);
        Ok(match self.flush(tx, Then::More)? {
            Flushed::All(more) => Flushed::All(count + more),
            Flushed::Blocked(more) => Flushed::Blocked(count + more),
        })
    }
}

/// The queue and then the pieces; what is left of the slices is empty.
fn slices<'a>(tx: &'a Buf, pieces: &[&'a [u8]]) -> [IoSlice<'a>; PIECES_MAX + 1] {
    let mut slices = [IoSlice::new(&[]); PIECES_MAX + 1];
    slices[0] = IoSlice::new(tx.as_slice());
    for (slice, piece) in slices[1..].iter_mut().zip(pieces) {
        *slice = IoSlice::new(piece);
    }
    slices
}

/// So many bytes of `tx`, and then of the pieces, were written: leaves the rest in `tx`.
fn consume_written(written: usize, tx: &mut Buf, pieces: &[&[u8]]) {
    let queued = written.min(tx.len());
    tx.consume(queued);
    let mut passed = written - queued;
    for piece in pieces {
        let (gone, rest) = piece.split_at(passed.min(piece.len()));
        passed -= gone.len();
        if !gone.is_empty() {
            tx.pass(gone.len());
        }
        tx.extend(rest);
    }
}

#[cfg(test)]
mod tests;
