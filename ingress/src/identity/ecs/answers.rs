//! What ECS answers, as far as it matters here.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A question that the ECS API takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// About clusters.
    DescribeClusters,
    /// About tasks.
    DescribeTasks,
    /// About hosts.
    DescribeContainerInstances,
    /// About services.
    DescribeServices,
}

impl Operation {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DescribeClusters => "DescribeClusters",
            Self::DescribeTasks => "DescribeTasks",
            Self::DescribeContainerInstances => "DescribeContainerInstances",
            Self::DescribeServices => "DescribeServices",
        }
    }
}

/// All answers to one question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EcsAnswers {
    /// From `DescribeClusters`.
    pub clusters: Vec<Cluster>,
    /// From `DescribeTasks`.
    pub tasks: Vec<Task>,
    /// From `DescribeContainerInstances`.
    pub instances: Vec<ContainerInstance>,
    /// From `DescribeServices`.
    pub services: Vec<Service>,
    /// What was not found, from all of them.
    pub failures: Vec<Failure>,
}

impl EcsAnswers {
    /// Adds an answer.
    ///
    /// # Errors
    /// It is not the JSON it should be; half a sentence.
    pub fn add(&mut self, operation: Operation, body: Value) -> Result<(), String> {
        let failures = match operation {
            Operation::DescribeClusters => {
                let ClustersBody { clusters, failures } = read(operation, body)?;
                self.clusters.extend(clusters);
                failures
            }
            Operation::DescribeTasks => {
                let TasksBody { tasks, failures } = read(operation, body)?;
                self.tasks.extend(tasks);
                failures
            }
            Operation::DescribeContainerInstances => {
                let InstancesBody { container_instances, failures } = read(operation, body)?;
                self.instances.extend(container_instances);
                failures
            }
            Operation::DescribeServices => {
                let ServicesBody { services, failures } = read(operation, body)?;
                self.services.extend(services);
                failures
            }
        };
        self.failures.extend(failures);
        Ok(())
    }
}

fn read<T: DeserializeOwned>(operation: Operation, body: Value) -> Result<T, String> {
    serde_json::from_value(body)
        .map_err(|error| format!("the answer to {} is unreadable: {error}", operation.as_str()))
}

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Its ARN.
    pub cluster_arn: String,
    /// Its name.
    #[serde(default)]
    pub cluster_name: String,
    /// `INACTIVE` once it is deleted; `ACTIVE`, `PROVISIONING` and others while it has tasks.
    #[serde(default)]
    pub status: String,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Its ARN.
    pub task_arn: String,
    /// The ARN of its cluster.
    #[serde(default)]
    pub cluster_arn: String,
    /// Where it is in its life.
    #[serde(default)]
    pub last_status: String,
    /// Where it is to be.
    #[serde(default)]
    pub desired_status: String,
    /// How it was launched.
    #[serde(default)]
    pub launch_type: Option<String>,
    /// The deployment or task set of the service that started it, or what another starter wrote.
    #[serde(default)]
    pub started_by: Option<String>,
    /// `service:NAME` for a service's tasks.
    #[serde(default)]
    pub group: Option<String>,
    /// Its host, if it has one that ECS tells.
    #[serde(default)]
    pub container_instance_arn: Option<String>,
}

/// A host of tasks. Whether ECS hears of it (`agentConnected`) is not looked at: that is false whenever its
/// ECS agent is updated.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerInstance {
    /// Its ARN.
    pub container_instance_arn: String,
    /// Its id in EC2, or in Systems Manager (`mi-...`).
    #[serde(default)]
    pub ec2_instance_id: Option<String>,
    /// `ACTIVE`, `DRAINING` and others.
    #[serde(default)]
    pub status: String,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Its name.
    pub service_name: String,
    /// The ARN of its cluster.
    #[serde(default)]
    pub cluster_arn: String,
    /// `ACTIVE`, `DRAINING` or `INACTIVE`.
    #[serde(default)]
    pub status: String,
    /// Its deployments, as long as they have tasks; none where somebody other than ECS deploys.
    #[serde(default)]
    pub deployments: Vec<Deployment>,
    /// What there is in their place where CodeDeploy or a deployer outside of AWS does it.
    #[serde(default)]
    pub task_sets: Vec<Deployment>,
}

/// A deployment of a service, or a task set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Deployment {
    /// What the tasks that it starts have as `startedBy`.
    #[serde(default)]
    pub id: String,
}

/// Something that was asked about and not found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Failure {
    /// What was asked about.
    #[serde(default)]
    pub arn: String,
    /// Why it is not there, usually `MISSING`.
    #[serde(default)]
    pub reason: String,
}

#[derive(Deserialize)]
struct ClustersBody {
    #[serde(default)]
    clusters: Vec<Cluster>,
    #[serde(default)]
    failures: Vec<Failure>,
}

#[derive(Deserialize)]
struct TasksBody {
    #[serde(default)]
    tasks: Vec<Task>,
    #[serde(default)]
    failures: Vec<Failure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InstancesBody {
    #[serde(default)]
    container_instances: Vec<ContainerInstance>,
    #[serde(default)]
    failures: Vec<Failure>,
}

#[derive(Deserialize)]
struct ServicesBody {
    #[serde(default)]
    services: Vec<Service>,
    #[serde(default)]
    failures: Vec<Failure>,
}
