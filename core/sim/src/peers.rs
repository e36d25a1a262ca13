//! Scripted peers: raw bytes under the same clock, written without the protocol code under test.
//!
//! | who | what it does |
//! | --- | --- |
//! | [`HttpClient`] | sends requests and takes the answers apart; reads slowly, pipelines, dribbles, stalls or vanishes when told to |
//! | [`HttpService`] | an origin server with a path for each way to answer |
//! | [`RawClient`] | sends raw bytes and collects the raw answer: the smuggler |
//! | [`RawPeer`] | whatever a closure does with the bytes |

mod client;
mod io;
mod message;
mod raw;
mod service;

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use mesh_protocol::{ConnId, Readiness, Rng};

pub use client::{HttpClient, Outcome, Reading, Request, Response, Sending, Vanish};
pub use io::{PeerIo, Received, SocketId, SocketState};
pub use message::{Framing, checksum, pattern};
pub use raw::{RawClient, RawPeer, RawTurn, Then};
pub use service::{Health, HttpService, Served};

use crate::link::Token;
use crate::network::{Network, NodeId};
use crate::node::{Node, Outcome as TurnOutcome};

/// A scripted peer: a small state machine over sockets.
pub trait Peer: Any {
    /// Does what can be done now. Called when a socket came, moved or ended, and when the time
    /// asked for with [`PeerIo::wake_at`] has come; it may be called without reason.
    fn step(&mut self, io: &mut PeerIo<'_>);
}

/// A scripted peer as a node.
pub(crate) struct PeerNode<P> {
    pub(crate) peer: P,
    sockets: io::Sockets,
    rng: Rng,
    edges: Vec<(Token, Readiness)>,
}

impl<P: Peer> PeerNode<P> {
    pub(crate) fn new(peer: P, rng: Rng, id: NodeId, network: &Rc<RefCell<Network>>) -> Self {
        Self { peer, sockets: io::Sockets::new(id, network), rng, edges: Vec::new() }
    }
}

impl<P: Peer> Node for PeerNode<P> {
    fn turn(&mut self) -> TurnOutcome {
        // A peer looks at all of its sockets each time: what became ready does not matter.
        self.sockets.forget_edges(&mut self.edges);
        self.sockets.receive();
        self.sockets.flush();
        let mut io = PeerIo::new(&mut self.sockets, &mut self.rng);
        self.peer.step(&mut io);
        let wake = io.wake();
        self.sockets.flush();
        TurnOutcome::Idle(wake)
    }

    fn lingering(&mut self) -> Vec<ConnId> {
        Vec::new()
    }
}
