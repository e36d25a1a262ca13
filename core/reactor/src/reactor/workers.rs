//! More than one worker: a loop on a thread each, with parcels between any two of them.
//!
//! ```text
//!   worker 0 (listeners, signals, the calling thread)      worker 1 (a thread)
//!     Driver::poll_parcel -- deregister -- channel, waker --> register -- Driver::adopt
//! ```
//!
//! A connection that is only lent stays registered with the loop it comes from: a registration is
//! two calls to the kernel and an event, which is more than all the rest of a move.
//!
//! Nothing is shared but the channels, the means to end a registration, and two numbers by which
//! the first worker knows that the others live. A channel has no bound of its own. What is in it is
//! bounded by what it is about: a connection is in one place, applications limit their number, and
//! they limit what they tell of each.

use std::io;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use mesh_protocol::{App, ConnId, Parcel, ParcelOf, Terms, WorkerId};
use mio::{Poll, Registry, Waker};

use super::{MAILBOX, Reactor, Socket};
use crate::Handle;

/// What is between one worker and the others.
pub(super) struct Desk<A: App> {
    own: WorkerId,
    inbox: Receiver<(WorkerId, ParcelOf<A, Socket>)>,
    peers: Vec<Peer<A>>,
    pulse: Arc<Pulse>,
    /// The last turn's parcels were more than it took.
    has_more: bool,
}

/// A worker as the others reach it.
struct Peer<A: App> {
    outbox: Sender<(WorkerId, ParcelOf<A, Socket>)>,
    bell: Arc<Bell>,
    /// For sockets that it lent.
    registry: Arc<Registry>,
    /// It got something in this turn.
    is_owed: bool,
}

/// Wakes a worker, once for all that came since it last looked, and only if it may be asleep: a call
/// to the kernel and an event are dear beside all else that crossing takes.
///
/// No call is lost. Who sends rings first and then asks whether the worker lies; a worker lies down
/// first and then asks whether it was rung for. These four are in one order for all (`SeqCst`), so at
/// least one of the two learns of the other: either the kernel wakes the worker, or it does not sleep.
struct Bell {
    waker: Arc<Waker>,
    is_rung: AtomicBool,
    is_asleep: AtomicBool,
}

/// Whether the other workers live: the first one asks, and each answers in its next turn.
struct Pulse {
    asked: AtomicU64,
    /// By worker.
    answered: Vec<AtomicU64>,
}

/// A worker that does not run yet.
pub(super) struct WorkerStart {
    handle: Handle,
    run: Box<dyn FnOnce() -> io::Result<()> + Send>,
}

/// Stops the first worker when another one ends, whatever ends it.
struct StopOnDrop(Handle);

/// Parcels taken in one turn, so that connections have theirs.
const PARCELS_MAX: usize = 1024;

impl<A: App> Reactor<A> {
    /// Adds workers, each of which runs one of `apps` on a thread of its own from [`Self::run`] on.
    /// Only the first one has listeners, signals and a service manager. When one of them exits, all
    /// end.
    ///
    /// # Errors
    /// The kernel refuses a poll, or has no randomness.
    ///
    /// # Panics
    /// When there are more than a [`WorkerId`] can name.
    pub fn with_workers(mut self, apps: Vec<A>) -> io::Result<Self>
    where
        A: Send + 'static,
        A::Conn: Send,
    {
        if apps.is_empty() {
            return Ok(self);
        }
        let mut others = Vec::new();
        for app in apps {
            let poll = Poll::new()?;
            let (handle, letters) = Handle::new(poll.registry(), MAILBOX)?;
            let jobs = self.jobs.for_worker(&handle);
            others.push(Self::with(app, poll, handle, letters, self.tls.clone(), jobs)?);
        }
        let mut all: Vec<&mut Self> = std::iter::once(&mut self).chain(&mut others).collect();
        connect(&mut all)?;
        for reactor in others {
            let farewell = StopOnDrop(self.handle.clone());
            let handle = reactor.handle.clone();
            let run = move || {
                let _farewell = farewell;
                reactor.turns().map(drop)
            };
            self.others.push(WorkerStart { handle, run: Box::new(run) });
        }
        Ok(self)
    }

    /// Runs until the first worker ends, and then ends the others.
    pub(super) fn run_all(mut self) -> io::Result<A> {
        let mut threads = Vec::new();
        let mut handles = Vec::new();
        let mut refused = None;
        for (number, WorkerStart { handle, run }) in (1..).zip(std::mem::take(&mut self.others)) {
            match thread::Builder::new().name(format!("worker {number}")).spawn(run) {
                Ok(thread) => {
                    threads.push(thread);
                    handles.push(handle);
                }
                Err(error) => refused = Some(error),
            }
        }
        let outcome = match refused {
            None => self.turns(),
            Some(error) => Err(error),
        };
        handles.iter().for_each(Handle::stop);
        let ended = threads.into_iter().map(join).fold(Ok(()), io::Result::and);
        ended.and(outcome)
    }

    /// Hands over what the application has for other workers.
    pub(super) fn send_parcels(&mut self) {
        let Some(desk) = &mut self.desk else { return };
        while let Some((to, mut parcel)) = self.driver.poll_parcel() {
            if let Parcel::Connection(moved) = &mut parcel
                && moved.is_watched()
            {
                match moved.terms() {
                    Terms::Transferred => moved.transport_mut().deregister(self.poll.registry()),
                    Terms::TransferredFrom(home) => {
                        moved.transport_mut().deregister(desk.registry(home))
                    }
                    Terms::Lent(_) | Terms::Returned(_) => {}
                }
            }
            desk.send(to, parcel);
        }
        desk.ring();
    }

    /// Takes in what other workers sent, within the budget of a turn.
    pub(super) fn take_parcels(&mut self) {
        let Some(desk) = &mut self.desk else { return };
        desk.look();
        for _ in 0..PARCELS_MAX {
            let Some((from, parcel)) = self.desk.as_mut().and_then(Desk::poll) else { return };
            match parcel {
                Parcel::Message(message) => self.driver.handle_message(from, message),
                Parcel::Connection(moved) => {
                    let conn = self.driver.adopt(from, moved);
                    self.driver.adopted(conn);
                }
                Parcel::Ready(name) => self.keep(from, name),
                Parcel::Released(name) => self.driver.released(name),
            }
        }
        if let Some(desk) = &mut self.desk {
            desk.has_more = true;
        }
    }

    /// The kernel told the worker that lent a connection that something is to be done with it: the
    /// kernel is to tell this one from now on.
    fn keep(&mut self, home: WorkerId, name: ConnId) {
        let Some(desk) = &mut self.desk else { return };
        let Some(conn) = self.driver.keep(home, name) else {
            // It was sent back, perhaps without a bell, and is wanted there now.
            desk.owe(home);
            return;
        };
        if let Some(socket) = self.driver.transport_mut(conn) {
            socket.deregister(desk.registry(home));
        }
        self.register(conn);
    }
}

impl<A: App> Desk<A> {
    /// Whether all other workers had a turn since the last time this was asked.
    pub(super) fn check_pulse(&mut self) -> bool {
        let asked = self.pulse.asked.load(Ordering::Relaxed);
        let others = self.pulse.answered.iter().enumerate();
        let mut others = others.filter(|(index, _)| *index != self.own.index());
        if others.any(|(_, answered)| answered.load(Ordering::Relaxed) != asked) {
            return false;
        }
        self.pulse.asked.store(asked + 1, Ordering::Relaxed);
        for (index, peer) in self.peers.iter_mut().enumerate() {
            peer.is_owed |= index != self.own.index();
        }
        true
    }

    fn send(&mut self, to: WorkerId, parcel: ParcelOf<A, Socket>) {
        debug_assert_ne!(to, self.own, "nobody sends to itself");
        if let Some(peer) = self.peers.get_mut(to.index()) {
            peer.is_owed |= parcel.is_urgent();
            // Only at the very end of the process is nobody there to take it.
            let _ = peer.outbox.send((self.own, parcel));
        }
    }

    fn owe(&mut self, to: WorkerId) {
        if let Some(peer) = self.peers.get_mut(to.index()) {
            peer.is_owed = true;
        }
    }

    /// Where a worker's sockets are registered.
    fn registry(&self, worker: WorkerId) -> &Registry {
        &self.peers[worker.index()].registry
    }

    /// Wakes whom something was sent to, unless others have and it has not looked since.
    fn ring(&mut self) {
        for peer in &mut self.peers {
            if std::mem::take(&mut peer.is_owed) {
                peer.bell.ring();
            }
        }
    }

    /// The worker is about to wait for the kernel. It may not, if there are parcels that nobody
    /// rang for or that were rung for meanwhile.
    pub(super) fn prepare_to_sleep(&self) -> bool {
        !self.has_more && self.peers[self.own.index()].bell.may_sleep()
    }

    /// A turn begins: whatever is sent from now on has to be rung for.
    fn look(&mut self) {
        self.has_more = false;
        let own = self.own.index();
        let bell = &self.peers[own].bell;
        bell.is_asleep.store(false, Ordering::Relaxed);
        if bell.is_rung.load(Ordering::Relaxed) {
            bell.is_rung.swap(false, Ordering::AcqRel);
        }
        let asked = self.pulse.asked.load(Ordering::Relaxed);
        self.pulse.answered[own].store(asked, Ordering::Relaxed);
    }

    fn poll(&mut self) -> Option<(WorkerId, ParcelOf<A, Socket>)> {
        self.inbox.try_recv().ok()
    }
}

impl Bell {
    fn new(waker: Arc<Waker>) -> Self {
        Self { waker, is_rung: AtomicBool::new(false), is_asleep: AtomicBool::new(false) }
    }

    fn ring(&self) {
        if !self.is_rung.swap(true, Ordering::SeqCst) && self.is_asleep.load(Ordering::SeqCst) {
            // It fails only when the loop is gone.
            let _ = self.waker.wake();
        }
    }

    fn may_sleep(&self) -> bool {
        self.is_asleep.store(true, Ordering::SeqCst);
        !self.is_rung.load(Ordering::SeqCst)
    }
}

/// Gives each worker its desk.
fn connect<A: App>(workers: &mut [&mut Reactor<A>]) -> io::Result<()> {
    let answered = workers.iter().map(|_| AtomicU64::new(0)).collect();
    let pulse = Arc::new(Pulse { asked: AtomicU64::new(0), answered });
    let (outboxes, inboxes): (Vec<_>, Vec<_>) = workers.iter().map(|_| mpsc::channel()).unzip();
    let bells: Vec<_> =
        workers.iter().map(|worker| Arc::new(Bell::new(worker.handle.waker()))).collect();
    let registries = workers.iter().map(|worker| worker.poll.registry().try_clone().map(Arc::new));
    let registries = registries.collect::<io::Result<Vec<_>>>()?;
    for (index, (worker, inbox)) in workers.iter_mut().zip(inboxes).enumerate() {
        let own = WorkerId(u8::try_from(index).expect("a process has fewer workers"));
        let peers = outboxes
            .iter()
            .zip(&bells)
            .zip(&registries)
            .map(|((outbox, bell), registry)| Peer {
                outbox: outbox.clone(),
                bell: Arc::clone(bell),
                registry: Arc::clone(registry),
                is_owed: false,
            })
            .collect();
        let pulse = Arc::clone(&pulse);
        worker.desk = Some(Desk { own, inbox, peers, pulse, has_more: false });
    }
    Ok(())
}

/// The end of a worker's thread; its panic goes on here.
fn join(thread: JoinHandle<io::Result<()>>) -> io::Result<()> {
    thread.join().unwrap_or_else(|cause| panic::resume_unwind(cause))
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
