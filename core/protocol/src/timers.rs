//! Deadlines in order. Nothing is armed or cancelled by an application: the shell asks for a
//! connection's deadline after each call and keeps at most one live entry for it here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::ConnId;

/// When which connection wants to be asked again.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Instant, ConnId)>>,
    /// The live entry of each slot; all other entries in the heap are stale and pass silently.
    live: Vec<Option<(Instant, ConnId)>>,
}

impl Timers {
    /// No deadlines.
    #[must_use]
    pub const fn new() -> Self {
        Self { heap: BinaryHeap::new(), live: Vec::new() }
    }

    /// Makes sure that `conn` is asked at `deadline` or before. A deadline that moved later, as it
    /// does with each byte on an idle connection, costs nothing.
    #[inline]
    pub fn update(&mut self, conn: ConnId, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        let live = self.live.get(conn.index()).copied().flatten();
        if live.is_none_or(|(due, owner)| owner != conn || due > deadline) {
            self.set(conn, deadline);
        }
    }

    fn set(&mut self, conn: ConnId, deadline: Instant) {
        if conn.index() >= self.live.len() {
            self.live.resize(conn.index() + 1, None);
        }
        self.live[conn.index()] = Some((deadline, conn));
        self.heap.push(Reverse((deadline, conn)));
        if self.heap.len() > 4 * self.live.len() + 64 {
            let live = &self.live;
            self.heap.retain(|Reverse(entry)| live[entry.1.index()] == Some(*entry));
        }
    }

    /// Forgets the connection's deadline.
    pub fn remove(&mut self, conn: ConnId) {
        if let Some(live) = self.live.get_mut(conn.index()) {
            live.take_if(|(_, owner)| *owner == conn);
        }
    }

    /// The next connection whose entry is due.
    pub fn poll(&mut self, now: Instant) -> Option<ConnId> {
        while self.heap.peek().is_some_and(|Reverse((due, _))| *due <= now) {
            let Reverse(entry) = self.heap.pop()?;
            if let Some(live) = self.live.get_mut(entry.1.index())
                && live.take_if(|live| *live == entry).is_some()
            {
                return Some(entry.1);
            }
        }
        None
    }

    /// The earliest moment at which [`Self::poll`] may return something.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((due, _))| *due)
    }
}

#[cfg(test)]
mod tests;
