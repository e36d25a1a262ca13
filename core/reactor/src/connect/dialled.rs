//! Where tunnels were dialled, and where the next one begins.

use std::collections::VecDeque;
use std::net::SocketAddr;

/// Addresses that tunnels dialled, the latest one last.
#[derive(Debug, Default)]
pub(super) struct Dialled(VecDeque<SocketAddr>);

/// Those of long ago count as new: a name has fewer.
const ADDRESSES_MAX: usize = 256;

impl Dialled {
    /// An address is being dialled.
    pub(super) fn note(&mut self, address: SocketAddr) {
        self.0.retain(|other| *other != address);
        if self.0.len() >= ADDRESSES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(address);
    }

    /// The addresses, those first that were dialled longest ago or never. Among the latter, the one of this
    /// number leads, counted around. Else the order that they come in does not matter: many name servers
    /// change it with each answer.
    pub(super) fn order(&self, mut addresses: Vec<SocketAddr>, first: usize) -> Vec<SocketAddr> {
        let first = first.checked_rem(addresses.len()).unwrap_or_default();
        addresses.rotate_left(first);
        addresses.sort_by_cached_key(|address| self.0.iter().position(|other| other == address));
        addresses
    }
}
