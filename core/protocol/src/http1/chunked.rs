//! The chunked coding (RFC 9112 7.1): a body of sized pieces, then a trailer section.
//!
//! ```text
//!          size 1..            left 0
//!  ┌─ Size ───────▶ Data ────────────▶ DataEnd ─┐
//!  │   │ size 0      ▲ │ more                   │ CRLF
//!  │   ▼             └─┘                        │
//!  │ Trailers ── blank line ──▶ Ended           │
//!  └◀───────────────────────────────────────────┘
//! ```
//!
//! Framing is used up only when it is complete, so the decoder keeps no bytes of its own; every
//! piece of it has a limit, so that waiting for its end cannot make the receive queue grow.

use super::body::Decoded;
use super::fields::CRLF;
use super::{Error, trailers};
use crate::Buf;

/// Digits of a chunk size: what 64 bits need.
const SIZE_DIGITS_MAX: usize = 16;

/// Bytes of a chunk extension. Nobody uses them; a size line must stay short.
const EXTENSION_MAX: usize = 256;

/// Where in a chunked body the decoder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoder {
    /// Before a line with a size.
    Size,
    /// Inside the data of a chunk.
    Data {
        /// Invariant: not zero.
        left: u64,
    },
    /// Between the data of a chunk and its CRLF.
    DataEnd,
    /// Inside the trailer section.
    Trailers(trailers::Reader),
    /// After the whole body.
    Ended,
}

impl Decoder {
    /// Before the first chunk.
    pub(super) const fn new() -> Self {
        Self::Size
    }

    /// Decodes what `rx` begins with, at most `max` bytes of data.
    pub(super) fn decode<'b>(&mut self, rx: &'b [u8], max: usize) -> Result<Decoded<'b>, Error> {
        let mut decoded = Decoded::default();
        loop {
            let rest = rx.get(decoded.used..).unwrap_or_default();
            let used = match self.step(rest, max, &mut decoded) {
                Ok(used) => used,
                // What is before the mistake is handed out first: results do not depend on how
                // the input was cut into reads.
                Err(_) if decoded.used > 0 => break,
                Err(error) => return Err(error),
            };
            decoded.used += used;
            if used == 0 {
                break;
            }
        }
        Ok(decoded)
    }

    /// Takes one element of the grammar off `rest`; zero when it is not complete.
    fn step<'b>(
        &mut self,
        rest: &'b [u8],
        max: usize,
        decoded: &mut Decoded<'b>,
    ) -> Result<usize, Error> {
        match self {
            Self::Size => {
                let Some((used, size)) = size_line(rest)? else {
                    return Ok(0);
                };
                *self = match size {
                    0 => Self::Trailers(trailers::Reader::new()),
                    left => Self::Data { left },
                };
                Ok(used)
            }
            Self::Data { left } => {
                if !decoded.data.is_empty() {
                    return Ok(0);
                }
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(max).min(rest.len());
                decoded.data = rest.get(..count).unwrap_or_default();
                decoded.data_begin = decoded.used;
                *left -= count as u64;
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                Ok(count)
            }
            Self::DataEnd => {
                if rest.starts_with(CRLF) {
                    *self = Self::Size;
                    return Ok(CRLF.len());
                }
                if CRLF.starts_with(rest) { Ok(0) } else { Err(Error::BadChunk) }
            }
            Self::Trailers(reader) => {
                let Some((used, section)) = reader.read(rest)? else {
                    return Ok(0);
                };
                decoded.end = Some(section);
                *self = Self::Ended;
                Ok(used)
            }
            Self::Ended => {
                decoded.end.get_or_insert_default();
                Ok(0)
            }
        }
    }
}

/// The bytes of a whole line with a chunk size, and the size.
fn size_line(rest: &[u8]) -> Result<Option<(usize, u64)>, Error> {
    const LINE_MAX: usize = SIZE_DIGITS_MAX + EXTENSION_MAX + CRLF.len();
    let window = rest.get(..LINE_MAX).unwrap_or(rest);
    let Some(end) = memchr::memchr(b'\n', window) else {
        return if window.len() == LINE_MAX { Err(Error::BadChunk) } else { Ok(None) };
    };
    let line =
        window.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(Error::BadChunk)?;
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits == 0 || digits > SIZE_DIGITS_MAX {
        return Err(Error::BadChunk);
    }
    let (digits, extension) = line.split_at_checked(digits).ok_or(Error::BadChunk)?;
    if !is_extension(extension) {
        return Err(Error::BadChunk);
    }
    let size = digits.iter().fold(0, |size, &digit| size << 4 | u64::from(hex_value(digit)));
    Ok(Some((end + 1, size)))
}

/// Whether that may follow a chunk size: nothing, or an extension, to be ignored
/// (RFC 9112 7.1.1). White space before its semicolon is "bad" there, and refused.
fn is_extension(bytes: &[u8]) -> bool {
    match bytes.first() {
        None => true,
        Some(b';') => {
            bytes.len() <= EXTENSION_MAX
                && !bytes.iter().any(|&byte| byte.is_ascii_control() && byte != b'\t')
        }
        Some(_) => false,
    }
}

const fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

/// Writes one chunk; without data nothing, since an empty chunk would be the last.
pub(super) fn write(data: &[u8], tx: &mut Buf) {
    if data.is_empty() {
        return;
    }
    let mut line = [0; SIZE_DIGITS_MAX];
    let begin = write_size(data.len(), &mut line);
    tx.extend(&line[begin..]);
    tx.extend(CRLF);
    tx.extend(data);
    tx.extend(CRLF);
}

/// Writes a size so that it ends where `line` ends; where it begins.
fn write_size(size: usize, line: &mut [u8; SIZE_DIGITS_MAX]) -> usize {
    let mut begin = SIZE_DIGITS_MAX;
    let mut rest = size;
    for place in line.iter_mut().rev() {
        *place = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
        begin -= 1;
        if rest == 0 {
            break;
        }
    }
    begin
}

/// The size in front of a chunk's data, without the end of its line.
pub(super) struct Size {
    digits: [u8; SIZE_DIGITS_MAX],
    begin: usize,
}

impl Size {
    pub(super) fn new(size: usize) -> Self {
        let mut digits = [0; SIZE_DIGITS_MAX];
        let begin = write_size(size, &mut digits);
        Self { digits, begin }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.digits[self.begin..]
    }
}

/// Writes the last chunk and the trailer section; nothing when the section is malformed.
pub(super) fn finish(section: &[u8], tx: &mut Buf) -> Result<(), Error> {
    let begin = tx.len();
    tx.extend(b"0\r\n");
    let written = trailers::write(section, tx);
    match written {
        Ok(()) => tx.extend(CRLF),
        Err(_) => tx.truncate(begin),
    }
    written
}
