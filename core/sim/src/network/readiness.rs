//! What a node is told of its ends: edges, as an edge-triggered `epoll` reports them.
//!
//! An end is reported when something changed, sometimes a turn late, sometimes once more without
//! need, and with or without what it could have been told before.

use mesh_protocol::Readiness;

use super::{Network, NodeId};
use crate::draw;
use crate::link::{End, EndId, Token};

impl Network {
    /// Whether a node has been told nothing that it has not yet heard.
    pub(crate) fn is_informed(&self, node: NodeId) -> bool {
        let port = &self.ports[node.index()];
        port.inbox.is_empty() && port.edges.is_empty()
    }

    /// Takes the node's readiness for one turn, as one call of `epoll_wait` does: some of it may
    /// be left for the next turn, and some of it may be repeated then without need.
    pub(crate) fn take_edges(&mut self, node: NodeId, into: &mut Vec<(Token, Readiness)>) {
        let count = self.ports[node.index()].edges.len();
        for _ in 0..count {
            let Some(end) = self.ports[node.index()].edges.pop_front() else {
                return;
            };
            let (defer, repeat, full) = (
                draw::one_in(&mut self.rng, 16),
                draw::one_in(&mut self.rng, 32),
                draw::one_in(&mut self.rng, 2),
            );
            if defer {
                self.ports[node.index()].edges.push_back(end);
                continue;
            }
            let mask = self.mask(end);
            let is_held =
                |socket: &&mut End| socket.open && socket.claimed && socket.holder == node;
            let Some(socket) = self.end_mut(end).filter(is_held) else {
                continue;
            };
            let mut readiness = std::mem::take(&mut socket.pending);
            socket.queued = repeat;
            if full {
                readiness.note(mask);
            }
            if repeat {
                socket.pending = READABLE;
                socket.pending.note(WRITABLE);
            }
            into.push((socket.token, readiness));
            if repeat {
                self.ports[node.index()].edges.push_back(end);
            }
        }
    }

    /// Takes all that a node is to be told now.
    pub(crate) fn take_all_edges(&mut self, node: NodeId, into: &mut Vec<(Token, Readiness)>) {
        while !self.ports[node.index()].edges.is_empty() {
            self.take_edges(node, into);
        }
    }

    /// Readiness of an end changed: its owner will hear of it.
    pub(super) fn raise(&mut self, id: EndId, readiness: Readiness) {
        let Some(end) = self.end_mut(id) else { return };
        if !end.open || !end.claimed {
            return;
        }
        end.pending.note(readiness);
        let node = end.holder;
        if !std::mem::replace(&mut end.queued, true) {
            self.ports[node.index()].edges.push_back(id);
        }
        self.movements += 1;
        self.rouse(node);
    }

    /// How an end stands, all of it.
    pub(super) fn mask(&self, id: EndId) -> Readiness {
        let Some(link) = self.link(id.link) else {
            return Readiness::default();
        };
        if link.ends[id.side as usize].broken {
            return BROKEN;
        }
        let incoming = &link.pipes[id.side.other() as usize];
        let outgoing = &link.pipes[id.side as usize];
        Readiness {
            readable: incoming.arrived > 0 || incoming.fin_arrived,
            // A kernel says so by the same measure by which it wakes (`sk_stream_is_writeable`).
            writable: outgoing.blocked.is_none() && outgoing.space() > 0,
            closed: incoming.fin_arrived,
            failed: false,
        }
    }
}

/// Bytes came.
pub(super) const READABLE: Readiness =
    Readiness { readable: true, writable: false, closed: false, failed: false };

/// Room came free.
pub(super) const WRITABLE: Readiness =
    Readiness { readable: false, writable: true, closed: false, failed: false };

/// FIN came.
pub(super) const FINISHED: Readiness =
    Readiness { readable: true, writable: false, closed: true, failed: false };

/// A reset came.
pub(super) const BROKEN: Readiness =
    Readiness { readable: true, writable: true, closed: true, failed: true };
