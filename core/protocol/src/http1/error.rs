//! What an HTTP/1.1 peer did wrong.

use std::fmt;

/// A message that is refused. Whoever sent it gets a 400 or 431, or a 502 is sent in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// A head longer than allowed.
    HeadTooLarge,
    /// More than [`super::FIELDS_MAX`] fields.
    TooManyFields,
    /// A line feed without its carriage return (RFC 9112 2.2).
    BareLineFeed,
    /// A carriage return without its line feed (RFC 9112 2.2).
    BareCarriageReturn,
    /// A NUL byte in a head.
    Nul,
    /// A field continued on the next line (RFC 9112 5.2).
    ObsoleteFold,
    /// A start line or field that is none.
    MalformedHead,
    /// Both `Content-Length` and `Transfer-Encoding`, or several lengths (RFC 9112 6.3).
    ConflictingLengths,
    /// A `Content-Length` that is no number.
    BadLength,
    /// A `Transfer-Encoding` that is not exactly one `chunked` (RFC 9112 6.1).
    BadTransferCoding,
    /// A chunk whose size or end is malformed (RFC 9112 7.1).
    BadChunk,
    /// A trailer section that is malformed or too long (RFC 9112 7.1.2).
    BadTrailers,
    /// A request without `Host` (RFC 9112 3.2).
    MissingHost,
    /// A request with several `Host` fields (RFC 9112 3.2).
    DuplicateHost,
    /// A host that is no host.
    BadHost,
    /// A request target in no known form (RFC 9112 3.2).
    BadTarget,
    /// A method that a mesh cannot carry: CONNECT.
    UnsupportedMethod,
    /// Another version than HTTP/1.0 and HTTP/1.1.
    UnsupportedVersion,
    /// A status outside of 100 to 599, or a 101 that nobody asked for.
    BadStatus,
    /// A body that ended before its announced length.
    Truncated,
    /// A body that goes on after its announced length.
    BodyOverflow,
}

impl Error {
    /// Whether the head is well-formed so far but too large: 431 rather than 400.
    #[must_use]
    pub const fn is_head_too_large(self) -> bool {
        matches!(self, Self::HeadTooLarge | Self::TooManyFields)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeadTooLarge => "head too large",
            Self::TooManyFields => "too many header fields",
            Self::BareLineFeed => "line feed without carriage return",
            Self::BareCarriageReturn => "carriage return without line feed",
            Self::Nul => "NUL in head",
            Self::ObsoleteFold => "folded header field",
            Self::MalformedHead => "malformed head",
            Self::ConflictingLengths => "conflicting body lengths",
            Self::BadLength => "bad Content-Length",
            Self::BadTransferCoding => "bad Transfer-Encoding",
            Self::BadChunk => "bad chunk",
            Self::BadTrailers => "bad trailers",
            Self::MissingHost => "no Host",
            Self::DuplicateHost => "several Hosts",
            Self::BadHost => "bad Host",
            Self::BadTarget => "bad request target",
            Self::UnsupportedMethod => "unsupported method",
            Self::UnsupportedVersion => "unsupported version",
            Self::BadStatus => "bad status",
            Self::Truncated => "message cut short",
            Self::BodyOverflow => "body longer than announced",
        })
    }
}

impl std::error::Error for Error {}
