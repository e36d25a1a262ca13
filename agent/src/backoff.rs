//! How long to wait before connecting again: exponential, with full jitter, so that agents that
//! lost their ingress together do not come back together.

use std::time::{Duration, Instant};

use mesh_protocol::{Context, Rng};

use crate::agent::{Agent, Dial};
use crate::ledger::Serial;

/// The waits between attempts.
#[derive(Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    stable: Duration,
    attempts: u32,
    /// How many there were when the ingress asked for another tunnel, until that one has been there.
    before_move: Option<u32>,
}

impl Backoff {
    /// Waits of up to `min` at first and up to `max` at last; a tunnel that lived for `stable`
    /// starts them anew.
    #[must_use]
    pub const fn new(min: Duration, max: Duration, stable: Duration) -> Self {
        Self { min, max, stable, attempts: 0, before_move: None }
    }

    /// How long to wait now, after a tunnel that was welcomed at `welcomed`, or one that never was.
    pub fn next(&mut self, welcomed: Option<Instant>, now: Instant, rng: &mut Rng) -> Duration {
        self.note_end(welcomed, now);
        if welcomed.is_some() {
            self.before_move = None;
        }
        self.draw(self.max, rng)
    }

    /// How long to wait now, when a tunnel that was begun then is to be replaced.
    pub fn next_of_move(
        &mut self,
        begun: Option<Instant>,
        now: Instant,
        rng: &mut Rng,
    ) -> Duration {
        self.note_end(begun, now);
        self.before_move = Some(self.attempts);
        self.draw(self.max, rng)
    }

    /// Attempts that failed since the move began count no more. Those that failed before it do: an
    /// ingress that comes and goes is to see less and less of us.
    pub fn forgive_move(&mut self) {
        if let Some(before) = self.before_move.take() {
            self.attempts = self.attempts.min(before);
        }
    }

    /// Nothing that failed so far counts any more.
    pub fn start_anew(&mut self) {
        (self.attempts, self.before_move) = (0, None);
    }

    /// A tunnel has ended that was welcomed at `welcomed`, if it was.
    pub fn note_end(&mut self, welcomed: Option<Instant>, now: Instant) {
        let lived = welcomed.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if lived >= self.stable {
            self.attempts = 0;
        }
    }

    /// How long to wait now, after an attempt that led to a good place and not to the one that is
    /// looked for while somebody waits: trying is cheap there, and being late is not.
    pub fn next_of_search(&mut self, rng: &mut Rng) -> Duration {
        self.draw((self.max / 8).max(self.min), rng)
    }

    fn draw(&mut self, most: Duration, rng: &mut Rng) -> Duration {
        let ceiling = self.min.saturating_mul(1 << self.attempts.min(20)).min(most);
        self.attempts = self.attempts.saturating_add(1);
        let micros = u64::try_from(ceiling.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(rng.below(micros))
    }
}

impl Agent {
    /// Plans the next attempt to fill a slot; how long that is from now.
    pub(crate) fn redial(
        &mut self,
        slot: usize,
        welcomed: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Duration {
        let slot = &mut self.slots[slot];
        let wait = slot.backoff.next(welcomed, cx.now, cx.rng);
        slot.dial = Dial::At(cx.now + wait);
        wait
    }

    /// Plans the first attempt to replace a tunnel that was begun then, for this reason.
    pub(crate) fn redial_for_move(
        &mut self,
        slot: usize,
        serial: Serial,
        begun: Option<Instant>,
        why: &str,
        cx: &mut Context<'_>,
    ) {
        if let Some(entry) = self.ledger.get(serial) {
            log::info!("{why}: opening another tunnel in place of {entry}");
        }
        let slot = &mut self.slots[slot];
        slot.dial = Dial::At(cx.now + slot.backoff.next_of_move(begun, cx.now, cx.rng));
    }

    /// When the next attempt is due, unless all are under way.
    pub(crate) fn next_dial(&self) -> Option<Instant> {
        let due = self.slots.iter().filter_map(|slot| match slot.dial {
            Dial::At(due) => Some(due),
            Dial::Tunnel(_) | Dial::Never => None,
        });
        due.min()
    }

    /// Plans the next attempt to find one ingress of several.
    pub(crate) fn continue_search(&mut self, slot: usize, cx: &mut Context<'_>) -> Duration {
        if !self.ledger.is_awaited(cx.now) {
            return self.redial(slot, None, cx);
        }
        let slot = &mut self.slots[slot];
        let wait = slot.backoff.next_of_search(cx.rng);
        slot.dial = Dial::At(cx.now + wait);
        wait
    }

    /// There is another token: what failed before says nothing of it.
    pub(crate) fn redial_anew(&mut self, cx: &mut Context<'_>) {
        self.slots.iter_mut().for_each(|slot| slot.backoff.start_anew());
        self.redial_soon(None, cx);
    }

    /// The last tunnel that served, and was to be replaced, has ended or is about to: what failed while its
    /// ingress was leaving, or did not know our token, says nothing of the one that comes after it.
    pub(crate) fn redial_soon(&mut self, welcomed: Option<Instant>, cx: &mut Context<'_>) {
        for slot in &mut self.slots {
            slot.backoff.forgive_move();
            slot.backoff.note_end(welcomed, cx.now);
            if let Dial::At(due) = &mut slot.dial {
                *due = (*due).min(cx.now + slot.backoff.next(None, cx.now, cx.rng));
            }
        }
    }
}

#[cfg(test)]
mod tests;
