//! The whole path of a request in one thread and without a kernel: the very applications that the
//! binaries run, under the very driver, between memory instead of sockets.
//!
//! ```text
//!   callers --- Pipe ---> Driver<Ingress> --- Pipe ---> Driver<Agent> --- Pipe ---> service
//! ```
//!
//! Nothing here waits and nothing is random that matters, so that instructions and allocations can
//! be counted: the same binary gives the same numbers, however busy the machine is.

mod pipe;
mod stage;

pub use pipe::{Far, Pipe};
pub use stage::{Fields, Shape, Stage};
