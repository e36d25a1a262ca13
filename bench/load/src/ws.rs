//! WebSocket messages there and back, one at a time on each connection.

use std::net::SocketAddr;
use std::time::Instant;

use argh::FromArgs;

use crate::clients::{self, Client, Talk};
use crate::samples::{self, Samples};
use crate::{Outcome, frames, http};

/// Send messages to the echo at /ws.
#[derive(FromArgs)]
#[argh(subcommand, name = "ws")]
pub(crate) struct Arguments {
    /// address and port to connect to
    #[argh(option)]
    to: SocketAddr,
    /// how many connections
    #[argh(option)]
    connections: usize,
    /// bytes of a message
    #[argh(option, default = "64")]
    size: usize,
    /// how long
    #[argh(option)]
    seconds: u64,
}

enum Peer {
    New,
    Asked,
    Waiting { since: Instant, payload: Vec<u8> },
}

struct Talker {
    peers: Vec<Peer>,
    size: usize,
    number: u64,
    samples: Samples,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let mut talker = Talker {
        peers: (0..arguments.connections).map(|_| Peer::New).collect(),
        size: arguments.size,
        number: 0,
        samples: Samples::default(),
    };
    let took = clients::run(arguments.to, arguments.connections, arguments.seconds, &mut talker)?;
    samples::print(&talker.samples.figures(took))
}

impl Talk for Talker {
    fn received(&mut self, id: usize, client: &mut Client, now: Instant) -> Outcome {
        match &self.peers[id] {
            Peer::New => Err("something came before it was asked for".into()),
            Peer::Asked => {
                let Some(response) = http::response(&client.rx)? else { return Ok(()) };
                if response.status != 101 {
                    return Err(format!("status {}", response.status).into());
                }
                client.rx.drain(..response.head_len);
                self.send(id, client, now)
            }
            Peer::Waiting { since, payload } => {
                let Some(echoed) = frames::take(&mut client.rx)? else { return Ok(()) };
                if echoed != *payload {
                    return Err("a message came back as another".into());
                }
                self.samples.record(now - *since);
                self.send(id, client, now)
            }
        }
    }

    fn turn(&mut self, clients: &mut [Client], _now: Instant) -> Outcome<Option<Instant>> {
        for (peer, client) in self.peers.iter_mut().zip(clients) {
            if matches!(peer, Peer::New) {
                *peer = Peer::Asked;
                let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
                client.tx = http::request("GET", "/ws", http::HOST, fields);
            }
        }
        Ok(None)
    }

    fn is_ready(&self) -> bool {
        self.peers.iter().all(|peer| matches!(peer, Peer::Waiting { .. }))
    }

    fn begin(&mut self) {
        self.samples = Samples::default();
    }
}

impl Talker {
    fn send(&mut self, id: usize, client: &mut Client, now: Instant) -> Outcome {
        self.number += 1;
        let mut payload = self.number.to_be_bytes().to_vec();
        payload.resize(self.size, b'.');
        client.tx.extend(frames::masked(&payload)?);
        self.peers[id] = Peer::Waiting { since: now, payload };
        Ok(())
    }
}
