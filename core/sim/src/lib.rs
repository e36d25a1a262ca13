//! The simulated shell: one clock, one seed, links that chop, delay, stall and cut.

mod draw;
mod endpoint;
mod faults;
mod link;
mod network;
mod node;
pub mod peers;
mod seeds;
mod trace;
mod world;

pub use endpoint::Endpoint;
pub use faults::{Fault, FaultRates};
pub use link::{LinkConfig, LinkRules};
pub use network::{Answer, Life, NodeId};
pub use seeds::seeds;
pub use world::{Death, Step, World};

#[cfg(test)]
mod apps;
