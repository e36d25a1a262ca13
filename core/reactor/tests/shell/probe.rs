//! An application that does what a test tells it to and reports what it hears, and the thread
//! that runs it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mesh_protocol::{
    App, Closing, ConnId, Conns, Context, Duplex, Event, ListenerId, Outgoing, Security, Target,
    Traffic, WorkerId,
};
use mesh_reactor::{
    ClientTls, Handle, Listen, Reactor, ServerTls, ServiceManager, Signals, listen,
};

/// The longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const RX_LIMIT: usize = 64 * 1024;
const TX_LIMIT: usize = 64 * 1024;

/// Whoever has heard it is registered with the kernel, or is about to be, and can be lent.
pub(crate) const GREETING: &[u8] = b"?";

/// How long the process is stopped after it dialled.
const STOP: Duration = Duration::from_millis(20);

/// What the application does on a connection.
#[derive(Debug, Clone)]
pub(crate) enum Rule {
    /// Sends everything back, and finishes when the peer has.
    Echo,
    /// Consumes everything and keeps the connection open.
    Swallow,
    /// Consumes nothing.
    Keep,
    /// Sends without end.
    Source,
    /// Answers the first bytes with so many of its own and closes.
    Answer(usize),
    /// Sends this and half-closes at once.
    Speak(Vec<u8>),
    /// Sends this, and closes when as much has come back.
    Ask(Vec<u8>),
    /// Resets when something comes.
    Abort,
    /// Wants its connection no more as soon as it has asked for it, and asks for so many more one after
    /// the other, as soon as it is rid of the one.
    Regret(Target, usize),
    /// Goes to another worker when something comes, where another rule is for it.
    Pass(u8, Box<Self>),
    /// Sends [`GREETING`]. Is lent to another worker when something comes, which sends that back and
    /// then returns it.
    Visit(u8),
}

/// What the application reports.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Accepted,
    Connected,
    /// Unread bytes, whenever they changed under [`Rule::Keep`].
    Holding(usize),
    /// All bytes that ever came, when the peer finished or the asked ones were complete.
    Received(Vec<u8>),
    Deadline(usize),
    Closed(String),
    Tick,
    Drain,
    /// By this worker.
    Adopted(u8),
    Told(u8, u32),
}

pub(crate) struct State {
    rule: Rule,
    received: Vec<u8>,
    reported: bool,
}

pub(crate) struct Probe {
    pub(crate) conns: Conns<State>,
    pub(crate) rule: Rule,
    pub(crate) dials: Vec<(Target, Rule)>,
    /// Deadlines of connections, by slot.
    pub(crate) deadlines: Vec<Option<Instant>>,
    pub(crate) tick_at: Option<Instant>,
    /// The process is stopped over the deadline of the connections that it dials.
    pub(crate) stops: bool,
    /// Drains after which the application exits.
    pub(crate) drains_to_exit: usize,
    /// Closed at a drain.
    pub(crate) closes_at_drain: Option<ListenerId>,
    /// What the certificates of those who have left said of them.
    pub(crate) names: Vec<Option<Vec<String>>>,
    heard: Sender<Heard>,
    pub(crate) worker: u8,
    pub(crate) outgoing: VecDeque<(WorkerId, Outgoing<u32>)>,
    /// Said to others at a drain.
    pub(crate) at_drain: Vec<(u8, u32)>,
    pub(crate) gate: Arc<Gate>,
}

/// Has a worker exit that is told so.
pub(crate) const EXIT: u32 = u32::MAX;
/// Has it panic.
pub(crate) const PANIC: u32 = u32::MAX - 1;
/// Has it hang until its gate opens.
pub(crate) const HANG: u32 = u32::MAX - 2;

impl Probe {
    pub(crate) fn new(rule: Rule) -> (Self, Receiver<Heard>) {
        let (heard, receiver) = mpsc::channel();
        let probe = Self {
            conns: Conns::new(),
            rule,
            dials: Vec::new(),
            deadlines: Vec::new(),
            tick_at: None,
            stops: false,
            drains_to_exit: usize::MAX,
            closes_at_drain: None,
            names: Vec::new(),
            heard,
            worker: 0,
            outgoing: VecDeque::new(),
            at_drain: Vec::new(),
            gate: Arc::default(),
        };
        (probe, receiver)
    }

    /// An application for another worker, which reports to the same place.
    pub(crate) fn beside(&self, worker: u8) -> Self {
        let (probe, _) = Self::new(Rule::Keep);
        Self { worker, heard: self.heard.clone(), gate: Arc::clone(&self.gate), ..probe }
    }

    fn report(&self, heard: Heard) {
        // A test that has seen enough no longer listens.
        let _ = self.heard.send(heard);
    }

    pub(crate) fn state(rule: Rule) -> State {
        State { rule, received: Vec::new(), reported: false }
    }

    fn begin(&mut self, conn: ConnId) {
        let connection = self.conns.get_mut(conn).unwrap();
        match &connection.state.rule {
            Rule::Speak(bytes) => {
                connection.io.tx.extend(bytes);
                connection.io.close(Closing::Write);
            }
            Rule::Ask(bytes) => connection.io.tx.extend(bytes),
            Rule::Visit(_) => connection.io.tx.extend(GREETING),
            Rule::Echo
            | Rule::Swallow
            | Rule::Keep
            | Rule::Source
            | Rule::Answer(_)
            | Rule::Pass(..)
            | Rule::Regret(..)
            | Rule::Abort => {}
        }
    }

    fn advance(&mut self, conn: ConnId) {
        let connection = self.conns.get_mut(conn).unwrap();
        let (io, state) = (&mut connection.io, &mut connection.state);
        let mut whole = io.rx_eof;
        match &state.rule {
            Rule::Keep => {
                let held = io.rx.len();
                return self.report(Heard::Holding(held));
            }
            Rule::Echo => return echo(io),
            Rule::Visit(to) if self.worker == 0 => {
                if !io.rx.is_empty() || io.rx_eof {
                    self.outgoing.push_back((WorkerId(*to), Outgoing::Loan(conn)));
                }
                return;
            }
            Rule::Visit(_) => {
                echo(io);
                if io.rx.is_empty() && io.tx.is_empty() && !io.rx_eof {
                    self.outgoing.push_back((WorkerId::FIRST, Outgoing::Return(conn)));
                }
                return;
            }
            Rule::Abort | Rule::Regret(..) => return io.close(Closing::Abort),
            Rule::Answer(count) => {
                if !io.rx.is_empty() {
                    io.tx.extend(&vec![b'a'; *count]);
                    io.close(Closing::AfterFlush);
                }
                return;
            }
            Rule::Pass(to, rule) => {
                let to = WorkerId(*to);
                state.rule = (**rule).clone();
                return self.outgoing.push_back((to, Outgoing::Connection(conn)));
            }
            Rule::Source | Rule::Swallow | Rule::Speak(_) => {}
            Rule::Ask(question) => {
                whole |= state.received.len() + io.rx.len() >= question.len();
                if whole {
                    io.close(Closing::AfterFlush);
                }
            }
        }
        state.received.extend_from_slice(io.rx.as_slice());
        io.rx.clear();
        if whole && !state.reported {
            state.reported = true;
            let received = std::mem::take(&mut state.received);
            self.report(Heard::Received(received));
        }
    }

    fn tick(&mut self, cx: &mut Context<'_>) {
        self.tick_at = None;
        for (target, rule) in std::mem::take(&mut self.dials) {
            self.dial(target, rule, cx);
        }
    }

    fn dial(&mut self, target: Target, rule: Rule, cx: &mut Context<'_>) {
        let mut io = Duplex::new(RX_LIMIT);
        if let Rule::Regret(..) = rule {
            io.close(Closing::Abort);
        }
        let conn = self.conns.insert(io, Self::state(rule));
        cx.connect(conn, target);
        if self.stops {
            self.deadlines.resize(conn.index() + 1, None);
            self.deadlines[conn.index()] = Some(cx.now + STOP);
        }
    }
}

fn echo(io: &mut Duplex) {
    let room = TX_LIMIT.saturating_sub(io.tx.len());
    let count = io.rx.len().min(room);
    io.tx.extend(&io.rx.as_slice()[..count]);
    io.rx.consume(count);
    if io.rx_eof && io.rx.is_empty() {
        io.close(Closing::Write);
    }
}

impl App for Probe {
    type Conn = State;
    type Job = Infallible;
    type Answer = Infallible;
    type Message = u32;

    fn conns(&mut self) -> &mut Conns<State> {
        &mut self.conns
    }

    fn accept(&mut self, _: ListenerId, _: SocketAddr, _: &mut Context<'_>) -> Option<ConnId> {
        let state = Self::state(self.rule.clone());
        let conn = self.conns.insert(Duplex::new(RX_LIMIT), state);
        self.begin(conn);
        self.report(Heard::Accepted);
        Some(conn)
    }

    fn handle(&mut self, event: Event, cx: &mut Context<'_>) {
        match event {
            Event::Connected { conn } => {
                self.begin(conn);
                self.report(Heard::Connected);
            }
            Event::Progress { conn } => self.advance(conn),
            Event::Deadline { conn } => {
                self.deadlines[conn.index()] = None;
                self.report(Heard::Deadline(conn.index()));
            }
            Event::Closed { conn, reason } => {
                let connection = self.conns.get(conn).unwrap();
                let names = connection.io.peer_names.as_ref();
                self.names.push(names.map(|names| names.to_vec()));
                self.report(Heard::Closed(reason.to_string()));
                if let Rule::Regret(target, more @ 1..) = connection.state.rule.clone() {
                    self.dial(target.clone(), Rule::Regret(target, more - 1), cx);
                }
            }
            Event::Adopted { conn } => {
                self.report(Heard::Adopted(self.worker));
                self.advance(conn);
            }
            Event::Tick => {
                self.report(Heard::Tick);
                self.tick(cx);
            }
            Event::Drain => {
                self.report(Heard::Drain);
                for (to, message) in self.at_drain.drain(..) {
                    self.outgoing.push_back((WorkerId(to), Outgoing::Message(message)));
                }
                if let Some(listener) = self.closes_at_drain {
                    cx.stop_accepting(listener);
                }
                self.drains_to_exit -= 1;
                if self.drains_to_exit == 0 {
                    cx.exit();
                }
            }
        }
    }

    /// Asked after connections were dialled and before the kernel is heard.
    fn poll_job(&mut self) -> Option<Infallible> {
        let due = self.deadlines.iter().flatten().max();
        if let Some(due) = due.filter(|_| self.stops) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        None
    }

    fn poll_outgoing(&mut self) -> Option<(WorkerId, Outgoing<u32>)> {
        self.outgoing.pop_front()
    }

    fn handle_message(&mut self, _: WorkerId, message: u32, cx: &mut Context<'_>) {
        match message {
            EXIT => cx.exit(),
            PANIC => panic!("as it was told"),
            HANG => self.gate.wait(),
            _ => {}
        }
        self.report(Heard::Told(self.worker, message));
    }

    fn transmit(&mut self, conn: ConnId, _: &mut Context<'_>) {
        let Some(connection) = self.conns.get(conn) else {
            return;
        };
        if matches!(connection.state.rule, Rule::Source) && connection.io.tx.len() < TX_LIMIT {
            let connection = self.conns.get_mut(conn).unwrap();
            connection.io.tx.extend(&[b's'; TX_LIMIT]);
        }
    }

    fn conn_deadline(&self, conn: ConnId) -> Option<Instant> {
        self.deadlines.get(conn.index()).copied().flatten()
    }

    fn deadline(&self) -> Option<Instant> {
        self.tick_at
    }
}

/// Where a worker hangs until the test lets it go on.
#[derive(Default)]
pub(crate) struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub(crate) fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn wait(&self) {
        let is_open = self.is_open.lock().unwrap();
        let waited = self.opened.wait_timeout_while(is_open, PATIENCE, |is_open| !*is_open);
        assert!(!waited.unwrap().1.timed_out(), "the gate opens in time");
    }
}

/// A reactor on its own thread. It stops when this is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    pub(crate) heard: Receiver<Heard>,
    thread: Option<JoinHandle<io::Result<Probe>>>,
}

impl Running {
    /// A server with this rule for whoever connects.
    pub(crate) fn serve(rule: Rule) -> Self {
        Self::start(Probe::new(rule), ClientTls::web_roots(), Signals::Ignore)
    }

    /// A client that connects once.
    pub(crate) fn dial(target: Target, rule: Rule) -> Self {
        Self::dial_trusting(target, rule, ClientTls::web_roots())
    }

    pub(crate) fn dial_trusting(target: Target, rule: Rule, tls: ClientTls) -> Self {
        let (mut probe, heard) = Probe::new(Rule::Keep);
        probe.dials.push((target, rule));
        probe.tick_at = Some(Instant::now());
        let running = Self::start((probe, heard), tls, Signals::Ignore);
        assert_eq!(running.next(), Heard::Tick);
        running
    }

    pub(crate) fn start(probe: (Probe, Receiver<Heard>), tls: ClientTls, signals: Signals) -> Self {
        Self::start_with(probe, tls, signals, None)
    }

    /// Three workers, the first one with this application.
    pub(crate) fn three(
        (probe, heard): (Probe, Receiver<Heard>),
        tls: Option<ServerTls>,
        manager: Option<ServiceManager>,
    ) -> Self {
        let trust = ClientTls::web_roots();
        Self::start_workers((probe, heard), trust, Signals::Ignore, tls, (3, manager))
    }

    /// The same with TLS on the listener, or without.
    pub(crate) fn start_with(
        probe: (Probe, Receiver<Heard>),
        trust: ClientTls,
        signals: Signals,
        tls: Option<ServerTls>,
    ) -> Self {
        Self::start_workers(probe, trust, signals, tls, (1, None))
    }

    fn start_workers(
        (probe, heard): (Probe, Receiver<Heard>),
        trust: ClientTls,
        signals: Signals,
        tls: Option<ServerTls>,
        (workers, manager): (u8, Option<ServiceManager>),
    ) -> Self {
        let socket = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = socket.local_addr().unwrap();
        let id = ListenerId(0);
        let listen = Listen { id, socket, traffic: Traffic::Multiplexed, tls };
        let others = (1..workers).map(|worker| probe.beside(worker)).collect();
        let reactor = Reactor::new(probe, vec![listen], trust, signals, |job| job).unwrap();
        let reactor = reactor.with_workers(others).unwrap().managed_by(manager);
        let handle = reactor.handle();
        let thread = thread::spawn(move || reactor.run());
        Self { address, handle, heard, thread: Some(thread) }
    }

    /// The next report.
    pub(crate) fn next(&self) -> Heard {
        self.heard.recv_timeout(PATIENCE).expect("a report in time")
    }

    /// Passes over reports until the connection's end, and returns its reason.
    pub(crate) fn closed(&self) -> String {
        loop {
            if let Heard::Closed(reason) = self.next() {
                return reason;
            }
        }
    }

    /// Passes over reports until all bytes of a connection, and returns them.
    pub(crate) fn received(&self) -> Vec<u8> {
        loop {
            match self.next() {
                Heard::Received(bytes) => return bytes,
                Heard::Closed(reason) => panic!("closed: {reason}"),
                Heard::Accepted
                | Heard::Connected
                | Heard::Holding(_)
                | Heard::Deadline(_)
                | Heard::Tick
                | Heard::Adopted(_)
                | Heard::Told(..)
                | Heard::Drain => {}
            }
        }
    }

    /// A plain connection to the server, which gives up when nothing happens for long.
    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// Stops the loop and returns the application.
    pub(crate) fn stop(mut self) -> Probe {
        self.handle.stop();
        self.join()
    }

    /// Waits for the loop to end by itself.
    pub(crate) fn join(&mut self) -> Probe {
        self.outcome().expect("no panic").expect("no poll error")
    }

    /// The same with whatever comes of it.
    pub(crate) fn outcome(&mut self) -> thread::Result<io::Result<Probe>> {
        self.thread.take().expect("joined once").join()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub(crate) fn target(host: &str, port: u16) -> Target {
    let (security, traffic) = (Security::Plain, Traffic::Single);
    Target { host: host.to_owned(), port, security, traffic, via: None }
}

/// Bytes that differ from place to place, so that lost and swapped ones show.
pub(crate) fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index ^ (index >> 8) ^ (index >> 16)).to_le_bytes()[0]).collect()
}
