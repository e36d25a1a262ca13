//! The dispatcher: keeps the branches, while the files beside it keep the work.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use mesh_protocol::proxy::Authority;
use mesh_protocol::{
    App, CloseReason, ConnId, Connection, Conns, Context, Event, Heads, ListenerId, Outgoing,
    Security, Target, Traffic, WorkerId, http1,
};

use crate::backoff::Backoff;
use crate::config::{Config, Endpoint};
use crate::drain::Drain;
use crate::faults::Faults;
use crate::health::Health;
use crate::identity::{Answer, Job};
use crate::ledger::{Ledger, Serial};
use crate::losses::Losses;
use crate::pool::Pool;
use crate::probe::Probe;
use crate::tunnel::{Tunnel, TunnelId};
use crate::upstream::{State, Upstream};
use crate::visitor::{VISIT, Visitor};
use crate::workers::{Message, Outbox, Workers};

/// The client application.
#[derive(Debug)]
pub struct Agent {
    pub(crate) config: Config,
    /// What tells this process from others, for people.
    pub(crate) instance: String,
    /// A random word in HELLO: the ingress takes tunnels that say it for those of one agent. Empty
    /// before the first HELLO.
    pub(crate) process: String,
    pub(crate) conns: Conns<Conn>,
    /// By connection, in order, so that a history replays.
    pub(crate) tunnels: BTreeMap<TunnelId, Box<Tunnel>>,
    /// The tunnels that are to be; none but at the first worker.
    pub(crate) slots: Vec<Slot>,
    /// The tunnels that are, at whatever worker; empty but at the first one.
    pub(crate) ledger: Ledger,
    pub(crate) workers: Workers,
    pub(crate) outgoing: Outbox,
    pub(crate) pool: Pool,
    pub(crate) health: Health,
    pub(crate) faults: Faults,
    pub(crate) drain: Drain,
    /// Whether an ingress refused a proof since the last one was asked for.
    pub(crate) was_proof_refused: bool,
    pub(crate) losses: Losses,
    /// When the process began.
    pub(crate) started: Instant,
    /// When the last tunnel that was welcome ended, or the process began; of no meaning while one is there.
    pub(crate) without_tunnel_since: Instant,
    /// For the shell.
    ///
    /// Invariant: at most one for each tunnel.
    pub(crate) jobs: VecDeque<Job>,
    /// The time of the present call; no method here is told another.
    pub(crate) now: Instant,
    /// Memory for the exchanges that end within one flush of a tunnel; empty between two of them.
    pub(crate) over: Vec<(ConnId, Result<(), http1::Error>)>,
    /// Memory for requests that may be sent again, so that a request allocates none.
    pub(crate) heads: Heads,
}

/// One of the tunnels that are to be.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) dial: Dial,
    pub(crate) backoff: Backoff,
}

/// The tunnel that is to be, or is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dial {
    /// There is none; the next attempt is due then.
    At(Instant),
    /// This one: it is being made, or serves.
    Tunnel(Serial),
    /// None is wanted any more.
    Never,
}

/// What a connection is.
#[derive(Debug)]
pub enum Conn {
    /// To an ingress; the tunnel's state is kept beside the connections.
    Tunnel,
    /// To an ingress, on the way to the worker that the tunnel is to be at.
    Moving(Box<Tunnel>),
    /// To the local service, for requests.
    Upstream(Upstream),
    /// To the local service, to see whether it is healthy.
    Probe(Probe),
    /// From whoever asks how this agent is.
    Visitor(Visitor),
}

impl Agent {
    /// An agent that connects at once. `instance` tells this process from others.
    #[must_use]
    pub fn new(config: Config, now: Instant, instance: String) -> Self {
        let timeouts = &config.timeouts;
        let slot = || {
            let backoff = Backoff::new(timeouts.backoff_min, timeouts.backoff_max, timeouts.stable);
            Slot { dial: Dial::At(now), backoff }
        };
        Self {
            slots: (0..config.limits.all_tunnels()).map(|_| slot()).collect(),
            ledger: Ledger::default(),
            workers: Workers::alone(),
            outgoing: Outbox::new(),
            pool: Pool::new(config.limits.idle_upstreams),
            config,
            instance,
            process: String::new(),
            conns: Conns::new(),
            tunnels: BTreeMap::new(),
            health: Health::new(now),
            faults: Faults::default(),
            drain: Drain::default(),
            was_proof_refused: false,
            losses: Losses::default(),
            started: now,
            without_tunnel_since: now,
            jobs: VecDeque::new(),
            now,
            over: Vec::new(),
            heads: Heads::default(),
        }
    }

    /// Which slot a tunnel fills.
    pub(crate) fn slot_of(&self, tunnel: Serial) -> Option<usize> {
        self.slots.iter().position(|slot| slot.dial == Dial::Tunnel(tunnel))
    }

    fn tick(&mut self, cx: &mut Context<'_>) {
        for slot in 0..self.slots.len() {
            if matches!(self.slots[slot].dial, Dial::At(due) if due <= cx.now) {
                self.connect_tunnel(slot, cx);
            }
        }
        if self.probe_due().is_some_and(|due| due <= cx.now) {
            self.begin_probe(cx);
        }
        self.drain_expired(cx);
        if self.gives_up_at().is_some_and(|due| due <= cx.now) {
            self.give_up(cx);
        }
    }

    fn progress(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        match self.conns.state(conn) {
            Some(Conn::Tunnel) => self.advance_tunnel(TunnelId(conn), cx),
            Some(Conn::Upstream(_)) => self.advance_upstream(conn, cx),
            Some(Conn::Probe(_)) => self.advance_probe(conn, cx),
            Some(Conn::Visitor(_)) => self.advance_visitor(conn),
            Some(Conn::Moving(_)) | None => {}
        }
    }

    fn connected(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        match self.conns.get_mut(conn) {
            Some(Connection { state: Conn::Tunnel, .. }) => {
                self.tunnel_connected(TunnelId(conn), cx)
            }
            Some(Connection { state: Conn::Upstream(upstream), .. }) => {
                upstream.is_connecting = false;
            }
            Some(Connection {
                state: Conn::Probe(_) | Conn::Moving(_) | Conn::Visitor(_), ..
            })
            | None => {}
        }
    }

    fn expired(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        match self.conns.state(conn) {
            Some(Conn::Tunnel) => self.expire_tunnel(TunnelId(conn), cx),
            Some(Conn::Upstream(_)) => self.expire_upstream(conn, cx),
            Some(Conn::Probe(_)) => self.expire_probe(conn, cx),
            Some(Conn::Visitor(_)) => self.expire_visitor(conn),
            Some(Conn::Moving(_)) | None => {}
        }
    }

    fn closed(&mut self, conn: ConnId, reason: &CloseReason, cx: &mut Context<'_>) {
        match self.conns.state(conn) {
            Some(Conn::Tunnel) => self.lose_tunnel(TunnelId(conn), &reason.to_string(), cx),
            Some(Conn::Moving(tunnel)) => {
                let serial = tunnel.serial;
                self.tunnel_ended(serial, &reason.to_string(), cx);
            }
            Some(Conn::Upstream(_)) => self.upstream_closed(conn, reason, cx),
            Some(Conn::Probe(_)) => self.probe_closed(conn, reason),
            Some(Conn::Visitor(_)) | None => {}
        }
    }
}

impl App for Agent {
    type Conn = Conn;
    type Job = Job;
    type Answer = Answer;
    type Message = Message;

    fn conns(&mut self) -> &mut Conns<Conn> {
        &mut self.conns
    }

    /// An agent listens on its health port at most.
    fn accept(&mut self, _: ListenerId, _: SocketAddr, cx: &mut Context<'_>) -> Option<ConnId> {
        self.admit(cx)
    }

    fn handle(&mut self, event: Event, cx: &mut Context<'_>) {
        self.now = cx.now;
        let ended = if let Event::Closed { conn, .. } = &event { Some(*conn) } else { None };
        match event {
            Event::Connected { conn } => self.connected(conn, cx),
            Event::Progress { conn } => self.progress(conn, cx),
            Event::Deadline { conn } => self.expired(conn, cx),
            Event::Closed { conn, reason } => self.closed(conn, &reason, cx),
            Event::Adopted { conn } => self.adopt_tunnel(conn, cx),
            Event::Tick => self.tick(cx),
            Event::Drain => self.asked_to_leave(cx),
        }
        self.close_drained(ended, cx);
    }

    fn poll_job(&mut self) -> Option<Job> {
        // A tunnel that was lost in the meantime needs no proof any more.
        while let Some(job) = self.jobs.pop_front() {
            let Job::Prove { conn, .. } = &job;
            if self.tunnels.contains_key(&TunnelId(*conn)) {
                return Some(job);
            }
        }
        None
    }

    fn handle_answer(&mut self, answer: Answer, cx: &mut Context<'_>) {
        self.now = cx.now;
        match answer {
            Answer::Proved { conn, outcome } => self.proved(TunnelId(conn), outcome, cx),
            Answer::NewToken => self.renew_tunnels(cx),
            // The next HELLO says it.
            #[cfg(feature = "aws")]
            Answer::Placed(place) => self.config.set_place(place),
        }
        self.close_drained(None, cx);
    }

    fn poll_outgoing(&mut self) -> Option<(WorkerId, Outgoing<Message>)> {
        self.outgoing.pop_front()
    }

    fn handle_message(&mut self, _: WorkerId, message: Message, cx: &mut Context<'_>) {
        self.now = cx.now;
        self.take_message(message, cx);
        self.close_drained(None, cx);
    }

    fn transmit(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        self.now = cx.now;
        if matches!(self.conns.state(conn), Some(Conn::Tunnel)) {
            self.transmit_tunnel(TunnelId(conn), cx);
        }
    }

    fn is_heard_out(&self, conn: ConnId) -> bool {
        let Some(Connection { io, state: Conn::Upstream(upstream) }) = self.conns.get(conn) else {
            return false;
        };
        // Its end has still to go through the tunnel.
        io.rx.is_empty()
            && match &upstream.state {
                State::Busy(exchange) => {
                    let tunnel = self.tunnels.get(&exchange.tunnel);
                    tunnel.is_none_or(|tunnel| tunnel.has_ended(exchange.stream))
                }
                State::Idle { .. } | State::Spent { .. } => true,
            }
    }

    fn is_framed(&self, conn: ConnId) -> bool {
        self.tunnels.contains_key(&TunnelId(conn))
    }

    fn has_output(&self, conn: ConnId) -> bool {
        matches!(self.conns.state(conn), Some(Conn::Tunnel))
            && self.tunnels.get(&TunnelId(conn)).is_some_and(|tunnel| tunnel.has_output())
    }

    fn conn_deadline(&self, conn: ConnId) -> Option<Instant> {
        let timeouts = &self.config.timeouts;
        let Connection { io, state } = self.conns.get(conn)?;
        match state {
            Conn::Tunnel => Some(self.tunnels.get(&TunnelId(conn))?.deadline(timeouts)),
            Conn::Moving(tunnel) => Some(tunnel.deadline(timeouts)),
            Conn::Upstream(upstream) => Some(upstream.deadline(io.patience, timeouts)),
            Conn::Probe(probe) => Some(probe.deadline()),
            Conn::Visitor(visitor) => Some(visitor.since + VISIT),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        // The first worker decides when all leave.
        let drain = self.drain.deadline(&self.config.timeouts);
        let drain = drain.filter(|_| self.workers.is_first());
        let dial = self.next_dial().into_iter();
        dial.chain(self.probe_due()).chain(drain).chain(self.gives_up_at()).min()
    }

    fn status(&self, words: &mut dyn fmt::Write) -> fmt::Result {
        if self.drain.is_draining() {
            return words.write_str("draining");
        }
        let serving = self.ledger.serving();
        let registered = match (serving, self.ledger.has_welcome()) {
            (0, false) => "not registered",
            // The old tunnel serves until there is another one.
            (0, true) => "moving",
            (1.., _) => "registered",
        };
        let service = if self.health.is_healthy() { "healthy" } else { "not healthy" };
        let wanted = self.slots.len();
        write!(words, "{registered}, tunnels: {serving} of {wanted}, service: {service}")
    }
}

/// Where to connect for an endpoint.
pub(crate) fn target(endpoint: &Endpoint, traffic: Traffic) -> Target {
    let Endpoint { host, port, security, .. } = endpoint;
    Target { host: host.clone(), port: *port, security: *security, traffic, via: None }
}

/// The endpoint as it stands in `Host`: without the port that its scheme implies.
pub(crate) fn authority(endpoint: &Endpoint) -> String {
    let authority = Authority(&endpoint.host, endpoint.port).to_string();
    let implied = match endpoint.security {
        Security::Plain => ":80",
        Security::Tls => ":443",
    };
    authority.strip_suffix(implied).map(str::to_owned).unwrap_or(authority)
}
