//! The real binaries, talking over real sockets: `mesh server`, `mesh client`, `mesh-agent` and the
//! sample service, each in its own process, on ports that the system chooses.

mod access_log;
mod admission;
mod balance;
mod broken;
mod bulk;
mod drain;
mod fidelity;
mod framing;
mod harness;
mod hostile;
mod hostile_agent;
mod hostile_ingress;
mod interim;
mod limits;
mod notify;
mod pages;
mod peers;
mod resilience;
mod routing;
mod server_tls;
mod server_tls_files;
mod strain;
mod streaming;
mod timeouts;
mod tls;
mod websocket;
