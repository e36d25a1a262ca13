//! How one end says goodbye: a close frame of WebSocket with a code and a reason (RFC 6455 5.5.1).

use std::fmt;

use crate::ws;

/// What the peer said when it closed the tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goodbye {
    /// The WebSocket status code.
    pub code: u16,
    /// Why, in the words of the peer; may be empty.
    pub reason: String,
}

impl Goodbye {
    /// What a close frame says; nothing where it gives no code.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let (code, reason) = payload.split_first_chunk()?;
        let reason = String::from_utf8_lossy(reason).into_owned();
        Some(Self { code: u16::from_be_bytes(*code), reason })
    }
}

/// The peer's words are quoted, so that they can neither break a line nor pass for ours.
impl fmt::Display for Goodbye {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "closed by the peer with code {}", self.code)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, ": {:?}", self.reason) }
    }
}

/// The payload of a close frame, with as much of the reason as fits.
pub(super) fn payload(code: u16, reason: &str) -> Vec<u8> {
    let code = code.to_be_bytes();
    let len = reason.floor_char_boundary(ws::frame::CONTROL_BYTES_MAX - code.len());
    [&code, &reason.as_bytes()[..len]].concat()
}
