//! Which connections the kernel is to tell of.
//!
//! ```text
//!   accepted or passed --> unwatched -- only the peer can go on, or time is up --> watched
//!                              `-- passed on, or over: there is no registration to end
//! ```
//!
//! A registration is a call when it begins, work for the kernel when it ends, and an event for each
//! thing that happens meanwhile. A caller that sends its request as it connects, and is gone with the
//! answer, needs none of that: it is read from and written to without having been announced. So a
//! connection is registered when the loop would else not learn of something that it waits for.

use std::time::{Duration, Instant};

use super::{Driver, Transport};
use crate::{App, ConnId};

/// How long a connection may stay unwatched. That its peer left is noticed that much later.
const UNWATCHED_MAX: Duration = Duration::from_millis(20);
/// Connections that may: each is looked at in every turn.
const UNWATCHED_COUNT_MAX: usize = 64;

/// A connection that may not be registered yet.
#[derive(Debug)]
pub(super) struct Unwatched {
    conn: ConnId,
    until: Instant,
}

impl<A: App, T: Transport> Driver<A, T> {
    /// Takes out the connections that the shell is to register now, after which it is told how they
    /// stand. To be called when the driver has settled and its parcels are fetched.
    pub fn take_unwatched(&mut self, into: &mut Vec<ConnId>) {
        if self.unwatched.is_empty() {
            return;
        }
        let mut waiting = std::mem::take(&mut self.unwatched);
        let mut kept = 0;
        waiting.retain(|&Unwatched { conn, until }| {
            if !self.may_be_registered(conn) {
                return false;
            }
            let may_wait = kept < UNWATCHED_COUNT_MAX && until > self.now && !self.needs_news(conn);
            if may_wait {
                kept += 1;
            } else {
                self.note_watched(conn);
                into.push(conn);
            }
            may_wait
        });
        self.unwatched = waiting;
    }

    /// When a connection has been unwatched for long enough.
    pub(super) fn watching_deadline(&self) -> Option<Instant> {
        // They came in this order.
        self.unwatched.first().map(|unwatched| unwatched.until)
    }

    /// A connection is new here, and nobody watches it. Whatever its peer has sent can be read.
    pub(super) fn begin_unwatched(&mut self, conn: ConnId) {
        if let Some(socket) = self.socket(conn) {
            socket.is_watched = false;
            let until = self.now + UNWATCHED_MAX;
            self.unwatched.push(Unwatched { conn, until });
        }
    }

    /// The connection is registered, or about to be.
    pub(super) fn note_watched(&mut self, conn: ConnId) {
        if let Some(socket) = self.socket(conn) {
            socket.is_watched = true;
        }
    }

    /// Whether the connection is registered.
    pub(super) fn is_watched(&mut self, conn: ConnId) -> bool {
        self.socket(conn).is_some_and(|socket| socket.is_watched)
    }

    fn may_be_registered(&mut self, conn: ConnId) -> bool {
        self.socket(conn).is_some_and(|socket| socket.transport.is_some() && !socket.is_watched)
    }

    /// Whether what the connection waits for is only to be learnt from the kernel.
    fn needs_news(&mut self, conn: ConnId) -> bool {
        let blocks = self.socket(conn).is_none_or(|socket| {
            !socket.ready.writable || socket.finished_at.is_some() || socket.broken.is_some()
        });
        blocks || self.app.awaits_peer(conn)
    }
}
