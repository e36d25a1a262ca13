//! The real binaries, talking over real sockets: `mesh server`, `mesh client`, `mesh-agent` and the
//! sample service, each in its own process, on ports that the system chooses.

mod access_log;
mod admission;
mod agent_health;
mod attacks;
mod balance;
mod broken;
mod bulk;
mod certificates;
mod clouds;
mod cores;
mod drain;
// The tests of identity use the rest.
#[expect(dead_code)]
mod fakes;
mod fidelity;
mod forgeries;
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
mod proxied;
mod resilience;
mod routing;
mod server_tls;
mod server_tls_files;
mod sieges;
mod strain;
mod streaming;
mod timeouts;
mod tls;
mod tokens;
mod vanished;
mod websocket;
mod workers;
