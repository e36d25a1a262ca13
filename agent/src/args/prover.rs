//! Makes proofs of identity, on a helper thread: from a token, or from AWS credentials.

#![expect(
    clippy::disallowed_types,
    reason = "helper threads share the token, and the loop is not in it"
)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_protocol::control::{Proof, TokenProof};
use mesh_protocol::proof;
use mesh_settings::{Error, NamedFile, Settings};

#[cfg(feature = "aws")]
use super::aws::Aws;
#[cfg(feature = "aws")]
use crate::identity::Place;
use crate::identity::{Answer, Job, Question};

/// What this agent can prove its identity with.
#[derive(Debug)]
pub(super) struct Prover {
    pub(super) token: Option<TokenSource>,
    /// AWS, or what is wrong with its settings.
    #[cfg(feature = "aws")]
    pub(super) aws: Result<Aws, String>,
    /// What the operator says of where this agent is.
    #[cfg(feature = "aws")]
    pub(super) given: Place,
}

/// Where the token is.
#[derive(Clone)]
pub enum TokenSource {
    /// In the variable `MESH_TOKEN`.
    Variable(String),
    /// In a file, which is read for each proof: it may be replaced at any time.
    File(TokenFile),
    /// Read from a pipe, which has it once.
    Kept(String),
}

/// A file with a token, and the token that was last found in it.
#[derive(Clone)]
pub struct TokenFile {
    file: NamedFile,
    /// All clones have the same.
    last: Arc<Mutex<Option<String>>>,
}

/// Tokens stay out of logs.
impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Variable(_) => f.write_str("Variable"),
            Self::Kept(_) => f.write_str("Kept"),
            Self::File(file) => f.debug_tuple("File").field(&file.path()).finish(),
        }
    }
}

impl TokenSource {
    /// Reads where the token is.
    pub(super) fn read_from(settings: &mut Settings) -> Result<Option<Self>, Error> {
        let (file, variable) = (settings.file("token-file")?, settings.secret("token"));
        Ok(match (file, variable) {
            (Some(_), Some(_)) => {
                return Err(settings.clash(
                    "token-file",
                    "token",
                    "there are two tokens, this and",
                ));
            }
            (Some(file), None) => Some(Self::from(file)),
            (None, Some(token)) => Some(Self::Variable(token)),
            (None, None) => None,
        })
    }

    /// Looks whether there is a token, and keeps it if it could not be read again.
    pub(super) fn check(&mut self) -> Result<(), String> {
        let token = self.read()?;
        match self {
            Self::File(TokenFile { file, .. }) if !file.can_be_read_again() => {
                *self = Self::Kept(token)
            }
            Self::File(_) | Self::Variable(_) | Self::Kept(_) => {}
        }
        Ok(())
    }

    /// The token to prove with: what is there now, or what was there last if that is none.
    pub(super) fn token(&self) -> Result<String, String> {
        let present = self.read();
        let Self::File(file) = self else { return present };
        present.or_else(|lack| file.last().clone().ok_or(lack))
    }

    /// The token as it is now.
    pub(super) fn read(&self) -> Result<String, String> {
        match self {
            Self::Variable(token) => check(token, "MESH_TOKEN"),
            Self::File(file) => file.read(),
            Self::Kept(token) => Ok(token.clone()),
        }
    }
}

impl From<NamedFile> for TokenSource {
    fn from(file: NamedFile) -> Self {
        Self::File(TokenFile { file, last: Arc::default() })
    }
}

impl TokenFile {
    /// Where it is, as the user wrote it.
    pub(super) fn path(&self) -> &str {
        self.file.path()
    }

    fn read(&self) -> Result<String, String> {
        let text = self.file.read().map_err(|error| error.to_string())?;
        let token = check(&text, &format!("{}: {}", self.file.culprit(), self.path()))?;
        self.last().replace(token.clone());
        Ok(token)
    }

    fn last(&self) -> MutexGuard<'_, Option<String>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token that this text is.
fn check(text: &str, culprit: &str) -> Result<String, String> {
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("{culprit} holds no token: a token is one word of printable ASCII"));
    }
    // The ingress knows no others, so it could only be refused.
    if !(proof::TOKEN_BYTES_MIN..=proof::TOKEN_BYTES_MAX).contains(&token.len()) {
        return Err(format!(
            "{culprit} holds no token: its word has {} characters, and tokens have {} to {}",
            token.len(),
            proof::TOKEN_BYTES_MIN,
            proof::TOKEN_BYTES_MAX
        ));
    }
    Ok(token.to_owned())
}

impl Prover {
    /// Does a job of the agent.
    pub(super) fn do_job(&self, job: Job) -> Answer {
        match job {
            Job::Prove { conn, question, anew } => {
                Answer::Proved { conn, outcome: self.prove(&question, anew) }
            }
        }
    }

    /// Where this agent is, as far as that can be known anew.
    #[cfg(feature = "aws")]
    pub(super) fn place(&self) -> Option<Place> {
        // Whoever gives a token does not mean AWS.
        let aws = self.aws.as_ref().ok().filter(|_| self.token.is_none())?;
        aws.place().map(|place| place.overridden_by(&self.given))
    }

    /// A token is there because somebody wanted it to be used, and is read for each proof; AWS credentials
    /// may just be there.
    fn prove(&self, question: &Question, anew: bool) -> Result<Proof, String> {
        match &self.token {
            Some(source) if question.takes(proof::TOKEN) => {
                Ok(Proof::Token(TokenProof::make(&source.token()?, &question.binding())))
            }
            Some(_) | None if question.takes(proof::IAM) => self.prove_by_aws(question, anew),
            Some(_) => Err(format!(
                "the ingress takes no tokens, but {}: this agent has nothing else to prove its \
                 identity with",
                question.methods.join(" or ")
            )),
            None => Err(format!(
                "the ingress asks for a proof of identity ({}), and this agent has none: give a \
                 token with --token-file or MESH_TOKEN",
                question.methods.join(" or ")
            )),
        }
    }

    #[cfg(feature = "aws")]
    fn prove_by_aws(&self, question: &Question, anew: bool) -> Result<Proof, String> {
        self.aws.as_ref().map_err(Clone::clone)?.prove(question, anew)
    }

    #[cfg(not(feature = "aws"))]
    fn prove_by_aws(&self, _: &Question, _: bool) -> Result<Proof, String> {
        Err("the ingress asks for a proof by IAM, and this agent was built without AWS".to_owned())
    }
}

#[cfg(test)]
mod tests;
