//! What a test does to a world: links, addresses, and the lives of nodes.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

use mesh_protocol::{App, ListenerId, WorkerId};

use crate::desk::{Desk, Office};
use crate::node::DoJob;

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

    /// The address at which others see a node, from its next connection on.
    pub fn set_ip(&mut self, id: NodeId, ip: IpAddr) {
        self.network.borrow_mut().set_ip(id, ip);
    }

    /// How an address answers connection attempts from now on.
    ///
    /// # Panics
    /// When nobody ever listened there.
    pub fn set_answer(&mut self, address: &str, answer: Answer) {
        self.network.borrow_mut().answer(address, answer);
    }

    /// The address stands for these from now on: each connection to it goes to one of them, by lot,
    /// as behind a load balancer. Without members it is an unknown host.
    pub fn set_pool(&mut self, address: &str, members: &[&str]) {
        self.network.borrow_mut().set_pool(address, members);
    }

    /// A fault strikes all present links between two nodes; a truncation ends what `a` writes, and half
    /// a cut is seen by `a`.
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
        drop(network);
        self.abandon(id);
    }

    /// What was on its way between the workers of a process that is over is nowhere.
    pub(super) fn abandon(&mut self, process: NodeId) {
        let members = self.network.borrow().members(process);
        for member in members {
            self.nodes[member.index()].node.abandon();
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

    /// A worker beside the first does nothing, and the rest of its process goes on.
    pub fn hang(&mut self, worker: NodeId) {
        self.network.borrow_mut().hang(worker);
    }

    /// It goes on too.
    pub fn unhang(&mut self, worker: NodeId) {
        self.network.borrow_mut().unhang(worker);
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
        do_job: impl FnMut(A::Job, Instant) -> (Duration, A::Answer) + 'static,
    ) {
        self.network.borrow_mut().revive(id);
        let rng = draw::fork(&mut self.rng);
        let node = AppNode::new(app, rng, id, &self.network, Box::new(do_job));
        let resident = &mut self.nodes[id.index()];
        resident.node = Box::new(node);
        resident.busy = true;
    }

    /// Adds a process of several workers, of which the first one listens on these addresses and is
    /// the process in the eyes of others. `do_job` says for each what comes of its jobs.
    pub fn add_workers<A: App + 'static>(
        &mut self,
        name: &str,
        apps: Vec<A>,
        listeners: &[(&str, ListenerId)],
        do_job: impl FnMut() -> Box<DoJob<A>>,
    ) -> Vec<NodeId> {
        let mut ids = Vec::new();
        for number in 0..apps.len() {
            let name = if number == 0 { name.to_owned() } else { format!("{name}.{number}") };
            let mut network = self.network.borrow_mut();
            ids.push(network.add_node(&name));
            network.join(ids[number], ids[0]);
        }
        for (address, listener) in listeners {
            self.network.borrow_mut().listen(address, ids[0], *listener);
        }
        let nodes = self.workers(&ids, apps, do_job);
        for (number, node) in nodes.into_iter().enumerate() {
            self.settle_in(&format!("{name}.{number}"), Box::new(node));
        }
        ids
    }

    /// Another process takes over, with as many workers.
    pub fn restart_workers<A: App + 'static>(
        &mut self,
        ids: &[NodeId],
        apps: Vec<A>,
        do_job: impl FnMut() -> Box<DoJob<A>>,
    ) {
        self.network.borrow_mut().revive(ids[0]);
        self.abandon(ids[0]);
        let nodes = self.workers(ids, apps, do_job);
        for (id, node) in ids.iter().zip(nodes) {
            let resident = &mut self.nodes[id.index()];
            resident.node = Box::new(node);
            resident.busy = true;
        }
    }

    fn workers<A: App + 'static>(
        &mut self,
        ids: &[NodeId],
        apps: Vec<A>,
        mut do_job: impl FnMut() -> Box<DoJob<A>>,
    ) -> Vec<AppNode<A>> {
        let office = Rc::new(RefCell::new(Office::new()));
        let mut nodes = Vec::new();
        for (number, (id, app)) in (0..).zip(ids.iter().zip(apps)) {
            let rng = draw::fork(&mut self.rng);
            let desk = Desk {
                own: WorkerId(number),
                nodes: ids.to_vec(),
                office: Rc::clone(&office),
                network: Rc::clone(&self.network),
                rng: draw::fork(&mut self.rng),
            };
            nodes.push(AppNode::new(app, rng, *id, &self.network, do_job()).at(desk));
        }
        nodes
    }

    /// The workers of the process that a node is of, the first one first.
    #[must_use]
    pub fn workers_of(&self, id: NodeId) -> Vec<NodeId> {
        let network = self.network.borrow();
        network.members(network.process(id))
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
