//! The server application: rules, no I/O.
//!
//! A caller's request goes `downstream` -> `requests` (with `routes` and `balance`) -> a stream of
//! a `tunnel`; its response comes back through `responses`. Agents arrive at `admin` (HTTP), become
//! a `registration` (frames), and then a `tunnel`.

mod access_log;
pub mod admin;
pub mod admission;
mod application;
mod audit;
pub mod balance;
mod built_in;
pub mod callers;
mod choice;
pub mod config;
pub mod downstream;
mod drain;
mod ending;
mod exchange;
mod failing;
pub mod gauge;
pub mod identity;
pub mod ingress;
mod inspection;
pub mod invariants;
pub mod jobs;
mod known;
pub mod metrics;
mod moving;
pub mod pages;
mod reassess;
pub mod registration;
mod renewal;
pub mod replies;
mod requests;
mod responses;
pub mod room;
pub mod routes;
pub mod successors;
pub mod tunnel;
mod verification;
pub mod workers;

pub use config::{AccessLog, Admission, Config, IdentityChecks, Limits, Timeouts};
pub use ingress::{ADMIN, Ingress, TRAFFIC, TUNNEL};
