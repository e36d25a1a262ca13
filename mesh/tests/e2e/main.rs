//! The real binaries, talking over real sockets: `mesh server`, `mesh client`, `mesh-agent` and the
//! sample service, each in its own process, on ports that the system chooses.

mod balance;
mod drain;
mod harness;
mod peers;
mod resilience;
mod routing;
mod timeouts;
mod tls;
