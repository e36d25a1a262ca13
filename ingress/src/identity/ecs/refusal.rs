//! Why an agent is not what it says, in ECS's eyes.

use std::fmt;

/// What ECS said against a task or host. Names are ARNs, and of services names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EcsRefusal {
    /// There is no such cluster.
    UnknownCluster {
        /// Which.
        cluster: String,
    },
    /// The cluster was deleted; ECS still knows its name for a while.
    ClusterDeleted {
        /// Which.
        cluster: String,
    },
    /// There is no such task in the cluster; also some time after it stopped.
    UnknownTask {
        /// Which.
        task: String,
        /// What ECS says of it, usually `MISSING`; nothing, if it said nothing.
        reason: String,
    },
    /// The task is in another cluster than was asked about.
    OtherCluster {
        /// Which task.
        task: String,
        /// Where it is.
        cluster: String,
    },
    /// The task is on its way: its containers may run before ECS says so of the task.
    NotStarted {
        /// Which.
        task: String,
        /// What ECS says so far.
        status: String,
    },
    /// The task does not run any more, or not in a way that is known here.
    NotRunning {
        /// Which.
        task: String,
        /// What ECS says instead.
        status: String,
    },
    /// The task runs and is to stop: its agent is draining, or will soon.
    Stopping {
        /// Which.
        task: String,
    },
    /// There is no such service.
    UnknownService {
        /// Which task says that it is of it.
        task: String,
        /// Which.
        service: String,
    },
    /// The service was deleted; ECS still knows its name for a while.
    ServiceDeleted {
        /// Which task says that it is of it.
        task: String,
        /// Which.
        service: String,
    },
    /// The task says that it is of a service which did not start it.
    NotOfService {
        /// Which task.
        task: String,
        /// Which service.
        service: String,
    },
    /// There is no such container instance.
    UnknownInstance {
        /// Which.
        instance: String,
        /// What ECS says of it.
        reason: String,
    },
    /// The container instance is another machine than the identity's.
    OtherInstance {
        /// Which.
        instance: String,
        /// The machine by the identity.
        id: String,
    },
    /// The container instance is being taken away.
    InstanceNotActive {
        /// Which.
        instance: String,
        /// What ECS says instead.
        status: String,
    },
}

impl EcsRefusal {
    /// Whether ECS may say so of what is there. Its answers come from copies, some of which may be old
    /// for a while; nothing that has ended is as if it went on.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::UnknownCluster { .. }
            | Self::UnknownTask { .. }
            | Self::NotStarted { .. }
            | Self::UnknownService { .. }
            | Self::UnknownInstance { .. } => true,
            Self::ClusterDeleted { .. }
            | Self::OtherCluster { .. }
            | Self::NotRunning { .. }
            | Self::Stopping { .. }
            | Self::ServiceDeleted { .. }
            | Self::NotOfService { .. }
            | Self::OtherInstance { .. }
            | Self::InstanceNotActive { .. } => false,
        }
    }
}

impl fmt::Display for EcsRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCluster { cluster } => write!(f, "ECS does not know {cluster}"),
            Self::ClusterDeleted { cluster } => write!(f, "{cluster} was deleted"),
            Self::UnknownTask { task, reason }
            | Self::UnknownInstance { instance: task, reason } => {
                write!(f, "ECS does not know {task} in the cluster: {}", shown(reason))
            }
            Self::OtherCluster { task, cluster } => {
                write!(f, "{task} is in another cluster, {}", shown(cluster))
            }
            Self::NotStarted { task, status } => {
                write!(f, "{task} is {} and has not started", shown(status))
            }
            Self::NotRunning { task, status } => {
                write!(f, "{task} is {} and not RUNNING", shown(status))
            }
            Self::Stopping { task } => write!(f, "{task} is about to stop"),
            Self::UnknownService { task, service } => {
                write!(f, "{task} is said to belong to the service {service}, which is not there")
            }
            Self::ServiceDeleted { task, service } => {
                write!(f, "{task} is said to belong to the service {service}, which was deleted")
            }
            Self::NotOfService { task, service } => {
                write!(f, "{task} was not started by a deployment of the service {service}")
            }
            Self::OtherInstance { instance, id } => {
                write!(f, "{instance} is another machine than {id}")
            }
            Self::InstanceNotActive { instance, status } => {
                write!(f, "{instance} is {} and not ACTIVE", shown(status))
            }
        }
    }
}

impl std::error::Error for EcsRefusal {}

const fn shown(word: &str) -> &str {
    if word.is_empty() { "(nothing was said)" } else { word }
}
