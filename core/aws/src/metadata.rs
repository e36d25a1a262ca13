//! What ECS tells a task about itself, and the ECS agent about its host.
//!
//! Neither is proof of anything: whoever controls the task's network can answer. It fills in what
//! the ingress then asks ECS about.

use std::fmt;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::Uri;

use crate::Environment;
use crate::arn::Arn;
use crate::http::{Client, Limits};

/// A task's own account of itself, from the task metadata endpoint, version 4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFacts {
    /// The ARN of its cluster; where the endpoint gives a short name, made from the task's ARN.
    pub cluster: String,
    /// The ARN of the task.
    pub task_arn: String,
    /// The family of its task definition.
    pub family: String,
    /// The service that started it, if one did. Agents older than 1.63.1 do not tell.
    pub service: Option<String>,
    /// `EC2`, `FARGATE` or `EXTERNAL`.
    pub launch_type: Option<String>,
}

/// The ECS agent's account of its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceFacts {
    /// The cluster's ARN.
    pub cluster: String,
    /// The container instance's ARN.
    pub container_instance: String,
}

/// Why the metadata are not known: a sentence that names the endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataError(String);

/// Where the ECS agent introduces itself to programs on the host's own network.
pub const INTROSPECTION: &str = "http://localhost:51678";

const VARIABLE: &str = "ECS_CONTAINER_METADATA_URI_V4";
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
const TASK_LIMITS: Limits = Limits {
    connect: Duration::from_secs(2),
    total: Duration::from_secs(2),
    answer_bytes_max: ANSWER_BYTES_MAX,
};
const TRIES: u32 = 3;
/// The endpoint answers 5xx for a moment after the task has started.
const PAUSE: Duration = Duration::from_millis(200);
/// On a host without ECS agent nobody answers; an agent must not start late because of it.
const INTROSPECTION_LIMITS: Limits = Limits {
    connect: Duration::from_secs(1),
    total: Duration::from_secs(1),
    answer_bytes_max: ANSWER_BYTES_MAX,
};

/// What the task that this process belongs to is, or `None` outside of ECS tasks.
///
/// Blocks for up to 7 s.
///
/// # Errors
/// The endpoint is not a local one, does not answer, or says what makes no sense.
#[must_use]
pub fn task(environment: &Environment) -> Option<Result<TaskFacts, MetadataError>> {
    environment.get(VARIABLE).map(|base| ask_task(base, TASK_LIMITS))
}

fn ask_task(base: &str, limits: Limits) -> Result<TaskFacts, MetadataError> {
    let complain = |complaint: &str| MetadataError(format!("{VARIABLE}: {complaint}"));
    if !is_local(base) {
        return Err(complain("it is not an http address of this machine or its link"));
    }
    let url = format!("{}/task", base.trim_end_matches('/'));
    let answer = ask::<TaskAnswer>(&Client::local(limits), &url, TRIES)
        .map_err(|complaint| complain(&complaint))?;
    answer.facts().ok_or_else(|| complain("what it says of cluster and task makes no sense"))
}

/// What the ECS agent on this host says of it. `endpoint` is [`INTROSPECTION`] outside of tests.
///
/// Blocks for up to 1 s.
///
/// # Errors
/// Nobody answers there, or the host is not registered yet.
pub fn container_instance(endpoint: &str) -> Result<InstanceFacts, MetadataError> {
    let complain =
        |complaint: &str| MetadataError(format!("the ECS agent at {endpoint}: {complaint}"));
    if !is_local(endpoint) {
        return Err(complain("it is not an http address of this machine or its link"));
    }
    let url = format!("{}/v1/metadata", endpoint.trim_end_matches('/'));
    let answer = ask::<InstanceAnswer>(&Client::local(INTROSPECTION_LIMITS), &url, 1)
        .map_err(|complaint| complain(&complaint))?;
    answer.facts().ok_or_else(|| complain("it has not registered the host in a cluster"))
}

fn ask<T: DeserializeOwned>(client: &Client, url: &str, tries: u32) -> Result<T, String> {
    let mut complaint = String::new();
    for attempt in 0..tries {
        if attempt > 0 {
            thread::sleep(PAUSE);
        }
        match client.get(url, &[("accept", "application/json")]) {
            Ok(answer) if answer.status == 200 => {
                return serde_json::from_slice(&answer.body)
                    .map_err(|_| "the answer is not the JSON that it should be".to_owned());
            }
            Ok(answer) => complaint = format!("it answers {}", answer.status),
            Err(error) if error.is_transient() => complaint = error.to_string(),
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(complaint)
}

/// Whether the address is plain HTTP to this machine or its link, where metadata live.
fn is_local(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else {
        return false;
    };
    if uri.scheme_str() != Some("http") || uri.query().is_some() || url.contains(['@', '#']) {
        return false;
    }
    let host = uri.host().unwrap_or_default();
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unicast_link_local(),
        Err(_) => false,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TaskAnswer {
    cluster: String,
    #[serde(rename = "TaskARN")]
    task_arn: String,
    family: String,
    #[serde(default)]
    service_name: Option<String>,
    #[serde(default)]
    launch_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceAnswer {
    cluster: String,
    /// Null until the host is registered.
    #[serde(default)]
    container_instance_arn: Option<String>,
}

impl TaskAnswer {
    fn facts(self) -> Option<TaskFacts> {
        let task = Arn::parse(&self.task_arn).filter(|arn| is_ecs(arn, "task/"))?;
        let cluster = cluster_arn(&self.cluster, &task)?;
        let is_sane = is_short(&self.family)
            && self.service_name.as_deref().is_none_or(is_short)
            && self.launch_type.as_deref().is_none_or(is_short);
        is_sane.then_some(TaskFacts {
            cluster,
            task_arn: self.task_arn,
            family: self.family,
            service: self.service_name.filter(|name| !name.is_empty()),
            launch_type: self.launch_type.filter(|kind| !kind.is_empty()),
        })
    }
}

impl InstanceAnswer {
    fn facts(self) -> Option<InstanceFacts> {
        let container_instance = self.container_instance_arn?;
        let arn =
            Arn::parse(&container_instance).filter(|arn| is_ecs(arn, "container-instance/"))?;
        let cluster = cluster_arn(&self.cluster, &arn)?;
        Some(InstanceFacts { cluster, container_instance })
    }
}

/// The cluster's ARN; a short name is one in the account and region of `member`.
fn cluster_arn(cluster: &str, member: &Arn<'_>) -> Option<String> {
    if cluster.starts_with("arn:") {
        return Arn::parse(cluster)
            .filter(|arn| is_ecs(arn, "cluster/"))
            .map(|_| cluster.to_owned());
    }
    let is_name = !cluster.is_empty()
        && is_short(cluster)
        && cluster.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let Arn { partition, region, account, .. } = member;
    is_name.then(|| format!("arn:{partition}:ecs:{region}:{account}:cluster/{cluster}"))
}

fn is_ecs(arn: &Arn<'_>, kind: &str) -> bool {
    arn.service == "ecs"
        && !arn.region.is_empty()
        && arn.resource.strip_prefix(kind).is_some_and(|rest| !rest.is_empty())
}

/// Names in ECS have at most 255 characters.
fn is_short(name: &str) -> bool {
    name.len() <= 255 && name.bytes().all(|byte| byte.is_ascii_graphic())
}

impl TaskFacts {
    /// The region in the task's ARN.
    #[must_use]
    pub fn region(&self) -> &str {
        Arn::parse(&self.task_arn).map_or("", |arn| arn.region)
    }
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MetadataError {}

#[cfg(test)]
mod tests;
