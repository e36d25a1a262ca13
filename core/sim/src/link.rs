//! A link: two directed pipes with a capacity, a latency and a grain, and the two ends as their
//! owners' kernels see them.
//!
//! ```text
//!   writer -> [ bytes: arrived | still travelling ] -> reader
//!               ^ readable       ^ segments, each with its time of arrival; one without bytes is FIN
//! ```
//!
//! A pipe holds at most `capacity` unread bytes: that is both socket buffers and the wire in one.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mesh_protocol::{ConnId, ListenerId, Readiness, Rng};

use crate::draw;
use crate::faults::{Fault, FaultPlan, FaultRates, Trigger};
use crate::network::NodeId;

/// How a link carries bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkConfig {
    /// From one end to the other; a connection takes two of it.
    pub latency: Duration,
    /// Added to each arrival, at random up to this.
    pub jitter: Duration,
    /// Each way; `None` is as fast as it is written.
    pub bytes_per_second: Option<u64>,
    /// Unread bytes that a direction holds.
    pub capacity: usize,
    /// The most bytes that arrive at once; mostly it is fewer.
    pub grain: usize,
}

impl LinkConfig {
    /// A local network: 50 us, 256 KiB, whole segments.
    #[must_use]
    pub const fn fast() -> Self {
        Self {
            latency: Duration::from_micros(50),
            jitter: Duration::from_micros(10),
            bytes_per_second: None,
            capacity: 256 * 1024,
            grain: 64 * 1024,
        }
    }

    /// A home uplink: 50 Mbit/s and a round trip of 20 ms.
    #[must_use]
    pub const fn uplink() -> Self {
        Self {
            latency: Duration::from_millis(10),
            jitter: Duration::from_micros(200),
            bytes_per_second: Some(50_000_000 / 8),
            capacity: 256 * 1024,
            grain: 1460,
        }
    }

    /// Any link that the Internet may have.
    pub fn draw(rng: &mut Rng) -> Self {
        let latency = Duration::from_micros(draw::magnitude(rng, 15));
        let bytes_per_second = draw::one_in(rng, 4).then(|| 1_000_000 + draw::magnitude(rng, 27));
        Self {
            latency,
            jitter: draw::up_to(rng, latency / 4),
            bytes_per_second,
            capacity: 1024 << rng.below(9),
            grain: 256 << rng.below(9),
        }
    }
}

/// What links between two nodes are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkRules {
    /// `None` draws one for each link.
    pub config: Option<LinkConfig>,
    /// How often what goes wrong.
    pub faults: FaultRates,
}

impl LinkRules {
    /// All links alike, and nothing goes wrong.
    #[must_use]
    pub const fn fixed(config: LinkConfig) -> Self {
        Self { config: Some(config), faults: FaultRates::none() }
    }

    /// Each link drawn from the seed, with faults at these rates.
    #[must_use]
    pub const fn drawn(faults: FaultRates) -> Self {
        Self { config: None, faults }
    }
}

/// The two ends of a link by who called whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Dialer,
    Listener,
}

impl Side {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        if draw::one_in(rng, 2) { Self::Dialer } else { Self::Listener }
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Listener,
            Self::Listener => Self::Dialer,
        }
    }
}

/// Names one end of one link; never reused within a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EndId {
    pub(crate) link: u32,
    pub(crate) side: Side,
}

impl EndId {
    pub(crate) const fn other(self) -> Self {
        Self { link: self.link, side: self.side.other() }
    }

    pub(crate) const fn number(self) -> u64 {
        (self.link as u64) << 1 | self.side as u64
    }
}

/// By which name an end's owner knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// Nobody owns it yet.
    Unclaimed,
    /// A connection of an application.
    Conn(ConnId),
    /// A socket of a scripted peer.
    Socket(usize),
}

/// A connection between two nodes.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) config: LinkConfig,
    pub(crate) listener: ListenerId,
    /// By [`Side`].
    pub(crate) ends: [End; 2],
    /// By the [`Side`] that writes.
    pub(crate) pipes: [Pipe; 2],
}

/// One end, as its kernel knows it.
#[derive(Debug)]
pub(crate) struct End {
    /// The process that has it.
    pub(crate) node: NodeId,
    /// The worker of the process that holds it, and hears of it.
    pub(crate) holder: NodeId,
    pub(crate) address: SocketAddr,
    pub(crate) token: Token,
    /// The owner holds it and is told of readiness.
    pub(crate) claimed: bool,
    /// The owner has not closed it.
    pub(crate) open: bool,
    /// Closing it sends a reset.
    pub(crate) abortive: bool,
    /// Readiness not yet reported.
    pub(crate) pending: Readiness,
    /// It stands in its node's list of ends with something to report.
    pub(crate) queued: bool,
    /// The error that the next call reports, once.
    pub(crate) error: Option<ErrorKind>,
    /// A reset arrived.
    pub(crate) broken: bool,
}

impl End {
    pub(crate) fn new(node: NodeId, address: SocketAddr, token: Token) -> Self {
        Self {
            node,
            holder: node,
            address,
            token,
            claimed: false,
            open: true,
            abortive: false,
            pending: Readiness::default(),
            queued: false,
            error: None,
            broken: false,
        }
    }
}

/// One direction of a link.
#[derive(Debug)]
pub(crate) struct Pipe {
    /// Sent and not yet read.
    pub(crate) bytes: VecDeque<u8>,
    /// Invariant: `arrived <= bytes.len()`; the front of `bytes` that can be read.
    pub(crate) arrived: usize,
    segments: VecDeque<Segment>,
    pub(crate) capacity: usize,
    /// Bytes ever written.
    written: u64,
    /// Bytes that ever arrived.
    pub(crate) delivered: u64,
    pub(crate) fin_sent: bool,
    pub(crate) fin_arrived: bool,
    /// The writer was turned away and is told as soon as this many bytes are free.
    pub(crate) blocked: Option<usize>,
    /// Bytes go in and never arrive.
    pub(crate) black: bool,
    /// Bytes are taken from the writer and dropped.
    pub(crate) swallowing: bool,
    /// In order of their positions.
    faults: VecDeque<(u64, Fault)>,
    dribble_bytes: u64,
    /// Arrival of the last segment: nothing overtakes.
    last_at: Instant,
    /// For this moment a delivery is on the agenda.
    pub(crate) scheduled: Option<Instant>,
}

#[derive(Debug)]
struct Segment {
    at: Instant,
    /// 0 is FIN.
    len: usize,
}

/// Time between two segments of one write, at the most.
const GAP_MAX: Duration = Duration::from_micros(40);

impl Pipe {
    pub(crate) fn new(config: &LinkConfig, side: Side, plan: &FaultPlan, now: Instant) -> Self {
        let mut faults: Vec<(u64, Fault)> = Vec::new();
        for (trigger, fault) in &plan.faults {
            if let Trigger::Byte(writer, at) = trigger
                && *writer == side
            {
                faults.push((*at, *fault));
            }
        }
        faults.sort_by_key(|(at, _)| *at);
        Self {
            bytes: VecDeque::new(),
            arrived: 0,
            segments: VecDeque::new(),
            capacity: config.capacity,
            written: 0,
            delivered: 0,
            fin_sent: false,
            fin_arrived: false,
            blocked: None,
            black: false,
            swallowing: false,
            faults: faults.into(),
            dribble_bytes: plan.dribble_bytes,
            last_at: now,
            scheduled: None,
        }
    }

    /// How many bytes can be written.
    pub(crate) fn space(&self) -> usize {
        self.capacity.saturating_sub(self.bytes.len())
    }

    /// Sends bytes on their way, in pieces.
    pub(crate) fn send(&mut self, bytes: &[u8], config: &LinkConfig, now: Instant, rng: &mut Rng) {
        if self.swallowing {
            return;
        }
        self.bytes.extend(bytes);
        let earliest = now + config.latency + draw::up_to(rng, config.jitter);
        let mut left = bytes.len();
        while left > 0 {
            let len = self.piece(left, config, rng);
            let gap = match config.bytes_per_second {
                Some(rate) => Duration::from_nanos(len as u64 * 1_000_000_000 / rate),
                None => draw::up_to(rng, GAP_MAX),
            };
            self.last_at = earliest.max(self.last_at + gap);
            let at = self.last_at;
            self.segments.push_back(Segment { at, len });
            self.written += len as u64;
            left -= len;
        }
    }

    /// Sends FIN on its way, behind all bytes.
    pub(crate) fn send_fin(&mut self, config: &LinkConfig, now: Instant) {
        self.fin_sent = true;
        if !self.swallowing {
            self.last_at = self.last_at.max(now + config.latency);
            let at = self.last_at;
            self.segments.push_back(Segment { at, len: 0 });
        }
    }

    /// The length of the next segment, which ends where a fault is to strike.
    fn piece(&self, left: usize, config: &LinkConfig, rng: &mut Rng) -> usize {
        if self.written < self.dribble_bytes {
            return 1;
        }
        let grain = if draw::one_in(rng, 8) { config.grain.min(8) } else { config.grain };
        let len = draw::size(rng, grain).min(left);
        let next = self.faults.iter().find(|(at, _)| *at > self.written);
        match next {
            Some((at, _)) => len.min(usize::try_from(at - self.written).unwrap_or(len)),
            None => len,
        }
    }

    /// When something arrives next.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        if self.black {
            return None;
        }
        self.segments.front().map(|segment| segment.at)
    }

    /// Takes the next segment that is due off the wire; its length, 0 for FIN.
    pub(crate) fn poll_segment(&mut self, now: Instant) -> Option<usize> {
        if self.next_at()? > now {
            return None;
        }
        let segment = self.segments.pop_front()?;
        self.arrived += segment.len;
        self.delivered += segment.len as u64;
        Some(segment.len)
    }

    /// The planned fault that strikes at the byte that arrived last.
    pub(crate) fn poll_fault(&mut self) -> Option<Fault> {
        let (at, fault) = *self.faults.front()?;
        if at > self.delivered {
            return None;
        }
        self.faults.pop_front();
        Some(fault)
    }

    /// Nothing arrives before `until`.
    pub(crate) fn stall(&mut self, until: Instant) {
        for segment in &mut self.segments {
            segment.at = segment.at.max(until);
        }
        self.last_at = self.last_at.max(until);
    }

    /// Drops what has not arrived.
    pub(crate) fn drop_travelling(&mut self) {
        self.bytes.truncate(self.arrived);
        self.segments.clear();
    }

    /// Drops what has arrived and was not read.
    pub(crate) fn drop_arrived(&mut self) {
        self.bytes.drain(..self.arrived);
        self.arrived = 0;
    }

    /// The direction ends here for its reader; its writer notices nothing.
    pub(crate) fn truncate(&mut self, now: Instant) {
        self.drop_travelling();
        self.swallowing = true;
        if !self.fin_arrived {
            self.segments.push_back(Segment { at: now, len: 0 });
        }
    }

    /// When the last segment so far arrives.
    pub(crate) const fn last_at(&self) -> Instant {
        self.last_at
    }
}

#[cfg(test)]
mod tests;
