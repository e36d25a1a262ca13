//! What a WebSocket peer did wrong.

use std::fmt;

/// A breach of RFC 6455, or of what `mesh.v1` allows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// A frame whose header is no WebSocket header.
    MalformedHeader,
    /// Reserved bits without a negotiated extension (5.2).
    ReservedBits,
    /// A client that does not mask, or a server that does (5.1).
    WrongMasking,
    /// A length that is not in its shortest form (5.2).
    LongLength,
    /// A control frame that is fragmented or longer than 125 bytes (5.5).
    BadControlFrame,
    /// A message in pieces: `mesh.v1` messages are whole.
    Fragmented,
    /// A text message: `mesh.v1` messages are binary.
    Text,
    /// A message of more than [`super::frame::MESSAGE_BYTES_MAX`].
    TooBig,
    /// The response to the upgrade has another status than 101.
    NotSwitching(u16),
    /// The upgrade lacks or contradicts a required field (4.1, 4.2).
    BadUpgrade,
    /// The peer does not speak `mesh.v1`.
    WrongProtocol,
    /// A web page asks for the upgrade: browsers say which one it is, and agents have none to name.
    FromWebPage,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MalformedHeader => f.write_str("malformed WebSocket frame"),
            Self::ReservedBits => f.write_str("reserved WebSocket bits are set"),
            Self::WrongMasking => f.write_str("WebSocket frame masked by the wrong side"),
            Self::LongLength => f.write_str("WebSocket length is not in its shortest form"),
            Self::BadControlFrame => f.write_str("fragmented or oversized WebSocket control frame"),
            Self::Fragmented => f.write_str("fragmented WebSocket message"),
            Self::Text => f.write_str("WebSocket text message"),
            Self::TooBig => f.write_str("WebSocket message too big"),
            Self::NotSwitching(status) => write!(f, "upgrade answered with status {status}"),
            Self::BadUpgrade => f.write_str("bad WebSocket upgrade"),
            Self::WrongProtocol => f.write_str("the peer does not speak mesh.v1"),
            Self::FromWebPage => f.write_str("agents send no Origin"),
        }
    }
}

impl std::error::Error for Error {}
