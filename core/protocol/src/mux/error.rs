//! What a tunnel's peer did wrong, and why a stream was reset.

use std::fmt;

/// A breach of `mesh.v1`: the tunnel ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// A frame reaches beyond its message, or a payload has the wrong length.
    MalformedFrame,
    /// A frame type below 0x80 that this version does not know.
    UnknownType(u8),
    /// DATA longer than [`super::frame::DATA_BYTES_MAX`].
    DataTooLong,
    /// DATA beyond the credit.
    WindowExceeded,
    /// So much credit that the window overflows.
    WindowOverflow,
    /// A frame for a stream that was never opened.
    UnknownStream,
    /// A stream opened twice, out of order, or by the wrong side.
    BadStreamId,
    /// A frame after the end of its direction.
    AfterEnd,
    /// A frame that has no place in the stream's present state.
    OutOfOrder,
    /// The peer makes us answer but does not read the answers.
    NotReading,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MalformedFrame => f.write_str("malformed frame"),
            Self::UnknownType(kind) => write!(f, "unknown frame type {kind:#04x}"),
            Self::DataTooLong => f.write_str("DATA frame too long"),
            Self::WindowExceeded => f.write_str("DATA beyond the granted credit"),
            Self::WindowOverflow => f.write_str("credit overflows the window"),
            Self::UnknownStream => f.write_str("frame for a stream that was never opened"),
            Self::BadStreamId => f.write_str("stream identifier out of order"),
            Self::AfterEnd => f.write_str("frame after the end of its direction"),
            Self::OutOfOrder => f.write_str("frame out of order"),
            Self::NotReading => f.write_str("the peer does not read what it asked for"),
        }
    }
}

impl std::error::Error for Error {}

/// Why a stream was reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetCode {
    /// Nobody wants the rest any more.
    Cancel,
    /// The service could not be connected to: it has not seen the request.
    ConnectFailed,
    /// The service broke the connection.
    UpstreamReset,
    /// The service, or the peer, does not speak HTTP as it should.
    Protocol,
    /// A deadline passed.
    Timeout,
    /// The acceptor takes no more streams now: the service has not seen the request.
    Refused,
    /// The acceptor is draining: the service has not seen the request.
    Draining,
    /// A code of a later version.
    Unknown(u16),
}

impl From<u16> for ResetCode {
    fn from(code: u16) -> Self {
        match code {
            1 => Self::Cancel,
            2 => Self::ConnectFailed,
            3 => Self::UpstreamReset,
            4 => Self::Protocol,
            5 => Self::Timeout,
            6 => Self::Refused,
            7 => Self::Draining,
            other => Self::Unknown(other),
        }
    }
}

impl From<ResetCode> for u16 {
    fn from(code: ResetCode) -> Self {
        match code {
            ResetCode::Cancel => 1,
            ResetCode::ConnectFailed => 2,
            ResetCode::UpstreamReset => 3,
            ResetCode::Protocol => 4,
            ResetCode::Timeout => 5,
            ResetCode::Refused => 6,
            ResetCode::Draining => 7,
            ResetCode::Unknown(other) => other,
        }
    }
}
