//! One line of a policy: who may register which hosts, and from where.

use std::fmt;

use super::arn_pattern::{Account, ArnPattern};
use super::ecs::EcsFacts;
use super::host::HostPattern;
use super::pattern::Pattern;
use super::principal::{Principal, is_partition};

/// Lets identities register hosts. A rule only ever allows: what no rule allows is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Whom it is about.
    pub who: Who,
    /// The cluster in which ECS must know the agent's task or host.
    pub cluster: Option<ClusterPattern>,
    /// The ECS service of which the agent's task must be.
    pub service: Option<Pattern>,
    /// How the agent's task must have been launched.
    pub launch_type: Option<LaunchType>,
    /// What they may register.
    pub hosts: Vec<HostPattern>,
}

/// Whom a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// AWS identities by their ARN.
    Arn(ArnPattern),
    /// Every identity of an AWS account.
    Account(Account),
    /// Pre-shared tokens by their name.
    Token(Pattern),
    /// Certificates by any one of their names.
    Certificate(Pattern),
}

/// A cluster by its name, or by its ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterPattern {
    text: Box<str>,
    /// Partition, region, account and name; of a plain name, only the last one chooses.
    parts: [Pattern; 4],
}

/// How ECS runs a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaunchType {
    /// On a host of one's own: ECS Anywhere.
    External,
    /// On an instance of one's own in EC2.
    Ec2,
    /// Without an instance of one's own.
    Fargate,
    /// On an instance that ECS looks after.
    ManagedInstances,
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    /// The member of the rule to blame, as the configuration file names it.
    pub field: &'static str,
    /// Half a sentence.
    pub reason: String,
}

impl Rule {
    /// A rule that lets these identities register every host.
    #[must_use]
    pub fn any_host(who: Who) -> Self {
        let hosts = vec![HostPattern::any()];
        Self { who, cluster: None, service: None, launch_type: None, hosts }
    }

    /// Looks whether the members of the rule fit together.
    ///
    /// # Errors
    /// It allows nothing, or asks ECS about somebody whom ECS does not know.
    pub fn check(&self) -> Result<(), RuleError> {
        let wrong = |field, reason: &str| Err(RuleError { field, reason: reason.to_owned() });
        if self.hosts.is_empty() {
            return wrong(
                "hosts",
                "a rule without hosts allows nothing; give \"*\" for every host",
            );
        }
        let who = match self.who {
            Who::Arn(_) | Who::Account(_) => return Ok(()),
            Who::Token(_) => "token",
            Who::Certificate(_) => "certificate",
        };
        let reason = format!("a {who} says nothing about ECS; only rules for AWS identities can");
        let conditions = [
            ("cluster", self.cluster.is_some()),
            ("service", self.service.is_some()),
            ("launch-type", self.launch_type.is_some()),
            ("hosts", self.hosts.iter().any(HostPattern::needs_service)),
        ];
        match conditions.iter().find(|(_, is_there)| *is_there) {
            Some((field, _)) => wrong(field, &reason),
            None => Ok(()),
        }
    }

    /// Whether ECS has to be asked about the service too.
    pub(super) fn needs_service(&self) -> bool {
        self.service.is_some() || self.hosts.iter().any(HostPattern::needs_service)
    }

    /// Whether ECS has to be asked.
    #[must_use]
    pub fn needs_ecs(&self) -> bool {
        self.cluster.is_some() || self.launch_type.is_some() || self.needs_service()
    }

    /// Whether what ECS says is what the rule asks for.
    pub(super) fn accepts(&self, facts: &EcsFacts) -> bool {
        let service = facts.service.as_deref();
        self.cluster.as_ref().is_none_or(|cluster| cluster.matches(&facts.cluster_arn))
            && self
                .service
                .as_ref()
                .is_none_or(|pattern| service.is_some_and(|service| pattern.matches(service)))
            && self.launch_type.is_none_or(|wanted| facts.launch_type == Some(wanted))
    }

    /// Whether one of its hosts covers the claim, for an agent of this service.
    pub(super) fn covers(&self, claim: &str, service: Option<&str>) -> bool {
        self.hosts.iter().any(|host| host.covers(claim, service))
    }

    /// Whether one of its hosts would cover the claim for an agent of some service.
    pub(super) fn may_cover(&self, claim: &str) -> bool {
        self.hosts.iter().any(|host| host.may_cover(claim))
    }
}

impl Who {
    /// Whether the rule is about this principal.
    #[must_use]
    pub fn matches(&self, principal: &Principal) -> bool {
        match (self, principal) {
            (Self::Arn(pattern), Principal::Aws(aws)) => pattern.matches(aws),
            (Self::Account(account), Principal::Aws(aws)) => account.matches(aws),
            (Self::Token(pattern), Principal::Token { name }) => pattern.matches(name),
            (Self::Certificate(pattern), Principal::Certificate { names }) => {
                names.iter().any(|name| pattern.matches(name))
            }
            (Self::Arn(_) | Self::Account(_) | Self::Token(_) | Self::Certificate(_), _) => false,
        }
    }

    /// Whether it is about AWS identities.
    #[must_use]
    pub const fn is_aws(&self) -> bool {
        match self {
            Self::Arn(_) | Self::Account(_) => true,
            Self::Token(_) | Self::Certificate(_) => false,
        }
    }
}

impl ClusterPattern {
    /// Reads a name or `arn:PARTITION:ecs:REGION:ACCOUNT:cluster/NAME`; region, account and name
    /// may have stars. They need not be exact, since the cluster's account is always compared with
    /// that of the identity.
    ///
    /// # Errors
    /// It is neither; half a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let strange = || {
            format!(
                "{text:?} is not a cluster; give its name, or for example \
                 arn:aws:ecs:eu-central-1:123456789012:cluster/production"
            )
        };
        let any = "*";
        let parts = match cluster_parts(text) {
            Some(parts) => parts,
            None => [any, any, any, text],
        };
        let [partition, region, account, name] = parts;
        let is_name = !name.is_empty() && name.len() <= 255 && name.bytes().all(is_cluster_byte);
        let is_region = region.bytes().all(is_cluster_byte) && !region.is_empty();
        let is_account = account.bytes().all(|byte| byte.is_ascii_digit() || byte == b'*')
            && (account.len() == 12 || account.contains('*'));
        let is_partition = is_partition(partition) || partition == any;
        if text.starts_with("arn:*") || !(is_name && is_region && is_account && is_partition) {
            return Err(strange());
        }
        Ok(Self { text: text.into(), parts: parts.map(Pattern::new) })
    }

    /// Whether this is the ARN of a cluster that is meant.
    #[must_use]
    pub fn matches(&self, cluster_arn: &str) -> bool {
        cluster_parts(cluster_arn).is_some_and(|parts| {
            self.parts.iter().zip(parts).all(|(pattern, part)| pattern.matches(part))
        })
    }
}

/// Partition, region, account and name of a cluster's ARN.
fn cluster_parts(arn: &str) -> Option<[&str; 4]> {
    let parts: Vec<&str> = arn.split(':').collect();
    let ["arn", partition, "ecs", region, account, resource] = parts[..] else {
        return None;
    };
    let name = resource.strip_prefix("cluster/")?;
    Some([partition, region, account, name])
}

/// The letters of a cluster's name, and the star.
const fn is_cluster_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'*')
}

impl LaunchType {
    /// Reads the name that ECS has for it, in either case.
    ///
    /// # Errors
    /// It is none; half a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::of_ecs(&text.to_ascii_uppercase()).ok_or_else(|| {
            format!(
                "{text:?} is not a launch type; give EXTERNAL, EC2, FARGATE or MANAGED_INSTANCES"
            )
        })
    }

    /// The launch type that ECS names so, if it is known here.
    #[must_use]
    pub fn of_ecs(name: &str) -> Option<Self> {
        let all = [Self::External, Self::Ec2, Self::Fargate, Self::ManagedInstances];
        all.into_iter().find(|launch_type| launch_type.as_str() == name)
    }

    /// The name that ECS has for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::External => "EXTERNAL",
            Self::Ec2 => "EC2",
            Self::Fargate => "FARGATE",
            Self::ManagedInstances => "MANAGED_INSTANCES",
        }
    }
}

impl fmt::Display for ClusterPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for LaunchType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
