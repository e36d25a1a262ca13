//! How a link comes into being: SYN, the listener's kernel, SYN-ACK; or a refusal, or nothing.

use std::io::ErrorKind;
use std::time::Duration;

use mesh_protocol::Readiness;

use super::{Answer, Arrival, Happening, Life, Network, NodeId};
use crate::draw;
use crate::faults::{FaultPlan, Trigger};
use crate::link::{End, EndId, Link, LinkConfig, Pipe, Side, Token};
use crate::trace::Mark;

/// How long a name that is not in the book is searched for.
const LOOKUP: Duration = Duration::from_millis(1);

impl Network {
    /// Opens a connection to an address of the book, or to any one of those that it stands for. The
    /// answer comes through the inbox.
    pub(crate) fn connect(&mut self, from: NodeId, address: &str, token: Token) {
        let listener = match self.pools.get(address) {
            Some(members) => {
                draw::one_of(&mut self.rng, members).and_then(|one| self.addresses.get(one))
            }
            None => self.addresses.get(address),
        };
        let Some(listener) = listener else {
            let why = "no such host";
            self.mark(Mark::Unreachable { from, why });
            let error = ErrorKind::HostUnreachable;
            self.wake(from, self.now + LOOKUP);
            self.ports[from.index()].inbox.push_back(Arrival::Failed { token, error });
            return;
        };
        let (to, id, answer) = (listener.node, listener.id, listener.answer);
        let process = self.process(from);
        let rules = self.rules(process, to);
        let config = rules.config.unwrap_or_else(|| LinkConfig::draw(&mut self.rng));
        let plan = FaultPlan::draw(rules.faults, &mut self.rng);
        let link = u32::try_from(self.links.len()).expect("a history has fewer links");
        let mut ends = [
            End::new(process, self.socket_address(process), token),
            End::new(to, self.socket_address(to), Token::Unclaimed),
        ];
        ends[0].holder = from;
        let pipes =
            [Side::Dialer, Side::Listener].map(|side| Pipe::new(&config, side, &plan, self.now));
        self.links.push(Some(Box::new(Link { config, listener: id, ends, pipes })));
        self.mark(Mark::Dialled { link, from, to });
        for (trigger, fault) in plan.faults {
            if let Trigger::Time(after) = trigger {
                self.schedule(self.now + after, Happening::Fault(link, fault));
            }
        }
        let at = self.now + config.latency;
        match answer {
            Answer::Accept => self.schedule(at, Happening::Syn(link)),
            Answer::Refuse => self.schedule(at + config.latency, Happening::Refusal(link)),
            Answer::Ignore => {}
        }
    }

    /// The kernel of a running or frozen process completes the handshake by itself.
    pub(super) fn handle_syn(&mut self, link: u32) {
        let Some(Link { config, listener, ends, pipes }) = self.link(link) else {
            return;
        };
        let (listener, peer, to) = (*listener, ends[0].address, ends[1].node);
        let at = self.now + config.latency;
        let dialler_is_gone = !ends[0].open;
        let is_closed = self.ports[to.index()].closed.contains(&listener);
        if pipes[0].black {
            return;
        }
        match self.life(to) {
            Life::Running | Life::Frozen if !dialler_is_gone && !is_closed => {
                let end = EndId { link, side: Side::Listener };
                self.mark(Mark::Established { link });
                self.hand(to, Arrival::Accepted { end, listener, peer });
                self.schedule(at, Happening::SynAck(link));
            }
            Life::Running | Life::Frozen | Life::Exited => {
                self.schedule(at, Happening::Refusal(link));
            }
            Life::Vanished => {}
        }
    }

    pub(super) fn handle_syn_ack(&mut self, link: u32) {
        let Some(dialler) = self.link(link).map(|link| &link.ends[0]) else {
            return;
        };
        if dialler.open {
            let (holder, token) = (dialler.holder, dialler.token);
            let end = EndId { link, side: Side::Dialer };
            self.hand(holder, Arrival::Connected { end, token });
        }
    }

    pub(super) fn handle_refusal(&mut self, link: u32) {
        let Some(dialler) = self.link(link).map(|link| &link.ends[0]) else {
            return;
        };
        let (from, token, open) = (dialler.holder, dialler.token, dialler.open);
        self.links[link as usize] = None;
        if open {
            let why = "connection refused";
            self.mark(Mark::Unreachable { from, why });
            let error = ErrorKind::ConnectionRefused;
            self.hand(from, Arrival::Failed { token, error });
        }
    }

    /// Nobody holds the end for a while: it is on its way from one worker to another.
    pub(crate) fn release(&mut self, end: EndId) {
        if let Some(socket) = self.end_mut(end) {
            // Where it may still stand in the list of its old holder, it is passed over.
            socket.claimed = false;
            socket.queued = false;
            socket.pending = Readiness::default();
        }
    }

    /// Another worker of the process holds the end from now on.
    pub(crate) fn hold(&mut self, end: EndId, holder: NodeId, token: Token) {
        if let Some(socket) = self.end_mut(end) {
            socket.holder = holder;
        }
        self.claim(end, token);
    }

    /// The end has an owner from now on, who learns how it stands.
    pub(crate) fn claim(&mut self, end: EndId, token: Token) {
        let mask = self.mask(end);
        if let Some(socket) = self.end_mut(end) {
            socket.token = token;
            socket.claimed = true;
            self.raise(end, mask);
        }
    }
}
