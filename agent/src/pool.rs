//! Idle connections to the local service, the most recently used first: the rest grow old and go.

use std::time::{Duration, Instant};

use mesh_protocol::ConnId;

/// Connections that wait for a request.
#[derive(Debug)]
pub struct Pool {
    /// In the order in which they became idle.
    idle: Vec<(ConnId, Instant)>,
    max: usize,
    /// Whether the next one is not kept: a health check waits for its place.
    is_owed: bool,
}

impl Pool {
    /// A pool that keeps `max` connections.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self { idle: Vec::new(), max, is_owed: false }
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

    /// The same, if it has been idle for so long.
    pub fn take_rested(&mut self, age: Duration, now: Instant) -> Option<ConnId> {
        let (_, since) = self.idle.first()?;
        if now.saturating_duration_since(*since) < age {
            return None;
        }
        self.take_oldest()
    }

    /// Does not keep the next one.
    pub const fn owe(&mut self) {
        self.is_owed = true;
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
