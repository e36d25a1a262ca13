//! One connection of the origin server: a request is read, answered, and the next one read.

use std::time::{Duration, Instant};

use super::answer::{Answer, Source, Then, chunk};
use super::route::{Appetite, Route};
use super::{HttpService, Served};
use crate::draw;
use crate::peers::message::{self, Body, Checksum, Framing};
use crate::peers::{PeerIo, Received, SocketId};

/// A connection.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) socket: SocketId,
    number: usize,
    rx: Vec<u8>,
    eof: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Between requests or within a head. An idle connection may be closed at a moment of its own.
    Head {
        closes_at: Option<Instant>,
    },
    Request(Box<Exchange>),
    /// The answer is whole and on its way out.
    Leaving(Then),
    Mirror,
    Hang,
}

#[derive(Debug)]
struct Exchange {
    served: usize,
    body: Body,
    sum: Checksum,
    appetite: Appetite,
    /// Answered when the request is whole; `None` is a summary of it.
    planned: Option<Answer>,
    answer: Option<Answer>,
    /// When the next piece of the answer may be sent.
    not_before: Instant,
    next_sip: Instant,
}

/// Whether a connection can do more at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Again,
    Wait,
    Over,
}

/// Bytes that are queued in a socket at the most.
const QUEUE_MAX: usize = 32 * 1024;
const SIP_BYTES: usize = 1024;
const SIP_INTERVAL: Duration = Duration::from_millis(1);

impl Line {
    pub(super) const fn new(socket: SocketId, number: usize) -> Self {
        Self { socket, number, rx: Vec::new(), eof: false, state: State::Head { closes_at: None } }
    }

    /// Does one thing.
    pub(super) fn step(&mut self, service: &mut HttpService, io: &mut PeerIo<'_>) -> Turn {
        match &mut self.state {
            State::Head { closes_at } => {
                let closes_at = *closes_at;
                self.read_head(closes_at, service, io)
            }
            State::Request(_) => self.exchange(service, io),
            State::Leaving(then) => {
                let then = *then;
                self.leave(then, service, io)
            }
            State::Mirror => self.mirror(io),
            State::Hang => {
                self.read(usize::MAX, io);
                self.rx.clear();
                if self.eof { Turn::Over } else { Turn::Wait }
            }
        }
    }

    /// Reads up to `max` bytes; whether something came, the end included.
    fn read(&mut self, max: usize, io: &mut PeerIo<'_>) -> bool {
        if self.eof || max == 0 {
            return false;
        }
        match io.read(self.socket, max, &mut self.rx) {
            Received::Bytes(_) => true,
            Received::Nothing => false,
            Received::Eof | Received::Failed(_) => {
                self.eof = true;
                true
            }
        }
    }

    fn read_head(
        &mut self,
        closes_at: Option<Instant>,
        service: &mut HttpService,
        io: &mut PeerIo<'_>,
    ) -> Turn {
        let Some(head) = message::take_head(&mut self.rx) else {
            if self.read(QUEUE_MAX, io) {
                return Turn::Again;
            }
            return self.idle(closes_at, io);
        };
        self.begin(head, service, io);
        Turn::Again
    }

    /// Nothing to read: whether the connection has a future.
    fn idle(&self, closes_at: Option<Instant>, io: &mut PeerIo<'_>) -> Turn {
        let answered = io.unsent(self.socket) == 0 || io.is_mute(self.socket);
        if self.eof && answered {
            return Turn::Over;
        }
        let Some(at) = closes_at else {
            return Turn::Wait;
        };
        if at > io.now {
            io.wake_at(at);
        } else if answered && self.rx.is_empty() {
            return Turn::Over;
        }
        Turn::Wait
    }

    /// A head is whole: what it asks for decides what follows.
    fn begin(&mut self, head: Vec<u8>, service: &mut HttpService, io: &mut PeerIo<'_>) {
        let framing = match message::declared(&head) {
            Ok(framing) => framing.unwrap_or(Framing::Empty),
            Err(why) => {
                service.malformed.push(why.to_owned());
                io.send(self.socket, b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n");
                self.state = State::Leaving(Then::Close);
                return;
            }
        };
        let route = Route::of(&head, service.health);
        let appetite = route.appetite();
        if appetite != Appetite::Nothing && message::lists(&head, "expect", "100-continue") {
            io.send(self.socket, b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let to_head = head.starts_with(b"HEAD ");
        service.served.push(Served::new(self.number, head, io.now));
        let (planned, answer) = match route {
            Route::Whole(answer) if to_head => (Some(answer.without_body()), None),
            Route::Whole(answer) => (Some(answer), None),
            Route::AtOnce(answer) => (None, Some(answer)),
            Route::Upload(_) => (None, None),
        };
        self.state = State::Request(Box::new(Exchange {
            served: service.served.len() - 1,
            body: Body::new(framing),
            sum: Checksum::default(),
            appetite,
            planned,
            answer,
            not_before: io.now,
            next_sip: io.now,
        }));
    }

    /// Reads the request and sends the answer, whichever can go on.
    fn exchange(&mut self, service: &mut HttpService, io: &mut PeerIo<'_>) -> Turn {
        let room = QUEUE_MAX.saturating_sub(io.unsent(self.socket));
        let State::Request(exchange) = &mut self.state else {
            return Turn::Wait;
        };
        let served = &mut service.served[exchange.served];
        let mut fresh = Vec::new();
        if let Err(why) = exchange.body.advance(&mut self.rx, &mut fresh) {
            service.malformed.push(why.to_owned());
            self.state = State::Leaving(Then::Close);
            return Turn::Again;
        }
        exchange.sum.update(&fresh);
        served.body_len += fresh.len() as u64;
        served.body_sum = exchange.sum.value();
        let done = exchange.body.is_done();
        if done && served.whole_at.is_none() {
            served.whole_at = Some(io.now);
            served.trailers = std::mem::take(&mut exchange.body.trailers);
        }
        if done && exchange.answer.is_none() {
            let summary = format!("{} {:016x}", served.body_len, served.body_sum);
            let planned = exchange.planned.take();
            let answer = planned.unwrap_or_else(|| Answer::text(200, &summary));
            exchange.not_before = io.now + answer.delay;
            exchange.answer = Some(answer);
        }
        let echoed = exchange.send(&fresh, self.socket, io);
        if let Some(then) = exchange.sent(io.now) {
            self.state = State::Leaving(then);
            return Turn::Again;
        }
        let wants = exchange.wants(room, io);
        if self.read(wants, io) {
            return if self.eof { Turn::Over } else { Turn::Again };
        }
        if io.is_mute(self.socket) {
            return Turn::Over;
        }
        if echoed { Turn::Again } else { Turn::Wait }
    }

    fn leave(&mut self, then: Then, service: &HttpService, io: &mut PeerIo<'_>) -> Turn {
        match then {
            Then::KeepAlive => {
                let closes_at =
                    service.idle_close.map(|longest| io.now + draw::up_to(io.rng, longest));
                self.state = State::Head { closes_at };
                return Turn::Again;
            }
            Then::Mirror => {
                self.state = State::Mirror;
                return Turn::Again;
            }
            Then::Finish => {
                io.finish(self.socket);
                self.state = State::Hang;
                return Turn::Again;
            }
            Then::Hang => {
                self.state = State::Hang;
                return Turn::Again;
            }
            Then::Close | Then::Reset => {}
        }
        if io.unsent(self.socket) > 0 && !io.is_mute(self.socket) {
            return Turn::Wait;
        }
        if then == Then::Reset {
            io.reset(self.socket);
        }
        Turn::Over
    }

    fn mirror(&mut self, io: &mut PeerIo<'_>) -> Turn {
        let room = QUEUE_MAX.saturating_sub(io.unsent(self.socket));
        let came = self.read(room, io);
        io.send(self.socket, &self.rx);
        self.rx.clear();
        if self.eof {
            io.finish(self.socket);
            if io.unsent(self.socket) == 0 {
                return Turn::Over;
            }
        }
        if came { Turn::Again } else { Turn::Wait }
    }
}

impl Exchange {
    /// Sends what can be sent of the answer; whether an echo went out.
    fn send(&mut self, fresh: &[u8], socket: SocketId, io: &mut PeerIo<'_>) -> bool {
        let Some(answer) = &mut self.answer else {
            return false;
        };
        if self.not_before > io.now {
            io.wake_at(self.not_before);
            return false;
        }
        io.send(socket, &std::mem::take(&mut answer.head));
        if answer.source == Source::Echo {
            if !fresh.is_empty() {
                io.send(socket, &chunk(fresh));
            }
            if self.body.is_done() {
                io.send(socket, b"0\r\n\r\n");
                answer.source = Source::Nothing;
            }
            return !fresh.is_empty();
        }
        while io.unsent(socket) < QUEUE_MAX && !io.is_mute(socket) {
            if self.not_before > io.now {
                io.wake_at(self.not_before);
                return false;
            }
            let Some(piece) = answer.piece(QUEUE_MAX as u64) else {
                answer.source = Source::Nothing;
                return false;
            };
            self.not_before = io.now + answer.delay;
            io.send(socket, &piece);
        }
        false
    }

    /// What follows, once the answer is queued to its end and the request needs no more reading.
    fn sent(&self, now: Instant) -> Option<Then> {
        let answer = self.answer.as_ref()?;
        let queued =
            answer.head.is_empty() && answer.source == Source::Nothing && self.not_before <= now;
        let ends = !matches!(answer.then, Then::KeepAlive) || self.body.is_done();
        (queued && ends).then_some(answer.then)
    }

    /// How much of the request is to be read now.
    fn wants(&mut self, room: usize, io: &mut PeerIo<'_>) -> usize {
        if self.body.is_done() {
            return 0;
        }
        match self.appetite {
            Appetite::Nothing => 0,
            Appetite::All => room,
            Appetite::Sips if self.next_sip > io.now => {
                io.wake_at(self.next_sip);
                0
            }
            Appetite::Sips => {
                self.next_sip = io.now + SIP_INTERVAL;
                SIP_BYTES
            }
        }
    }
}
