//! Sockets that come in: accepted, and registered with the kernel under a token when the loop has to
//! hear of them.

use mesh_protocol::{App, ConnId, ListenerId, Readiness};
use mio::Token;
use mio::event::Event;

use super::{LISTENERS, Reactor};

/// Connections accepted from one listener per turn, so that those already there are served too.
const ACCEPTS_MAX: usize = 64;
/// Connections accepted from a listener before it is closed. More do not wait: it is the backlog of
/// a listener.
const LAST_ACCEPTS_MAX: usize = 4096;

impl<A: App> Reactor<A> {
    /// Takes in who came, within the budget of a turn.
    pub(super) fn accept(&mut self) {
        for index in 0..self.listeners.len() {
            self.accept_from(index, ACCEPTS_MAX);
        }
    }

    /// Takes in who waits at a listener, and closes it: the kernel resets who has not been accepted.
    pub(super) fn stop_accepting(&mut self, id: ListenerId) {
        let Some(index) = self.listeners.iter().position(|listener| listener.id == id) else {
            return;
        };
        self.listeners[index].look_again();
        self.accept_from(index, LAST_ACCEPTS_MAX);
        self.listeners[index].close();
    }

    fn accept_from(&mut self, index: usize, most: usize) {
        for _ in 0..most {
            let listener = &mut self.listeners[index];
            let Some((stream, peer)) = listener.poll_accept(self.now) else {
                break;
            };
            let id = listener.id;
            let Some(socket) = listener.wrap(stream) else { continue };
            self.driver.accepted(id, peer, socket);
        }
    }

    /// Registers those of which the loop would else not learn what they wait for.
    pub(super) fn watch(&mut self) {
        let mut unwatched = std::mem::take(&mut self.unwatched);
        self.driver.take_unwatched(&mut unwatched);
        for conn in unwatched.drain(..) {
            self.register(conn);
        }
        self.unwatched = unwatched;
    }

    /// Registers the socket of a connection.
    pub(super) fn register(&mut self, conn: ConnId) {
        let token = self.claim(conn);
        let Some(socket) = self.driver.transport_mut(conn) else {
            return;
        };
        if socket.register(self.poll.registry(), token).is_err() {
            // It was shut instead, and is served once more to find that out.
            let ended = Readiness { readable: true, writable: true, closed: true, failed: true };
            self.driver.latch(conn, ended);
        }
    }

    /// The token of a connection from now on.
    pub(super) fn claim(&mut self, conn: ConnId) -> Token {
        let index = conn.index();
        if index >= self.owners.len() {
            self.owners.resize(index + 1, None);
        }
        if let Some(predecessor) = self.owners[index].replace(conn) {
            // An attempt that nobody wants any more would share the token.
            self.connector.forget(predecessor);
        }
        Token(LISTENERS + self.listeners.len() + index)
    }
}

/// How a socket stands, as the kernel tells of it.
pub(super) fn readiness(event: &Event) -> Readiness {
    Readiness {
        readable: event.is_readable(),
        writable: event.is_writable(),
        closed: event.is_read_closed() || event.is_error(),
        failed: event.is_error(),
    }
}

/// The token of a listener.
pub(super) const fn token(listener: usize) -> Token {
    Token(LISTENERS + listener)
}
