//! WebSocket frames on a byte queue: reading whole messages in place, building them in place.

use std::io::Cursor;
use std::ops::Range;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::Error;
use crate::{Buf, Rng};

/// The longest payload that is accepted: one frame with the longest possible head, and some.
pub const MESSAGE_BYTES_MAX: usize = 128 * 1024;

/// The longest payload of a control frame (RFC 6455 5.5).
pub(crate) const CONTROL_BYTES_MAX: usize = 125;

/// Which end of the WebSocket this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The end that connected. What it sends is masked.
    Client,
    /// The end that was connected to.
    Server,
}

/// A whole message at the front of a queue, already unmasked.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// Where its payload lies in the queue; the message ends there.
    pub payload: Range<usize>,
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Application data.
    Binary,
    /// To be answered with a pong of the same payload.
    Ping,
    /// An answer to a ping.
    Pong,
    /// The peer leaves.
    Close,
}

/// How a whole binary message begins.
pub(crate) const BINARY: u8 = 0x82;

/// Looks for one whole message at the front of `rx`. Call it once for each message: a found
/// message is unmasked in place.
///
/// # Errors
/// The peer broke the protocol; nothing that follows can be understood.
pub fn parse(role: Role, rx: &mut [u8]) -> Result<Option<Message>, Error> {
    let mut cursor = Cursor::new(&*rx);
    let parsed = FrameHeader::parse(&mut cursor).map_err(|_| Error::MalformedHeader)?;
    let Some((header, length)) = parsed else { return Ok(None) };
    let kind = check(role, &header, length)?;
    let start = usize::try_from(cursor.position()).map_err(|_| Error::TooBig)?;
    if start != header.len(length) {
        return Err(Error::LongLength);
    }
    let length = usize::try_from(length).map_err(|_| Error::TooBig)?;
    let Some(payload) = rx.get_mut(start..start + length) else { return Ok(None) };
    if let Some(mask) = header.mask {
        apply_mask(payload, mask);
    }
    Ok(Some(Message { kind, payload: start..start + length }))
}

/// The rules for a header that do not need its payload.
fn check(role: Role, header: &FrameHeader, length: u64) -> Result<Kind, Error> {
    if header.rsv1 || header.rsv2 || header.rsv3 {
        return Err(Error::ReservedBits);
    }
    if header.mask.is_some() != (role == Role::Server) {
        return Err(Error::WrongMasking);
    }
    let kind = match header.opcode {
        OpCode::Data(Data::Binary) => Kind::Binary,
        OpCode::Data(Data::Text) => return Err(Error::Text),
        OpCode::Data(Data::Continue) => return Err(Error::Fragmented),
        OpCode::Control(Control::Ping) => Kind::Ping,
        OpCode::Control(Control::Pong) => Kind::Pong,
        OpCode::Control(Control::Close) => Kind::Close,
        OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => {
            return Err(Error::MalformedHeader);
        }
    };
    match kind {
        Kind::Binary if !header.is_final => Err(Error::Fragmented),
        Kind::Binary if length > MESSAGE_BYTES_MAX as u64 => Err(Error::TooBig),
        Kind::Ping | Kind::Pong | Kind::Close
            if !header.is_final || length > CONTROL_BYTES_MAX as u64 =>
        {
            Err(Error::BadControlFrame)
        }
        Kind::Binary | Kind::Ping | Kind::Pong | Kind::Close => Ok(kind),
    }
}

/// Writes a whole control message; a longer payload is cut to what a control frame may hold.
pub fn write_control(role: Role, kind: Kind, payload: &[u8], tx: &mut Buf, rng: &mut Rng) {
    let payload = &payload[..payload.len().min(CONTROL_BYTES_MAX)];
    let start = tx.len();
    tx.extend(&[0; HEADER_BYTES_MAX][..reserved(role)]);
    tx.extend(payload);
    seal(role, kind, tx, start, rng);
}

/// A binary message that is being built at the back of a queue.
#[derive(Debug)]
pub struct Writer {
    role: Role,
    /// Where the message begins in the stream, its header included.
    start: u64,
}

impl Writer {
    /// Begins a message; until [`Self::finish`] nothing but its payload may be appended to `tx`,
    /// and nothing of `tx` may be sent.
    pub fn begin(role: Role, tx: &mut Buf) -> Self {
        let start = tx.added();
        tx.extend(&[0; HEADER_BYTES_MAX][..reserved(role)]);
        Self { role, start }
    }

    /// Bytes of payload so far.
    #[must_use]
    pub fn payload_len(&self, tx: &Buf) -> usize {
        usize::try_from(tx.added() - self.start).unwrap_or(usize::MAX) - reserved(self.role)
    }

    /// Writes the header and masks the payload, if this role masks.
    pub fn finish(self, tx: &mut Buf, rng: &mut Rng) {
        let start = tx.len() - self.payload_len(tx) - reserved(self.role);
        seal(self.role, Kind::Binary, tx, start, rng);
    }
}

/// Bytes of the header of a binary message, unless it is longer than 64 KiB.
pub(crate) const BINARY_HEADER_BYTES: usize = reserved(Role::Client);

/// Writes the header of a binary message so that it ends where `out` ends; where it begins.
pub(crate) fn write_header(
    mask: Option<[u8; 4]>,
    length: usize,
    out: &mut [u8; BINARY_HEADER_BYTES],
) -> usize {
    let opcode = OpCode::Data(Data::Binary);
    let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
    let begin = out.len() - header.len(length as u64);
    header.format(length as u64, &mut &mut out[begin..]).expect("there is room");
    begin
}

/// The longest header: two bytes, a 64-bit length and a mask.
const HEADER_BYTES_MAX: usize = 14;

/// Room left in front of a payload: a header with a 16-bit length, which nearly all messages need.
const fn reserved(role: Role) -> usize {
    match role {
        Role::Client => 8,
        Role::Server => 4,
    }
}

/// Puts the header in front of the payload that begins `reserved` bytes after `start`.
fn seal(role: Role, kind: Kind, tx: &mut Buf, start: usize, rng: &mut Rng) {
    let length = tx.len() - start - reserved(role);
    let opcode = match kind {
        Kind::Binary => OpCode::Data(Data::Binary),
        Kind::Ping => OpCode::Control(Control::Ping),
        Kind::Pong => OpCode::Control(Control::Pong),
        Kind::Close => OpCode::Control(Control::Close),
    };
    let mask = (role == Role::Client).then(|| rng.mask());
    let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
    let header_len = header.len(length as u64);
    let payload = start + reserved(role)..tx.len();
    if header_len > reserved(role) {
        tx.extend(&[0; HEADER_BYTES_MAX][..header_len - reserved(role)]);
    }
    if header_len != reserved(role) {
        tx.as_mut_slice().copy_within(payload, start + header_len);
    }
    tx.truncate(start + header_len + length);
    let (mut head, payload) = tx.as_mut_slice()[start..].split_at_mut(header_len);
    header.format(length as u64, &mut head).expect("the slice is as long as the header");
    if let Some(mask) = mask {
        apply_mask(payload, mask);
    }
}

/// XORs the payload with the repeated mask (RFC 6455 5.3), eight bytes at a time.
pub(crate) fn apply_mask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
    for (byte, mask) in rest.iter_mut().skip(4).zip(mask) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests;
