//! The dispatcher: keeps the branches, while the files beside it keep the work.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use mesh_protocol::{
    App, CloseReason, ConnId, Conns, Context, Event, Heads, ListenerId, Outgoing, WorkerId,
};

use crate::admin::Admin;
use crate::callers::Callers;
use crate::config::Config;
use crate::downstream::Downstream;
use crate::drain::Drain;
use crate::exchange::Phase;
use crate::jobs::{Answer, Job, Queue};
use crate::metrics::Metrics;
use crate::pages::Pages;
use crate::registration::Registration;
use crate::routes::Routes;
use crate::tunnel::{Tunnel, TunnelId, Tunnels};
use crate::verification::Verifier;
use crate::workers::{Message, Outbox, Workers};

/// The listener for callers: the load balancer's target.
pub const TRAFFIC: ListenerId = ListenerId(0);
/// The listener for health checks and metrics.
pub const ADMIN: ListenerId = ListenerId(1);
/// The listener for agents.
pub const TUNNEL: ListenerId = ListenerId(2);

/// The server application.
#[derive(Debug)]
pub struct Ingress {
    pub(crate) config: Config,
    pub(crate) conns: Conns<Conn>,
    pub(crate) tunnels: Tunnels,
    pub(crate) routes: Routes,
    pub(crate) metrics: Metrics,
    /// Callers' connections of all workers, counted at the first one.
    pub(crate) callers: Callers,
    pub(crate) workers: Workers,
    pub(crate) outgoing: Outbox,
    pub(crate) pages: Pages,
    pub(crate) drain: Drain,
    pub(crate) started: Instant,
    /// The time of the present call; no method here is told another.
    pub(crate) now: Instant,
    /// Exchanges in progress.
    ///
    /// Invariant: the callers' connections that are busy.
    pub(crate) in_flight: usize,
    /// Connections that are neither callers' nor tunnels.
    pub(crate) others: usize,
    /// Those of `others` that may become tunnels: not yet decided about.
    pub(crate) registering: usize,
    /// When it was last said that there are too many tunnels.
    pub(crate) full_logged: Option<Instant>,
    /// When it was last said that there are too many other connections.
    pub(crate) crowd_logged: Option<Instant>,
    /// For the shell.
    ///
    /// Invariant: at most one for each agent that wants to register, and one round of rechecks.
    pub(crate) jobs: Queue,
    pub(crate) verifier: Verifier,
    /// Tunnels registered so far, to name the next one.
    pub(crate) registered: u64,
    /// Memory for requests that may be sent again, so that a request allocates none.
    pub(crate) heads: Heads,
}

/// What a connection is.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all connections are callers'")]
pub enum Conn {
    /// A caller's.
    Downstream(Downstream),
    /// One that asks us for a page, or for a tunnel.
    Admin(Admin),
    /// An agent's that is not registered yet.
    Registration(Box<Registration>),
    /// A registered agent's; [`Tunnels`] knows the rest.
    Tunnel,
    /// A registered agent's, on its way to the worker that it is to be at.
    Moving(Box<Tunnel>),
}

impl Ingress {
    /// An ingress without connections.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        Self {
            config,
            conns: Conns::new(),
            tunnels: Tunnels::default(),
            routes: Routes::default(),
            metrics: Metrics::default(),
            callers: Callers::default(),
            workers: Workers::alone(),
            outgoing: Outbox::new(),
            pages: Pages::default(),
            drain: Drain::default(),
            started: now,
            now,
            in_flight: 0,
            others: 0,
            registering: 0,
            full_logged: None,
            crowd_logged: None,
            jobs: Queue::default(),
            verifier: Verifier::default(),
            registered: 0,
            heads: Heads::default(),
        }
    }

    /// How often a caller's connection came to this worker from another one.
    #[must_use]
    pub const fn moves(&self) -> u64 {
        self.metrics.moves
    }

    fn progress(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        match self.conns.state(conn) {
            Some(Conn::Downstream(_)) => self.advance_downstream(conn, cx),
            Some(Conn::Tunnel) => self.advance_tunnel(TunnelId(conn), cx),
            Some(Conn::Admin(_)) => self.advance_admin(conn, cx),
            Some(Conn::Registration(_)) => self.advance_registration(conn, cx),
            Some(Conn::Moving(_)) | None => {}
        }
    }

    fn expired(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        match self.conns.state(conn) {
            Some(Conn::Downstream(_)) => self.expire_downstream(conn, cx),
            Some(Conn::Tunnel) => self.expire_tunnel(TunnelId(conn), cx),
            Some(Conn::Admin(_)) => self.expire_admin(conn),
            Some(Conn::Registration(_)) => self.expire_registration(conn, cx),
            Some(Conn::Moving(_)) | None => {}
        }
    }

    fn closed(&mut self, conn: ConnId, reason: &CloseReason, cx: &mut Context<'_>) {
        self.log_failed_handshake(conn, reason);
        match self.conns.state(conn) {
            Some(Conn::Downstream(_)) => self.downstream_closed(conn, reason),
            Some(Conn::Tunnel) => self.lose_tunnel(TunnelId(conn), &reason.to_string(), cx),
            Some(Conn::Admin(_)) => self.others -= 1,
            Some(Conn::Registration(registration)) => {
                let is_over = registration.is_over();
                self.others -= 1;
                if !is_over {
                    self.end_registration(conn);
                }
            }
            Some(Conn::Moving(_)) => self.moving_tunnel_closed(conn),
            None => {}
        }
        self.check_drained(Some(conn), cx);
    }

    /// A connection came from another worker.
    fn adopted(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        match self.conns.state(conn) {
            Some(Conn::Downstream(_)) => self.adopt_caller(conn, cx),
            Some(Conn::Moving(_)) => self.adopt_tunnel(conn, cx),
            Some(Conn::Tunnel | Conn::Admin(_) | Conn::Registration(_)) | None => {}
        }
    }

    /// Says why somebody could not talk to us. The operator should know of an agent whose
    /// certificate is no good, but not of whoever connects and leaves, such as a load balancer that
    /// checks the port, nor of a caller.
    fn log_failed_handshake(&self, conn: ConnId, reason: &CloseReason) {
        let Some(connection) = self.conns.get(conn) else { return };
        let CloseReason::Failed(error) = reason else { return };
        if !connection.io.is_handshaking {
            return;
        }
        let (peer, level) = match &connection.state {
            Conn::Admin(admin) if error.kind() == io::ErrorKind::InvalidData => {
                (admin.peer(), log::Level::Info)
            }
            Conn::Admin(admin) => (admin.peer(), log::Level::Debug),
            Conn::Downstream(downstream) => (downstream.peer, log::Level::Debug),
            Conn::Registration(_) | Conn::Tunnel | Conn::Moving(_) => return,
        };
        log::log!(level, "{peer}: the TLS handshake failed: {error}");
    }
}

impl App for Ingress {
    type Conn = Conn;
    type Job = Job;
    type Answer = Answer;
    type Message = Message;

    fn conns(&mut self) -> &mut Conns<Conn> {
        &mut self.conns
    }

    fn accept(
        &mut self,
        listener: ListenerId,
        peer: SocketAddr,
        cx: &mut Context<'_>,
    ) -> Option<ConnId> {
        self.now = cx.now;
        // IPv4 callers on an IPv6 socket are IPv4 callers, wherever they are named.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        if listener == TRAFFIC {
            self.accept_caller(peer)
        } else {
            self.accept_admin(listener, peer)
        }
    }

    fn handle(&mut self, event: Event, cx: &mut Context<'_>) {
        self.now = cx.now;
        match event {
            Event::Progress { conn } => self.progress(conn, cx),
            Event::Deadline { conn } => self.expired(conn, cx),
            Event::Closed { conn, reason } => self.closed(conn, &reason, cx),
            Event::Tick => {
                self.end_drain_if_due(cx);
                self.recheck_if_due(cx);
                self.expire_pages(cx);
            }
            Event::Drain => self.asked_to_leave(cx),
            Event::Adopted { conn } => self.adopted(conn, cx),
            Event::Connected { .. } => {}
        }
    }

    fn poll_job(&mut self) -> Option<Job> {
        self.next_job()
    }

    fn handle_answer(&mut self, answer: Answer, cx: &mut Context<'_>) {
        self.now = cx.now;
        self.take_answer(answer, cx);
    }

    fn poll_outgoing(&mut self) -> Option<(WorkerId, Outgoing<Message>)> {
        self.outgoing.pop_front()
    }

    fn handle_message(&mut self, from: WorkerId, message: Message, cx: &mut Context<'_>) {
        self.now = cx.now;
        self.take_message(from, message, cx);
    }

    fn transmit(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        self.now = cx.now;
        match self.conns.state(conn) {
            Some(Conn::Tunnel) => self.transmit_tunnel(TunnelId(conn), cx),
            Some(Conn::Registration(_)) => self.transmit_registration(conn, cx),
            Some(Conn::Downstream(_) | Conn::Admin(_) | Conn::Moving(_)) | None => {}
        }
    }

    fn has_output(&self, conn: ConnId) -> bool {
        match self.conns.state(conn) {
            Some(Conn::Tunnel) => {
                self.tunnels.get(TunnelId(conn)).is_some_and(|tunnel| tunnel.link.has_output())
            }
            Some(Conn::Registration(_)) => true,
            Some(Conn::Downstream(_) | Conn::Admin(_) | Conn::Moving(_)) | None => false,
        }
    }

    fn awaits_peer(&self, conn: ConnId) -> bool {
        match self.conns.state(conn) {
            Some(Conn::Downstream(downstream)) => downstream.awaits_caller(),
            Some(Conn::Admin(_) | Conn::Registration(_) | Conn::Tunnel | Conn::Moving(_))
            | None => true,
        }
    }

    fn is_heard_out(&self, conn: ConnId) -> bool {
        // What a caller sends is a question, of no use once it cannot be answered, until it is upgraded.
        matches!(self.conns.state(conn), Some(Conn::Downstream(_))) && !self.has_last_words(conn)
    }

    fn has_last_words(&self, conn: ConnId) -> bool {
        // Only as far as there is credit: a service that takes nothing is to hear of the break at once.
        self.conns.get(conn).is_some_and(|connection| !connection.io.rx.is_empty())
            && self.busy(conn).is_some_and(|(_, exchange)| {
                let tunnel = self.tunnels.get(exchange.tunnel);
                exchange.phase == Phase::Upgraded
                    && tunnel.is_some_and(|one| one.link.session.can_send(exchange.stream))
            })
    }

    fn is_framed(&self, conn: ConnId) -> bool {
        match self.conns.state(conn) {
            Some(Conn::Registration(_) | Conn::Tunnel | Conn::Moving(_)) => true,
            Some(Conn::Downstream(_) | Conn::Admin(_)) | None => false,
        }
    }

    fn conn_deadline(&self, conn: ConnId) -> Option<Instant> {
        let connection = self.conns.get(conn)?;
        let timeouts = &self.config.timeouts;
        match &connection.state {
            Conn::Downstream(downstream) => Some(downstream.deadline(&connection.io, timeouts).0),
            Conn::Admin(admin) => Some(admin.deadline(timeouts)),
            Conn::Registration(registration) => Some(registration.deadline(timeouts)),
            Conn::Tunnel => {
                let tunnel = self.tunnels.get(TunnelId(conn))?;
                let proof = self.proof_deadline(tunnel);
                proof.into_iter().chain([tunnel.link.deadline()]).min()
            }
            Conn::Moving(tunnel) => Some(tunnel.link.deadline()),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let drain = self.drain_deadline();
        drain.into_iter().chain(self.verifier.deadline()).chain(self.pages.deadline()).min()
    }

    fn status(&self, words: &mut dyn fmt::Write) -> fmt::Result {
        let doing = if self.drain.is_draining() { "draining" } else { "serving" };
        write!(words, "{doing}, tunnels: {}", self.all_tunnels())
    }
}
