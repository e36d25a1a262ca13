//! Names of fields with a meaning for whoever forwards them, and the syntax of lists and hosts.

use std::net::Ipv6Addr;

/// Ends every line of a head (RFC 9112 2.2).
pub(super) const CRLF: &[u8] = b"\r\n";

/// A field's name, as far as it matters for forwarding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Name {
    Connection,
    ContentLength,
    Expect,
    Host,
    /// `Keep-Alive`, `Proxy-Connection` or `HTTP2-Settings`: about one hop, and never of use to the
    /// next.
    HopByHop,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    XForwardedFor,
    XForwardedHost,
    XForwardedPort,
    XForwardedProto,
    Other,
}

impl Name {
    /// Most are told apart by their length alone.
    #[inline(always)]
    pub(super) fn new(name: &str) -> Self {
        let name = name.as_bytes();
        match name.len() {
            2 if is(name, b"te") => Self::Te,
            4 if is(name, b"host") => Self::Host,
            6 if is(name, b"expect") => Self::Expect,
            7 if is(name, b"trailer") => Self::Trailer,
            7 if is(name, b"upgrade") => Self::Upgrade,
            10 if is(name, b"connection") => Self::Connection,
            10 if is(name, b"keep-alive") => Self::HopByHop,
            14 if is(name, b"content-length") => Self::ContentLength,
            14 if is(name, b"http2-settings") => Self::HopByHop,
            15 if is(name, b"x-forwarded-for") => Self::XForwardedFor,
            16 if is(name, b"x-forwarded-port") => Self::XForwardedPort,
            16 if is(name, b"x-forwarded-host") => Self::XForwardedHost,
            16 if is(name, b"proxy-connection") => Self::HopByHop,
            17 if is(name, b"x-forwarded-proto") => Self::XForwardedProto,
            17 if is(name, b"transfer-encoding") => Self::TransferEncoding,
            _ => Self::Other,
        }
    }

    /// Whether that field speaks of one hop only: see [`is_hop_by_hop`].
    pub(super) const fn is_hop_by_hop(self) -> bool {
        match self {
            Self::Connection
            | Self::HopByHop
            | Self::Te
            | Self::TransferEncoding
            | Self::Upgrade => true,
            Self::ContentLength
            | Self::Expect
            | Self::Host
            | Self::Trailer
            | Self::XForwardedFor
            | Self::XForwardedHost
            | Self::XForwardedPort
            | Self::XForwardedProto
            | Self::Other => false,
        }
    }
}

/// Whether a name is this one, in whatever case. The length is part of the type, so that both are
/// compared by the word.
#[inline(always)]
fn is<const LENGTH: usize>(name: &[u8], known: &[u8; LENGTH]) -> bool {
    let Ok(name) = <&[u8; LENGTH]>::try_from(name) else { return false };
    let ([a, b, c], [x, y, z]) = (words(name), words(known));
    (a ^ x) | (b ^ y) | (c ^ z) == 0
}

/// A name in words, with the bit set in all bytes that tells cases apart. That changes no other byte
/// that a name may have into one of a known name.
#[inline(always)]
fn words<const LENGTH: usize>(name: &[u8; LENGTH]) -> [u64; 3] {
    const { assert!(LENGTH <= 24, "a longer name needs more words") };
    let mut bytes = [0; 24];
    bytes[..LENGTH].copy_from_slice(name);
    let [first, second, third] = *bytes.as_chunks().0 else { return [0; 3] };
    [first, second, third].map(|word| u64::from_ne_bytes(word) | 0x2020_2020_2020_2020)
}

/// Whether a field speaks of one hop only (RFC 9110 7.6.1). `Trailer` is not among them: it is
/// end to end as long as the trailers are.
#[must_use]
pub fn is_hop_by_hop(name: &str) -> bool {
    Name::new(name).is_hop_by_hop()
}

/// Whether a field stays even when `Connection` lists it. Those are end to end, and a caller that
/// could have them removed would hide who it is, or change how the message is read.
#[must_use]
pub fn is_protected(name: &str) -> bool {
    const NAMES: [&str; 7] = [
        "host",
        "cookie",
        "forwarded",
        "tracestate",
        "traceparent",
        "authorization",
        "content-length",
    ];
    has_name(&NAMES, name) || has_forwarding_prefix(name)
}

/// Whether a field may come after the body. Trailers arrive when everything was decided, so names
/// with a meaning for framing, routing, authentication or how to read the content are not passed
/// on (RFC 9110 6.5.1).
#[must_use]
pub fn is_trailer_allowed(name: &str) -> bool {
    const NAMES: [&str; 15] = [
        "host",
        "cookie",
        "expect",
        "trailer",
        "forwarded",
        "set-cookie",
        "content-type",
        "max-forwards",
        "authorization",
        "content-range",
        "content-length",
        "content-encoding",
        "www-authenticate",
        "proxy-authenticate",
        "proxy-authorization",
    ];
    !(is_hop_by_hop(name) || has_name(&NAMES, name) || has_forwarding_prefix(name))
}

/// The elements of one comma-separated list, empty ones left out (RFC 9110 5.6.1).
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// Whether a byte may be part of a token, such as a method or a name (RFC 9110 5.6.2).
#[must_use]
pub const fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z'
        | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+'
        | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// Whether that is a host, with or without a port (RFC 9110 7.2): a name, an IPv4 address or an
/// IPv6 address in brackets. Of the delimiters that a name may have, none is in use.
#[must_use]
pub fn is_host(bytes: &[u8]) -> bool {
    let (is_name, port) = match bytes.strip_prefix(b"[") {
        Some(literal) => {
            let end = memchr::memchr(b']', literal).unwrap_or(literal.len());
            let (address, rest) = literal.split_at_checked(end).unwrap_or_default();
            let Some(port) = rest.strip_prefix(b"]") else {
                return false;
            };
            (is_ipv6(address), port)
        }
        None => {
            let end = bytes.iter().position(|&byte| !is_name_byte(byte)).unwrap_or(bytes.len());
            let (name, port) = bytes.split_at_checked(end).unwrap_or_default();
            (!name.is_empty(), port)
        }
    };
    is_name && (port.is_empty() || port.strip_prefix(b":").is_some_and(is_port))
}

/// The port that a host names, if it is one.
pub(super) fn port(host: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(host).ok().filter(|_| is_host(host))?;
    // What follows the last colon within an address in brackets is no number.
    text.rsplit_once(':')?.1.parse().ok()
}

const fn is_name_byte(byte: u8) -> bool {
    NAME_BYTES[byte as usize]
}

const NAME_BYTES: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0_u8);
    while byte < 128 {
        table[byte as usize] =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%');
        byte += 1;
    }
    table
};

fn is_ipv6(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

fn is_port(digits: &[u8]) -> bool {
    matches!(digits.len(), 1..=5) && digits.iter().all(u8::is_ascii_digit)
}

fn has_name(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether it is a field in which the load balancer vouches for the caller.
fn has_forwarding_prefix(name: &str) -> bool {
    ["x-forwarded-", "x-amzn-"].iter().any(|prefix| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    })
}

/// Whether that is a token (RFC 9110 5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// Whether that can be a field's value: no control characters but the tab (RFC 9110 5.5).
pub(super) fn is_value(bytes: &[u8]) -> bool {
    !bytes.iter().any(|&byte| byte.is_ascii_control() && byte != b'\t')
}

#[cfg(test)]
mod tests;
