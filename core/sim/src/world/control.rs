//! What a test does to a world: links, addresses, and the lives of nodes.

use mesh_protocol::App;

use super::{Answer, AppNode, Death, Fault, Life, LinkRules, Network, NodeId, Resident, World};
use super::{Duration, IDLE_TURNS_MAX, Instant, draw, node};

impl World {
    /// What links between any two nodes are made of, unless told otherwise for the two.
    pub fn set_default_links(&mut self, rules: LinkRules) {
        self.network.borrow_mut().set_default_rules(rules);
    }

    /// What links between these two nodes are made of, from the next one on.
    pub fn set_links(&mut self, a: NodeId, b: NodeId, rules: LinkRules) {
        self.network.borrow_mut().set_rules(a, b, rules);
    }

    /// How an address answers connection attempts from now on.
    ///
    /// # Panics
    /// When nobody ever listened there.
    pub fn set_answer(&mut self, address: &str, answer: Answer) {
        self.network.borrow_mut().answer(address, answer);
    }

    /// A fault strikes all present links between two nodes; a truncation ends what `a` writes.
    pub fn strike(&mut self, a: NodeId, b: NodeId, fault: Fault) {
        self.network.borrow_mut().strike_between(a, b, fault);
    }

    /// The node dies without a word of its own.
    pub fn kill(&mut self, id: NodeId, death: Death) {
        let mut network = self.network.borrow_mut();
        match death {
            Death::Reset => network.reset_all(id),
            Death::Vanish => network.vanish(id),
        }
    }

    /// SIGSTOP: the process does nothing; its kernel still accepts and buffers what fits.
    pub fn freeze(&mut self, id: NodeId) {
        self.network.borrow_mut().freeze(id);
    }

    /// SIGCONT.
    pub fn thaw(&mut self, id: NodeId) {
        self.network.borrow_mut().thaw(id);
    }

    /// SIGTERM.
    pub fn drain(&mut self, id: NodeId) {
        self.network.borrow_mut().drain(id);
    }

    /// Another process takes over a node's name and addresses; the old one, if any, exits.
    pub fn restart<A: App + 'static>(&mut self, id: NodeId, app: A) {
        self.restart_with(id, app, node::nobody);
    }

    /// The same with somebody for its jobs, as for [`World::add_app_with`].
    pub fn restart_with<A: App + 'static>(
        &mut self,
        id: NodeId,
        app: A,
        worker: impl FnMut(A::Job, Instant) -> (Duration, A::Answer) + 'static,
    ) {
        self.network.borrow_mut().revive(id);
        let rng = draw::fork(&mut self.rng);
        let node = AppNode::new(app, rng, id, &self.network, Box::new(worker));
        let resident = &mut self.nodes[id.index()];
        resident.node = Box::new(node);
        resident.busy = true;
    }

    /// How a node is.
    #[must_use]
    pub fn life(&self, id: NodeId) -> Life {
        self.network.borrow().life(id)
    }

    /// Open ends of links at a node, half-made connections included: what a process list of open
    /// descriptors would show.
    #[must_use]
    pub fn open_links(&self, id: NodeId) -> usize {
        self.network.borrow().open_ends(id)
    }
}

impl Resident {
    /// Tells a process that works from one that spins.
    pub(super) fn watch(&mut self, network: &Network) {
        let brief = network.now.duration_since(self.last_turn) < Duration::from_millis(1);
        if brief && network.movements == self.movements {
            self.idle_turns += 1;
        } else {
            self.idle_turns = 0;
        }
        self.movements = network.movements;
        self.last_turn = network.now;
        assert!(
            self.idle_turns <= IDLE_TURNS_MAX,
            "{} spins: it is called again and again although nothing moves",
            self.name
        );
    }
}
