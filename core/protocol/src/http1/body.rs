//! Bodies in both directions, used alike by both ends of a connection.
//!
//! ```text
//! Decoder:  Empty ─────────────────────────────▶ Ended
//!           Sized(n) ── n bytes ───────────────▶ Ended
//!           Chunked ── last chunk, trailers ───▶ Ended      any mistake ──▶ Failed
//!           UntilClose ── end of stream ───────▶ Ended
//! ```

use super::fields::CRLF;
use super::{BodyLength, Error, chunked};
use crate::{Buf, PIECES_MAX};

/// What one step of decoding found at the front of the input.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Decoded<'b> {
    /// Bytes of input used up: consume them.
    pub used: usize,
    /// Body bytes inside those.
    pub data: &'b [u8],
    /// Where those begin in the input.
    pub data_begin: usize,
    /// The body ended: its trailer fields as raw lines (may be empty), each line with CRLF,
    /// without the final blank line.
    pub end: Option<&'b [u8]>,
}

/// Data that is gathered of several chunks: a frame of so much costs little, and little is moved for it.
const GATHERED_BYTES_MAX: usize = 4 * 1024;

/// Whether more input can come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eof {
    /// More can come.
    Open,
    /// The peer ended its stream: what is there is all there is.
    Reached,
}

/// Takes a body out of its framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoder(Decoding);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decoding {
    Sized { left: u64 },
    Chunked(chunked::Decoder),
    UntilClose,
    Ended,
    Failed(Error),
}

impl Decoder {
    /// Before the first byte of a body.
    #[must_use]
    pub const fn new(length: BodyLength) -> Self {
        Self(match length {
            BodyLength::Empty | BodyLength::Sized(0) => Decoding::Ended,
            BodyLength::Sized(left) => Decoding::Sized { left },
            BodyLength::Chunked => Decoding::Chunked(chunked::Decoder::new()),
            BodyLength::UntilClose => Decoding::UntilClose,
        })
    }

    /// Whether the body is complete.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        matches!(self.0, Decoding::Ended)
    }

    /// Decodes what `rx` begins with, at most `max` bytes of data. Nothing used, no data and no
    /// end: more input is needed (or `max` is zero). After the end it is reported again.
    ///
    /// # Errors
    /// The framing is malformed, or the stream ended before the body. The body cannot go on then:
    /// the error is reported again.
    pub fn decode<'b>(&mut self, rx: &'b [u8], max: usize, eof: Eof) -> Result<Decoded<'b>, Error> {
        let decoded = self.advance(rx, max);
        let is_stuck = matches!(decoded, Ok(Decoded { used: 0, end: None, .. }));
        // Data that is not asked for yet (`max` is zero) is not missing.
        let is_cut_short = is_stuck && eof == Eof::Reached && (max > 0 || rx.is_empty());
        let decoded = match self.0 {
            Decoding::UntilClose if is_cut_short => {
                self.0 = Decoding::Ended;
                Ok(Decoded { end: Some(b""), ..Decoded::default() })
            }
            Decoding::Sized { .. } | Decoding::Chunked(_) if is_cut_short => Err(Error::Truncated),
            Decoding::Sized { .. }
            | Decoding::Chunked(_)
            | Decoding::UntilClose
            | Decoding::Ended
            | Decoding::Failed(_) => decoded,
        };
        if let Err(error) = decoded {
            self.0 = Decoding::Failed(error);
        }
        decoded
    }

    /// As [`Self::decode`], with the data of small chunks moved together as far as they are there. What is
    /// used up of `rx` is undefined afterwards, but for what is returned of it.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn gather<'b>(
        &mut self,
        rx: &'b mut [u8],
        max: usize,
        eof: Eof,
    ) -> Result<Decoded<'b>, Error> {
        let first = self.decode(rx, max, eof)?;
        let (mut used, data_begin) = (first.used, first.data_begin);
        let mut data_end = data_begin + first.data.len();
        let mut trailers = first.end.map(<[u8]>::len);
        let max = max.min(GATHERED_BYTES_MAX);
        while trailers.is_none() && used < rx.len() && data_end - data_begin < max {
            let rest = rx.get(used..).unwrap_or_default();
            // A mistake is told once more when what is before it was taken.
            let Ok(next) = self.decode(rest, max - (data_end - data_begin), eof) else { break };
            if next.used == 0 {
                break;
            }
            let from = used + next.data_begin;
            used += next.used;
            trailers = next.end.map(<[u8]>::len);
            let count = next.data.len();
            rx.copy_within(from..from + count, data_end);
            data_end += count;
        }
        let rx: &'b [u8] = rx;
        let section = |length| match length {
            0 => &[],
            // A blank line is behind them.
            _ => rx.get(used - CRLF.len() - length..used - CRLF.len()).unwrap_or_default(),
        };
        let data = rx.get(data_begin..data_end).unwrap_or_default();
        Ok(Decoded { used, data, data_begin, end: trailers.map(section) })
    }

    fn advance<'b>(&mut self, rx: &'b [u8], max: usize) -> Result<Decoded<'b>, Error> {
        match &mut self.0 {
            Decoding::Sized { left } => {
                let max = usize::try_from(*left).unwrap_or(usize::MAX).min(max);
                let data = rx.get(..max).unwrap_or(rx);
                *left -= data.len() as u64;
                let end: Option<&[u8]> = (*left == 0).then_some(b"");
                if end.is_some() {
                    self.0 = Decoding::Ended;
                }
                Ok(Decoded { used: data.len(), data, data_begin: 0, end })
            }
            Decoding::Chunked(decoder) => {
                let decoded = decoder.decode(rx, max)?;
                if decoded.end.is_some() {
                    self.0 = Decoding::Ended;
                }
                Ok(decoded)
            }
            Decoding::UntilClose => {
                let data = rx.get(..max).unwrap_or(rx);
                Ok(Decoded { used: data.len(), data, ..Decoded::default() })
            }
            Decoding::Ended => Ok(Decoded { end: Some(b""), ..Decoded::default() }),
            Decoding::Failed(error) => Err(*error),
        }
    }
}

/// Pieces of a body that are framed at once, at the most.
pub const BODY_PIECES_MAX: usize = PIECES_MAX - 3;

/// Puts a body into its framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoder(Encoding);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Sized {
        left: u64,
    },
    Chunked,
    UntilClose,
    /// The head speaks of a body that is not sent: the answer to HEAD, a 304.
    Withheld,
    Ended,
}

impl Encoder {
    /// Before the first byte of a body.
    #[must_use]
    pub const fn new(length: BodyLength) -> Self {
        Self(match length {
            BodyLength::Empty => Encoding::Sized { left: 0 },
            BodyLength::Sized(left) => Encoding::Sized { left },
            BodyLength::Chunked => Encoding::Chunked,
            BodyLength::UntilClose => Encoding::UntilClose,
        })
    }

    /// For a response that never has a body (RFC 9112 6.3): what is written is dropped.
    #[must_use]
    pub const fn withheld() -> Self {
        Self(Encoding::Withheld)
    }

    /// Whether everything that the head announced is written.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        matches!(self.0, Encoding::Sized { left: 0 } | Encoding::Withheld | Encoding::Ended)
    }

    /// Whether the body has an end of its own, other than that of the connection.
    #[must_use]
    pub const fn is_framed(&self) -> bool {
        match self.0 {
            Encoding::Sized { .. } | Encoding::Chunked | Encoding::Withheld => true,
            Encoding::UntilClose | Encoding::Ended => false,
        }
    }

    /// Writes body bytes.
    ///
    /// # Errors
    /// [`Error::BodyOverflow`]: more than announced, or after the end; nothing is written.
    pub fn write(&mut self, data: &[u8], tx: &mut Buf) -> Result<(), Error> {
        if self.0 == Encoding::Chunked {
            // Small chunks come in great numbers, and copies of a known length cost less.
            chunked::write(data, tx);
            return Ok(());
        }
        self.pass(&[data], |pieces| pieces.iter().for_each(|piece| tx.extend(piece)))
    }

    /// As [`Self::write`], for bytes in several pieces: `send` sends them, with what frames them
    /// around them. It is called at most once.
    ///
    /// # Errors
    /// As [`Self::write`].
    ///
    /// # Panics
    /// With more than [`BODY_PIECES_MAX`] pieces.
    pub fn pass(&mut self, pieces: &[&[u8]], send: impl FnOnce(&[&[u8]])) -> Result<(), Error> {
        let count: usize = pieces.iter().map(|piece| piece.len()).sum();
        match &mut self.0 {
            Encoding::Sized { left } => {
                *left = left.checked_sub(count as u64).ok_or(Error::BodyOverflow)?;
                send(pieces);
            }
            Encoding::Chunked if count == 0 => {}
            Encoding::Chunked => {
                let size = chunked::Size::new(count);
                let mut framed = [&[][..]; PIECES_MAX];
                (framed[0], framed[1]) = (size.as_slice(), CRLF);
                framed[2..][..pieces.len()].copy_from_slice(pieces);
                framed[pieces.len() + 2] = CRLF;
                send(&framed[..pieces.len() + 3]);
            }
            Encoding::UntilClose => send(pieces),
            Encoding::Withheld => {}
            Encoding::Ended if count == 0 => {}
            Encoding::Ended => return Err(Error::BodyOverflow),
        }
        Ok(())
    }

    /// Ends the body; its trailer fields, raw lines each with CRLF, are written only in chunked
    /// framing. Doing it again does nothing.
    ///
    /// # Errors
    /// [`Error::Truncated`]: less than announced. [`Error::BadTrailers`]. The body has not ended.
    pub fn finish(&mut self, trailers: &[u8], tx: &mut Buf) -> Result<(), Error> {
        match self.0 {
            Encoding::Sized { left: 0 }
            | Encoding::UntilClose
            | Encoding::Withheld
            | Encoding::Ended => {}
            Encoding::Sized { .. } => return Err(Error::Truncated),
            Encoding::Chunked => chunked::finish(trailers, tx)?,
        }
        self.0 = Encoding::Ended;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
