//! An ingress that asks for identities, an honest agent in it, and strangers before it that speak
//! `mesh.v1` by hand.

use mesh_protocol::control::{Challenge, IamProof, Proof, TokenProof};
use mesh_protocol::proof::{Binding, digest_hello};

use crate::harness::binaries::MESH;
use crate::peers::caller::HOST;
use crate::peers::frames::{CHALLENGE, ECHO, ECHO_REPLY, HELLO, PROOF, REFUSED, WELCOME};
use crate::peers::papers::Folder;
use crate::peers::place::own_ip;
use crate::peers::process::{Process, Server};
use crate::peers::raw_agent::{RawAgent, hello};
use crate::peers::service::Service;
use crate::tokens::{ONE, start_agent, words};

/// What agents dial, as far as the ingress knows.
pub(crate) const SERVER_ID: &str = "mesh.example.com";
/// A token for [`TENANT`] and nothing else.
pub(crate) const TENANT_TOKEN: &str = "7e9c1a55b0d84c6fa1f2d3e4b5a69788";
pub(crate) const TENANT: &str = "tenant.test";
/// The role that may register [`ROLE_HOST`].
pub(crate) const ROLE: &str = "arn:aws:sts::123456789012:assumed-role/secret-role/session";
pub(crate) const ROLE_HOST: &str = "role.test";

/// What strangers have no business to learn.
const SECRETS: [&str; 7] =
    ["honest", "tenant-7", "secret-role", "123456789012", "rule", HOST, ROLE_HOST];

/// The ingress with tokens and a rule, and the honest agent.
pub(crate) struct Fortress {
    pub(crate) server: Server,
    pub(crate) honest: Process,
    pub(crate) service: Service,
    _folder: Folder,
}

impl Fortress {
    pub(crate) fn start(words_of_server: &[&str]) -> Self {
        let folder = Folder::new(own_ip());
        let tokens = format!("honest {ONE} {HOST}\ntenant-7 {TENANT_TOKEN} {TENANT}\n");
        let rules = "rules:\n  - principal: arn:aws:iam::123456789012:role/secret-role\n    \
                     hosts: [role.test]\n";
        let (tokens, rules) = (folder.put("tokens", &tokens), folder.put("server.yaml", rules));
        let who = ["--server-id", SERVER_ID, "--token-file", &tokens, "--config", &rules];
        let server = Server::start(&[&who, words_of_server].concat());
        let service = Service::start("a");
        let dialling = words(&["--server-id", SERVER_ID], &[HOST]);
        let variables = [("MESH_TOKEN", ONE)];
        let honest = start_agent(MESH, server.tunnels, &service, &variables, &dialling);
        server.wait_available(1);
        // The ingress may know it before the agent's own line is here.
        honest.wait_log("registered ");
        Self { server, honest, service, _folder: folder }
    }

    pub(crate) fn stranger(&self) -> Stranger {
        Stranger::of(RawAgent::connect(self.server.tunnels))
    }

    /// The stranger is told one sentence that tells nothing, the operator one line, and that was
    /// it. What the sentence is.
    pub(crate) fn turned_away(&self, mut stranger: Stranger, case: &str) -> String {
        let from = stranger.agent.wire.stream().local_addr().unwrap();
        let sentence = stranger.refusal(case);
        stranger.agent.wait_end();
        for secret in SECRETS {
            assert!(!sentence.contains(secret), "{case}: {sentence}");
        }
        let line = format!("refused the agent from {from}");
        self.server.process.wait_log(&line);
        self.server.process.expect_log(&line, 1);
        assert_eq!(self.server.metric("mesh_tunnels", ""), 1, "{case}");
        sentence
    }

    /// Nobody came in, nothing broke, and the honest agent never noticed.
    pub(crate) fn assert_unharmed(&self) {
        self.server.wait_metric("mesh_tunnels", 1);
        assert_eq!(self.server.get("/").status, 200);
        assert_eq!(self.server.page("/health").status, 200);
        self.honest.expect_log("registered ", 1);
        assert_eq!(self.server.process.log_count("panicked"), 0);
        let lines = self.server.process.log();
        assert!(lines.lines().all(|line| line.starts_with("20")), "a forged line: {lines}");
    }

    /// Questions to STS so far, by the ingress's own account.
    pub(crate) fn asked_sts(&self) -> u64 {
        self.server.metric("mesh_identity_checks_total", r#"service="sts""#)
    }
}

/// Somebody who knows the protocol.
pub(crate) struct Stranger {
    pub(crate) agent: RawAgent,
    /// The HELLO that it sent.
    pub(crate) hello: String,
    pub(crate) challenge: Option<Challenge>,
}

impl Stranger {
    fn of(agent: RawAgent) -> Self {
        Self { agent, hello: String::new(), challenge: None }
    }

    /// Says hello for that host, and reads the challenge.
    pub(crate) fn greet(self, host: &str) -> Self {
        self.greet_with(&hello(host))
    }

    pub(crate) fn greet_with(mut self, hello: &str) -> Self {
        self.agent.send(HELLO, 0, 0, hello.as_bytes());
        let payload = self.agent.expect(CHALLENGE).payload;
        let challenge: Challenge = serde_json::from_slice(&payload).unwrap();
        assert_eq!(challenge.server_id, SERVER_ID);
        assert_eq!(challenge.methods, ["iam", "token"]);
        (self.hello, self.challenge) = (hello.to_owned(), Some(challenge));
        self
    }

    pub(crate) fn nonce(&self) -> &str {
        &self.challenge.as_ref().unwrap().nonce
    }

    /// A proof by that token for this very connection.
    pub(crate) fn token_proof(&self, token: &str) -> TokenProof {
        self.token_proof_for(token, SERVER_ID, self.nonce(), &self.hello)
    }

    pub(crate) fn token_proof_for(
        &self,
        token: &str,
        server_id: &str,
        nonce: &str,
        hello: &str,
    ) -> TokenProof {
        let hello = digest_hello(hello.as_bytes());
        TokenProof::make(token, &Binding { server_id, nonce, hello: &hello })
    }

    pub(crate) fn prove(&mut self, proof: Proof) {
        self.send_proof(&serde_json::to_vec(&proof).unwrap());
    }

    pub(crate) fn send_proof(&mut self, payload: &[u8]) {
        self.agent.send(PROOF, 0, 0, payload);
    }

    /// The reason in the REFUSED that has to come.
    pub(crate) fn refusal(&mut self, case: &str) -> String {
        let frame = loop {
            let frame = self.agent.next().unwrap_or_else(|| panic!("{case}: no reason"));
            if frame.kind != ECHO {
                break frame;
            }
            self.agent.send(ECHO_REPLY, 0, 0, &frame.payload);
        };
        assert_eq!(frame.kind, REFUSED, "{case}: {:?}", String::from_utf8_lossy(&frame.payload));
        String::from_utf8(frame.payload).unwrap()
    }

    /// It gets in.
    pub(crate) fn welcome(mut self) -> RawAgent {
        self.agent.expect(WELCOME);
        self.agent
    }
}

/// A proof by IAM with which nothing is wrong, for all that the ingress can see.
pub(crate) fn iam_proof() -> IamProof {
    IamProof {
        host: "sts.eu-central-1.amazonaws.com".to_owned(),
        region: "eu-central-1".to_owned(),
        access_key_id: "ASIAIOSFODNN7EXAMPLE".to_owned(),
        date: now(),
        security_token: Some("IQoJb3JpZ2luX2Vj".to_owned()),
        signature: "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7".to_owned(),
    }
}

/// This second, as in `20261120T161426Z`.
fn now() -> String {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    date(since)
}

/// Days since 1970 to a date (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
pub(crate) fn date(seconds: u64) -> String {
    let (days, time) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}
