//! Work that blocks: questions to AWS, asked by the shell beside the loop.
//!
//! A queue of the ingress's own holds what waits, at most one question for each agent and some more
//! for rechecks; jobs that nobody needs any more are dropped from it. Nothing of what
//! STS says is kept for another time: each proof is for one connection.

mod inquiry;
mod queue;

pub(crate) use inquiry::{EcsInquiry, batches, halves};
pub(crate) use queue::Queue;

use mesh_protocol::{ConnId, Context};

use crate::identity::{EcsAnswers, EcsQuestion, Policy, StsRequest};
use crate::ingress::{Conn, Ingress};
use crate::workers::Message;

/// What the shell is to do.
#[derive(Debug)]
pub enum Job {
    /// Have STS say who signed this.
    Identify {
        /// Who is to be identified.
        conn: ConnId,
        /// The request as the agent signed it.
        request: StsRequest,
        /// When it says that it did: `20261120T161426Z`. It has to be now, about.
        date: String,
    },
    /// Ask ECS about agents that want to register.
    Inspect {
        /// Who they are.
        conns: Vec<ConnId>,
        /// What to ask.
        question: EcsQuestion,
    },
    /// Ask ECS about registered agents.
    Recheck {
        /// Who they are.
        conns: Vec<ConnId>,
        /// What to ask.
        question: EcsQuestion,
    },
}

/// What came of a job, or what changed meanwhile.
#[derive(Debug)]
pub enum Answer {
    /// Of [`Job::Identify`].
    Identified {
        /// Who is identified.
        conn: ConnId,
        /// What STS says.
        outcome: Result<StsIdentity, Failure>,
    },
    /// Of [`Job::Inspect`].
    Inspected {
        /// Whom it is about.
        conns: Vec<ConnId>,
        /// What ECS says.
        outcome: Result<EcsAnswers, Failure>,
    },
    /// Of [`Job::Recheck`].
    Rechecked {
        /// Whom it is about.
        conns: Vec<ConnId>,
        /// What ECS says.
        outcome: Result<EcsAnswers, Failure>,
    },
    /// The operator changed the rules.
    Policy(Box<Policy>),
}

/// Somebody as STS knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StsIdentity {
    /// The ARN.
    pub arn: String,
    /// The account, 12 digits.
    pub account: String,
}

/// Why AWS gave no answer that helps. All are sentences without anything secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It refused. Of STS it is for the agent's operator; of ECS for the ingress's.
    Refused(String),
    /// It rejects the question: something named in it is not a name that it knows.
    Invalid(String),
    /// It could not be asked, or did not say anything that makes sense.
    Unreachable(String),
    /// It was not asked: the agent's proof is too old or too new. For the agent's operator.
    StaleProof(String),
}

impl Failure {
    /// The sentence.
    pub(crate) fn why(&self) -> &str {
        match self {
            Self::Refused(why)
            | Self::Invalid(why)
            | Self::Unreachable(why)
            | Self::StaleProof(why) => why,
        }
    }
}

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// The Security Token Service.
    Sts,
    /// The Elastic Container Service.
    Ecs,
}

impl Ingress {
    /// The next job that is still wanted.
    pub(crate) fn next_job(&mut self) -> Option<Job> {
        let conns = &self.conns;
        let is_wanted = |conn| match conns.state(conn) {
            Some(Conn::Registration(one)) => {
                one.application().is_some_and(|one| one.verifying_since().is_some())
            }
            Some(Conn::Downstream(_) | Conn::Admin(_) | Conn::Tunnel | Conn::Moving(_)) | None => {
                false
            }
        };
        self.jobs.poll(self.now, is_wanted)
    }

    /// Takes in what came of a job.
    pub(crate) fn take_answer(&mut self, answer: Answer, cx: &mut Context<'_>) {
        match answer {
            Answer::Identified { conn, outcome } => {
                match &outcome {
                    Ok(_) | Err(Failure::Refused(_)) => self.jobs.answered(conn, cx.now),
                    Err(Failure::Invalid(_) | Failure::Unreachable(_) | Failure::StaleProof(_)) => {
                        self.jobs.unanswered(conn, cx.now);
                    }
                }
                self.identified(conn, outcome, cx);
            }
            Answer::Inspected { conns, outcome } => self.inspected(&conns, &outcome, cx),
            Answer::Rechecked { conns, outcome } => self.rechecked(&conns, &outcome, cx),
            Answer::Policy(policy) => {
                self.tell_others(|| Message::Policy(policy.clone()));
                self.change_policy(policy, cx);
            }
        }
    }
}
