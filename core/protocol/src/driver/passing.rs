//! Bytes that an application sends past a connection's `tx`.

use super::{Flushed, Socket, Transport, Unread, socket_of};
use crate::outlet::Sockets;
use crate::{Buf, ConnId};

impl<T: Transport> Sockets for Vec<Option<Socket<T>>> {
    fn send(&mut self, conn: ConnId, tx: &mut Buf, pieces: &[&[u8]]) {
        match socket_of(self, conn) {
            Some(socket) if socket.can_pass() => socket.pass(tx, pieces),
            Some(_) | None => pieces.iter().for_each(|piece| tx.extend(piece)),
        }
    }

    fn has_unread(&self, conn: ConnId) -> bool {
        let socket = self.get(conn.index()).and_then(Option::as_ref);
        socket.is_some_and(|socket| socket.owner == conn && socket.ready.readable && !socket.eof)
    }

    fn has_unread_by_now(&mut self, conn: ConnId) -> bool {
        let peeked = socket_of(self, conn)
            .filter(|socket| !socket.eof)
            .and_then(|socket| socket.transport.as_mut())
            .map(Transport::peek);
        self.has_unread(conn) || peeked.is_some_and(|unread| unread != Unread::Nothing)
    }
}

impl<T: Transport> Socket<T> {
    /// Whether bytes may leave now.
    fn can_pass(&self) -> bool {
        self.ready.writable
            && self.broken.is_none()
            && self.finished_at.is_none()
            && self.transport.as_ref().is_some_and(|transport| !transport.is_handshaking())
    }

    /// What comes of it is as when `tx` is flushed; whoever is served next hears of it.
    fn pass(&mut self, tx: &mut Buf, pieces: &[&[u8]]) {
        let Some(transport) = self.transport.as_mut() else { return };
        match transport.flush_with(tx, pieces) {
            Ok(Flushed::All(count)) => self.passed |= count > 0,
            Ok(Flushed::Blocked(count)) => {
                self.ready.writable = false;
                self.passed |= count > 0;
            }
            Err(error) => {
                // The pieces wait in `tx` like what comes after them, until the connection is
                // served: nothing of them has left.
                tx.discard();
                pieces.iter().for_each(|piece| tx.extend(piece));
                self.fail(error);
                self.passed = true;
            }
        }
    }

    /// Writing failed.
    pub(super) fn fail(&mut self, error: std::io::Error) {
        self.broken = Some(error);
        self.ready.readable = true;
        self.ready.closed = true;
    }
}
