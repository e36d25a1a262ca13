//! Everything between the nodes: the clock, the agenda of what happens when, the address book, and
//! all links. It is to the simulated nodes what the kernels and the wires are to real processes.
//!
//! It is the one thing that is shared: each [`Endpoint`](crate::Endpoint) refers to it as a file
//! descriptor refers to its kernel, and the world drives it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mesh_protocol::{ListenerId, Rng};

use crate::draw;
use crate::faults::{Fault, FaultRates};
use crate::link::{End, EndId, Link, LinkRules, Side, Token};
use crate::trace::{Mark, Trace};
use readiness::WRITABLE;

mod connecting;
mod control;
mod readiness;
pub(crate) mod traffic;

/// Names a node of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(u16);

impl NodeId {
    pub(crate) fn from_index(index: usize) -> Option<Self> {
        u16::try_from(index).ok().map(Self)
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How an address of the book answers a connection attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The listener accepts.
    Accept,
    /// Connection refused.
    Refuse,
    /// Nothing ever comes back.
    Ignore,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It runs.
    Running,
    /// It has stopped for a while (SIGSTOP): its kernel still accepts and buffers.
    Frozen,
    /// Its process ended: its kernel refuses.
    Exited,
    /// It lost its power or its cable: nothing comes back.
    Vanished,
}

/// The shared state. See the module.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) rng: Rng,
    pub(crate) trace: Trace,
    agenda: BinaryHeap<Reverse<Entry>>,
    entries: u64,
    links: Vec<Option<Box<Link>>>,
    ports: Vec<Port>,
    addresses: BTreeMap<String, Listener>,
    /// Addresses that stand for others, as that of a load balancer does.
    pools: BTreeMap<String, Vec<String>>,
    rules: BTreeMap<(NodeId, NodeId), LinkRules>,
    default_rules: LinkRules,
    /// Entries on the agenda by which bytes or connections move.
    pub(crate) under_way: usize,
    /// Counts everything that moved, to tell work from spinning.
    pub(crate) movements: u64,
}

#[derive(Debug)]
struct Listener {
    node: NodeId,
    id: ListenerId,
    answer: Answer,
}

/// A node as the network sees it.
#[derive(Debug)]
struct Port {
    /// The node whose process this one is a worker of; itself for most.
    process: NodeId,
    /// Where others see it.
    ip: IpAddr,
    life: Life,
    /// Listeners that were closed.
    closed: Vec<ListenerId>,
    inbox: VecDeque<Arrival>,
    /// Ends with readiness to report; an end stands here once.
    edges: VecDeque<EndId>,
    wake: Option<Instant>,
    busy_until: Instant,
    next_port: u16,
}

/// What the network hands to a node besides readiness.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// Somebody connected.
    Accepted { end: EndId, listener: ListenerId, peer: SocketAddr },
    /// A connection that the node asked for is there.
    Connected { end: EndId, token: Token },
    /// A connection that the node asked for cannot be had.
    Failed { token: Token, error: ErrorKind },
    /// SIGTERM.
    Drain,
}

/// Something that will happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Happening {
    /// A node has something to do.
    Wake(NodeId),
    /// A connection attempt reaches its listener.
    Syn(u32),
    /// The listener's answer reaches the dialler.
    SynAck(u32),
    /// The refusal reaches the dialler.
    Refusal(u32),
    /// A piece arrives that this end's other side wrote.
    Deliver(EndId),
    /// There is room again for this end to write.
    Space(EndId),
    /// A reset reaches this end.
    Rst(EndId),
    /// A planned fault strikes a link.
    Fault(u32, Fault),
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: Instant,
    number: u64,
    what: Happening,
}

/// How late a process notices that something is ready, at the most.
const WAKE_DELAY_MAX: Duration = Duration::from_micros(20);
/// How long a turn of a process takes, at the most.
const TURN_MAX: Duration = Duration::from_micros(20);

impl Network {
    pub(crate) fn new(rng: Rng, start: Instant) -> Self {
        Self {
            start,
            now: start,
            rng,
            trace: Trace::default(),
            agenda: BinaryHeap::new(),
            entries: 0,
            links: Vec::new(),
            ports: Vec::new(),
            addresses: BTreeMap::new(),
            pools: BTreeMap::new(),
            rules: BTreeMap::new(),
            default_rules: LinkRules::drawn(FaultRates::none()),
            under_way: 0,
            movements: 0,
        }
    }

    pub(crate) fn add_node(&mut self, name: &str) -> NodeId {
        let node = NodeId(u16::try_from(self.ports.len()).expect("a world has few nodes"));
        self.trace.name(name);
        let [high, low] = node.0.to_be_bytes();
        self.ports.push(Port {
            process: node,
            ip: Ipv4Addr::from([10, 0, high, low]).into(),
            life: Life::Running,
            closed: Vec::new(),
            inbox: VecDeque::new(),
            edges: VecDeque::new(),
            wake: None,
            busy_until: self.now,
            next_port: 32_768,
        });
        self.wake(node, self.now);
        node
    }

    pub(crate) fn set_ip(&mut self, node: NodeId, ip: IpAddr) {
        self.ports[node.index()].ip = ip;
    }

    /// The node is a worker of that process: they live and end together.
    pub(crate) fn join(&mut self, node: NodeId, process: NodeId) {
        self.ports[node.index()].process = process;
    }

    /// The process that a node is a worker of.
    pub(crate) fn process(&self, node: NodeId) -> NodeId {
        self.ports[node.index()].process
    }

    /// All workers of a process.
    pub(crate) fn members(&self, process: NodeId) -> Vec<NodeId> {
        let nodes = (0..self.ports.len()).filter_map(NodeId::from_index);
        nodes.filter(|node| self.process(*node) == process).collect()
    }

    /// Something is on its way between two workers, to be there then.
    pub(crate) fn post(&mut self, to: NodeId, due: Instant) {
        self.under_way += 1;
        self.movements += 1;
        self.wake(to, due);
    }

    /// Something arrived there, or will not any more.
    pub(crate) fn posted(&mut self, count: usize) {
        self.under_way -= count;
        self.movements += 1;
    }

    pub(crate) fn listen(&mut self, address: &str, node: NodeId, id: ListenerId) {
        let answer = Answer::Accept;
        let listener = Listener { node, id, answer };
        self.addresses.insert(address.to_owned(), listener);
    }

    pub(crate) fn answer(&mut self, address: &str, answer: Answer) {
        let listener = self.addresses.get_mut(address);
        listener.expect("the address is in the book").answer = answer;
    }

    pub(crate) fn set_pool(&mut self, address: &str, members: &[&str]) {
        let members = members.iter().map(|&member| member.to_owned()).collect();
        self.pools.insert(address.to_owned(), members);
    }

    pub(crate) fn stop_accepting(&mut self, node: NodeId, listener: ListenerId) {
        self.ports[node.index()].closed.push(listener);
    }

    pub(crate) const fn set_default_rules(&mut self, rules: LinkRules) {
        self.default_rules = rules;
    }

    pub(crate) fn set_rules(&mut self, a: NodeId, b: NodeId, rules: LinkRules) {
        self.rules.insert((a.min(b), a.max(b)), rules);
    }

    fn rules(&self, a: NodeId, b: NodeId) -> LinkRules {
        let own = self.rules.get(&(a.min(b), a.max(b)));
        own.copied().unwrap_or(self.default_rules)
    }

    pub(crate) fn life(&self, node: NodeId) -> Life {
        self.ports[node.index()].life
    }

    /// Puts something on the agenda.
    fn schedule(&mut self, at: Instant, what: Happening) {
        self.entries += 1;
        if what.moves() {
            self.under_way += 1;
        }
        let number = self.entries;
        self.agenda.push(Reverse(Entry { at, number, what }));
    }

    /// When something happens next.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.agenda.peek().map(|Reverse(entry)| entry.at)
    }

    /// Moves the clock to what happens next. A node that has to run is returned.
    pub(crate) fn advance(&mut self) -> Option<NodeId> {
        let Reverse(entry) = self.agenda.pop()?;
        self.now = self.now.max(entry.at);
        if entry.what.moves() {
            self.under_way -= 1;
        }
        match entry.what {
            Happening::Wake(node) => return self.woken(node, entry.at),
            Happening::Syn(link) => self.handle_syn(link),
            Happening::SynAck(link) => self.handle_syn_ack(link),
            Happening::Refusal(link) => self.handle_refusal(link),
            Happening::Deliver(end) => self.deliver(end, entry.at),
            Happening::Space(end) => self.raise(end, WRITABLE),
            Happening::Rst(end) => self.handle_rst(end),
            Happening::Fault(link, fault) => {
                let writer = Side::draw(&mut self.rng);
                self.strike(link, writer, fault);
            }
        }
        None
    }

    fn woken(&mut self, node: NodeId, at: Instant) -> Option<NodeId> {
        let port = &mut self.ports[node.index()];
        if port.wake != Some(at) {
            return None;
        }
        port.wake = None;
        (port.life == Life::Running).then_some(node)
    }

    /// Has a node run at `at`, or before, or as soon as it has finished its turn.
    pub(crate) fn wake(&mut self, node: NodeId, at: Instant) {
        let port = &mut self.ports[node.index()];
        let at = at.max(port.busy_until).max(self.now);
        if port.wake.is_none_or(|wake| at < wake) {
            port.wake = Some(at);
            self.schedule(at, Happening::Wake(node));
        }
    }

    /// Has a node run a moment from now, as a process that has been told of an event does.
    fn rouse(&mut self, node: NodeId) {
        let delay = draw::up_to(&mut self.rng, WAKE_DELAY_MAX);
        self.wake(node, self.now + delay);
    }

    /// Hands something to a node.
    fn hand(&mut self, node: NodeId, arrival: Arrival) {
        self.movements += 1;
        self.ports[node.index()].inbox.push_back(arrival);
        self.rouse(node);
    }

    /// The node's turn has ended; it was not free for others while it took.
    pub(crate) fn end_turn(&mut self, node: NodeId) {
        let length = Duration::from_micros(1) + draw::up_to(&mut self.rng, TURN_MAX);
        self.ports[node.index()].busy_until = self.now + length;
        let port = &self.ports[node.index()];
        if !port.inbox.is_empty() || !port.edges.is_empty() {
            self.wake(node, self.now);
        }
    }

    /// What was handed to a node.
    pub(crate) fn poll_arrival(&mut self, node: NodeId) -> Option<Arrival> {
        self.ports[node.index()].inbox.pop_front()
    }

    pub(crate) fn mark(&mut self, mark: Mark) {
        let at = self.now.duration_since(self.start);
        self.trace.mark(at, mark);
    }

    fn link_mut(&mut self, link: u32) -> Option<&mut Link> {
        self.links.get_mut(link as usize)?.as_deref_mut()
    }

    fn link(&self, link: u32) -> Option<&Link> {
        self.links.get(link as usize)?.as_deref()
    }

    fn end_mut(&mut self, id: EndId) -> Option<&mut End> {
        Some(&mut self.link_mut(id.link)?.ends[id.side as usize])
    }

    /// An address for one more socket of a node.
    fn socket_address(&mut self, node: NodeId) -> SocketAddr {
        let port = &mut self.ports[node.index()];
        port.next_port = port.next_port.checked_add(1).unwrap_or(32_768);
        SocketAddr::new(port.ip, port.next_port)
    }
}

impl Happening {
    /// Whether bytes or connections move by it, rather than somebody's plans.
    const fn moves(self) -> bool {
        match self {
            Self::Wake(_) | Self::Fault(..) => false,
            Self::Syn(_)
            | Self::SynAck(_)
            | Self::Refusal(_)
            | Self::Deliver(_)
            | Self::Space(_)
            | Self::Rst(_) => true,
        }
    }
}
