//! What happens to links and nodes from outside: faults, and the lives of processes and hosts.

use super::{Arrival, Happening, Life, Network, NodeId};
use crate::faults::Fault;
use crate::link::{EndId, Side};
use crate::trace::Mark;

impl Network {
    /// A fault strikes a link; a one-sided one strikes what `writer` writes.
    pub(crate) fn strike(&mut self, link: u32, writer: Side, fault: Fault) {
        let now = self.now;
        let Some(struck) = self.link_mut(link) else {
            return;
        };
        let [dialler, listener] = &struck.ends;
        match fault {
            Fault::Stall(length) => {
                for pipe in &mut struck.pipes {
                    pipe.stall(now + length);
                }
            }
            Fault::Truncate => struck.pipes[writer as usize].truncate(now),
            // Whoever dials, and was not heard or is not remembered, hears of nothing but this.
            Fault::Cut if !(dialler.claimed || listener.claimed && listener.open) => {
                self.schedule(now, Happening::Refusal(link));
            }
            Fault::Cut => {}
            Fault::HalfCut | Fault::Blackhole => {
                for pipe in &mut struck.pipes {
                    pipe.black = true;
                }
            }
        }
        let what = fault.name();
        self.mark(Mark::Fault { link, what });
        for side in [Side::Dialer, Side::Listener] {
            let end = EndId { link, side };
            match fault {
                Fault::Cut => self.handle_rst(end),
                Fault::HalfCut if side == writer => self.handle_rst(end),
                Fault::HalfCut | Fault::Stall(_) | Fault::Truncate | Fault::Blackhole => {
                    self.plan_delivery(end);
                    self.give_room(end);
                }
            }
        }
    }

    /// A fault strikes all present links between two nodes.
    pub(crate) fn strike_between(&mut self, a: NodeId, b: NodeId, fault: Fault) {
        for (link, writer) in self.links_of(a) {
            let other = self.link(link).map(|link| link.ends[writer.other() as usize].node);
            if other == Some(b) {
                self.strike(link, writer, fault);
            }
        }
    }

    /// The links on which a node has an open end, each with its side.
    fn links_of(&self, node: NodeId) -> Vec<(u32, Side)> {
        let mut found = Vec::new();
        for (number, link) in (0..).zip(&self.links) {
            let Some(link) = link else { continue };
            for side in [Side::Dialer, Side::Listener] {
                let end = &link.ends[side as usize];
                if end.node == node && end.open {
                    found.push((number, side));
                }
            }
        }
        found
    }

    /// Open ends of a node, half-made connections included.
    pub(crate) fn open_ends(&self, node: NodeId) -> usize {
        self.links_of(node).len()
    }

    /// The process ends: its kernel closes what it held.
    pub(crate) fn exit(&mut self, node: NodeId) {
        self.live(node, Life::Exited, "exited");
        for (link, side) in self.links_of(node) {
            self.close(EndId { link, side });
        }
    }

    /// The process is killed and each of its connections is reset.
    pub(crate) fn reset_all(&mut self, node: NodeId) {
        self.live(node, Life::Exited, "was killed");
        for (link, side) in self.links_of(node) {
            let end = EndId { link, side };
            self.make_abortive(end);
            self.close(end);
        }
    }

    /// The host vanishes: its connections stay, half open.
    pub(crate) fn vanish(&mut self, node: NodeId) {
        self.live(node, Life::Vanished, "vanished");
        for (number, side) in self.links_of(node) {
            let Some(link) = self.link_mut(number) else {
                continue;
            };
            link.ends[side as usize].open = false;
            for pipe in &mut link.pipes {
                pipe.black = true;
            }
            if !link.ends[side.other() as usize].open {
                self.links[number as usize] = None;
            }
        }
    }

    /// SIGSTOP.
    pub(crate) fn freeze(&mut self, node: NodeId) {
        if self.life(node) == Life::Running {
            self.live(node, Life::Frozen, "froze");
        }
    }

    /// SIGCONT.
    pub(crate) fn thaw(&mut self, node: NodeId) {
        if self.life(node) == Life::Frozen {
            self.live(node, Life::Running, "thawed");
            self.wake_all(node);
        }
    }

    /// A process runs on this node again. What others still send to its forerunner is turned away.
    pub(crate) fn revive(&mut self, node: NodeId) {
        if matches!(self.life(node), Life::Running | Life::Frozen) {
            self.exit(node);
        }
        self.live(node, Life::Running, "started again");
        for number in (0..).take(self.links.len()) {
            for side in [Side::Dialer, Side::Listener] {
                self.orphan(EndId { link: number, side }, node);
            }
        }
        self.wake_all(node);
    }

    /// The node is back and knows nothing of this end that it may once have had.
    fn orphan(&mut self, id: EndId, node: NodeId) {
        let now = self.now;
        let Some(link) = self.link_mut(id.link) else {
            return;
        };
        let end = &link.ends[id.side as usize];
        if end.node != node || end.open {
            return;
        }
        for pipe in &mut link.pipes {
            pipe.black = false;
            pipe.stall(now);
        }
        link.pipes[id.side.other() as usize].drop_arrived();
        self.plan_delivery(id);
        self.give_room(id.other());
    }

    /// SIGTERM.
    pub(crate) fn drain(&mut self, node: NodeId) {
        self.hand(node, Arrival::Drain);
    }

    fn wake_all(&mut self, process: NodeId) {
        for member in self.members(process) {
            self.wake(member, self.now);
        }
    }

    /// A worker beside the first hangs, and the rest of its process goes on.
    pub(crate) fn hang(&mut self, worker: NodeId) {
        self.ports[worker.index()].life = Life::Frozen;
        self.mark(Mark::Life { node: worker, what: "hangs" });
    }

    /// It goes on too.
    pub(crate) fn unhang(&mut self, worker: NodeId) {
        self.ports[worker.index()].life = Life::Running;
        self.mark(Mark::Life { node: worker, what: "goes on" });
        self.wake(worker, self.now);
    }

    fn live(&mut self, node: NodeId, life: Life, what: &'static str) {
        for member in self.members(node) {
            let port = &mut self.ports[member.index()];
            port.life = life;
            if matches!(life, Life::Exited | Life::Vanished) {
                port.closed.clear();
                port.inbox.clear();
                port.edges.clear();
                port.wake = None;
            }
        }
        self.movements += 1;
        self.mark(Mark::Life { node, what });
    }
}
