//! Idle connections to the local service, the most recently used first: the rest grow old and go.

use std::time::{Duration, Instant};

use mesh_protocol::ConnId;

/// Connections that wait for a request.
#[derive(Debug)]
pub struct Pool {
    /// In the order in which they became idle.
    idle: Vec<(ConnId, Instant)>,
    max: usize,
    /// How many of those that come next are not kept: somebody waits for their places.
    owed: usize,
    /// When one last gave way to a request.
    gave_way: Option<Instant>,
    /// When the service was last done quickly with a request.
    was_quick: Option<Instant>,
}

/// How long a kept connection has rested that others would have used if they could.
const SURPLUS: Duration = Duration::from_millis(500);
/// Between two that give way to requests although they may be needed: a service that is slow and has
/// places enough loses so few, and one that has few serves the next one.
const PAUSE: Duration = Duration::from_secs(1);
/// An exchange that took no longer was quick, compared with how long one waits for a place.
const QUICK: Duration = Duration::from_millis(500);

impl Pool {
    /// A pool that keeps `max` connections.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self { idle: Vec::new(), max, owed: 0, gave_way: None, was_quick: None }
    }

    /// Keeps a connection whose exchange began then; false when there are enough, or its place is owed.
    pub fn put(&mut self, conn: ConnId, since: Instant, now: Instant) -> bool {
        if now.saturating_duration_since(since) <= QUICK {
            self.was_quick = Some(now);
        }
        if self.owed > 0 {
            self.owed -= 1;
            return false;
        }
        let has_room = self.idle.len() < self.max;
        if has_room {
            self.idle.push((conn, now));
        }
        has_room
    }

    /// The connection used last, if it has been idle for `age` at most.
    pub fn take(&mut self, age: Duration, now: Instant) -> Option<ConnId> {
        self.idle
            .pop_if(|(_, since)| now.saturating_duration_since(*since) <= age)
            .map(|idle| idle.0)
    }

    /// The connection that has been idle for longest.
    pub fn take_oldest(&mut self) -> Option<ConnId> {
        (!self.idle.is_empty()).then(|| self.idle.remove(0).0)
    }

    /// The connection that gives way to a request that has waited for a second or more, and asks once in a
    /// while: one that nobody needs; any, if the service may have no place for it; else any, but seldom.
    /// Where all are in use, one of those to come will not be kept.
    pub fn give_way(&mut self, has_no_place: bool, now: Instant) -> Option<ConnId> {
        let rested = |since: Instant| now.saturating_duration_since(since);
        let has_surplus = self.idle.first().is_some_and(|(_, since)| rested(*since) >= SURPLUS);
        if !has_surplus && !has_no_place {
            return self.give_way_seldom(now);
        }
        self.gave_way = Some(now);
        let oldest = self.take_oldest();
        if oldest.is_none() {
            // Each of those that wait needs a place of its own.
            self.owed = (self.owed + 1).min(self.max);
        }
        oldest
    }

    /// The connection that gives way to a request although it may be needed, here or for one at another
    /// worker: any, but seldom.
    pub fn give_way_seldom(&mut self, now: Instant) -> Option<ConnId> {
        if !self.is_time(now) {
            return None;
        }
        self.gave_way = Some(now);
        self.take_oldest_or_owe()
    }

    /// Whether the service was quick with a request since then: one that has waited for as long may find no
    /// place there.
    #[must_use]
    pub fn was_quick_since(&self, since: Instant) -> bool {
        self.was_quick.is_some_and(|at| at >= since)
    }

    /// Whether none gave way to a request lately.
    #[must_use]
    pub fn is_time(&self, now: Instant) -> bool {
        self.gave_way.is_none_or(|last| now.saturating_duration_since(last) >= PAUSE)
    }

    /// The connection that has been idle for longest. Where there is none, the next one will not be kept.
    pub fn take_oldest_or_owe(&mut self) -> Option<ConnId> {
        let oldest = self.take_oldest();
        if oldest.is_none() {
            self.owed = self.owed.max(1);
        }
        oldest
    }

    /// Forgets a connection that closed.
    pub fn remove(&mut self, conn: ConnId) {
        self.idle.retain(|(idle, _)| *idle != conn);
    }

    /// Takes all of them out.
    pub fn take_all(&mut self) -> impl Iterator<Item = ConnId> + use<> {
        std::mem::take(&mut self.idle).into_iter().map(|(conn, _)| conn)
    }

    /// All of them, in the order in which they became idle.
    pub fn iter(&self) -> impl Iterator<Item = ConnId> {
        self.idle.iter().map(|(conn, _)| *conn)
    }

    /// How many wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.idle.len()
    }

    /// Whether none waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.idle.is_empty()
    }
}

#[cfg(test)]
mod tests;
