//! The one loop that both shells run: which connection is served when, and how it ends.
//!
//! ```text
//!   shell:   latch(conn, readiness)   accepted / connected / connect_failed   fire()
//!                     \                      |                                 /
//!   driver:            `----> queue ----> service(conn): transmit, flush, fill, Progress
//!                                ^                            |
//!                                `------ touched by the app <-'
//! ```
//!
//! Latch, then run: the shell first records all readiness of a turn, then calls [`Driver::settle`].
//! No event without movement: the application hears `Progress` only after a byte moved, or to take what
//! it left of those that came (`Duplex::is_behind`), so settling ends by construction. Access is touch:
//! whatever the application changed is served next. A connection that was touched waits its turn behind
//! those already queued, and that is what makes one write on a tunnel carry the requests of a whole turn.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::{
    App, Awaited, CloseReason, Command, ConnId, Context, Event, ListenerId, Patience, Rng, Timers,
    WorkerId,
};

mod ending;
mod moving;
mod passing;
mod service;
mod transport;
mod watching;

pub use moving::{Moved, Parcel, ParcelOf, Terms};
pub use transport::{Filled, Flushed, Readiness, Transport, Unread};

use crate::outlet::Sockets;
use moving::{Guest, Ownership};
use service::FILL_BYTES_MAX;
use watching::Unwatched;

/// The driver of one application over one kind of transport.
pub struct Driver<A: App, T> {
    app: A,
    sockets: Vec<Option<Socket<T>>>,
    queue: VecDeque<ConnId>,
    timers: Timers,
    commands: VecDeque<Command>,
    /// For other workers, until the shell fetches them.
    parcels: VecDeque<(WorkerId, ParcelOf<A, T>)>,
    /// Lent connections of which the kernel said something since parcels were last fetched.
    lent_ready: Vec<ConnId>,
    /// Connections that other workers lent.
    ///
    /// Invariant: exactly those whose ownership says so, each at the place that it says.
    guests: Vec<Guest>,
    /// Connections that the kernel may not tell of yet, in the order in which they came.
    unwatched: Vec<Unwatched>,
    rng: Rng,
    now: Instant,
    /// Turns for which deadlines that passed have waited.
    postponed: usize,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Socket<T> {
    owner: ConnId,
    ownership: Ownership,
    /// Whether it is registered with the kernel, wherever that is.
    is_watched: bool,
    /// `None` while the connection is being made or lent.
    transport: Option<T>,
    ready: Readiness,
    queued: bool,
    /// Whether bytes left past `tx` of which the application has not heard yet.
    passed: bool,
    /// Writing failed with this; what the peer still said is read before the connection ends.
    broken: Option<io::Error>,
    /// Nothing more is read: the peer has ended, or the connection broke. Only the former is told, as
    /// `Duplex::rx_eof`.
    eof: bool,
    /// What the transport was told.
    patience: Patience,
    /// When FIN was sent.
    finished_at: Option<Instant>,
    /// When a closing connection last made progress towards its end.
    drained_at: Option<Instant>,
}

/// Rounds over the queue before the shell looks at the sockets again. What came on one connection leaves on
/// another in the next round, and a few of them bring an exchange all the way; with more, whoever has the
/// most to say would keep the others waiting.
const PASSES_MAX: usize = 8;
/// A deadline of which we learn so late that the process itself was stopped, or had no processor.
const ASLEEP_MIN: Duration = Duration::from_millis(50);
/// Turns for which such deadlines wait for what came before them: with the shell's own settling they bring
/// more than a tunnel's kernel buffer holds, in frames of any size.
const ASLEEP_TURNS_MAX: usize = 32;

impl<A: App, T: Transport> Driver<A, T> {
    /// A driver without connections.
    #[must_use]
    pub fn new(app: A, rng: Rng, now: Instant) -> Self {
        Self {
            app,
            sockets: Vec::new(),
            queue: VecDeque::new(),
            timers: Timers::new(),
            commands: VecDeque::new(),
            parcels: VecDeque::new(),
            lent_ready: Vec::new(),
            guests: Vec::new(),
            unwatched: Vec::new(),
            rng,
            now,
            postponed: 0,
            scratch: vec![0; FILL_BYTES_MAX],
        }
    }

    /// Records what the kernel said of a connection. A stale name is ignored.
    pub fn latch(&mut self, conn: ConnId, readiness: Readiness) {
        let Some(socket) = self.socket(conn) else {
            return;
        };
        socket.ready.note(readiness);
        socket.ready.readable |= readiness.closed;
        if let Ownership::Lent { .. } = socket.ownership {
            self.note_news(conn);
        } else if !std::mem::replace(&mut socket.queued, true) {
            self.queue.push_back(conn);
        }
    }

    /// Somebody connected to a listener. Whoever the application does not accept is reset. The
    /// shell registers the transport when [`Self::take_unwatched`] says so.
    pub fn accepted(
        &mut self,
        listener: ListenerId,
        peer: SocketAddr,
        mut transport: T,
    ) -> Option<ConnId> {
        let mut cx = context(&mut self.rng, &mut self.commands, &mut self.sockets, self.now);
        let Some(conn) = self.app.accept(listener, peer, &mut cx) else {
            transport.reset();
            return None;
        };
        self.attach(conn, transport);
        if let Some(socket) = self.socket(conn) {
            // Nobody has tried yet.
            socket.ready.readable = true;
            socket.ready.writable = true;
        }
        self.begin_unwatched(conn);
        Some(conn)
    }

    /// A connection that was asked for is there. A stale name drops the transport.
    pub fn connected(&mut self, conn: ConnId, transport: T) {
        if self.socket(conn).is_none_or(|socket| socket.transport.is_some()) {
            return;
        }
        self.attach(conn, transport);
        self.handle_awaited(conn, None);
        self.tell(Event::Connected { conn });
    }

    /// What a connection that was asked for waits for.
    pub fn handle_awaited(&mut self, conn: ConnId, awaited: Option<Awaited>) {
        if let Some(connection) = self.app.conns().get_served(conn) {
            connection.io.awaits = awaited;
        }
    }

    /// A connection that was asked for cannot be had.
    pub fn connect_failed(&mut self, conn: ConnId, error: io::Error) {
        if self.socket(conn).is_some_and(|socket| socket.transport.is_none()) {
            self.close(conn, CloseReason::ConnectFailed(error));
        }
    }

    /// The operator asked to leave.
    pub fn drain(&mut self) {
        self.tell(Event::Drain);
    }

    /// Runs everything that can run now, within the budget of a turn.
    pub fn settle(&mut self) {
        self.collect();
        for _ in 0..PASSES_MAX {
            for _ in 0..self.queue.len() {
                let Some(conn) = self.queue.pop_front() else {
                    return;
                };
                self.serve(conn);
                self.collect();
            }
        }
    }

    /// Whether a settled driver still has something to run: then the shell must not wait.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The time of the turn that begins.
    pub const fn begin_turn(&mut self, now: Instant) {
        self.now = now;
    }

    /// Every deadline that passed. What the kernel has to say is to be latched before, and the connections
    /// to be told that are made by then.
    ///
    /// What came, or was taken, before a deadline is noticed did so in time, also where another connection
    /// than that of the deadline waits for it. Where that is more than a turn brings and we are late, the
    /// deadlines wait for the turns that follow: the shell takes in what others say in between.
    pub fn fire(&mut self) {
        let now = self.now;
        if let Some(due) = self.timers.next().filter(|due| *due <= now) {
            self.settle();
            let is_late = due + ASLEEP_MIN <= now;
            if is_late && self.has_work() && self.postponed < ASLEEP_TURNS_MAX {
                self.postponed += 1;
                return;
            }
        }
        self.postponed = 0;
        while let Some(conn) = self.timers.poll(now) {
            self.expire(conn);
            self.dispatch();
        }
        if self.app.deadline().is_some_and(|due| due <= now) {
            self.tell(Event::Tick);
        }
        self.collect();
    }

    /// When [`Self::fire`] is to be called at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let due = [self.timers.next(), self.app.deadline(), self.watching_deadline()];
        due.into_iter().flatten().min()
    }

    /// What the application asks of the shell.
    pub fn poll_command(&mut self) -> Option<Command> {
        let command = self.commands.pop_front();
        if let Some(Command::Connect { conn, .. }) = &command {
            self.handle_awaited(*conn, Some(Awaited::Peer));
        }
        command
    }

    /// The next job for the shell to do beside the loop, if it has somebody free for it.
    pub fn poll_job(&mut self) -> Option<A::Job> {
        self.app.poll_job()
    }

    /// A job is done.
    pub fn handle_answer(&mut self, answer: A::Answer) {
        let mut cx = context(&mut self.rng, &mut self.commands, &mut self.sockets, self.now);
        self.app.handle_answer(answer, &mut cx);
        self.collect();
    }

    /// The transport of a connection, for the shell's own bookkeeping.
    pub fn transport_mut(&mut self, conn: ConnId) -> Option<&mut T> {
        self.socket(conn)?.transport.as_mut()
    }

    /// Ends the driving: all connections close, unheard by the application. Where something was still
    /// to leave, a reset says so if the peer might take what it got for the whole. It also destroys what
    /// the kernel holds, so it is for no others. (Of what TLS has sealed already the missing end tells.)
    pub fn into_app(mut self) -> A {
        for socket in self.sockets.iter_mut().flatten() {
            let connection = self.app.conns().get(socket.owner);
            let has_unsent = connection.is_some_and(|connection| !connection.io.tx.is_empty());
            if has_unsent
                && !self.app.is_framed(socket.owner)
                && let Some(transport) = &mut socket.transport
            {
                transport.reset();
            }
        }
        self.app
    }

    /// The application.
    #[must_use]
    pub const fn app(&self) -> &A {
        &self.app
    }

    /// The application, to be changed. What it touched is served in the next turn.
    pub const fn app_mut(&mut self) -> &mut A {
        &mut self.app
    }

    fn tell(&mut self, event: Event) {
        let mut cx = context(&mut self.rng, &mut self.commands, &mut self.sockets, self.now);
        self.app.handle(event, &mut cx);
    }

    fn attach(&mut self, conn: ConnId, transport: T) {
        self.enqueue(conn);
        if transport.is_handshaking()
            && let Some(connection) = self.app.conns().get_served(conn)
        {
            connection.io.is_handshaking = true;
        }
        if let Some(socket) = self.socket(conn) {
            socket.transport = Some(transport);
        }
    }

    /// Queues what the application touched, and takes out what it has for other workers.
    fn collect(&mut self) {
        self.dispatch();
        while let Some(conn) = self.app.conns().poll_touched() {
            self.enqueue(conn);
        }
    }

    fn enqueue(&mut self, conn: ConnId) {
        if self.app.conns().get(conn).is_none() {
            return;
        }
        if conn.index() >= self.sockets.len() {
            self.sockets.resize_with(conn.index() + 1, || None);
        }
        let slot = &mut self.sockets[conn.index()];
        let socket = match slot {
            Some(socket) if socket.owner == conn => socket,
            Some(_) | None => slot.insert(Socket::new(conn)),
        };
        if !socket.queued {
            socket.queued = true;
            self.queue.push_back(conn);
        }
    }

    fn socket(&mut self, conn: ConnId) -> Option<&mut Socket<T>> {
        socket_of(&mut self.sockets, conn)
    }
}

impl<T> Socket<T> {
    const fn new(owner: ConnId) -> Self {
        Self {
            owner,
            ownership: Ownership::Own,
            is_watched: true,
            transport: None,
            ready: Readiness { readable: false, writable: false, closed: false, failed: false },
            queued: false,
            passed: false,
            broken: None,
            eof: false,
            patience: Patience::Long,
            finished_at: None,
            drained_at: None,
        }
    }
}

fn socket_of<T>(sockets: &mut [Option<Socket<T>>], conn: ConnId) -> Option<&mut Socket<T>> {
    sockets.get_mut(conn.index())?.as_mut().filter(|socket| socket.owner == conn)
}

fn context<'a>(
    rng: &'a mut Rng,
    commands: &'a mut VecDeque<Command>,
    sockets: &'a mut dyn Sockets,
    now: Instant,
) -> Context<'a> {
    Context { now, rng, commands, sockets }
}

#[cfg(test)]
mod tests;
