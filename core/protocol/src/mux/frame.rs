//! The wire form of one frame. The table in [`super`] is the specification.

use super::Error;
use crate::Buf;

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 9;

/// The longest DATA payload. Small enough that a small answer never waits behind more than
/// 16 KiB of one stream; frames of 64 KiB would save less than 5 % of CPU time.
pub const DATA_BYTES_MAX: usize = 16 * 1024;

/// What we put into one of many. Four of them with their headers fit into the largest packet that the
/// kernel handles as one; a few bytes more would be a packet of their own.
pub const DATA_BYTES_FULL: usize = DATA_BYTES_MAX - 64;

/// DATA frames in one run, as a rule: of one stream, in one write. With their headers they are two
/// packets of the largest kind; a write that is a little longer costs one more packet, and often a
/// wake-up, for the rest.
pub(crate) const RUN_FRAMES: usize = 8;
/// DATA frames in one run, at the most: from an agent, which has few tunnels. An ingress has many,
/// and what it may hold for each of them counts.
pub(crate) const RUN_FRAMES_MAX: usize = 16;

/// Bytes of a run: what one read brings of what is to be sent on.
pub const RUN_BYTES: usize = RUN_FRAMES * DATA_BYTES_FULL;
/// Bytes of the longest run.
pub(crate) const RUN_BYTES_MAX: usize = RUN_FRAMES_MAX * DATA_BYTES_FULL;

/// As many of these bytes as fill frames; all of them where they fill none.
#[must_use]
pub const fn full_frames(bytes: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "16 KiB")]
    const FULL: u32 = DATA_BYTES_FULL as u32;
    if bytes < FULL { bytes } else { bytes - bytes % FULL }
}

/// Names a stream of a tunnel; 0 is the connection itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) u32);

impl StreamId {
    /// The connection itself.
    pub const CONNECTION: Self = Self(0);

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// What a frame is, with its number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the table in the module above documents each type")]
pub enum FrameKind {
    Hello = 0x01,
    Welcome = 0x02,
    Refused = 0x03,
    Challenge = 0x04,
    Proof = 0x05,
    Request = 0x10,
    Response = 0x11,
    Data = 0x12,
    Window = 0x13,
    Reset = 0x14,
    Trailers = 0x15,
    Health = 0x20,
    Drain = 0x21,
    Echo = 0x22,
    EchoReply = 0x23,
}

/// From this type on, frames are ignored by those who do not know them.
const IGNORABLE: u8 = 0x80;

impl FrameKind {
    const fn number(self) -> u8 {
        self as u8
    }

    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0x01 => Self::Hello,
            0x02 => Self::Welcome,
            0x03 => Self::Refused,
            0x04 => Self::Challenge,
            0x05 => Self::Proof,
            0x10 => Self::Request,
            0x11 => Self::Response,
            0x12 => Self::Data,
            0x13 => Self::Window,
            0x14 => Self::Reset,
            0x15 => Self::Trailers,
            0x20 => Self::Health,
            0x21 => Self::Drain,
            0x22 => Self::Echo,
            0x23 => Self::EchoReply,
            _ => return None,
        })
    }
}

/// The flags of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The sender's direction of the stream ends with this frame.
    pub const END: Self = Self(1);
    /// A 1xx response head; the final one is yet to come.
    pub const INTERIM: Self = Self(2);
    /// A request that asks for an upgrade, or the 101 that grants it.
    pub const UPGRADE: Self = Self(4);

    /// These flags and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These flags, and those only if the condition holds.
    #[must_use]
    pub const fn with_if(self, other: Self, condition: bool) -> Self {
        if condition { self.with(other) } else { self }
    }

    /// Whether all of `other` are set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One frame of a received message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'m> {
    /// What it is.
    pub kind: FrameKind,
    /// Its flags; unknown ones are ignored.
    pub flags: Flags,
    /// The stream it belongs to.
    pub stream: StreamId,
    /// Its payload.
    pub payload: &'m [u8],
}

/// Splits the first frame off a message: the bytes it takes, and the frame itself unless its type
/// is to be ignored.
///
/// # Errors
/// The message does not begin with a whole frame of a known type.
pub fn parse(message: &[u8]) -> Result<(usize, Option<Frame<'_>>), Error> {
    let Some((header, rest)) = message.split_first_chunk::<HEADER_BYTES>() else {
        return Err(Error::MalformedFrame);
    };
    let [a, b, c, number, flags, stream @ ..] = *header;
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    let payload = rest.get(..length).ok_or(Error::MalformedFrame)?;
    let frame = match FrameKind::from_number(number) {
        Some(kind) => {
            let stream = StreamId(u32::from_be_bytes(stream));
            Some(Frame { kind, flags: Flags(flags), stream, payload })
        }
        None if number >= IGNORABLE => None,
        None => return Err(Error::UnknownType(number)),
    };
    Ok((HEADER_BYTES + length, frame))
}

/// Appends one frame, its payload written by `payload`. A payload that does not fit 24 bits is a
/// mistake of the caller; heads and DATA are far smaller.
pub fn write<R>(
    kind: FrameKind,
    flags: Flags,
    stream: StreamId,
    out: &mut Buf,
    payload: impl FnOnce(&mut Buf) -> R,
) -> R {
    let start = out.len();
    let [a, b, c, d] = stream.0.to_be_bytes();
    out.extend(&[0, 0, 0, kind.number(), flags.0, a, b, c, d]);
    let result = payload(out);
    let length = out.len() - start - HEADER_BYTES;
    out.as_mut_slice()[start..start + 3].copy_from_slice(&length_bytes(length));
    result
}

/// The header of a frame.
pub(super) fn header(
    kind: FrameKind,
    flags: Flags,
    stream: StreamId,
    length: usize,
) -> [u8; HEADER_BYTES] {
    let [a, b, c] = length_bytes(length);
    let [d, e, f, g] = stream.0.to_be_bytes();
    [a, b, c, kind.number(), flags.0, d, e, f, g]
}

fn length_bytes(length: usize) -> [u8; 3] {
    assert!(length < 1 << 24, "a payload of {length} bytes");
    let [_, bytes @ ..] = u32::try_from(length).expect("checked above").to_be_bytes();
    bytes
}

#[cfg(test)]
mod tests;
