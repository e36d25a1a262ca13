//! ECS, which knows the tasks, services and hosts of a cluster.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::codes::{self, Complaint, ends_credentials, is_code, is_throttling};
use crate::http::{Answer, Client, HttpError, Limits};
use crate::sign::{self, Scope, Unsigned};
use crate::{Chain, CredentialsError, Endpoint, Environment, SetupError};

/// Asks ECS.
#[derive(Debug)]
pub struct Ecs {
    client: Client,
    endpoint: Endpoint,
}

/// Why ECS did not answer the question. Codes are AWS's words: letters, digits and dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EcsFailure {
    /// Our credentials do not suffice: the operator's concern.
    Denied {
        /// Such as `AccessDeniedException`.
        code: String,
        /// AWS's explanation, which names the right that lacks. At most 500 characters.
        message: String,
    },
    /// The question is wrong, such as `ClusterNotFoundException`.
    Refused {
        /// AWS's word for it.
        code: String,
        /// AWS's explanation, at most 500 characters.
        message: String,
    },
    /// ECS was not reached or had trouble of its own: a sentence. Another try may do better.
    Unreachable(String),
    /// There is nothing to sign with.
    Credentials(CredentialsError),
    /// What answered is not ECS as it is known: a sentence.
    Unexpected(String),
}

/// The description of 100 tasks, which is the most that one question may be about, is some
/// hundred KiB.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    total: Duration::from_secs(15),
    answer_bytes_max: 4 * 1024 * 1024,
};

impl Ecs {
    /// A client of ECS at `endpoint`.
    ///
    /// # Errors
    /// `AWS_CA_BUNDLE` names no readable list of certificates.
    pub fn new(environment: &Environment, endpoint: Endpoint) -> Result<Self, SetupError> {
        Ok(Self { client: Client::new(environment, LIMITS)?, endpoint })
    }

    /// Calls an operation, such as `DescribeTasks`. Blocks for up to 15 s, and for credentials.
    ///
    /// # Errors
    /// See [`EcsFailure`]. Credentials that are good no more are forgotten.
    pub fn call<T: DeserializeOwned>(
        &self,
        chain: &Chain,
        operation: &str,
        body: &serde_json::Value,
        now: SystemTime,
    ) -> Result<T, EcsFailure> {
        let credentials = chain.get(now).map_err(EcsFailure::Credentials)?;
        let body = body.to_string();
        let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("host", self.endpoint.host.as_str()),
            ("x-amz-target", target.as_str()),
        ];
        let url = format!("{}/", self.endpoint.url);
        let request =
            Unsigned { method: "POST", url: &url, headers: &headers, body: body.as_bytes() };
        let scope = Scope { region: self.endpoint.region.as_str(), service: "ecs", now };
        let signature = sign::sign(&credentials, scope, request)
            .map_err(|error| EcsFailure::Unexpected(error.to_string()))?;
        let answer = self
            .client
            .post(&url, &signature.with(&headers), body.as_bytes())
            .map_err(|error| self.unanswered(operation, &error))?;
        if answer.status == 200 {
            return serde_json::from_slice(&answer.body)
                .map_err(|_| self.unexpected(operation, "answers with other JSON than expected"));
        }
        let failure = self.refusal(operation, &answer, credentials.session_token.as_deref());
        if matches!(&failure, EcsFailure::Denied { code, .. } if ends_credentials(code)) {
            chain.forget();
        }
        Err(failure)
    }

    fn unanswered(&self, operation: &str, error: &HttpError) -> EcsFailure {
        let sentence = format!("ECS {operation} at {}: {error}", self.endpoint.url);
        match error {
            HttpError::Connection(_) | HttpError::Timeout(_) | HttpError::Tls(_) => {
                EcsFailure::Unreachable(sentence)
            }
            HttpError::TooLarge(_) | HttpError::NotHttp | HttpError::Unsendable => {
                EcsFailure::Unexpected(sentence)
            }
        }
    }

    fn unexpected(&self, operation: &str, what: &str) -> EcsFailure {
        EcsFailure::Unexpected(format!("ECS {operation} at {} {what}", self.endpoint.url))
    }

    fn refusal(&self, operation: &str, answer: &Answer, token: Option<&str>) -> EcsFailure {
        let status = answer.status;
        let explained = |it: Complaint| (it.code, codes::explanation(&it.message, token));
        let (code, message) = complaint(&answer.body).map(explained).unzip();
        let passes =
            matches!(status, 429 | 500..=599) || code.as_deref().is_some_and(is_throttling);
        match (status, code) {
            (400..=599, code) if passes => {
                let code = code.map_or_else(String::new, |code| format!(" ({code})"));
                let url = &self.endpoint.url;
                EcsFailure::Unreachable(format!("ECS {operation} at {url} answers {status}{code}"))
            }
            (400..=499, Some(code)) => {
                let message = message.unwrap_or_default();
                if status == 401 || status == 403 || is_denial(&code) {
                    EcsFailure::Denied { code, message }
                } else {
                    EcsFailure::Refused { code, message }
                }
            }
            (_, _) => self.unexpected(operation, &format!("answers {status} without a reason")),
        }
    }
}

/// Code and message in the JSON of a refusal, or in the XML that some put in its place.
fn complaint(body: &[u8]) -> Option<Complaint> {
    #[derive(Deserialize)]
    struct Fields {
        #[serde(rename = "__type")]
        kind: String,
        // Under either name, or under both.
        #[serde(default)]
        message: Option<String>,
        #[serde(default, rename = "Message")]
        capital: Option<String>,
    }
    let Ok(Fields { kind, message, capital }) = serde_json::from_slice(body) else {
        return codes::complaint(body);
    };
    // Some services put a namespace before the name.
    let code = kind.rsplit('#').next().unwrap_or_default();
    let message = message.or(capital).unwrap_or_default();
    is_code(code).then(|| Complaint { code: code.to_owned(), message })
}

/// Whether the code is about who asks rather than about what is asked.
fn is_denial(code: &str) -> bool {
    matches!(
        code,
        "AccessDenied"
            | "AccessDeniedException"
            | "BlockedException"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "InvalidSignatureException"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "NotAuthorized"
            | "OptInRequired"
            | "SignatureDoesNotMatch"
            | "UnauthorizedException"
    ) || ends_credentials(code)
}

impl fmt::Display for EcsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied { code, message } if message.is_empty() => {
                write!(f, "ECS denies it with {code}")
            }
            Self::Denied { code, message } => write!(f, "ECS denies it with {code}: {message}"),
            Self::Refused { code, message } => write!(f, "ECS refuses with {code}: {message}"),
            Self::Unreachable(sentence) | Self::Unexpected(sentence) => f.write_str(sentence),
            Self::Credentials(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EcsFailure {}

#[cfg(test)]
mod tests;
