//! Proofs of identity that get old, and are given again.
//!
//! ```text
//!   registered ---- asked for another proof ------------ end -------------- end + grace
//!                   a little earlier than others,        |  while STS is silent
//!                   so that not all come at once         |
//!                   another tunnel takes its place       withdrawn
//! ```

use std::time::{Duration, Instant};

use mesh_protocol::control::RefusalCode;
use mesh_protocol::{Context, Rng};

use crate::config::IdentityChecks;
use crate::identity::Principal;
use crate::ingress::Ingress;
use crate::registration::Refusal;
use crate::tunnel::{Tunnel, TunnelId};
use crate::workers::Message;

/// How long an agent has for another proof of identity, and to finish what it is at: this long, but no
/// more than half of what a proof is good for.
const RENEWAL_WINDOW_MIN: Duration = Duration::from_secs(300);
/// This part of what a proof is good for instead, where that is more. Behind a load balancer an agent
/// reaches the ingress that asked only by chance: the more ingresses, the more tries it needs.
const RENEWAL_WINDOW_PART: u32 = 24;
/// An agent leaves a tunnel that nobody closes so long after it was asked: what silence of STS is borne
/// after the end of the proof has to fit in as well.
const AGENT_LEAVES_AFTER: Duration = Duration::from_secs(3600);
/// What is left of that counts as no less than this, however long `--ecs-grace` is.
const RENEWAL_WINDOW_WITH_GRACE_MIN: Duration = Duration::from_secs(1800);
/// Agents are asked one after another within this part of the time that they have: a thousand of
/// them in three minutes of half an hour.
const SPREAD_PART: u32 = 10;
/// How long an agent that STS failed to identify may need to come again: its questions take 30 s, and
/// its pauses 30 s unless its operator has it otherwise.
const RETURN_TIME: Duration = Duration::from_secs(120);
/// What other workers hear of STS in this time is one message.
const TELL_PAUSE: Duration = Duration::from_secs(5);

impl Ingress {
    /// A proof of identity is good for a limited time: whose credentials were taken away is found
    /// out that way. The agent opens another tunnel before it leaves this one.
    pub(crate) fn renew_proof_if_due(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        let Some(tunnel) = self.tunnels.get(id) else { return };
        if self.proof_deadline(tunnel).is_none_or(|due| due > cx.now) {
            return;
        }
        if tunnel.is_replaced() {
            return self.close_replaced(id, cx);
        }
        if tunnel.was_told_to_move {
            let lifetime = self.config.identity.lifetime;
            let reason = format!("this agent's proof of identity is older than {lifetime:?}");
            let refusal = Refusal::new(RefusalCode::Unauthenticated, reason);
            return self.withdraw(id, &refusal, cx);
        }
        log::info!("{tunnel}: its agent has to prove its identity again");
        self.tell_to_move(id);
    }

    /// When something is due about a tunnel's proof of identity. Where STS is silent nobody can give
    /// another one, and credentials that were taken away are the lesser evil for a while. It is the same
    /// where another tunnel has come by then: what is under way on this one has had no time to end.
    pub(crate) fn proof_deadline(&self, tunnel: &Tunnel) -> Option<Instant> {
        let checks = &self.config.identity;
        let due = tunnel.renewal_due(checks)?;
        let is_by_sts = match tunnel.standing.principal {
            Some(Principal::Aws(_)) => true,
            Some(Principal::Token { .. } | Principal::Certificate { .. }) | None => false,
        };
        let waits = is_by_sts && tunnel.was_told_to_move;
        let failed = self.verifier.sts_failed.filter(|_| waits);
        Some(failed.map_or(due, |at| due.max((at + RETURN_TIME).min(due + checks.grace))))
    }

    /// STS failed to say who an agent is.
    pub(crate) fn note_sts_failure(&mut self) {
        let now = self.now;
        let known = &mut self.verifier.sts_failed;
        if known.is_some_and(|at| now.saturating_duration_since(at) < TELL_PAUSE) {
            return;
        }
        *known = Some(now);
        self.tell_others(|| Message::StsFailed(now));
    }
}

impl Tunnel {
    /// When its proof of identity ends, and this tunnel with it; some time before that, the agent is
    /// told to give another one on another tunnel.
    pub(crate) fn renewal_due(&self, checks: &IdentityChecks) -> Option<Instant> {
        self.standing.principal.as_ref()?;
        let end = self.since + checks.lifetime;
        Some(match self.was_told_to_move {
            true => end,
            false => end - renewal_window(checks) - self.renewal_head_start,
        })
    }

    /// Agents that came together, after a deployment, are asked for another proof one after the other.
    pub(crate) fn spread_renewal(&mut self, checks: &IdentityChecks, rng: &mut Rng) {
        let most = renewal_window(checks) / SPREAD_PART;
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        self.renewal_head_start = Duration::from_micros(rng.below(micros));
    }
}

/// How long before the end of a proof the agent is asked for another one.
fn renewal_window(checks: &IdentityChecks) -> Duration {
    let lifetime = checks.lifetime;
    // Some are asked earlier by a part of it.
    let fitting = AGENT_LEAVES_AFTER.saturating_sub(checks.grace) / (SPREAD_PART + 1) * SPREAD_PART;
    let part = (lifetime / RENEWAL_WINDOW_PART).min(fitting.max(RENEWAL_WINDOW_WITH_GRACE_MIN));
    RENEWAL_WINDOW_MIN.min(lifetime / 2).max(part)
}

#[cfg(test)]
mod tests;
