//! What ECS knows of an agent: whether its task or host is really there, and what it is.
//!
//! An agent names its task. That the task is its own follows from the identity that STS told: ECS
//! names the sessions of task roles after the task, and Systems Manager and EC2 name those of
//! hosts after the host. Whoever may assume the role some other way can choose the name, so the role's
//! trust policy should name `ecs-tasks.amazonaws.com` (or `ssm.amazonaws.com`) alone, and the
//! rules should name such roles.
//!
//! ```text
//!   EcsSubject --.
//!   EcsSubject --+--> EcsQuestion::batches --> requests()        --> a job --> EcsAnswers
//!   EcsSubject --'                             follow_up(answers) --> a job --> EcsAnswers
//!                                                   EcsSubject::verify(answers) --> EcsFacts
//! ```
//!
//! That a task is of a service is proved by `startedBy`, which has to be a deployment or a task set
//! of that service; the task's group only says which service to ask about. Both are free text for
//! those who may call `RunTask` or `StartTask` with the role, who are trusted with this.

mod answers;
mod question;
mod refusal;
mod verify;

pub use answers::{
    Cluster, ContainerInstance, Deployment, EcsAnswers, Failure, Operation, Service, Task,
};
pub use question::{EcsQuestion, EcsRequest, SERVICES_MAX, SUBJECTS_MAX};
pub use refusal::EcsRefusal;

use std::fmt;

use super::policy::Claim;
use super::principal::AwsPrincipal;
use super::rule::LaunchType;
use super::sts_hosts;

/// A task or host about which ECS is asked, known to be that of an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcsSubject {
    region: Box<str>,
    cluster_arn: Box<str>,
    object: Object,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Object {
    Task {
        arn: Box<str>,
    },
    Instance {
        arn: Box<str>,
        /// `mi-...` or `i-...`.
        id: Box<str>,
    },
}

/// How the ARN of a task or container instance is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// It names its cluster.
    New,
    /// It does not.
    Old,
}

/// What ECS said of a task or host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcsFacts {
    /// The cluster's ARN.
    pub cluster_arn: String,
    /// The cluster's name.
    pub cluster_name: String,
    /// The service of which the task is, if it was asked about and there is one.
    pub service: Option<String>,
    /// Why that is not known, if the task says that it is of one and ECS does not bear it out.
    pub unproved: Option<EcsRefusal>,
    /// How the task was launched; `None` if in a way that is not known here.
    pub launch_type: Option<LaunchType>,
}

impl EcsSubject {
    /// What to ask ECS about an agent of this identity.
    ///
    /// # Errors
    /// The claim names nothing that could be this identity's; a sentence with the principal.
    pub fn new(principal: &AwsPrincipal, claim: &Claim<'_>) -> Result<Self, String> {
        let Some(session) = principal.session() else {
            return Err(format!(
                "{principal} is not a session of a role, so it cannot be that of an ECS task"
            ));
        };
        if session.starts_with("mi-") || session.starts_with("i-") {
            return Self::instance(principal, session, claim);
        }
        let Some(arn) = claim.task else {
            return Err(format!(
                "{principal}: the rules for it ask about its ECS task, and it named none; give \
                 --task-arn if the task's metadata cannot be read"
            ));
        };
        let parts =
            EcsArn::parse(arn, "task").map_err(|reason| format!("{principal}: {reason}"))?;
        parts.check_owner(principal)?;
        if parts.id != session {
            return Err(format!(
                "{principal} is not the session of the task {arn}: ECS names sessions after the \
                 last part of the task's ARN"
            ));
        }
        let cluster_arn = match parts.cluster {
            Some(name) => parts.cluster_arn(name),
            None => parts.claimed_cluster(claim.cluster).ok_or_else(|| {
                format!(
                    "{principal}: {arn} does not name its cluster, and {:?} is not the name of \
                     one; give --cluster-name",
                    claim.cluster
                )
            })?,
        };
        let object = Object::Task { arn: arn.into() };
        Ok(Self { region: parts.region.into(), cluster_arn: cluster_arn.into(), object })
    }

    fn instance(
        principal: &AwsPrincipal,
        session: &str,
        claim: &Claim<'_>,
    ) -> Result<Self, String> {
        let Some(arn) = claim.container_instance else {
            return Err(format!(
                "{principal}: the rules for it ask about its ECS container instance, and it named \
                 none; give --container-instance"
            ));
        };
        let parts = EcsArn::parse(arn, "container-instance")
            .map_err(|reason| format!("{principal}: {reason}"))?;
        parts.check_owner(principal)?;
        // Answers about instances do not repeat the cluster: only the ARN itself proves it.
        let Some(cluster) = parts.cluster else {
            return Err(format!("{principal}: {arn} does not name its cluster"));
        };
        let object = Object::Instance { arn: arn.into(), id: session.into() };
        let cluster_arn = parts.cluster_arn(cluster).into();
        Ok(Self { region: parts.region.into(), cluster_arn, object })
    }

    /// The region whose ECS is to be asked; one of those in [`sts_hosts`].
    #[must_use]
    pub const fn region(&self) -> &str {
        &self.region
    }

    /// The cluster in which it is to be.
    #[must_use]
    pub const fn cluster_arn(&self) -> &str {
        &self.cluster_arn
    }

    /// Whom it may share a question with: those of which this is the same.
    ///
    /// What may be asked about the tasks of a cluster need not hold for an ARN of the old form, which names
    /// none. ECS denies a question as a whole, so that such an ARN shares one with its like only.
    #[must_use]
    pub fn group(&self) -> (&str, Form) {
        let names_cluster = self.arn().matches('/').count() > 1;
        (&self.cluster_arn, if names_cluster { Form::New } else { Form::Old })
    }

    /// The ARN of the task or container instance.
    #[must_use]
    pub const fn arn(&self) -> &str {
        match &self.object {
            Object::Task { arn } | Object::Instance { arn, .. } => arn,
        }
    }
}

/// How long the ids of tasks and container instances are. ECS takes no question in which one is of another
/// length.
const ID_BYTES: [usize; 2] = [32, 36];

/// An ARN of ECS, taken apart.
struct EcsArn<'a> {
    arn: &'a str,
    partition: &'a str,
    region: &'a str,
    account: &'a str,
    /// ARNs of the old form have none.
    cluster: Option<&'a str>,
    id: &'a str,
}

impl<'a> EcsArn<'a> {
    /// `arn:PARTITION:ecs:REGION:ACCOUNT:KIND/[CLUSTER/]ID`.
    fn parse(arn: &'a str, kind: &str) -> Result<Self, String> {
        let strange = || format!("{arn:?} is not the ARN of a {kind}");
        let parts: Vec<&str> = arn.split(':').collect();
        let ["arn", partition, "ecs", region, account, resource] = parts[..] else {
            return Err(strange());
        };
        let parts: Vec<&str> = resource.split('/').collect();
        let (cluster, id) = match parts[..] {
            [of, id] if of == kind => (None, id),
            [of, cluster, id] if of == kind => (Some(cluster), id),
            _ => return Err(strange()),
        };
        if !ID_BYTES.contains(&id.len()) {
            let [short, long] = ID_BYTES;
            return Err(format!(
                "{arn:?} is not the ARN of a {kind}: ECS gives ids of {short} or {long} characters"
            ));
        }
        let is_id = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_id || !cluster.is_none_or(is_cluster_name) {
            return Err(strange());
        }
        // The request to ECS is signed with our own credentials: it goes to AWS or nowhere.
        if sts_hosts::partition_of(region) != Some(partition) {
            return Err(format!("{arn:?} is in a region that this ingress does not know"));
        }
        Ok(Self { arn, partition, region, account, cluster, id })
    }

    /// Roles are used in their own account, so a task of another is somebody else's.
    fn check_owner(&self, principal: &AwsPrincipal) -> Result<(), String> {
        if self.account == principal.account() && self.partition == principal.partition() {
            return Ok(());
        }
        Err(format!("{principal} does not belong to the account of {}", self.arn))
    }

    fn cluster_arn(&self, name: &str) -> String {
        let Self { partition, region, account, .. } = self;
        format!("arn:{partition}:ecs:{region}:{account}:cluster/{name}")
    }

    /// The cluster that the agent names, by its name or its ARN, if it can be that of this ARN.
    fn claimed_cluster(&self, claim: &str) -> Option<String> {
        let name = claim.rsplit('/').next().filter(|name| is_cluster_name(name))?;
        let arn = self.cluster_arn(name);
        (claim == name || claim == arn).then_some(arn)
    }
}

fn is_cluster_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

impl fmt::Display for EcsFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cluster {}", self.cluster_name)?;
        if let Some(service) = &self.service {
            write!(f, ", service {service}")?;
        }
        match self.launch_type {
            Some(launch_type) => write!(f, ", launch type {launch_type}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
