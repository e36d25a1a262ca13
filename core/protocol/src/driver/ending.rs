//! How connections end: in good order, by a reset, or because time is up.
//!
//! ```text
//!   open -- closing is set --> flushing -- all left, FIN --> lingering -- peer's FIN --> closed
//!                                 |                             |
//!                    FLUSH_TIMEOUT: reset         LINGER_TIMEOUT of silence, or LINGER_MAX: plain close
//! ```
//!
//! When the peer said that it sends nothing more there is no lingering.

use std::time::{Duration, Instant};

use super::{Driver, Flushed, Transport, Unread, socket_of};
use crate::{App, CloseReason, Closing, Command, ConnId, Event};

/// How long a closing connection may go without taking any of what is left for it. The kernel tells of room
/// in steps of a third of its buffer, which is a megabyte and more: a peer that reads slowly seems to take
/// nothing for so long.
pub(super) const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait after our FIN for what a peer still sends, which is discarded. Closing while it comes
/// would reset the connection and could destroy the answer, which many look for only when they have sent
/// everything (RFC 9112 9.6).
pub(super) const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait in all for a peer that goes on sending.
pub(super) const LINGER_MAX: Duration = Duration::from_secs(30);

impl<A: App, T: Transport> Driver<A, T> {
    /// Takes the connection as far towards its end as the application and the peer want it.
    pub(super) fn advance_closing(&mut self, conn: ConnId) {
        let Some(socket) = socket_of(&mut self.sockets, conn) else {
            return;
        };
        let is_owed = socket.broken.is_some() && self.app.has_last_words(conn);
        let Some(connection) = self.app.conns().get_served(conn) else {
            return;
        };
        let io = &mut connection.io;
        let ends = io.is_closing();
        if ends {
            // Nobody reads it any more.
            io.rx.clear();
        }
        let Some(transport) = socket.transport.as_mut() else {
            if ends {
                self.commands.push_back(Command::Forget { conn });
                self.close(conn, CloseReason::Aborted);
            }
            return;
        };
        if io.closing == Some(Closing::Abort) {
            transport.reset();
            return self.close(conn, CloseReason::Aborted);
        }
        let is_read = socket.eof && !io.is_behind && !is_owed;
        if (is_read || ends)
            && let Some(error) = socket.broken.take()
        {
            return self.close(conn, CloseReason::Failed(error));
        }
        if io.closing.is_some()
            && !is_owed
            && io.tx.is_empty()
            && socket.finished_at.is_none()
            && socket.ready.writable
        {
            if io.closing == Some(Closing::Agreed) && transport.peek() == Unread::Bytes {
                // Closing now would destroy what has just been written.
                io.closing = Some(Closing::AfterFlush);
            }
            let is_last = matches!(io.closing, Some(Closing::Agreed | Closing::Discard));
            let ended = if is_last { transport.finish_for_close() } else { transport.finish() };
            match ended {
                Ok(Flushed::All(_)) if is_last => {
                    return self.close(conn, CloseReason::Finished);
                }
                Ok(Flushed::All(_)) => socket.finished_at = Some(self.now),
                Ok(Flushed::Blocked(_)) => socket.ready.writable = false,
                Err(error) => return self.close(conn, CloseReason::Failed(error)),
            }
        }
        if socket.finished_at.is_some() && socket.eof && (ends || io.rx.is_empty()) {
            self.close(conn, CloseReason::Finished);
        }
    }

    /// Has the connection asked again when its deadline passes.
    pub(super) fn update_deadline(&mut self, conn: ConnId) {
        let due = self.deadline_of(conn);
        self.timers.update(conn, due);
    }

    /// Notes that a closing connection made progress: until our FIN by what it took, and then by what it sends. A
    /// peer that talks on without ever listening would else hold the connection for good.
    pub(super) fn watch_ending(&mut self, conn: ConnId, flushed: bool, filled: bool) {
        let now = self.now;
        if self.is_ending(conn)
            && let Some(socket) = self.socket(conn)
        {
            let has_moved = flushed || (filled && socket.finished_at.is_some());
            if has_moved || socket.drained_at.is_none() {
                socket.drained_at = Some(now);
            }
        }
    }

    /// The connection's entry in the timers came up.
    pub(super) fn expire(&mut self, conn: ConnId) {
        if self.note_news(conn) {
            // It would come back unnoticed after this: who has it is to keep it.
            return;
        }
        let due = self.deadline_of(conn);
        if due.is_some_and(|due| due <= self.now) {
            if self.is_ending(conn) {
                return self.give_up(conn);
            }
            self.tell(Event::Deadline { conn });
            self.app.conns().touch(conn);
        } else {
            self.timers.update(conn, due);
        }
    }

    /// Ends a connection whose peer neither takes what is left nor closes.
    fn give_up(&mut self, conn: ConnId) {
        let Some(socket) = self.socket(conn) else {
            return;
        };
        if socket.finished_at.is_some() {
            // No reset: the kernel may still hold a large answer for a slow peer.
            return self.close(conn, CloseReason::Finished);
        }
        if let Some(transport) = socket.transport.as_mut() {
            transport.reset();
        }
        self.close(conn, CloseReason::Aborted);
    }

    fn deadline_of(&mut self, conn: ConnId) -> Option<Instant> {
        if self.is_ending(conn) { self.end_of(conn) } else { self.app.conn_deadline(conn) }
    }

    /// When an ending connection is given up.
    fn end_of(&mut self, conn: ConnId) -> Option<Instant> {
        let now = self.now;
        let socket = self.socket(conn)?;
        Some(match socket.finished_at {
            Some(finished_at) => {
                let heard_at = socket.drained_at.map_or(finished_at, |at| at.max(finished_at));
                (heard_at + LINGER_TIMEOUT).min(finished_at + LINGER_MAX)
            }
            None => socket.drained_at.unwrap_or(now) + FLUSH_TIMEOUT,
        })
    }

    fn is_ending(&mut self, conn: ConnId) -> bool {
        let connection = self.app.conns().get(conn);
        connection.is_some_and(|connection| connection.io.is_closing())
    }

    /// The one place where a connection ends.
    pub(super) fn close(&mut self, conn: ConnId, reason: CloseReason) {
        self.tell(Event::Closed { conn, reason });
        self.app.conns().remove(conn);
        self.timers.remove(conn);
        if self.socket(conn).is_some() {
            self.end_loan(conn);
            self.sockets[conn.index()] = None;
        }
    }
}
