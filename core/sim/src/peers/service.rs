//! An origin server with a path for each way to answer.
//!
//! | path | answer |
//! | --- | --- |
//! | `/bytes/N`, `/chunked/N`, `/close/N` | N bytes of the [pattern](super::pattern): with a length, in chunks, until close |
//! | `/twice/N` | N bytes with their head, and behind them a 299 that nobody asked for |
//! | `/drip/N` | N chunks of one byte, one each 10 ms |
//! | `/echo` | the request's body in chunks, as it comes |
//! | `/upload`, `/continue` | length and checksum of the request's body |
//! | `/sip` | the same, but the body is read at 1 KiB per ms |
//! | `/slow/MS`, `/hang` | after so many milliseconds; never |
//! | `/trailers` | a body in chunks and a trailer |
//! | `/early` | 413 at once, and closed without reading the upload |
//! | `/reset` | half of what was promised, then a reset |
//! | `/refuse` | closed without an answer |
//! | `/hints` | 103, then 200 |
//! | `/upgrade` | 101 and everything sent back, if asked for; else 426. `/upgrade/no` is 403 |
//! | `/health` | 200, 503 or nothing, by [`HttpService::health`] |
//! | `/status/N` | that status |
//!
//! `Expect: 100-continue` is honoured everywhere except on `/early`.

mod answer;
mod line;
mod route;

use std::time::{Duration, Instant};

use line::{Line, Turn};

use super::{Peer, PeerIo};

/// The origin server.
#[derive(Debug)]
pub struct HttpService {
    /// How it feels.
    pub health: Health,
    /// Whether and after how long at most it closes a connection that is idle.
    pub idle_close: Option<Duration>,
    /// The requests that it got, in the order in which their heads were whole.
    pub served: Vec<Served>,
    /// What was wrong with requests that it could not read.
    pub malformed: Vec<String>,
    lines: Vec<Line>,
    connections: usize,
}

/// What the health check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// 200.
    Up,
    /// 503.
    Down,
    /// Nothing.
    Silent,
}

/// A request that the server got.
#[derive(Debug, Clone)]
pub struct Served {
    /// On which of its connections, counted from 0.
    pub connection: usize,
    /// The head, raw.
    pub head: Vec<u8>,
    /// Bytes of its body that came.
    pub body_len: u64,
    /// Their checksum.
    pub body_sum: u64,
    /// Its trailer lines, raw.
    pub trailers: Vec<u8>,
    /// When its head was whole.
    pub began_at: Instant,
    /// When its body was whole, if it ever was.
    pub whole_at: Option<Instant>,
}

impl Served {
    const fn new(connection: usize, head: Vec<u8>, began_at: Instant) -> Self {
        Self {
            connection,
            head,
            body_len: 0,
            body_sum: 0,
            trailers: Vec::new(),
            began_at,
            whole_at: None,
        }
    }

    /// The request line.
    #[must_use]
    pub fn line(&self) -> String {
        super::message::start_line(&self.head)
    }

    /// The value of the first header line of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let values = super::message::values(&self.head, name);
        values.into_iter().next()
    }
}

impl HttpService {
    /// A healthy server that keeps idle connections for ever.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            health: Health::Up,
            idle_close: None,
            served: Vec::new(),
            malformed: Vec::new(),
            lines: Vec::new(),
            connections: 0,
        }
    }

    /// Closes idle connections after a random time of at most this.
    #[must_use]
    pub const fn closing_idle(mut self, longest: Duration) -> Self {
        self.idle_close = Some(longest);
        self
    }

    /// Connections that are open now.
    #[must_use]
    pub const fn open_connections(&self) -> usize {
        self.lines.len()
    }

    /// Connections ever accepted.
    #[must_use]
    pub const fn connections(&self) -> usize {
        self.connections
    }
}

impl Default for HttpService {
    fn default() -> Self {
        Self::new()
    }
}

impl Peer for HttpService {
    fn step(&mut self, io: &mut PeerIo<'_>) {
        let mut lines = std::mem::take(&mut self.lines);
        while let Some((socket, _)) = io.accept() {
            lines.push(Line::new(socket, self.connections));
            self.connections += 1;
        }
        lines.retain_mut(|line| {
            loop {
                match line.step(self, io) {
                    Turn::Again => {}
                    Turn::Wait => return true,
                    Turn::Over => {
                        io.close(line.socket);
                        return false;
                    }
                }
            }
        });
        self.lines = lines;
    }
}

#[cfg(test)]
mod tests;
