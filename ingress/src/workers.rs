//! Several workers in one process: who has which tunnel, and what they tell each other.
//!
//! ```text
//!                    worker 0                            worker n
//!   agent --> registration, welcome --- Conn::Moving --> its tunnel for life
//!                  | Added, to all others                   | Removed, to all
//!   callers, counted here <----------------- Left ----------'
//! ```
//!
//! All listeners are the first worker's. It admits agents, names them, and gives each tunnel to the
//! worker that has the fewest tunnels of its agent and, where several have as few, the fewest in
//! all, before the first stream opens. It alone makes routes known, so that a
//! [`RouteId`](crate::routes::RouteId) means the same everywhere; each worker has a copy of all
//! routes and asks nobody on the way of a request. What is sent is bounded: some messages for each
//! tunnel, one for each caller, and one for each page that somebody waits for.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use mesh_protocol::{ConnId, Context, Outgoing, WorkerId};

use crate::config::Config;
use crate::gauge::{Gauge, Homes};
use crate::identity::{Policy, Principal};
use crate::ingress::{Conn, Ingress};
use crate::pages::{Part, Question};
use crate::room::Forgotten;
use crate::routes::{Candidate, Place};
use crate::successors::Predecessor;
use crate::tunnel::{AgentId, Serial, Tunnel, TunnelId};

/// What one worker tells another.
#[derive(Debug)]
pub enum Message {
    /// From the first one: this agent is welcome, and its hosts are known from now on.
    Added(Box<Remote>),
    /// From the first one: these hosts have no agent any more, and give way to others.
    Forgotten(Box<Forgotten>),
    /// From whoever had it: this tunnel has ended.
    Removed(Serial),
    /// From the first one: the agent of this tunnel has another one in its place.
    Replaced(Serial, Predecessor),
    /// To the first one: a caller from this address has left.
    Left(IpAddr),
    /// From the first one: new rules are in force.
    Policy(Box<Policy>),
    /// To the first one: since when ECS is silent about agents, if it is.
    Silent(Option<Instant>),
    /// To all others, not for each: ECS answered a question then.
    Answered(Instant),
    /// To the first one: nobody is left here about whom ECS is asked.
    AsksNobody,
    /// From the first one, which admits agents: STS failed to say who one is.
    StsFailed(Instant),
    /// To the first one: somebody asked for `/health`.
    Checked,
    /// From the first one: SIGTERM came.
    Drain,
    /// From the first one: say goodbye to your agents.
    Leave,
    /// To the first one: that is done.
    SaidGoodbye,
    /// Somebody asked for a page: what can you say of it?
    Asked {
        /// Names the page.
        page: u64,
        /// What it is about.
        question: Question,
    },
    /// The answer to [`Self::Asked`].
    Said {
        /// Names the page.
        page: u64,
        /// What the worker knows.
        part: Box<Part>,
    },
}

/// A tunnel of another worker.
#[derive(Debug, Clone)]
pub struct Remote {
    pub(crate) serial: Serial,
    pub(crate) agent: AgentId,
    /// The agent's own name for its process.
    pub(crate) process: String,
    /// Who the agent proved to be.
    pub(crate) principal: Option<Principal>,
    pub(crate) lane: u32,
    pub(crate) introduced: Instant,
    pub(crate) worker: WorkerId,
    pub(crate) service: Arc<str>,
    pub(crate) hosts: Vec<String>,
    pub(crate) gauge: Arc<Gauge>,
}

/// The other workers, as one of them knows them.
#[derive(Debug)]
pub(crate) struct Workers {
    pub(crate) own: WorkerId,
    /// How many there are, this one included.
    pub(crate) count: u8,
    /// Their tunnels.
    pub(crate) remotes: BTreeMap<Serial, Remote>,
    /// Where callers are.
    pub(crate) homes: Arc<Homes>,
}

/// What waits for the shell to be sent.
pub(crate) type Outbox = VecDeque<(WorkerId, Outgoing<Message>)>;

impl Workers {
    pub(crate) fn alone() -> Self {
        Self::new(WorkerId::FIRST, Arc::new(Homes::new(1)), 1)
    }

    fn new(own: WorkerId, homes: Arc<Homes>, count: u8) -> Self {
        Self { own, count, remotes: BTreeMap::new(), homes }
    }

    pub(crate) fn is_first(&self) -> bool {
        self.own == WorkerId::FIRST
    }

    pub(crate) fn others(&self) -> impl Iterator<Item = WorkerId> + use<> {
        let own = self.own;
        (0..self.count).map(WorkerId).filter(move |one| *one != own)
    }

    /// Requests in flight at other workers.
    pub(crate) fn in_flight(&self) -> usize {
        self.remotes.values().map(|remote| remote.gauge.in_flight()).sum()
    }
}

impl Ingress {
    /// The workers of one process: the same rules for all, and the listeners for the first.
    #[must_use]
    pub fn workers(config: &Config, now: Instant, count: u8) -> Vec<Self> {
        let count = count.max(1);
        let homes = Arc::new(Homes::new(count));
        let worker = |number| Self {
            workers: Workers::new(WorkerId(number), Arc::clone(&homes), count),
            ..Self::new(config.clone(), now)
        };
        (0..count).map(worker).collect()
    }

    /// Tunnels of all workers.
    #[must_use]
    pub fn all_tunnels(&self) -> usize {
        self.tunnels.len() + self.workers.remotes.len()
    }

    /// Says something to another worker.
    pub(crate) fn tell(&mut self, to: WorkerId, message: Message) {
        self.outgoing.push_back((to, Outgoing::Message(message)));
    }

    /// Says something to all other workers.
    pub(crate) fn tell_others(&mut self, message: impl Fn() -> Message) {
        for other in self.workers.others() {
            self.tell(other, message());
        }
    }

    /// Says something to the first worker, unless that is this one.
    pub(crate) fn tell_first(&mut self, message: Message) {
        if !self.workers.is_first() {
            self.tell(WorkerId::FIRST, message);
        }
    }

    /// Another worker has something to say.
    pub(crate) fn take_message(&mut self, from: WorkerId, message: Message, cx: &mut Context<'_>) {
        match message {
            Message::Added(remote) => {
                self.learn_hosts(&remote.hosts, &remote.service);
                self.add_remote(*remote);
            }
            Message::Forgotten(forgotten) => self.forget(&forgotten),
            Message::Removed(serial) => self.remove_remote(serial),
            Message::Replaced(serial, former) => self.replace_tunnel(serial, former, cx),
            Message::Left(address) => {
                self.callers.left(address);
                self.check_drained(None, cx);
            }
            Message::Policy(policy) => self.change_policy(policy, cx),
            Message::Silent(since) => self.hear_of_silence(from, since),
            Message::Answered(at) => {
                self.verifier.answered = self.verifier.answered.max(Some(at));
            }
            Message::AsksNobody => self.take_over_silence(from),
            Message::StsFailed(at) => self.verifier.sts_failed = Some(at),
            Message::Checked => self.drain.checked(cx.now),
            Message::Drain => self.begin_drain(cx),
            Message::Leave => self.leave(cx),
            Message::SaidGoodbye => {
                self.drain.said_goodbye();
                self.check_drained(None, cx);
            }
            Message::Asked { page, question } => {
                let part = Box::new(self.part(question));
                self.tell(from, Message::Said { page, part });
            }
            Message::Said { page, part } => self.collect_part(page, *part, cx),
        }
    }

    /// The worker that gets an agent's next tunnel: the one with the fewest of this agent that are
    /// there to stay, and of those the one with the fewest of all.
    fn place_tunnel(&self, agent: AgentId, lane: u32) -> WorkerId {
        let mut tunnels = vec![(0_usize, 0_usize); self.workers.count.into()];
        for one in self.known_tunnels() {
            let worker = one.worker().unwrap_or(self.workers.own);
            let (of_agent, of_all) = &mut tunnels[worker.index()];
            let is_beside = one.agent() == agent && one.lane() != lane && one.lasts();
            *of_agent += usize::from(is_beside);
            *of_all += 1;
        }
        let fewest = (0..).zip(tunnels).min_by_key(|(number, counts)| (*counts, *number));
        fewest.map_or(self.workers.own, |(number, _)| WorkerId(number))
    }

    /// A registered agent's tunnel: to its worker, and known to all others.
    pub(crate) fn assign_tunnel(&mut self, conn: ConnId, mut tunnel: Tunnel, cx: &mut Context<'_>) {
        self.learn_hosts(&tunnel.hello.hosts, &tunnel.service);
        tunnel.was_healthy |= self.holds_hosts(tunnel.agent);
        if self.workers.count == 1 {
            return self.install_tunnel(conn, tunnel, cx);
        }
        let to = self.place_tunnel(tunnel.agent, tunnel.hello.lane);
        let gauge = Arc::new(Gauge::new(tunnel.serial, self.started, &tunnel.reading()));
        tunnel.gauge = Some(Arc::clone(&gauge));
        let remote = Remote {
            serial: tunnel.serial,
            agent: tunnel.agent,
            process: tunnel.hello.process.clone(),
            principal: tunnel.standing.principal.clone(),
            lane: tunnel.hello.lane,
            introduced: tunnel.introduced,
            worker: to,
            service: Arc::clone(&tunnel.service),
            hosts: tunnel.hello.hosts.clone(),
            gauge,
        };
        // To its own worker as well: the tunnel may end before it leaves, and all have to learn all
        // hosts in the same order.
        self.tell_others(|| Message::Added(Box::new(remote.clone())));
        if to == self.workers.own {
            return self.install_tunnel(conn, tunnel, cx);
        }
        self.add_remote(remote);
        if let Some(connection) = self.conns.get_mut(conn) {
            connection.state = Conn::Moving(Box::new(tunnel));
            self.outgoing.push_back((to, Outgoing::Connection(conn)));
        }
    }

    /// A tunnel came from the worker that welcomed its agent.
    pub(crate) fn adopt_tunnel(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let state = std::mem::replace(&mut connection.state, Conn::Tunnel);
        let Conn::Moving(tunnel) = state else {
            connection.state = state;
            return;
        };
        self.install_tunnel(conn, *tunnel, cx);
    }

    /// Requests may go to this tunnel from now on.
    fn install_tunnel(&mut self, conn: ConnId, tunnel: Tunnel, cx: &mut Context<'_>) {
        let id = TunnelId(conn);
        for host in &tunnel.hello.hosts {
            let (serial, agent) = (tunnel.serial, tunnel.agent);
            let (service, place) = (Arc::clone(&tunnel.service), Place::Here(id));
            self.routes.add(host, Candidate { serial, agent, service, place });
        }
        let is_rechecked = tunnel.standing.ecs.is_some();
        self.tunnels.insert(id, tunnel);
        if is_rechecked {
            self.plan_recheck(cx);
        }
        self.conns.touch(conn);
        if self.drain.is_draining() {
            self.tell_to_move(id);
        }
        if self.drain.is_leaving() {
            return self.say_goodbye(id, cx);
        }
        // Frames may have followed at once.
        self.advance_tunnel(id, cx);
    }

    /// A tunnel on its way to its worker ended before it left.
    pub(crate) fn moving_tunnel_closed(&mut self, conn: ConnId) {
        let Some(Conn::Moving(tunnel)) = self.conns.state(conn) else { return };
        log::info!("{tunnel}: ended at once");
        let serial = tunnel.serial;
        self.metrics.tunnels_lost += 1;
        self.remove_remote(serial);
        self.tell_others(|| Message::Removed(serial));
    }

    /// A tunnel of another worker, unless it is ours, and still to come, or its end was heard of first.
    fn add_remote(&mut self, remote: Remote) {
        if remote.worker == self.workers.own || remote.gauge.is_gone() {
            return;
        }
        for host in &remote.hosts {
            let (serial, agent) = (remote.serial, remote.agent);
            let service = Arc::clone(&remote.service);
            let place = Place::There(remote.worker, Arc::clone(&remote.gauge));
            self.routes.add(host, Candidate { serial, agent, service, place });
        }
        self.workers.remotes.insert(remote.serial, remote);
    }

    /// A tunnel of another worker has ended.
    pub(crate) fn remove_remote(&mut self, serial: Serial) {
        let Some(remote) = self.workers.remotes.remove(&serial) else { return };
        remote.gauge.leave();
        for host in &remote.hosts {
            self.routes.remove(host, serial);
        }
    }
}

#[cfg(test)]
mod tests;
