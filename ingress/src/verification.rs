//! Keeping what was proved true: registered agents are asked about again and again.
//!
//! What ECS proved is asked again every `--ecs-recheck-interval`, some of it early so that several
//! ingresses do not ask at once, and about up to a hundred agents in one question. An agent whose
//! task has stopped loses its registration; one whose task is about to stop gets no new requests
//! and may finish those it has. While ECS cannot be reached, registrations are kept
//! for `--ecs-grace` after ECS last confirmed them. When the rules change, everybody is measured
//! by the new ones.

use std::time::{Duration, Instant};

use mesh_protocol::control::{self, RefusalCode, Refused};
use mesh_protocol::mux::FrameKind;
use mesh_protocol::{ConnId, Context, WorkerId};
use ring::hmac;

use crate::admission::claim;
use crate::audit;
use crate::config::{Admission, IdentityChecks};
use crate::identity::{
    Decision, EcsAnswers, EcsFacts, EcsQuestion, EcsRefusal, EcsSubject, Policy, Principal,
    Requirement,
};
use crate::ingress::Ingress;
use crate::jobs::{Authority, Failure, Job};
use crate::registration::{POLICY_VIOLATION, Refusal};
use crate::tunnel::TunnelId;
use crate::workers::Message;

/// What ECS says of a registered agent.
#[derive(Debug)]
pub(crate) struct EcsStanding {
    pub(crate) asked: Asked,
    /// What is proved.
    pub(crate) facts: EcsFacts,
    /// When ECS said so last.
    pub(crate) confirmed: Instant,
    /// Whether ECS was asked since then and gave no answer.
    pub(crate) is_doubted: bool,
}

/// About whom ECS is asked, and what.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) subject: EcsSubject,
    pub(crate) requirement: Requirement,
}

impl Asked {
    pub(crate) fn question(&self) -> EcsQuestion {
        EcsQuestion::about(&self.subject, self.requirement)
    }

    /// What the answers say of it.
    pub(crate) fn verify(&self, answers: &EcsAnswers) -> Result<EcsFacts, EcsRefusal> {
        self.subject.verify(self.requirement, answers)
    }
}

/// The state of asking again.
#[derive(Debug, Default)]
pub(crate) struct Verifier {
    /// Nonces given so far.
    nonces: u64,
    /// When ECS is asked again; `None` while nobody has to be asked about.
    due: Option<Instant>,
    /// Questions of the present round without an answer.
    waiting: usize,
    /// Whether one of them was not answered well.
    has_failed: bool,
    /// Since when ECS gives no answer.
    silent: Option<Instant>,
}

impl Verifier {
    /// A nonce that nobody can guess and that never comes again.
    pub(crate) fn nonce(&mut self, key: &[u8; 32]) -> String {
        self.nonces += 1;
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let tag = hmac::sign(&key, &self.nonces.to_be_bytes());
        tag.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// When something is to be asked.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.due
    }
}

impl Ingress {
    /// Somebody was registered whom ECS has to confirm from time to time.
    pub(crate) fn plan_recheck(&mut self, cx: &mut Context<'_>) {
        if self.verifier.due.is_none() {
            self.verifier.due = Some(cx.now + draw(&self.config.identity, cx));
        }
    }

    /// Asks ECS about everybody it has to confirm, if it is time.
    pub(crate) fn recheck_if_due(&mut self, cx: &mut Context<'_>) {
        if self.verifier.due.is_none_or(|due| due > cx.now) {
            return;
        }
        // A round that is still under way had until now.
        let unanswered: Vec<ConnId> = match self.verifier.waiting {
            0 => Vec::new(),
            _ => self.tunnels.iter().map(|(id, _)| id.conn()).collect(),
        };
        self.doubt(&unanswered, cx);
        let asked: Vec<(ConnId, &Asked)> = self
            .tunnels
            .iter()
            .filter_map(|(id, tunnel)| Some((id.conn(), &tunnel.standing.ecs.as_ref()?.asked)))
            .collect();
        if asked.is_empty() {
            self.verifier.due = None;
            return self.hand_over_silence();
        }
        // Nobody is asked twice at once.
        if self.verifier.waiting == 0 {
            let jobs = batches(&asked);
            (self.verifier.waiting, self.verifier.has_failed) = (jobs.len(), false);
            jobs.into_iter().for_each(|job| self.jobs.push(job));
        }
        self.verifier.due = Some(cx.now + draw(&self.config.identity, cx));
    }

    /// ECS said something about registered agents, or did not.
    pub(crate) fn rechecked(
        &mut self,
        conns: &[ConnId],
        outcome: &Result<EcsAnswers, Failure>,
        cx: &mut Context<'_>,
    ) {
        self.metrics.checked(Authority::Ecs, outcome.as_ref().err());
        self.verifier.waiting = self.verifier.waiting.saturating_sub(1);
        if let Err(failure) = outcome {
            self.verifier.has_failed = true;
            // Nobody may be left here whom that would concern.
            if self.verifier.due.is_some() || self.workers.is_first() {
                self.note_silence(failure, cx.now);
            }
            self.doubt(conns, cx);
        }
        if self.verifier.waiting == 0 && !self.verifier.has_failed {
            self.note_answers(cx.now);
        }
        let Ok(answers) = outcome else { return };
        for conn in conns {
            self.confirm(TunnelId(*conn), answers, cx);
        }
    }

    /// What ECS was asked in vain is kept for a while, which may be over already.
    fn doubt(&mut self, conns: &[ConnId], cx: &mut Context<'_>) {
        for conn in conns {
            if let Some(tunnel) = self.tunnels.get_mut(TunnelId(*conn))
                && let Some(ecs) = &mut tunnel.standing.ecs
            {
                ecs.is_doubted = true;
            }
        }
        self.withdraw_unconfirmed(cx);
    }

    fn confirm(&mut self, id: TunnelId, answers: &EcsAnswers, cx: &mut Context<'_>) {
        let Some(tunnel) = self.tunnels.get_mut(id) else { return };
        let Some(ecs) = &mut tunnel.standing.ecs else { return };
        match ecs.asked.verify(answers) {
            Ok(facts) => {
                (ecs.facts, ecs.confirmed, ecs.is_doubted) = (facts, cx.now, false);
                self.measure(id, cx);
            }
            // It is still what it proved to be. What it has under way may be finished: ECS lets a
            // task do that before it ends it.
            Err(EcsRefusal::Stopping { task }) => {
                (ecs.confirmed, ecs.is_doubted) = (cx.now, false);
                let was_draining = std::mem::replace(&mut tunnel.is_draining, true);
                tunnel.publish();
                if !was_draining {
                    let name = &tunnel.name;
                    log::info!("tunnel {name}: {task} is about to stop: it gets no new requests");
                }
            }
            Err(refusal) => {
                let refusal = Refusal::new(RefusalCode::Forbidden, refusal.to_string());
                self.withdraw(id, &refusal, cx);
            }
        }
    }

    /// Since when ECS gives no answer, to this worker or to any that told it so.
    pub(crate) fn silent(&self) -> Option<Instant> {
        self.verifier.silent.into_iter().chain(self.workers.silent()).min()
    }

    /// Says once that ECS is silent about registered agents.
    fn note_silence(&mut self, failure: &Failure, now: Instant) {
        if self.verifier.silent.is_some() {
            return;
        }
        self.verifier.silent = Some(now);
        self.tell_first(Message::Silent(Some(now)));
        let (Failure::Refused(why) | Failure::Unreachable(why)) = failure;
        log::error!(
            "ECS cannot be asked about registered agents: {why}; they are kept for {:?} after it \
             last confirmed them",
            self.config.identity.grace,
        );
    }

    /// Says that ECS is not silent any more.
    fn note_answers(&mut self, now: Instant) {
        // Also where this worker never missed an answer: the first one may be left with a silence.
        self.tell_first(Message::Silent(None));
        if let Some(since) = self.verifier.silent.take() {
            log::info!("ECS answers again after {:.0?}", now.saturating_duration_since(since));
        }
    }

    /// Another worker says since when ECS is silent to it, or that it answers.
    pub(crate) fn note_silence_elsewhere(
        &mut self,
        from: WorkerId,
        since: Option<Instant>,
        now: Instant,
    ) {
        self.workers.silent.remove(&from);
        match since {
            Some(since) => drop(self.workers.silent.insert(from, since)),
            None if self.verifier.due.is_none() => self.note_answers(now),
            None => {}
        }
    }

    /// Nobody is left here about whom ECS is asked. That it was silent is still worth knowing until it
    /// answers somebody, and the first worker asks it about all who want to register.
    fn hand_over_silence(&mut self) {
        if !self.workers.is_first() && self.verifier.silent.take().is_some() {
            self.tell_first(Message::Unasked);
        }
    }

    /// Another worker has nobody left about whom it asks ECS.
    pub(crate) fn take_over_silence(&mut self, from: WorkerId) {
        let theirs = self.workers.silent.remove(&from);
        self.verifier.silent = self.verifier.silent.into_iter().chain(theirs).min();
    }

    /// An agent that wants to register was asked about. What it names may be of another account
    /// or not be at all: that ECS refuses to talk about it says nothing of the others.
    pub(crate) fn note_inspection(&mut self, failure: Option<&Failure>, now: Instant) {
        match failure {
            Some(Failure::Refused(why) | Failure::Unreachable(why)) => {
                log::warn!("ECS cannot be asked about an agent that wants to register: {why}");
            }
            None if self.verifier.due.is_none() => self.note_answers(now),
            None => {}
        }
    }

    /// Withdraws what ECS has not confirmed for too long although it was asked. Where it is asked
    /// less often than that, what it confirmed the last time still counts.
    fn withdraw_unconfirmed(&mut self, cx: &mut Context<'_>) {
        let grace = self.config.identity.grace;
        let is_stale =
            |standing: &EcsStanding| standing.is_doubted && standing.confirmed + grace <= cx.now;
        let stale: Vec<_> = self
            .tunnels
            .iter()
            .filter(|(_, tunnel)| tunnel.standing.ecs.as_ref().is_some_and(is_stale))
            .map(|(id, _)| id)
            .collect();
        for id in stale {
            let reason = format!("ECS has not confirmed this agent's place for {grace:?}");
            self.withdraw(id, &Refusal::new(RefusalCode::Unavailable, reason), cx);
        }
    }

    /// A proof of identity is good for a limited time: whose credentials were taken away is found
    /// out that way. The agent opens another tunnel before it leaves this one.
    pub(crate) fn renew_proof_if_due(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        let Some(tunnel) = self.tunnels.get(id) else { return };
        if tunnel.proof_deadline(&self.config.identity).is_none_or(|due| due > cx.now) {
            return;
        }
        if tunnel.is_replaced {
            return self.let_go(id, cx);
        }
        if tunnel.was_told_to_move {
            let lifetime = self.config.identity.lifetime;
            let reason = format!("this agent's proof of identity is older than {lifetime:?}");
            let refusal = Refusal::new(RefusalCode::Unauthenticated, reason);
            return self.withdraw(id, &refusal, cx);
        }
        log::info!("tunnel {}: its agent has to prove its identity again", tunnel.name);
        self.tell_to_move(id);
    }

    /// The operator changed the rules: everybody is measured by the new ones.
    pub(crate) fn change_policy(&mut self, policy: Box<Policy>, cx: &mut Context<'_>) {
        if self.workers.is_first() {
            log::info!("new rules are in force");
        }
        self.config.admission = Admission::Policy(policy);
        let tunnels: Vec<_> = self.tunnels.iter().map(|(id, _)| id).collect();
        for id in tunnels {
            self.measure(id, cx);
        }
    }

    /// Withdraws a registration that the rules no longer allow.
    fn measure(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        let Admission::Policy(policy) = &self.config.admission else { return };
        let Some(tunnel) = self.tunnels.get(id) else { return };
        let standing = &tunnel.standing;
        let Some(principal) = &standing.principal else { return };
        let claim = claim(&tunnel.hello);
        // What proves nothing any more is not measured by rules.
        if is_withdrawn(policy, principal, standing.token.as_deref()) {
            let reason = "this agent's token was withdrawn";
            return self.withdraw(id, &Refusal::new(RefusalCode::Unauthenticated, reason), cx);
        }
        let decision = match &standing.ecs {
            Some(ecs) => policy.decide_with(principal, &claim, &ecs.facts),
            None => policy.decide(principal, &claim),
        };
        let refusal = match decision {
            Decision::Granted => return,
            Decision::Denied(reason) => Refusal::new(RefusalCode::Forbidden, reason),
            Decision::NeedsEcs(_) => Refusal::new(
                RefusalCode::Unauthenticated,
                "the ingress has new rules, which ask for more: register again",
            ),
        };
        self.withdraw(id, &refusal, cx);
    }

    /// Ends a registration that is not right any more, and says why.
    fn withdraw(&mut self, id: TunnelId, refusal: &Refusal, cx: &mut Context<'_>) {
        let Some(tunnel) = self.tunnels.get_mut(id) else { return };
        audit::withdrawn(&tunnel.name, tunnel.peer, &tunnel.standing, refusal);
        let refused = Refused { code: refusal.code, reason: refusal.reason.clone() };
        tunnel.link.session.send(FrameKind::Refused, &control::encode(&refused));
        self.metrics.withdrawn(refusal.code);
        self.close_tunnel(id, POLICY_VIOLATION, "its registration is withdrawn", cx);
    }
}

/// Whether the agent proved itself with a token that is not there any more.
fn is_withdrawn(policy: &Policy, principal: &Principal, token: Option<&str>) -> bool {
    match principal {
        Principal::Token { name } => !token.is_some_and(|id| policy.holds(name, id)),
        Principal::Aws(_) | Principal::Certificate { .. } => false,
    }
}

/// The questions that together are about all of these.
fn batches(asked: &[(ConnId, &Asked)]) -> Vec<Job> {
    let subjects: Vec<_> =
        asked.iter().map(|(_, asked)| (&asked.subject, asked.requirement)).collect();
    let questions = EcsQuestion::batches(&subjects).into_iter();
    let jobs = questions.map(|question| {
        let about = asked.iter().filter(|(_, asked)| question.is_about(&asked.subject));
        let conns = about.map(|(conn, _)| *conn).collect();
        Job::Recheck { conns, question }
    });
    jobs.collect()
}

/// When to ask again: up to a fifth earlier than configured.
fn draw(checks: &IdentityChecks, cx: &mut Context<'_>) -> Duration {
    let interval = checks.recheck.as_secs_f64();
    let early = f64::from(u32::try_from(cx.rng.below(1000)).unwrap_or(0)) / 5000.0;
    Duration::from_secs_f64(interval * (1.0 - early))
}
