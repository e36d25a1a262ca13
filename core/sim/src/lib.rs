//! The simulated shell: one clock, one seed, links that chop, delay, stall and cut.
//!
//! A [`World`] runs applications under the very [`Driver`](mesh_protocol::Driver) that the real
//! shell uses, and scripted [`peers`] beside them, all on one thread and without a clock: it jumps
//! from event to event. One seed is one history. A failing one prints its seed and what happened
//! last; with `SIM_SEED` set to it, only that history runs, exactly as before.
//!
//! ```
//! use std::time::Duration;
//! use mesh_sim::peers::{HttpClient, HttpService, Request, pattern};
//! use mesh_sim::{FaultRates, LinkRules, World, seeds};
//!
//! seeds(16, |seed| {
//!     let mut world = World::new(seed);
//!     world.set_default_links(LinkRules::drawn(FaultRates::mild()));
//!     let service = world.add_peer("service", HttpService::new(), &["service:80"]);
//!     // An application: world.add_app("ingress", app, &[("ingress:8080", ListenerId(0))])
//!     let script = vec![Request::get("a.example", "/bytes/5000")];
//!     let client = world.add_peer("client", HttpClient::new("service:80", script), &[]);
//!     world.on_step(move |world| assert!(world.conns_without_deadline(client).is_empty()));
//!
//!     let done = |world: &World| world.peer::<HttpClient>(client).is_done();
//!     world.expect("the answer comes", done, Duration::from_secs(60));
//!
//!     let response = &world.peer::<HttpClient>(client).responses()[0];
//!     assert!(response.is(200) && response.body == pattern(5000));
//!     assert_eq!(world.peer::<HttpService>(service).served.len(), 1);
//!     assert!(world.run_until_quiet(Duration::from_secs(60)));
//!     world.check_settled();
//! });
//! ```
//!
//! | file | what it is |
//! | --- | --- |
//! | `world` | the nodes, the stepping, and what a test can do to both |
//! | `network` | what is between the nodes: clock, agenda, address book, links; TCP's manners |
//! | `link`, `faults` | one link: capacity, latency, grain; and what goes wrong on it when |
//! | `desk` | what is between the workers of one process |
//! | `endpoint`, `node` | an end as a transport; an application under the driver |
//! | `peers` | scripted callers, origin servers and cheats, with their own reading of HTTP |
//! | `trace`, `seeds` | what happened, and many histories of one test |

#[cfg(test)]
mod apps;
mod desk;
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
pub use node::DoJob;
pub use seeds::seeds;
pub use world::{Death, Step, World};
