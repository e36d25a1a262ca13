//! Sockets as a scripted peer sees them: what it sends is queued without limit, what it reads is
//! its own decision.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mesh_protocol::{Readiness, Rng};

use crate::endpoint::Endpoint;
use crate::link::Token;
use crate::network::traffic::Got;
use crate::network::{Arrival, Network, NodeId};
use crate::trace::Mark;

/// Names a socket of one peer; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SocketId(usize);

/// How a socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketState {
    /// The connection is being made.
    Connecting,
    /// It is there, or was there and failed: reading tells.
    Open,
    /// It could not be made.
    Refused(ErrorKind),
    /// The peer closed it.
    Closed,
}

/// What reading brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// This many bytes, at least one.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The other side has finished.
    Eof,
    /// The connection broke.
    Failed(ErrorKind),
}

/// All sockets of a peer.
pub(crate) struct Sockets {
    node: NodeId,
    network: Rc<RefCell<Network>>,
    /// By [`SocketId`]; ended ones keep their place and little else.
    sockets: Vec<Socket>,
    /// Sockets that are open or will be.
    live: Vec<usize>,
    accepted: VecDeque<(SocketId, u8)>,
}

struct Socket {
    state: SocketState,
    endpoint: Option<Endpoint>,
    out: VecDeque<u8>,
    finishing: bool,
    /// FIN was sent, or writing failed.
    mute: bool,
    error: Option<ErrorKind>,
}

impl Sockets {
    pub(crate) fn new(node: NodeId, network: &Rc<RefCell<Network>>) -> Self {
        Self {
            node,
            network: Rc::clone(network),
            sockets: Vec::new(),
            live: Vec::new(),
            accepted: VecDeque::new(),
        }
    }

    pub(crate) fn forget_edges(&self, edges: &mut Vec<(Token, Readiness)>) {
        let mut network = self.network.borrow_mut();
        network.take_edges(self.node, edges);
        edges.clear();
    }

    /// Takes over what came since.
    pub(crate) fn receive(&mut self) {
        loop {
            let arrival = self.network.borrow_mut().poll_arrival(self.node);
            let Some(arrival) = arrival else { return };
            match arrival {
                Arrival::Accepted { end, listener, .. } => {
                    let id = self.add(SocketState::Connecting);
                    self.open(id, Endpoint::new(end, &self.network));
                    self.accepted.push_back((id, listener.0));
                }
                Arrival::Connected { end, token } => {
                    let endpoint = Endpoint::new(end, &self.network);
                    if let Token::Socket(number) = token
                        && self.sockets[number].state == SocketState::Connecting
                    {
                        self.open(SocketId(number), endpoint);
                    }
                }
                Arrival::Failed { token, error } => {
                    if let Token::Socket(number) = token {
                        self.sockets[number].state = SocketState::Refused(error);
                    }
                }
                Arrival::Drain => {}
            }
        }
    }

    fn add(&mut self, state: SocketState) -> SocketId {
        self.live.push(self.sockets.len());
        self.sockets.push(Socket {
            state,
            endpoint: None,
            out: VecDeque::new(),
            finishing: false,
            mute: false,
            error: None,
        });
        SocketId(self.sockets.len() - 1)
    }

    fn open(&mut self, id: SocketId, endpoint: Endpoint) {
        let end = endpoint.id();
        let socket = &mut self.sockets[id.0];
        socket.endpoint = Some(endpoint);
        socket.state = SocketState::Open;
        let mut network = self.network.borrow_mut();
        network.claim(end, Token::Socket(id.0));
    }

    /// Writes what is queued and goes.
    pub(crate) fn flush(&mut self) {
        for &number in &self.live {
            self.sockets[number].flush();
        }
        let sockets = &self.sockets;
        self.live.retain(|&number| match sockets[number].state {
            SocketState::Connecting | SocketState::Open => true,
            SocketState::Refused(_) | SocketState::Closed => false,
        });
    }
}

impl Socket {
    fn flush(&mut self) {
        let Some(endpoint) = &self.endpoint else {
            return;
        };
        let mut failed = None;
        while !self.out.is_empty() && !self.mute && failed.is_none() {
            match endpoint.write(self.out.as_slices().0) {
                Ok(0) => return,
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) => failed = Some(error.kind()),
            }
        }
        if failed.is_none() && self.finishing && !self.mute {
            self.mute = true;
            failed = endpoint.shut_down().err().map(|error| error.kind());
        }
        if let Some(error) = failed {
            self.fail(error);
        }
    }

    fn fail(&mut self, error: ErrorKind) {
        self.mute = true;
        self.out.clear();
        self.error = Some(error);
    }
}

/// What a peer can do in a step.
pub struct PeerIo<'a> {
    /// The time.
    pub now: Instant,
    /// The peer's randomness.
    pub rng: &'a mut Rng,
    sockets: &'a mut Sockets,
    wake: Option<Instant>,
}

impl<'a> PeerIo<'a> {
    pub(crate) fn new(sockets: &'a mut Sockets, rng: &'a mut Rng) -> Self {
        let now = sockets.network.borrow().now;
        Self { now, rng, sockets, wake: None }
    }

    pub(crate) const fn wake(&self) -> Option<Instant> {
        self.wake
    }

    /// Has the peer step again at this time or before. Counts for one step only.
    pub fn wake_at(&mut self, at: Instant) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// Has the peer step again after this long or before. Counts for one step only.
    pub fn wake_in(&mut self, delay: Duration) {
        self.wake_at(self.now + delay);
    }

    /// Begins a connection to an address of the book.
    pub fn connect(&mut self, address: &str) -> SocketId {
        let id = self.sockets.add(SocketState::Connecting);
        let mut network = self.sockets.network.borrow_mut();
        network.connect(self.sockets.node, address, Token::Socket(id.0));
        id
    }

    /// The next connection that somebody made to the peer, and the number of the listener.
    pub fn accept(&mut self) -> Option<(SocketId, u8)> {
        self.sockets.accepted.pop_front()
    }

    /// How a socket is.
    #[must_use]
    pub fn state(&self, id: SocketId) -> SocketState {
        self.sockets.sockets[id.0].state
    }

    /// Reads up to `max` bytes to the end of `into`.
    pub fn read(&mut self, id: SocketId, max: usize, into: &mut Vec<u8>) -> Received {
        let socket = &mut self.sockets.sockets[id.0];
        if let SocketState::Refused(error) = socket.state {
            return Received::Failed(error);
        }
        let Some(endpoint) = &socket.endpoint else {
            return Received::Nothing;
        };
        match endpoint.read(max, |bytes| into.extend_from_slice(bytes)) {
            Ok(Got::Bytes(count)) => Received::Bytes(count),
            Ok(Got::Nothing) => Received::Nothing,
            Ok(Got::Eof) => match socket.error {
                Some(error) => Received::Failed(error),
                None => Received::Eof,
            },
            Err(error) => {
                socket.fail(error.kind());
                Received::Failed(error.kind())
            }
        }
    }

    /// Queues bytes; they leave as the link takes them, after the connection is made.
    pub fn send(&mut self, id: SocketId, bytes: &[u8]) {
        let socket = &mut self.sockets.sockets[id.0];
        if !socket.mute && !socket.finishing {
            socket.out.extend(bytes);
        }
        socket.flush();
    }

    /// Queued bytes that the link has not taken.
    #[must_use]
    pub fn unsent(&self, id: SocketId) -> usize {
        self.sockets.sockets[id.0].out.len()
    }

    /// Whether nothing more can be sent: finished, or failed.
    #[must_use]
    pub fn is_mute(&self, id: SocketId) -> bool {
        self.sockets.sockets[id.0].mute
    }

    /// Sends FIN behind what is queued.
    pub fn finish(&mut self, id: SocketId) {
        let socket = &mut self.sockets.sockets[id.0];
        socket.finishing = true;
        socket.flush();
    }

    /// Closes the socket; what is queued and unsent is lost, and unread bytes make it a reset.
    pub fn close(&mut self, id: SocketId) {
        let socket = &mut self.sockets.sockets[id.0];
        socket.endpoint = None;
        socket.out = VecDeque::new();
        socket.state = SocketState::Closed;
    }

    /// Resets the connection.
    pub fn reset(&mut self, id: SocketId) {
        if let Some(endpoint) = &self.sockets.sockets[id.0].endpoint {
            let mut network = self.sockets.network.borrow_mut();
            network.make_abortive(endpoint.id());
        }
        self.close(id);
    }

    /// Writes a line into the trace.
    pub fn note(&self, line: &str) {
        let mut network = self.sockets.network.borrow_mut();
        network.mark(Mark::Note(line.to_owned()));
    }
}
