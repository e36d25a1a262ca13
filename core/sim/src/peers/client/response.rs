//! An answer as a client saw it.

use std::io::ErrorKind;
use std::time::Instant;

use crate::peers::message::{self, Body, Framing};

/// What a client saw of the answer to one request.
#[derive(Debug, Clone)]
pub struct Response {
    /// Heads with a status of 1xx other than 101, in order.
    pub interim: Vec<Vec<u8>>,
    /// The final head, raw; empty while there is none.
    pub head: Vec<u8>,
    /// The body without its framing; after 101, all bytes.
    pub body: Vec<u8>,
    /// Trailer lines, raw.
    pub trailers: Vec<u8>,
    /// How it ended.
    pub outcome: Outcome,
    /// The request was not the first on its connection.
    pub reused: bool,
    /// When the first byte of the request was sent.
    pub asked_at: Instant,
    /// When the first byte of the answer came.
    pub began_at: Option<Instant>,
    /// When the outcome was clear.
    pub ended_at: Option<Instant>,
}

/// How an exchange ended for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Not yet.
    Pending,
    /// The whole answer came.
    Complete,
    /// The connection could not be made.
    Refused(ErrorKind),
    /// The connection ended without a byte of an answer.
    NoAnswer,
    /// The connection ended within the answer.
    Truncated,
    /// The connection broke within the answer or before it.
    Failed(ErrorKind),
    /// The answer is not HTTP/1.1.
    Malformed(&'static str),
    /// The client itself gave up, as it was told to.
    Abandoned,
}

/// Whether a message is whole, and what that means for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Partial,
    /// Something of the request was held back for this answer.
    Release,
    Whole,
    /// Whole, and the connection cannot be used again.
    Last,
}

impl Response {
    pub(super) const fn new(asked_at: Instant, reused: bool) -> Self {
        Self {
            interim: Vec::new(),
            head: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
            outcome: Outcome::Pending,
            reused,
            asked_at,
            began_at: None,
            ended_at: None,
        }
    }

    /// The status of the final head; 0 while there is none.
    #[must_use]
    pub fn status(&self) -> u16 {
        status(&self.head)
    }

    /// The value of the first header line of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        message::values(&self.head, name).into_iter().next()
    }

    /// Whether the whole answer came and has this status.
    #[must_use]
    pub fn is(&self, status: u16) -> bool {
        self.outcome == Outcome::Complete && self.status() == status
    }

    /// Takes what it can off the front of `rx`.
    pub(super) fn advance(
        &mut self,
        body: &mut Option<Body>,
        rx: &mut Vec<u8>,
        to_head: bool,
    ) -> Result<Progress, &'static str> {
        if body.is_none() {
            let Some(head) = message::take_head(rx) else {
                return Ok(Progress::Partial);
            };
            check_status_line(&head)?;
            let status = status(&head);
            if (100..200).contains(&status) && status != 101 {
                self.interim.push(head);
                return Ok(Progress::Release);
            }
            *body = Some(Body::new(framing(&head, to_head)?));
            self.head = head;
            if status == 101 {
                return Ok(Progress::Release);
            }
        }
        let Some(body) = body else {
            return Ok(Progress::Partial);
        };
        body.advance(rx, &mut self.body)?;
        if !body.is_done() {
            return Ok(Progress::Partial);
        }
        self.trailers = std::mem::take(&mut body.trailers);
        Ok(if message::lists(&self.head, "connection", "close") {
            Progress::Last
        } else {
            Progress::Whole
        })
    }
}

fn status(head: &[u8]) -> u16 {
    let digits = head.get(9..12).and_then(|digits| str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn check_status_line(head: &[u8]) -> Result<(), &'static str> {
    if !head.starts_with(b"HTTP/1.1 ") {
        return Err("an answer that does not begin with HTTP/1.1");
    }
    match status(head) {
        100..=999 => Ok(()),
        _ => Err("an impossible status"),
    }
}

/// RFC 9112 6.3, from the client's side.
fn framing(head: &[u8], to_head: bool) -> Result<Framing, &'static str> {
    let declared = message::declared(head)?;
    Ok(match status(head) {
        101 => Framing::UntilClose,
        204 | 304 => Framing::Empty,
        _ if to_head => Framing::Empty,
        _ => declared.unwrap_or(Framing::UntilClose),
    })
}
