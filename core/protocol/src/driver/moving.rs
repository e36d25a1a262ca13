//! Connections and messages that go from one worker of an application to another.
//!
//! ```text
//!   here:   App::poll_outgoing -- dispatch --> parcels -- poll_parcel --> the shell's mailbox
//!   there:  the shell -- adopt, register, adopted --> Event::Adopted
//!                     `- handle_message ------------> App::handle_message
//! ```
//!
//! A connection moves as one owned value: its queues, its state, its transport, and what is known
//! of how the transport stands. It is in one place at any time, so nothing is lost and nothing is
//! done twice. Its deadline is computed from its state, there as here.

use std::io;
use std::time::Instant;

use super::{Driver, Readiness, Transport, context};
use crate::{App, Closing, ConnId, Connection, Event, Outgoing, WorkerId};

/// Something on its way to another worker.
#[derive(Debug)]
pub enum Parcel<M, C, T> {
    /// Something to say.
    Message(M),
    /// A connection.
    Connection(Box<Moved<C, T>>),
}

/// The parcels of an application over a kind of transport.
pub type ParcelOf<A, T> = Parcel<<A as App>::Message, <A as App>::Conn, T>;

/// A connection that no worker has at the moment.
#[derive(Debug)]
pub struct Moved<C, T> {
    connection: Connection<C>,
    transport: T,
    ready: Readiness,
    broken: Option<io::Error>,
    eof: bool,
    finished_at: Option<Instant>,
    drained_at: Option<Instant>,
}

impl<C, T> Moved<C, T> {
    /// The transport, for the shell's own bookkeeping.
    pub const fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }
}

impl<A: App, T: Transport> Driver<A, T> {
    /// The next thing for another worker. What goes to the same one has to arrive in this order.
    pub fn poll_parcel(&mut self) -> Option<(WorkerId, ParcelOf<A, T>)> {
        self.parcels.pop_front()
    }

    /// Another worker has something to say.
    pub fn handle_message(&mut self, from: WorkerId, message: A::Message) {
        let mut cx = context(&mut self.rng, &mut self.commands, self.now);
        self.app.handle_message(from, message, &mut cx);
        self.collect();
    }

    /// Takes in a connection that another worker had. The shell registers its transport, hears
    /// from the kernel how that stands now, and calls [`Self::adopted`].
    pub fn adopt(&mut self, moved: Moved<A::Conn, T>) -> ConnId {
        let Moved { connection, transport, ready, broken, eof, finished_at, drained_at } = moved;
        let conn = self.app.conns().insert(connection.io, connection.state);
        self.enqueue(conn);
        if let Some(socket) = self.socket(conn) {
            socket.transport = Some(transport);
            socket.ready = ready;
            socket.broken = broken;
            socket.eof = eof;
            socket.finished_at = finished_at;
            socket.drained_at = drained_at;
        }
        conn
    }

    /// Tells the application of a connection that was taken in.
    pub fn adopted(&mut self, conn: ConnId) {
        self.tell(Event::Adopted { conn });
        self.collect();
    }

    /// Fetches what the application has for other workers.
    pub(super) fn dispatch(&mut self) {
        while let Some((worker, outgoing)) = self.app.poll_outgoing() {
            let parcel = match outgoing {
                Outgoing::Message(message) => Parcel::Message(message),
                Outgoing::Connection(conn) => match self.take(conn) {
                    Some(moved) => Parcel::Connection(Box::new(moved)),
                    None => continue,
                },
            };
            self.parcels.push_back((worker, parcel));
        }
    }

    /// Takes a connection out: its name is stale from now on.
    fn take(&mut self, conn: ConnId) -> Option<Moved<A::Conn, T>> {
        let io = &self.app.conns().get(conn)?.io;
        if io.closing >= Some(Closing::AfterFlush) {
            return None;
        }
        self.socket(conn)?.transport.as_ref()?;
        let socket = self.sockets[conn.index()].take()?;
        self.timers.remove(conn);
        let connection = self.app.conns().remove(conn)?;
        Some(Moved {
            connection,
            transport: socket.transport?,
            ready: socket.ready,
            broken: socket.broken,
            eof: socket.eof,
            finished_at: socket.finished_at,
            drained_at: socket.drained_at,
        })
    }
}
