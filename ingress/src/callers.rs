//! How many connections callers have, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::config::Limits;

/// The callers' connections, counted.
#[derive(Debug, Default)]
pub struct Callers {
    /// Those that are served.
    served: usize,
    /// Invariant: no entry is 0, and together they are `served`.
    by_address: HashMap<IpAddr, usize>,
    /// Those that are only told to come back. They take nobody's place: whoever closes late and comes again
    /// would else keep everybody out.
    turned_away: usize,
}

/// What happens to a caller that connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It is served.
    Admitted,
    /// It is told to come back later: a limit is reached.
    TurnedAway,
    /// It is dropped unheard: even those to be told are too many.
    Dropped,
}

/// Connections beyond the limit that are told so.
pub(crate) const TURNED_AWAY_MAX: usize = 128;

impl Callers {
    /// Counts a connection in, unless it is dropped.
    pub fn arrived(&mut self, address: IpAddr, limits: &Limits) -> Arrival {
        let from_here = self.by_address.get(&address).copied().unwrap_or(0);
        if self.served < limits.connections && from_here < limits.connections_per_address {
            self.served += 1;
            *self.by_address.entry(address).or_insert(0) += 1;
            Arrival::Admitted
        } else if self.turned_away < TURNED_AWAY_MAX {
            self.turned_away += 1;
            Arrival::TurnedAway
        } else {
            Arrival::Dropped
        }
    }

    /// Counts out a connection that was served.
    pub fn left(&mut self, address: IpAddr) {
        let Some(count) = self.by_address.get_mut(&address) else { return };
        *count -= 1;
        if *count == 0 {
            self.by_address.remove(&address);
        }
        self.served -= 1;
    }

    /// Counts out a connection that was told to come back.
    pub const fn turned_away_left(&mut self) {
        self.turned_away -= 1;
    }

    /// Connections in all.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.served + self.turned_away
    }
}

#[cfg(test)]
mod tests;
