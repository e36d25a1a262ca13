//! Makes proofs of identity, on a helper thread: from a token, or from AWS credentials.

use mesh_protocol::control::{Proof, TokenProof};
use mesh_protocol::proof;
use mesh_settings::read_text;

use crate::identity::{Answer, Job, Question};

/// What this agent can prove its identity with.
#[derive(Debug)]
pub(super) struct Prover {
    token: Option<TokenSource>,
}

/// Where the token is.
pub(super) enum TokenSource {
    /// In the variable `MESH_TOKEN`.
    Variable(String),
    /// In this file, which is read for each proof: it may be replaced at any time.
    File(String),
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Variable(_) => f.write_str("Variable"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl Prover {
    pub(super) const fn new(token: Option<TokenSource>) -> Self {
        Self { token }
    }

    /// Does a job of the agent.
    pub(super) fn work(&self, job: Job) -> Answer {
        match job {
            Job::Prove { conn, question } => {
                Answer::Proved { conn, outcome: self.prove(&question) }
            }
        }
    }

    fn prove(&self, question: &Question) -> Result<Proof, String> {
        match &self.token {
            Some(source) if question.takes(proof::TOKEN) => {
                let token = source.read()?;
                Ok(Proof::Token(TokenProof::make(&token, &question.binding())))
            }
            Some(_) | None => Err(self.nothing_to_offer(question)),
        }
    }

    fn nothing_to_offer(&self, question: &Question) -> String {
        let asked = question.methods.join(" or ");
        match self.token {
            Some(_) => format!("the ingress takes no tokens, but {asked}"),
            None => format!(
                "the ingress asks for a proof of identity ({asked}), and this agent has none: give \
                 a token with --token-file or MESH_TOKEN"
            ),
        }
    }
}

impl TokenSource {
    fn read(&self) -> Result<String, String> {
        let text = match self {
            Self::Variable(token) => token.clone(),
            Self::File(path) => {
                read_text(path, "--token-file").map_err(|error| error.to_string())?
            }
        };
        let token = text.trim();
        if token.is_empty() {
            return Err("the token is empty".to_owned());
        }
        Ok(token.to_owned())
    }
}
