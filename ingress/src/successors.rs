//! Which tunnels are of one agent, and which takes the place of which.

use std::time::Instant;

use mesh_protocol::Context;
use mesh_protocol::control::Hello;

use crate::identity::Principal;
use crate::ingress::Ingress;
use crate::known::Known;
use crate::tunnel::{AgentId, Serial, Successor, TunnelId};
use crate::workers::Message;

/// What has become of a tunnel in whose place another one has come, as the agent says with that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Predecessor {
    /// The agent leaves it, and takes part in what is under way on it to the end.
    Left,
    /// The agent has it no longer.
    Lost,
}

impl Predecessor {
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
        let holder = who.map(Principal::holder);
        let is_it = |one: &Known<'_>| {
            one.process() == process && one.principal().map(Principal::holder) == holder
        };
        self.known_tunnels().find(is_it).map(Known::agent)
    }

    /// Whether a tunnel of this agent holds on to its hosts: one more does so from the beginning.
    pub(crate) fn holds_hosts(&self, agent: AgentId) -> bool {
        self.known_tunnels().any(|one| one.agent() == agent && one.holds_hosts())
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
        self.known_tunnels().any(|one| {
            one.agent() == agent && one.lane() == hello.lane && one.introduced() > introduced
        })
    }

    /// An agent has opened this tunnel in place of one that it leaves, or of one that it has lost,
    /// which was not noticed here.
    pub(crate) fn replace_tunnels(
        &mut self,
        agent: AgentId,
        hello: &Hello,
        by: Serial,
        cx: &mut Context<'_>,
    ) {
        let is_old = |one: &Known<'_>| {
            one.agent() == agent && one.lane() == hello.lane && one.serial() != by
        };
        let old = self.known_tunnels().filter(is_old);
        let old: Vec<_> = old.map(|one| (one.worker(), one.serial())).collect();
        // Others first: what fails here may be tried again there.
        for (worker, serial) in &old {
            if let Some(worker) = worker {
                self.tell(*worker, Message::Replaced(*serial, Predecessor::of(hello, *serial)));
            }
        }
        for (worker, serial) in old {
            if worker.is_none() {
                self.replace_tunnel(serial, Predecessor::of(hello, serial), cx);
            }
        }
    }

    /// Another tunnel has come in place of this one. What is under way on one that the agent leaves
    /// goes on; one that it has lost fails it at once, so that the other one may serve it.
    pub(crate) fn replace_tunnel(
        &mut self,
        serial: Serial,
        former: Predecessor,
        cx: &mut Context<'_>,
    ) {
        let found = self.tunnels.iter().find(|(_, tunnel)| tunnel.serial == serial);
        let Some(id) = found.map(|(id, _)| id) else { return };
        let Some(tunnel) = self.tunnels.get_mut(id) else { return };
        if former == Predecessor::Lost {
            return self.close_replaced(id, cx);
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
        let is_announced = old.successor == Successor::Announced && !process.is_empty();
        self.known_tunnels().any(|one| {
            let is_its = one.agent() == agent || (is_announced && one.process() == process);
            one.lane() == lane && is_its && !one.is_replaced()
        })
    }
}
