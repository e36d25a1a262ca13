//! Whose turn it is to send DATA: streams that have sent little go first, and the others are sure of a
//! share.
//!
//! ```text
//!   fresh   ------ first --------.
//!                                +--> turn
//!   bulk    -- when none is, ----'
//!              or when owed
//! ```
//!
//! Without the share, small answers that fill the path by themselves would silence every stream that
//! once sent more than they: downloads, but also events and messages. And so would request heads, which
//! go before all DATA.

use std::collections::VecDeque;

use super::frame::StreamId;

/// Streams with something to send, each in one queue at the most.
#[derive(Debug, Default)]
pub(super) struct Queues {
    fresh: VecDeque<StreamId>,
    bulk: VecDeque<StreamId>,
    /// Bytes that went ahead of the bulk queue since it last had a turn or was empty.
    ahead_of_bulk: usize,
    /// The same of both queues.
    ahead_of_all: usize,
    /// Whether the present turn is that of a fresh stream.
    is_fresh_turn: bool,
}

/// Whose turn it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turns {
    /// Any stream's, fresh ones first.
    All,
    /// Only that of streams which have sent little, and what others are owed.
    FreshOnly,
    /// Only what is owed.
    OwedOnly,
}

/// Bytes that go ahead of a queue before it is owed a turn. A turn is a frame of 16 KiB: bulk is sure of
/// a fifth, and what is small waits for that much longer.
const AHEAD_BYTES_MAX: usize = 64 * 1024;

/// Turns of streams that are over which may stay queued besides as many as there are streams. They
/// are taken out when their turn comes; but while nothing can be sent, none comes.
const STALE_TURNS_MAX: usize = 16;

impl Queues {
    /// Queues a stream of so many, of which `is_open` knows those that are not over.
    pub(super) fn push(
        &mut self,
        stream: StreamId,
        is_fresh: bool,
        streams: usize,
        is_open: impl Fn(StreamId) -> bool,
    ) {
        let queue = if is_fresh { &mut self.fresh } else { &mut self.bulk };
        if queue.len() >= 2 * streams + STALE_TURNS_MAX {
            queue.retain(|id| is_open(*id));
        }
        queue.push_back(stream);
    }

    /// The next one, which may be over.
    pub(super) fn pop(&mut self, turns: Turns) -> Option<StreamId> {
        if self.bulk.is_empty() {
            self.ahead_of_bulk = 0;
        } else if self.ahead_of_bulk >= AHEAD_BYTES_MAX {
            return self.pop_bulk();
        }
        let is_owed = self.ahead_of_all >= AHEAD_BYTES_MAX;
        self.is_fresh_turn = !self.fresh.is_empty();
        match turns {
            Turns::OwedOnly if !is_owed => return None,
            Turns::All if !self.is_fresh_turn => return self.pop_bulk(),
            Turns::All | Turns::FreshOnly | Turns::OwedOnly => {}
        }
        self.ahead_of_all = 0;
        self.fresh.pop_front()
    }

    fn pop_bulk(&mut self) -> Option<StreamId> {
        (self.ahead_of_bulk, self.ahead_of_all) = (0, 0);
        self.is_fresh_turn = false;
        self.bulk.pop_front()
    }

    /// So many bytes went that were no stream's turn.
    pub(super) const fn note_ahead(&mut self, bytes: usize) {
        self.ahead_of_bulk += bytes;
        self.ahead_of_all += bytes;
    }

    /// So many bytes went in the turn of the stream that came last.
    pub(super) const fn note_turn(&mut self, bytes: usize) {
        if self.is_fresh_turn {
            self.ahead_of_bulk += bytes;
        }
    }

    pub(super) fn clear(&mut self) {
        self.fresh.clear();
        self.bulk.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.fresh.len() + self.bulk.len()
    }
}

#[cfg(test)]
mod tests;
