//! The messages of one flush, built in place on the tunnel's `tx`.

use super::frame::{self, DATA_BYTES_MAX, Flags, FrameKind, HEADER_BYTES, StreamId};
use crate::ws::{Role, Writer};
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
}

/// A message is finished when its payload reaches this: one full DATA frame. The receiver acts on
/// whole messages, so longer ones would only delay their beginnings.
const MESSAGE_BYTES_GOAL: usize = DATA_BYTES_MAX + HEADER_BYTES;

impl<'t> Outbound<'t> {
    /// Begins to write at the back of `tx`.
    pub const fn new(role: Role, tx: &'t mut Buf, rng: &'t mut Rng) -> Self {
        Self { role, tx, rng, message: None }
    }

    /// Bytes that wait in `tx`.
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.tx.len()
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

    /// Appends frames that were written elsewhere, as they are: all of them, whole.
    pub fn frames(&mut self, mut frames: &[u8]) {
        while let Ok((used, _)) = frame::parse(frames) {
            self.begin();
            self.tx.extend(&frames[..used]);
            frames = &frames[used..];
            self.finish_if_full();
        }
        debug_assert!(frames.is_empty(), "half a frame");
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
