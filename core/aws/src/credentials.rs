//! Whose requests these are: an access key, and where it comes from.

use std::fmt;
use std::time::{Duration, SystemTime};

mod answer;
mod chain;
mod container;
mod error;
mod profile;
mod sources;
mod variables;
mod web_identity;

pub use chain::Chain;
pub use error::CredentialsError;

/// An access key of a user or of a role's session.
///
/// Invariant: each part is text that can stand in a header, and the key's id can stand in a
/// credential scope.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: Option<String>,
    expires: Option<SystemTime>,
    source: Source,
}

/// Where credentials can be, in the order in which they are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`.
    Environment,
    /// The profile in `~/.aws`, its keys or its role.
    Profile,
    /// `AWS_WEB_IDENTITY_TOKEN_FILE` with `AWS_ROLE_ARN`.
    WebIdentity,
    /// The endpoint that ECS and EKS give their containers.
    Container,
    /// The instance metadata service of EC2.
    Instance,
}

/// The id is 20 characters today, and AWS's interfaces take up to 128.
const ID_BYTES_MAX: usize = 128;
/// 40 characters today.
const SECRET_BYTES_MAX: usize = 256;
/// AWS promises no limit; those seen are below 2 KiB. It has to fit into a header.
const TOKEN_BYTES_MAX: usize = 12 * 1024;
/// A refresh that fails at first has this long to succeed.
const REFRESH_BEFORE: Duration = Duration::from_secs(5 * 60);

impl Credentials {
    /// These parts, or `None` where one of them cannot be what it should be.
    #[must_use]
    pub fn new(
        access_key_id: &str,
        secret_access_key: &str,
        session_token: Option<&str>,
        expires: Option<SystemTime>,
        source: Source,
    ) -> Option<Self> {
        let is_id = (1..=ID_BYTES_MAX).contains(&access_key_id.len())
            && access_key_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let is_visible = |text: &str, bytes_max: usize| {
            (1..=bytes_max).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let is_valid = is_id
            && is_visible(secret_access_key, SECRET_BYTES_MAX)
            && session_token.is_none_or(|token| is_visible(token, TOKEN_BYTES_MAX));
        is_valid.then(|| Self {
            access_key_id: access_key_id.to_owned(),
            secret_access_key: secret_access_key.to_owned(),
            session_token: session_token.map(str::to_owned),
            expires,
            source,
        })
    }

    /// The public part of the key.
    #[must_use]
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// When AWS stops taking them, if that is known.
    #[must_use]
    pub const fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// Where they are from.
    #[must_use]
    pub const fn source(&self) -> Source {
        self.source
    }

    fn is_valid(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|expires| expires > now)
    }

    /// Whether it is time to look for others.
    fn is_due(&self, now: SystemTime) -> bool {
        !self.is_valid(now + REFRESH_BEFORE)
    }
}

/// Without what must stay secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .field("expires", &self.expires)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "environment",
            Self::Profile => "profile",
            Self::WebIdentity => "web identity",
            Self::Container => "container endpoint",
            Self::Instance => "instance metadata",
        })
    }
}

#[cfg(test)]
mod tests;
