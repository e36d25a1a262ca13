//! What the tests of resilience put around the mesh's processes: callers, services, agents and
//! ingresses made by hand, so that they can stall, break and lie.

pub(crate) mod balancer;
pub(crate) mod caller;
pub(crate) mod frames;
pub(crate) mod load;
pub(crate) mod missing;
pub(crate) mod network;
pub(crate) mod papers;
pub(crate) mod place;
pub(crate) mod process;
pub(crate) mod raw_agent;
pub(crate) mod raw_ingress;
pub(crate) mod service;
pub(crate) mod wire;
