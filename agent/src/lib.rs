//! The client application: rules, no I/O.
//!
//! `registration` gets a `tunnel` and keeps one. A request comes out of the tunnel in `requests`,
//! goes to the local service on an `upstream` connection (kept in `pool`), and its response goes
//! back in `responses`; what is wrong with it is logged by `faults`. `probe` and `health` find out
//! whether the service is there. `identity` answers an ingress that asks who this agent is, and
//! `visitor` whoever asks how it is. With several `workers`, the first one gets the tunnels, and its
//! `ledger` says where they are.

pub mod agent;
pub mod args;
pub mod backoff;
pub mod config;
mod drain;
mod exchange;
mod faults;
pub mod health;
pub mod identity;
pub mod invariants;
pub mod ledger;
mod losses;
pub mod pool;
pub mod probe;
mod registration;
mod requests;
mod responses;
pub mod tunnel;
pub mod upstream;
pub mod visitor;
pub mod workers;

pub use agent::Agent;
pub use config::{Config, Endpoint, HealthCheck, Identity, Limits, Timeouts};
