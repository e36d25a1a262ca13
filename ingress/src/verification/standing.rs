//! What ECS has said of a registered agent, and how much of that still counts.

use std::time::{Duration, Instant};

use crate::identity::{EcsFacts, EcsRefusal};
use crate::jobs::EcsInquiry;

/// What ECS says of a registered agent.
#[derive(Debug)]
pub(crate) struct EcsStanding {
    pub(crate) asked: EcsInquiry,
    /// What is proved; nothing before the first answer about an agent of whom only new rules ask.
    pub(crate) facts: Option<EcsFacts>,
    /// When ECS said so last, or when rules began to ask.
    pub(crate) confirmed: Instant,
    /// What came of asking since then.
    pub(crate) doubt: Doubt,
    /// Whether rules ask for more by now than ECS was asked for when it last answered.
    pub(crate) is_open: bool,
    /// Whether the task is about to stop, or the host to be emptied.
    pub(crate) is_leaving: bool,
}

/// Why ECS may not bear an agent out any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Doubt {
    /// There is no reason to think so.
    None,
    /// It gave no answer.
    Unanswered,
    /// It does not know what it knew.
    Denied,
}

impl EcsStanding {
    /// That of somebody about whom ECS said this.
    pub(crate) const fn proved(asked: EcsInquiry, facts: EcsFacts, now: Instant) -> Self {
        let facts = Some(facts);
        let (doubt, is_open, is_leaving) = (Doubt::None, false, false);
        Self { asked, facts, confirmed: now, doubt, is_open, is_leaving }
    }

    /// That of somebody about whom new rules ask.
    pub(crate) const fn unproved(asked: EcsInquiry, now: Instant) -> Self {
        let (doubt, is_open, is_leaving) = (Doubt::None, true, false);
        Self { asked, facts: None, confirmed: now, doubt, is_open, is_leaving }
    }

    /// Whether it is proved of which service it is.
    pub(crate) fn has_service(&self) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.service.is_some())
    }

    /// Whether a refusal counts as no answer. ECS knew this agent, and may have answered from an old copy;
    /// but not twice.
    pub(crate) fn outlasts(&self, refusal: &EcsRefusal, grace: Duration, now: Instant) -> bool {
        let was_confirmed = self.facts.is_some() && !self.is_open;
        let is_first = self.doubt < Doubt::Denied;
        refusal.is_transient() && was_confirmed && is_first && now < self.confirmed + grace
    }
}
