//! An answer as it leaves: what it consists of, and what becomes of the connection behind it.

use std::time::Duration;

use crate::peers::message::pattern;

/// What is still to be sent of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// Sent before anything of `source`.
    pub(super) head: Vec<u8>,
    /// Time before the next piece, from when it could be sent.
    pub(super) delay: Duration,
    pub(super) source: Source,
    /// Lines behind the last chunk.
    trailers: &'static str,
    pub(super) then: Then,
}

/// Where the body comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Nothing,
    /// The pattern, in one piece.
    Pattern {
        position: u64,
        len: u64,
    },
    /// The pattern, in chunks of changing size.
    Chunks {
        position: u64,
        len: u64,
    },
    /// One byte of the pattern in a chunk every now and then.
    Drops {
        position: u64,
        len: u64,
    },
    /// The request's body, in chunks as it comes.
    Echo,
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    KeepAlive,
    /// FIN behind the answer.
    Finish,
    /// Closed as soon as the answer has left, whatever still arrives.
    Close,
    /// Reset as soon as the answer has left.
    Reset,
    /// Everything that comes is sent back.
    Mirror,
    /// Nothing more, ever.
    Hang,
}

/// Time between two drops.
const DROP_INTERVAL: Duration = Duration::from_millis(10);

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const CLOSING: &str = "Connection: close\r\n";

impl Answer {
    fn new(head: Vec<u8>, source: Source, then: Then) -> Self {
        Self { head, delay: Duration::ZERO, source, trailers: "", then }
    }

    /// So many bytes of the pattern, and their length before.
    pub(super) fn sized(len: u64) -> Self {
        let source = Source::Pattern { position: 0, len };
        Self::new(head(200, &length(len)), source, Then::KeepAlive)
    }

    /// So many bytes with their head, and in the same piece an answer that nobody asked for: a 299.
    pub(super) fn twice(total: u64) -> Self {
        let around = head(200, &length(total)).len() as u64;
        let body = slice(0, total.saturating_sub(around));
        let mut whole =
            head(200, &format!("Content-Length: {:0>1$}\r\n", body.len(), digits(total)));
        whole.extend_from_slice(&body);
        whole.extend_from_slice(&head(299, &length(0)));
        Self::new(whole, Source::Nothing, Then::KeepAlive)
    }

    /// So many bytes of the pattern in chunks.
    pub(super) fn chunked(len: u64) -> Self {
        let source = Source::Chunks { position: 0, len };
        Self::new(head(200, CHUNKED), source, Then::KeepAlive)
    }

    /// So many bytes of the pattern, and then FIN.
    pub(super) fn until_close(len: u64) -> Self {
        let source = Source::Pattern { position: 0, len };
        Self::new(head(200, CLOSING), source, Then::Finish)
    }

    /// So many chunks of one byte.
    pub(super) fn dripping(len: u64) -> Self {
        let source = Source::Drops { position: 0, len };
        Self::new(head(200, CHUNKED), source, Then::KeepAlive)
    }

    /// What is sent is sent back.
    pub(super) fn echo() -> Self {
        Self::new(head(200, CHUNKED), Source::Echo, Then::KeepAlive)
    }

    /// The connection is no longer HTTP.
    pub(super) fn upgrade() -> Self {
        let lines = "Connection: Upgrade\r\nUpgrade: echo\r\n";
        Self::new(head(101, lines), Source::Nothing, Then::Mirror)
    }

    /// A text.
    pub(super) fn text(status: u16, text: &str) -> Self {
        let mut whole = head(status, &length(text.len() as u64));
        whole.extend_from_slice(text.as_bytes());
        Self::new(whole, Source::Nothing, Then::KeepAlive)
    }

    /// A status, with a body where it may have one.
    pub(super) fn status(status: u16) -> Self {
        match status {
            204 | 304 => Self::new(head(status, ""), Source::Nothing, Then::KeepAlive),
            _ => Self::text(status, "as asked"),
        }
    }

    /// Half of what it promises.
    pub(super) fn breaking() -> Self {
        let source = Source::Pattern { position: 0, len: 5_000 };
        Self::new(head(200, &length(10_000)), source, Then::Reset)
    }

    /// Not a byte.
    pub(super) fn silence(then: Then) -> Self {
        Self::new(Vec::new(), Source::Nothing, then)
    }

    /// Later.
    pub(super) fn delayed(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// With these lines behind the last chunk.
    pub(super) fn trailed(self, trailers: &'static str) -> Self {
        let head = head(200, &format!("{CHUNKED}Trailer: X-Checksum\r\n"));
        Self { head, trailers, ..self }
    }

    /// With a head of 103 before.
    pub(super) fn hinted(mut self) -> Self {
        let mut hints = head(103, "Link: </style.css>; rel=preload\r\n");
        hints.append(&mut self.head);
        Self { head: hints, ..self }
    }

    /// And closed behind it, whatever still comes.
    pub(super) fn closing(mut self) -> Self {
        self.head.truncate(self.head.len() - 2);
        self.head.extend_from_slice(CLOSING.as_bytes());
        self.head.extend_from_slice(b"\r\n");
        Self { then: Then::Close, ..self }
    }

    /// Only the head of it: the answer to HEAD.
    pub(super) fn without_body(mut self) -> Self {
        if let Some(end) = self.head.windows(4).rposition(|part| part == b"\r\n\r\n") {
            self.head.truncate(end + 4);
        }
        self.source = Source::Nothing;
        self
    }

    /// The next piece of at most about `max` bytes; `None` when the body has come to its end.
    /// Also sets how long the piece after it has to wait.
    pub(super) fn piece(&mut self, max: u64) -> Option<Vec<u8>> {
        match &mut self.source {
            Source::Nothing | Source::Echo => None,
            Source::Pattern { position, len } => {
                let count = (*len - *position).min(max);
                let piece = slice(*position, count);
                *position += count;
                (count > 0).then_some(piece)
            }
            Source::Chunks { position, len } => {
                let count = (*len - *position).min(max).min(1 + *position % 5_000);
                let piece = chunk(&slice(*position, count));
                *position += count;
                self.end_chunks(count, piece)
            }
            Source::Drops { position, len } => {
                let count = (*len - *position).min(1);
                let piece = chunk(&slice(*position, count));
                *position += count;
                self.delay = DROP_INTERVAL;
                self.end_chunks(count, piece)
            }
        }
    }

    fn end_chunks(&mut self, count: u64, piece: Vec<u8>) -> Option<Vec<u8>> {
        if count > 0 {
            return Some(piece);
        }
        self.source = Source::Nothing;
        Some(format!("0\r\n{}\r\n", self.trailers).into_bytes())
    }
}

/// A chunk of these bytes.
pub(super) fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    framed
}

fn head(status: u16, lines: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} Simulated\r\n{lines}\r\n").into_bytes()
}

fn length(len: u64) -> String {
    format!("Content-Length: {len}\r\n")
}

/// How many digits a number has.
fn digits(number: u64) -> usize {
    number.to_string().len()
}

/// `count` bytes of the pattern from `position` on.
fn slice(position: u64, count: u64) -> Vec<u8> {
    let skip = usize::try_from(position % 251).unwrap_or(0);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    pattern(skip + count).split_off(skip)
}
