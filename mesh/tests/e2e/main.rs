//! The real binaries, talking over real sockets: `mesh server`, `mesh client`, `mesh-agent` and the
//! sample service, each in its own process, on ports that the system chooses.

mod balance;
mod drain;
mod fidelity;
mod framing;
mod harness;
mod hostile;
mod hostile_agent;
mod hostile_ingress;
mod interim;
mod peers;
mod resilience;
mod routing;
mod streaming;
mod timeouts;
