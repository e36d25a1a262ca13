//! What goes wrong on a link, and when: drawn from the seed when the link is made.

use std::time::Duration;

use mesh_protocol::Rng;

use crate::draw;
use crate::link::Side;

/// How often faults of each kind strike a new link, in links of a thousand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultRates {
    /// The first bytes arrive one at a time.
    pub dribble: u16,
    /// Nothing arrives for up to 400 ms.
    pub stall: u16,
    /// One direction ends early, as if its sender had finished.
    pub truncate: u16,
    /// Both ends see a reset.
    pub cut: u16,
    /// Everything vanishes from then on; both ends stay open.
    pub blackhole: u16,
}

/// The longest drawn stall: below any timeout worth having.
const STALL_MAX: Duration = Duration::from_millis(400);

impl FaultRates {
    /// A network that works.
    #[must_use]
    pub const fn none() -> Self {
        Self { dribble: 0, stall: 0, truncate: 0, cut: 0, blackhole: 0 }
    }

    /// A network that annoys and loses nothing: every exchange must still succeed.
    #[must_use]
    pub const fn mild() -> Self {
        Self { dribble: 150, stall: 200, ..Self::none() }
    }

    /// A network that breaks connections.
    #[must_use]
    pub const fn rough() -> Self {
        Self { truncate: 60, cut: 150, blackhole: 60, ..Self::mild() }
    }
}

/// A fault, wherever it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nothing arrives for this long.
    Stall(Duration),
    /// One direction ends, as if its sender had finished; the rest is swallowed.
    Truncate,
    /// Both ends see a reset.
    Cut,
    /// One end sees a reset, and the other one nothing more.
    HalfCut,
    /// Everything vanishes from then on; both ends stay open.
    Blackhole,
}

impl Fault {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stall(_) => "stall",
            Self::Truncate => "truncate",
            Self::Cut => "cut",
            Self::HalfCut => "half cut",
            Self::Blackhole => "blackhole",
        }
    }
}

/// When a planned fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// As soon as this many bytes written by that side have arrived.
    Byte(Side, u64),
    /// This long after the dialling.
    Time(Duration),
}

/// All that will go wrong on one link.
#[derive(Debug, Default, Clone)]
pub(crate) struct FaultPlan {
    pub(crate) faults: Vec<(Trigger, Fault)>,
    /// Bytes of each direction that arrive one at a time.
    pub(crate) dribble_bytes: u64,
}

impl FaultPlan {
    /// Draws a plan.
    pub(crate) fn draw(rates: FaultRates, rng: &mut Rng) -> Self {
        let mut plan = Self::default();
        if draw::per_mille(rng, rates.dribble) {
            plan.dribble_bytes = draw::magnitude(rng, 10);
        }
        if draw::per_mille(rng, rates.stall) {
            let length = draw::up_to(rng, STALL_MAX);
            plan.faults.push((Trigger::draw(rng), Fault::Stall(length)));
        }
        let lasting = [
            (rates.truncate, Fault::Truncate),
            (rates.cut, Fault::Cut),
            (rates.blackhole, Fault::Blackhole),
        ];
        for (rate, fault) in lasting {
            if draw::per_mille(rng, rate) {
                plan.faults.push((Trigger::draw(rng), fault));
            }
        }
        plan
    }
}

impl Trigger {
    /// Mostly at a byte, where the interesting boundaries are; sometimes at a moment.
    fn draw(rng: &mut Rng) -> Self {
        if draw::one_in(rng, 4) {
            return Self::Time(Duration::from_micros(draw::magnitude(rng, 23)));
        }
        Self::Byte(Side::draw(rng), 1 + draw::magnitude(rng, 18))
    }
}
