//! What the protocol code costs, in one thread and without a kernel.
//!
//! [`Stage`] is the whole path of a request: the very applications that the binaries run, under the
//! very driver, between memory instead of sockets.
//!
//! ```text
//!   callers --- Pipe ---> Driver<Ingress> --- Pipe ---> Driver<Agent> --- Pipe ---> service
//! ```
//!
//! [`heads`], [`chunks`], [`masks`] and [`mux`] are its parts, to see which of them it was when the
//! whole has become dearer.
//!
//! Nothing here waits and nothing is random that matters, so that instructions and allocations can
//! be counted: the same binary gives the same numbers, however busy the machine is. Every scenario
//! looks at what came out, so that no work can be left out.

pub mod chunks;
pub mod heads;
pub mod masks;
pub mod mux;
mod pipe;
mod stage;

pub use pipe::{Far, Pipe};
pub use stage::{Fields, Shape, Stage};
