//! Answering the ingress's question who this agent is.
//!
//! A proof takes credentials, and getting those may take files and other hosts: the shell makes it
//! beside the loop. What is decided here is whether to give one at all. A proof names the ingress
//! it is for, so the agent looks first whether that is the one it dialled: otherwise whoever lures
//! an agent could pass its proof on to the real ingress.

use std::time::Duration;

use mesh_protocol::control::{self, Challenge, Proof, RefusalCode};
use mesh_protocol::mux::FrameKind;
use mesh_protocol::proof::Binding;
use mesh_protocol::ws::close;
use mesh_protocol::{ConnId, Context};

use crate::agent::Agent;
use crate::config::Identity;
use crate::losses::NEW_TOKEN;
use crate::registration::{NAME_CHARS_MAX, read_refusal, sentence};
use crate::tunnel::{Phase, Tunnel, TunnelId};

/// How long the credentials, and then the ingress's own questions to AWS, may take.
pub(crate) const PROVING: Duration = Duration::from_secs(30);

/// Work for the shell, which may read files and ask other hosts.
#[derive(Debug)]
pub enum Job {
    /// Make a proof of identity.
    Prove {
        /// For which tunnel.
        conn: ConnId,
        /// What the ingress wants proved.
        question: Question,
        /// Whether an ingress refused the proof before: there may be other credentials by now.
        anew: bool,
    },
}

/// What came of a job.
#[derive(Debug)]
pub enum Answer {
    /// What came of [`Job::Prove`].
    Proved {
        /// For which tunnel.
        conn: ConnId,
        /// The proof, or a sentence about why there is none.
        outcome: Result<Proof, String>,
    },
    /// Nobody asked: the token that proves this agent's identity is another one now.
    NewToken,
    /// Nobody asked: it became known where this agent is.
    #[cfg(feature = "aws")]
    Placed(Place),
}

/// Where ECS has an agent; empty is what is not known. The ingress takes none of it on trust.
#[cfg(feature = "aws")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The ARN of the task that it is part of.
    pub task: String,
    /// The ARN of the container instance that it runs on, where it is part of no task.
    pub container_instance: String,
    /// The cluster's ARN.
    pub cluster: String,
    /// The task's service.
    pub service: String,
}

#[cfg(feature = "aws")]
impl Place {
    /// This place, but for what the operator said of it.
    #[must_use]
    pub fn overridden_by(self, given: &Self) -> Self {
        let either = |given: &String, found| if given.is_empty() { found } else { given.clone() };
        Self {
            task: either(&given.task, self.task),
            container_instance: either(&given.container_instance, self.container_instance),
            cluster: either(&given.cluster, self.cluster),
            service: either(&given.service, self.service),
        }
    }
}

/// A challenge, and the HELLO it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Which ingress asks.
    pub server_id: String,
    /// Its nonce for this connection.
    pub nonce: String,
    /// The digest of our HELLO.
    pub digest: String,
    /// The kinds of proof it takes.
    pub methods: Vec<String>,
}

impl Question {
    /// What the proof is to be bound to.
    #[must_use]
    pub fn binding(&self) -> Binding<'_> {
        Binding { server_id: &self.server_id, nonce: &self.nonce, hello: &self.digest }
    }

    /// Whether this kind of proof is taken.
    #[must_use]
    pub fn takes(&self, method: &str) -> bool {
        self.methods.iter().any(|known| known == method)
    }
}

impl Agent {
    /// The ingress wants to know who this agent is.
    pub(crate) fn challenged(&mut self, id: TunnelId, payload: &[u8], cx: &mut Context<'_>) {
        let Some(tunnel) = self.tunnels.get(&id) else { return };
        if !matches!(tunnel.phase, Phase::Greeting(_)) {
            let why = "CHALLENGE frame out of order";
            return self.close_tunnel(id, close::PROTOCOL_ERROR, why, cx);
        }
        let challenge = match control::decode::<Challenge>(payload) {
            Ok(challenge) => challenge,
            Err(error) => {
                let why = sentence(&format!("bad CHALLENGE: {error}"));
                return self.close_tunnel(id, close::PROTOCOL_ERROR, &why, cx);
            }
        };
        if let Err(why) = self.check(&challenge) {
            return self.fail_proof(id, &why, cx);
        }
        if self.drain.is_draining() {
            // Nobody who is still asked has been welcomed.
            return self.say_goodbye(id, cx);
        }
        let Some(tunnel) = self.tunnels.get_mut(&id) else { return };
        let Phase::Greeting(link) = std::mem::replace(&mut tunnel.phase, Phase::Over) else {
            unreachable!("it was greeting above")
        };
        tunnel.phase = Phase::Proving { link, since: cx.now, has_sent: false };
        let Challenge { server_id, nonce, methods } = challenge;
        let question = Question { server_id, nonce, digest: tunnel.digest.clone(), methods };
        let anew = std::mem::take(&mut self.was_proof_refused);
        self.jobs.push_back(Job::Prove { conn: id.conn(), question, anew });
        self.conns.touch(id.conn());
    }

    /// The proof is made, or cannot be.
    pub(crate) fn proved(
        &mut self,
        id: TunnelId,
        outcome: Result<Proof, String>,
        cx: &mut Context<'_>,
    ) {
        // The tunnel may be gone by now, and its name is never another's.
        let Some(tunnel) = self.tunnels.get_mut(&id) else { return };
        let Phase::Proving { link, has_sent, .. } = &mut tunnel.phase else { return };
        match outcome {
            Ok(proof) => {
                *has_sent = true;
                link.session.send(FrameKind::Proof, &control::encode(&proof));
                self.conns.touch(id.conn());
            }
            Err(why) => self.fail_proof(id, &why, cx),
        }
    }

    /// Replaces each tunnel, before whoever issued the former token takes it back: by another one that is
    /// proved anew. Until that one is there the old one serves: the ingress may not know the new token yet.
    pub(crate) fn renew_tunnels(&mut self, cx: &mut Context<'_>) {
        self.redial_anew(cx);
        for serial in self.ledger.lasting() {
            if let Some(slot) = self.slot_of(serial) {
                let since = self.ledger.renews(serial, cx.now);
                self.leave_oldest(cx);
                self.redial_for_move(slot, serial, since, NEW_TOKEN, cx);
            }
        }
        // Whoever waits for a welcome may have shown the former one.
        let is_proving = |tunnel: &Tunnel| matches!(tunnel.phase, Phase::Proving { .. });
        let unsure = self.tunnels.iter().filter(|(_, tunnel)| is_proving(tunnel));
        let unsure: Vec<_> = unsure.map(|(id, _)| *id).collect();
        for id in unsure {
            self.close_tunnel(id, close::NORMAL, NEW_TOKEN, cx);
        }
    }

    /// The ingress does not take this agent, or not any more.
    pub(crate) fn refused(&mut self, id: TunnelId, payload: &[u8], cx: &mut Context<'_>) {
        let (code, why) = read_refusal(payload);
        let phase = self.tunnels.get(&id).map(|tunnel| &tunnel.phase);
        let has_proved = matches!(phase, Some(Phase::Proving { has_sent: true, .. }));
        // AWS may have taken credentials back long before their time, and only the ingress hears of that. A
        // search for them that is under way is still needed.
        self.was_proof_refused |= has_proved && code == RefusalCode::Unauthenticated;
        self.complain(&format!("the ingress refused this agent: {why}"));
        self.close_tunnel(id, close::NORMAL, &why, cx);
    }

    fn check(&self, challenge: &Challenge) -> Result<(), String> {
        if self.config.identity == Identity::Skip {
            return Err("the ingress asks for a proof of identity, and --skip-iam-validation \
                        keeps this agent from giving one"
                .to_owned());
        }
        let Challenge { server_id, .. } = challenge;
        let expected = &self.config.server_id;
        if !server_id.eq_ignore_ascii_case(expected) {
            let server_id = control::shorten(server_id, NAME_CHARS_MAX);
            return Err(format!(
                "the ingress calls itself {server_id:?}, and this agent dialled {expected:?}: \
                 proving its identity to a stranger would let that one pose as this agent; if it \
                 is the right ingress, set --server-id here, or there"
            ));
        }
        Ok(())
    }

    fn fail_proof(&mut self, id: TunnelId, why: &str, cx: &mut Context<'_>) {
        self.complain(why);
        self.close_tunnel(id, close::NORMAL, "no proof of identity", cx);
    }
}
