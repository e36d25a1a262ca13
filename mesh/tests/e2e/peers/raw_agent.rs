//! An agent that says what the test wants, however wrong.

use std::net::SocketAddr;

use super::caller::{HOST, Response, find};
use super::frames::{
    self, BINARY, ECHO, ECHO_REPLY, Frame, HELLO, Masking, REFUSED, REQUEST, RESPONSE, WELCOME,
    frame, message, read_frame,
};
use super::wire::Wire;

/// A connection to the agents' port, after its upgrade.
#[derive(Debug)]
pub(crate) struct RawAgent {
    pub(crate) wire: Wire,
    /// Frames of the last message that were not taken yet.
    rest: Vec<u8>,
}

/// A well-formed request for a tunnel.
pub(crate) const OFFER: &str = "GET / HTTP/1.1\r\nHost: mesh\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mesh.v1\r\n\r\n";

impl RawAgent {
    /// Connects and upgrades, and says nothing more.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let mut wire = Wire::connect(address);
        wire.send(OFFER);
        let length = wire.wait(|bytes| find(bytes, b"\r\n\r\n").map(|at| at + 4)).unwrap();
        let head = String::from_utf8(wire.take(length)).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Self { wire, rest: Vec::new() }
    }

    /// Connects and registers the host of these tests.
    pub(crate) fn register(address: SocketAddr) -> Self {
        Self::register_host(address, HOST)
    }

    /// Connects and registers that host, with a small window and healthy.
    pub(crate) fn register_host(address: SocketAddr, host: &str) -> Self {
        let mut agent = Self::connect(address);
        agent.send(HELLO, 0, 0, hello(host).as_bytes());
        assert_eq!(agent.expect(WELCOME).stream, 0);
        agent
    }

    /// Sends one frame in a message of its own.
    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.send_message(BINARY, &frame(kind, flags, stream, payload));
    }

    /// Sends one masked message.
    pub(crate) fn send_message(&mut self, first: u8, payload: &[u8]) {
        self.wire.send(message(first, Masking::Masked, payload));
    }

    /// The next frame, whatever it is; `None` at the end of the tunnel.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        read_frame(&mut self.wire, &mut self.rest)
    }

    /// The next frame of that kind; echoes before it are answered.
    pub(crate) fn expect(&mut self, kind: u8) -> Frame {
        while let Some(frame) = self.next() {
            match frame.kind {
                found if found == kind => return frame,
                ECHO => self.send(ECHO_REPLY, 0, 0, &frame.payload),
                _ => {}
            }
        }
        panic!("the tunnel ended before a frame {kind:#x}");
    }

    /// Waits until the ingress has taken in everything that was sent: an echo is answered after
    /// what came before it.
    pub(crate) fn settle(&mut self) {
        const NUMBER: [u8; 8] = *b"settled?";
        self.send(ECHO, 0, 0, &NUMBER);
        assert_eq!(self.expect(ECHO_REPLY).payload, NUMBER);
    }

    /// The reason in the REFUSED that has to come, and no WELCOME before it.
    pub(crate) fn expect_refusal(&mut self) -> String {
        let frame = loop {
            let frame = self.next().expect("the tunnel ended before REFUSED");
            match frame.kind {
                REFUSED => break frame,
                WELCOME => panic!("it is welcome"),
                ECHO => self.send(ECHO_REPLY, 0, 0, &frame.payload),
                _ => {}
            }
        };
        String::from_utf8(frame.payload).unwrap()
    }

    /// The next request; the number of its stream.
    pub(crate) fn expect_request(&mut self) -> u32 {
        self.expect(REQUEST).stream
    }

    /// Answers a stream with a whole response without a body.
    pub(crate) fn answer(&mut self, stream: u32) {
        self.send(RESPONSE, 1, stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }

    /// Reads on, without an answer to anything, until the ingress ends the tunnel.
    ///
    /// # Panics
    /// When that takes longer than it has to.
    pub(crate) fn wait_end(&mut self) {
        frames::wait_end(|| self.next());
    }
}

/// The HELLO of an agent for one host.
pub(crate) fn hello(host: &str) -> String {
    format!(r#"{{"version":"0","hosts":["{host}"],"window":65536,"streams":100,"healthy":true}}"#)
}

/// A request for a tunnel that is answered without one.
pub(crate) fn offer(address: SocketAddr, offer: &str) -> Response {
    super::caller::ask(address, offer)
}
