//! Keeping what was proved true: registered agents are asked about again and again.
//!
//! What ECS proved is asked again every `--ecs-recheck-interval`, some of it early so that several
//! ingresses do not ask at once, and about up to a hundred agents in one question. An agent whose
//! task has stopped loses its registration; one whose task is about to stop, or whose host drains,
//! gets no new requests and may finish those it has. While ECS cannot be reached, registrations are kept
//! for `--ecs-grace` after ECS last confirmed them. `reassess` is about rules that change,
//! `renewal` about proofs that get old.

mod silence;
mod standing;

pub(crate) use standing::{Doubt, EcsStanding};

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mesh_protocol::control::RefusalCode;
use mesh_protocol::{ConnId, Context, WorkerId};
use ring::hmac;

use crate::config::IdentityChecks;
use crate::identity::{EcsAnswers, Requirement};
use crate::ingress::Ingress;
use crate::jobs::{Authority, EcsInquiry, Failure, Job, batches, halves};
use crate::registration::Refusal;
use crate::tunnel::TunnelId;
use crate::workers::Message;

/// The state of asking again.
#[derive(Debug, Default)]
pub(crate) struct Verifier {
    /// Nonces given so far.
    nonces: u64,
    /// When ECS is asked again; `None` while nobody has to be asked about.
    due: Option<Instant>,
    /// About whom ECS is being asked.
    asking: BTreeMap<ConnId, Asking>,
    /// Whether a question of the present round was not answered well.
    has_failed: bool,
    /// When one was answered well the last time, here or at a worker that told of it.
    pub(crate) answered: Option<Instant>,
    /// When the other workers were told of one.
    told: Option<Instant>,
    /// Since when ECS gives no answer.
    silent: Option<Instant>,
    /// At the first worker: since when it gives none to which of the others.
    silent_elsewhere: BTreeMap<WorkerId, Instant>,
    /// When STS last failed to say who an agent is.
    pub(crate) sts_failed: Option<Instant>,
    /// When ECS is asked again about newcomers whose tasks have not begun.
    beat: Option<Instant>,
}

/// A question to ECS about one registered agent.
#[derive(Debug)]
struct Asking {
    /// What it was asked for.
    requirement: Requirement,
    since: Instant,
}

impl Verifier {
    /// The moment for which those wait who ask again: at most so far away, and the same for all.
    pub(crate) fn next_beat(&mut self, now: Instant, pause: Duration) -> Instant {
        *self.beat.insert(self.beat.filter(|beat| *beat > now).unwrap_or(now + pause))
    }

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
        // Whoever ECS was asked about the last time had until now; not who new rules asked about since.
        let (recheck, asking) = (self.config.identity.recheck, &self.verifier.asking);
        let is_late = |since: Instant| cx.now.saturating_duration_since(since) >= recheck / 2;
        let unanswered = asking.iter().filter(|(_, one)| is_late(one.since));
        let unanswered: Vec<ConnId> = unanswered.map(|(conn, _)| *conn).collect();
        self.doubt(&unanswered, cx);
        if !self.tunnels.iter().any(|(_, tunnel)| tunnel.standing.ecs.is_some()) {
            self.verifier.due = None;
            return self.hand_over_silence();
        }
        if self.verifier.asking.is_empty() {
            self.verifier.has_failed = false;
        }
        self.verifier.due = Some(cx.now + draw(&self.config.identity, cx));
        let everybody = self.not_being_asked(|_| true);
        self.ask_ecs(&everybody);
    }

    /// Asks ECS at once about those of whom new rules want to know more. All others wait no longer for
    /// their turn.
    pub(crate) fn ask_for_more(&mut self, cx: &mut Context<'_>) {
        let open = self.not_being_asked(|ecs| ecs.is_open);
        if !open.is_empty() {
            self.plan_recheck(cx);
            self.ask_ecs(&open);
        }
    }

    /// Those about whom ECS is not being asked already: nobody is asked about twice at once.
    fn not_being_asked(
        &self,
        is_wanted: impl Fn(&EcsStanding) -> bool,
    ) -> Vec<(ConnId, EcsInquiry)> {
        let asking = &self.verifier.asking;
        let wanted = self.tunnels.iter().filter_map(|(id, tunnel)| {
            let ecs = tunnel.standing.ecs.as_ref().filter(|ecs| is_wanted(ecs))?;
            (!asking.contains_key(&id.conn())).then(|| (id.conn(), ecs.asked.clone()))
        });
        wanted.collect()
    }

    fn ask_ecs(&mut self, about: &[(ConnId, EcsInquiry)]) {
        for (conns, question) in batches(about) {
            self.jobs.push(Job::Recheck { conns, question });
        }
        let asking = about.iter().map(|(conn, EcsInquiry { requirement, .. })| {
            (*conn, Asking { requirement: *requirement, since: self.now })
        });
        self.verifier.asking.extend(asking);
    }

    /// ECS said something about registered agents, or did not.
    pub(crate) fn rechecked(
        &mut self,
        conns: &[ConnId],
        outcome: &Result<EcsAnswers, Failure>,
        cx: &mut Context<'_>,
    ) {
        self.metrics.checked(Authority::Ecs, outcome.as_ref().err());
        if let Err(Failure::Invalid(_)) = outcome
            && conns.len() > 1
        {
            return self.recheck_halves(conns);
        }
        let asking = &mut self.verifier.asking;
        let asked = conns.iter().filter_map(|conn| Some((*conn, asking.remove(conn)?.requirement)));
        let asked: Vec<_> = asked.collect();
        match outcome {
            Ok(_) => self.note_answered(),
            Err(failure) => {
                self.note_failed_question(conns, failure);
                self.doubt(conns, cx);
            }
        }
        self.note_end_of_round();
        let Ok(answers) = outcome else { return };
        let asked = asked.into_iter().map(|(conn, requirement)| (TunnelId(conn), requirement));
        let confirmed = asked.map(|(id, requirement)| {
            let refusal = self.confirm(id, requirement, answers);
            refusal.map(|refusal| (id, refusal))
        });
        let unfit: Vec<_> = confirmed.flatten().collect();
        self.withdraw_all(&unfit, cx);
        self.ask_for_more(cx);
    }

    /// ECS does not take a question about all of these.
    fn recheck_halves(&mut self, conns: &[ConnId]) {
        let mut asked = Vec::new();
        for conn in conns {
            let tunnel = self.tunnels.get(TunnelId(*conn));
            if let Some(ecs) = tunnel.and_then(|tunnel| tunnel.standing.ecs.as_ref()) {
                if let Some(asking) = self.verifier.asking.get_mut(conn) {
                    asking.requirement = ecs.asked.requirement;
                }
                asked.push((*conn, ecs.asked.clone()));
            } else {
                // It is gone, or no rule asks about it any more.
                self.verifier.asking.remove(conn);
            }
        }
        for (conns, question) in halves(&asked) {
            self.jobs.push(Job::Recheck { conns, question });
        }
        self.note_end_of_round();
    }

    /// ECS answered, and so it is not silent to other workers either, whatever it says of their agents.
    pub(crate) fn note_answered(&mut self) {
        let now = self.now;
        self.verifier.answered = Some(now);
        let often = self.config.identity.recheck / 2;
        if self.verifier.told.is_none_or(|at| now.saturating_duration_since(at) >= often) {
            self.verifier.told = Some(now);
            self.tell_others(|| Message::Answered(now));
        }
    }

    /// Says that ECS answers, if that is all it was asked and no question failed.
    fn note_end_of_round(&mut self) {
        if self.verifier.asking.is_empty() && !self.verifier.has_failed {
            self.end_silence();
        }
    }

    /// A question was not answered: ECS is silent, unless it is this agent about whom it takes none.
    fn note_failed_question(&mut self, conns: &[ConnId], failure: &Failure) {
        let is_recent =
            |at| self.now.saturating_duration_since(at) < self.config.identity.recheck * 2;
        if let Failure::Invalid(why) = failure
            && self.verifier.answered.is_some_and(is_recent)
        {
            let about = conns.first().and_then(|conn| self.tunnels.get(TunnelId(*conn)));
            if let Some(tunnel) = about {
                log::warn!("{tunnel}: ECS takes no question about its agent: {why}");
            }
            return;
        }
        self.verifier.has_failed = true;
        // Nobody may be left here whom that would concern.
        if self.asks_ecs() && (self.verifier.due.is_some() || self.workers.is_first()) {
            self.begin_silence(failure);
        }
    }

    /// What ECS gave no answer about is kept for a while, which may be over already.
    fn doubt(&mut self, conns: &[ConnId], cx: &mut Context<'_>) {
        for conn in conns {
            if let Some(tunnel) = self.tunnels.get_mut(TunnelId(*conn))
                && let Some(ecs) = &mut tunnel.standing.ecs
            {
                ecs.doubt = ecs.doubt.max(Doubt::Unanswered);
            }
        }
        self.withdraw_unconfirmed(cx);
    }

    /// ECS was asked for this much, and says this; why the agent cannot stay, if it cannot.
    fn confirm(
        &mut self,
        id: TunnelId,
        requirement: Requirement,
        answers: &EcsAnswers,
    ) -> Option<Refusal> {
        let tunnel = self.tunnels.get_mut(id)?;
        let ecs = tunnel.standing.ecs.as_mut()?;
        // Rules may ask for more or less by now.
        let requirement = requirement.min(ecs.asked.requirement);
        // What it has under way may be finished when it leaves: ECS lets a task do that before it ends
        // it, and an agent on a host that is emptied goes on.
        let seen = ecs.asked.subject.verify_registered(requirement, answers);
        let denial = match &seen {
            Ok((facts, None)) if ecs.has_service() => facts.unproved.as_ref(),
            Ok(_) => None,
            Err(refusal) => Some(refusal),
        };
        if let Some(refusal) = denial
            && ecs.outlasts(refusal, self.config.identity.grace, self.now)
        {
            ecs.doubt = Doubt::Denied;
            log::info!("{tunnel}: {refusal}: that may be transient; ECS is asked again");
            return None;
        }
        let (facts, leaving) = match seen {
            Ok(seen) => seen,
            Err(refusal) => {
                return Some(Refusal::new(RefusalCode::Forbidden, refusal.to_string()));
            }
        };
        // Of what it proved to be ECS may know less by then.
        if leaving.is_none() || ecs.is_open || ecs.facts.is_none() {
            ecs.facts = Some(facts);
        }
        ecs.is_open = requirement < ecs.asked.requirement;
        (ecs.confirmed, ecs.doubt) = (self.now, Doubt::None);
        let was_leaving = std::mem::replace(&mut ecs.is_leaving, leaving.is_some());
        tunnel.publish();
        match leaving {
            Some(_) if was_leaving => {}
            Some(why) => log::info!("{tunnel}: {why}: it gets no new requests"),
            None if was_leaving => log::info!("{tunnel}: it gets new requests again"),
            None => {}
        }
        self.reassess(id)
    }

    /// Withdraws what ECS has not confirmed for too long although it was asked. Where it is asked
    /// less often than that, what it confirmed the last time still counts.
    fn withdraw_unconfirmed(&mut self, cx: &mut Context<'_>) {
        let grace = self.config.identity.grace;
        let is_stale = |standing: &EcsStanding| {
            standing.doubt > Doubt::None && standing.confirmed + grace <= cx.now
        };
        let stale: Vec<_> = self
            .tunnels
            .iter()
            .filter(|(_, tunnel)| tunnel.standing.ecs.as_ref().is_some_and(is_stale))
            .map(|(id, _)| {
                let reason = format!("ECS has not confirmed this agent's place for {grace:?}");
                (id, Refusal::new(RefusalCode::Unavailable, reason))
            })
            .collect();
        self.withdraw_all(&stale, cx);
    }
}

/// When to ask again: up to a fifth earlier than configured.
fn draw(checks: &IdentityChecks, cx: &mut Context<'_>) -> Duration {
    let interval = checks.recheck.as_secs_f64();
    let early = f64::from(u32::try_from(cx.rng.below(1000)).unwrap_or(0)) / 5000.0;
    Duration::from_secs_f64(interval * (1.0 - early))
}
