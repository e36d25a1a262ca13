//! An agent made by hand up to its challenge, which answers that with whatever the test wants, as
//! it comes from botocore or not.

use std::net::SocketAddr;

use mesh_protocol::proof;
use serde_json::{Value, json};

use crate::aws::botocore::Unsigned;
use crate::aws::seed::Identity;
use crate::peers::frames::{CHALLENGE, ECHO, ECHO_REPLY, HELLO, REFUSED, WELCOME};
use crate::peers::raw_agent::RawAgent;
use crate::stage::REGION;

/// The frame with which a challenge is answered.
pub(crate) const PROOF: u8 = 0x05;

/// An agent that was challenged.
#[derive(Debug)]
pub(crate) struct Challenged {
    pub(crate) agent: RawAgent,
    pub(crate) server_id: String,
    pub(crate) nonce: String,
    /// The digest of what it said.
    pub(crate) hello: String,
}

/// A REFUSED: its code and its reason.
pub(crate) type Refused = (String, String);

impl Challenged {
    /// An agent for this host.
    pub(crate) fn at(address: SocketAddr, host: &str) -> Self {
        Self::saying(address, &hello(&[host]))
    }

    /// An agent that says this in its HELLO.
    pub(crate) fn saying(address: SocketAddr, hello: &Value) -> Self {
        let mut agent = RawAgent::connect(address);
        let said = hello.to_string();
        agent.send(HELLO, 0, 0, said.as_bytes());
        let challenge: Value = serde_json::from_slice(&agent.expect(CHALLENGE).payload).unwrap();
        let text = |name: &str| challenge[name].as_str().unwrap().to_owned();
        let hello = proof::digest_hello(said.as_bytes());
        Self { agent, server_id: text("server_id"), nonce: text("nonce"), hello }
    }

    /// The request to STS that proves who it is, to be signed by botocore.
    pub(crate) fn question(&self) -> Unsigned {
        Unsigned::sts(
            REGION,
            &[
                (proof::SERVER_ID_HEADER, &self.server_id),
                (proof::NONCE_HEADER, &self.nonce),
                (proof::HELLO_HEADER, &self.hello),
            ],
        )
    }

    /// A proof that is right.
    pub(crate) fn prove(&self, identity: &Identity) -> Value {
        proof_of(self.question(), identity)
    }

    /// Answers the challenge with that.
    pub(crate) fn answer(mut self, proof: &Value) -> Outcome {
        self.agent.send(PROOF, 0, 0, proof.to_string().as_bytes());
        outcome(self.agent)
    }
}

/// What became of an agent: one that is registered, or its refusal.
pub(crate) type Outcome = Result<RawAgent, Refused>;

/// Waits for the decision.
pub(crate) fn outcome(mut agent: RawAgent) -> Outcome {
    while let Some(frame) = agent.next() {
        match frame.kind {
            WELCOME => return Ok(agent),
            REFUSED => {
                let refused: Value = serde_json::from_slice(&frame.payload).unwrap();
                let text = |name: &str| refused[name].as_str().unwrap().to_owned();
                return Err((text("code"), text("reason")));
            }
            ECHO => agent.send(ECHO_REPLY, 0, 0, &frame.payload),
            _ => {}
        }
    }
    panic!("the ingress went away without a decision");
}

/// The request as botocore signs it, as a PROOF.
pub(crate) fn proof_of(unsigned: Unsigned, identity: &Identity) -> Value {
    let (host, region) = (unsigned.host.clone(), unsigned.region.clone());
    let signed = unsigned.sign(identity).unwrap();
    let (_, signature) = signed.authorization().rsplit_once("Signature=").unwrap();
    let mut proof = json!({
        "method": "iam",
        "host": host,
        "region": region,
        "access_key_id": identity.access_key_id,
        "date": signed.headers["x-amz-date"],
        "signature": signature,
    });
    if let Some(token) = &identity.session_token {
        proof["security_token"] = token.as_str().into();
    }
    proof
}

/// The HELLO of an agent for these hosts.
pub(crate) fn hello(hosts: &[&str]) -> Value {
    json!({ "version": "0", "hosts": hosts, "window": 65536, "streams": 100, "healthy": true })
}

/// The code and the reason of a refusal that has to be.
pub(crate) fn refusal(outcome: Outcome) -> Refused {
    outcome.expect_err("it must not be registered")
}
