//! The way past a connection's `tx`: bytes that lie elsewhere go to the socket as they lie there.
//!
//! An application that has many bytes for a connection would copy them into its `tx` just for the
//! shell to write them from there. Here it hands them over instead, for the time of one call: what
//! the socket does not take is in `tx` when the call returns, as if it had been copied there first.

use std::fmt;

use crate::mux::frame::RUN_FRAMES_MAX;
use crate::{Buf, ConnId};

/// The sockets of a driver, as far as an application has to do with them.
pub(crate) trait Sockets {
    /// Writes `tx` and then the pieces to the connection. What does not go now is in `tx` then.
    fn send(&mut self, conn: ConnId, tx: &mut Buf, pieces: &[&[u8]]);

    /// Whether the kernel said of the connection that there is something to read, and not since then
    /// that there is nothing left.
    fn has_unread(&self, conn: ConnId) -> bool;

    /// The same, and what the kernel says when it is asked.
    fn has_unread_by_now(&mut self, conn: ConnId) -> bool;
}

impl fmt::Debug for dyn Sockets + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sockets")
    }
}

/// The way to one connection's socket.
#[derive(Debug)]
pub(crate) struct Outlet<'a> {
    conn: ConnId,
    sockets: &'a mut dyn Sockets,
}

/// Pieces that are handed over at once, at the most: the frames of a run, each behind its header.
pub const PIECES_MAX: usize = 2 * RUN_FRAMES_MAX;
/// The least that is worth a call of its own: less is copied and leaves with what follows.
pub(crate) const PASSING_BYTES_MIN: usize = 8 * 1024;

impl<'a> Outlet<'a> {
    pub(crate) fn new(conn: ConnId, sockets: &'a mut dyn Sockets) -> Self {
        Self { conn, sockets }
    }

    /// The same way, lent for a shorter time.
    pub(crate) fn reborrow(&mut self) -> Outlet<'_> {
        Outlet { conn: self.conn, sockets: self.sockets }
    }

    /// Writes `tx` and then the pieces, if they are many bytes. What does not go now is in `tx` then.
    pub(crate) fn send(&mut self, tx: &mut Buf, pieces: &[&[u8]]) {
        if pieces.iter().map(|piece| piece.len()).sum::<usize>() < PASSING_BYTES_MIN {
            return pieces.iter().for_each(|piece| tx.extend(piece));
        }
        self.sockets.send(self.conn, tx, pieces);
    }
}
