//! Peers that deal in bytes only: one that shouts and listens, and one that does what it is told.

use std::time::{Duration, Instant};

use mesh_protocol::Rng;

use super::{Peer, PeerIo, Received, SocketId};

/// Sends raw bytes over one connection and collects the raw answer: the smuggler.
#[derive(Debug)]
pub struct RawClient {
    target: String,
    bytes: Vec<u8>,
    socket: Option<SocketId>,
    /// Everything that came back.
    pub answer: Vec<u8>,
    /// How the connection ended, if it has.
    pub end: Option<Received>,
}

impl RawClient {
    /// Sends these bytes to that address, and then listens.
    #[must_use]
    pub fn new(target: &str, bytes: &[u8]) -> Self {
        Self {
            target: target.to_owned(),
            bytes: bytes.to_vec(),
            socket: None,
            answer: Vec::new(),
            end: None,
        }
    }

    /// The status lines in what came back: how many answers the other side thinks it gave.
    #[must_use]
    pub fn status_lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.answer);
        let lines = text.split("\r\n");
        lines.filter_map(|line| line.find("HTTP/1.1 ").map(|at| line[at..].to_owned())).collect()
    }
}

impl Peer for RawClient {
    fn step(&mut self, io: &mut PeerIo<'_>) {
        let socket = *self.socket.get_or_insert_with(|| {
            let socket = io.connect(&self.target);
            io.send(socket, &self.bytes);
            socket
        });
        while self.end.is_none() {
            match io.read(socket, usize::MAX, &mut self.answer) {
                Received::Bytes(_) => {}
                Received::Nothing => return,
                end @ (Received::Eof | Received::Failed(_)) => {
                    self.end = Some(end);
                    io.close(socket);
                }
            }
        }
    }
}

/// What a closure does with the bytes of one connection at a time.
pub struct RawPeer<S> {
    /// What the closure keeps between its calls, for the test to look at.
    pub state: S,
    script: Script<S>,
    dials: Option<String>,
    lines: Vec<RawLine>,
    connections: usize,
}

#[expect(clippy::type_complexity, reason = "the one place where it is spelled out")]
struct Script<S>(Box<dyn FnMut(&mut S, &mut RawTurn<'_>)>);

#[derive(Debug)]
struct RawLine {
    number: usize,
    socket: SocketId,
    reads: bool,
    rx: Vec<u8>,
    end: Option<Received>,
}

/// One call of the closure of a [`RawPeer`]: one connection, as it stands.
#[derive(Debug)]
pub struct RawTurn<'a> {
    /// The time.
    pub now: Instant,
    /// The peer's randomness.
    pub rng: &'a mut Rng,
    /// Which of the peer's connections this is, counted from 0.
    pub connection: usize,
    /// What arrived and was not taken out by the closure.
    pub rx: &'a mut Vec<u8>,
    /// What is to be sent.
    pub tx: Vec<u8>,
    /// The other side has finished, or the connection broke.
    pub end: Option<Received>,
    /// Bytes queued earlier that the link has not taken.
    pub unsent: usize,
    /// When to be called again, at the latest.
    pub wake_in: Option<Duration>,
    /// What becomes of the connection after `tx` was queued.
    pub then: Then,
}

/// What becomes of a connection after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It goes on.
    GoOn,
    /// Nothing more is read: the other side will notice.
    StopReading,
    /// FIN behind what is queued.
    Finish,
    /// Closed at once.
    Close,
    /// Reset at once.
    Reset,
}

impl<S: 'static> RawPeer<S> {
    /// A peer that connects to `address` once and does what the closure does.
    pub fn dialling(
        address: &str,
        state: S,
        script: impl FnMut(&mut S, &mut RawTurn<'_>) + 'static,
    ) -> Self {
        Self { dials: Some(address.to_owned()), ..Self::listening(state, script) }
    }

    /// A peer that does what the closure does with each connection that it accepts.
    pub fn listening(state: S, script: impl FnMut(&mut S, &mut RawTurn<'_>) + 'static) -> Self {
        Self {
            state,
            script: Script(Box::new(script)),
            dials: None,
            lines: Vec::new(),
            connections: 0,
        }
    }

    /// Has the peer connect to `address`, once more if it did before.
    pub fn dial(&mut self, address: &str) {
        self.dials = Some(address.to_owned());
    }

    fn add(&mut self, socket: SocketId) {
        self.connections += 1;
        self.lines.push(RawLine {
            number: self.connections - 1,
            socket,
            reads: true,
            rx: Vec::new(),
            end: None,
        });
    }

    /// Calls the closure for one connection; whether it goes on.
    fn serve(&mut self, index: usize, io: &mut PeerIo<'_>) -> bool {
        let line = &mut self.lines[index];
        while line.reads && line.end.is_none() {
            match io.read(line.socket, usize::MAX, &mut line.rx) {
                Received::Bytes(_) => {}
                Received::Nothing => break,
                end @ (Received::Eof | Received::Failed(_)) => line.end = Some(end),
            }
        }
        let unsent = io.unsent(line.socket);
        let mut turn = RawTurn {
            now: io.now,
            rng: io.rng,
            connection: line.number,
            rx: &mut line.rx,
            tx: Vec::new(),
            end: line.end,
            unsent,
            wake_in: None,
            then: Then::GoOn,
        };
        (self.script.0)(&mut self.state, &mut turn);
        let (tx, wake_in, then) = (turn.tx, turn.wake_in, turn.then);
        io.send(line.socket, &tx);
        if let Some(delay) = wake_in {
            io.wake_in(delay);
        }
        match then {
            Then::GoOn => {}
            Then::StopReading => line.reads = false,
            Then::Finish => io.finish(line.socket),
            Then::Close => io.close(line.socket),
            Then::Reset => io.reset(line.socket),
        }
        !matches!(then, Then::Close | Then::Reset)
    }
}

impl<S: 'static> Peer for RawPeer<S> {
    fn step(&mut self, io: &mut PeerIo<'_>) {
        if let Some(address) = self.dials.take() {
            let socket = io.connect(&address);
            self.add(socket);
        }
        while let Some((socket, _)) = io.accept() {
            self.add(socket);
        }
        let mut index = 0;
        while index < self.lines.len() {
            if self.serve(index, io) {
                index += 1;
            } else {
                self.lines.remove(index);
            }
        }
    }
}
