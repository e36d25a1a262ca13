//! Bytes in, bytes out: everything both ends of the mesh share, with no I/O.
//!
//! From the bottom up: [`Buf`] is a byte queue and [`Duplex`] a connection of two of them;
//! [`Conns`] are all connections of an application; [`App`] is the contract between an application
//! and a shell, and [`Driver`] the loop that every shell runs. On these stand the protocols.

pub mod app;
mod batch;
pub mod buf;
pub mod conns;
pub mod control;
pub mod driver;
pub mod duplex;
pub mod heads;
pub mod http1;
pub mod link;
pub mod mux;
pub mod outlet;
pub mod proof;
pub mod proxy;
pub mod rng;
mod spare;
pub mod timers;
pub mod tls;
pub mod ws;

pub use app::{
    App, CloseReason, Command, Context, Event, ListenerId, Outgoing, Security, Target, Traffic,
    WorkerId,
};
pub use buf::Buf;
pub use conns::{ConnId, Connection, Conns};
pub use driver::{
    Driver, Filled, Flushed, Moved, Parcel, ParcelOf, Readiness, Terms, Transport, Unread,
};
pub use duplex::{Awaited, Closing, Duplex, Patience};
pub use heads::Heads;
pub use link::{Link, Liveness};
pub use outlet::PIECES_MAX;
pub use proxy::Proxy;
pub use rng::Rng;
pub use timers::Timers;
