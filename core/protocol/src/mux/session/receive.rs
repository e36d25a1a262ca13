//! The receiving half of a session: what the peer's frames mean.

use super::Session;
use crate::ConnId;
use crate::mux::error::{Error, ResetCode};
use crate::mux::frame::{DATA_BYTES_MAX, Flags, Frame, FrameKind, StreamId};
use crate::mux::session::Side;
use crate::mux::stream::{Stream, parse_reset};

/// What a frame meant. Streams are named by their owner, the connection they carry.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'m> {
    /// The peer opened a stream: [`Session::adopt`] it, or [`Session::reset`] it.
    Opened {
        /// Its name.
        stream: StreamId,
        /// The request.
        head: Head<'m>,
    },
    /// A response head arrived.
    Response {
        /// Whose.
        owner: ConnId,
        /// The head.
        head: Head<'m>,
    },
    /// Body bytes arrived; [`Session::release_all_but`] returns their credit when they have left.
    Data {
        /// Whose.
        owner: ConnId,
        /// The bytes.
        bytes: &'m [u8],
        /// The trailers when the peer's direction ends here; empty without trailers.
        end: Option<&'m [u8]>,
    },
    /// The stream is over before its end.
    Reset {
        /// Whose.
        owner: ConnId,
        /// Why.
        code: ResetCode,
        /// Why, in words for the log.
        text: &'m str,
    },
    /// The frame was the session's own business, or crossed the end of its stream.
    Handled,
    /// A frame about the connection, not about a stream.
    Connection {
        /// What it is.
        kind: FrameKind,
        /// Its payload.
        payload: &'m [u8],
    },
}

/// A head that came through the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'m> {
    /// The raw head, its blank line included.
    pub bytes: &'m [u8],
    /// END, INTERIM and UPGRADE as the peer set them.
    pub flags: Flags,
}

/// Bytes of the frames about one stream that may wait at once, besides its head: eight WINDOWs of 13 bytes,
/// after which a peer that has seen none of them has no credit left, and 24 for a RESET.
const STREAM_NOTICES_BYTES: usize = 128;

impl Session {
    /// Understands one received frame.
    ///
    /// # Errors
    /// The peer broke the protocol: the tunnel is to be closed.
    pub fn handle<'m>(&mut self, frame: Frame<'m>) -> Result<Event<'m>, Error> {
        let event = match frame.kind {
            FrameKind::Request => self.handle_request(frame),
            FrameKind::Response => self.handle_response(frame),
            FrameKind::Data | FrameKind::Trailers => self.handle_data(frame),
            FrameKind::Window => self.handle_window(frame),
            FrameKind::Reset => self.handle_reset(frame),
            FrameKind::Hello
            | FrameKind::Welcome
            | FrameKind::Refused
            | FrameKind::Challenge
            | FrameKind::Proof
            | FrameKind::Health
            | FrameKind::Drain
            | FrameKind::Echo
            | FrameKind::EchoReply => {
                if frame.stream != StreamId::CONNECTION {
                    return Err(Error::BadStreamId);
                }
                Ok(Event::Connection { kind: frame.kind, payload: frame.payload })
            }
        };
        // What an honest peer can make wait, even if it reads nothing for a while: no stream is opened any
        // more where the limit is reached, which the last REQUEST may exceed, and those that are open have
        // their notices.
        let about_streams = self.limits.streams as usize * STREAM_NOTICES_BYTES;
        if self.pending.len() > self.limits.pending_bytes + self.request_bytes + about_streams {
            return Err(Error::NotReading);
        }
        event
    }

    fn handle_request<'m>(&mut self, frame: Frame<'m>) -> Result<Event<'m>, Error> {
        let id = frame.stream.0;
        if self.side == Side::Opener || id < self.next || id.is_multiple_of(2) {
            return Err(Error::BadStreamId);
        }
        self.next = id.checked_add(2).ok_or(Error::BadStreamId)?;
        let mut stream = Stream::new(None, self.limits.send_window, self.limits.recv_window);
        stream.recv.ended = frame.flags.has(Flags::END);
        let is_full = self.streams.len() >= self.limits.streams as usize;
        self.streams.insert(frame.stream, stream);
        if is_full {
            self.reset(frame.stream, ResetCode::Refused, "too many streams");
            return Ok(Event::Handled);
        }
        let head = Head { bytes: frame.payload, flags: frame.flags };
        Ok(Event::Opened { stream: frame.stream, head })
    }

    fn handle_response<'m>(&mut self, frame: Frame<'m>) -> Result<Event<'m>, Error> {
        if self.side == Side::Acceptor {
            return Err(Error::OutOfOrder);
        }
        let Some(stream) = self.find(frame.stream)? else { return Ok(Event::Handled) };
        let is_interim = frame.flags.has(Flags::INTERIM);
        if stream.recv.ended || stream.responded || (is_interim && frame.flags.has(Flags::END)) {
            return Err(Error::OutOfOrder);
        }
        stream.responded = !is_interim;
        stream.recv.ended = frame.flags.has(Flags::END);
        let Some(owner) = stream.owner else { return Ok(Event::Handled) };
        self.forget_if_over(frame.stream);
        let head = Head { bytes: frame.payload, flags: frame.flags };
        Ok(Event::Response { owner, head })
    }

    fn handle_data<'m>(&mut self, frame: Frame<'m>) -> Result<Event<'m>, Error> {
        let side = self.side;
        let (bytes, end) = if frame.kind == FrameKind::Trailers {
            (&frame.payload[..0], Some(frame.payload))
        } else {
            (frame.payload, frame.flags.has(Flags::END).then_some(&[][..]))
        };
        if bytes.len() > DATA_BYTES_MAX {
            return Err(Error::DataTooLong);
        }
        let Some(stream) = self.find(frame.stream)? else { return Ok(Event::Handled) };
        if stream.recv.ended {
            return Err(Error::AfterEnd);
        }
        if side == Side::Opener && !stream.responded {
            return Err(Error::OutOfOrder);
        }
        stream.recv.take(bytes.len())?;
        stream.recv.ended = end.is_some();
        let Some(owner) = stream.owner else { return Ok(Event::Handled) };
        self.forget_if_over(frame.stream);
        Ok(Event::Data { owner, bytes, end })
    }

    fn handle_window<'m>(&mut self, frame: Frame<'m>) -> Result<Event<'m>, Error> {
        let credit: [u8; 4] = frame.payload.try_into().map_err(|_| Error::MalformedFrame)?;
        if let Some(stream) = self.find(frame.stream)? {
            stream.send.grant(u32::from_be_bytes(credit))?;
            self.mark_ready(frame.stream);
        }
        Ok(Event::Handled)
    }

    fn handle_reset<'m>(&mut self, frame: Frame<'m>) -> Result<Event<'m>, Error> {
        let (code, text) = parse_reset(frame.payload)?;
        let Some(stream) = self.find(frame.stream)? else { return Ok(Event::Handled) };
        let owner = stream.owner;
        self.forget(frame.stream);
        Ok(owner.map_or(Event::Handled, |owner| Event::Reset { owner, code, text }))
    }

    /// The stream of a frame; `None` when it is over, an error when it never was.
    fn find(&mut self, id: StreamId) -> Result<Option<&mut Stream>, Error> {
        if id.0 >= self.next || id.0.is_multiple_of(2) {
            return Err(Error::UnknownStream);
        }
        Ok(self.streams.get_mut(&id))
    }
}
