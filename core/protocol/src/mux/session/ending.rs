//! How streams end, and what becomes of what their windows had grown by.

use std::num::NonZeroU32;

use super::{Session, Unclaimed};
use crate::mux::error::ResetCode;
use crate::mux::frame::{self, Flags, FrameKind, StreamId};
use crate::mux::stream::Stream;

impl Session {
    /// Ends a stream at once, and tells the peer unless it is over already. Of the growth it is as when a
    /// stream is [forgotten](Self::forget).
    pub fn reset(&mut self, stream: StreamId, code: ResetCode, text: &str) {
        if self.streams.contains_key(&stream) {
            self.forget(stream);
            frame::write(FrameKind::Reset, Flags::NONE, stream, &mut self.pending, |out| {
                out.extend(&u16::from(code).to_be_bytes());
                out.extend(text.as_bytes());
            });
        }
    }

    /// Ends our direction of a stream whose connection is gone after all of its bytes were sent:
    /// it can take no turn any more to say so.
    pub fn end(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if !std::mem::replace(&mut stream.send.ended, true) {
            frame::write(FrameKind::Data, Flags::END, id, &mut self.pending, |_| {});
        }
        self.forget_if_over(id);
    }

    /// Whether DATA can go on a stream now: it has not ended, and has credit.
    #[must_use]
    pub fn can_send(&self, id: StreamId) -> bool {
        self.streams.get(&id).is_some_and(|stream| !stream.send.ended && stream.send.credit > 0)
    }

    /// Forgets a stream without a word: the peer ends it by itself, or both did. What its bytes that
    /// still wait need of the growth is [claimed](Self::claim_growth) now, or never.
    #[inline]
    pub fn forget(&mut self, stream: StreamId) {
        let Some(Stream { recv, .. }) = self.streams.remove(&stream) else { return };
        self.regain_unclaimed();
        let needed = recv.needed(self.limits.recv_window);
        self.growth.left += recv.window - self.limits.recv_window - recv.claimed - needed;
        self.unclaimed = Unclaimed { stream, bytes: needed };
    }

    /// Nobody needs it who could claim it.
    #[inline]
    pub(super) const fn regain_unclaimed(&mut self) {
        self.growth.left += std::mem::replace(&mut self.unclaimed.bytes, 0);
    }

    /// What the bytes of a stream take of the growth of windows when their direction has ended and they
    /// still wait here. It is to be [given back](Self::give_back) when they have left, so that no other
    /// stream has as many wait.
    #[inline]
    pub fn claim_growth(&mut self, stream: StreamId) -> Option<NonZeroU32> {
        if let Some(state) = self.streams.get_mut(&stream) {
            let recv = &mut state.recv;
            let needed = recv.needed(self.limits.recv_window);
            let claimed = NonZeroU32::new(needed).filter(|_| recv.ended && recv.claimed == 0)?;
            recv.claimed = needed;
            return Some(claimed);
        }
        let Unclaimed { stream: ended, bytes } = &mut self.unclaimed;
        if *ended == stream { NonZeroU32::new(std::mem::take(bytes)) } else { None }
    }

    /// The bytes have left.
    pub const fn give_back(&mut self, grown: NonZeroU32) {
        self.growth.left += grown.get();
    }

    /// Forgets the stream if both directions have ended.
    #[inline]
    pub fn forget_if_over(&mut self, id: StreamId) {
        if self.streams.get(&id).is_some_and(Stream::is_over) {
            self.forget(id);
        }
    }
}
