//! What other workers may know at any time, of a tunnel and of each other: the one thing that workers
//! share.
//!
//! Whoever it is about writes, whoever chooses reads, and nobody waits: each number stands for itself,
//! and one that is a moment old only makes a choice a little worse.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mesh_protocol::WorkerId;

use crate::tunnel::Serial;

/// How a tunnel fares, for the workers that do not have it.
#[derive(Debug)]
pub struct Gauge {
    /// The tunnel.
    serial: Serial,
    /// From when time is counted in here.
    epoch: Instant,
    in_flight: AtomicUsize,
    /// Callers on their way to it from other workers.
    reserved: AtomicUsize,
    takes_requests: AtomicBool,
    has_room: AtomicBool,
    lasts: AtomicBool,
    holds_hosts: AtomicBool,
    is_replaced: AtomicBool,
    is_gone: AtomicBool,
    /// In milliseconds, rounded up; 0 for never.
    ejected_until: AtomicU64,
}

/// What the owner says of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Requests it carries.
    pub in_flight: usize,
    /// Whether new requests may go to it.
    pub takes_requests: bool,
    /// Whether it may carry one more.
    pub has_room: bool,
    /// Whether it is there to stay: its agent is not to open another one, has none in its place,
    /// and is not about to leave.
    pub lasts: bool,
    /// Whether its hosts are not for others: it was healthy once, and its agent is not about to leave.
    pub holds_hosts: bool,
    /// Whether another one is there in its place.
    pub is_replaced: bool,
    /// Until when others are better.
    pub ejected_until: Option<Instant>,
}

/// A caller on its way to a tunnel, which counts as its load for as long as this lives: until the
/// caller arrives or its connection ends.
#[derive(Debug)]
pub struct Reservation(Arc<Gauge>);

/// How many callers' connections each worker has, as far as they have sent a request.
#[derive(Debug)]
pub struct Homes(Vec<AtomicUsize>);

impl Gauge {
    /// A gauge that says this of a tunnel.
    #[must_use]
    pub fn new(serial: Serial, epoch: Instant, reading: &Reading) -> Self {
        let gauge = Self {
            serial,
            epoch,
            in_flight: AtomicUsize::new(0),
            reserved: AtomicUsize::new(0),
            takes_requests: AtomicBool::new(false),
            has_room: AtomicBool::new(false),
            lasts: AtomicBool::new(false),
            holds_hosts: AtomicBool::new(false),
            is_replaced: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            ejected_until: AtomicU64::new(0),
        };
        gauge.publish(reading);
        gauge
    }

    /// The owner says how the tunnel fares now.
    pub fn publish(&self, reading: &Reading) {
        self.in_flight.store(reading.in_flight, Ordering::Relaxed);
        self.takes_requests.store(reading.takes_requests, Ordering::Relaxed);
        self.has_room.store(reading.has_room, Ordering::Relaxed);
        self.lasts.store(reading.lasts, Ordering::Relaxed);
        self.holds_hosts.store(reading.holds_hosts, Ordering::Relaxed);
        self.is_replaced.store(reading.is_replaced, Ordering::Relaxed);
        let until = reading.ejected_until.map_or(0, |until| self.millis(until));
        self.ejected_until.store(until, Ordering::Relaxed);
    }

    /// The tunnel has ended, for good.
    pub fn leave(&self) {
        self.is_gone.store(true, Ordering::Relaxed);
    }

    /// A caller sets out for it.
    #[must_use]
    pub fn reserve(self: Arc<Self>) -> Reservation {
        self.reserved.fetch_add(1, Ordering::Relaxed);
        Reservation(self)
    }

    /// Whether the tunnel has ended.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    /// Requests that it carries.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Callers on their way to it.
    #[must_use]
    pub fn reserved(&self) -> usize {
        self.reserved.load(Ordering::Relaxed)
    }

    /// Whether new requests may go to it.
    #[must_use]
    pub fn takes_requests(&self) -> bool {
        self.takes_requests.load(Ordering::Relaxed) && !self.is_gone()
    }

    /// Whether it may carry one more request.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.has_room.load(Ordering::Relaxed)
    }

    /// Whether another tunnel is there in its place.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        self.is_replaced.load(Ordering::Relaxed)
    }

    /// Whether the tunnel is there to stay.
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.lasts.load(Ordering::Relaxed) && !self.is_gone()
    }

    /// Whether its hosts are not for others, although it may take no requests now.
    #[must_use]
    pub fn holds_hosts(&self) -> bool {
        self.holds_hosts.load(Ordering::Relaxed) && !self.is_gone()
    }

    /// Whether it failed so often that others are better.
    #[must_use]
    pub fn is_ejected(&self, now: Instant) -> bool {
        let until = self.ejected_until.load(Ordering::Relaxed);
        until > 0 && Duration::from_millis(until) > now.saturating_duration_since(self.epoch)
    }

    /// Whether it says just this.
    #[must_use]
    pub fn agrees_with(&self, reading: &Reading) -> bool {
        self.in_flight() == reading.in_flight
            && self.takes_requests.load(Ordering::Relaxed) == reading.takes_requests
            && self.has_room() == reading.has_room
            && self.lasts.load(Ordering::Relaxed) == reading.lasts
            && self.holds_hosts.load(Ordering::Relaxed) == reading.holds_hosts
            && self.is_replaced.load(Ordering::Relaxed) == reading.is_replaced
            && self.ejected_until.load(Ordering::Relaxed)
                == reading.ejected_until.map_or(0, |until| self.millis(until))
    }

    fn millis(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch) + Duration::from_nanos(999_999);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Reservation {
    /// The tunnel that it is for.
    #[must_use]
    pub fn serial(&self) -> Serial {
        self.0.serial
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.reserved.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Homes {
    /// Nobody is at any of so many workers.
    #[must_use]
    pub fn new(workers: u8) -> Self {
        Self((0..workers).map(|_| AtomicUsize::new(0)).collect())
    }

    /// A caller's connection is at this worker from now on, or on its way there.
    pub fn enter(&self, worker: WorkerId) {
        if let Some(count) = self.0.get(worker.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It is not any more.
    pub fn leave(&self, worker: WorkerId) {
        if let Some(count) = self.0.get(worker.index()) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many are there.
    #[must_use]
    pub fn at(&self, worker: WorkerId) -> usize {
        self.0.get(worker.index()).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests;
