//! Why STS did not say who somebody is, and whose fault that is.

use std::fmt;

use crate::CredentialsError;
use crate::codes::{complaint, ends_credentials, explanation, is_throttling};
use crate::http::{Answer, Client, HttpError};

/// Why there is no answer to who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StsFailure {
    /// STS says no: the signer's fault, and the same request will fare no better.
    Refused {
        /// AWS's word for it, such as `SignatureDoesNotMatch`: letters, digits and dots.
        code: String,
        /// The HTTP status, 4xx.
        status: u16,
        /// AWS's explanation, such as that the signature has expired; nothing where it would repeat
        /// what was sent. At most 500 characters.
        message: String,
    },
    /// STS was not reached or had trouble of its own: a sentence. Another try may do better.
    Unreachable(String),
    /// What answered is not STS as it is known: a sentence.
    Unexpected(String),
    /// There is nothing to sign with; only when asking for oneself.
    Credentials(CredentialsError),
}

/// Posts to STS and gives the body of a good answer. `token` is the one among what is sent that
/// must not be seen in a refusal.
pub(super) fn post(
    client: &Client,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
    token: Option<&str>,
) -> Result<Vec<u8>, StsFailure> {
    let answer = client.post(url, headers, body.as_bytes()).map_err(|error| {
        let sentence = format!("STS at {url}: {error}");
        match error {
            HttpError::Connection(_) | HttpError::Timeout(_) | HttpError::Tls(_) => {
                StsFailure::Unreachable(sentence)
            }
            HttpError::TooLarge(_) | HttpError::NotHttp | HttpError::Unsendable => {
                StsFailure::Unexpected(sentence)
            }
        }
    })?;
    match answer.status {
        200 => Ok(answer.body),
        _ => Err(refusal(url, &answer, token)),
    }
}

fn refusal(url: &str, answer: &Answer, token: Option<&str>) -> StsFailure {
    let status = answer.status;
    match (status, complaint(&answer.body)) {
        (429 | 500..=599, complaint) => {
            let code = complaint.map_or_else(String::new, |it| format!(" ({})", it.code));
            StsFailure::Unreachable(format!("STS at {url} answers {status}{code}"))
        }
        (400..=499, Some(it)) if is_throttling(&it.code) => {
            StsFailure::Unreachable(format!("STS at {url} answers {status} ({})", it.code))
        }
        (400..=499, Some(it)) => {
            StsFailure::Refused { message: explanation(&it.message, token), code: it.code, status }
        }
        (300..=399, _) => {
            StsFailure::Unexpected(format!("STS at {url} answers {status}, a redirect"))
        }
        (_, _) => StsFailure::Unexpected(format!("STS at {url} answers {status} without a reason")),
    }
}

impl StsFailure {
    /// Whether STS says that the credentials are good no more.
    pub(super) fn ends_credentials(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if ends_credentials(code))
    }
}

impl fmt::Display for StsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { code, status, message } => {
                write!(f, "STS refuses with {code} ({status})")?;
                if message.is_empty() { Ok(()) } else { write!(f, ": {message}") }
            }
            Self::Unreachable(sentence) | Self::Unexpected(sentence) => f.write_str(sentence),
            Self::Credentials(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StsFailure {}
