//! An ingress that says what the test wants, however wrong.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use mesh_protocol::Buf;
use mesh_protocol::http1::{RequestHead, Storage};

use super::caller::find;
use super::frames::{
    self, BINARY, ECHO, ECHO_REPLY, Frame, HELLO, Masking, WELCOME, frame, message, read_frame,
};
use super::place::own_address;
use super::wire::{PATIENCE, Wire};

/// A port on which an agent is expected.
#[derive(Debug)]
pub(crate) struct RawIngress {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

/// A tunnel of an agent.
#[derive(Debug)]
pub(crate) struct RawTunnel {
    pub(crate) wire: Wire,
    rest: Vec<u8>,
}

impl RawIngress {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(own_address()).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The next connection, with the agent's request for a tunnel read off it.
    pub(crate) fn accept(&self) -> (Wire, Vec<u8>) {
        let due = Instant::now() + PATIENCE;
        let stream = loop {
            match self.listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) => assert!(Instant::now() < due, "no agent came: {error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        stream.set_nonblocking(false).unwrap();
        let mut wire = Wire::new(stream);
        let length = wire.wait(|bytes| find(bytes, b"\r\n\r\n").map(|at| at + 4)).unwrap();
        let offer = wire.take(length);
        (wire, offer)
    }

    /// The next connection, upgraded as it should be, and its HELLO read.
    pub(crate) fn accept_tunnel(&self) -> RawTunnel {
        self.accept_greeting().0
    }

    /// The same with what the HELLO said.
    pub(crate) fn accept_greeting(&self) -> (RawTunnel, Vec<u8>) {
        let (mut wire, offer) = self.accept();
        wire.send(grant(&offer));
        let mut tunnel = RawTunnel { wire, rest: Vec::new() };
        let hello = tunnel.expect(HELLO).payload;
        (tunnel, hello)
    }

    /// The same, welcomed.
    pub(crate) fn welcome(&self, window: u32) -> RawTunnel {
        let mut tunnel = self.accept_tunnel();
        tunnel.send(WELCOME, 0, 0, welcome(window).as_bytes());
        tunnel
    }
}

impl RawTunnel {
    /// Sends one frame in a message of its own.
    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.send_message(BINARY, &frame(kind, flags, stream, payload));
    }

    pub(crate) fn send_message(&mut self, first: u8, payload: &[u8]) {
        self.wire.send(message(first, Masking::Bare, payload));
    }

    /// The next frame; `None` when the agent ended the tunnel. Echoes are answered.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = read_frame(&mut self.wire, &mut self.rest)?;
            if frame.kind != ECHO {
                return Some(frame);
            }
            self.send(ECHO_REPLY, 0, 0, &frame.payload);
        }
    }

    /// The next frame of that kind.
    pub(crate) fn expect(&mut self, kind: u8) -> Frame {
        while let Some(frame) = self.next() {
            if frame.kind == kind {
                return frame;
            }
        }
        panic!("the tunnel ended before a frame {kind:#x}");
    }

    /// Reads on until the agent ends the tunnel.
    ///
    /// # Panics
    /// When that takes longer than it has to.
    pub(crate) fn wait_end(&mut self) {
        frames::wait_end(|| self.next());
    }
}

/// The right 101 to an offer.
pub(crate) fn grant(offer: &[u8]) -> Vec<u8> {
    let mut storage = Storage::new();
    let head = RequestHead::parse(offer, &mut storage).unwrap();
    let mut answer = Buf::new();
    mesh_protocol::ws::upgrade::accept(&head, "raw", &mut answer).unwrap();
    answer.as_slice().to_vec()
}

/// The WELCOME of an ingress.
pub(crate) fn welcome(window: u32) -> String {
    format!(r#"{{"version":"0","session":"1","window":{window},"streams":100}}"#)
}
