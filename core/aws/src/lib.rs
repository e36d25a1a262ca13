//! What the mesh asks of AWS: credentials, signatures, STS, ECS and task metadata.
//!
//! The only crate that knows aws-sigv4 and ureq. It is blocking and meant for helper threads; it
//! knows nothing of ingress and agent. The time that counts for signatures and credentials is an
//! argument, the environment is a value, and each answer is read within limits of time and size.
//!
//! ```text
//!   Environment --> Chain    whose requests these are        Regions   where they go
//!                     \                                        /
//!                      sign::sign --> sts::Sts, ecs::Ecs <-- Endpoint
//! ```
//!
//! Secret keys and session tokens appear in no `Debug`, no `Display` and no log line of this crate's;
//! of ureq's they do under one target, [`SECRET_LOG_TARGET`], which a logger has to drop.

mod arn;
mod codes;
mod credentials;
mod ecs;
mod endpoint;
mod environment;
mod file;
mod http;
mod instance;
mod metadata;
mod profiles;
mod region;
mod setup;
mod sign;
mod sts;
mod timestamp;
mod xml;

pub use credentials::{Chain, Credentials, CredentialsError, Source};
pub use ecs::{Ecs, EcsFailure};
pub use endpoint::{Endpoint, EndpointError, Partition};
pub use environment::Environment;
pub use http::SECRET_LOG_TARGET;
pub use metadata::{
    INTROSPECTION, InstanceFacts, MetadataError, TaskFacts, container_instance, task,
};
pub use region::{Region, RegionError, Regions};
pub use setup::SetupError;
pub use sign::Unsignable;
pub use sts::{Identity, Proof, SignedRequest, Statement, Sts, StsFailure, prove};

#[cfg(test)]
mod tests;
