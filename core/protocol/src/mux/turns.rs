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
    fresh: Queue,
    bulk: Queue,
    /// Whose the present turn is.
    turn: Class,
}

#[derive(Debug, Default)]
struct Queue {
    streams: VecDeque<StreamId>,
    /// Bytes that went ahead of it while it waited, for which it had no turn yet.
    ahead: usize,
}

#[derive(Debug, Default, Clone, Copy)]
enum Class {
    #[default]
    Fresh,
    Bulk,
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
        let queue = if is_fresh { &mut self.fresh.streams } else { &mut self.bulk.streams };
        if queue.len() >= 2 * streams + STALE_TURNS_MAX {
            queue.retain(|id| is_open(*id));
        }
        queue.push_back(stream);
    }

    /// The next one, which may be over.
    pub(super) fn pop(&mut self, turns: Turns) -> Option<StreamId> {
        self.fresh.reset_if_empty();
        self.bulk.reset_if_empty();
        self.turn = if self.fresh.is_owed() || self.bulk.is_owed() {
            if self.fresh.ahead > self.bulk.ahead { Class::Fresh } else { Class::Bulk }
        } else {
            match turns {
                Turns::All if self.fresh.streams.is_empty() => Class::Bulk,
                Turns::All | Turns::FreshOnly => Class::Fresh,
                Turns::OwedOnly => return None,
            }
        };
        match self.turn {
            Class::Fresh => self.fresh.streams.pop_front(),
            Class::Bulk => self.bulk.streams.pop_front(),
        }
    }

    /// So many bytes went that were no stream's turn.
    pub(super) const fn note_ahead(&mut self, bytes: usize) {
        self.fresh.ahead += bytes;
        self.bulk.ahead += bytes;
    }

    /// So many bytes went in the turn of the stream that came last: none, where it could send nothing.
    pub(super) const fn note_turn(&mut self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        match self.turn {
            Class::Fresh => {
                self.fresh.pay();
                self.bulk.ahead += bytes;
            }
            Class::Bulk => self.bulk.pay(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.fresh.streams.clear();
        self.bulk.streams.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.fresh.streams.len() + self.bulk.streams.len()
    }
}

impl Queue {
    /// Nothing is owed to those who come later.
    fn reset_if_empty(&mut self) {
        if self.streams.is_empty() {
            self.ahead = 0;
        }
    }

    const fn is_owed(&self) -> bool {
        self.ahead >= AHEAD_BYTES_MAX
    }

    /// The queue had a turn.
    const fn pay(&mut self) {
        self.ahead = self.ahead.saturating_sub(AHEAD_BYTES_MAX);
    }
}

#[cfg(test)]
mod tests;
