//! Responses as callers get them: heads byte for byte, bodies without their framing.

use crate::peers::caller::find;
use crate::peers::wire::{End, Wire};

/// A whole final response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// With its blank line.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// Raw lines.
    pub(crate) trailers: Vec<u8>,
}

impl Answer {
    /// Reads the final response to a GET or the like, and skips what comes before it.
    pub(crate) fn read_final(wire: &mut Wire) -> Self {
        loop {
            let head = take_head(wire).expect("a response");
            if status(&head) >= 200 {
                return Self::read_after(head, wire);
            }
        }
    }

    /// Reads a final response to a GET or the like.
    ///
    /// # Panics
    /// When an interim response or none comes, or when it is cut short.
    pub(crate) fn read(wire: &mut Wire) -> Self {
        let head = take_head(wire).expect("a response");
        Self::read_after(head, wire)
    }

    fn read_after(head: Vec<u8>, wire: &mut Wire) -> Self {
        let mut body = Body::of(&head);
        let mut answer = Self { status: status(&head), head, body: vec![], trailers: vec![] };
        assert!(answer.status >= 200, "{answer:?}");
        while let Some(piece) = body.next(wire).unwrap_or_else(|end| panic!("{end:?}: {answer:?}"))
        {
            answer.body.extend(piece);
        }
        answer.trailers = body.trailers;
        answer
    }

    /// The values of a field, whatever the case of its name.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        values(&self.head, name)
    }

    /// The status and `x-mesh-error`, in the form in which tests compare them.
    pub(crate) fn verdict(&self) -> (u16, String) {
        (self.status, self.values("x-mesh-error").concat())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The next head with its blank line; nothing when the connection ended before.
pub(crate) fn take_head(wire: &mut Wire) -> Option<Vec<u8>> {
    let length = wire.wait(|bytes| find(bytes, b"\r\n\r\n").map(|at| at + 4))?;
    Some(wire.take(length))
}

pub(crate) fn status(head: &[u8]) -> u16 {
    let digits = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    String::from_utf8_lossy(digits).trim_end().parse().unwrap()
}

pub(crate) fn values(head: &[u8], name: &str) -> Vec<String> {
    let head = String::from_utf8_lossy(head);
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let named = fields.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.trim().to_owned()).collect()
}

/// The rest of a response, piece by piece as it arrives.
#[derive(Debug)]
pub(crate) struct Body {
    state: State,
    pub(crate) trailers: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Sized(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    UntilClose,
    Over,
}

impl Body {
    /// The body of a response to something else than HEAD.
    pub(crate) fn of(head: &[u8]) -> Self {
        let state = match (&values(head, "content-length")[..], status(head)) {
            (_, 100..=199 | 204 | 304) => State::Over,
            ([length, ..], _) => State::Sized(length.parse().unwrap()),
            _ if values(head, "transfer-encoding").is_empty() => State::UntilClose,
            _ => State::ChunkSize,
        };
        Self { state, trailers: Vec::new() }
    }

    /// What arrived of it, some bytes at least; nothing at its end.
    ///
    /// # Errors
    /// How the connection ended in its midst.
    pub(crate) fn next(&mut self, wire: &mut Wire) -> Result<Option<Vec<u8>>, End> {
        loop {
            match self.state {
                State::Over | State::Sized(0) => return Ok(None),
                State::Sized(left) => {
                    let piece = take_some(wire, left)?;
                    self.state = State::Sized(left - piece.len() as u64);
                    return Ok(Some(piece));
                }
                State::ChunkSize => {
                    let line = take_line(wire)?;
                    let size = String::from_utf8_lossy(&line);
                    let size = u64::from_str_radix(size.trim_end(), 16).unwrap();
                    if size == 0 {
                        self.take_trailers(wire)?;
                    } else {
                        self.state = State::Chunk(size);
                    }
                }
                State::Chunk(0) => self.state = State::ChunkEnd,
                State::Chunk(left) => {
                    let piece = take_some(wire, left)?;
                    self.state = State::Chunk(left - piece.len() as u64);
                    return Ok(Some(piece));
                }
                State::ChunkEnd => {
                    assert_eq!(take_line(wire)?, b"\r\n", "a chunk ends where it said");
                    self.state = State::ChunkSize;
                }
                State::UntilClose => return self.take_until_close(wire),
            }
        }
    }

    fn take_trailers(&mut self, wire: &mut Wire) -> Result<(), End> {
        loop {
            let line = take_line(wire)?;
            if line == b"\r\n" {
                self.state = State::Over;
                return Ok(());
            }
            self.trailers.extend(line);
        }
    }

    fn take_until_close(&mut self, wire: &mut Wire) -> Result<Option<Vec<u8>>, End> {
        match take_some(wire, u64::MAX) {
            Ok(piece) => Ok(Some(piece)),
            Err(End::Closed) => {
                self.state = State::Over;
                Ok(None)
            }
            Err(End::Reset) => Err(End::Reset),
        }
    }
}

fn take_some(wire: &mut Wire, at_most: u64) -> Result<Vec<u8>, End> {
    let arrived = wire.wait(|bytes| (!bytes.is_empty()).then_some(bytes.len()));
    let Some(count) = arrived else { return Err(wire.read_to_end().1) };
    Ok(wire.take(usize::try_from(at_most).map_or(count, |at_most| count.min(at_most))))
}

fn take_line(wire: &mut Wire) -> Result<Vec<u8>, End> {
    match wire.wait(|bytes| find(bytes, b"\r\n")) {
        Some(at) => Ok(wire.take(at + 2)),
        None => Err(wire.read_to_end().1),
    }
}

/// The next bytes that arrive are these.
pub(crate) fn expect(wire: &mut Wire, expected: impl AsRef<[u8]>) {
    let expected = expected.as_ref();
    let arrived = wire.wait(|bytes| (bytes.len() >= expected.len()).then_some(()));
    let found = match arrived {
        Some(()) => wire.take(expected.len()),
        None => wire.read_to_end().0,
    };
    assert_eq!(found.escape_ascii().to_string(), expected.escape_ascii().to_string());
}
