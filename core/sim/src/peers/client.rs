//! A caller: sends its requests in order over connections it keeps, and takes the answers apart.

mod leaving;
mod receiving;
mod request;
mod response;

use std::time::{Duration, Instant};

pub use request::Request;
pub use response::{Outcome, Response};

use super::message::Body;
use super::{Peer, PeerIo, SocketId};

/// A scripted caller. It begins at once and connects again when a connection ended.
#[derive(Debug)]
pub struct HttpClient {
    target: String,
    requests: Vec<Request>,
    responses: Vec<Response>,
    reading: Reading,
    sending: Sending,
    vanish: Option<Vanish>,
    /// Bytes that came although nothing was asked, or after the last answer of a connection.
    pub excess: Vec<u8>,
    /// Connections ever begun.
    pub connections: usize,
    line: Option<Line>,
    sent_total: u64,
    received_total: u64,
    next_read: Option<Instant>,
    next_send: Option<Instant>,
    /// Requests before whose first byte the client has made its pause.
    paused: usize,
    afterwards: Afterwards,
    gone: bool,
}

/// How the client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Whatever is there.
    Eager,
    /// So many bytes, and so often.
    Slow(usize, Duration),
    /// So many bytes of all, and no more.
    UpTo(u64),
    /// Not at all.
    Never,
}

/// When the client sends its next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// After the answer to the one before.
    OneByOne,
    /// At once.
    Pipelined,
}

/// What the client does once it has sent or received so many bytes in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vanish {
    /// Closes after so many bytes sent.
    CloseAfterSending(u64),
    /// Resets after so many bytes sent.
    ResetAfterSending(u64),
    /// Sends FIN after so many bytes sent, and reads on.
    FinishAfterSending(u64),
    /// Says nothing more after so many bytes sent, and stays.
    StallAfterSending(u64),
    /// Closes after so many bytes received.
    CloseAfterReceiving(u64),
    /// Resets after so many bytes received.
    ResetAfterReceiving(u64),
}

/// What the client does when its script is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Afterwards {
    /// Sends FIN and reads to the end.
    Leave,
    Stay,
}

/// The present connection.
#[derive(Debug)]
struct Line {
    socket: SocketId,
    rx: Vec<u8>,
    body: Option<Body>,
    /// The request that is being sent and how much of it was.
    sending: usize,
    position: usize,
    /// Held bytes of the request being answered may go.
    released: bool,
    /// Requests answered on this connection.
    answered: usize,
}

/// Bytes that are queued in a socket at the most; more would only cost memory.
const QUEUE_MAX: usize = 64 * 1024;

impl HttpClient {
    /// A caller of that address, with that script.
    #[must_use]
    pub fn new(target: &str, requests: Vec<Request>) -> Self {
        Self {
            target: target.to_owned(),
            requests,
            responses: Vec::new(),
            reading: Reading::Eager,
            sending: Sending::OneByOne,
            vanish: None,
            excess: Vec::new(),
            connections: 0,
            line: None,
            sent_total: 0,
            received_total: 0,
            next_read: None,
            next_send: None,
            paused: 0,
            afterwards: Afterwards::Leave,
            gone: false,
        }
    }

    /// Reads that way.
    #[must_use]
    pub const fn reading(mut self, reading: Reading) -> Self {
        self.reading = reading;
        self
    }

    /// Reads all from now on.
    pub const fn read_on(&mut self) {
        self.reading = Reading::Eager;
    }

    /// Sends all requests at once.
    #[must_use]
    pub const fn pipelined(mut self) -> Self {
        self.sending = Sending::Pipelined;
        self
    }

    /// Keeps its connection when the script is over.
    #[must_use]
    pub const fn staying(mut self) -> Self {
        self.afterwards = Afterwards::Stay;
        self
    }

    /// Leaves that way.
    #[must_use]
    pub const fn vanishing(mut self, vanish: Vanish) -> Self {
        self.vanish = Some(vanish);
        self
    }

    /// Adds a request to the script.
    pub fn ask(&mut self, request: Request) {
        self.requests.push(request);
    }

    /// The script.
    #[must_use]
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// What came of each request so far; the last may be pending.
    #[must_use]
    pub fn responses(&self) -> &[Response] {
        &self.responses
    }

    /// Whether the script is over: each request has its outcome, or the client has left.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.gone || (self.responses.len() == self.requests.len() && !self.is_asking())
    }

    /// Bytes received in all.
    #[must_use]
    pub const fn received_total(&self) -> u64 {
        self.received_total
    }

    /// Sends what may be sent now.
    fn send(&mut self, io: &mut PeerIo<'_>) {
        while let Some(line) = &self.line {
            let (sending, fresh) = (line.sending, line.position == 0);
            let Some(request) = self.requests.get(sending) else {
                return;
            };
            let begun = self.responses.len() > sending;
            if !begun && self.sending == Sending::OneByOne && self.is_asking() {
                return;
            }
            if fresh && self.paused <= sending && !request.pause.is_zero() {
                self.paused = sending + 1;
                self.next_send = Some(io.now + request.pause);
            }
            if let Some(at) = self.next_send {
                if at > io.now {
                    return io.wake_at(at);
                }
                self.next_send = None;
            }
            if !self.send_piece(io) {
                return;
            }
        }
    }

    /// Sends one piece of the present request; whether to go on.
    fn send_piece(&mut self, io: &mut PeerIo<'_>) -> bool {
        let limit = self.sending_limit();
        let Some(line) = &mut self.line else {
            return false;
        };
        let request = &self.requests[line.sending];
        let held = if line.released { request.held.as_slice() } else { &[] };
        let Some(rest) = rest_of(&[&request.head, &request.body, held], line.position) else {
            return self.next_request(io);
        };
        let room = QUEUE_MAX.saturating_sub(io.unsent(line.socket));
        let pace = request.pace.map_or(usize::MAX, |(bytes, _)| bytes);
        let count = rest.len().min(room).min(pace).min(limit);
        if count == 0 || io.is_mute(line.socket) {
            return false;
        }
        io.send(line.socket, &rest[..count]);
        if line.sending == self.responses.len() {
            let reused = line.answered > 0;
            self.responses.push(Response::new(io.now, reused));
        }
        line.position += count;
        self.sent_total += count as u64;
        self.next_send = request.pace.map(|(_, every)| io.now + every);
        true
    }

    /// The present request was sent, except for what it holds back; whether to go on.
    fn next_request(&mut self, io: &mut PeerIo<'_>) -> bool {
        let Some(line) = &mut self.line else {
            return false;
        };
        let request = &self.requests[line.sending];
        if !line.released && !request.held.is_empty() {
            if self.responses[line.sending].outcome == Outcome::Pending {
                return false;
            }
            if request.announces_more() {
                self.hang_up(io);
                return false;
            }
        }
        line.sending += 1;
        line.position = 0;
        line.released = false;
        true
    }

    fn settled_in_order(&self) -> usize {
        let pending = |response: &Response| response.outcome == Outcome::Pending;
        let found = self.responses.iter().position(pending);
        found.unwrap_or(self.responses.len())
    }

    /// Whether an answer is outstanding.
    fn is_asking(&self) -> bool {
        self.settled_in_order() < self.responses.len()
    }

    /// Closes the connection; what is still outstanding on it will not be answered.
    fn hang_up(&mut self, io: &mut PeerIo<'_>) {
        if let Some(mut line) = self.line.take() {
            self.excess.append(&mut line.rx);
            io.close(line.socket);
        }
        for index in self.settled_in_order()..self.responses.len() {
            self.settle(index, Outcome::NoAnswer, io.now);
        }
    }

    fn dial(&mut self, io: &mut PeerIo<'_>) {
        self.connections += 1;
        self.line = Some(Line {
            socket: io.connect(&self.target),
            rx: Vec::new(),
            body: None,
            sending: self.responses.len(),
            position: 0,
            released: false,
            answered: 0,
        });
    }
}

/// What of the parts, one behind the other, begins at `position` and is of one part.
fn rest_of<'a>(parts: &[&'a [u8]], mut position: usize) -> Option<&'a [u8]> {
    for part in parts {
        if position < part.len() {
            return Some(&part[position..]);
        }
        position -= part.len();
    }
    None
}

impl Peer for HttpClient {
    fn step(&mut self, io: &mut PeerIo<'_>) {
        loop {
            if self.gone || (self.line.is_none() && self.is_done()) {
                return;
            }
            if self.line.is_none() {
                self.dial(io);
            }
            self.send(io);
            self.leave_after_sending(io);
            self.receive(io);
            self.leave_after_receiving(io);
            self.send(io);
            self.part(io);
            if self.line.is_some() {
                return;
            }
        }
    }
}
