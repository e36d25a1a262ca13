//! What the end-to-end tests put around the mesh's processes, as far as it is needed here.

#[path = "../e2e/harness/binaries.rs"]
pub(crate) mod binaries;
#[path = "../e2e/peers/caller.rs"]
pub(crate) mod caller;
#[path = "../e2e/peers/frames.rs"]
pub(crate) mod frames;
#[path = "../e2e/peers/missing.rs"]
pub(crate) mod missing;
#[path = "../e2e/peers/network.rs"]
pub(crate) mod network;
#[path = "../e2e/peers/place.rs"]
pub(crate) mod place;
#[path = "../e2e/peers/process.rs"]
pub(crate) mod process;
#[path = "../e2e/peers/raw_agent.rs"]
pub(crate) mod raw_agent;
#[path = "../e2e/peers/service.rs"]
pub(crate) mod service;
#[path = "../e2e/peers/wire.rs"]
pub(crate) mod wire;
