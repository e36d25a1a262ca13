//! What ECS says of agents that want to register.

use std::time::{Duration, Instant};

use mesh_protocol::control::RefusalCode;
use mesh_protocol::{ConnId, Context};

use crate::admission::Standing;
use crate::application::Step;
use crate::identity::{EcsAnswers, EcsRefusal, Principal};
use crate::ingress::Ingress;
use crate::jobs::{Authority, EcsInquiry, Failure, Job, halves};
use crate::reassess::{Verdict, judge};
use crate::registration::{Refusal, VERIFICATION_TIMEOUT};
use crate::verification::EcsStanding;

/// Between two questions about tasks that have not begun. ECS calls them running some seconds after their
/// containers are.
const PAUSE: Duration = Duration::from_secs(1);
/// A question that begins later would not be answered in time.
const LAST: Duration = Duration::from_secs(2);

impl Ingress {
    /// Has ECS asked about an agent that wants to register.
    pub(crate) fn inspect(
        &mut self,
        conn: ConnId,
        principal: Principal,
        asked: EcsInquiry,
        since: Instant,
    ) {
        let Some(application) = self.application_mut(conn) else { return };
        let (again, question) = (None, asked.clone());
        application.step = Step::Inspecting { principal, asked, since, again };
        self.jobs.inspect(conn, question);
    }

    /// Has ECS asked once more about an agent whose task had not begun.
    pub(crate) fn inspect_again(&mut self, conn: ConnId) {
        let Some(application) = self.application_mut(conn) else { return };
        let Step::Inspecting { asked, again, .. } = &mut application.step else { return };
        *again = None;
        let question = asked.clone();
        self.jobs.inspect(conn, question);
    }

    /// The agent's task has not begun: whether it still can in time, and ECS is asked again then. All who
    /// wait do so for the same moment, so that one question is about all of a cluster.
    fn await_task(&mut self, conn: ConnId) -> bool {
        let next = self.verifier.next_beat(self.now, PAUSE);
        let Some(application) = self.application_mut(conn) else { return false };
        let Step::Inspecting { since, again, .. } = &mut application.step else { return false };
        *again = (next + LAST < *since + VERIFICATION_TIMEOUT).then_some(next);
        again.is_some()
    }

    /// ECS said what it knows of agents that want to register, or did not.
    pub(crate) fn inspected(
        &mut self,
        conns: &[ConnId],
        outcome: &Result<EcsAnswers, Failure>,
        cx: &mut Context<'_>,
    ) {
        self.metrics.checked(Authority::Ecs, outcome.as_ref().err());
        self.jobs.inspected(conns);
        if let Err(Failure::Invalid(_)) = outcome
            && conns.len() > 1
        {
            return self.inspect_halves(conns);
        }
        self.note_inspection(outcome.as_ref().err());
        for conn in conns {
            self.take_inspection(*conn, outcome, cx);
        }
    }

    /// An agent that wants to register was asked about. What it names may be of another account
    /// or not be at all: that ECS refuses to talk about it says nothing of the others.
    fn note_inspection(&mut self, failure: Option<&Failure>) {
        match failure {
            Some(failure) => {
                let why = failure.why();
                log::warn!("ECS cannot be asked about an agent that wants to register: {why}");
            }
            None => {
                self.note_answered();
                if self.verifier.deadline().is_none() {
                    self.end_silence();
                }
            }
        }
    }

    /// ECS does not take a question about all of these.
    fn inspect_halves(&mut self, conns: &[ConnId]) {
        let asked = conns.iter().filter_map(|conn| match &self.application_mut(*conn)?.step {
            Step::Inspecting { asked, .. } => Some((*conn, asked.clone())),
            Step::Introduced | Step::Challenged { .. } | Step::Identifying { .. } => None,
        });
        let asked: Vec<_> = asked.collect();
        for (conns, question) in halves(&asked) {
            self.jobs.push(Job::Inspect { conns, question });
        }
    }

    fn take_inspection(
        &mut self,
        conn: ConnId,
        outcome: &Result<EcsAnswers, Failure>,
        cx: &mut Context<'_>,
    ) {
        let Some((policy, application)) = self.applying(conn) else { return };
        let Step::Inspecting { principal, asked, since, .. } = &application.step else { return };
        let (principal, asked, since) = (principal.clone(), asked.clone(), *since);
        let refusal = match outcome {
            Ok(answers) => match asked.verify(answers) {
                Ok(facts) => {
                    let ecs = EcsStanding::proved(asked, facts, cx.now);
                    match judge(policy, &principal, &application.claim(), Some(&ecs)) {
                        Verdict::Fits(requirement) => {
                            // Rules that have changed meanwhile may ask nothing of ECS.
                            let ecs = requirement.map(|_| ecs);
                            let principal = Some(principal);
                            let standing = Standing { principal, token: None, ecs };
                            return self.register(conn, standing, cx);
                        }
                        // The rules have changed meanwhile.
                        Verdict::Open(asked) => return self.inspect(conn, principal, asked, since),
                        Verdict::Unfit(reason) => Refusal::new(RefusalCode::Forbidden, reason),
                    }
                }
                Err(refusal) => {
                    let is_early = matches!(refusal, EcsRefusal::NotStarted { .. });
                    if is_early && self.await_task(conn) {
                        return log::debug!("{refusal}: ECS is asked again");
                    }
                    let code =
                        if is_early { RefusalCode::Unavailable } else { RefusalCode::Forbidden };
                    Refusal::new(code, format!("{principal} may not register: {refusal}"))
                }
            },
            // What went wrong is for the operator of the ingress, and in its log.
            Err(
                Failure::Refused(_)
                | Failure::Invalid(_)
                | Failure::Unreachable(_)
                | Failure::StaleProof(_),
            ) => {
                let reason = "the ingress cannot ask ECS about this agent";
                Refusal::new(RefusalCode::Unavailable, reason)
            }
        };
        self.refuse_agent(conn, Some(&principal), &refusal, cx);
    }
}
