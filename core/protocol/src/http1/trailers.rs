//! The trailer section of a chunked body (RFC 9112 7.1.2).
//!
//! Trailer fields arrive after everything was decided, so names with a meaning for framing,
//! routing or authentication are not passed on (RFC 9110 6.5.1).

use super::Error;
use super::fields::{CRLF, is_token, is_trailer_allowed, is_value};
use crate::Buf;

/// Bytes of a trailer section, its final blank line not counted.
const SECTION_MAX: usize = 8 * 1024;

/// Fields of a trailer section.
const TRAILERS_MAX: u8 = 64;

/// Finds the end of a trailer section. The section is used up as a whole; the reader remembers
/// how much of it was good, so that a slow sender does not have it read again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reader {
    /// Bytes of whole lines.
    /// Invariant: at most [`SECTION_MAX`].
    checked: usize,
    /// Lines in those.
    fields: u8,
}

impl Reader {
    pub(super) const fn new() -> Self {
        Self { checked: 0, fields: 0 }
    }

    /// The bytes of the whole section with its blank line, and its lines.
    pub(super) fn read<'b>(&mut self, rx: &'b [u8]) -> Result<Option<(usize, &'b [u8])>, Error> {
        let window = rx.get(..SECTION_MAX + CRLF.len()).unwrap_or(rx);
        loop {
            let (section, rest) = window.split_at_checked(self.checked).unwrap_or((window, b""));
            let Some(end) = memchr::memchr(b'\n', rest) else {
                let is_full = window.len() < rx.len() || window.len() == SECTION_MAX + CRLF.len();
                return if is_full { Err(Error::BadTrailers) } else { Ok(None) };
            };
            let line = rest.get(..=end).unwrap_or_default();
            if line == CRLF {
                return Ok(Some((self.checked + CRLF.len(), section)));
            }
            self.take(line)?;
        }
    }

    /// Takes one whole line into the section and returns its name.
    fn take<'b>(&mut self, line: &'b [u8]) -> Result<&'b str, Error> {
        let name = field_name(line).ok_or(Error::BadTrailers)?;
        let (checked, fields) = (self.checked + line.len(), self.fields + 1);
        if checked > SECTION_MAX || fields > TRAILERS_MAX {
            return Err(Error::BadTrailers);
        }
        // Only now: a refused line must be refused again when it is read again.
        (self.checked, self.fields) = (checked, fields);
        Ok(name)
    }
}

/// Copies a trailer section without the names that do not belong there; it may come from a
/// hostile peer and is read again.
pub(super) fn write(section: &[u8], tx: &mut Buf) -> Result<(), Error> {
    let mut reader = Reader::new();
    for line in section.split_inclusive(|&byte| byte == b'\n') {
        let name = reader.take(line)?;
        if is_trailer_allowed(name) {
            tx.extend(line);
        }
    }
    Ok(())
}

/// The name of a field line that is strictly one: a token, a colon at once, no control
/// characters, CRLF (RFC 9112 5).
fn field_name(line: &[u8]) -> Option<&str> {
    let line = line.strip_suffix(CRLF)?;
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at_checked(colon)?;
    let is_field = is_token(name) && is_value(value);
    if is_field { std::str::from_utf8(name).ok() } else { None }
}
