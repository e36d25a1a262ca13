//! Proofs of identity that get old, and are given again.
//!
//! ```text
//!   registered ---- asked for another proof ------------ end -------------- end + grace
//!                   a little earlier than others,        |  while STS is silent
//!                   so that not all come at once         |
//!                   another tunnel takes its place       withdrawn
//! ```

use std::time::{Duration, Instant};

use mesh_protocol::Context;
use mesh_protocol::control::RefusalCode;

use crate::identity::Principal;
use crate::ingress::Ingress;
use crate::registration::Refusal;
use crate::tunnel::{Tunnel, TunnelId};
use crate::workers::Message;

/// How long an agent that STS was asked about in vain may need to come again: its questions take 30 s, and
/// its pauses 30 s unless its operator has it otherwise.
const COMING_AGAIN: Duration = Duration::from_secs(120);
/// What other workers hear of STS in this time is one message.
const TELLING: Duration = Duration::from_secs(5);

impl Ingress {
    /// A proof of identity is good for a limited time: whose credentials were taken away is found
    /// out that way. The agent opens another tunnel before it leaves this one.
    pub(crate) fn renew_proof_if_due(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        let Some(tunnel) = self.tunnels.get(id) else { return };
        if self.proof_deadline(tunnel).is_none_or(|due| due > cx.now) {
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
        log::info!("{tunnel}: its agent has to prove its identity again");
        self.tell_to_move(id);
    }

    /// When something is due about a tunnel's proof of identity. Where STS is silent nobody can give
    /// another one, and credentials that were taken away are the lesser evil for a while. It is the same
    /// where another tunnel has come by then: what is under way on this one has had no time to end.
    pub(crate) fn proof_deadline(&self, tunnel: &Tunnel) -> Option<Instant> {
        let checks = &self.config.identity;
        let due = tunnel.proof_deadline(checks)?;
        let is_by_sts = match tunnel.standing.principal {
            Some(Principal::Aws(_)) => true,
            Some(Principal::Token { .. } | Principal::Certificate { .. }) | None => false,
        };
        let waits = is_by_sts && tunnel.was_told_to_move;
        let failed = self.verifier.sts_failed.filter(|_| waits);
        Some(failed.map_or(due, |at| due.max((at + COMING_AGAIN).min(due + checks.grace))))
    }

    /// STS was asked in vain who an agent is.
    pub(crate) fn note_sts_failure(&mut self) {
        let now = self.now;
        let known = &mut self.verifier.sts_failed;
        if known.is_some_and(|at| now.saturating_duration_since(at) < TELLING) {
            return;
        }
        *known = Some(now);
        self.tell_others(|| Message::StsFailed(now));
    }
}
