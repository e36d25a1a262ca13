//! The first worker's account of all tunnels, at whatever worker they are.
//!
//! A tunnel is entered when it is dialled, by a number that it keeps wherever it goes, and leaves
//! when it has ended. What goes through it is the business of the worker that has it.

use std::fmt;
use std::time::{Duration, Instant};

use mesh_protocol::WorkerId;

/// Names a tunnel in all workers, and never another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Serial(u64);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// In the order in which they were dialled. They are few.
    tunnels: Vec<Entry>,
    /// How many there were so far.
    opened: u64,
}

/// What is known of a tunnel.
#[derive(Debug)]
pub(crate) struct Entry {
    serial: Serial,
    worker: WorkerId,
    /// Which ingress process it leads to, once that has answered and if it said so.
    ingress: Vec<u8>,
    /// Which of the tunnels to that process it is, once it has got there.
    lane: Option<u32>,
    /// When it was begun.
    since: Instant,
    /// When it was welcomed.
    pub(crate) welcomed: Option<Instant>,
    /// What the ingress calls it since then.
    session: String,
    course: Course,
    /// It is about to end, since of those that do not last it was the first.
    is_dismissed: bool,
}

/// What is to become of a tunnel.
#[derive(Debug, Clone, Copy)]
enum Course {
    /// It is there to stay.
    Lasting,
    /// Another one is to come in its place. It serves until that is there: nothing is wrong with it but
    /// that there is another token.
    Renewing { since: Instant },
    /// Another one is to come in its place.
    Moving { since: Instant },
    /// The tunnel in its place, which was to come since then, is there, and this one is to get nothing new.
    Replaced { since: Instant },
}

/// How long an ingress waits for another tunnel at the most. It asks for the next proof of identity
/// up to an hour before the end of the last one.
const AWAITED: Duration = Duration::from_secs(3600);

/// The longest name of a session that is said again: HELLO has room for some of them.
const SESSION_BYTES_MAX: usize = 64;

/// What the log shows of the word of an ingress, which has 16 letters in ours.
const INGRESS_BYTES_SHOWN: usize = 64;

/// For the log: what the ingress calls it, and which ingress that is, since each counts from 1.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let session = if self.session.is_empty() { "?" } else { &self.session };
        write!(f, "session {session}")?;
        if self.ingress.is_empty() {
            return Ok(());
        }
        let shown = self.ingress.len().min(INGRESS_BYTES_SHOWN);
        write!(f, " of ingress {}", self.ingress[..shown].escape_ascii())
    }
}

impl Entry {
    /// Whether it is there to stay.
    const fn lasts(&self) -> bool {
        matches!(self.course, Course::Lasting)
    }

    /// Since when it does not last.
    const fn moving_since(&self) -> Option<Instant> {
        match self.course {
            Course::Lasting => None,
            Course::Renewing { since } | Course::Moving { since } | Course::Replaced { since } => {
                Some(since)
            }
        }
    }

    /// Whether it serves and is there to stay.
    const fn serves(&self) -> bool {
        self.welcomed.is_some() && self.lasts()
    }

    /// Whether it serves and nobody wants it to end. Where another one is to come for its token, that may be
    /// refused, and this one is as good as ever.
    pub(crate) const fn is_good(&self) -> bool {
        match self.course {
            Course::Lasting => self.welcomed.is_some(),
            Course::Renewing { .. } => !self.is_dismissed,
            Course::Moving { .. } | Course::Replaced { .. } => false,
        }
    }
}

impl Ledger {
    /// One more tunnel is dialled.
    pub(crate) fn open(&mut self, now: Instant) -> Serial {
        self.opened += 1;
        let serial = Serial(self.opened);
        self.tunnels.push(Entry {
            serial,
            worker: WorkerId::FIRST,
            ingress: Vec::new(),
            lane: None,
            since: now,
            welcomed: None,
            session: String::new(),
            course: Course::Lasting,
            is_dismissed: false,
        });
        serial
    }

    /// Whether a tunnel leads to the ingress process of this name.
    pub(crate) fn leads_to(&self, ingress: &[u8]) -> bool {
        self.tunnels.iter().any(|entry| entry.ingress == ingress)
    }

    /// The tunnel has reached this ingress: its lane among the tunnels to that. One that was lost,
    /// or is moving, leaves its place to the next.
    pub(crate) fn arrived(&mut self, serial: Serial, ingress: Vec<u8>) -> u32 {
        let is_free = |lane: &u32| self.lasting_to(&ingress).all(|taken| taken != *lane);
        let lane = (0..).find(is_free).unwrap_or_default();
        if let Some(entry) = self.get_mut(serial) {
            (entry.ingress, entry.lane) = (ingress, Some(lane));
        }
        lane
    }

    /// The lanes of the tunnels to this ingress that are there to stay. One that asked us to move
    /// may well be where we are to go: with a fresh tunnel.
    pub(crate) fn lasting_to(&self, ingress: &[u8]) -> impl Iterator<Item = u32> {
        let lasting = self.tunnels.iter().filter(|entry| entry.lasts());
        lasting.filter(move |entry| entry.ingress == ingress).filter_map(|entry| entry.lane)
    }

    /// The tunnels in whose place this one comes and that are still there, by the names that the
    /// ingress gave them.
    pub(crate) fn predecessors(&self, serial: Serial) -> Vec<String> {
        let Some(own) = self.get(serial) else { return Vec::new() };
        let predecessors = self.tunnels.iter().filter(|one| {
            one.serial != serial && (&one.ingress, one.lane) == (&own.ingress, own.lane)
        });
        predecessors.map(|one| one.session.clone()).collect()
    }

    /// Takes down what the ingress calls the tunnel.
    pub(crate) fn name(&mut self, serial: Serial, session: &str) {
        if let Some(entry) = self.get_mut(serial)
            && session.len() <= SESSION_BYTES_MAX
        {
            session.clone_into(&mut entry.session);
        }
    }

    /// The tunnel is welcome, and goes to this worker: the one with the fewest tunnels to the same
    /// ingress, and of those the one with the fewest of all.
    pub(crate) fn welcome(&mut self, serial: Serial, workers: u8, now: Instant) -> WorkerId {
        let mut tunnels = vec![(0_usize, 0_usize); workers.into()];
        let ingress = self.get(serial).map(|entry| &entry.ingress);
        for entry in self.tunnels.iter().filter(|entry| entry.serves()) {
            if let Some((to_same, all)) = tunnels.get_mut(entry.worker.index()) {
                *to_same += usize::from(Some(&entry.ingress) == ingress);
                *all += 1;
            }
        }
        let fewest = (0..).zip(tunnels).min_by_key(|(number, counts)| (*counts, *number));
        let worker = fewest.map_or(WorkerId::FIRST, |(number, _)| WorkerId(number));
        if let Some(entry) = self.get_mut(serial) {
            (entry.worker, entry.welcomed) = (worker, Some(now));
        }
        worker
    }

    /// Another tunnel is to come in place of this one; when this one was begun.
    pub(crate) fn moves(&mut self, serial: Serial, now: Instant) -> Option<Instant> {
        let entry = self.get_mut(serial)?;
        entry.course = match entry.course {
            Course::Lasting | Course::Renewing { .. } | Course::Moving { .. } => {
                Course::Moving { since: now }
            }
            Course::Replaced { .. } => Course::Replaced { since: now },
        };
        Some(entry.since)
    }

    /// The same for a tunnel that serves until the other one is there.
    pub(crate) fn renews(&mut self, serial: Serial, now: Instant) -> Option<Instant> {
        let entry = self.get_mut(serial)?;
        entry.course = Course::Renewing { since: now };
        Some(entry.since)
    }

    /// The tunnels in whose place this one has come, and the workers that have them: those at the same
    /// ingress, and once there are as many as are `wanted`, those that served until then. Each is named
    /// once. An ingress that does not say which it is may be another one.
    pub(crate) fn replaced_by(&mut self, serial: Serial, wanted: usize) -> Vec<(Serial, WorkerId)> {
        let are_all_there = self.lasting().len() >= wanted;
        let Some(Entry { ingress, lane, .. }) = self.get_mut(serial) else { return Vec::new() };
        let (ingress, lane) = (ingress.clone(), *lane);
        let replace = |one: &mut Entry| {
            let is_former = !ingress.is_empty() && (&one.ingress, one.lane) == (&ingress, lane);
            let since = match one.course {
                Course::Moving { since } if is_former => since,
                Course::Renewing { since } if is_former || are_all_there => since,
                Course::Lasting
                | Course::Renewing { .. }
                | Course::Moving { .. }
                | Course::Replaced { .. } => return None,
            };
            one.course = Course::Replaced { since };
            Some((one.serial, one.worker))
        };
        self.tunnels.iter_mut().filter(|one| one.serial != serial).filter_map(replace).collect()
    }

    /// Where more than `most` tunnels are moving, the one that began first, and the worker that has
    /// it. It is named once.
    pub(crate) fn leave_behind(&mut self, most: usize) -> Option<(Serial, WorkerId)> {
        let is_moving = |entry: &&mut Entry| !entry.lasts() && !entry.is_dismissed;
        if self.tunnels.iter_mut().filter(is_moving).count() <= most {
            return None;
        }
        let moving = self.tunnels.iter_mut().filter(is_moving);
        // One that serves on may be the only one that its ingress has: it comes last.
        let first = moving.min_by_key(|entry| (entry.is_good(), entry.moving_since()))?;
        first.is_dismissed = true;
        Some((first.serial, first.worker))
    }

    /// The tunnels that serve and are to stay.
    pub(crate) fn lasting(&self) -> Vec<Serial> {
        let lasting = self.tunnels.iter().filter(|one| one.serves());
        lasting.map(|one| one.serial).collect()
    }

    /// The tunnel has ended: what was known of it.
    pub(crate) fn close(&mut self, serial: Serial) -> Option<Entry> {
        let index = self.tunnels.iter().position(|entry| entry.serial == serial)?;
        Some(self.tunnels.remove(index))
    }

    /// How many tunnels serve. Those that move do not count, since another one is to come for each.
    pub(crate) fn serving(&self) -> usize {
        self.tunnels.iter().filter(|entry| entry.is_good()).count()
    }

    /// Whether requests come through any tunnel, moving or not.
    pub(crate) fn has_welcome(&self) -> bool {
        self.tunnels.iter().any(|entry| entry.welcomed.is_some())
    }

    /// Whether an ingress that asked for another tunnel still waits for one: fewer were welcomed
    /// since the first request than were asked for. Tunnels that were replaced at the same ingress
    /// count no more.
    pub(crate) fn is_awaited(&self, now: Instant) -> bool {
        let asked = self.tunnels.iter().filter_map(|entry| match entry.course {
            Course::Renewing { since } | Course::Moving { since } => Some(since),
            Course::Lasting | Course::Replaced { .. } => None,
        });
        let asked: Vec<_> = asked.filter(|at| now < *at + AWAITED).collect();
        let Some(first) = asked.iter().min() else { return false };
        let welcomed = self.tunnels.iter().filter_map(|entry| entry.welcomed);
        welcomed.filter(|at| at > first).count() < asked.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tunnels.is_empty()
    }

    pub(crate) fn has(&self, serial: Serial) -> bool {
        self.get(serial).is_some()
    }

    /// The tunnels at one worker.
    pub(crate) fn at(&self, worker: WorkerId) -> Vec<Serial> {
        let there = self.tunnels.iter().filter(|entry| entry.worker == worker);
        there.map(|entry| entry.serial).collect()
    }

    pub(crate) fn get(&self, serial: Serial) -> Option<&Entry> {
        self.tunnels.iter().find(|entry| entry.serial == serial)
    }

    fn get_mut(&mut self, serial: Serial) -> Option<&mut Entry> {
        self.tunnels.iter_mut().find(|entry| entry.serial == serial)
    }
}

#[cfg(test)]
mod tests;
