//! HTTP/1.1 messages taken apart byte by byte: a second opinion, written without the parser under
//! test and stricter than any real one.

use std::mem;

/// How the body of a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// After this many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// Byte `i` of every generated body is `i % 251`: a shifted or lost piece shows.
#[must_use]
pub fn pattern(len: usize) -> Vec<u8> {
    (0..251u8).cycle().take(len).collect()
}

/// The checksum (FNV-1a) that the service makes of a request's body.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u64 {
    let mut sum = Checksum::default();
    sum.update(bytes);
    sum.value()
}

/// The checksum of a body that arrives in pieces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checksum(u64);

impl Default for Checksum {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Checksum {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) const fn value(self) -> u64 {
        self.0
    }
}

/// Takes a head off the front of `rx`, with its empty line, once it is complete.
pub(crate) fn take_head(rx: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = rx.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let rest = rx.split_off(end);
    Some(mem::replace(rx, rest))
}

/// The start line of a head.
pub(crate) fn start_line(head: &[u8]) -> String {
    let line = head.split(|byte| *byte == b'\r').next();
    String::from_utf8_lossy(line.unwrap_or_default()).into_owned()
}

/// The values of all header lines of that name, in order.
pub(crate) fn values(head: &[u8], name: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(head);
    let lines = text.split("\r\n").skip(1);
    lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
        .collect()
}

/// Whether one of the comma separated tokens of that header is `token`.
pub(crate) fn lists(head: &[u8], name: &str, token: &str) -> bool {
    values(head, name)
        .iter()
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// The framing that a head declares, if it declares one.
pub(crate) fn declared(head: &[u8]) -> Result<Option<Framing>, &'static str> {
    let (codings, lengths) = (values(head, "transfer-encoding"), values(head, "content-length"));
    match (codings.as_slice(), lengths.as_slice()) {
        ([], []) => Ok(None),
        ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Framing::Chunked)),
        ([], [length]) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            let length = length.parse().map_err(|_| "a length beyond 2^64")?;
            Ok(Some(Framing::Length(length)))
        }
        ([], [_]) => Err("a length that is no number"),
        (_, []) => Err("a transfer coding other than chunked alone"),
        ([], _) => Err("several lengths"),
        (_, _) => Err("a transfer coding and a length"),
    }
}

/// A body on its way.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    state: BodyState,
    /// Trailer lines as they came, each with its line end.
    pub(crate) trailers: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyState {
    Counted(u64),
    UntilClose,
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    Done,
}

impl Body {
    pub(crate) const fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Empty | Framing::Length(0) => BodyState::Done,
            Framing::Length(length) => BodyState::Counted(length),
            Framing::Chunked => BodyState::ChunkSize,
            Framing::UntilClose => BodyState::UntilClose,
        };
        Self { state, trailers: Vec::new() }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == BodyState::Done
    }

    /// The connection ended: whether the body did, too.
    pub(crate) fn ends_with_connection(&self) -> bool {
        matches!(self.state, BodyState::UntilClose | BodyState::Done)
    }

    /// Moves body bytes from the front of `rx` to `out`, as far as they have arrived.
    pub(crate) fn advance(
        &mut self,
        rx: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        let mut used = 0;
        let result = self.consume(rx, &mut used, out);
        rx.drain(..used);
        result
    }

    fn consume(
        &mut self,
        rx: &[u8],
        used: &mut usize,
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        loop {
            let rest = &rx[*used..];
            self.state = match self.state {
                BodyState::Done => return Ok(()),
                BodyState::UntilClose => {
                    out.extend_from_slice(rest);
                    *used = rx.len();
                    return Ok(());
                }
                BodyState::Counted(left) => match take(rest, left, used, out) {
                    0 => BodyState::Done,
                    left => {
                        self.state = BodyState::Counted(left);
                        return Ok(());
                    }
                },
                BodyState::Chunk(left) => match take(rest, left, used, out) {
                    0 => BodyState::ChunkEnd,
                    left => {
                        self.state = BodyState::Chunk(left);
                        return Ok(());
                    }
                },
                BodyState::ChunkSize => {
                    let Some(line) = take_line(rest, used)? else {
                        return Ok(());
                    };
                    match chunk_size(line)? {
                        0 => BodyState::Trailers,
                        size => BodyState::Chunk(size),
                    }
                }
                BodyState::ChunkEnd => match take_line(rest, used)? {
                    Some([]) => BodyState::ChunkSize,
                    Some(_) => return Err("a chunk longer than its size"),
                    None => return Ok(()),
                },
                BodyState::Trailers => match take_line(rest, used)? {
                    Some([]) => BodyState::Done,
                    Some(line) => {
                        self.trailers.extend_from_slice(line);
                        self.trailers.extend_from_slice(b"\r\n");
                        BodyState::Trailers
                    }
                    None => return Ok(()),
                },
            };
        }
    }
}

/// Moves up to `left` bytes from the front of `rest` to `out`; how many are then left.
fn take(rest: &[u8], left: u64, used: &mut usize, out: &mut Vec<u8>) -> u64 {
    let count = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
    out.extend_from_slice(&rest[..count]);
    *used += count;
    left - count as u64
}

/// The next line without its end; a bare line feed or carriage return is nobody's line end.
fn take_line<'a>(rest: &'a [u8], used: &mut usize) -> Result<Option<&'a [u8]>, &'static str> {
    let Some(feed) = rest.iter().position(|byte| *byte == b'\n') else {
        return if rest.len() > 16 * 1024 { Err("a line without end") } else { Ok(None) };
    };
    let line = rest[..feed].strip_suffix(b"\r");
    let line = line.ok_or("a bare line feed")?;
    if line.contains(&b'\r') {
        return Err("a bare carriage return");
    }
    *used += feed + 1;
    Ok(Some(line))
}

/// Hexadecimal digits only: an extension or a sign would be one more thing to disagree about.
fn chunk_size(line: &[u8]) -> Result<u64, &'static str> {
    let digits = str::from_utf8(line).map_err(|_| "a chunk size that is no text")?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("a chunk size that is no number");
    }
    u64::from_str_radix(digits, 16).map_err(|_| "a chunk size beyond 2^64")
}

#[cfg(test)]
mod tests;
