//! One connection's turn: what the application has leaves, what the peer sent arrives, and the
//! application hears of it when something moved.

use std::io;

use super::{Driver, Filled, Flushed, Socket, Transport, context, socket_of};
use crate::{App, Closing, ConnId, Duplex, Event, Patience};

/// Bytes read from one connection before the next one has its turn: the longest run.
pub(super) const FILL_BYTES_MAX: usize = 256 * 1024;
/// Less than this of it is not worth another call.
const FILL_BYTES_MIN: usize = 4 * 1024;
/// Rounds of filling and flushing one `tx` before the next connection has its turn.
const FLUSH_ROUNDS_MAX: usize = 4;

impl<A: App, T: Transport> Driver<A, T> {
    /// Transmit, flush, fill, and `Progress` when something moved.
    pub(super) fn serve(&mut self, conn: ConnId) {
        let Some(socket) = self.socket(conn) else {
            return;
        };
        socket.queued = false;
        let has_passed = std::mem::take(&mut socket.passed);
        if socket.transport.is_some() {
            if has_passed {
                self.tell_patience(conn);
            }
            let flushed = self.flush(conn) | has_passed;
            let filled = self.is_behind(conn) || self.fill(conn);
            let is_over = self.check_failure(conn);
            self.requeue_if_pending(conn);
            self.watch_ending(conn, flushed, filled);
            if (flushed || filled) && !is_over {
                self.note_needs_replacing(conn);
                self.progress(conn);
                self.go_on(conn);
            }
        }
        self.advance_closing(conn);
        self.update_deadline(conn);
        self.app.conns().reclaim(conn);
    }

    /// Writes what there is and what the application adds; whether a byte left.
    fn flush(&mut self, conn: ConnId) -> bool {
        let mut moved = false;
        for _ in 0..FLUSH_ROUNDS_MAX {
            let Some(mut socket) = socket_of(&mut self.sockets, conn) else {
                return moved;
            };
            if !socket.ready.writable || socket.finished_at.is_some() {
                return moved;
            }
            if socket.broken.is_some() {
                // Asking for more would never end while the peer's last bytes have no room.
                return moved | self.discard(conn);
            }
            let mut has_passed = false;
            if self.app.has_output(conn) {
                self.transmit(conn);
                let Some(again) = socket_of(&mut self.sockets, conn) else {
                    return moved;
                };
                socket = again;
                has_passed = std::mem::take(&mut socket.passed);
                moved |= has_passed;
                if !socket.ready.writable || socket.broken.is_some() {
                    return moved;
                }
            }
            let Some(connection) = self.app.conns().get_served(conn) else {
                return moved;
            };
            socket.tell_patience(connection.io.patience);
            let Some(transport) = socket.transport.as_mut() else {
                return moved;
            };
            // A reset would overtake what the kernel keeps for an end.
            let is_last = connection.io.closing.is_some_and(|closing| closing < Closing::Abort);
            let tx = &mut connection.io.tx;
            if tx.is_empty() && !transport.has_pending() {
                if has_passed {
                    continue;
                }
                return moved;
            }
            let flushed = if is_last { transport.flush_last(tx) } else { transport.flush(tx) };
            match flushed {
                Ok(Flushed::All(count)) => {
                    moved |= count > 0;
                    if !tx.is_empty() {
                        return moved;
                    }
                }
                Ok(Flushed::Blocked(count)) => {
                    socket.ready.writable = false;
                    return moved | (count > 0);
                }
                Err(error) => {
                    tx.discard();
                    socket.fail(error);
                    return true;
                }
            }
        }
        self.enqueue(conn);
        moved
    }

    /// Lets the transport know how patient to be: what went past `tx` may wait in it, and no more go.
    fn tell_patience(&mut self, conn: ConnId) {
        if let Some(connection) = self.app.conns().get(conn)
            && let Some(socket) = socket_of(&mut self.sockets, conn)
        {
            socket.tell_patience(connection.io.patience);
        }
    }

    /// Has the application add what it has.
    fn transmit(&mut self, conn: ConnId) {
        self.app.conns().prepare(conn);
        let (rng, commands) = (&mut self.rng, &mut self.commands);
        let mut cx = context(rng, commands, &mut self.sockets, self.now);
        self.app.transmit(conn, &mut cx);
    }

    /// Drops what can no longer be sent; whether there was something. Room in `tx` is movement:
    /// who waits for it must hear of it.
    fn discard(&mut self, conn: ConnId) -> bool {
        let Some(connection) = self.app.conns().get_served(conn) else {
            return false;
        };
        let had_bytes = !connection.io.tx.is_empty();
        connection.io.tx.discard();
        had_bytes
    }

    /// Whether the application left some of what came for this turn: that comes before anything else is
    /// read.
    fn is_behind(&mut self, conn: ConnId) -> bool {
        let connection = self.app.conns().get_served(conn);
        connection.is_some_and(|one| std::mem::take(&mut one.io.is_behind))
    }

    /// Reads what there is room for; whether a byte or the end arrived.
    fn fill(&mut self, conn: ConnId) -> bool {
        let (mut moved, mut budget) = (false, FILL_BYTES_MAX);
        loop {
            let Some(socket) = socket_of(&mut self.sockets, conn) else {
                return moved;
            };
            if !socket.ready.readable || socket.eof {
                return moved;
            }
            let Some(transport) = socket.transport.as_mut() else {
                return moved;
            };
            let Some(connection) = self.app.conns().serve_reading(conn) else {
                return moved;
            };
            let io = &mut connection.io;
            let discard = io.is_closing();
            let room = if discard { FILL_BYTES_MAX } else { io.rx_room() };
            if room == 0 {
                return moved;
            }
            if budget < FILL_BYTES_MIN {
                self.enqueue(conn);
                return moved;
            }
            let filled = transport.fill(&mut io.rx, room.min(budget), &mut self.scratch);
            if io.is_handshaking && !transport.is_handshaking() {
                io.is_handshaking = false;
                io.peer_names = transport.peer_names();
                // What waited for this may leave, and no byte moved that would say so.
                if !std::mem::replace(&mut socket.queued, true) {
                    self.queue.push_back(conn);
                }
            }
            if discard {
                io.rx.clear();
            }
            let count = match filled {
                Ok(Filled::More(count)) => count,
                Ok(Filled::Short(count)) => {
                    socket.ready.readable = socket.ready.closed;
                    count
                }
                Ok(Filled::Blocked(count)) => {
                    socket.ready.readable = false;
                    count
                }
                Ok(Filled::Eof) => {
                    socket.eof = true;
                    // After a failed write the end is a reset's, and what arrived is not the whole.
                    io.rx_eof = socket.broken.is_none();
                    return moved | io.rx_eof;
                }
                Err(error) => {
                    io.rx_eof = socket.end_reading(error, io);
                    return moved | io.rx_eof;
                }
            };
            budget = budget.saturating_sub(count);
            moved |= count > 0;
        }
    }

    /// Ends a broken connection where reading does not find that out: after the peer's end nobody reads, and
    /// with a full queue nobody does either. A write met the break, or the kernel tells of it. Says whether
    /// the connection is over, and nobody wants what came last.
    fn check_failure(&mut self, conn: ConnId) -> bool {
        let Some(socket) = socket_of(&mut self.sockets, conn) else { return false };
        if !socket.ready.failed && socket.broken.is_none() {
            return false;
        }
        // Where both have ended nothing is left to break.
        let has_ended = socket.eof && socket.finished_at.is_some();
        let is_full = self.app.conns().get(conn).is_some_and(|one| one.io.rx_room() == 0);
        if has_ended || !(socket.eof || is_full) || !self.app.is_heard_out(conn) {
            return false;
        }
        if socket.broken.is_none() {
            socket.broken = socket.transport.as_mut().and_then(T::take_error);
        }
        let is_broken = socket.broken.is_some();
        socket.eof |= is_broken;
        is_broken
    }

    /// Writes once more when reading gave the transport itself something to say.
    fn requeue_if_pending(&mut self, conn: ConnId) {
        let Some(socket) = self.socket(conn) else {
            return;
        };
        if socket.ready.writable
            && socket.finished_at.is_none()
            && socket.broken.is_none()
            && socket.transport.as_ref().is_some_and(T::has_pending)
        {
            self.enqueue(conn);
        }
    }

    /// Serves the connection once more if what the application made of its progress asks for it.
    /// Mostly it does not: whoever took in a request or saw an answer leave has nothing to send.
    fn go_on(&mut self, conn: ConnId) {
        if !self.app.conns().untouch(conn) {
            return;
        }
        let Some(connection) = self.app.conns().get(conn) else {
            return;
        };
        let io = &connection.io;
        let goes_on = io.closing.is_some() || io.is_behind;
        let (has_bytes, has_room) = (!io.tx.is_empty(), io.rx_room() > 0);
        let has_output = has_bytes || self.app.has_output(conn);
        let Some(socket) = self.socket(conn) else {
            return;
        };
        let has_input = socket.ready.readable && !socket.eof && has_room;
        let can_send = socket.ready.writable && has_output;
        if goes_on || has_input || can_send || socket.broken.is_some() || socket.passed {
            self.enqueue(conn);
        }
    }

    /// Lets the application know that the transport will not last.
    fn note_needs_replacing(&mut self, conn: ConnId) {
        let needs_replacing =
            |socket: &mut Socket<T>| socket.transport.as_ref().is_some_and(T::needs_replacing);
        if self.socket(conn).is_some_and(needs_replacing)
            && let Some(connection) = self.app.conns().get_served(conn)
        {
            connection.io.needs_replacing = true;
        }
    }

    /// Tells the application that something moved; a closing connection is the driver's alone.
    fn progress(&mut self, conn: ConnId) {
        let connection = self.app.conns().get(conn);
        if connection.is_none_or(|connection| !connection.io.is_closing()) {
            self.tell(Event::Progress { conn });
        }
    }
}

impl<T: Transport> Socket<T> {
    /// Reading failed. Says whether that is an end of the peer's as any, on a connection that is opaque.
    fn end_reading(&mut self, error: io::Error, duplex: &Duplex) -> bool {
        self.eof = true;
        let is_end = duplex.is_opaque && error.kind() == io::ErrorKind::UnexpectedEof;
        if is_end && self.broken.is_none() {
            return true;
        }
        self.broken.get_or_insert(error);
        false
    }

    /// Lets the transport know how patient to be, if that is new.
    fn tell_patience(&mut self, patience: Patience) {
        if self.patience != patience
            && let Some(transport) = self.transport.as_mut()
        {
            self.patience = patience;
            transport.set_patience(patience);
        }
    }
}
