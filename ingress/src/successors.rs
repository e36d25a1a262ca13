//! Which tunnels are of one agent, and which takes the place of which.

use std::time::Instant;

use mesh_protocol::Context;
use mesh_protocol::control::Hello;

use crate::identity::Principal;
use crate::ingress::Ingress;
use crate::tunnel::{AgentId, Serial, Successor, Tunnel, TunnelId};
use crate::workers::{Message, Remote};

/// What has become of a tunnel in whose place another one has come, as the agent says with that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Former {
    /// The agent leaves it, and takes part in what is under way on it to the end.
    Left,
    /// The agent has it no longer.
    Lost,
}

impl Former {
    /// As HELLO has it.
    pub(crate) fn of(hello: &Hello, former: Serial) -> Self {
        let is_it = |name: &String| name.parse() == Ok(former.0);
        let is_kept = hello.kept.is_empty() || hello.kept.iter().any(is_it);
        if hello.keeps_former && is_kept { Self::Left } else { Self::Lost }
    }
}

impl Ingress {
    /// The agent that calls its process this and has proved the same, if it has a tunnel already.
    /// Whoever has seen the name elsewhere is still somebody else.
    pub(crate) fn agent_of(&self, process: &str, who: Option<&Principal>) -> Option<AgentId> {
        if process.is_empty() {
            return None;
        }
        let is_it = |name: &str, other: Option<&Principal>| {
            name == process && who.map(Principal::holder) == other.map(Principal::holder)
        };
        let own = self.tunnels.iter().map(|(_, tunnel)| tunnel);
        let mut own = own.filter(|one| is_it(&one.hello.process, one.standing.principal.as_ref()));
        let others = self.workers.remotes.values();
        let mut others = others.filter(|one| is_it(&one.process, one.principal.as_ref()));
        let own = own.next().map(|tunnel| tunnel.agent);
        own.or_else(|| others.next().map(|remote| remote.agent))
    }

    /// Whether a tunnel of this agent holds on to its hosts: one more does so from the beginning.
    pub(crate) fn holds_hosts(&self, agent: AgentId) -> bool {
        let mut own = self.tunnels.iter().map(|(_, tunnel)| tunnel);
        let mut remotes = self.workers.remotes.values();
        own.any(|tunnel| tunnel.agent == agent && tunnel.holds_hosts())
            || remotes.any(|remote| remote.agent == agent && remote.gauge.holds_hosts())
    }

    /// Whether an agent that is welcome only now has come again in the meantime: nobody is at the other
    /// end of this connection any more, and the later tunnel is the one that it has.
    pub(crate) fn is_overtaken(
        &self,
        hello: &Hello,
        introduced: Instant,
        who: Option<&Principal>,
    ) -> bool {
        let Some(agent) = self.agent_of(&hello.process, who) else { return false };
        let is_later = |its_agent: AgentId, its_lane: u32, its_own: Instant| {
            its_agent == agent && its_lane == hello.lane && its_own > introduced
        };
        let mut own = self.tunnels.iter().map(|(_, tunnel)| tunnel);
        own.any(|one| is_later(one.agent, one.hello.lane, one.introduced))
            || self
                .workers
                .remotes
                .values()
                .any(|one| is_later(one.agent, one.lane, one.introduced))
    }

    /// An agent has opened this tunnel in the place of one that it leaves, or of one that it has lost,
    /// which was not noticed here.
    pub(crate) fn replace_tunnels(
        &mut self,
        agent: AgentId,
        hello: &Hello,
        by: Serial,
        cx: &mut Context<'_>,
    ) {
        let is_old = |its_agent: AgentId, its_lane: u32, serial: Serial| {
            its_agent == agent && its_lane == hello.lane && serial != by
        };
        let own = self.tunnels.iter().map(|(_, tunnel)| tunnel);
        let own = own.filter(|one| is_old(one.agent, one.hello.lane, one.serial));
        let own: Vec<_> = own.map(|tunnel| tunnel.serial).collect();
        let remotes = self.workers.remotes.values();
        let remotes = remotes.filter(|one| is_old(one.agent, one.lane, one.serial));
        let remotes: Vec<_> = remotes.map(|remote| (remote.worker, remote.serial)).collect();
        for (worker, serial) in remotes {
            self.tell(worker, Message::Replaced(serial, Former::of(hello, serial)));
        }
        for serial in own {
            self.replace_tunnel(serial, Former::of(hello, serial), cx);
        }
    }

    /// Another tunnel has come in the place of this one. What is under way on one that the agent leaves
    /// goes on; one that it has lost fails it at once, so that the other one may serve it.
    pub(crate) fn replace_tunnel(&mut self, serial: Serial, former: Former, cx: &mut Context<'_>) {
        let found = self.tunnels.iter().find(|(_, tunnel)| tunnel.serial == serial);
        let Some(id) = found.map(|(id, _)| id) else { return };
        let Some(tunnel) = self.tunnels.get_mut(id) else { return };
        if former == Former::Lost {
            return self.let_go(id, cx);
        }
        tunnel.note_successor(Successor::Found);
        tunnel.publish();
    }

    /// Whether the agent of a tunnel has another one in its place, at whatever worker. Where the agent
    /// itself says so, that may be one of somebody else by what was proved, but not of anybody who names
    /// no process either.
    pub(crate) fn has_successor(&self, id: TunnelId) -> bool {
        let Some(old) = self.tunnels.get(id) else { return false };
        let (agent, lane, process) = (old.agent, old.hello.lane, old.hello.process.as_str());
        let is_announced = old.successor == Successor::Announced;
        let is_later = |other: AgentId, its_lane: u32, its_process: &str| {
            let is_its = is_announced && !process.is_empty() && its_process == process;
            its_lane == lane && (other == agent || is_its)
        };
        let is_here = |tunnel: &Tunnel| {
            let hello = &tunnel.hello;
            !tunnel.is_replaced() && is_later(tunnel.agent, hello.lane, &hello.process)
        };
        let is_there = |remote: &Remote| {
            !remote.gauge.is_replaced() && is_later(remote.agent, remote.lane, &remote.process)
        };
        self.tunnels.iter().any(|(_, tunnel)| is_here(tunnel))
            || self.workers.remotes.values().any(is_there)
    }
}
