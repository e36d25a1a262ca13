//! Where tunnels were dialled, and where the next one begins.

use std::collections::VecDeque;
use std::net::SocketAddr;

use mesh_protocol::Traffic;

use super::attempt::by_turns;

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

    /// The order in which the addresses of a name are dialled.
    pub(super) fn plan(
        &self,
        addresses: Vec<SocketAddr>,
        traffic: Traffic,
        first: usize,
    ) -> VecDeque<SocketAddr> {
        by_turns(match traffic {
            Traffic::Single => addresses,
            // Each address may be another peer, and only trying leads to all of them: one that takes
            // the connection may turn the tunnel away, or have one already.
            Traffic::Multiplexed => self.order(addresses, first),
        })
    }

    /// The addresses, those first that were dialled longest ago or never. Among the latter, the one of this
    /// number leads, counted around. Else the order that they come in does not matter: many name servers
    /// change it with each answer.
    fn order(&self, mut addresses: Vec<SocketAddr>, first: usize) -> Vec<SocketAddr> {
        let first = first.checked_rem(addresses.len()).unwrap_or_default();
        addresses.rotate_left(first);
        addresses.sort_by_cached_key(|address| self.0.iter().position(|other| other == address));
        addresses
    }
}
