//! The loop: mostly one poll, one look at the clock and one settling of the driver per turn.
//!
//! ```text
//!   settle -> tell manager -> obey commands -> watch -> poll, latch -> now -> letters, signals
//!     ^                                                                              |
//!     '-- accept <- parcels <- deadlines <- connects <- latch, letters again if due <'
//! ```
//!
//! Latching changes no connection. All that can end one or begin one comes after the last event
//! of a batch, so an event never meets another connection than the one it was meant for.

use std::io;
use std::mem;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use mesh_protocol::{App, Command, ConnId, Driver, Readiness, Rng};
use mio::event::Event;
use mio::{Events, Poll, Token};

use crate::alarm::Alarm;
use crate::connect::Connector;
use crate::handle::Letter;
use crate::jobs::Jobs;
use crate::listener::Listener;
use crate::notify::{Phase, ServiceManager};
use crate::random;
use crate::signals::SignalPipe;
use crate::transport::Socket;
use crate::{ClientTls, Handle, Listen, Mailbox, Signals};

mod dialling;
mod sockets;
mod workers;

use workers::{Desk, WorkerStart};

/// An application with its sockets, run by the thread that calls [`Reactor::run`].
pub struct Reactor<A: App> {
    driver: Driver<A, Socket>,
    poll: Poll,
    alarm: Alarm,
    listeners: Vec<Listener>,
    connector: Connector,
    signals: Option<SignalPipe>,
    handle: Handle,
    letters: Receiver<Letter>,
    jobs: Jobs<A::Job, A::Answer>,
    /// Whose events come with which token, by slot. An entry stays until the slot's next owner
    /// registers; the driver knows that its owner is gone.
    owners: Vec<Option<ConnId>>,
    /// Attempts to connect of which the kernel said something this turn.
    dialled: Vec<(ConnId, Readiness)>,
    /// Connections that the kernel is to tell of from this turn on.
    unwatched: Vec<ConnId>,
    /// Attempts that failed at once. They are told in the next turn: an application that connects
    /// anew whenever it fails must not keep this one from ending.
    failed: Vec<(ConnId, io::Error)>,
    /// Signals of this turn.
    drains_asked: usize,
    manager: Option<ServiceManager>,
    /// With several workers: what is between this one and the others.
    desk: Option<Desk<A>>,
    /// The other workers, before they run.
    others: Vec<WorkerStart>,
    tls: ClientTls,
    /// What the manager is told.
    phase: Phase,
    now: Instant,
}

const MAILBOX: Token = Token(0);
const SIGNALS: Token = Token(1);
const ALARM: Token = Token(2);
const LISTENERS: usize = 3;

/// Events taken from the kernel at once. What is left over comes with the next poll.
const EVENTS_MAX: usize = 1024;
/// Times so many that are taken at once: an event for each of more connections than a process has.
const HEARD_MAX: usize = 64;
/// The longest sleep. Nothing needs it; it makes a forgotten deadline a delay and not a standstill.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Whether the loop goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Continue,
    Exit,
}

impl<A: App> Reactor<A> {
    /// Prepares to run `app`, whose jobs `do_job` does, on threads of its own. Nobody is accepted
    /// and nothing connects before [`Self::run`].
    ///
    /// # Errors
    /// The kernel refuses a poll, a registration or a signal handler, or has no randomness.
    pub fn new(
        app: A,
        listeners: Vec<Listen>,
        tls: ClientTls,
        signals: Signals,
        do_job: impl Fn(A::Job) -> A::Answer + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let (handle, letters) = Handle::new(poll.registry(), MAILBOX)?;
        let jobs = Jobs::new(do_job, &handle);
        let mut reactor = Self::with(app, poll, handle, letters, tls, jobs)?;
        let registry = reactor.poll.registry();
        reactor.listeners = listeners
            .into_iter()
            .enumerate()
            .map(|(index, listen)| Listener::new(listen, registry, sockets::token(index)))
            .collect::<io::Result<_>>()?;
        reactor.signals = match signals {
            Signals::Handle => Some(SignalPipe::new(registry, SIGNALS)?),
            Signals::Ignore => None,
        };
        Ok(reactor)
    }

    fn with(
        app: A,
        poll: Poll,
        handle: Handle,
        letters: Receiver<Letter>,
        tls: ClientTls,
        jobs: Jobs<A::Job, A::Answer>,
    ) -> io::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            driver: Driver::new(app, Rng::from_seed(random::seed()?), now),
            alarm: Alarm::new(poll.registry(), ALARM),
            poll,
            listeners: Vec::new(),
            connector: Connector::new(tls.clone(), handle.clone(), random::first_address()?),
            signals: None,
            jobs,
            handle,
            letters,
            owners: Vec::new(),
            dialled: Vec::new(),
            unwatched: Vec::new(),
            failed: Vec::new(),
            drains_asked: 0,
            manager: None,
            desk: None,
            others: Vec::new(),
            tls,
            phase: Phase::Ready,
            now,
        })
    }

    /// Tells this service manager how the process is.
    #[must_use]
    pub fn managed_by(self, manager: Option<ServiceManager>) -> Self {
        Self { manager, ..self }
    }

    /// Reaches this reactor from other threads.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Tells the application something from other threads.
    #[must_use]
    pub fn mailbox(&self) -> Mailbox<A::Answer> {
        self.jobs.mailbox()
    }

    /// Runs until the application exits or somebody stops it, and gives the application back.
    /// Connections that are still open are closed.
    ///
    /// # Errors
    /// The kernel refuses to poll, or the threads of other workers.
    ///
    /// # Panics
    /// When another worker panicked.
    pub fn run(self) -> io::Result<A> {
        if self.others.is_empty() { self.turns() } else { self.run_all() }
    }

    fn turns(mut self) -> io::Result<A> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            self.driver.settle();
            // Before the exit that a drain may be, so that the manager hears of it.
            self.tell_manager();
            if self.obey() == Flow::Exit {
                return Ok(self.driver.into_app());
            }
            self.watch();
            self.start_jobs();
            let sleep = self.prepare_to_sleep();
            self.hear(&mut events, sleep)?;
            self.now = Instant::now();
            self.driver.begin_turn(self.now);
            if self.read_letters() == Flow::Exit {
                return Ok(self.driver.into_app());
            }
            if self.is_due() {
                // A process that was stopped looks at the clock long after it heard the kernel:
                // what came in between came in time, and what it dials only now may be near.
                self.hear_rest(&mut events)?;
                // The kernel tells of a letter or a signal once.
                if self.read_letters() == Flow::Exit {
                    return Ok(self.driver.into_app());
                }
            }
            self.advance_connects();
            self.driver.fire();
            self.take_parcels();
            self.accept();
        }
    }

    /// Latches what the kernel has to say, and waits for it so long.
    fn hear(&mut self, events: &mut Events, sleep: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(events, sleep) {
            Ok(()) => events.iter().for_each(|event| self.latch(event)),
            // Without events, but at another time.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Latches all that it has to say now.
    fn hear_rest(&mut self, events: &mut Events) -> io::Result<()> {
        for _ in 0..HEARD_MAX {
            self.hear(events, Some(Duration::ZERO))?;
            if events.iter().count() < EVENTS_MAX {
                break;
            }
        }
        Ok(())
    }

    /// Whether somebody's time is over.
    fn is_due(&mut self) -> bool {
        let due = self.driver.next_deadline().into_iter().chain(self.connector.deadline()).min();
        due.is_some_and(|due| due <= self.now)
    }

    /// Carries out what the application asked for.
    fn obey(&mut self) -> Flow {
        while let Some(command) = self.driver.poll_command() {
            match command {
                Command::StopAccepting(listener) => self.stop_accepting(listener),
                Command::Exit => return Flow::Exit,
                Command::Connect { conn, target } => self.connect(conn, target),
                Command::Forget { conn } => self.connector.forget(conn),
            }
        }
        self.send_parcels();
        Flow::Continue
    }

    fn tell_manager(&mut self) {
        if let Some(manager) = &mut self.manager {
            let desk = &mut self.desk;
            let lives = || desk.as_mut().is_none_or(Desk::check_pulse);
            let app = self.driver.app();
            let status = |words: &mut String| {
                // A string takes everything.
                let _ = app.status(words);
            };
            manager.tell(self.phase, status, lives, self.now);
        }
    }

    /// Has the application's jobs done as far as somebody is free.
    fn start_jobs(&mut self) {
        self.jobs.start_kept(self.now);
        while self.jobs.has_room()
            && let Some(job) = self.driver.poll_job()
        {
            self.jobs.start(job, self.now);
        }
    }

    /// How long the kernel may let us sleep: without end where the alarm wakes us.
    fn prepare_to_sleep(&mut self) -> Option<Duration> {
        if self.driver.has_work()
            || !self.failed.is_empty()
            || self.listeners.iter().any(Listener::is_ready)
            || self.desk.as_ref().is_some_and(|desk| !desk.prepare_to_sleep())
        {
            return Some(Duration::ZERO);
        }
        let latest = self.now + SLEEP_MAX;
        let due = self
            .listeners
            .iter()
            .filter_map(Listener::deadline)
            .chain(self.driver.next_deadline())
            .chain(self.connector.deadline())
            .chain(self.jobs.deadline())
            .chain(self.manager.as_ref().and_then(ServiceManager::deadline))
            .fold(latest, Instant::min);
        self.alarm.set(due, self.now)
    }

    /// Records an event.
    fn latch(&mut self, event: &Event) {
        let Token(number) = event.token();
        if event.token() == MAILBOX {
            return;
        }
        if event.token() == ALARM {
            return self.alarm.went_off();
        }
        if event.token() == SIGNALS {
            self.drains_asked += self.signals.as_mut().map_or(0, SignalPipe::take);
            return;
        }
        let index = number - LISTENERS;
        if let Some(listener) = self.listeners.get_mut(index) {
            return listener.latch();
        }
        let owner = self.owners.get(index - self.listeners.len());
        let Some(conn) = owner.copied().flatten() else {
            return;
        };
        let readiness = sockets::readiness(event);
        if self.driver.transport_mut(conn).is_some() || self.driver.is_lent(conn) {
            self.driver.latch(conn, readiness);
        } else {
            self.dialled.push((conn, readiness));
        }
    }

    /// Signals and what other threads had to say.
    fn read_letters(&mut self) -> Flow {
        for _ in 0..mem::take(&mut self.drains_asked) {
            self.drain();
        }
        while let Some(answer) = self.jobs.poll_answer() {
            self.driver.handle_answer(answer);
        }
        while let Ok(letter) = self.letters.try_recv() {
            match letter {
                Letter::Drain => self.drain(),
                Letter::Stop => return Flow::Exit,
                Letter::Resolved(resolution) => self.resolved(resolution),
            }
        }
        Flow::Continue
    }

    fn drain(&mut self) {
        self.phase = Phase::Stopping;
        self.driver.drain();
    }
}
