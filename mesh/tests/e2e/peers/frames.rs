//! Bytes of `mesh.v1` and of WebSocket, made by hand so that they can be wrong.

use std::time::Instant;

use super::wire::{AT_ONCE, Wire};

pub(crate) const HELLO: u8 = 0x01;
pub(crate) const WELCOME: u8 = 0x02;
pub(crate) const REFUSED: u8 = 0x03;
pub(crate) const CHALLENGE: u8 = 0x04;
pub(crate) const PROOF: u8 = 0x05;
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

pub(crate) const END: u8 = 1;
pub(crate) const INTERIM: u8 = 2;
pub(crate) const UPGRADE: u8 = 4;

/// Operation codes of WebSocket frames, with FIN.
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;

/// Which end of a WebSocket is imitated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Masking {
    /// As a client has to.
    Masked,
    /// As a server has to.
    Bare,
}

/// One frame of `mesh.v1`.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let [a, b, c, d] = stream.to_be_bytes();
    [&[length[1], length[2], length[3], kind, flags, a, b, c, d], payload].concat()
}

/// One WebSocket frame with any first byte.
pub(crate) fn message(first: u8, masking: Masking, payload: &[u8]) -> Vec<u8> {
    let bit = if masking == Masking::Masked { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(bit | u8::try_from(length).unwrap()),
        length @ 126..0x1_0000 => {
            bytes.push(bit | 126);
            bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            bytes.push(bit | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    if masking == Masking::Bare {
        bytes.extend(payload);
        return bytes;
    }
    let mask = [7, 77, 177, 27];
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A frame that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// Takes the next frame off the connection; `None` when it ended or the peer said goodbye.
pub(crate) fn read_frame(wire: &mut Wire, rest: &mut Vec<u8>) -> Option<Frame> {
    while rest.is_empty() {
        let (opcode, payload) = read_message(wire)?;
        match opcode {
            BINARY => rest.extend(payload),
            CLOSE => return None,
            other => panic!("an unexpected message {other:#x}"),
        }
    }
    let header: Vec<u8> = rest.drain(..9).collect();
    let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
    let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
    let payload = rest.drain(..length as usize).collect();
    Some(Frame { kind: header[3], flags: header[4], stream, payload })
}

/// Reads frames until none comes any more: the other end has ended the tunnel.
///
/// # Panics
/// When that takes longer than it has to.
pub(crate) fn wait_end(mut next: impl FnMut() -> Option<Frame>) {
    let due = Instant::now() + AT_ONCE;
    while next().is_some() {
        assert!(Instant::now() < due, "the tunnel goes on");
    }
    assert!(Instant::now() < due, "the tunnel ended, but not at once");
}

/// The first byte and the payload of the next WebSocket message.
pub(crate) fn read_message(wire: &mut Wire) -> Option<(u8, Vec<u8>)> {
    let layout = wire.wait(|bytes| {
        let second = *bytes.get(1)?;
        let (length, mut start) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])), 4),
            127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()), 10),
            short => (u64::from(short), 2),
        };
        let mask = if second & 0x80 == 0 {
            [0; 4]
        } else {
            start += 4;
            bytes.get(start - 4..start)?.try_into().unwrap()
        };
        let end = start + usize::try_from(length).unwrap();
        (bytes.len() >= end).then_some((start, end, mask))
    });
    let (start, end, mask): (usize, usize, [u8; 4]) = layout?;
    let bytes = wire.take(end);
    let payload = bytes[start..].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    Some((bytes[0], payload.collect()))
}
