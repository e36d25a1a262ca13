//! An agent that has introduced itself: what it asks for, and how far it is.

use std::time::Instant;

use mesh_protocol::control::Hello;
use mesh_protocol::proof::Binding;

use crate::identity::{Claim, Principal};
use crate::jobs::EcsInquiry;

/// An agent that is not decided about.
#[derive(Debug)]
pub(crate) struct Application {
    pub(crate) applicant: Applicant,
    pub(crate) step: Step,
}

/// An agent, and what it asks for.
#[derive(Debug)]
pub(crate) struct Applicant {
    /// What it said, its hosts normalised.
    pub(crate) hello: Hello,
    /// When it said so.
    pub(crate) introduced: Instant,
    /// The digest of its HELLO as it came.
    pub(crate) digest: String,
}

/// How far it is.
#[derive(Debug)]
pub(crate) enum Step {
    /// It has just said hello.
    Introduced,
    /// Its PROOF is awaited.
    Challenged { server_id: String, nonce: String },
    /// STS is asked who made the proof; since when AWS is asked about the agent.
    Identifying { since: Instant },
    /// ECS is asked whether what the agent says of itself is so; since when AWS is asked. Its task
    /// may not have begun: then ECS is asked again at some time.
    Inspecting { principal: Principal, asked: EcsInquiry, since: Instant, again: Option<Instant> },
}

impl Application {
    /// What it asks for.
    pub(crate) fn claim(&self) -> Claim<'_> {
        Claim::of(&self.applicant.hello)
    }

    /// What the proof of a challenged agent has to be bound to.
    pub(crate) fn binding(&self) -> Option<Binding<'_>> {
        let Step::Challenged { server_id, nonce } = &self.step else { return None };
        Some(Binding { server_id, nonce, hello: &self.applicant.digest })
    }

    /// Since when AWS is asked about it, if it is.
    pub(crate) const fn verifying_since(&self) -> Option<Instant> {
        match &self.step {
            Step::Identifying { since } | Step::Inspecting { since, .. } => Some(*since),
            Step::Introduced | Step::Challenged { .. } => None,
        }
    }

    /// When ECS is asked again, if it is to be.
    pub(crate) const fn again(&self) -> Option<Instant> {
        match &self.step {
            Step::Inspecting { again, .. } => *again,
            Step::Introduced | Step::Challenged { .. } | Step::Identifying { .. } => None,
        }
    }
}
