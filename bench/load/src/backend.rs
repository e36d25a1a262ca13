//! The service behind the chains where files do not do: uploads, events, WebSocket echo.
//!
//! | path | answer |
//! | --- | --- |
//! | `/small` | a few bytes |
//! | `/sink` | how many bytes the upload had |
//! | `/sunk` | how many bytes all uploads had so far |
//! | `/digest` | SHA-256 of the upload |
//! | `/events` | an event each tenth of a second, to all at the same time |
//! | `/ws` | each message, back |

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use argh::FromArgs;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use ring::digest;
use tungstenite::handshake::derive_accept_key;

use crate::{Outcome, frames, sse};

/// Serve what the loads ask for, on a port that is printed.
#[derive(FromArgs)]
#[argh(subcommand, name = "backend")]
pub(crate) struct Arguments {
    /// port to listen on; 0 lets the system choose
    #[argh(option, default = "0")]
    port: u16,
}

const LISTENER: Token = Token(usize::MAX);
const EVENT_INTERVAL: Duration = Duration::from_millis(100);
/// A subscriber that is so far behind is lost.
const BEHIND_MAX: usize = 1 << 20;
const SMALL: &str = "a small answer of about sixty bytes, as many services give it..\n";

/// What a connection is doing.
enum State {
    Head,
    Sink { left: u64, length: u64 },
    Digest { left: u64, context: Box<digest::Context> },
    Events,
    Echo,
}

struct Conn {
    stream: TcpStream,
    state: State,
    rx: Vec<u8>,
    tx: Vec<u8>,
}

struct Backend {
    poll: Poll,
    listener: TcpListener,
    conns: Vec<Option<Conn>>,
    sunk: u64,
    event_number: u64,
    piece: Vec<u8>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let poll = Poll::new()?;
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port)))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("listening {}", listener.local_addr()?.port());
    let piece = vec![0; 256 << 10];
    let mut backend =
        Backend { poll, listener, conns: Vec::new(), sunk: 0, event_number: 0, piece };
    let mut events = Events::with_capacity(1024);
    let mut event_due = Instant::now();
    loop {
        let wait = event_due.saturating_duration_since(Instant::now());
        backend.poll.poll(&mut events, Some(wait))?;
        for event in &events {
            match event.token() {
                LISTENER => backend.accept()?,
                Token(id) => backend.serve(id),
            }
        }
        let now = Instant::now();
        if now >= event_due {
            event_due = now + EVENT_INTERVAL;
            backend.publish();
        }
    }
}

impl Backend {
    fn accept(&mut self) -> Outcome {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nodelay(true)?;
            let id = self.conns.iter().position(Option::is_none).unwrap_or(self.conns.len());
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(id), both)?;
            let conn = Conn { stream, state: State::Head, rx: Vec::new(), tx: Vec::new() };
            if id == self.conns.len() {
                self.conns.push(Some(conn));
            } else {
                self.conns[id] = Some(conn);
            }
        }
    }

    /// Reads and answers what there is. A peer that breaks off or speaks nonsense is forgotten.
    fn serve(&mut self, id: usize) {
        let Some(mut conn) = self.conns.get_mut(id).and_then(Option::take) else { return };
        if let Ok(Goes::On) = self.converse(&mut conn) {
            self.conns[id] = Some(conn);
        }
    }

    fn converse(&mut self, conn: &mut Conn) -> Outcome<Goes> {
        loop {
            let count = match conn.stream.read(&mut self.piece) {
                Ok(0) => return Ok(Goes::Away),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            };
            conn.rx.extend_from_slice(&self.piece[..count]);
            while conn.advance(&mut self.sunk)? {}
            conn.flush()?;
        }
        conn.flush()?;
        Ok(Goes::On)
    }

    fn publish(&mut self) {
        self.event_number += 1;
        let event = sse::event(self.event_number);
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        for slot in &mut self.conns {
            let Some(conn) = slot else { continue };
            if !matches!(conn.state, State::Events) {
                continue;
            }
            conn.tx.extend_from_slice(chunk.as_bytes());
            if conn.flush().is_err() || conn.tx.len() > BEHIND_MAX {
                *slot = None;
            }
        }
    }
}

enum Goes {
    On,
    Away,
}

impl Conn {
    /// Takes a step with what has come; says whether there may be another one.
    fn advance(&mut self, sunk: &mut u64) -> Outcome<bool> {
        match &mut self.state {
            State::Head => self.begin(*sunk),
            State::Sink { left, length } => {
                let count = take(&mut self.rx, left)?.len();
                *sunk += u64::try_from(count)?;
                if *left > 0 {
                    return Ok(false);
                }
                let answer = length.to_string();
                self.answer(&answer);
                Ok(true)
            }
            State::Digest { left, context } => {
                context.update(&take(&mut self.rx, left)?);
                if *left > 0 {
                    return Ok(false);
                }
                let sum = digest::Context::clone(context).finish();
                let answer =
                    sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
                self.answer(&answer);
                Ok(true)
            }
            State::Events => {
                self.rx.clear();
                Ok(false)
            }
            State::Echo => {
                let Some(message) = frames::take(&mut self.rx)? else { return Ok(false) };
                self.tx.extend(frames::plain(&message)?);
                Ok(true)
            }
        }
    }

    fn answer(&mut self, body: &str) {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length:";
        self.tx.extend(format!("{head} {}\r\n\r\n{body}", body.len()).into_bytes());
        self.state = State::Head;
    }

    fn begin(&mut self, sunk: u64) -> Outcome<bool> {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Request::new(&mut fields);
        let httparse::Status::Complete(head_len) = head.parse(&self.rx)? else {
            return Ok(false);
        };
        let field =
            |name: &str| head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        let length = match field("content-length") {
            Some(found) => std::str::from_utf8(found.value)?.parse()?,
            None => 0,
        };
        let accept = field("sec-websocket-key").map(|key| derive_accept_key(key.value));
        match (head.path.unwrap_or("/"), accept) {
            ("/small", _) => self.answer(SMALL),
            ("/sunk", _) => self.answer(&sunk.to_string()),
            ("/sink", _) => self.state = State::Sink { left: length, length },
            ("/digest", _) => {
                let context = Box::new(digest::Context::new(&digest::SHA256));
                self.state = State::Digest { left: length, context };
            }
            ("/events", _) => {
                self.tx.extend(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                      Cache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n",
                );
                self.state = State::Events;
            }
            ("/ws", Some(accept)) => {
                let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                    Upgrade: websocket\r\nSec-WebSocket-Accept:";
                self.tx.extend(format!("{head} {accept}\r\n\r\n").into_bytes());
                self.state = State::Echo;
            }
            (path, _) => return Err(format!("there is no {path}").into()),
        }
        self.rx.drain(..head_len);
        Ok(true)
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.tx.is_empty() {
            match self.stream.write(&self.tx) {
                Ok(count) => drop(self.tx.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What of the body is there.
fn take(rx: &mut Vec<u8>, left: &mut u64) -> Outcome<Vec<u8>> {
    let count = usize::try_from(*left)?.min(rx.len());
    *left -= u64::try_from(count)?;
    Ok(rx.drain(..count).collect())
}
