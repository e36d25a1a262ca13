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
//!
//! To move for good is to be registered with another loop, which is most of its price. So one that
//! leaves for a single exchange is **lent**, and stays registered at home:
//!
//! ```text
//!   home:   Lent --- the kernel has news ---> Ready          Returned ---> as it was
//!                                                v                ^
//!   there:  Guest -----------------------> keep: Own --.          |
//!             |-- the connection ends -----------------+--> Released, and its name at home is free
//!             `-- the application is done with it -----------> Returned
//! ```
//!
//! No news is lost: home keeps what the kernel says of a connection that is lent, for when it comes
//! back, and tells of it once. If that finds no guest, the connection is on its way home already,
//! or has ended. Who keeps it registers it, and learns from the kernel how it stands.

use super::{Driver, Socket, Transport, context};
use crate::conns::Boxed;
use crate::{App, ConnId, Event, Outgoing, WorkerId};

/// Something on its way to another worker.
#[derive(Debug)]
pub enum Parcel<M, C, T> {
    /// Something to say.
    Message(M),
    /// A connection.
    Connection(Moved<C, T>),
    /// The kernel has news of a connection that was lent under this name.
    Ready(ConnId),
    /// The connection that was lent under this name does not come back.
    Released(ConnId),
}

/// The parcels of an application over a kind of transport.
pub type ParcelOf<A, T> = Parcel<<A as App>::Message, <A as App>::Conn, T>;

/// A connection that no worker has at the moment.
#[derive(Debug)]
pub struct Moved<C, T> {
    connection: Boxed<C>,
    transport: T,
    /// The rest of what is known of how the transport stands.
    socket: Socket<T>,
    terms: Terms,
}

/// On what terms a connection moves, and so where its transport is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terms {
    /// For good. If it is registered where it comes from, that is to end.
    Transferred,
    /// For good, too; but it is registered at this worker, which had lent it.
    TransferredFrom(WorkerId),
    /// For a while. It stays registered where it comes from, under this name.
    Lent(ConnId),
    /// Back to where it is registered under this name.
    Returned(ConnId),
}

/// Whose a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ownership {
    /// This worker's.
    Own,
    /// This worker's, and another one has it.
    Lent { to: WorkerId, news: News },
    /// Another worker's, which lent it under this name. It has this place among the guests.
    Guest { home: WorkerId, name: ConnId, place: usize },
}

/// A connection that another worker lent.
#[derive(Debug)]
pub(super) struct Guest {
    home: WorkerId,
    /// Its name there.
    name: ConnId,
    /// Its name here.
    conn: ConnId,
}

/// What the kernel said of a connection since it was lent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Nothing,
    /// Something, and whoever has the connection is still to be told.
    Heard,
    Told,
}

impl<M, C, T> Parcel<M, C, T> {
    /// Whether its receiver has to be woken for it. A connection that comes back is wanted when the
    /// kernel has news of it or its deadline passes, and both wake who lent it.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        match self {
            Self::Message(_) | Self::Ready(_) => true,
            Self::Connection(moved) => !matches!(moved.terms, Terms::Returned(_)),
            Self::Released(_) => false,
        }
    }
}

impl<C, T> Moved<C, T> {
    /// The transport, for the shell's own bookkeeping.
    pub const fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// On what terms it moves.
    #[must_use]
    pub const fn terms(&self) -> Terms {
        self.terms
    }

    /// Whether it is registered with the kernel.
    #[must_use]
    pub const fn is_watched(&self) -> bool {
        self.socket.is_watched
    }
}

impl<A: App, T: Transport> Driver<A, T> {
    /// The next thing for another worker. What goes to the same one has to arrive in this order.
    pub fn poll_parcel(&mut self) -> Option<(WorkerId, ParcelOf<A, T>)> {
        self.parcels.pop_front().or_else(|| self.poll_lent_ready())
    }

    /// Another worker has something to say.
    pub fn handle_message(&mut self, from: WorkerId, message: A::Message) {
        let mut cx = context(&mut self.rng, &mut self.commands, &mut self.sockets, self.now);
        self.app.handle_message(from, message, &mut cx);
        self.collect();
    }

    /// Takes in a connection that another worker had. [`Self::adopted`] is to follow.
    pub fn adopt(&mut self, from: WorkerId, moved: Moved<A::Conn, T>) -> ConnId {
        let Moved { connection, transport, mut socket, terms } = moved;
        let mut ownership = Ownership::Own;
        let conn = match terms {
            Terms::Transferred | Terms::TransferredFrom(_) => {
                self.app.conns().insert_boxed(connection)
            }
            Terms::Lent(name) => {
                let conn = self.app.conns().insert_boxed(connection);
                ownership = Ownership::Guest { home: from, name, place: self.guests.len() };
                self.guests.push(Guest { home: from, name, conn });
                conn
            }
            Terms::Returned(name) => {
                let was_lent = self.app.conns().give_back(name, connection);
                debug_assert!(was_lent, "only what was lent comes back");
                // What the kernel said meanwhile.
                socket.ready.note(self.socket(name).map(|record| record.ready).unwrap_or_default());
                name
            }
        };
        self.enqueue(conn);
        if let Some(slot) = self.socket(conn) {
            *slot = Socket {
                owner: conn,
                ownership,
                is_watched: true,
                transport: Some(transport),
                queued: true,
                passed: false,
                ..socket
            };
        }
        match terms {
            // Nobody knows what came meanwhile: it may want to be registered in this very turn.
            Terms::Transferred | Terms::TransferredFrom(_) => self.begin_unwatched(conn),
            Terms::Lent(_) | Terms::Returned(_) => {}
        }
        conn
    }

    /// Tells the application of a connection that was taken in.
    pub fn adopted(&mut self, conn: ConnId) {
        self.tell(Event::Adopted { conn });
        self.collect();
    }

    /// The kernel has news of a connection that another worker lent: it stays here for good, and
    /// the shell registers it. `None` when it is not here any more; then the one who lent it has to
    /// be woken, for it may be on its way back.
    pub fn keep(&mut self, home: WorkerId, name: ConnId) -> Option<ConnId> {
        // Nobody asks for one guest twice.
        let is_meant = |guest: &&Guest| (guest.home, guest.name) == (home, name);
        let conn = self.guests.iter().find(is_meant)?.conn;
        self.end_loan(conn);
        Some(conn)
    }

    /// Whether another worker has this connection for a while.
    #[must_use]
    pub fn is_lent(&self, conn: ConnId) -> bool {
        let socket = self.sockets.get(conn.index()).and_then(Option::as_ref);
        socket.is_some_and(|socket| {
            socket.owner == conn && matches!(socket.ownership, Ownership::Lent { .. })
        })
    }

    /// A connection that was lent does not come back.
    pub fn released(&mut self, name: ConnId) {
        if self.app.conns().write_off(name) {
            self.timers.remove(name);
            self.sockets[name.index()] = None;
        }
    }

    /// Fetches what the application has for other workers.
    pub(super) fn dispatch(&mut self) {
        while let Some((worker, outgoing)) = self.app.poll_outgoing() {
            match outgoing {
                Outgoing::Message(message) => {
                    self.parcels.push_back((worker, Parcel::Message(message)));
                }
                Outgoing::Connection(conn) => self.transfer(conn, worker),
                Outgoing::Loan(conn) => self.lend(conn, worker),
                Outgoing::Return(conn) => self.send_back(conn),
            }
        }
    }

    /// A guest is none any more.
    pub(super) fn end_loan(&mut self, conn: ConnId) {
        if let Some(socket) = self.socket(conn)
            && let Ownership::Guest { home, name, place } = socket.ownership
        {
            socket.ownership = Ownership::Own;
            self.remove_guest(place);
            self.parcels.push_back((home, Parcel::Released(name)));
        }
    }

    /// There is news of a connection; whether it is lent, and so another one's to make something of.
    pub(super) fn note_news(&mut self, conn: ConnId) -> bool {
        let Some(socket) = self.socket(conn) else { return false };
        let Ownership::Lent { news, .. } = &mut socket.ownership else { return false };
        if *news == News::Nothing {
            *news = News::Heard;
            self.lent_ready.push(conn);
        }
        true
    }

    fn poll_lent_ready(&mut self) -> Option<(WorkerId, ParcelOf<A, T>)> {
        while let Some(name) = self.lent_ready.pop() {
            if let Some(socket) = self.socket(name)
                && let Ownership::Lent { to, news: news @ News::Heard } = &mut socket.ownership
            {
                *news = News::Told;
                return Some((*to, Parcel::Ready(name)));
            }
        }
        None
    }

    /// Sends a connection away for good: its name is stale from now on.
    fn transfer(&mut self, conn: ConnId, to: WorkerId) {
        let Some(ownership) = self.leaving(conn) else { return };
        let Some(socket) = self.sockets[conn.index()].take() else { return };
        self.timers.remove(conn);
        let Some(connection) = self.app.conns().take(conn) else { return };
        let Ownership::Guest { home, name, place } = ownership else {
            return self.pack(to, connection, socket, Terms::Transferred);
        };
        self.remove_guest(place);
        self.pack(to, connection, socket, Terms::TransferredFrom(home));
        // After the shell has ended the registration.
        self.parcels.push_back((home, Parcel::Released(name)));
    }

    /// Lends a connection; one that is registered nowhere has no home to be lent from, and is transferred.
    /// Its deadline is the borrower's business, but its entry in the timers stays: a connection that
    /// comes back without waking us ([`Parcel::is_urgent`]) is noticed when that entry is due, at the
    /// latest.
    fn lend(&mut self, conn: ConnId, to: WorkerId) {
        match self.leaving(conn) {
            Some(Ownership::Own) if self.is_watched(conn) => {}
            Some(Ownership::Own | Ownership::Guest { .. }) => return self.transfer(conn, to),
            Some(Ownership::Lent { .. }) | None => return,
        }
        let ownership = Ownership::Lent { to, news: News::Nothing };
        let record = Socket { ownership, ..Socket::new(conn) };
        let Some(socket) = self.sockets[conn.index()].replace(record) else { return };
        let Some(connection) = self.app.conns().lend(conn) else { return };
        self.pack(to, connection, socket, Terms::Lent(conn));
    }

    /// Sends a guest home.
    fn send_back(&mut self, conn: ConnId) {
        let Some(Ownership::Guest { home, name, place }) = self.leaving(conn) else { return };
        let Some(socket) = self.sockets[conn.index()].take() else { return };
        self.timers.remove(conn);
        self.remove_guest(place);
        let Some(connection) = self.app.conns().take(conn) else { return };
        self.pack(home, connection, socket, Terms::Returned(name));
    }

    /// Takes a guest out of the list; the last one gets its place.
    fn remove_guest(&mut self, place: usize) {
        self.guests.swap_remove(place);
        if let Some(&Guest { conn, .. }) = self.guests.get(place)
            && let Some(socket) = self.socket(conn)
            && let Ownership::Guest { place: its, .. } = &mut socket.ownership
        {
            *its = place;
        }
    }

    /// Whose a connection is that is to leave; `None` for one that stays and ends here.
    fn leaving(&mut self, conn: ConnId) -> Option<Ownership> {
        let io = &self.app.conns().get(conn)?.io;
        if io.is_closing() {
            return None;
        }
        let socket = self.socket(conn)?;
        socket.transport.as_ref()?;
        Some(socket.ownership)
    }

    fn pack(
        &mut self,
        to: WorkerId,
        connection: Boxed<A::Conn>,
        mut socket: Socket<T>,
        terms: Terms,
    ) {
        let Some(transport) = socket.transport.take() else { return };
        let moved = Moved { connection, transport, socket, terms };
        self.parcels.push_back((to, Parcel::Connection(moved)));
    }
}
