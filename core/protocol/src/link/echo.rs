//! Signs of life, and how long they take.

use std::time::{Duration, Instant};

/// When which sign of life is due.
#[derive(Debug)]
pub(super) struct Echo {
    interval: Duration,
    pub(super) next_at: Instant,
    heard_at: Instant,
    /// When the first echo was sent since the peer was last heard.
    unheard_since: Option<Instant>,
    /// The one that is not yet answered.
    asked: Option<Asked>,
    pub(super) count: u64,
    pub(super) round_trip: Option<Duration>,
    /// The round trip without what queues on the way add to it.
    pub(super) path: Option<Duration>,
}

/// An echo that was sent.
#[derive(Debug, Clone, Copy)]
struct Asked {
    number: u64,
    at: Instant,
}

impl Echo {
    pub(super) const fn new(interval: Duration, now: Instant) -> Self {
        Self {
            interval,
            next_at: now,
            heard_at: now,
            unheard_since: None,
            asked: None,
            count: 0,
            round_trip: None,
            path: None,
        }
    }

    pub(super) const fn heard(&mut self, now: Instant) {
        self.heard_at = now;
        self.unheard_since = None;
    }

    /// Whether the last echo was answered.
    pub(super) const fn is_answered(&self) -> bool {
        self.asked.is_none()
    }

    /// When the peer counts as gone: two silent intervals, in the second of which it was asked. A
    /// process that was itself asleep for long asks first.
    pub(super) fn dead_at(&self) -> Option<Instant> {
        let asked_at = self.unheard_since?;
        Some((asked_at + self.interval).max(self.heard_at + 2 * self.interval))
    }

    /// Takes note of an echo that is sent now, the answer to which counts from now on; its number.
    pub(super) fn ask(&mut self, now: Instant) -> u64 {
        let number = self.remind(now);
        self.asked = Some(Asked { number, at: now });
        number
    }

    /// Takes note of an echo that was due, and is sent now; its number. Where an earlier echo is
    /// not answered yet, as on a path that takes longer than the interval, the answer to that one
    /// still counts.
    pub(super) fn remind(&mut self, now: Instant) -> u64 {
        self.count += 1;
        self.unheard_since.get_or_insert(now);
        self.next_at = now + self.interval;
        self.asked.get_or_insert(Asked { number: self.count, at: now });
        self.count
    }

    pub(super) fn answered(&mut self, number: u64, now: Instant) {
        // Of several the peer may answer the last one alone.
        let answers = self.asked.map(|asked| asked.number..=self.count);
        let is_one = answers.is_some_and(|these| these.contains(&number));
        if let Some(asked) = self.asked.take_if(|_| is_one) {
            let round_trip = now.saturating_duration_since(asked.at);
            self.round_trip = Some(round_trip);
            // The least is the path's own. One that has become longer is believed little by little:
            // windows that grow by what their own queues add would grow without end.
            let at_most = self.path.map_or(round_trip, |path| path + path / 8);
            self.path = Some(round_trip.min(at_most));
        }
    }
}
