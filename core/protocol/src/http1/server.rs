//! The end that takes requests: the ingress, on a connection of a caller.
//!
//! ```text
//! Idle ── begin ──▶ Asked ── respond, reply ──▶ Answered ── both bodies ended, next ──▶ Idle
//!   │                │   └─ interim ─▶ (Asked)
//!   │                └── upgrade ──▶ Upgraded: write and decode carry bytes as they are
//!   └── reply (no head could be read) ──▶ Answered, and the connection is closed
//! ```
//!
//! Responses come out of a tunnel, and whoever is behind it may be hostile: what they say about
//! this hop is removed, and said anew from what is known here.

use super::body::{Decoded, Decoder, Encoder, Eof};
use super::fields::{CRLF, Name};
use super::framing::{BodyLength, CloseReason};
use super::lines;
use super::reply::{self, Reply};
use super::request::{Request, RequestKind};
use super::scan::{self, HeadScan};
use super::{Error, RequestHead, ResponseHead, Storage, Version};
use crate::Buf;

/// One connection of a caller.
#[derive(Debug)]
pub struct ServerConn {
    scan: HeadScan,
    state: State,
    context: RequestContext,
    /// The first thing that was said against another request.
    close: Option<CloseReason>,
}

#[derive(Debug)]
enum State {
    Idle,
    Asked { request: Decoder },
    Answered { request: Decoder, response: Encoder },
    Upgraded { rx: Decoder, tx: Encoder },
}

/// What decides how the request at hand is answered.
#[derive(Debug, Clone, Copy)]
struct RequestContext {
    version: Version,
    kind: RequestKind,
    /// Whether it waits for a 100 before it sends the body (RFC 9110 10.1.1), and got none.
    awaits_continue: bool,
    has_body: bool,
}

impl ServerConn {
    /// A fresh connection, which refuses request heads of more than `head_max` bytes.
    #[must_use]
    pub const fn new(head_max: usize) -> Self {
        Self {
            scan: HeadScan::new(scan::Kind::Request, head_max),
            state: State::Idle,
            context: RequestContext::UNKNOWN,
            close: None,
        }
    }

    /// The next request head, once it is complete, and where it ends in `rx`. Before it there may
    /// be an empty line, which is tolerated (RFC 9112 2.2). Nothing inside of an exchange.
    ///
    /// # Errors
    /// It is none, or cannot become one: send a [`Reply`] and close.
    pub fn read_head<'s, 'b>(
        &mut self,
        rx: &'b [u8],
        storage: &'s mut Storage<'b>,
    ) -> Result<Option<(RequestHead<'s, 'b>, usize)>, Error> {
        let is_lost = self.close == Some(CloseReason::ProtocolError);
        if !matches!(self.state, State::Idle) || is_lost {
            return Ok(None);
        }
        let begin = scan::leading_empty_line(rx);
        let rest = rx.get(begin..).unwrap_or_default();
        match self.scan.read(rest, |bytes| RequestHead::parse_front(bytes, storage)) {
            Ok(None) => Ok(None),
            Ok(Some(head)) => {
                let end = begin + head.bytes.len();
                Ok(Some((head, end)))
            }
            Err(error) => self.latch_error(Err(error)),
        }
    }

    /// Takes a request head, and sets how its body is read and how it is answered.
    ///
    /// # Errors
    /// It is refused: send a [`Reply`] and close.
    ///
    /// # Panics
    /// When the exchange before has not been left with [`Self::next`].
    pub fn begin<'b>(&mut self, head: &RequestHead<'_, 'b>) -> Result<Request<'b>, Error> {
        assert!(matches!(self.state, State::Idle), "a request inside of an exchange");
        self.context = RequestContext::new(head);
        let refusal = head.framing.close_reason(head.version);
        self.close = self.close.or(refusal);
        let request = Request::new(head);
        let request = self.latch_error(request)?;
        self.context.has_body = !matches!(request.body, BodyLength::Empty | BodyLength::Sized(0));
        self.state = State::Asked { request: Decoder::new(request.body) };
        Ok(request)
    }

    /// Decodes request body bytes, or bytes of the other protocol: see [`Decoder::decode`].
    ///
    /// # Errors
    /// The body is malformed: send a [`Reply`] if that is still possible, and close.
    pub fn decode<'b>(&mut self, rx: &'b [u8], max: usize) -> Result<Decoded<'b>, Error> {
        let decoded = match &mut self.state {
            State::Idle => Ok(Decoded::default()),
            State::Asked { request: decoder }
            | State::Answered { request: decoder, .. }
            | State::Upgraded { rx: decoder, .. } => decoder.decode(rx, max, Eof::Open),
        };
        self.latch_error(decoded)
    }

    /// As [`Self::decode`], with small chunks together: see [`Decoder::gather`].
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn gather<'b>(&mut self, rx: &'b mut [u8], max: usize) -> Result<Decoded<'b>, Error> {
        let decoded = match &mut self.state {
            State::Idle => Ok(Decoded::default()),
            State::Asked { request: decoder }
            | State::Answered { request: decoder, .. }
            | State::Upgraded { rx: decoder, .. } => decoder.gather(rx, max, Eof::Open),
        };
        self.latch_error(decoded)
    }

    /// The version that the caller of the request at hand speaks.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.context.version
    }

    /// Whether the caller said that it waits for a 100 before it sends the body, and got none. It may
    /// send the body all the same.
    #[must_use]
    pub const fn awaits_continue(&self) -> bool {
        self.context.awaits_continue
    }

    /// Whether the request at hand, or the last one, came with a body.
    #[must_use]
    pub const fn has_body(&self) -> bool {
        self.context.has_body
    }

    /// Whether a request is read completely.
    #[must_use]
    pub const fn has_request_ended(&self) -> bool {
        match &self.state {
            State::Idle => false,
            State::Asked { request } | State::Answered { request, .. } => request.has_ended(),
            State::Upgraded { .. } => true,
        }
    }

    /// Writes an interim response (RFC 9110 15.2). Callers with HTTP/1.0 do not know of any; for
    /// them, and when the head is no interim response, nothing is written.
    pub fn interim(&mut self, head: &ResponseHead<'_, '_>, tx: &mut Buf) {
        let is_interim = matches!(head.status, 100 | 102..=199);
        let is_due = matches!(self.state, State::Asked { .. });
        if !is_interim || !is_due || self.context.version == Version::Http10 {
            return;
        }
        let is_kept = |name, text: &str| !is_framing(name) && !head.framing.is_of_hop(name, text);
        lines::copy_response(head, is_kept, tx);
        tx.extend(CRLF);
        self.context.awaits_continue &= head.status != 100;
    }

    /// Writes the head of the response, and sets how its body is framed.
    ///
    /// # Errors
    /// [`Error::BadStatus`]: no final status, or not the first answer. Otherwise its framing is
    /// ambiguous. Nothing is written: a [`Reply`] can take its place.
    pub fn respond(
        &mut self,
        head: &ResponseHead<'_, '_>,
        tx: &mut Buf,
    ) -> Result<BodyLength, Error> {
        let State::Asked { request } = self.state else {
            return Err(Error::BadStatus);
        };
        if !matches!(head.status, 200..=999) {
            return Err(Error::BadStatus);
        }
        let announced = head.framing.tunnelled_body()?;
        let is_withheld =
            matches!(head.status, 204 | 304) || self.context.kind == RequestKind::Head;
        let length = match (announced, self.context.version) {
            _ if is_withheld => BodyLength::Empty,
            (Some(count), _) => BodyLength::Sized(count),
            (None, Version::Http11) => BodyLength::Chunked,
            (None, Version::Http10) => BodyLength::UntilClose,
        };
        let is_kept = |name, text: &str| match name {
            Name::ContentLength => head.status != 204,
            Name::Trailer if length != BodyLength::Chunked => false,
            Name::Trailer
            | Name::Connection
            | Name::Expect
            | Name::Host
            | Name::HopByHop
            | Name::Te
            | Name::TransferEncoding
            | Name::Upgrade
            | Name::XForwardedFor
            | Name::XForwardedHost
            | Name::XForwardedPort
            | Name::XForwardedProto
            | Name::Other => !head.framing.is_of_hop(name, text),
        };
        lines::copy_response(head, is_kept, tx);
        if length == BodyLength::UntilClose {
            self.close.get_or_insert(CloseReason::UntilClose);
        }
        if !request.has_ended() {
            // The response may end first, and then so does the connection; nor does anybody know
            // what the next bytes of a caller that waited for a 100 mean (RFC 9110 10.1.1).
            self.close.get_or_insert(CloseReason::RequestUnfinished);
        }
        if length == BodyLength::Chunked {
            tx.extend(b"Transfer-Encoding: chunked\r\n");
        }
        tx.extend(self.connection_line());
        tx.extend(CRLF);
        let response = if is_withheld { Encoder::withheld() } else { Encoder::new(length) };
        self.state = State::Answered { request, response };
        Ok(length)
    }

    /// Writes a 101: from here on bytes are carried as they are, both ways.
    ///
    /// # Errors
    /// [`Error::BadStatus`]: it is no 101, or the request did not ask for one, is not complete, or
    /// is answered already. Nothing is written.
    pub fn upgrade(&mut self, head: &ResponseHead<'_, '_>, tx: &mut Buf) -> Result<(), Error> {
        let is_due = matches!(&self.state, State::Asked { request } if request.has_ended());
        if head.status != 101 || self.context.kind != RequestKind::Upgrade || !is_due {
            return Err(Error::BadStatus);
        }
        let is_kept = |name, text: &str| {
            name == Name::Upgrade || !is_framing(name) && !head.framing.is_of_hop(name, text)
        };
        lines::copy_response(head, is_kept, tx);
        tx.extend(b"Connection: Upgrade\r\n\r\n");
        self.close = Some(CloseReason::Upgraded);
        self.state = State::Upgraded {
            rx: Decoder::new(BodyLength::UntilClose),
            tx: Encoder::new(BodyLength::UntilClose),
        };
        Ok(())
    }

    /// Writes response body bytes, or bytes of the other protocol. Responses that have no body
    /// drop them.
    ///
    /// # Errors
    /// [`Error::BodyOverflow`]: more than announced, or no response; nothing is written.
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

    /// Ends the response body with its trailer fields (raw lines; only when chunked).
    ///
    /// # Errors
    /// [`Error::Truncated`]: less than announced, or no response. [`Error::BadTrailers`].
    pub fn finish(&mut self, trailers: &[u8], tx: &mut Buf) -> Result<(), Error> {
        self.encoder().ok_or(Error::Truncated)?.finish(trailers, tx)
    }

    const fn encoder(&mut self) -> Option<&mut Encoder> {
        match &mut self.state {
            State::Idle | State::Asked { .. } => None,
            State::Answered { response, .. } => Some(response),
            State::Upgraded { tx, .. } => Some(tx),
        }
    }

    /// Whether the caller can tell where the answer at hand ends without the end of the connection.
    #[must_use]
    pub const fn is_answer_framed(&self) -> bool {
        match &self.state {
            State::Idle | State::Asked { .. } | State::Upgraded { .. } => false,
            State::Answered { response, .. } => response.is_framed(),
        }
    }

    /// Writes a whole answer of our own. Without a head, or before the end of the request body,
    /// it announces the end of the connection, too. After another answer nothing is written.
    pub fn reply(&mut self, reply: &Reply<'_>, tx: &mut Buf) {
        let request = match self.state {
            State::Idle => Decoder::new(BodyLength::Empty),
            State::Asked { request } => request,
            State::Answered { .. } | State::Upgraded { .. } => return,
        };
        if !self.has_request_ended() {
            self.close.get_or_insert(CloseReason::RequestUnfinished);
        }
        reply::write_head(reply, tx);
        tx.extend(self.connection_line());
        tx.extend(CRLF);
        if self.context.kind != RequestKind::Head && !matches!(reply.status, 204 | 304) {
            tx.extend(reply.body);
        }
        self.state = State::Answered { request, response: Encoder::withheld() };
    }

    /// The answer to come says `Connection: close`.
    pub const fn close_after(&mut self) {
        if self.close.is_none() {
            self.close = Some(CloseReason::Draining);
        }
    }

    const fn connection_line(&self) -> &'static [u8] {
        match (self.close, self.context.version) {
            (Some(_), _) => b"Connection: close\r\n",
            (None, Version::Http10) => b"Connection: keep-alive\r\n",
            (None, Version::Http11) => b"",
        }
    }

    /// Why this connection cannot take another request, as of now: an unfinished exchange is such
    /// a reason.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.close.or_else(|| match &self.state {
            State::Idle => None,
            State::Asked { request } | State::Answered { request, .. } if !request.has_ended() => {
                Some(CloseReason::RequestUnfinished)
            }
            State::Answered { response, .. } if response.has_ended() => None,
            State::Asked { .. } | State::Answered { .. } => Some(CloseReason::ResponseUnfinished),
            State::Upgraded { .. } => Some(CloseReason::Upgraded),
        })
    }

    /// Leaves a completed exchange.
    ///
    /// # Panics
    /// When there is a [`Self::close_reason`].
    pub fn next(&mut self) {
        assert_eq!(self.close_reason(), None, "another request on a lost connection");
        self.state = State::Idle;
        self.context = RequestContext::UNKNOWN;
    }

    fn latch_error<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() {
            self.close = Some(CloseReason::ProtocolError);
        }
        result
    }
}

impl RequestContext {
    /// Nothing was read: the answer is one that anybody understands.
    const UNKNOWN: Self = Self {
        version: Version::Http11,
        kind: RequestKind::Other,
        awaits_continue: false,
        has_body: false,
    };

    fn new(head: &RequestHead<'_, '_>) -> Self {
        let awaits_continue = head.framing.expects_continue(head.version);
        let kind = RequestKind::of(head);
        Self { version: head.version, kind, awaits_continue, has_body: false }
    }
}

/// Whether a 1xx must not have that field (RFC 9110 8.6, RFC 9112 6.1).
const fn is_framing(name: Name) -> bool {
    matches!(name, Name::ContentLength | Name::Trailer)
}

#[cfg(test)]
mod tests;
