//! Whether what ECS answered bears the agent out.
//!
//! Nothing is taken from an answer that does not name what was asked for: the lists are searched
//! by ARN, and the cluster is compared, whatever the request was restricted to.

use super::answers::{ContainerInstance, EcsAnswers, Service, Task};
use super::{EcsFacts, EcsRefusal, EcsSubject, Object};
use crate::identity::policy::Requirement;
use crate::identity::rule::LaunchType;

impl EcsSubject {
    /// What the answers say of this task or host. ECS is asked again from time to time.
    ///
    /// # Errors
    /// It is not there, does not run, or is another one. That it is not of the service of which it says
    /// that it is comes with the facts.
    pub fn verify(
        &self,
        requirement: Requirement,
        answers: &EcsAnswers,
    ) -> Result<EcsFacts, EcsRefusal> {
        let (facts, leaving) = self.verify_registered(requirement, answers)?;
        leaving.map_or(Ok(facts), Err)
    }

    /// What the answers say of somebody who is registered: whoever leaves in peace may finish what
    /// is under way. Why it leaves comes with what it is.
    ///
    /// # Errors
    /// See [`EcsSubject::verify`].
    pub fn verify_registered(
        &self,
        requirement: Requirement,
        answers: &EcsAnswers,
    ) -> Result<(EcsFacts, Option<EcsRefusal>), EcsRefusal> {
        self.verify_cluster(answers)?;
        let (service, launch_type, leaving) = match &self.object {
            Object::Task { arn } => {
                let (task, leaving) = self.verify_task(arn, answers)?;
                let service = match requirement {
                    Requirement::Place => Ok(None),
                    Requirement::Service => verify_service(task, answers),
                };
                (service, task.launch_type.as_deref().and_then(LaunchType::of_ecs), leaving)
            }
            Object::Instance { arn, id } => {
                let leaving = verify_instance(arn, id, answers)?;
                let is_external = id.starts_with("mi-");
                let kind = if is_external { LaunchType::External } else { LaunchType::Ec2 };
                (Ok(None), Some(kind), leaving)
            }
        };
        let name = self.cluster_arn.rsplit('/').next().unwrap_or_default();
        // Who is not of its service is still where it is, and rules may ask for no more.
        let (service, unproved) = match service {
            Ok(service) => (service, None),
            Err(refusal) => (None, Some(refusal)),
        };
        let facts = EcsFacts {
            cluster_arn: self.cluster_arn.to_string(),
            cluster_name: name.to_owned(),
            service,
            unproved,
            launch_type,
        };
        Ok((facts, leaving))
    }

    fn verify_cluster(&self, answers: &EcsAnswers) -> Result<(), EcsRefusal> {
        let found = answers.clusters.iter().find(|found| *found.cluster_arn == *self.cluster_arn);
        let cluster = self.cluster_arn.to_string();
        match found {
            None => Err(EcsRefusal::UnknownCluster { cluster }),
            // Whatever else it is, its tasks run on: it is being provisioned again while its capacity
            // providers change, and has failed if that did.
            Some(found) if found.status == "INACTIVE" => {
                Err(EcsRefusal::ClusterDeleted { cluster })
            }
            Some(_) => Ok(()),
        }
    }

    /// The task, and why it leaves if it does.
    fn verify_task<'a>(
        &self,
        arn: &str,
        answers: &'a EcsAnswers,
    ) -> Result<(&'a Task, Option<EcsRefusal>), EcsRefusal> {
        let task = arn.to_owned();
        let Some(found) = answers.tasks.iter().find(|found| found.task_arn == arn) else {
            return Err(EcsRefusal::UnknownTask { task, reason: reason_for(arn, answers) });
        };
        if *found.cluster_arn != *self.cluster_arn {
            return Err(EcsRefusal::OtherCluster { task, cluster: found.cluster_arn.clone() });
        }
        let is_to_stop = found.desired_status == "STOPPED";
        match found.last_status.as_str() {
            // On Fargate a task is this until its containers have had their time to finish.
            "RUNNING" | "DEACTIVATING" | "STOPPING" if is_to_stop => {
                Ok((found, Some(EcsRefusal::Stopping { task })))
            }
            "RUNNING" => Ok((found, None)),
            status @ ("PROVISIONING" | "PENDING" | "ACTIVATING") if !is_to_stop => {
                Err(EcsRefusal::NotStarted { task, status: status.to_owned() })
            }
            status => Err(EcsRefusal::NotRunning { task, status: status.to_owned() }),
        }
    }
}

impl Task {
    /// The service of which the task says that it is.
    pub(super) fn service_hint(&self) -> Option<&str> {
        self.group.as_deref()?.strip_prefix("service:").filter(|name| !name.is_empty())
    }
}

/// The service that started the task; none, if it does not even say so.
fn verify_service(task: &Task, answers: &EcsAnswers) -> Result<Option<String>, EcsRefusal> {
    let Some(hint) = task.service_hint() else {
        return Ok(None);
    };
    let (arn, name) = (task.task_arn.clone(), hint.to_owned());
    let is_it =
        |found: &&Service| found.service_name == hint && found.cluster_arn == task.cluster_arn;
    // While a service is being deleted it is draining, and its tasks run on.
    let is_there = |found: &&Service| matches!(found.status.as_str(), "ACTIVE" | "DRAINING");
    let mut named = answers.services.iter().filter(is_it);
    let Some(found) = named.clone().find(is_there) else {
        return Err(match named.next() {
            Some(_) => EcsRefusal::ServiceDeleted { task: arn, service: name },
            None => EcsRefusal::UnknownService { task: arn, service: name },
        });
    };
    let started_by = task.started_by.as_deref().unwrap_or_default();
    let mut starters = found.deployments.iter().chain(&found.task_sets);
    let started = starters.any(|starter| starter.id == started_by);
    if started_by.is_empty() || !started {
        return Err(EcsRefusal::NotOfService { task: arn, service: name });
    }
    Ok(Some(name))
}

/// Why the host is left, if it is.
fn verify_instance(
    arn: &str,
    id: &str,
    answers: &EcsAnswers,
) -> Result<Option<EcsRefusal>, EcsRefusal> {
    let instance = arn.to_owned();
    let by_arn = |found: &&ContainerInstance| found.container_instance_arn == arn;
    let Some(found) = answers.instances.iter().find(by_arn) else {
        return Err(EcsRefusal::UnknownInstance { instance, reason: reason_for(arn, answers) });
    };
    if found.ec2_instance_id.as_deref() != Some(id) {
        return Err(EcsRefusal::OtherInstance { instance, id: id.to_owned() });
    }
    let refusal = EcsRefusal::InstanceNotActive { instance, status: found.status.clone() };
    match found.status.as_str() {
        "ACTIVE" => Ok(None),
        "DRAINING" => Ok(Some(refusal)),
        _ => Err(refusal),
    }
}

fn reason_for(arn: &str, answers: &EcsAnswers) -> String {
    let failure = answers.failures.iter().find(|failure| failure.arn == arn);
    failure.map_or_else(String::new, |failure| failure.reason.clone())
}
