//! Which AWS identities an operator means.
//!
//! Operators know roles as IAM names them, `arn:aws:iam::ACCOUNT:role/PATH/NAME`; STS tells a
//! session as `arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION`, without the path. Both are
//! accepted as patterns and mean the same role. Names of roles are unique in an account, so nothing
//! is lost without the path.

use std::fmt;

use super::pattern::Pattern;
use super::principal::{
    ARN_BYTES_MAX, ArnParts, AwsIdentity, AwsPrincipal, is_account, is_name_byte, is_partition,
};

/// A pattern of ARNs. Stars stand within one part: they cross neither `/` nor `:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArnPattern {
    text: Box<str>,
    account: Account,
    identity: IdentityPattern,
}

/// An account in its partition. Accounts of different partitions have nothing to do with each
/// other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    partition: Box<str>,
    id: Box<str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum IdentityPattern {
    Role { role: Pattern, session: Pattern },
    User { path: Vec<Pattern> },
    Root,
    Federated { name: Pattern },
}

impl ArnPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It is none, or means more identities than anybody would want; half a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > ARN_BYTES_MAX {
            return Err(format!("an ARN of {} bytes is too long", text.len()));
        }
        if is_anything(text) {
            return Err(format!("{text:?} would admit everybody: {EVERYBODY}"));
        }
        let Some(parts) = ArnParts::split(text) else {
            return Err(format!("{text:?} is not the ARN of a role or user; {EXAMPLE}"));
        };
        if !is_partition(parts.partition) {
            return Err(format!(
                "{text:?} must name its partition, which is aws, aws-cn or aws-us-gov"
            ));
        }
        if parts.account.contains('*') {
            return Err(format!("{text:?} must name its account: {EVERYBODY}"));
        }
        if !is_account(parts.account) {
            return Err(format!("{text:?} must have an account of 12 digits; {EXAMPLE}"));
        }
        let identity = IdentityPattern::parse(text, parts.service, parts.resource)?;
        let account = Account { partition: parts.partition.into(), id: parts.account.into() };
        Ok(Self { text: text.into(), account, identity })
    }

    /// Whether sessions of any role of the account may be meant.
    #[must_use]
    pub fn is_of_any_role(&self) -> bool {
        matches!(&self.identity, IdentityPattern::Role { role, .. } if role.is_anything())
    }

    /// Whether this identity is meant.
    #[must_use]
    pub fn matches(&self, principal: &AwsPrincipal) -> bool {
        self.account.matches(principal) && self.identity.matches(principal.identity())
    }
}

impl IdentityPattern {
    fn parse(text: &str, service: &str, resource: &str) -> Result<Self, String> {
        let parts: Vec<&str> = resource.split('/').collect();
        let strange = |part: &&str| part.is_empty() || !part.bytes().all(is_pattern_byte);
        if let Some(part) = parts.iter().find(|part| strange(part)) {
            return Err(format!("{text:?} has {part:?} where a name belongs; {EXAMPLE}"));
        }
        let pattern = |part: &str| Pattern::new(part);
        Ok(match (service, parts.as_slice()) {
            ("iam", ["role", _, .., role]) if is_anything(role) => {
                return Err(format!(
                    "{text:?} would be any role of the account, because STS does not tell the \
                     path of a role; name the role, or give a pattern that its name begins with"
                ));
            }
            ("iam", ["role", .., role]) | ("sts", ["assumed-role", role]) => {
                Self::Role { role: pattern(role), session: Pattern::new("*") }
            }
            ("sts", ["assumed-role", role, session]) => {
                Self::Role { role: pattern(role), session: pattern(session) }
            }
            ("iam", ["user", path @ ..]) if !path.is_empty() => {
                Self::User { path: path.iter().map(|part| pattern(part)).collect() }
            }
            ("iam", ["root"]) => Self::Root,
            ("sts", ["federated-user", name]) => Self::Federated { name: pattern(name) },
            (_, _) => {
                return Err(format!("{text:?} is not the ARN of a role or user; {EXAMPLE}"));
            }
        })
    }

    fn matches(&self, identity: &AwsIdentity) -> bool {
        match (self, identity) {
            (Self::Role { role, session }, AwsIdentity::Role { role: r, session: s }) => {
                role.matches(r) && session.matches(s)
            }
            (Self::User { path }, AwsIdentity::User { path: parts }) => {
                path.len() == parts.len()
                    && path.iter().zip(parts).all(|(pattern, part)| pattern.matches(part))
            }
            (Self::Root, AwsIdentity::Root) => true,
            (Self::Federated { name }, AwsIdentity::Federated { name: n }) => name.matches(n),
            (Self::Role { .. } | Self::User { .. } | Self::Root | Self::Federated { .. }, _) => {
                false
            }
        }
    }
}

impl Account {
    /// Reads twelve digits, which are an account of the partition `aws`, or `PARTITION:ACCOUNT`.
    ///
    /// # Errors
    /// It is neither; half a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (partition, id) = text.split_once(':').unwrap_or(("aws", text));
        if id.contains('*') {
            return Err(format!("{text:?} must be one account: {EVERYBODY}"));
        }
        if !is_partition(partition) || !is_account(id) {
            return Err(format!(
                "{text:?} is not an account; give 12 digits in quotes, and for a partition other \
                 than aws for example \"aws-cn:123456789012\""
            ));
        }
        Ok(Self { partition: partition.into(), id: id.into() })
    }

    /// Whether the identity is of this account.
    #[must_use]
    pub fn matches(&self, principal: &AwsPrincipal) -> bool {
        *self.partition == *principal.partition() && *self.id == *principal.account()
    }
}

impl fmt::Display for ArnPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

const EXAMPLE: &str = "give for example arn:aws:iam::123456789012:role/mesh-agent-*";

const EVERYBODY: &str =
    "anybody with an AWS account of their own could make a role that fits; give the 12 digits";

fn is_anything(text: &str) -> bool {
    Pattern::new(text).is_anything()
}

const fn is_pattern_byte(byte: u8) -> bool {
    is_name_byte(byte) || byte == b'*'
}

#[cfg(test)]
mod tests;
