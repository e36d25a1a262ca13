//! Opening streams: whether one more can be, and until when a tunnel has numbers for them.

use super::{Session, Side};
use crate::mux::frame::{self, Flags, FrameKind, StreamId};
use crate::mux::stream::Stream;
use crate::{Buf, ConnId};

/// Why a stream cannot be opened now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// As many streams as the peer allows are open.
    TooManyStreams,
    /// What was sent before has not left yet.
    Congested,
    /// All identifiers were used; a new tunnel is needed.
    Exhausted,
}

/// Identifiers left when a tunnel counts as worn, so that it is replaced in peace.
pub(super) const REPLACE_BELOW: u32 = u32::MAX - (1 << 24);

impl Session {
    /// Opens a stream for the connection; `head` writes the request head.
    ///
    /// # Errors
    /// No stream can be opened now; nothing was written.
    pub fn open(
        &mut self,
        owner: ConnId,
        flags: Flags,
        head: impl FnOnce(&mut Buf),
    ) -> Result<StreamId, OpenError> {
        debug_assert_eq!(self.side, Side::Opener);
        let after = self.check_room()?;
        let id = StreamId(self.next);
        self.next = after;
        let mut stream = Stream::new(Some(owner), self.limits.send_window, self.limits.recv_window);
        stream.send.ended = flags.has(Flags::END);
        self.streams.insert(id, stream);
        let before = self.pending.len();
        frame::write(FrameKind::Request, flags, id, &mut self.pending, head);
        self.request_bytes = self.request_bytes.max(self.pending.len() - before);
        Ok(id)
    }

    /// Whether one more stream can be opened now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.check_room().is_ok()
    }

    /// Whether one more stream can be opened now; then the next number but one, for the stream after it.
    fn check_room(&self) -> Result<u32, OpenError> {
        if self.streams.len() >= self.limits.streams as usize {
            return Err(OpenError::TooManyStreams);
        }
        if self.pending.len() >= self.limits.pending_bytes {
            return Err(OpenError::Congested);
        }
        self.next.checked_add(2).ok_or(OpenError::Exhausted)
    }

    /// Whether so many identifiers were used that the tunnel should be replaced.
    #[must_use]
    pub const fn needs_replacing(&self) -> bool {
        self.next > REPLACE_BELOW
    }
}
