//! The multiplexer's state machine over one tunnel.
//!
//! `handle` takes one received frame and says what it meant. `open`, `reset`, `end` and
//! the like are commands; what they send waits in the session until `transmit`. `poll_ready` and
//! `sender` hand out turns to send DATA. The session owns no body bytes: they go from their
//! source straight into the tunnel's `tx`, and from its `rx` straight to their destination.

mod ending;
mod opening;
mod receive;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::{Duration, Instant};

pub use opening::OpenError;
pub use receive::{Event, Head};

use super::frame::{self, DATA_BYTES_FULL, Flags, FrameKind, StreamId};
use super::growth::Growth;
use super::outbound::Outbound;
use super::stream::{Sender, Stream};
use super::turns::{Queues, Turns};
use crate::{Buf, ConnId};

/// Which end of the tunnel this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The ingress: opens streams.
    Opener,
    /// The agent: accepts them.
    Acceptor,
}

/// The state of one tunnel's streams.
#[derive(Debug)]
pub struct Session {
    side: Side,
    streams: Streams,
    /// The next identifier this side opens, or the lowest that the peer may open.
    next: u32,
    /// Frames to be sent before any DATA.
    pending: Buf,
    /// The longest REQUEST that was among them.
    request_bytes: usize,
    /// The first stream of those we open whose REQUEST is in `pending`, or will be. Neither it nor
    /// a later one has a turn: their DATA would be ahead of their REQUEST.
    unwritten: u32,
    /// Streams whose turn came before their REQUEST was written, until the end of this flush.
    early: Vec<StreamId>,
    /// Streams with something to send.
    queues: Queues,
    limits: Limits,
    growth: Growth,
    unclaimed: Unclaimed,
}

/// What the bytes that still wait of the last stream that is over take of the growth, until somebody
/// claims it; zero for none.
#[derive(Debug)]
struct Unclaimed {
    stream: StreamId,
    bytes: u32,
}

/// Streams by their number.
type Streams = HashMap<StreamId, Stream, BuildHasherDefault<NumberHasher>>;

/// Spreads the numbers of streams: each frame looks one up. The peer that chooses them can make
/// them meet, but only grow them, and there are no more of them than the limit of streams.
#[derive(Debug, Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(byte.into());
        }
    }

    fn write_u32(&mut self, number: u32) {
        // Fibonacci hashing (Knuth, 6.4): the best bits are the upper ones, and both ends count.
        let spread = (self.0 ^ u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = spread.rotate_left(32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// How much one end of a tunnel carries.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Streams that may be open at once.
    pub streams: u32,
    /// DATA bytes that may go on a stream before its credit returns; 0 until the peer has announced it: see
    /// [`Session::agree`].
    pub send_window: u32,
    /// DATA bytes that the peer may send on a stream before its credit returns; HELLO or WELCOME
    /// announces it.
    pub recv_window: u32,
    /// What may wait to be sent besides DATA: with more, no stream is opened. Notices of those that are open
    /// come on top.
    pub pending_bytes: usize,
    /// What the receive windows may grow by together: those of streams that a window holds back, on a path
    /// with a long round trip.
    pub growth: u32,
}

/// What a stream may send before its turn comes after those that sent less: two frames.
const FRESH_BYTES_MAX: u64 = 2 * DATA_BYTES_FULL as u64;

impl Session {
    /// A session without streams.
    #[must_use]
    pub fn new(side: Side, limits: Limits) -> Self {
        Self {
            side,
            streams: Streams::default(),
            next: 1,
            pending: Buf::new(),
            request_bytes: 0,
            unwritten: 1,
            early: Vec::new(),
            queues: Queues::default(),
            limits,
            growth: Growth { left: limits.growth, round_trip: None },
            unclaimed: Unclaimed { stream: StreamId::CONNECTION, bytes: 0 },
        }
    }

    /// Takes note of how long a frame and its answer take.
    pub(crate) const fn note_round_trip(&mut self, round_trip: Duration) {
        self.growth.round_trip = Some(round_trip);
    }

    /// DATA bytes that the peer may send on a stream before its credit returns, to be announced.
    #[must_use]
    pub const fn recv_window(&self) -> u32 {
        self.limits.recv_window
    }

    /// Takes the limits that the peer announced.
    pub fn agree(&mut self, streams: u32, send_window: u32) {
        self.limits.streams = self.limits.streams.min(streams);
        self.limits.send_window = send_window;
    }

    /// Names the connection that serves a stream the peer opened.
    pub fn adopt(&mut self, stream: StreamId, owner: ConnId) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.owner = Some(owner);
        }
    }

    /// All that came of a stream has left for its destination, but `waiting` bytes: returns credit.
    pub fn release_all_but(&mut self, waiting: usize, stream: StreamId, now: Instant) {
        let Some(unreleased) = self.unreleased(stream) else { return };
        let left = (unreleased as usize).saturating_sub(waiting);
        if left > 0 {
            self.release(stream, left, now);
        }
    }

    fn release(&mut self, stream: StreamId, count: usize, now: Instant) {
        self.regain_unclaimed();
        let Some(state) = self.streams.get_mut(&stream) else { return };
        let count = u32::try_from(count).expect("no more than the window was delivered");
        if let Some(credit) = state.recv.release(count, now, &mut self.growth) {
            frame::write(FrameKind::Window, Flags::NONE, stream, &mut self.pending, |out| {
                out.extend(&credit.to_be_bytes());
            });
        }
    }

    /// Sends a frame about the connection.
    pub fn send(&mut self, kind: FrameKind, payload: &[u8]) {
        frame::write(kind, Flags::NONE, StreamId::CONNECTION, &mut self.pending, |out| {
            out.extend(payload);
        });
    }

    /// The stream has something to send: it gets a turn.
    pub fn mark_ready(&mut self, stream: StreamId) {
        let Some(state) = self.streams.get_mut(&stream) else { return };
        if !state.queued && !state.send.ended {
            state.queued = true;
            let is_fresh = state.send.sent < FRESH_BYTES_MAX;
            let streams = &self.streams;
            self.queues.push(stream, is_fresh, streams.len(), |id| streams.contains_key(&id));
        }
    }

    /// Writes frames that go before any DATA: up to so many bytes, and what is left of the last one.
    pub fn transmit(&mut self, most: usize, out: &mut Outbound<'_>) {
        let count = out.frames(self.pending.as_slice(), most);
        self.queues.note_ahead(count);
        self.pending.consume(count);
        if self.side == Side::Opener {
            self.unwritten = self.first_pending().unwrap_or(self.next);
        }
    }

    /// The first stream whose REQUEST waits.
    fn first_pending(&self) -> Option<u32> {
        let mut rest = self.pending.as_slice();
        while let Ok((used, Some(frame))) = frame::parse(rest) {
            if frame.kind == FrameKind::Request {
                return Some(frame.stream.number());
            }
            rest = &rest[used..];
        }
        None
    }

    /// The number of the first stream of those we opened, or will open, whose REQUEST was not written. It
    /// never grows at the end that opens none.
    pub(crate) const fn unwritten(&self) -> u32 {
        self.unwritten
    }

    /// Says nothing more of any stream; what waits about the connection is still sent.
    pub(crate) fn drop_stream_output(&mut self) {
        self.queues.clear();
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_slice();
        while let Ok((used, frame)) = frame::parse(rest) {
            if frame.is_some_and(|frame| frame.stream == StreamId::CONNECTION) {
                self.pending.extend(&rest[..used]);
            }
            rest = &rest[used..];
        }
    }

    /// Whether [`Self::transmit`] has something to write.
    #[must_use]
    pub const fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether a stream waits for a turn.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        self.queues.len() > 0
    }

    /// The next stream whose turn it is, and the connection it carries. It is not ready any more:
    /// [`Self::mark_ready`] it again if its turn left something.
    pub fn poll_ready(&mut self, turns: Turns) -> Option<(StreamId, ConnId)> {
        loop {
            let id = self.queues.pop(turns)?;
            if self.side == Side::Opener && id.number() >= self.unwritten {
                self.early.push(id);
                continue;
            }
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.queued = false;
                if let Some(owner) = stream.owner.filter(|_| !stream.send.ended) {
                    return Some((id, owner));
                }
            }
        }
    }

    /// No more turns in this flush: those that came too early wait again.
    pub(crate) fn end_turns(&mut self) {
        let mut early = std::mem::take(&mut self.early);
        for id in early.drain(..) {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.queued = false;
                self.mark_ready(id);
            }
        }
        self.early = early;
    }

    /// So many bytes went in the turn that came last.
    pub(crate) const fn note_turn(&mut self, bytes: usize) {
        self.queues.note_turn(bytes);
    }

    /// The sending direction of a stream; `None` when the stream is over.
    pub fn sender(&mut self, id: StreamId) -> Option<Sender<'_>> {
        self.streams.get_mut(&id).map(|stream| Sender { id, stream })
    }

    /// Whether our direction of a stream has ended, or the stream is over.
    #[must_use]
    pub fn has_ended(&self, id: StreamId) -> bool {
        self.streams.get(&id).is_none_or(|stream| stream.send.ended)
    }

    /// Whether so much waits to be sent that it should not wait for its turn: a quarter of what may.
    #[must_use]
    pub const fn is_filling(&self) -> bool {
        self.pending.len() >= self.limits.pending_bytes / 4
    }

    /// Bytes of frames that wait to be sent before any DATA.
    #[must_use]
    pub const fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// The connection that a stream carries; `None` when the stream is over.
    #[must_use]
    pub fn owner(&self, stream: StreamId) -> Option<ConnId> {
        self.streams.get(&stream)?.owner
    }

    /// Bytes of a stream that arrived and were not yet released.
    #[must_use]
    pub fn unreleased(&self, stream: StreamId) -> Option<u32> {
        Some(self.streams.get(&stream)?.recv.unreleased())
    }

    /// How many streams are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether no stream is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// The connections that streams carry.
    pub fn owners(&self) -> impl Iterator<Item = (StreamId, ConnId)> {
        self.streams.iter().filter_map(|(id, stream)| Some((*id, stream.owner?)))
    }
}

/// What a turn left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing that could be sent now.
    Over,
    /// More that can be sent now.
    Again,
}

#[cfg(test)]
mod tests;
