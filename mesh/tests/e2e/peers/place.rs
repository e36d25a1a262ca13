//! Addresses that no other test has, not even once they are free again.
//!
//! The system gives a port anew as soon as its owner is gone. An agent that still dials a service
//! that its test stopped would then meet the listener of another test.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

static GIVEN: AtomicU16 = AtomicU16::new(1);

/// A loopback address of its own, where the system has as many as Linux has.
pub(crate) fn own_ip() -> IpAddr {
    if !cfg!(target_os = "linux") {
        return Ipv4Addr::LOCALHOST.into();
    }
    let [high, low] = GIVEN.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    // The process, for two runs of the tests beside each other.
    let [.., process] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, process.max(1), high, low).into()
}

/// The same with a port of the system's choice.
pub(crate) fn own_address() -> SocketAddr {
    SocketAddr::new(own_ip(), 0)
}
