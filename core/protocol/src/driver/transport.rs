//! What the driver needs of a socket: the seam between the loop and the two shells.

use std::io;

use crate::{Buf, Patience};

/// A byte stream to one peer, as the driver needs it: never blocking, TLS or not.
pub trait Transport {
    /// Reads up to `max` bytes to the end of `rx`, by way of `scratch`.
    ///
    /// # Errors
    /// Anything but "would block" ends the connection.
    fn fill(&mut self, rx: &mut Buf, max: usize, scratch: &mut [u8]) -> io::Result<Filled>;

    /// Writes and consumes as much of `tx` as goes.
    ///
    /// # Errors
    /// Anything but "would block" ends the sending direction.
    fn flush(&mut self, tx: &mut Buf) -> io::Result<Flushed>;

    /// As [`Self::flush`], for bytes that [`Self::finish`] or [`Self::finish_for_close`] follows at once, if
    /// all of them go: bytes and end may then leave together.
    ///
    /// # Errors
    /// As [`Self::flush`].
    fn flush_last(&mut self, tx: &mut Buf) -> io::Result<Flushed> {
        self.flush(tx)
    }

    /// Writes `tx` and then the pieces, which lie elsewhere. What does not go is in `tx` then.
    ///
    /// # Errors
    /// As [`Self::flush`].
    fn flush_with(&mut self, tx: &mut Buf, pieces: &[&[u8]]) -> io::Result<Flushed> {
        pieces.iter().for_each(|piece| tx.extend(piece));
        self.flush(tx)
    }

    /// Whether there is something to write besides `tx`, such as a TLS handshake.
    fn has_pending(&self) -> bool;

    /// Ends the sending direction; everything was flushed.
    ///
    /// # Errors
    /// The connection is over.
    fn finish(&mut self) -> io::Result<Flushed>;

    /// Ends the sending direction of a connection that is closed right after; everything was
    /// flushed. Closing itself says enough where no protocol has words of its own for it.
    ///
    /// # Errors
    /// The connection is over.
    fn finish_for_close(&mut self) -> io::Result<Flushed> {
        self.finish()
    }

    /// What a read would find now, however long ago the kernel was last heard.
    fn peek(&mut self) -> Unread;

    /// How long the peer may leave unacknowledged what it is sent from now on. A transport is told
    /// when that changes; it begins with the long one.
    fn set_patience(&mut self, _patience: Patience) {}

    /// Makes the coming close a reset.
    fn reset(&mut self);

    /// Why the connection broke, if no call has said so yet. It is told once.
    fn take_error(&mut self) -> Option<io::Error>;

    /// Whether a TLS handshake is under way. Only reading ends one.
    fn is_handshaking(&self) -> bool {
        false
    }

    /// Whether the connection should be replaced before it can carry no more.
    fn needs_replacing(&self) -> bool {
        false
    }

    /// The DNS names in the verified certificate of whoever connected to us; `None` without a
    /// certificate. Asked once, when the handshake is over.
    fn peer_names(&self) -> Option<Box<[String]>> {
        None
    }
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// This many bytes, and there may be more.
    More(usize),
    /// This many bytes, fewer than asked for: the kernel has no more unless the peer has closed.
    Short(usize),
    /// This many bytes, and now reading would block.
    Blocked(usize),
    /// The peer has sent its last byte.
    Eof,
}

/// What a peer has sent that was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// Nothing, and more can come.
    Nothing,
    /// Bytes.
    Bytes,
    /// Its end, or the connection broke.
    End,
}

/// What a write achieved, in bytes that left. With TLS these are bytes of ciphertext, but not of
/// the handshake; what is sealed and still here does not count, since the peer has taken nothing of
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Everything left that can; the kernel took this many bytes. What is still in `tx` waits for
    /// something to be read first, as during a TLS handshake.
    All(usize),
    /// The kernel took this many bytes, and now writing would block.
    Blocked(usize),
}

/// What the kernel says of a socket. Flags stay latched until a call would block.
#[derive(Debug, Clone, Copy, Default)]
pub struct Readiness {
    /// Reading may succeed.
    pub readable: bool,
    /// Writing may succeed.
    pub writable: bool,
    /// The peer closed its sending direction, or the connection broke: read on until that shows.
    pub closed: bool,
    /// The connection broke. Where nothing is to be read any more, [`Transport::take_error`] says how.
    pub failed: bool,
}

impl Readiness {
    /// Adds what the kernel said later.
    pub const fn note(&mut self, later: Self) {
        self.readable |= later.readable;
        self.writable |= later.writable;
        self.closed |= later.closed;
        self.failed |= later.failed;
    }
}
