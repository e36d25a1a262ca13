//! One stream: two directions that end by themselves, each with its credit.

use std::time::Instant;

use super::Outbound;
use super::frame::{DATA_BYTES_FULL, Flags, FrameKind, RUN_BYTES, StreamId, full_frames};
use super::growth::Growth;
use super::{Error, ResetCode};
use crate::ConnId;
use crate::control::shorten;

/// What both directions of a stream are at.
#[derive(Debug)]
pub(super) struct Stream {
    /// The connection whose bytes this stream carries; `None` until the acceptor named one.
    pub(super) owner: Option<ConnId>,
    pub(super) send: Send,
    pub(super) recv: Recv,
    /// At the opener: whether the final response head has come.
    pub(super) responded: bool,
    pub(super) queued: bool,
}

/// The direction in which we send.
#[derive(Debug)]
pub(super) struct Send {
    /// DATA bytes that the peer still allows.
    pub(super) credit: u32,
    /// DATA bytes sent so far, and interim heads, which take none of the credit.
    pub(super) sent: u64,
    pub(super) ended: bool,
}

/// The direction in which we receive.
#[derive(Debug)]
pub(super) struct Recv {
    /// DATA bytes that the peer may still send.
    ///
    /// Invariant: `allowed + unreturned + (bytes delivered and not yet released) == window`.
    pub(super) allowed: u32,
    /// Bytes that were released and whose credit is not yet returned.
    pub(super) unreturned: u32,
    /// Bytes that may be on their way or wait here; it only grows.
    pub(super) window: u32,
    /// What was claimed of what it has grown by, for bytes that still wait after the end.
    pub(super) claimed: u32,
    /// Bytes that were released since the pace was last looked at.
    paced: u32,
    /// When that was, or else when the first bytes were released.
    paced_at: Option<Instant>,
    pub(super) ended: bool,
}

impl Stream {
    pub(super) const fn new(owner: Option<ConnId>, send_window: u32, recv_window: u32) -> Self {
        Self {
            owner,
            send: Send { credit: send_window, sent: 0, ended: false },
            recv: Recv {
                allowed: recv_window,
                unreturned: 0,
                window: recv_window,
                claimed: 0,
                paced: 0,
                paced_at: None,
                ended: false,
            },
            responded: false,
            queued: false,
        }
    }

    /// Whether both directions have ended.
    pub(super) const fn is_over(&self) -> bool {
        self.send.ended && self.recv.ended
    }
}

impl Send {
    pub(super) fn grant(&mut self, credit: u32) -> Result<(), Error> {
        self.credit = self.credit.checked_add(credit).ok_or(Error::WindowOverflow)?;
        Ok(())
    }
}

impl Recv {
    /// DATA arrived.
    pub(super) fn take(&mut self, length: usize) -> Result<(), Error> {
        let length = u32::try_from(length).map_err(|_| Error::DataTooLong)?;
        self.allowed = self.allowed.checked_sub(length).ok_or(Error::WindowExceeded)?;
        Ok(())
    }

    /// Bytes left for their destination; the credit to return now, once it is worth a frame.
    ///
    /// A sender that the window holds back uses up half of it in half a round trip, or less where it
    /// comes in bursts. It grows, as far as `growth` allows, until that takes two: measured round
    /// trips are those of small frames on a path at rest, and a window that just fits leaves no room
    /// for the path's whims.
    pub(super) fn release(&mut self, count: u32, now: Instant, growth: &mut Growth) -> Option<u32> {
        self.unreturned += count;
        debug_assert!(
            self.allowed + self.unreturned <= self.window,
            "more released than delivered"
        );
        if self.ended {
            return None;
        }
        let more = self.grow(count, now, growth);
        if more == 0 && self.unreturned < self.step().max(1) {
            return None;
        }
        self.window += more;
        let credit = std::mem::take(&mut self.unreturned) + more;
        self.allowed += credit;
        Some(credit)
    }

    /// By how much the window grows, since so many more bytes left. Half a window is seen to have come
    /// as soon as it has: what is left of a burst may be too little for credit of its own, and with the
    /// next one the time between them would count. The first bytes of all leave as they come, into a
    /// socket that is still empty.
    fn grow(&mut self, count: u32, now: Instant, growth: &mut Growth) -> u32 {
        self.paced = self.paced.saturating_add(count);
        let since = *self.paced_at.get_or_insert(now);
        if self.paced < self.window / 2 {
            return 0;
        }
        (self.paced, self.paced_at) = (0, Some(now));
        growth.take(self.window, now.saturating_duration_since(since))
    }

    /// Bytes that were delivered and have not left for their destination.
    pub(super) const fn unreleased(&self) -> u32 {
        self.window - self.allowed - self.unreturned
    }

    /// What of the [unreleased](Self::unreleased) bytes is beyond the window that both ends
    /// announced, unless it was claimed already.
    pub(super) const fn needed(&self, announced: u32) -> u32 {
        let beyond = self.unreleased().saturating_sub(announced);
        if self.claimed == 0 { beyond } else { 0 }
    }

    /// The least credit that is worth a frame. Half a window keeps the sender going, but bytes that
    /// come in bursts, as they do while a window grows, would leave up to that much of it idle for a
    /// round trip, again and again: of a large window it is less. The sender fills its frames, so it is
    /// as many as fill it.
    const fn step(&self) -> u32 {
        let (half, small) = (self.window / 2, self.window / 8);
        let small = if small < STEP_BYTES_MIN { STEP_BYTES_MIN } else { small };
        full_frames(if half < small { half } else { small })
    }
}

/// Credit that is worth a frame for a window of any size: what may come in one run.
#[expect(clippy::cast_possible_truncation, reason = "128 KiB")]
const STEP_BYTES_MIN: u32 = RUN_BYTES as u32;

/// The sending direction of one stream, borrowed for as long as its turn lasts.
#[derive(Debug)]
pub struct Sender<'s> {
    pub(super) id: StreamId,
    pub(super) stream: &'s mut Stream,
}

impl Sender<'_> {
    /// DATA bytes that may go in the next frame; 0 without credit.
    #[must_use]
    pub fn room(&self) -> usize {
        (self.stream.send.credit as usize).min(DATA_BYTES_FULL)
    }

    /// DATA bytes that may go in one turn: a frame or, where little is queued, a few.
    #[must_use]
    pub fn turn_room(&self, out: &Outbound<'_>) -> usize {
        (self.stream.send.credit as usize).min(out.run_max())
    }

    /// Whether this direction has ended.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.stream.send.ended
    }

    /// Sends a response head, written by `head`. One that is interim counts as what was sent: there may be
    /// any number of them.
    pub fn head<R>(
        &mut self,
        flags: Flags,
        out: &mut Outbound<'_>,
        head: impl FnOnce(&mut crate::Buf) -> R,
    ) -> R {
        self.stream.send.ended |= flags.has(Flags::END);
        let before = out.queued();
        let written = out.frame(FrameKind::Response, flags, self.id, head);
        if flags.has(Flags::INTERIM) {
            self.stream.send.sent += (out.queued() - before) as u64;
        }
        written
    }

    /// Sends body bytes, at most [`Self::turn_room`] of them; with [`Flags::END`] they are the last.
    pub fn data(&mut self, bytes: &[u8], flags: Flags, out: &mut Outbound<'_>) {
        self.note(bytes.len(), flags, out);
        out.data(flags, self.id, bytes);
    }

    /// As [`Self::data`], for bytes that nobody needs any more: what they are afterwards is
    /// undefined.
    pub fn data_in_place(&mut self, bytes: &mut [u8], flags: Flags, out: &mut Outbound<'_>) {
        self.note(bytes.len(), flags, out);
        out.data_in_place(flags, self.id, bytes);
    }

    fn note(&mut self, count: usize, flags: Flags, out: &Outbound<'_>) {
        assert!(count <= self.turn_room(out) && !self.stream.send.ended, "beyond room or end");
        let length = u32::try_from(count).expect("at most the room");
        self.stream.send.credit -= length;
        self.stream.send.sent += u64::from(length);
        self.stream.send.ended |= flags.has(Flags::END);
    }

    /// Ends this direction, with trailers unless they are empty.
    pub fn end(&mut self, trailers: &[u8], out: &mut Outbound<'_>) {
        if self.stream.send.ended {
            return;
        }
        self.stream.send.ended = true;
        let kind = if trailers.is_empty() { FrameKind::Data } else { FrameKind::Trailers };
        out.frame(kind, Flags::END, self.id, |tx| tx.extend(trailers));
    }
}

/// What is kept of the words of a RESET: they are for the log alone.
const RESET_CHARS_MAX: usize = 256;

/// The payload of RESET.
pub(super) fn parse_reset(payload: &[u8]) -> Result<(ResetCode, &str), Error> {
    let (code, text) = payload.split_first_chunk::<2>().ok_or(Error::MalformedFrame)?;
    let text = std::str::from_utf8(text).unwrap_or("(not UTF-8)");
    Ok((ResetCode::from(u16::from_be_bytes(*code)), shorten(text, RESET_CHARS_MAX)))
}
