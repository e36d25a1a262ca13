//! The shell over real sockets of the loopback interface.
//!
//! Nothing here sleeps: tests wait for something to happen, and every wait ends.

mod accepting;
mod connecting;
mod echoing;
mod ending;
mod pressure;
mod probe;
mod process;
mod proxied;
mod secure;
mod secured;
mod turns;
mod workers;
