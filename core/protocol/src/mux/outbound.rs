//! The messages of one flush, built in place on the tunnel's `tx`.

use super::frame::{
    self, DATA_BYTES_FULL, Flags, FrameKind, HEADER_BYTES, RUN_FRAMES_MAX, StreamId,
};
use crate::outlet::{Outlet, PASSING_BYTES_MIN, PIECES_MAX};
use crate::ws::frame::BINARY_HEADER_BYTES;
use crate::ws::{self, Role, Writer};
use crate::{Buf, Rng};

/// Packs frames into WebSocket messages. Dropping it without [`Self::finish`] would leave an
/// unfinished message in `tx`.
#[derive(Debug)]
#[must_use]
pub struct Outbound<'t> {
    role: Role,
    tx: &'t mut Buf,
    rng: &'t mut Rng,
    message: Option<Writer>,
    /// The way past `tx`.
    outlet: Option<Outlet<'t>>,
    /// DATA frames that one turn may bring when hardly anything is queued.
    turn_frames: usize,
    /// Bytes that went past `tx`.
    passed: usize,
}

/// A message is finished when its payload reaches this: one full DATA frame. The receiver acts on
/// whole messages, so longer ones would only delay their beginnings.
const MESSAGE_BYTES_GOAL: usize = DATA_BYTES_FULL + HEADER_BYTES;
/// What is in front of DATA in a message of its own.
const FRAME_HEAD_BYTES_MAX: usize = BINARY_HEADER_BYTES + HEADER_BYTES;
/// DATA that is worth a call of its own where it could be copied to what is sent later: on loopback, that
/// much is one packet.
const MASKED_BYTES_MIN: usize = 4 * DATA_BYTES_FULL;

impl<'t> Outbound<'t> {
    /// Begins to write at the back of `tx`.
    pub const fn new(role: Role, tx: &'t mut Buf, rng: &'t mut Rng) -> Self {
        Self { role, tx, rng, message: None, outlet: None, turn_frames: 1, passed: 0 }
    }

    /// Has much DATA go this way, past `tx`.
    pub(crate) fn by_way_of(mut self, outlet: Option<Outlet<'t>>) -> Self {
        self.outlet = outlet;
        self
    }

    /// Lets one turn bring so many DATA frames.
    pub(crate) const fn with_turns_of(mut self, frames: usize) -> Self {
        self.turn_frames = frames;
        self
    }

    /// Bytes that wait in `tx`, or would.
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.tx.len() + self.passed
    }

    /// DATA that one turn may bring.
    pub(super) const fn run_max(&self) -> usize {
        let frames = if self.queued() >= DATA_BYTES_FULL { 1 } else { self.turn_frames };
        frames * DATA_BYTES_FULL
    }

    /// Appends DATA, of which the flags are said with the last byte.
    #[inline]
    pub(super) fn data(&mut self, flags: Flags, stream: StreamId, bytes: &[u8]) {
        if bytes.len() < PASSING_BYTES_MIN {
            return self.frame(FrameKind::Data, flags, stream, |tx| tx.extend(bytes));
        }
        self.much_data(flags, stream, bytes);
    }

    /// Appends DATA as [`Self::data`] does, of bytes that nobody needs any more: where many are to be
    /// masked, they are masked where they lie, without a copy.
    #[inline]
    pub(super) fn data_in_place(&mut self, flags: Flags, stream: StreamId, bytes: &mut [u8]) {
        if self.role == Role::Client && self.outlet.is_some() && bytes.len() >= MASKED_BYTES_MIN {
            return self.pass_masked(flags, stream, bytes);
        }
        self.data(flags, stream, bytes);
    }

    /// DATA that is worth a way of its own: past `tx`, or frame by frame.
    fn much_data(&mut self, flags: Flags, stream: StreamId, bytes: &[u8]) {
        if self.role == Role::Server && self.outlet.is_some() {
            return self.pass(flags, stream, bytes);
        }
        for (frame, flags) in frames(bytes.chunks(DATA_BYTES_FULL), flags) {
            self.frame(FrameKind::Data, flags, stream, |tx| tx.extend(frame));
        }
    }

    /// Sends DATA past `tx`, unmasked.
    fn pass(&mut self, flags: Flags, stream: StreamId, bytes: &[u8]) {
        let mut heads = [[0; FRAME_HEAD_BYTES_MAX]; RUN_FRAMES_MAX];
        let mut pieces = [&[][..]; PIECES_MAX];
        let mut used = 0;
        for ((payload, flags), head) in frames(bytes.chunks(DATA_BYTES_FULL), flags).zip(&mut heads)
        {
            pieces[used] = head_of(flags, stream, payload.len(), None, head);
            pieces[used + 1] = payload;
            used += 2;
        }
        self.hand_over(&pieces[..used]);
    }

    /// Sends DATA past `tx`, masked where it lies.
    fn pass_masked(&mut self, flags: Flags, stream: StreamId, bytes: &mut [u8]) {
        let mut heads = [[0; FRAME_HEAD_BYTES_MAX]; RUN_FRAMES_MAX];
        let mut pieces = [&[][..]; PIECES_MAX];
        let mut used = 0;
        for ((payload, flags), head) in
            frames(bytes.chunks_mut(DATA_BYTES_FULL), flags).zip(&mut heads)
        {
            let mut mask = self.rng.mask();
            pieces[used] = head_of(flags, stream, payload.len(), Some(mask), head);
            // The header of the frame is masked as well, and the payload goes on where that ends.
            mask.rotate_left(HEADER_BYTES % 4);
            ws::frame::apply_mask(payload, mask);
            pieces[used + 1] = payload;
            used += 2;
        }
        self.hand_over(&pieces[..used]);
    }

    /// Sends whole messages past `tx`.
    fn hand_over(&mut self, pieces: &[&[u8]]) {
        self.finish_message();
        let Some(outlet) = &mut self.outlet else { return };
        let before = self.tx.len();
        outlet.send(self.tx, pieces);
        let count: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.passed += before + count - self.tx.len();
    }

    /// Appends one frame, its payload written by `payload`.
    pub fn frame<R>(
        &mut self,
        kind: FrameKind,
        flags: Flags,
        stream: StreamId,
        payload: impl FnOnce(&mut Buf) -> R,
    ) -> R {
        self.begin();
        let result = frame::write(kind, flags, stream, self.tx, payload);
        self.finish_if_full();
        result
    }

    /// Appends frames that were written elsewhere, as they are and whole: as many as begin within so many
    /// bytes. How many bytes they are.
    pub fn frames(&mut self, frames: &[u8], most: usize) -> usize {
        let mut count = 0;
        while count < most
            && let Ok((used, _)) = frame::parse(&frames[count..])
        {
            self.begin();
            self.tx.extend(&frames[count..count + used]);
            count += used;
            self.finish_if_full();
        }
        debug_assert!(count >= most || count == frames.len(), "half a frame");
        count
    }

    /// Finishes the last message.
    pub fn finish(mut self) {
        self.finish_message();
    }

    fn begin(&mut self) {
        if self.message.is_none() {
            self.message = Some(Writer::begin(self.role, self.tx));
        }
    }

    fn finish_if_full(&mut self) {
        let length = self.message.as_ref().map_or(0, |message| message.payload_len(self.tx));
        if length >= MESSAGE_BYTES_GOAL {
            self.finish_message();
        }
    }

    fn finish_message(&mut self) {
        if let Some(message) = self.message.take() {
            message.finish(self.tx, self.rng);
        }
    }
}

/// Frames, of which the last one has the flags.
fn frames<F>(
    frames: impl ExactSizeIterator<Item = F>,
    flags: Flags,
) -> impl Iterator<Item = (F, Flags)> {
    let last = frames.len() - 1;
    frames.enumerate().map(move |(at, frame)| (frame, if at == last { flags } else { Flags::NONE }))
}

/// The headers of a message that is one frame of DATA.
fn head_of(
    flags: Flags,
    stream: StreamId,
    length: usize,
    mask: Option<[u8; 4]>,
    head: &mut [u8; FRAME_HEAD_BYTES_MAX],
) -> &[u8] {
    let (message, frame) = head.split_first_chunk_mut().expect("one behind the other");
    let begin = ws::frame::write_header(mask, HEADER_BYTES + length, message);
    frame.copy_from_slice(&frame::header(FrameKind::Data, flags, stream, length));
    if let Some(mask) = mask {
        ws::frame::apply_mask(frame, mask);
    }
    &head[begin..]
}
