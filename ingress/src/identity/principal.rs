//! Identities that were proved.

use std::fmt;

/// Who an agent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// An identity that STS told.
    Aws(AwsPrincipal),
    /// The holder of a pre-shared token.
    Token {
        /// The token's name in the token file.
        name: String,
    },
    /// The holder of a certificate that TLS verified.
    Certificate {
        /// The DNS names among its subject alternative names, in lower case.
        names: Vec<String>,
    },
}

/// An identity as STS tells it in `GetCallerIdentity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsPrincipal {
    arn: Box<str>,
    partition: Box<str>,
    account: Box<str>,
    identity: AwsIdentity,
}

/// What kind of identity it is within its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AwsIdentity {
    /// A session of a role. STS does not tell the role's path.
    Role {
        /// The role's name, unique in its account.
        role: Box<str>,
        /// The name that whoever assumed the role chose.
        session: Box<str>,
    },
    /// An IAM user.
    User {
        /// The parts of its path, and last its name.
        path: Vec<Box<str>>,
    },
    /// The account's owner.
    Root,
    /// A federated user.
    Federated {
        /// Its name.
        name: Box<str>,
    },
}

/// Who has an identity, to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder<'a> {
    /// Some session of this role.
    Role {
        /// The partition.
        partition: &'a str,
        /// The account.
        account: &'a str,
        /// The role's name.
        role: &'a str,
    },
    /// Anything else, as a whole.
    Other(&'a Principal),
}

impl AwsPrincipal {
    /// Reads the `Arn` and the `Account` of STS's answer.
    ///
    /// # Errors
    /// It is none of the identities known here, or the two disagree; a sentence with the ARN.
    pub fn parse(arn: &str, account: &str) -> Result<Self, String> {
        let unknown = || format!("{arn:?} is not an identity that this ingress knows");
        let parts = ArnParts::parse(arn).ok_or_else(unknown)?;
        if parts.account != account {
            return Err(format!(
                "{arn:?} is not of the account {account:?} that STS named with it"
            ));
        }
        let resource: Vec<&str> = parts.resource.split('/').collect();
        let identity = match (parts.service, resource.as_slice()) {
            ("sts", ["assumed-role", role, session])
                if is_name(role, 1, 64) && is_name(session, 2, 64) =>
            {
                AwsIdentity::Role { role: (*role).into(), session: (*session).into() }
            }
            ("sts", ["federated-user", name]) if is_name(name, 1, 64) => {
                AwsIdentity::Federated { name: (*name).into() }
            }
            ("iam", ["user", path @ .., name])
                if is_name(name, 1, 64) && path.iter().all(|part| is_path_part(part)) =>
            {
                let parts = path.iter().chain([name]);
                AwsIdentity::User { path: parts.map(|part| (*part).into()).collect() }
            }
            ("iam", ["root"]) => AwsIdentity::Root,
            (_, _) => return Err(unknown()),
        };
        Ok(Self {
            arn: arn.into(),
            partition: parts.partition.into(),
            account: parts.account.into(),
            identity,
        })
    }

    /// Which of AWS's separate worlds it is of, such as `aws` or `aws-cn`.
    #[must_use]
    pub const fn partition(&self) -> &str {
        &self.partition
    }

    /// The account, 12 digits.
    #[must_use]
    pub const fn account(&self) -> &str {
        &self.account
    }

    /// What kind of identity it is.
    #[must_use]
    pub const fn identity(&self) -> &AwsIdentity {
        &self.identity
    }

    /// The name of the role, if it is a session of one.
    #[must_use]
    pub const fn role(&self) -> Option<&str> {
        match &self.identity {
            AwsIdentity::Role { role, .. } => Some(role),
            AwsIdentity::User { .. } | AwsIdentity::Root | AwsIdentity::Federated { .. } => None,
        }
    }

    /// The name of the session, if it is one of a role.
    #[must_use]
    pub const fn session(&self) -> Option<&str> {
        match &self.identity {
            AwsIdentity::Role { session, .. } => Some(session),
            AwsIdentity::User { .. } | AwsIdentity::Root | AwsIdentity::Federated { .. } => None,
        }
    }
}

impl Principal {
    /// Who it is whatever its sessions are called: one process may get credentials again and again,
    /// under another name each time.
    #[must_use]
    pub fn holder(&self) -> Holder<'_> {
        match self {
            Self::Aws(AwsPrincipal { partition, account, identity, .. }) => match identity {
                AwsIdentity::Role { role, .. } => Holder::Role { partition, account, role },
                AwsIdentity::User { .. } | AwsIdentity::Root | AwsIdentity::Federated { .. } => {
                    Holder::Other(self)
                }
            },
            Self::Token { .. } | Self::Certificate { .. } => Holder::Other(self),
        }
    }
}

impl fmt::Display for AwsPrincipal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arn)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aws(principal) => principal.fmt(f),
            Self::Token { name } => write!(f, "token {name}"),
            Self::Certificate { names } if names.is_empty() => {
                f.write_str("a certificate without names")
            }
            Self::Certificate { names } => write!(f, "certificate of {}", names.join(", ")),
        }
    }
}

/// The parts of the ARN of an identity, which has no region.
pub(super) struct ArnParts<'a> {
    pub(super) partition: &'a str,
    pub(super) service: &'a str,
    pub(super) account: &'a str,
    pub(super) resource: &'a str,
}

impl<'a> ArnParts<'a> {
    /// Takes an ARN apart whose partition and account are plain; `None` for anything else.
    fn parse(arn: &'a str) -> Option<Self> {
        let parts = Self::split(arn)?;
        (is_partition(parts.partition) && is_account(parts.account)).then_some(parts)
    }

    /// Takes anything apart that has the shape of an identity's ARN.
    pub(super) fn split(arn: &'a str) -> Option<Self> {
        if arn.len() > ARN_BYTES_MAX {
            return None;
        }
        let parts: Vec<&str> = arn.split(':').collect();
        let ["arn", partition, service, "", account, resource] = parts[..] else {
            return None;
        };
        Some(Self { partition, service, account, resource })
    }
}

/// As long as AWS says that an ARN can be.
pub(super) const ARN_BYTES_MAX: usize = 2048;

/// `aws`, `aws-cn` and the like.
pub(super) fn is_partition(text: &str) -> bool {
    text.len() <= 32
        && text.starts_with("aws")
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Twelve digits.
pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The letters of the names of roles, users and sessions (`[\w+=,.@-]` in the IAM API).
pub(super) const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'=' | b',' | b'.' | b'@' | b'-')
}

fn is_name(text: &str, min: usize, max: usize) -> bool {
    (min..=max).contains(&text.len()) && text.bytes().all(is_name_byte)
}

fn is_path_part(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
