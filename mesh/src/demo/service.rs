//! The sample service: a small HTTP server on the same machinery as the mesh itself.
//!
//! ```text
//!   Head --- head complete ---> Body --- body complete ---> Head, or Events ---> Head
//! ```

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mesh_protocol::http1::{Reply, ResponseHead, ServerConn, Storage};
use mesh_protocol::{App, Closing, ConnId, Conns, Context, Duplex, Event, ListenerId};

use super::answer::{self, Answer};

/// The service's only listener.
pub(crate) const SERVICE: ListenerId = ListenerId(0);

/// The service.
#[derive(Debug)]
pub(crate) struct SampleService {
    conns: Conns<Caller>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Caller {
    http: ServerConn,
    state: State,
    /// When it last moved.
    moved: Instant,
}

#[derive(Debug)]
enum State {
    /// Waiting for a request head.
    Head,
    /// Skipping the body of a request that is answered so.
    Body(Answer),
    /// Sending events.
    Events { sent: u32, due: Instant },
}

/// Whether a connection can go on at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Continue,
    Wait,
}

const HEAD_BYTES_MAX: usize = 64 * 1024;
const RX_BYTES_MAX: usize = 128 * 1024;
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const EVENTS: u32 = 10;
const EVENT_INTERVAL: Duration = Duration::from_millis(500);

impl SampleService {
    /// A service without callers.
    pub(crate) const fn new() -> Self {
        Self { conns: Conns::new() }
    }
}

impl App for SampleService {
    type Conn = Caller;
    type Job = Infallible;
    type Answer = Infallible;
    type Message = Infallible;

    fn conns(&mut self) -> &mut Conns<Caller> {
        &mut self.conns
    }

    fn accept(&mut self, _: ListenerId, _: SocketAddr, cx: &mut Context<'_>) -> Option<ConnId> {
        let caller =
            Caller { http: ServerConn::new(HEAD_BYTES_MAX), state: State::Head, moved: cx.now };
        Some(self.conns.insert(Duplex::new(RX_BYTES_MAX), caller))
    }

    fn handle(&mut self, event: Event, cx: &mut Context<'_>) {
        match event {
            Event::Progress { conn } => {
                if let Some(connection) = self.conns.get_mut(conn) {
                    connection.state.advance(&mut connection.io, cx.now);
                }
            }
            Event::Deadline { conn } => {
                if let Some(connection) = self.conns.get_mut(conn) {
                    connection.state.expire(&mut connection.io, cx.now);
                }
            }
            Event::Drain => cx.exit(),
            Event::Connected { .. }
            | Event::Adopted { .. }
            | Event::Closed { .. }
            | Event::Tick => {}
        }
    }

    fn transmit(&mut self, _: ConnId, _: &mut Context<'_>) {}

    fn conn_deadline(&self, conn: ConnId) -> Option<Instant> {
        let caller = self.conns.state(conn)?;
        Some(match caller.state {
            State::Head | State::Body(_) => caller.moved + IDLE_TIMEOUT,
            State::Events { due, .. } => due,
        })
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

impl Caller {
    fn advance(&mut self, io: &mut Duplex, now: Instant) {
        self.moved = now;
        // An answer that has not left is the caller's turn: whoever pipelines has to read, too.
        while io.closing.is_none() && io.tx.is_empty() {
            let flow = match self.state {
                State::Head => self.take_head(io),
                State::Body(_) => self.skip_body(io, now),
                State::Events { .. } => Flow::Wait,
            };
            if flow == Flow::Wait {
                break;
            }
        }
    }

    fn expire(&mut self, io: &mut Duplex, now: Instant) {
        match self.state {
            State::Head | State::Body(_) => io.close(Closing::AfterFlush),
            State::Events { sent, .. } => self.send_event(sent + 1, io, now),
        }
    }

    fn take_head(&mut self, io: &mut Duplex) -> Flow {
        let mut storage = Storage::new();
        let (head, end) = match self.http.read_head(io.rx.as_slice(), &mut storage) {
            Ok(Some(found)) => found,
            Ok(None) if io.rx_eof => {
                io.close(Closing::AfterFlush);
                return Flow::Wait;
            }
            Ok(None) => return Flow::Wait,
            Err(_) => return self.refuse(io),
        };
        let Ok(request) = self.http.begin(&head) else {
            return self.refuse(io);
        };
        let (expects_continue, answer) = (request.expects_continue, answer::answer(&head));
        io.rx.consume(end);
        self.state = State::Body(answer);
        if expects_continue {
            with_head(CONTINUE, |head| self.http.interim(head, &mut io.tx));
        }
        Flow::Continue
    }

    fn skip_body(&mut self, io: &mut Duplex, now: Instant) -> Flow {
        let Ok(decoded) = self.http.decode(io.rx.as_slice(), usize::MAX) else {
            return self.refuse(io);
        };
        let used = decoded.used;
        io.rx.consume(used);
        if self.http.has_request_ended() {
            self.respond(io, now);
        } else if used == 0 {
            if io.rx_eof {
                io.close(Closing::Abort);
            }
            return Flow::Wait;
        }
        Flow::Continue
    }

    fn respond(&mut self, io: &mut Duplex, now: Instant) {
        let State::Body(answer) = std::mem::replace(&mut self.state, State::Head) else {
            return;
        };
        match answer {
            Answer::Json { status, body } => {
                self.http.reply(&json(status, &body), &mut io.tx);
                self.next(io);
            }
            Answer::Events => {
                let responded =
                    with_head(EVENT_STREAM, |head| self.http.respond(head, &mut io.tx).is_ok());
                if responded != Some(true) {
                    return io.close(Closing::Abort);
                }
                self.send_event(1, io, now);
            }
        }
    }

    /// Sends the event of that number, and ends the stream with the last one.
    fn send_event(&mut self, number: u32, io: &mut Duplex, now: Instant) {
        let event = format!("data: event {number} of {EVENTS}\n\n");
        if self.http.write(event.as_bytes(), &mut io.tx).is_err() {
            return io.close(Closing::Abort);
        }
        if number < EVENTS {
            self.state = State::Events { sent: number, due: now + EVENT_INTERVAL };
            return;
        }
        self.state = State::Head;
        self.moved = now;
        if self.http.finish(b"", &mut io.tx).is_err() {
            return io.close(Closing::Abort);
        }
        self.next(io);
    }

    /// Leaves the exchange, or the connection when it cannot carry another one.
    fn next(&mut self, io: &mut Duplex) {
        if self.http.close_reason().is_some() {
            io.close(Closing::AfterFlush);
        } else {
            self.http.next();
        }
    }

    fn refuse(&mut self, io: &mut Duplex) -> Flow {
        let body = b"{\"error\": \"this is no HTTP/1.1 request\"}\n";
        self.http.reply(&json(400, body), &mut io.tx);
        io.close(Closing::AfterFlush);
        Flow::Wait
    }
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const EVENT_STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Cache-Control: no-store\r\n\r\n";

/// Lends a head of our own in the form in which heads come from services.
fn with_head<R>(bytes: &[u8], use_it: impl FnOnce(&ResponseHead<'_, '_>) -> R) -> Option<R> {
    let mut storage = Storage::new();
    let head = ResponseHead::parse(bytes, &mut storage).ok()?;
    Some(use_it(&head))
}

const fn json(status: u16, body: &[u8]) -> Reply<'_> {
    Reply { status, fields: &[], content_type: "application/json", body }
}
