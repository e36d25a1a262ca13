//! The end that sends requests: the agent, on a connection to the service.
//!
//! ```text
//! Idle ── send ──▶ Asked ── receive(final) ──▶ Answered ── both bodies ended, next ──▶ Idle
//!                  │   └─ receive(1xx) ─▶ (Asked)
//!                  └── receive(101) ──▶ Upgraded: write and decode carry bytes as they are
//! ```

use super::body::{Decoded, Decoder, Encoder, Eof};
use super::framing::{BodyLength, CloseReason};
use super::request::RequestKind;
use super::scan::{self, HeadScan};
use super::{Error, RequestHead, ResponseHead, Storage};
use crate::Buf;

/// What a response head means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// An interim response (RFC 9110 15.2): another head follows.
    Interim,
    /// The service speaks another protocol from the next byte on (RFC 9110 7.8).
    Upgraded,
    /// The response: its body follows.
    Final(BodyLength),
}

/// One connection to a service.
#[derive(Debug)]
pub struct ClientConn {
    scan: HeadScan,
    state: State,
    /// The first thing that was said against another request.
    close: Option<CloseReason>,
}

#[derive(Debug)]
enum State {
    Idle,
    Asked { request: Encoder, kind: RequestKind },
    Answered { request: Encoder, response: Decoder },
    Upgraded { tx: Encoder, rx: Decoder },
}

impl ClientConn {
    /// A fresh connection, which refuses response heads of more than `head_max` bytes.
    #[must_use]
    pub const fn new(head_max: usize) -> Self {
        let scan = HeadScan::new(scan::Kind::Response, head_max);
        Self { scan, state: State::Idle, close: None }
    }

    /// Writes a request head as it is: whoever sent it through the tunnel made it for this hop.
    ///
    /// # Errors
    /// Its framing is ambiguous. Nothing is written.
    ///
    /// # Panics
    /// When the exchange before has not been left with [`Self::next`].
    pub fn send(&mut self, head: &RequestHead<'_, '_>, tx: &mut Buf) -> Result<(), Error> {
        assert!(matches!(self.state, State::Idle), "a request inside of an exchange");
        let request = Encoder::new(head.framing.request_body(head.version)?);
        tx.extend(head.bytes);
        if head.framing.close_reason(head.version).is_some() {
            self.close.get_or_insert(CloseReason::Draining);
        }
        self.state = State::Asked { request, kind: RequestKind::of(head) };
        Ok(())
    }

    /// Writes request body bytes, or bytes of the other protocol.
    ///
    /// # Errors
    /// [`Error::BodyOverflow`]: more than announced; nothing is written.
    pub fn write(&mut self, data: &[u8], tx: &mut Buf) -> Result<(), Error> {
        self.encoder().ok_or(Error::BodyOverflow)?.write(data, tx)
    }

    /// As [`Self::write`], for bytes in several pieces: `send` sends them, with what frames them
    /// around them.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn pass(&mut self, pieces: &[&[u8]], send: impl FnOnce(&[&[u8]])) -> Result<(), Error> {
        self.encoder().ok_or(Error::BodyOverflow)?.pass(pieces, send)
    }

    /// Ends the request body with its trailer fields (raw lines; only when chunked).
    ///
    /// # Errors
    /// [`Error::Truncated`]: less than announced. [`Error::BadTrailers`].
    pub fn finish(&mut self, trailers: &[u8], tx: &mut Buf) -> Result<(), Error> {
        self.encoder().ok_or(Error::Truncated)?.finish(trailers, tx)
    }

    const fn encoder(&mut self) -> Option<&mut Encoder> {
        match &mut self.state {
            State::Idle => None,
            State::Asked { request, .. } | State::Answered { request, .. } => Some(request),
            State::Upgraded { tx, .. } => Some(tx),
        }
    }

    /// Whether a request is written completely.
    #[must_use]
    pub const fn has_request_ended(&self) -> bool {
        match &self.state {
            State::Idle => false,
            State::Asked { request, .. } | State::Answered { request, .. } => request.has_ended(),
            State::Upgraded { .. } => true,
        }
    }

    /// The response head that `rx` begins with, once it is complete.
    ///
    /// # Errors
    /// It is none, or cannot become one. The connection is lost.
    pub fn read_head<'s, 'b>(
        &mut self,
        rx: &'b [u8],
        storage: &'s mut Storage<'b>,
    ) -> Result<Option<ResponseHead<'s, 'b>>, Error> {
        let head = self.scan.read(rx, |bytes| ResponseHead::parse_front(bytes, storage));
        self.latch_error(head)
    }

    /// Takes a response head, and sets how its body is read.
    ///
    /// # Errors
    /// Its framing is ambiguous, or nobody asked for it. The connection is lost.
    pub fn receive(&mut self, head: &ResponseHead<'_, '_>) -> Result<Received, Error> {
        let received = self.read_response(head);
        self.latch_error(received)
    }

    fn read_response(&mut self, head: &ResponseHead<'_, '_>) -> Result<Received, Error> {
        let State::Asked { request, kind } = &self.state else {
            return Err(Error::BadStatus);
        };
        match (head.status, kind) {
            // Request bytes after the switch would be read as the other protocol.
            (101, RequestKind::Upgrade) if request.has_ended() => {
                self.close = Some(CloseReason::Upgraded);
                self.state = State::Upgraded {
                    tx: Encoder::new(BodyLength::UntilClose),
                    rx: Decoder::new(BodyLength::UntilClose),
                };
                return Ok(Received::Upgraded);
            }
            (101, _) => return Err(Error::BadStatus),
            (100..=199, _) => return Ok(Received::Interim),
            (200..=999, _) => {}
            _ => return Err(Error::BadStatus),
        }
        let announced = head.framing.response_body(head.version)?;
        let length = match (head.status, kind) {
            (204 | 304, _) | (_, RequestKind::Head) => BodyLength::Empty,
            (_, RequestKind::Upgrade | RequestKind::Other) => announced,
        };
        let until_close = (length == BodyLength::UntilClose).then_some(CloseReason::UntilClose);
        let refusal = head.framing.close_reason(head.version);
        self.close = self.close.or(refusal).or(until_close);
        self.state = State::Answered { request: *request, response: Decoder::new(length) };
        Ok(Received::Final(length))
    }

    /// Decodes response body bytes, or bytes of the other protocol: see [`Decoder::decode`].
    ///
    /// # Errors
    /// The body is malformed or was cut short. The connection is lost.
    pub fn decode<'b>(&mut self, rx: &'b [u8], max: usize, eof: Eof) -> Result<Decoded<'b>, Error> {
        let decoded = match &mut self.state {
            State::Idle | State::Asked { .. } => Ok(Decoded::default()),
            State::Answered { response: decoder, .. } | State::Upgraded { rx: decoder, .. } => {
                decoder.decode(rx, max, eof)
            }
        };
        self.latch_error(decoded)
    }

    /// As [`Self::decode`], with small chunks together: see [`Decoder::gather`].
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn gather<'b>(
        &mut self,
        rx: &'b mut [u8],
        max: usize,
        eof: Eof,
    ) -> Result<Decoded<'b>, Error> {
        let decoded = match &mut self.state {
            State::Idle | State::Asked { .. } => Ok(Decoded::default()),
            State::Answered { response: decoder, .. } | State::Upgraded { rx: decoder, .. } => {
                decoder.gather(rx, max, eof)
            }
        };
        self.latch_error(decoded)
    }

    /// Why this connection cannot take another request, as of now: an unfinished exchange is such
    /// a reason.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.close.or_else(|| match &self.state {
            State::Idle => None,
            State::Upgraded { .. } => Some(CloseReason::Upgraded),
            State::Asked { request, .. } | State::Answered { request, .. }
                if !request.has_ended() =>
            {
                Some(CloseReason::RequestUnfinished)
            }
            State::Answered { response, .. } if response.has_ended() => None,
            State::Asked { .. } | State::Answered { .. } => Some(CloseReason::ResponseUnfinished),
        })
    }

    /// Leaves a completed exchange. Bytes that are received between exchanges answer nothing: a
    /// connection with any must be closed, or they would be the answer to the next request.
    ///
    /// # Panics
    /// When there is a [`Self::close_reason`].
    pub fn next(&mut self) {
        assert_eq!(self.close_reason(), None, "another request on a lost connection");
        self.state = State::Idle;
    }

    fn latch_error<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() {
            self.close = Some(CloseReason::ProtocolError);
        }
        result
    }
}

#[cfg(test)]
mod tests;
