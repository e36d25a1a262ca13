//! Whether an agent may register what it asks for: from its HELLO to the decision.
//!
//! ```text
//!   HELLO --> is it sound? --> nothing configured: loopback, or anyone -------------> register
//!                          `-> a certificate of its own ---> policy ----------------> register
//!                          `-> CHALLENGE --> PROOF by token ------> policy ---------> register
//!                                        `-> PROOF by IAM --> STS --> policy -------> register
//!                                                                        `--> ECS --> register
//! ```
//!
//! What the network learns: before an identity is proved, nothing about rules or hosts. After
//! that, the agent's operator is told exactly what was refused to whom.

use mesh_protocol::control::{self, Challenge, Hello, IamProof, Proof, RefusalCode, TokenProof};
use mesh_protocol::mux::FrameKind;
use mesh_protocol::{ConnId, Connection, Context, Duplex};

use crate::application::{Applicant, Application, Step};
use crate::config::Admission;
use crate::identity::{
    AwsPrincipal, Claim, Decision, EcsSubject, Method, Policy, Principal, sts_request,
};
use crate::ingress::{Conn, Ingress};
use crate::jobs::{Authority, EcsInquiry, Failure, Job, StsIdentity};
use crate::registration::{Phase, Refusal, Registration};
use crate::routes;
use crate::verification::EcsStanding;

/// Earlier tunnels that an agent may name as kept; ours have two at the most. One that names more counts as
/// one that keeps them all.
const KEPT_MAX: usize = 16;
/// The longest name of an agent's process; ours have 32 characters.
const PROCESS_BYTES_MAX: usize = 64;
/// The longest name that ECS has, and that our agents take. A service's is in each line of
/// `/metrics` about its hosts.
const NAME_BYTES_MAX: usize = 255;
/// As long as AWS says that an ARN can be. A cluster may be one.
const ARN_BYTES_MAX: usize = 2048;
/// So much of a host name that is none is repeated; the longest name has 253 characters.
const SHOWN_CHARS_MAX: usize = 256;

/// By what right an agent is registered.
#[derive(Debug, Default)]
pub struct Standing {
    /// Who it proved to be; nobody where nothing had to be proved.
    pub principal: Option<Principal>,
    /// The token that it proved it with. A token that is withdrawn ends the registration.
    pub(crate) token: Option<String>,
    /// What ECS says of it, where the rules ask for that.
    pub(crate) ecs: Option<EcsStanding>,
}

/// The kind of proof by which an agent is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofKind {
    /// Nothing had to be proved.
    None,
    /// A request to STS.
    Iam,
    /// A token.
    Token,
    /// A certificate.
    Certificate,
}

impl ProofKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::Iam, Self::Token, Self::Certificate];

    /// The word in metrics, on pages and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Iam => "iam",
            Self::Token => "token",
            Self::Certificate => "certificate",
        }
    }
}

impl Standing {
    /// The kind of proof.
    #[must_use]
    pub const fn proof(&self) -> ProofKind {
        match self.principal {
            None => ProofKind::None,
            Some(Principal::Aws(_)) => ProofKind::Iam,
            Some(Principal::Token { .. }) => ProofKind::Token,
            Some(Principal::Certificate { .. }) => ProofKind::Certificate,
        }
    }
}

impl Ingress {
    /// An agent said hello.
    pub(crate) fn introduce(
        &mut self,
        conn: ConnId,
        hello: Hello,
        digest: String,
        cx: &mut Context<'_>,
    ) {
        let checked = self.check_hello(&hello);
        let Some((registration, _)) = self.registration(conn) else { return };
        let peer = registration.peer;
        let hosts = checked.clone().unwrap_or_default();
        let kept = if hello.kept.len() > KEPT_MAX { Vec::new() } else { hello.kept };
        let (hello, introduced) = (Hello { hosts, kept, ..hello }, cx.now);
        let applicant = Applicant { hello, introduced, digest };
        registration.phase = Phase::Applying(Application { applicant, step: Step::Introduced });
        if let Err(reason) = checked {
            let refusal = Refusal::new(RefusalCode::Invalid, reason);
            return self.refuse_agent(conn, None, &refusal, cx);
        }
        match &self.config.admission {
            Admission::Loopback if !peer.ip().to_canonical().is_loopback() => {
                let refusal = Refusal::new(
                    RefusalCode::Unauthenticated,
                    "no authentication is configured at the ingress, so it accepts agents from \
                     loopback addresses only",
                );
                self.refuse_agent(conn, None, &refusal, cx);
            }
            Admission::Loopback => self.register(conn, Standing::default(), cx),
            Admission::Anyone => {
                log::warn!("the agent from {peer} registers without any authentication");
                self.register(conn, Standing::default(), cx);
            }
            Admission::Policy(_) => self.ask_identity(conn, cx),
        }
    }

    /// The hosts that an agent asks for, normalised, if that makes sense.
    fn check_hello(&self, hello: &Hello) -> Result<Vec<String>, String> {
        if hello.hosts.is_empty() {
            return Err("no host to register".to_owned());
        }
        check_names(hello)?;
        let (count, max) = (hello.hosts.len(), self.config.limits.hosts_per_tunnel);
        if count > max {
            return Err(format!(
                "{count} hosts are too many: this ingress accepts {max} per agent"
            ));
        }
        let normalize = |host: &String| {
            let pattern = routes::normalize(host);
            // Strangers choose it, and it goes into the log.
            let shown = || host.chars().take(SHOWN_CHARS_MAX).collect::<String>();
            pattern.ok_or_else(|| format!("{:?} is no host name or pattern", shown()))
        };
        let mut hosts: Vec<_> = hello.hosts.iter().map(normalize).collect::<Result<_, _>>()?;
        hosts.sort_unstable();
        hosts.dedup();
        if hello.window == 0 || hello.streams == 0 {
            return Err("window and streams must not be 0".to_owned());
        }
        Ok(hosts)
    }

    /// A certificate may settle it; otherwise the agent is challenged.
    fn ask_identity(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let Some(connection) = self.conns.get(conn) else { return };
        let names = connection.io.peer_names.as_deref().filter(|names| !names.is_empty());
        let certificate = names.map(|names| Principal::Certificate { names: names.to_vec() });
        let Some((policy, application)) = self.applying(conn) else { return };
        let methods = policy.methods();
        let decision = certificate.as_ref().map(|one| policy.decide(one, &application.claim()));
        let refusal = match decision {
            Some(Decision::Granted) => {
                let standing = Standing { principal: certificate, ..Standing::default() };
                return self.register(conn, standing, cx);
            }
            Some(Decision::Denied(reason)) => Refusal::new(RefusalCode::Forbidden, reason),
            // Where certificates are asked for, nobody gets so far without one. As a rule a file of tokens is lost.
            None if connection.io.peer_names.is_none() => Refusal::new(
                RefusalCode::Unauthenticated,
                "the ingress has no token and no rule about an AWS identity, so that no agent can \
                 prove who it is",
            ),
            Some(Decision::NeedsEcs(_)) | None => Refusal::new(
                RefusalCode::Unauthenticated,
                "the ingress accepts client certificates only, and this agent has shown none with \
                 a host name in it",
            ),
        };
        if methods.is_empty() {
            return self.refuse_agent(conn, certificate.as_ref(), &refusal, cx);
        }
        self.challenge(conn, methods.iter().map(|method| method.as_str().to_owned()).collect());
    }

    fn challenge(&mut self, conn: ConnId, methods: Vec<String>) {
        let nonce = self.verifier.nonce(&self.config.identity.nonce_key);
        let server_ids = &self.config.identity.server_ids;
        let Some(Connection { state: Conn::Registration(registration), .. }) =
            self.conns.get_mut(conn)
        else {
            return;
        };
        // Of several names, the one by which this agent knows us. Others prove nothing to it.
        let known = server_ids.iter().find(|name| **name == registration.dialled);
        let server_id = known.or_else(|| server_ids.first()).cloned().unwrap_or_default();
        let challenge = Challenge { server_id: server_id.clone(), nonce: nonce.clone(), methods };
        registration.link.session.send(FrameKind::Challenge, &control::encode(&challenge));
        if let Phase::Applying(application) = &mut registration.phase {
            application.step = Step::Challenged { server_id, nonce };
        }
    }

    /// An agent answered its challenge.
    pub(crate) fn examine(&mut self, conn: ConnId, proof: &Proof, cx: &mut Context<'_>) {
        let refused = match proof {
            Proof::Token(proof) => self.examine_token(conn, proof, cx),
            Proof::Iam(proof) => self.examine_iam(conn, proof),
            Proof::Other => Err("the ingress does not know this kind of proof".to_owned()),
        };
        if let Err(reason) = refused {
            let refusal = Refusal::new(RefusalCode::Unauthenticated, reason);
            self.refuse_agent(conn, None, &refusal, cx);
        }
    }

    fn examine_token(
        &mut self,
        conn: ConnId,
        proof: &TokenProof,
        cx: &mut Context<'_>,
    ) -> Result<(), String> {
        let Some((policy, application)) = self.applying(conn) else { return Ok(()) };
        let Some(binding) = application.binding() else { return Ok(()) };
        let holder = policy.holder(proof, &binding);
        let principal = holder.ok_or("the ingress does not know this agent's token")?;
        self.decide(conn, principal, Some(proof.id.clone()), cx);
        Ok(())
    }

    fn examine_iam(&mut self, conn: ConnId, proof: &IamProof) -> Result<(), String> {
        let Some((policy, application)) = self.applying(conn) else { return Ok(()) };
        let Some(binding) = application.binding() else { return Ok(()) };
        if !policy.methods().contains(&Method::Iam) {
            return Err("the ingress accepts no proof by IAM".to_owned());
        }
        let request = sts_request(proof, &binding, self.config.identity.sts_host.as_deref())?;
        let since = self.now;
        let Some(application) = self.application_mut(conn) else { return Ok(()) };
        application.step = Step::Identifying { since };
        self.jobs.push(Job::Identify { conn, request, date: proof.date.clone() });
        Ok(())
    }

    /// STS told who made a proof, or not.
    pub(crate) fn identified(
        &mut self,
        conn: ConnId,
        outcome: Result<StsIdentity, Failure>,
        cx: &mut Context<'_>,
    ) {
        self.metrics.checked(Authority::Sts, outcome.as_ref().err());
        if let Err(Failure::Unreachable(_)) = outcome {
            self.note_sts_failure();
        }
        let application = self.application_mut(conn);
        if !application.is_some_and(|one| matches!(one.step, Step::Identifying { .. })) {
            return;
        }
        let principal = match outcome {
            Ok(StsIdentity { arn, account }) => AwsPrincipal::parse(&arn, &account)
                .map_err(|reason| Refusal::new(RefusalCode::Forbidden, reason)),
            Err(
                Failure::Refused(reason) | Failure::Invalid(reason) | Failure::StaleProof(reason),
            ) => Err(Refusal::new(RefusalCode::Unauthenticated, reason)),
            Err(Failure::Unreachable(reason)) => {
                log::warn!("STS cannot be asked who an agent is: {reason}");
                let reason = "the ingress cannot ask STS who this agent is";
                Err(Refusal::new(RefusalCode::Unavailable, reason))
            }
        };
        match principal {
            Ok(principal) => self.decide(conn, Principal::Aws(principal), None, cx),
            Err(refusal) => self.refuse_agent(conn, None, &refusal, cx),
        }
    }

    /// An identity is proved: what may it register?
    fn decide(
        &mut self,
        conn: ConnId,
        principal: Principal,
        token: Option<String>,
        cx: &mut Context<'_>,
    ) {
        let now = self.now;
        let Some((policy, application)) = self.applying(conn) else { return };
        let since = application.verifying_since().unwrap_or(now);
        let claim = application.claim();
        let outcome = match policy.decide(&principal, &claim) {
            Decision::Granted => Ok(None),
            Decision::Denied(reason) => Err(reason),
            Decision::NeedsEcs(requirement) => {
                subject(&principal, &claim).map(|subject| Some(EcsInquiry { subject, requirement }))
            }
        };
        match outcome {
            Ok(None) => {
                let standing = Standing { principal: Some(principal), token, ecs: None };
                self.register(conn, standing, cx);
            }
            Ok(Some(asked)) => self.inspect(conn, principal, asked, since),
            Err(reason) => {
                let refusal = Refusal::new(RefusalCode::Forbidden, reason);
                self.refuse_agent(conn, Some(&principal), &refusal, cx);
            }
        }
    }

    /// An agent whose connection became a WebSocket.
    pub(crate) fn registration(
        &mut self,
        conn: ConnId,
    ) -> Option<(&mut Registration, &mut Duplex)> {
        let Connection { io, state: Conn::Registration(registration) } =
            self.conns.get_mut(conn)?
        else {
            return None;
        };
        Some((registration, io))
    }

    /// An agent that has introduced itself, to be worked on.
    pub(crate) fn application_mut(&mut self, conn: ConnId) -> Option<&mut Application> {
        match &mut self.registration(conn)?.0.phase {
            Phase::Applying(application) => Some(application),
            Phase::Greeting | Phase::Over => None,
        }
    }

    /// An agent that has introduced itself, and the policy that it is measured by.
    pub(crate) fn applying(&self, conn: ConnId) -> Option<(&Policy, &Application)> {
        let Admission::Policy(policy) = &self.config.admission else { return None };
        match self.conns.state(conn)? {
            Conn::Registration(registration) => Some((policy, registration.application()?)),
            Conn::Downstream(_) | Conn::Admin(_) | Conn::Tunnel | Conn::Moving(_) => None,
        }
    }
}

/// Whether what an agent says of itself are names, of which pages and logs can make one line.
fn check_names(hello: &Hello) -> Result<(), String> {
    let names = [
        ("process", &hello.process, PROCESS_BYTES_MAX),
        ("version", &hello.version, NAME_BYTES_MAX),
        ("service", &hello.service, NAME_BYTES_MAX),
        ("instance", &hello.instance, NAME_BYTES_MAX),
        ("cluster", &hello.cluster, ARN_BYTES_MAX),
        ("task", &hello.task, ARN_BYTES_MAX),
        ("container instance", &hello.container_instance, ARN_BYTES_MAX),
    ];
    for (what, name, max) in names {
        if name.len() > max {
            return Err(format!("the name of the {what} is too long"));
        }
        if name.chars().any(char::is_control) {
            return Err(format!("the name of the {what} has control characters"));
        }
    }
    Ok(())
}

/// What ECS can be asked about an identity.
pub(crate) fn subject(principal: &Principal, claim: &Claim<'_>) -> Result<EcsSubject, String> {
    match principal {
        Principal::Aws(principal) => EcsSubject::new(principal, claim),
        Principal::Token { .. } | Principal::Certificate { .. } => {
            Err(format!("ECS knows nothing of {principal}"))
        }
    }
}
