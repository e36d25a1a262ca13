//! A world: one clock, one seed, and everything that lives under them.
//!
//! [`World::step`] moves the clock to the next thing that happens and lets it happen: a timeout of
//! thirty seconds costs as little as a byte that arrives. A world that is dropped by a failing
//! assertion prints its seed and what happened last.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mesh_protocol::{App, ConnId, Driver, ListenerId, Rng};

use crate::draw;
use crate::endpoint::Endpoint;
use crate::faults::Fault;
use crate::link::LinkRules;
use crate::network::{Answer, Life, Network, NodeId};
use crate::node::{self, AppNode, Node, Outcome};
use crate::peers::{Peer, PeerNode};
use crate::trace::Mark;

/// See the module.
pub struct World {
    seed: u64,
    rng: Rng,
    network: Rc<RefCell<Network>>,
    nodes: Vec<Resident>,
    hooks: Vec<Hook>,
}

struct Hook(Box<dyn FnMut(&mut World)>);

struct Resident {
    name: String,
    node: Box<dyn Node>,
    /// Movements in the world when its latest turn began, and turns since without any.
    movements: u64,
    idle_turns: u32,
    last_turn: Instant,
    /// It has something to run, or may have.
    busy: bool,
}

/// How a node dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Its connections are reset and new ones refused: the process was killed.
    Reset,
    /// Nothing comes back any more and nobody is told: the host lost its power.
    Vanish,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// This node had a turn.
    Turn(NodeId),
    /// Something moved between nodes.
    Network,
    /// Nothing will ever happen again by itself.
    Nothing,
}

/// Turns in quick succession in which nothing moves anywhere, until a node counts as
/// spinning.
const IDLE_TURNS_MAX: u32 = 1_000;
/// Lines of the trace that a failing sweep prints; a replay with `SIM_SEED` prints all it has.
const TAIL_LINES: usize = 60;

impl World {
    /// An empty world.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::from_seed(seed);
        // The one reading of a clock: an origin on which nothing else depends.
        let network = Network::new(draw::fork(&mut rng), Instant::now());
        Self {
            seed,
            rng,
            network: Rc::new(RefCell::new(network)),
            nodes: Vec::new(),
            hooks: Vec::new(),
        }
    }

    /// Adds an application that listens on these addresses and has no jobs to be done.
    pub fn add_app<A: App + 'static>(
        &mut self,
        name: &str,
        app: A,
        listeners: &[(&str, ListenerId)],
    ) -> NodeId {
        self.add_app_with(name, app, listeners, node::nobody)
    }

    /// Adds an application that listens on these addresses. `worker` says what comes of each of
    /// its jobs and how long that takes.
    pub fn add_app_with<A: App + 'static>(
        &mut self,
        name: &str,
        app: A,
        listeners: &[(&str, ListenerId)],
        worker: impl FnMut(A::Job, Instant) -> (Duration, A::Answer) + 'static,
    ) -> NodeId {
        let id = self.network.borrow_mut().add_node(name);
        for (address, listener) in listeners {
            let mut network = self.network.borrow_mut();
            network.listen(address, id, *listener);
        }
        let rng = draw::fork(&mut self.rng);
        let node = AppNode::new(app, rng, id, &self.network, Box::new(worker));
        self.settle_in(name, Box::new(node));
        id
    }

    /// Adds a scripted peer that listens on these addresses; its listeners are numbered in order.
    pub fn add_peer<P: Peer + 'static>(
        &mut self,
        name: &str,
        peer: P,
        addresses: &[&str],
    ) -> NodeId {
        let id = self.network.borrow_mut().add_node(name);
        for (number, address) in (0..).zip(addresses) {
            let mut network = self.network.borrow_mut();
            network.listen(address, id, ListenerId(number));
        }
        let node = PeerNode::new(peer, draw::fork(&mut self.rng), id, &self.network);
        self.settle_in(name, Box::new(node));
        id
    }

    fn settle_in(&mut self, name: &str, node: Box<dyn Node>) {
        let last_turn = self.now();
        self.nodes.push(Resident {
            name: name.to_owned(),
            node,
            movements: 0,
            idle_turns: 0,
            last_turn,
            busy: true,
        });
    }

    /// Calls this after each turn of a node: the place for what must always hold.
    pub fn on_step(&mut self, hook: impl FnMut(&mut Self) + 'static) {
        self.hooks.push(Hook(Box::new(hook)));
    }

    /// Lets the next thing happen.
    pub fn step(&mut self) -> Step {
        let at = self.network.borrow().next_at();
        if at.is_none() {
            return Step::Nothing;
        }
        let node = self.network.borrow_mut().advance();
        let Some(id) = node else { return Step::Network };
        self.turn(id);
        let mut hooks = std::mem::take(&mut self.hooks);
        for hook in &mut hooks {
            hook.0(self);
        }
        hooks.append(&mut self.hooks);
        self.hooks = hooks;
        Step::Turn(id)
    }

    fn turn(&mut self, id: NodeId) {
        let resident = &mut self.nodes[id.index()];
        let outcome = resident.node.turn();
        let mut network = self.network.borrow_mut();
        network.end_turn(id);
        match outcome {
            Outcome::Busy => {
                let now = network.now;
                network.wake(id, now);
            }
            Outcome::Idle(Some(at)) => network.wake(id, at),
            Outcome::Idle(None) => {}
            Outcome::Exit => {
                let process = network.process(id);
                network.exit(process);
                drop(network);
                self.abandon(process);
                network = self.network.borrow_mut();
            }
        }
        let resident = &mut self.nodes[id.index()];
        resident.busy = outcome == Outcome::Busy;
        resident.watch(&network);
    }

    /// Runs until `condition` holds, for at most `limit` of virtual time; whether it came to hold.
    #[must_use]
    pub fn run_until(&mut self, condition: impl Fn(&Self) -> bool, limit: Duration) -> bool {
        let end = self.now() + limit;
        loop {
            if condition(self) {
                return true;
            }
            loop {
                let next = self.network.borrow().next_at();
                if next.is_none_or(|next| next > end) {
                    self.network.borrow_mut().now = end;
                    return condition(self);
                }
                if let Step::Turn(_) = self.step() {
                    break;
                }
            }
        }
    }

    /// Runs until `condition` holds.
    ///
    /// # Panics
    /// When it does not within `limit` of virtual time.
    pub fn expect(&mut self, what: &str, condition: impl Fn(&Self) -> bool, limit: Duration) {
        let held = self.run_until(condition, limit);
        assert!(held, "within {limit:?}: {what}");
    }

    /// Runs for this long.
    pub fn run_for(&mut self, duration: Duration) {
        let _ = self.run_until(|_| false, duration);
    }

    /// Runs until nothing moves and every process waits: only timers are left. Whether that came
    /// within `limit`.
    #[must_use]
    pub fn run_until_quiet(&mut self, limit: Duration) -> bool {
        let end = self.now() + limit;
        while !self.is_quiet() {
            let next = self.network.borrow().next_at();
            if next.is_none_or(|next| next > end) {
                return false;
            }
            self.step();
        }
        true
    }

    /// Whether nothing moves and every running process waits.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let network = self.network.borrow();
        network.under_way == 0 && self.restless(&network).is_none()
    }

    /// A running node that has something to do.
    fn restless(&self, network: &Network) -> Option<&str> {
        let found = self.ids().zip(&self.nodes).find(|(id, resident)| {
            network.life(*id) == Life::Running && (resident.busy || !network.is_informed(*id))
        });
        found.map(|(_, resident)| resident.name.as_str())
    }

    /// Asserts that the world is quiet, as it has to be some time after the last thing was asked.
    ///
    /// # Panics
    /// When something still moves.
    pub fn check_settled(&self) {
        let network = self.network.borrow();
        assert_eq!(network.under_way, 0, "something is still on its way");
        let restless = self.restless(&network);
        assert_eq!(restless, None, "this node has something to do");
    }

    /// The application of a node.
    ///
    /// # Panics
    /// When the node is of another kind.
    #[must_use]
    pub fn app<A: App + 'static>(&self, id: NodeId) -> &A {
        let node: &dyn Any = &*self.nodes[id.index()].node;
        let node: Option<&AppNode<A>> = node.downcast_ref();
        node.expect("the node runs this application").driver.app()
    }

    /// The application of a node, to be changed. What it touched is served at once.
    ///
    /// # Panics
    /// When the node is of another kind.
    pub fn app_mut<A: App + 'static>(&mut self, id: NodeId) -> &mut A {
        self.driver_mut(id).app_mut()
    }

    /// The driver of a node, which has a turn at once.
    ///
    /// # Panics
    /// When the node is of another kind.
    pub fn driver_mut<A: App + 'static>(&mut self, id: NodeId) -> &mut Driver<A, Endpoint> {
        self.rouse(id);
        let node: &mut dyn Any = &mut *self.nodes[id.index()].node;
        let node: Option<&mut AppNode<A>> = node.downcast_mut();
        &mut node.expect("the node runs this application").driver
    }

    /// The scripted peer of a node.
    ///
    /// # Panics
    /// When the node is of another kind.
    #[must_use]
    pub fn peer<P: Peer + 'static>(&self, id: NodeId) -> &P {
        let node: &dyn Any = &*self.nodes[id.index()].node;
        let node: Option<&PeerNode<P>> = node.downcast_ref();
        &node.expect("the node is this kind of peer").peer
    }

    /// The scripted peer of a node, to be changed; it has a turn at once.
    ///
    /// # Panics
    /// When the node is of another kind.
    pub fn peer_mut<P: Peer + 'static>(&mut self, id: NodeId) -> &mut P {
        self.rouse(id);
        let node: &mut dyn Any = &mut *self.nodes[id.index()].node;
        let node: Option<&mut PeerNode<P>> = node.downcast_mut();
        &mut node.expect("the node is this kind of peer").peer
    }

    fn rouse(&mut self, id: NodeId) {
        self.nodes[id.index()].busy = true;
        let mut network = self.network.borrow_mut();
        if network.life(id) == Life::Running {
            let now = network.now;
            network.wake(id, now);
        }
    }

    /// Connections of an application that have no deadline. Most applications have none of those.
    ///
    /// # Panics
    /// When the node does not exist.
    pub fn conns_without_deadline(&mut self, id: NodeId) -> Vec<ConnId> {
        self.nodes[id.index()].node.lingering()
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.network.borrow().now
    }

    /// The virtual time since the world began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let network = self.network.borrow();
        network.now.duration_since(network.start)
    }

    /// The seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Randomness for the test itself.
    pub const fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Writes a line into the trace.
    pub fn note(&self, line: &str) {
        self.network.borrow_mut().mark(Mark::Note(line.to_owned()));
    }

    /// A number that stands for everything that happened so far: equal histories, equal hashes.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.network.borrow().trace.hash()
    }

    fn ids(&self) -> impl Iterator<Item = NodeId> {
        (0..self.nodes.len()).filter_map(NodeId::from_index)
    }
}

mod control;

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Ok(network) = self.network.try_borrow()
        {
            let lines = if crate::seeds::chosen().is_some() { usize::MAX } else { TAIL_LINES };
            let tail = network.trace.tail(lines);
            eprintln!("SIM_SEED={}: the last that happened:\n{tail}", self.seed);
        }
    }
}

#[cfg(test)]
mod tests;
