//! Measuring registered agents by rules, and ending what is not right any more.
//!
//! When the rules change, everybody is measured by the new ones at once. What they ask of ECS beyond
//! what it has said is asked then, and the agent stays until ECS says no: it may well be what the new
//! rules want.

use mesh_protocol::Context;
use mesh_protocol::control::{self, RefusalCode, Refused};
use mesh_protocol::mux::FrameKind;
use mesh_protocol::ws::close;

use crate::admission::subject;
use crate::audit;
use crate::config::Admission;
use crate::identity::{Claim, Decision, Policy, Principal, Requirement};
use crate::ingress::Ingress;
use crate::jobs::EcsInquiry;
use crate::registration::Refusal;
use crate::tunnel::TunnelId;
use crate::verification::EcsStanding;

/// How a registration fares by the rules.
pub(crate) enum Verdict {
    /// It is allowed, as long as ECS confirms this.
    Fits(Option<Requirement>),
    /// It may be, for all that is known: ECS has to say more.
    Open(EcsInquiry),
    /// It is not; a sentence.
    Unfit(String),
}

impl Ingress {
    /// The operator changed the rules: everybody is measured by the new ones.
    pub(crate) fn change_policy(&mut self, policy: Box<Policy>, cx: &mut Context<'_>) {
        if self.workers.is_first() {
            log::info!("new rules are in force");
        }
        if !policy.asks_ecs() {
            self.forget_silence();
        }
        self.config.admission = Admission::Policy(policy);
        let tunnels: Vec<_> = self.tunnels.iter().map(|(id, _)| id).collect();
        let measured = tunnels.into_iter().map(|id| (id, self.reassess(id)));
        let unfit: Vec<_> = measured.filter_map(|(id, why)| Some((id, why?))).collect();
        self.withdraw_all(&unfit, cx);
        self.ask_for_more(cx);
    }

    /// Why the rules no longer allow a registration, if they do not.
    #[must_use]
    pub(crate) fn reassess(&mut self, id: TunnelId) -> Option<Refusal> {
        let Admission::Policy(policy) = &self.config.admission else { return None };
        let tunnel = self.tunnels.get(id)?;
        let standing = &tunnel.standing;
        let principal = standing.principal.as_ref()?;
        // What proves nothing any more is not measured by rules.
        if is_withdrawn(policy, principal, standing.token.as_deref()) {
            let reason = "this agent's token was withdrawn";
            return Some(Refusal::new(RefusalCode::Unauthenticated, reason));
        }
        match judge(policy, principal, &Claim::of(&tunnel.hello), standing.ecs.as_ref()) {
            Verdict::Fits(requirement) => self.keep(id, requirement),
            Verdict::Open(asked) => self.leave_open(id, asked),
            Verdict::Unfit(reason) => return Some(Refusal::new(RefusalCode::Forbidden, reason)),
        }
        None
    }

    /// The rules allow it by what is known: what others asked of ECS beyond that is asked no more.
    fn keep(&mut self, id: TunnelId, requirement: Option<Requirement>) {
        let Some(tunnel) = self.tunnels.get_mut(id) else { return };
        match (requirement, &mut tunnel.standing.ecs) {
            (Some(requirement), Some(ecs)) => {
                ecs.asked.requirement = requirement.min(ecs.asked.requirement);
                ecs.is_open = false;
            }
            (_, ecs) => *ecs = None,
        }
        tunnel.publish();
    }

    /// The rules ask for more than ECS has said of this agent.
    fn leave_open(&mut self, id: TunnelId, asked: EcsInquiry) {
        let Some(tunnel) = self.tunnels.get_mut(id) else { return };
        match &mut tunnel.standing.ecs {
            Some(ecs) => (ecs.asked, ecs.is_open) = (asked, true),
            none => *none = Some(EcsStanding::unproved(asked, self.now)),
        }
    }

    /// Ends all of these together: what fails with one of them is tried once more, and must not get to
    /// the next.
    pub(crate) fn withdraw_all(&mut self, unfit: &[(TunnelId, Refusal)], cx: &mut Context<'_>) {
        for (id, _) in unfit {
            if let Some(tunnel) = self.tunnels.get_mut(*id) {
                tunnel.is_draining = true;
                tunnel.publish();
            }
        }
        for (id, refusal) in unfit {
            self.withdraw(*id, refusal, cx);
        }
    }

    /// Ends a registration that is not right any more, and says why.
    pub(crate) fn withdraw(&mut self, id: TunnelId, refusal: &Refusal, cx: &mut Context<'_>) {
        let Some(tunnel) = self.tunnels.get_mut(id) else { return };
        audit::withdrawn(tunnel, refusal);
        let refused = Refused { code: refusal.code, reason: refusal.reason.clone() };
        tunnel.link.session.send(FrameKind::Refused, &control::encode(&refused));
        self.metrics.withdrawn(refusal.code);
        self.close_tunnel(id, close::POLICY_VIOLATION, "its registration is withdrawn", cx);
    }
}

/// What the rules say, with what ECS has said so far.
pub(crate) fn judge(
    policy: &Policy,
    principal: &Principal,
    claim: &Claim<'_>,
    ecs: Option<&EcsStanding>,
) -> Verdict {
    let requirement = match policy.decide(principal, claim) {
        Decision::Granted => return Verdict::Fits(None),
        Decision::Denied(reason) => return Verdict::Unfit(reason),
        Decision::NeedsEcs(requirement) => requirement,
    };
    let Some(ecs) = ecs else {
        return match subject(principal, claim) {
            Ok(subject) => Verdict::Open(EcsInquiry { subject, requirement }),
            Err(reason) => Verdict::Unfit(reason),
        };
    };
    let asks_for_more = ecs.is_open || requirement > ecs.asked.requirement;
    let asked = EcsInquiry { requirement, ..ecs.asked.clone() };
    let Some(facts) = &ecs.facts else { return Verdict::Open(asked) };
    match policy.decide_with(principal, claim, facts) {
        Decision::Granted => Verdict::Fits(Some(requirement)),
        Decision::Denied(_) if asks_for_more => Verdict::Open(asked),
        Decision::Denied(reason) => Verdict::Unfit(reason),
        Decision::NeedsEcs(_) => unreachable!("ECS was asked"),
    }
}

/// Whether the agent proved itself with a token that is not there any more.
fn is_withdrawn(policy: &Policy, principal: &Principal, token: Option<&str>) -> bool {
    match principal {
        Principal::Token { name } => !token.is_some_and(|id| policy.holds(name, id)),
        Principal::Aws(_) | Principal::Certificate { .. } => false,
    }
}
