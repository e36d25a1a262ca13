//! The one loop that both shells run: which connection is served when, and how it ends.
//!
//! ```text
//!   shell:   latch(conn, readiness)   accepted / connected / connect_failed   fire(now)
//!                     \                      |                                 /
//!   driver:            `----> queue ----> service(conn): transmit, flush, fill, Progress
//!                                ^                            |
//!                                `------ touched by the app <-'
//! ```
//!
//! Latch, then run: the shell first records all readiness of a turn, then calls [`Driver::settle`].
//! No event without movement: the application hears `Progress` only after a byte moved, so
//! settling ends by construction. Access is touch: whatever the application changed is served next.
//! A connection that was touched waits its turn behind those already queued, and that is what
//! makes one write on a tunnel carry the requests of a whole turn.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::{
    App, Buf, CloseReason, Closing, Command, ConnId, Context, Event, ListenerId, Rng, Timers,
};

/// A byte stream to one peer, as the driver needs it: never blocking, TLS or not.
pub trait Transport {
    /// Reads up to `max` bytes to the end of `rx`, by way of `scratch`.
    ///
    /// # Errors
    /// Anything but "would block" ends the connection.
    fn fill(&mut self, rx: &mut Buf, max: usize, scratch: &mut [u8]) -> io::Result<Filled>;

    /// Writes and consumes as much of `tx` as goes.
    ///
    /// # Errors
    /// Anything but "would block" ends the sending direction.
    fn flush(&mut self, tx: &mut Buf) -> io::Result<Flushed>;

    /// Whether there is something to write besides `tx`, such as a TLS handshake.
    fn has_pending(&self) -> bool;

    /// Ends the sending direction; everything was flushed.
    ///
    /// # Errors
    /// The connection is over.
    fn finish(&mut self) -> io::Result<Flushed>;

    /// Makes the coming close a reset.
    fn reset(&mut self);
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// This many bytes, and there may be more.
    More(usize),
    /// This many bytes, fewer than asked for: the kernel has no more unless the peer has closed.
    Short(usize),
    /// This many bytes, and now reading would block.
    Blocked(usize),
    /// The peer has sent its last byte.
    Eof,
}

/// What a write achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Everything left that can; this many bytes. What is still in `tx` waits for something to be
    /// read first, as during a TLS handshake.
    All(usize),
    /// This many bytes left, and now writing would block.
    Blocked(usize),
}

/// What the kernel says of a socket. Flags stay latched until a call would block.
#[derive(Debug, Clone, Copy, Default)]
pub struct Readiness {
    /// Reading may succeed.
    pub readable: bool,
    /// Writing may succeed.
    pub writable: bool,
    /// The peer closed its sending direction, or the connection broke: read on until that shows.
    pub closed: bool,
}

/// The driver of one application over one kind of transport.
#[derive(Debug)]
pub struct Driver<A, T> {
    app: A,
    sockets: Vec<Option<Socket<T>>>,
    queue: VecDeque<ConnId>,
    timers: Timers,
    commands: VecDeque<Command>,
    rng: Rng,
    now: Instant,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Socket<T> {
    owner: ConnId,
    /// `None` while the connection is being made.
    transport: Option<T>,
    ready: Readiness,
    queued: bool,
    /// Writing failed with this; what the peer still said is read before the connection ends.
    broken: Option<io::Error>,
    eof: bool,
    /// When FIN was sent.
    finished_at: Option<Instant>,
    /// When a closing connection last made way towards its end.
    drained_at: Option<Instant>,
}

/// Bytes read from one connection before the next one has its turn.
const FILL_BYTES_MAX: usize = 64 * 1024;
/// Rounds of filling and flushing one `tx` before the next connection has its turn.
const FLUSH_ROUNDS_MAX: usize = 4;
/// Rounds over the queue before the shell looks at the sockets again.
const PASSES_MAX: usize = 8;
/// How long a closing connection may go without taking a byte of what is left for it.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to discard what a peer still sends after our FIN.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

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
            rng,
            now,
            scratch: vec![0; FILL_BYTES_MAX],
        }
    }

    /// Records what the kernel said of a connection. A stale name is ignored.
    pub fn latch(&mut self, conn: ConnId, readiness: Readiness) {
        let Some(socket) = self.socket(conn) else {
            return;
        };
        socket.ready.readable |= readiness.readable || readiness.closed;
        socket.ready.writable |= readiness.writable;
        socket.ready.closed |= readiness.closed;
        self.enqueue(conn);
    }

    /// Somebody connected to a listener. Whom the application does not take in is reset.
    pub fn accepted(
        &mut self,
        listener: ListenerId,
        peer: SocketAddr,
        mut transport: T,
    ) -> Option<ConnId> {
        let mut cx = context(&mut self.rng, &mut self.commands, self.now);
        let Some(conn) = self.app.accept(listener, peer, &mut cx) else {
            transport.reset();
            return None;
        };
        self.adopt(conn, transport);
        Some(conn)
    }

    /// A connection that was asked for is there. A stale name drops the transport.
    pub fn connected(&mut self, conn: ConnId, transport: T) {
        if self
            .socket(conn)
            .is_none_or(|socket| socket.transport.is_some())
        {
            return;
        }
        self.adopt(conn, transport);
        self.tell(Event::Connected { conn });
    }

    /// A connection that was asked for cannot be had.
    pub fn connect_failed(&mut self, conn: ConnId, error: io::Error) {
        if self
            .socket(conn)
            .is_some_and(|socket| socket.transport.is_none())
        {
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
                self.service(conn);
                self.collect();
            }
        }
    }

    /// Whether a settled driver still has something to run: then the shell must not wait.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The time of the turn that begins, and every deadline that passed.
    pub fn fire(&mut self, now: Instant) {
        self.now = now;
        while let Some(conn) = self.timers.poll(now) {
            self.expire(conn);
        }
        if self.app.deadline().is_some_and(|due| due <= now) {
            self.tell(Event::Tick);
        }
        self.collect();
    }

    /// When [`Self::fire`] is to be called at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        [self.timers.next(), self.app.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// What the application asks of the shell.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// The transport of a connection, for the shell's own bookkeeping.
    pub fn transport_mut(&mut self, conn: ConnId) -> Option<&mut T> {
        self.socket(conn)?.transport.as_mut()
    }

    /// Ends the driving: all connections close, unheard by the application.
    pub fn into_app(self) -> A {
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

    /// Transmit, flush, fill, and `Progress` when something moved.
    fn service(&mut self, conn: ConnId) {
        let Some(socket) = self.socket(conn) else {
            return;
        };
        socket.queued = false;
        if socket.transport.is_some() {
            let flushed = self.flush(conn);
            let filled = self.fill(conn);
            self.answer(conn);
            self.watch_ending(conn, flushed);
            if flushed || filled {
                self.progress(conn);
            }
        }
        self.wind_up(conn);
        self.app.conns().settle(conn);
    }

    /// Writes what there is and what the application adds; whether a byte left.
    fn flush(&mut self, conn: ConnId) -> bool {
        let mut moved = false;
        for _ in 0..FLUSH_ROUNDS_MAX {
            let Some(socket) = socket_of(&mut self.sockets, conn) else {
                return moved;
            };
            if !socket.ready.writable || socket.finished_at.is_some() {
                return moved;
            }
            let mut cx = context(&mut self.rng, &mut self.commands, self.now);
            self.app.transmit(conn, &mut cx);
            let Some(connection) = self.app.conns().serve(conn) else {
                return moved;
            };
            let Some(transport) = socket.transport.as_mut() else {
                return moved;
            };
            let tx = &mut connection.io.tx;
            if socket.broken.is_some() {
                // Room in `tx` is movement: who waits for it must hear of it.
                let had_bytes = !tx.is_empty();
                tx.discard();
                return moved | had_bytes;
            }
            if tx.is_empty() && !transport.has_pending() {
                return moved;
            }
            match transport.flush(tx) {
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
                    socket.broken = Some(error);
                    socket.ready.readable = true;
                    socket.ready.closed = true;
                    return true;
                }
            }
        }
        self.enqueue(conn);
        moved
    }

    /// Reads what there is room for; whether a byte or the end arrived.
    fn fill(&mut self, conn: ConnId) -> bool {
        let (mut moved, mut budget) = (false, FILL_BYTES_MAX);
        loop {
            let Some(socket) = socket_of(&mut self.sockets, conn) else {
                return moved;
            };
            let Some(transport) = socket.transport.as_mut() else {
                return moved;
            };
            let Some(connection) = self.app.conns().serve(conn) else {
                return moved;
            };
            let io = &mut connection.io;
            let discard = io.closing >= Some(Closing::AfterFlush);
            let room = if discard {
                FILL_BYTES_MAX
            } else {
                io.rx_room()
            };
            if !socket.ready.readable || socket.eof || room == 0 {
                return moved;
            }
            if budget == 0 {
                self.enqueue(conn);
                return moved;
            }
            let filled = transport.fill(&mut io.rx, room.min(budget), &mut self.scratch);
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
                    socket.eof = true;
                    socket.broken.get_or_insert(error);
                    return moved;
                }
            };
            budget = budget.saturating_sub(count);
            moved |= count > 0;
        }
    }

    /// Writes once more when reading gave the transport itself something to say.
    fn answer(&mut self, conn: ConnId) {
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

    /// Notes that a closing connection made way. Reading does not count: a peer that talks on
    /// without ever listening would hold the connection for good.
    fn watch_ending(&mut self, conn: ConnId, flushed: bool) {
        let now = self.now;
        if self.is_ending(conn)
            && let Some(socket) = self.socket(conn)
            && (flushed || socket.drained_at.is_none())
        {
            socket.drained_at = Some(now);
        }
    }

    /// Tells the application that something moved; a closing connection is the driver's alone.
    fn progress(&mut self, conn: ConnId) {
        let closing = self
            .app
            .conns()
            .get(conn)
            .and_then(|connection| connection.io.closing);
        if closing < Some(Closing::AfterFlush) {
            self.tell(Event::Progress { conn });
        }
    }

    /// Takes the connection as far towards its end as the application and the peer want it.
    fn wind_up(&mut self, conn: ConnId) {
        let Some(socket) = socket_of(&mut self.sockets, conn) else {
            return;
        };
        let Some(connection) = self.app.conns().get(conn) else {
            return;
        };
        let io = &connection.io;
        let ends = io.closing >= Some(Closing::AfterFlush);
        let Some(transport) = socket.transport.as_mut() else {
            if ends {
                return self.close(conn, CloseReason::Aborted);
            }
            let deadline = self.deadline_of(conn);
            return self.timers.update(conn, deadline);
        };
        if io.closing == Some(Closing::Abort) {
            transport.reset();
            return self.close(conn, CloseReason::Aborted);
        }
        if socket.broken.is_some() && (socket.eof || ends) {
            let error = socket
                .broken
                .take()
                .unwrap_or_else(|| io::ErrorKind::BrokenPipe.into());
            return self.close(conn, CloseReason::Failed(error));
        }
        if io.closing.is_some()
            && io.tx.is_empty()
            && socket.finished_at.is_none()
            && socket.ready.writable
        {
            match transport.finish() {
                Ok(Flushed::All(_)) => socket.finished_at = Some(self.now),
                Ok(Flushed::Blocked(_)) => socket.ready.writable = false,
                Err(error) => return self.close(conn, CloseReason::Failed(error)),
            }
        }
        if socket.finished_at.is_some() && socket.eof && (ends || io.rx.is_empty()) {
            return self.close(conn, CloseReason::Finished);
        }
        let deadline = self.deadline_of(conn);
        self.timers.update(conn, deadline);
    }

    /// The connection's entry in the timers came up.
    fn expire(&mut self, conn: ConnId) {
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
        if !self.is_ending(conn) {
            return self.app.conn_deadline(conn);
        }
        let now = self.now;
        let socket = self.socket(conn)?;
        Some(match socket.finished_at {
            Some(finished_at) => finished_at + LINGER_TIMEOUT,
            None => socket.drained_at.unwrap_or(now) + FLUSH_TIMEOUT,
        })
    }

    fn is_ending(&mut self, conn: ConnId) -> bool {
        let connection = self.app.conns().get(conn);
        connection.is_some_and(|connection| connection.io.closing >= Some(Closing::AfterFlush))
    }

    /// The one place where a connection ends.
    fn close(&mut self, conn: ConnId, reason: CloseReason) {
        self.tell(Event::Closed { conn, reason });
        self.app.conns().remove(conn);
        self.timers.remove(conn);
        if self.socket(conn).is_some() {
            self.sockets[conn.index()] = None;
        }
    }

    fn tell(&mut self, event: Event) {
        let mut cx = context(&mut self.rng, &mut self.commands, self.now);
        self.app.handle(event, &mut cx);
    }

    fn adopt(&mut self, conn: ConnId, transport: T) {
        self.enqueue(conn);
        if let Some(socket) = self.socket(conn) {
            socket.transport = Some(transport);
        }
    }

    /// Queues what the application touched.
    fn collect(&mut self) {
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
            transport: None,
            ready: Readiness {
                readable: false,
                writable: false,
                closed: false,
            },
            queued: false,
            broken: None,
            eof: false,
            finished_at: None,
            drained_at: None,
        }
    }
}

fn socket_of<T>(sockets: &mut [Option<Socket<T>>], conn: ConnId) -> Option<&mut Socket<T>> {
    sockets
        .get_mut(conn.index())?
        .as_mut()
        .filter(|socket| socket.owner == conn)
}

fn context<'a>(rng: &'a mut Rng, commands: &'a mut VecDeque<Command>, now: Instant) -> Context<'a> {
    Context { now, rng, commands }
}

#[cfg(test)]
mod tests;
