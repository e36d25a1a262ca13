//! The contract between an application (rules, no I/O) and a shell (I/O, no rules).
//!
//! The application owns the bytes; the shell owns the sockets. The shell calls, the application
//! answers by changing its connections and by leaving commands in the context. Two applications
//! (ingress, agent) and two shells (the reactor, the simulator) meet here.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use crate::outlet::{Outlet, Sockets};
use crate::{Buf, ConnId, Conns, Proxy, Rng};

/// An application: a state machine over connections.
pub trait App {
    /// What the application knows of one connection.
    type Conn;
    /// Work that blocks, for the shell to do beside the loop; [`std::convert::Infallible`] where
    /// there is none.
    type Job: Send + 'static;
    /// What comes of a job, or what another part of the program has to say.
    type Answer: Send + 'static;
    /// What one worker tells another; [`std::convert::Infallible`] where there is only one.
    type Message: Send + 'static;

    /// All connections.
    fn conns(&mut self) -> &mut Conns<Self::Conn>;

    /// Somebody connected. The answer is the new connection, or `None` to reset it unheard.
    fn accept(
        &mut self,
        listener: ListenerId,
        peer: SocketAddr,
        cx: &mut Context<'_>,
    ) -> Option<ConnId>;

    /// Something happened.
    fn handle(&mut self, event: Event, cx: &mut Context<'_>);

    /// Takes the next job. The shell asks when it has somebody free to do it, so the application's
    /// own queue is the only one, and the application bounds it.
    fn poll_job(&mut self) -> Option<Self::Job> {
        None
    }

    /// A job is done, in whatever order. Whom it was for may be gone by now.
    fn handle_answer(&mut self, _answer: Self::Answer, _cx: &mut Context<'_>) {}

    /// Takes the next thing for another worker, in the order in which they are to arrive there. The
    /// shell asks after each call.
    fn poll_outgoing(&mut self) -> Option<(WorkerId, Outgoing<Self::Message>)> {
        None
    }

    /// Another worker has something to say.
    fn handle_message(&mut self, _from: WorkerId, _message: Self::Message, _cx: &mut Context<'_>) {}

    /// The connection is about to be flushed: the moment to put more into its `tx`, by way of
    /// [`Conns::get_served`]. Other connections are to be touched only when there is something to
    /// do: a touch on every call would keep the shell from ever waiting.
    fn transmit(&mut self, conn: ConnId, cx: &mut Context<'_>);

    /// Whether [`Self::transmit`] may have something to add for the connection. When it certainly
    /// has not, it is not called, and a connection that was touched need not be served for that.
    fn has_output(&self, _conn: ConnId) -> bool {
        true
    }

    /// Whether the connection waits for something from its peer. One that does not can do with
    /// hearing a little later that the peer left or had more to say.
    fn awaits_peer(&self, _conn: ConnId) -> bool {
        true
    }

    /// Whether what the connection carries says itself where each part of it ends, as on a tunnel: then
    /// its peer takes no part for the whole, however the connection ends.
    fn is_framed(&self, _conn: ConnId) -> bool {
        false
    }

    /// Whether nothing more is to be made of what the peer has sent: it is passed on, its end too, or it
    /// was a question, which is of no use once nobody can be answered. If the connection breaks then, it
    /// may end at once.
    fn is_heard_out(&self, _conn: ConnId) -> bool {
        false
    }

    /// Whether the connection, should it break, still has to pass on what its peer said last, and can do so
    /// now. It ends when it has.
    fn has_last_words(&self, _conn: ConnId) -> bool {
        false
    }

    /// When the connection wants to hear [`Event::Deadline`], computed from its state.
    fn conn_deadline(&self, conn: ConnId) -> Option<Instant>;

    /// When the application wants to hear [`Event::Tick`], computed from its state.
    fn deadline(&self) -> Option<Instant>;

    /// Writes a few words about how it is, for whoever runs the process. A shell may ask in every
    /// turn.
    ///
    /// # Errors
    /// Those of the writer.
    fn status(&self, _words: &mut dyn fmt::Write) -> fmt::Result {
        Ok(())
    }
}

/// What a shell tells an application.
#[derive(Debug)]
pub enum Event {
    /// A connection that was asked for with [`Command::Connect`] is there.
    Connected {
        /// Which one.
        conn: ConnId,
    },
    /// Bytes arrived, bytes left, or the peer finished. Sent only when something moved.
    Progress {
        /// Where.
        conn: ConnId,
    },
    /// The connection's deadline has passed, by what [`App::conn_deadline`] says now. It counts as touched.
    Deadline {
        /// Whose.
        conn: ConnId,
    },
    /// The connection is over and its slot is freed after this event. Each connection ends with
    /// exactly one of these.
    Closed {
        /// Which one.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
    },
    /// A connection that another worker had is ours from now on: its bytes and its state are as
    /// they were there, its name is a new one.
    Adopted {
        /// Which one.
        conn: ConnId,
    },
    /// The application's own deadline passed.
    Tick,
    /// The operator asked to leave: SIGTERM or SIGINT. A second one asks to leave at once.
    Drain,
}

/// Why a connection ended.
#[derive(Debug)]
pub enum CloseReason {
    /// The application asked for it and the last byte left, or both sides had finished.
    Finished,
    /// The application asked for a reset.
    Aborted,
    /// The connection could not be made.
    ConnectFailed(io::Error),
    /// The connection broke.
    Failed(io::Error),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("finished"),
            Self::Aborted => f.write_str("aborted"),
            Self::ConnectFailed(error) => write!(f, "cannot connect: {error}"),
            Self::Failed(error) => write!(f, "{error}"),
        }
    }
}

/// What an application, or its driver, asks of the shell beyond the bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Open this connection.
    Connect {
        /// The slot, already inserted.
        conn: ConnId,
        /// Where to.
        target: Target,
    },
    /// This connection ended before it was made.
    Forget {
        /// The slot, which is free by now.
        conn: ConnId,
    },
    /// Take in those who wait at this listener already, and nobody after them.
    StopAccepting(ListenerId),
    /// End the process's event loop.
    Exit,
}

/// An address to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A DNS name or an address literal without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub security: Security,
    /// What the connection carries.
    pub traffic: Traffic,
    /// The proxy that it is reached through, if it is not reached directly.
    pub via: Option<Box<Proxy>>,
}

/// Whether TLS is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Plain TCP.
    Plain,
    /// TLS 1.2 or 1.3, the target's host name verified.
    Tls,
}

/// What a connection carries; the shell sets socket options by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// One flow: the kernel may queue as much as it likes.
    Single,
    /// Many flows: little may wait unsent in the kernel, where nothing can overtake it.
    Multiplexed,
}

/// Names one of an application's listening sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenerId(pub u8);

/// Names one of the workers of an application: the threads of one process, each with its own loop
/// and its own connections. Number 0 has the listeners, and is the only one where there are no
/// others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u8);

impl WorkerId {
    /// The one with the listeners.
    pub const FIRST: Self = Self(0);

    /// The worker's number, for tables.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What an application has for another of its workers.
#[derive(Debug)]
pub enum Outgoing<M> {
    /// Something to say: it hears [`App::handle_message`].
    Message(M),
    /// A connection with its bytes and its state, which is gone here, without a [`Event::Closed`],
    /// as soon as the present call returns: it hears [`Event::Adopted`]. One that is closing, or
    /// not yet made, stays and ends here.
    Connection(ConnId),
    /// A connection that goes there for a while: its name stays reserved here, and the kernel goes
    /// on telling this worker of it, which costs less than to tell another one. Whoever has it now
    /// can write to it at once; when something comes from the peer or room is made for more, this
    /// worker says so, and the connection becomes the other one's for good. One that was lent
    /// itself moves for good.
    Loan(ConnId),
    /// Sends a connection back to the worker that lent it, where it has its old name. One that
    /// became this worker's for good stays.
    Return(ConnId),
}

/// What a shell lends an application for one call.
#[derive(Debug)]
pub struct Context<'a> {
    /// The time of this turn.
    pub now: Instant,
    /// The application's randomness.
    pub rng: &'a mut Rng,
    pub(crate) commands: &'a mut VecDeque<Command>,
    pub(crate) sockets: &'a mut dyn Sockets,
}

impl Context<'_> {
    /// Opens the connection in this slot; the answer is `Connected` or `Closed`.
    pub fn connect(&mut self, conn: ConnId, target: Target) {
        self.commands.push_back(Command::Connect { conn, target });
    }

    /// Sends bytes behind what is in the connection's `tx`: many of them to its socket at once as far
    /// as that takes them, which saves copying them, and by way of `tx` the rest.
    pub fn send(&mut self, conn: ConnId, tx: &mut Buf, pieces: &[&[u8]]) {
        Outlet::new(conn, self.sockets).send(tx, pieces);
    }

    /// Sends what is in the connection's `tx` now and not in its turn, as far as its socket takes it.
    pub fn flush(&mut self, conn: ConnId, tx: &mut Buf) {
        if !tx.is_empty() {
            self.sockets.send(conn, tx, &[]);
        }
    }

    /// Whether the peer may have sent, or ended, what nobody has read yet: reading stops where a queue
    /// is full, and bytes that arrived a moment ago wait for their turn.
    #[must_use]
    pub fn has_unread(&self, conn: ConnId) -> bool {
        self.sockets.has_unread(conn)
    }

    /// As [`Self::has_unread`], for one system call more: the kernel may know of what it had not heard
    /// when it was waited for, as a request that is read in this turn may have come after that too.
    pub fn has_unread_by_now(&mut self, conn: ConnId) -> bool {
        self.sockets.has_unread_by_now(conn)
    }

    /// Closes a listener. Those who waited there already come in within this turn.
    pub fn stop_accepting(&mut self, listener: ListenerId) {
        self.commands.push_back(Command::StopAccepting(listener));
    }

    /// Ends the process's event loop.
    pub fn exit(&mut self) {
        self.commands.push_back(Command::Exit);
    }
}
