//! An agent on strings: it registers like any other, and then does what a test wants. It writes
//! `mesh.v1` by hand, so that it can write what no agent would.

use std::time::Duration;

use mesh_sim::peers::{RawPeer, RawTurn, Then};

use crate::stage::TUNNEL_ADDRESS;

/// Frame types, as the protocol's table has them.
pub(crate) const HELLO: u8 = 0x01;
pub(crate) const WELCOME: u8 = 0x02;
pub(crate) const REFUSED: u8 = 0x03;
pub(crate) const REQUEST: u8 = 0x10;
pub(crate) const RESPONSE: u8 = 0x11;
pub(crate) const DATA: u8 = 0x12;
pub(crate) const WINDOW: u8 = 0x13;
pub(crate) const RESET: u8 = 0x14;
pub(crate) const TRAILERS: u8 = 0x15;
pub(crate) const HEALTH: u8 = 0x20;
pub(crate) const DRAIN: u8 = 0x21;
pub(crate) const ECHO: u8 = 0x22;
pub(crate) const ECHO_REPLY: u8 = 0x23;

/// Frame flags.
pub(crate) const END: u8 = 1;
pub(crate) const INTERIM: u8 = 2;
pub(crate) const UPGRADED: u8 = 4;

/// What a puppet has seen.
#[derive(Debug, Default)]
pub(crate) struct Puppet {
    is_upgraded: bool,
    /// Frames that came, without their payloads.
    pub(crate) seen: Vec<(u8, u32)>,
}

impl Puppet {
    /// How many frames of this kind came.
    pub(crate) fn has_seen(&self, kind: u8) -> usize {
        self.seen.iter().filter(|(seen, _)| *seen == kind).count()
    }
}

/// A frame that came.
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// What the puppet does next.
pub(crate) struct Act {
    tx: Vec<u8>,
    then: Then,
}

impl Act {
    /// Sends these frames in one message.
    pub(crate) fn send(&mut self, frames: &[u8]) {
        self.tx.extend(message(0x82, frames));
    }

    /// Sends bytes as they are.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.tx.extend_from_slice(bytes);
    }

    pub(crate) fn stop_reading(&mut self) {
        self.then = Then::StopReading;
    }

    /// Leaves once all this is sent.
    pub(crate) fn finish(&mut self) {
        self.then = Then::Finish;
    }

    /// Answers an echo as every agent does.
    pub(crate) fn be_polite(&mut self, frame: &Frame) {
        if frame.kind == ECHO {
            self.send(&self::frame(ECHO_REPLY, 0, 0, &frame.payload));
        }
    }
}

/// How an agent asks for a tunnel.
pub(crate) const UPGRADE: &[u8] =
    b"GET / HTTP/1.1\r\nHost: ingress:8082\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
    Sec-WebSocket-Protocol: mesh.v1\r\n\r\n";

/// An agent for `host` that claims to be healthy and does `act` for each frame it gets.
pub(crate) fn puppet(
    host: &'static str,
    act: impl FnMut(&Frame, &mut Act) + 'static,
) -> RawPeer<Puppet> {
    puppet_of("", host, act)
}

/// The same with these members more in its HELLO, which may say that it is not healthy.
pub(crate) fn puppet_of(
    more: &'static str,
    host: &'static str,
    mut act: impl FnMut(&Frame, &mut Act) + 'static,
) -> RawPeer<Puppet> {
    let mut offered = false;
    RawPeer::dialling(TUNNEL_ADDRESS, Puppet::default(), move |puppet, turn| {
        if !std::mem::replace(&mut offered, true) {
            turn.tx.extend_from_slice(UPGRADE);
            turn.wake_in = Some(Duration::from_millis(1));
        }
        if !puppet.is_upgraded && !upgrade(puppet, turn, more, host) {
            return;
        }
        while let Some(payload) = take_message(turn.rx) {
            for frame in frames(&payload) {
                puppet.seen.push((frame.kind, frame.stream));
                let mut next = Act { tx: Vec::new(), then: Then::GoOn };
                act(&frame, &mut next);
                turn.tx.append(&mut next.tx);
                if next.then != Then::GoOn {
                    turn.then = next.then;
                }
            }
        }
        if turn.end.is_some() {
            turn.then = Then::Close;
        }
    })
}

/// Takes the answer to the upgrade, and says hello.
fn upgrade(puppet: &mut Puppet, turn: &mut RawTurn<'_>, more: &str, host: &str) -> bool {
    let Some(end) = turn.rx.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    assert!(turn.rx.starts_with(b"HTTP/1.1 101 "), "the puppet is let in");
    turn.rx.drain(..end + 4);
    puppet.is_upgraded = true;
    let healthy = if more.contains(r#""healthy""#) { "" } else { r#","healthy":true"# };
    let hello = format!(
        r#"{{"version":"0","hosts":["{host}"],"window":262144,"streams":100{healthy}{more}}}"#
    );
    turn.tx.extend(message(0x82, &frame(HELLO, 0, 0, hello.as_bytes())));
    true
}

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A WebSocket message with this first byte, masked with zeros.
pub(crate) fn message(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(length @ 0..126) => bytes.push(0x80 | length.to_be_bytes()[1]),
        Ok(length) => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0x80 | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// The payload of the next message from the ingress, which does not mask.
fn take_message(rx: &mut Vec<u8>) -> Option<Vec<u8>> {
    let (header, length) = match *rx.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes([*rx.get(2)?, *rx.get(3)?]))),
        127 => {
            let length: [u8; 8] = rx.get(2..10)?.try_into().ok()?;
            (10, usize::try_from(u64::from_be_bytes(length)).ok()?)
        }
        length => (2, usize::from(length)),
    };
    if rx.len() < header + length {
        return None;
    }
    let is_binary = rx[0] == 0x82;
    let payload = rx[header..header + length].to_vec();
    rx.drain(..header + length);
    Some(if is_binary { payload } else { Vec::new() })
}

fn frames(mut payload: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some((header, rest)) = payload.split_first_chunk::<9>() {
        let [a, b, c, kind, flags, stream @ ..] = *header;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let stream = u32::from_be_bytes(stream);
        frames.push(Frame { kind, flags, stream, payload: rest[..length].to_vec() });
        payload = &rest[length..];
    }
    frames
}
