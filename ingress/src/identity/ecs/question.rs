//! Questions to ECS: few requests for many agents.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::answers::{EcsAnswers, Operation};
use super::{EcsSubject, Form, Object};
use crate::identity::policy::Requirement;

/// What one cluster is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcsQuestion {
    /// The region whose ECS is asked.
    pub region: String,
    /// The cluster's ARN.
    pub cluster_arn: String,
    /// ARNs of tasks, at most [`SUBJECTS_MAX`].
    pub tasks: Vec<String>,
    /// ARNs of container instances, at most [`SUBJECTS_MAX`].
    pub instances: Vec<String>,
    /// Those of the tasks whose service matters.
    pub tasks_of_services: Vec<String>,
}

/// A call of the ECS API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcsRequest {
    /// What is asked.
    pub operation: Operation,
    /// The JSON.
    pub body: Value,
}

/// Tasks and container instances that one request may name, by the API's documentation.
pub const SUBJECTS_MAX: usize = 100;

/// Services that one request may name, by the API's documentation.
pub const SERVICES_MAX: usize = 10;

impl EcsQuestion {
    /// The questions that together are about all these subjects.
    #[must_use]
    pub fn batches(subjects: &[(&EcsSubject, Requirement)]) -> Vec<Self> {
        let mut groups: BTreeMap<(&str, Form), Batch<'_>> = BTreeMap::new();
        for (subject, requirement) in subjects {
            let batch = groups.entry(subject.group()).or_default();
            batch.region = &subject.region;
            match &subject.object {
                Object::Task { arn } => {
                    let requirement =
                        (*requirement).max(*batch.tasks.get(&**arn).unwrap_or(requirement));
                    batch.tasks.insert(arn, requirement);
                }
                Object::Instance { arn, .. } => {
                    batch.instances.insert(arn);
                }
            }
        }
        groups
            .into_iter()
            .flat_map(|((cluster_arn, _), batch)| batch.questions(cluster_arn))
            .collect()
    }

    /// Whether this subject is among those it is about.
    #[must_use]
    pub fn is_about(&self, subject: &EcsSubject) -> bool {
        let objects = match &subject.object {
            Object::Task { .. } => &self.tasks,
            Object::Instance { .. } => &self.instances,
        };
        *self.cluster_arn == *subject.cluster_arn && objects.iter().any(|arn| arn == subject.arn())
    }

    /// The question about one subject.
    #[must_use]
    pub fn about(subject: &EcsSubject, requirement: Requirement) -> Self {
        let mut question = Self::empty(&subject.region, &subject.cluster_arn);
        match &subject.object {
            Object::Task { arn } => question.add_task(arn, requirement),
            Object::Instance { arn, .. } => question.instances.push(arn.to_string()),
        }
        question
    }

    fn empty(region: &str, cluster_arn: &str) -> Self {
        Self {
            region: region.to_owned(),
            cluster_arn: cluster_arn.to_owned(),
            tasks: Vec::new(),
            instances: Vec::new(),
            tasks_of_services: Vec::new(),
        }
    }

    fn add_task(&mut self, arn: &str, requirement: Requirement) {
        self.tasks.push(arn.to_owned());
        match requirement {
            Requirement::Place => {}
            Requirement::Service => self.tasks_of_services.push(arn.to_owned()),
        }
    }

    /// The requests to begin with.
    #[must_use]
    pub fn requests(&self) -> Vec<EcsRequest> {
        let cluster = self.cluster_arn.as_str();
        let mut requests = vec![EcsRequest::new(
            Operation::DescribeClusters,
            &ClustersRequest { clusters: [cluster] },
        )];
        if !self.tasks.is_empty() {
            let body = TasksRequest { cluster, tasks: &self.tasks };
            requests.push(EcsRequest::new(Operation::DescribeTasks, &body));
        }
        if !self.instances.is_empty() {
            let body = InstancesRequest { cluster, container_instances: &self.instances };
            requests.push(EcsRequest::new(Operation::DescribeContainerInstances, &body));
        }
        requests
    }

    /// The requests that follow from the answers to the first ones: about the services of which
    /// the tasks say that they are.
    #[must_use]
    pub fn follow_up(&self, answers: &EcsAnswers) -> Vec<EcsRequest> {
        let names: BTreeSet<&str> = answers
            .tasks
            .iter()
            .filter(|task| self.tasks_of_services.contains(&task.task_arn))
            .filter_map(|task| task.service_hint())
            .collect();
        let names: Vec<&str> = names.into_iter().collect();
        names
            .chunks(SERVICES_MAX)
            .map(|services| {
                let body = ServicesRequest { cluster: &self.cluster_arn, services };
                EcsRequest::new(Operation::DescribeServices, &body)
            })
            .collect()
    }
}

/// All that is asked about one cluster, each thing once.
#[derive(Default)]
struct Batch<'a> {
    /// That of the cluster.
    region: &'a str,
    tasks: BTreeMap<&'a str, Requirement>,
    instances: BTreeSet<&'a str>,
}

impl Batch<'_> {
    fn questions(self, cluster_arn: &str) -> Vec<EcsQuestion> {
        let tasks: Vec<(&str, Requirement)> = self.tasks.into_iter().collect();
        let instances: Vec<&str> = self.instances.into_iter().collect();
        let mut task_chunks = tasks.chunks(SUBJECTS_MAX);
        let mut instance_chunks = instances.chunks(SUBJECTS_MAX);
        let count = task_chunks.len().max(instance_chunks.len());
        let next = |_| {
            let mut question = EcsQuestion::empty(self.region, cluster_arn);
            for (arn, requirement) in task_chunks.next().unwrap_or_default() {
                question.add_task(arn, *requirement);
            }
            let instances = instance_chunks.next().unwrap_or_default();
            question.instances.extend(instances.iter().map(|arn| (*arn).to_owned()));
            question
        };
        (0..count).map(next).collect()
    }
}

impl EcsRequest {
    fn new(operation: Operation, body: &impl Serialize) -> Self {
        let body = serde_json::to_value(body).expect("strings and lists of them");
        Self { operation, body }
    }
}

#[derive(Serialize)]
struct ClustersRequest<'a> {
    clusters: [&'a str; 1],
}

#[derive(Serialize)]
struct TasksRequest<'a> {
    cluster: &'a str,
    tasks: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InstancesRequest<'a> {
    cluster: &'a str,
    container_instances: &'a [String],
}

#[derive(Serialize)]
struct ServicesRequest<'a> {
    cluster: &'a str,
    services: &'a [&'a str],
}
