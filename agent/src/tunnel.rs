//! The agent's side of a tunnel, from the first packet to the last.
//!
//! ```text
//!   Connecting --> Upgrading --> Greeting ------------> Serving
//!                   GET, 101     HELLO  |        WELCOME   ^ streams
//!                                       `--> Proving ------'
//!                                  CHALLENGE, PROOF
//! ```

mod serving;

use std::time::{Duration, Instant};

use mesh_protocol::http1::scan::HeadScan;
use mesh_protocol::mux::StreamId;
use mesh_protocol::ws::upgrade::Offer;
use mesh_protocol::{Awaited, ConnId, Duplex, Link};

use crate::agent::Agent;
use crate::config::Timeouts;
use crate::identity::PROVING;
use crate::ledger::Serial;

/// Names a tunnel: the connection it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TunnelId(pub(crate) ConnId);

impl TunnelId {
    /// The connection the tunnel runs on.
    pub(crate) const fn conn(self) -> ConnId {
        self.0
    }
}

/// A connection to an ingress.
#[derive(Debug)]
pub struct Tunnel {
    /// Its number in this process.
    pub(crate) serial: Serial,
    pub(crate) phase: Phase,
    /// The digest of the HELLO that was sent.
    pub(crate) digest: String,
    /// When it was begun.
    pub(crate) since: Instant,
    /// When it turned out that it will not last, or another one came in its place.
    pub(crate) moving: Option<Instant>,
}

/// How far it is.
#[derive(Debug)]
pub(crate) enum Phase {
    Connecting,
    Upgrading {
        offer: Offer,
        scan: HeadScan,
    },
    Greeting(Box<Link>),
    /// Asked who we are, and when; the proof may be still to be made.
    Proving {
        link: Box<Link>,
        since: Instant,
        has_sent: bool,
    },
    Serving(Box<Link>),
    /// About to close; nothing that comes counts any more.
    Over,
}

/// How long an ingress may take to let go of a tunnel that it asked us to leave, or that was replaced: as
/// long as it can take to drain. It closes such a tunnel itself.
const LETTING_GO: Duration = Duration::from_secs(3600);

impl Tunnel {
    pub(crate) const fn new(serial: Serial, now: Instant) -> Self {
        Self { serial, phase: Phase::Connecting, digest: String::new(), since: now, moving: None }
    }

    /// The link, once there is one.
    pub(crate) fn link(&self) -> Option<&Link> {
        match &self.phase {
            Phase::Greeting(link) | Phase::Proving { link, .. } | Phase::Serving(link) => {
                Some(link)
            }
            Phase::Connecting | Phase::Upgrading { .. } | Phase::Over => None,
        }
    }

    /// The link, once there is one, to be worked on.
    pub(crate) fn link_mut(&mut self) -> Option<&mut Link> {
        match &mut self.phase {
            Phase::Greeting(link) | Phase::Proving { link, .. } | Phase::Serving(link) => {
                Some(link)
            }
            Phase::Connecting | Phase::Upgrading { .. } | Phase::Over => None,
        }
    }

    /// Whether frames wait to be sent.
    pub(crate) fn has_output(&self) -> bool {
        self.link().is_some_and(Link::has_output)
    }

    /// Whether our direction of a stream has ended, or the stream is over.
    pub(crate) fn has_ended(&self, stream: StreamId) -> bool {
        self.link().is_none_or(|link| link.session.has_ended(stream))
    }

    /// The link, if requests may come through it.
    pub(crate) fn serving_mut(&mut self) -> Option<&mut Link> {
        match &mut self.phase {
            Phase::Serving(link) => Some(link),
            Phase::Connecting
            | Phase::Upgrading { .. }
            | Phase::Greeting(_)
            | Phase::Proving { .. }
            | Phase::Over => None,
        }
    }

    /// Since when it has waited for its next phase, and how long it may.
    pub(crate) const fn phase_timeout(&self, timeouts: &Timeouts) -> (Instant, Duration) {
        match &self.phase {
            Phase::Proving { since, .. } => (*since, PROVING),
            Phase::Connecting
            | Phase::Upgrading { .. }
            | Phase::Greeting(_)
            | Phase::Serving(_)
            | Phase::Over => (self.since, timeouts.connect),
        }
    }

    /// What has not come until its deadline, for the log.
    pub(crate) fn missing(&self, io: &Duplex) -> &'static str {
        match &self.phase {
            Phase::Connecting => io.awaits.unwrap_or(Awaited::Peer).missing(),
            Phase::Upgrading { .. } if io.is_handshaking => "no end of the TLS handshake",
            Phase::Upgrading { .. } => "no answer to the upgrade",
            Phase::Greeting(_) | Phase::Proving { .. } | Phase::Serving(_) | Phase::Over => {
                "no WELCOME"
            }
        }
    }

    /// When it has waited long enough.
    pub(crate) fn deadline(&self, timeouts: &Timeouts) -> Instant {
        match &self.phase {
            Phase::Connecting
            | Phase::Upgrading { .. }
            | Phase::Greeting(_)
            | Phase::Proving { .. }
            | Phase::Over => {
                let (since, timeout) = self.phase_timeout(timeouts);
                since + timeout
            }
            Phase::Serving(link) => {
                let due = link.deadline();
                self.left_at().map_or(due, |left_at| left_at.min(due))
            }
        }
    }

    /// When it is left although the ingress has not closed it.
    pub(crate) fn left_at(&self) -> Option<Instant> {
        self.moving.map(|since| since + LETTING_GO)
    }
}

impl Agent {
    /// The link of a tunnel, once there is one.
    pub(crate) fn link_mut(&mut self, tunnel: TunnelId) -> Option<&mut Link> {
        self.tunnels.get_mut(&tunnel)?.link_mut()
    }
}
