//! Whether the local service is healthy: probes with thresholds, so that one hiccup decides
//! nothing, and a quick second look when a probe disagrees with what was believed.

use std::time::{Duration, Instant};

use mesh_protocol::{ConnId, control};

use crate::config::HealthCheck;
use crate::faults::IS_INGRESS;

/// What is believed of the local service.
#[derive(Debug)]
pub struct Health {
    state: State,
    /// Whether it has been healthy since the agent began.
    has_been_healthy: bool,
    /// Probes in a row that disagree with the state.
    against: u32,
    next_at: Instant,
    /// The probe that is under way.
    pub(crate) probe: Option<ConnId>,
    /// Which ingress the last probe was answered by, as far as the answer names one.
    pub(crate) answered_by: Vec<u8>,
    /// Why the last probe that counts failed; empty while the service is healthy and answers.
    reason: String,
    /// The reason that was told last, and when.
    told: (String, Instant),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No probe has ended yet.
    Unknown,
    Healthy,
    Unhealthy,
}

/// What one probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The service answered as it should.
    Good,
    /// It did not, for this reason.
    Bad(String),
}

/// Whether a probe changed what is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It did not.
    Same,
    /// The service is healthy now.
    Up,
    /// The service is unhealthy now.
    Down,
    /// The service is unhealthy still, for another reason.
    Cause,
}

/// Until a probe that disagrees is confirmed; shorter if probes are more frequent anyway.
const SECOND_LOOK: Duration = Duration::from_secs(1);
/// Between two probes of a service that is down: callers wait for it to come back.
const DOWN_INTERVAL: Duration = Duration::from_secs(2);
/// Between two reasons that are told of a service that stays down: it may fail in turns.
const CAUSE_PAUSE: Duration = Duration::from_secs(10);

impl Health {
    /// Nothing is known; the first probe is due at once, and decides alone.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        let reason = String::new();
        let told = (String::new(), now);
        Self {
            state: State::Unknown,
            has_been_healthy: false,
            against: 0,
            next_at: now,
            probe: None,
            answered_by: Vec::new(),
            reason,
            told,
        }
    }

    /// Whether requests should come.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.state == State::Healthy
    }

    /// Whether the service has been healthy at all, however it is now.
    #[must_use]
    pub const fn has_been_healthy(&self) -> bool {
        self.has_been_healthy
    }

    /// Why the service is unhealthy; of one that is healthy, why the last probe failed, if it did.
    #[must_use]
    pub fn reason(&self) -> &str {
        if self.state == State::Unknown { "not checked yet" } else { &self.reason }
    }

    /// Both, as an ingress is told.
    #[must_use]
    pub fn report(&self) -> control::Health {
        control::Health { healthy: self.is_healthy(), reason: self.reason().to_owned() }
    }

    /// When the next probe is due, unless one is under way.
    #[must_use]
    pub const fn due(&self) -> Option<Instant> {
        if self.probe.is_some() { None } else { Some(self.next_at) }
    }

    /// A request found the service unreachable: look at once rather than at the next interval.
    pub fn suspect(&mut self, now: Instant) {
        if self.state == State::Healthy && self.against == 0 {
            self.next_at = now;
        }
    }

    /// A probe ended.
    pub fn record(&mut self, verdict: Verdict, check: &HealthCheck, now: Instant) -> Change {
        self.probe = None;
        self.next_at = now + check.interval;
        let (supports, threshold, change) = match (&verdict, self.state) {
            (Verdict::Good, State::Healthy) | (Verdict::Bad(_), State::Unhealthy) => {
                (true, 0, Change::Same)
            }
            (Verdict::Good, State::Unknown) => (false, 1, Change::Up),
            (Verdict::Bad(_), State::Unknown) => (false, 1, Change::Down),
            (Verdict::Good, State::Unhealthy) => (false, check.rise, Change::Up),
            (Verdict::Bad(_), State::Healthy) => (false, check.fall, Change::Down),
        };
        if let Verdict::Bad(reason) = verdict {
            self.reason = reason;
        } else if self.state != State::Unhealthy || self.against + 1 >= threshold {
            self.reason.clear();
        }
        if supports {
            self.against = 0;
            self.bring_forward(check);
            return self.tell_cause(now);
        }
        self.against += 1;
        if self.against < threshold {
            self.next_at = now + check.interval.min(SECOND_LOOK);
            return Change::Same;
        }
        self.against = 0;
        self.state = if change == Change::Up { State::Healthy } else { State::Unhealthy };
        self.has_been_healthy |= self.is_healthy();
        self.told = (self.reason.clone(), now);
        self.bring_forward(check);
        change
    }

    /// A tunnel leads to this ingress. One that was taken for the service until now never was it: that is no
    /// hiccup, and each request would come round.
    pub(crate) fn detect_loop(
        &mut self,
        ingress: &[u8],
        check: &HealthCheck,
        now: Instant,
    ) -> Change {
        if !self.is_healthy() || ingress.is_empty() || self.answered_by != ingress {
            return Change::Same;
        }
        (self.state, self.has_been_healthy, self.against) = (State::Unhealthy, false, 0);
        IS_INGRESS.clone_into(&mut self.reason);
        self.told = (self.reason.clone(), now);
        self.next_at = now + check.interval;
        self.bring_forward(check);
        Change::Down
    }

    /// Whether a service that stays down does so for another reason than was told: whoever mended the
    /// first one looks for the next.
    fn tell_cause(&mut self, now: Instant) -> Change {
        let (told, at) = &self.told;
        if self.state != State::Unhealthy || *told == self.reason || now < *at + CAUSE_PAUSE {
            return Change::Same;
        }
        self.told = (self.reason.clone(), now);
        Change::Cause
    }

    /// Brings the next probe of a service that is down forward.
    fn bring_forward(&mut self, check: &HealthCheck) {
        if self.state == State::Unhealthy && check.interval > DOWN_INTERVAL {
            self.next_at -= check.interval - DOWN_INTERVAL;
        }
    }
}

#[cfg(test)]
mod tests;
