//! Sockets that go out: from the application's wish to the connection, or the reason why there is none.

use std::mem;

use mesh_protocol::{App, ConnId, Conns, Readiness, Target};

use super::Reactor;
use crate::connect::Outcome;
use crate::resolve::Resolution;

impl<A: App> Reactor<A> {
    /// Begins to make a connection.
    pub(super) fn connect(&mut self, conn: ConnId, target: Target) {
        if !self.is_wanted(conn) {
            return;
        }
        let token = self.claim(conn);
        let registry = self.poll.registry();
        match self.connector.start(conn, target, token, registry, self.now) {
            Outcome::Failed(error) => self.failed.push((conn, error)),
            Outcome::Connected(_) | Outcome::Pending => {
                self.driver.handle_awaited(conn, self.connector.awaited(conn));
            }
        }
    }

    /// A name was looked up.
    pub(super) fn resolved(&mut self, resolution: Resolution) {
        let (registry, conns) = (self.poll.registry(), self.driver.app_mut().conns());
        let is_wanted = |conn| is_wanted(conns, conn);
        let outcomes = self.connector.handle_resolution(resolution, is_wanted, registry, self.now);
        for (conn, outcome) in outcomes {
            self.conclude(conn, outcome);
        }
    }

    /// Takes the connections that are being made further.
    pub(super) fn advance_connects(&mut self) {
        for (conn, error) in mem::take(&mut self.failed) {
            self.driver.connect_failed(conn, error);
        }
        let mut dialled = mem::take(&mut self.dialled);
        for (conn, readiness) in dialled.drain(..) {
            if self.driver.transport_mut(conn).is_some() {
                // It was made by the edge before, in the same turn.
                self.driver.latch(conn, readiness);
                continue;
            }
            let registry = self.poll.registry();
            let outcome = self.connector.handle_event(conn, registry, self.now);
            let made = matches!(outcome, Outcome::Connected(_));
            self.conclude(conn, outcome);
            if made {
                // The edge that announced the connection also announced its readiness; the one that
                // ended the talk with a proxy said only that there was something to read.
                self.driver.latch(conn, Readiness { writable: true, ..readiness });
            }
        }
        self.dialled = dialled;
        while let Some(conn) = self.connector.poll_expired(self.now) {
            if self.is_wanted(conn) {
                let registry = self.poll.registry();
                let outcome = self.connector.handle_timeout(conn, registry, self.now);
                self.conclude(conn, outcome);
            } else {
                self.connector.forget(conn);
            }
        }
    }

    fn conclude(&mut self, conn: ConnId, outcome: Outcome) {
        match outcome {
            Outcome::Pending => {
                self.driver.handle_awaited(conn, self.connector.awaited(conn));
            }
            Outcome::Connected(socket) => self.driver.connected(conn, socket),
            Outcome::Failed(error) => self.driver.connect_failed(conn, error),
        }
    }

    fn is_wanted(&mut self, conn: ConnId) -> bool {
        is_wanted(self.driver.app_mut().conns(), conn)
    }
}

/// Whether the application still waits for this connection. One that is to end is there until its turn
/// comes, and many may be that nobody shall see.
fn is_wanted<S>(conns: &Conns<S>, conn: ConnId) -> bool {
    conns.get(conn).is_some_and(|connection| !connection.io.is_closing())
}
