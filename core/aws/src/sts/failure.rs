//! Why STS did not say who somebody is, and whose fault that is.

use std::fmt;

use crate::CredentialsError;
use crate::codes::{error_code, is_expiry, is_throttling};
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
    },
    /// STS was not reached or had trouble of its own: a sentence. Another try may do better.
    Unreachable(String),
    /// What answered is not STS as it is known: a sentence.
    Unexpected(String),
    /// There is nothing to sign with; only when asking for oneself.
    Credentials(CredentialsError),
}

/// Posts to STS and gives the body of a good answer.
pub(super) fn post(
    client: &Client,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
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
        status => Err(refusal(url, status, &answer)),
    }
}

fn refusal(url: &str, status: u16, answer: &Answer) -> StsFailure {
    let code = error_code(&answer.body);
    match (status, code) {
        (429 | 500..=599, code) => {
            let code = code.map_or_else(String::new, |code| format!(" ({code})"));
            StsFailure::Unreachable(format!("STS at {url} answers {status}{code}"))
        }
        (400..=499, Some(code)) if is_throttling(&code) => {
            StsFailure::Unreachable(format!("STS at {url} answers {status} ({code})"))
        }
        (400..=499, Some(code)) => StsFailure::Refused { code, status },
        (300..=399, _) => {
            StsFailure::Unexpected(format!("STS at {url} answers {status}, a redirect"))
        }
        (_, _) => StsFailure::Unexpected(format!("STS at {url} answers {status} without a reason")),
    }
}

impl StsFailure {
    /// Whether STS says that the credentials' time is over.
    pub(super) fn is_expiry(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if is_expiry(code))
    }
}

impl fmt::Display for StsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { code, status } => write!(f, "STS refuses with {code} ({status})"),
            Self::Unreachable(sentence) | Self::Unexpected(sentence) => f.write_str(sentence),
            Self::Credentials(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StsFailure {}
