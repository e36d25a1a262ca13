//! The mio shell: sockets, timers, listeners, offload threads, signals and the service manager. It
//! knows no protocol of the mesh.
//!
//! ```text
//!   kernel --- poll ---> Reactor --- latch, fire, settle ---> Driver ---> App
//!                         |  |  |
//!                Listener '  |  ' Connector --- Offload (DNS)
//!             letters <--- Handle (other workers)   Mailbox <--- Offload (other threads)
//! ```
//!
//! The loop itself is [`mesh_protocol::Driver`], the same one that the simulator runs. What is
//! added here is the kernel: one `epoll` instance for each worker, where each socket is registered once,
//! for both directions and edge-triggered.

mod alarm;
mod ciphers;
mod client_tls;
mod connect;
mod current;
mod handle;
mod identity;
mod jobs;
mod listener;
mod notify;
mod offload;
mod open_files;
mod pem;
mod random;
mod reactor;
mod resolve;
mod server_tls;
mod signals;
mod transport;
mod watch;

pub use client_tls::{CaError, ClientTls};
pub use handle::Handle;
pub use identity::{IdentityError, IdentityPart, TlsIdentity, Validity};
pub use jobs::Mailbox;
pub use listener::{Listen, listen};
pub use notify::ServiceManager;
pub use open_files::raise_open_files;
pub use random::random;
pub use reactor::Reactor;
pub use server_tls::ServerTls;
pub use signals::{EarlySignals, Signals};
pub use watch::{Watch, Watched};
