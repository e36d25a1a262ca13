//! That ECS gives no answer, and since when: said once in the log, and told by `/health` and `/metrics`.
//!
//! Each worker asks about its own agents. The first one asks about those that want to register as well,
//! and knows of the silence to all:
//!
//! ```text
//!   worker n                                       worker 0
//!   was not answered ------- Silent(since) ------> remembers that of n
//!   was answered ----------- Silent(None) -------> forgets it, and its own if it asks about nobody
//!   no rule asks any more -- Silent(None) ------->    likewise
//!   asks about nobody now -- AsksNobody ---------> takes it over, until ECS answers anybody
//! ```

use std::time::Instant;

use mesh_protocol::WorkerId;

use crate::config::Admission;
use crate::ingress::Ingress;
use crate::jobs::Failure;
use crate::workers::Message;

impl Ingress {
    /// Whether the rules ask for anything that ECS says.
    pub(super) fn asks_ecs(&self) -> bool {
        matches!(&self.config.admission, Admission::Policy(policy) if policy.asks_ecs())
    }

    /// Since when ECS gives no answer, to this worker or to any that told it so.
    pub(crate) fn silent_since(&self) -> Option<Instant> {
        let elsewhere = self.verifier.silent_elsewhere.values().copied();
        self.verifier.silent.into_iter().chain(elsewhere).min()
    }

    /// Says once that ECS is silent about registered agents.
    pub(super) fn begin_silence(&mut self, failure: &Failure) {
        if self.verifier.silent.is_some() {
            return;
        }
        self.verifier.silent = Some(self.now);
        self.tell_first(Message::Silent(Some(self.now)));
        let why = failure.why();
        log::error!(
            "ECS cannot be asked about registered agents: {why}; they are kept for {:?} after it \
             last confirmed them",
            self.config.identity.grace,
        );
    }

    /// Says that ECS is not silent any more.
    pub(crate) fn end_silence(&mut self) {
        // Also where this worker never missed an answer: the first one may be left with a silence.
        self.tell_first(Message::Silent(None));
        if let Some(since) = self.verifier.silent.take() {
            log::info!("ECS answers again after {:.0?}", self.now.saturating_duration_since(since));
        }
    }

    /// No rule asks ECS any more: that it is silent concerns nobody.
    pub(crate) fn forget_silence(&mut self) {
        if self.verifier.silent.take().is_some() {
            self.tell_first(Message::Silent(None));
        }
    }

    /// Another worker says since when ECS is silent to it, or that it answers.
    pub(crate) fn hear_of_silence(&mut self, from: WorkerId, since: Option<Instant>) {
        self.verifier.silent_elsewhere.remove(&from);
        match since {
            Some(since) => drop(self.verifier.silent_elsewhere.insert(from, since)),
            None if self.verifier.due.is_none() => self.end_silence(),
            None => {}
        }
    }

    /// Nobody is left here about whom ECS is asked. That it was silent is still worth knowing until it
    /// answers somebody, and the first worker asks it about all who want to register.
    pub(super) fn hand_over_silence(&mut self) {
        if !self.workers.is_first() && self.verifier.silent.take().is_some() {
            self.tell_first(Message::AsksNobody);
        }
    }

    /// Another worker has nobody left about whom it asks ECS.
    pub(crate) fn take_over_silence(&mut self, from: WorkerId) {
        let theirs = self.verifier.silent_elsewhere.remove(&from).filter(|_| self.asks_ecs());
        self.verifier.silent = self.verifier.silent.into_iter().chain(theirs).min();
    }
}
