//! All tunnels that a worker knows: its own, and then those of the other workers, of which it knows less.

use std::time::Instant;

use mesh_protocol::WorkerId;

use crate::identity::Principal;
use crate::ingress::Ingress;
use crate::tunnel::{AgentId, Serial, Tunnel};
use crate::workers::Remote;

/// A tunnel at whatever worker.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Known<'t> {
    /// At this one.
    Here(&'t Tunnel),
    /// At another one.
    There(&'t Remote),
}

impl Known<'_> {
    pub(crate) const fn serial(self) -> Serial {
        match self {
            Self::Here(tunnel) => tunnel.serial,
            Self::There(remote) => remote.serial,
        }
    }

    /// The other worker that has it; none where it is here.
    pub(crate) const fn worker(self) -> Option<WorkerId> {
        match self {
            Self::Here(_) => None,
            Self::There(remote) => Some(remote.worker),
        }
    }

    pub(crate) const fn agent(self) -> AgentId {
        match self {
            Self::Here(tunnel) => tunnel.agent,
            Self::There(remote) => remote.agent,
        }
    }

    /// Which of the tunnels of its agent it is.
    pub(crate) const fn lane(self) -> u32 {
        match self {
            Self::Here(tunnel) => tunnel.hello.lane,
            Self::There(remote) => remote.lane,
        }
    }

    /// When its agent introduced itself.
    pub(crate) const fn introduced(self) -> Instant {
        match self {
            Self::Here(tunnel) => tunnel.introduced,
            Self::There(remote) => remote.introduced,
        }
    }

    /// Whether it is there to stay.
    pub(crate) fn lasts(self) -> bool {
        match self {
            Self::Here(tunnel) => tunnel.lasts(),
            Self::There(remote) => remote.gauge.lasts(),
        }
    }

    /// Whether its hosts are not for others.
    pub(crate) fn holds_hosts(self) -> bool {
        match self {
            Self::Here(tunnel) => tunnel.holds_hosts(),
            Self::There(remote) => remote.gauge.holds_hosts(),
        }
    }

    /// Whether another one has come in its place, or it has ended.
    pub(crate) fn is_replaced(self) -> bool {
        match self {
            Self::Here(tunnel) => tunnel.is_replaced(),
            Self::There(remote) => remote.gauge.is_replaced() || remote.gauge.is_gone(),
        }
    }
}

impl<'t> Known<'t> {
    /// The agent's own name for its process.
    pub(crate) fn process(self) -> &'t str {
        match self {
            Self::Here(tunnel) => &tunnel.hello.process,
            Self::There(remote) => &remote.process,
        }
    }

    /// Who the agent proved to be.
    pub(crate) const fn principal(self) -> Option<&'t Principal> {
        match self {
            Self::Here(tunnel) => tunnel.standing.principal.as_ref(),
            Self::There(remote) => remote.principal.as_ref(),
        }
    }
}

impl Ingress {
    /// This worker's tunnels, and then those of the others.
    pub(crate) fn known_tunnels(&self) -> impl Iterator<Item = Known<'_>> {
        let own = self.tunnels.iter().map(|(_, tunnel)| Known::Here(tunnel));
        own.chain(self.workers.remotes.values().map(Known::There))
    }
}
