//! Finds the end of a head in a stream that arrives in pieces (RFC 9112 2.1).
//!
//! Each byte is looked at once, however the head is cut. The grammar is [`super::head`]'s matter;
//! but a peer that speaks something else, TLS for example, should not be listened to until the
//! head is too large, so what has arrived is also tried as the beginning of a head: on the first
//! occasion, and again whenever it has doubled, which keeps the whole effort linear.

use super::{Error, RequestHead, ResponseHead};

/// Whose head is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A caller's.
    Request,
    /// A service's.
    Response,
}

/// Looks for the end of a head at the front of a queue.
#[derive(Debug)]
pub struct HeadScan {
    kind: Kind,
    /// Bytes that a head may have.
    max: usize,
    progress: Progress,
}

/// How far one head was looked at.
#[derive(Debug, Clone, Copy)]
struct Progress {
    /// Where the current line begins.
    line: usize,
    /// What comes before was looked at and is not wrong in itself.
    /// Invariant: `line <= scanned`, and no line ends between the two.
    scanned: usize,
    /// How many bytes must be there to try them as the beginning of a head.
    try_at: usize,
}

impl HeadScan {
    /// A scan for heads of up to `max` bytes.
    #[must_use]
    pub const fn new(kind: Kind, max: usize) -> Self {
        Self { kind, max, progress: Progress::NONE }
    }

    /// The head that `rx` begins with, once it is there. `parse` reads one from the front of what it
    /// is given, and refuses all that [`Self::poll`] does.
    ///
    /// Mostly a head arrives in one piece, and then whoever reads it finds its end as well. What is
    /// not whole, or at fault, is for the scan to judge.
    #[inline]
    pub(super) fn read<'b, H>(
        &mut self,
        rx: &'b [u8],
        parse: impl FnOnce(&'b [u8]) -> Result<H, Error>,
    ) -> Result<Option<H>, Error> {
        if !self.progress.is_none() {
            let length = self.poll(rx)?;
            return length.map(|length| parse(rx.get(..length).unwrap_or(rx))).transpose();
        }
        match parse(rx.get(..self.max).unwrap_or(rx)) {
            Ok(head) => Ok(Some(head)),
            Err(error) => match self.poll(rx)? {
                Some(_) => Err(error),
                None => Ok(None),
            },
        }
    }

    /// The length of the head that `rx` begins with, its blank line included, once that is there.
    /// Until then `rx` must only grow; afterwards the scan is ready for the next head.
    ///
    /// # Errors
    /// What `rx` begins with is no head, can never become one, or has more than `max` bytes.
    pub fn poll(&mut self, rx: &[u8]) -> Result<Option<usize>, Error> {
        match rx {
            [] => return Ok(None),
            // Half of a leading empty line, which the caller takes away once it is whole.
            [b'\r'] if self.kind == Kind::Request => return Ok(None),
            [first, ..] if !self.kind.is_first_byte(*first) => return Err(Error::MalformedHead),
            [..] => {}
        }
        let window = rx.get(..self.max).unwrap_or(rx);
        let verdict = match self.progress.find_end(window) {
            Ok(Some(length)) => {
                self.progress = Progress::NONE;
                return Ok(Some(length));
            }
            Ok(None) if window.len() >= self.max => Err(Error::HeadTooLarge),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        // The first fault is the one that is named, in whatever pieces the head arrived.
        if verdict.is_err() || window.len() >= self.progress.try_at {
            self.progress.try_at = window.len().saturating_mul(2);
            let sound = window.get(..self.progress.scanned).unwrap_or(window);
            match self.kind {
                Kind::Request => RequestHead::check_beginning(sound)?,
                Kind::Response => ResponseHead::check_beginning(sound)?,
            }
        }
        verdict
    }
}

/// How many bytes of an empty line `rx` begins with: 0 or 2. A server takes away one such line
/// before it looks for a request (RFC 9112 2.2), and no second one.
#[must_use]
pub fn leading_empty_line(rx: &[u8]) -> usize {
    if rx.starts_with(b"\r\n") { 2 } else { 0 }
}

impl Kind {
    /// Whether a head can begin with that byte: a method (RFC 9110 9.1) or `HTTP/`.
    const fn is_first_byte(self, byte: u8) -> bool {
        match self {
            Self::Request => super::fields::is_token_byte(byte),
            Self::Response => byte == b'H',
        }
    }
}

impl Progress {
    const NONE: Self = Self { line: 0, scanned: 0, try_at: 1 };

    /// Whether nothing was looked at.
    const fn is_none(self) -> bool {
        self.scanned == 0
    }

    /// Goes on from line end to line end until the empty line or the end of `window`.
    fn find_end(&mut self, window: &[u8]) -> Result<Option<usize>, Error> {
        loop {
            if self.line > 0 && matches!(window.get(self.line), Some(b' ' | b'\t')) {
                return Err(Error::ObsoleteFold);
            }
            let rest = window.get(self.scanned..).unwrap_or_default();
            let Some(ahead) = memchr::memchr3(b'\r', b'\n', b'\0', rest) else {
                self.scanned = window.len();
                return Ok(None);
            };
            self.scanned += ahead;
            match rest.get(ahead..) {
                Some([b'\r', b'\n', ..]) => {}
                Some([b'\r']) => return Ok(None),
                Some([b'\r', ..]) => return Err(Error::BareCarriageReturn),
                Some([b'\0', ..]) => return Err(Error::Nul),
                Some([..]) | None => return Err(Error::BareLineFeed),
            }
            let is_empty = self.scanned == self.line;
            self.scanned += 2;
            self.line = self.scanned;
            if is_empty {
                return Ok(Some(self.line));
            }
        }
    }
}

#[cfg(test)]
mod tests;
