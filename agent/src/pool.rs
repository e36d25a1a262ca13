//! Idle connections to the local service, the most recently used first: the rest grow old and go.

use std::time::{Duration, Instant};

use mesh_protocol::ConnId;

/// Connections that wait for a request.
#[derive(Debug)]
pub struct Pool {
    /// In the order in which they became idle.
    idle: Vec<(ConnId, Instant)>,
    max: usize,
    /// Whether the next one is not kept: somebody waits for its place.
    is_owed: bool,
    /// When one last gave way to a request.
    gave_way: Option<Instant>,
}

/// How long a kept connection has rested that others would have used if they could.
const SURPLUS: Duration = Duration::from_millis(500);
/// Between two that give way to requests although they may be needed: a service that is slow and has
/// places enough loses so few, and one that has few serves the next one.
const PAUSE: Duration = Duration::from_secs(1);

impl Pool {
    /// A pool that keeps `max` connections.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self { idle: Vec::new(), max, is_owed: false, gave_way: None }
    }

    /// Keeps a connection; false when there are enough, or its place is owed.
    pub fn put(&mut self, conn: ConnId, now: Instant) -> bool {
        if std::mem::take(&mut self.is_owed) {
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

    /// The connection that gives way to a request: one that nobody needs or, once in a while, any. Where
    /// all are in use, the next one will not be kept.
    pub fn give_way(&mut self, now: Instant) -> Option<ConnId> {
        let has_passed = |since: Instant, time| now.saturating_duration_since(since) >= time;
        let has_surplus = self.idle.first().is_some_and(|(_, since)| has_passed(*since, SURPLUS));
        if !has_surplus && self.gave_way.is_some_and(|last| !has_passed(last, PAUSE)) {
            return None;
        }
        self.gave_way = Some(now);
        self.take_oldest_or_owe()
    }

    /// The connection that has been idle for longest. Where there is none, the next one will not be kept.
    pub fn take_oldest_or_owe(&mut self) -> Option<ConnId> {
        let oldest = self.take_oldest();
        self.is_owed |= oldest.is_none();
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
