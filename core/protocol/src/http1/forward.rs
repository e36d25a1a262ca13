//! Heads written anew for the next hop (RFC 9110 7.6, RFC 9112 3.2).
//!
//! A head is copied as raw lines, in runs as long as possible: what is kept is kept byte for byte,
//! with its order, case, white space and duplicates. Lines about this hop are cut out of it, and
//! the few lines that a proxy adds stand at the end.

use std::io::Write as _;
use std::net::IpAddr;

use super::fields::{self, CRLF, Name};
use super::lines::{self, Lines, write_line};
use super::{Error, RequestHead, ResponseHead, Version};
use crate::Buf;
use crate::buf::copy;

/// The longest response head that is sent on: the load balancer refuses more than 32 KiB, without saying
/// so, and there are lines about framing and persistence to add.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 32 * 1024 - 64;

/// How a request's body goes on to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// There is none.
    Empty,
    /// As long as `Content-Length` says.
    Sized,
    /// In chunks.
    Chunked,
}

/// Whether a request asks for another protocol (RFC 9110 7.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    /// It does not, or cannot.
    No,
    /// It does.
    Asked,
}

/// The scheme that the caller used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proto {
    /// `http`
    Http,
    /// `https`
    Https,
}

/// What the service is told about the connection on which a request came: as it stands in each head
/// that comes on it, written once.
#[derive(Debug, Clone, Copy)]
pub struct Forwarded {
    text: [u8; FORWARDED_BYTES_MAX],
    /// Where each line ends: for whom, by which scheme, at which port.
    ends: [u8; 3],
}

/// Bytes before an address.
const FORWARDED_FOR: &str = "X-Forwarded-For: ";

/// The longest lines, with an IPv6 address.
const FORWARDED_BYTES_MAX: usize = FORWARDED_FOR.len()
    + "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\r\n".len()
    + "X-Forwarded-Proto: https\r\n".len()
    + "X-Forwarded-Port: 65535\r\n".len();

impl Forwarded {
    /// The address at the other end, the scheme of the connection, and the port at this end. IPv4
    /// callers on an IPv6 socket are IPv4 callers.
    #[must_use]
    pub fn new(peer: IpAddr, proto: Proto, port: u16) -> Self {
        let mut text = Text { bytes: [0; FORWARDED_BYTES_MAX], len: 0 };
        text.push(FORWARDED_FOR);
        text.push_address(peer.to_canonical());
        let first = text.end_line();
        text.push(match proto {
            Proto::Http => "X-Forwarded-Proto: http",
            Proto::Https => "X-Forwarded-Proto: https",
        });
        let second = text.end_line();
        text.push("X-Forwarded-Port: ");
        text.push_number(port);
        let third = text.end_line();
        Self { text: text.bytes, ends: [first, second, third] }
    }

    /// All lines.
    fn lines(&self) -> &[u8] {
        self.text.get(..self.ends[2].into()).unwrap_or_default()
    }

    /// One line.
    fn line(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text.get(start.into()..self.ends[index].into()).unwrap_or_default()
    }

    /// The address alone, as people write it.
    fn peer(&self) -> &[u8] {
        let line = self.line(0);
        line.get(FORWARDED_FOR.len()..line.len() - CRLF.len()).unwrap_or_default()
    }
}

/// Lines that are being written. Each new connection has some, and the standard library's formatting
/// takes longer than all else that it costs us.
struct Text {
    bytes: [u8; FORWARDED_BYTES_MAX],
    len: usize,
}

impl Text {
    fn push(&mut self, piece: &str) {
        let end = self.len + piece.len();
        copy(&mut self.bytes[self.len..end], piece.as_bytes());
        self.len = end;
    }

    fn push_number(&mut self, number: u16) {
        self.push(itoa::Buffer::new().format(number));
    }

    fn push_address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                let [first, rest @ ..] = address.octets();
                self.push_number(first.into());
                for octet in rest {
                    self.push(".");
                    self.push_number(octet.into());
                }
            }
            IpAddr::V6(address) => self.push(&address.to_string()),
        }
    }

    /// Ends a line, and tells where.
    fn end_line(&mut self) -> u8 {
        self.push("\r\n");
        u8::try_from(self.len).expect("the longest lines are not that long")
    }
}

/// The host and port that a request is for, by which it is routed (RFC 9112 3.3).
///
/// # Errors
/// The target has a form that is not forwarded, or there is not exactly one good `Host`. That
/// holds for an absolute target too, and for HTTP/1.0: somebody behind may read the other one.
pub fn authority<'b>(head: &RequestHead<'_, 'b>) -> Result<&'b str, Error> {
    if head.method == "CONNECT" {
        return Err(Error::UnsupportedMethod);
    }
    let host = head.framing.host()?;
    if !fields::is_host(host) {
        return Err(Error::BadHost);
    }
    match Target::new(head) {
        Some(Target::Origin) => std::str::from_utf8(host).map_err(|_| Error::BadHost),
        Some(Target::Absolute { authority, .. }) => Ok(authority),
        None => Err(Error::BadTarget),
    }
}

/// Appends the head with which a request goes to the service. [`authority`] must have accepted
/// it, and `body` must be what its framing says.
pub fn request(
    head: &RequestHead<'_, '_>,
    body: BodyKind,
    upgrade: Upgrade,
    via: &Forwarded,
    out: &mut Buf,
) {
    let framing = &head.framing;
    let target = Target::new(head).unwrap_or(Target::Origin);
    let mut lines = Lines::new(head.bytes, head.fields);
    if let Some((prefix, rest)) = target.rewritten(head) {
        lines.write_request_line(head.method, prefix, rest, out);
    }
    let nearest = framing.last(Name::XForwardedFor);
    let te = framing.first(Name::Te, is_trailers);
    for (index, name, field) in framing.fields() {
        match fate(head, name, field.name, body, upgrade) {
            Fate::Kept if nearest == Some(index) => lines.append_peer(index, via.peer(), out),
            Fate::Kept => {}
            Fate::Dropped if te == Some(index) => {}
            Fate::Dropped => lines.drop(index, out),
            Fate::Authority => {
                if let Target::Absolute { authority, .. } = target {
                    lines.drop(index, out);
                    write_line(out, b"Host: ", authority.as_bytes());
                }
            }
        }
    }
    lines.write_rest(out);
    write_forwarded(head, target, via, out);
    let takes_trailers = framing.values(Name::Te).flat_map(fields::elements).any(is_trailers);
    if takes_trailers && te.is_none() {
        out.extend(b"TE: trailers\r\n");
    }
    // What is about this hop has to be listed (RFC 9110 7.8, 10.1.4).
    out.extend(match (upgrade, takes_trailers) {
        (Upgrade::No, false) => b"",
        (Upgrade::No, true) => b"Connection: TE\r\n",
        (Upgrade::Asked, false) => b"Connection: Upgrade\r\n",
        (Upgrade::Asked, true) => b"Connection: Upgrade, TE\r\n",
    });
    if body == BodyKind::Chunked {
        out.extend(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend(CRLF);
}

/// Appends the head with which a response leaves the service. How its body ends is for the next
/// hop to say, and so is `Connection`.
pub fn response(head: &ResponseHead<'_, '_>, out: &mut Buf) {
    let framing = &head.framing;
    let has_coding = framing.has(Name::TransferEncoding);
    let is_kept = |name, text: &str| match name {
        Name::Connection | Name::HopByHop | Name::Te | Name::TransferEncoding => false,
        Name::Upgrade => head.status == 101,
        // The coding is what counts when both are there (RFC 9112 6.3).
        Name::ContentLength => !has_coding,
        Name::Trailer => has_coding && !framing.is_of_hop(name, text),
        Name::Expect
        | Name::Host
        | Name::XForwardedFor
        | Name::XForwardedHost
        | Name::XForwardedPort
        | Name::XForwardedProto
        | Name::Other => !framing.is_of_hop(name, text),
    };
    lines::copy_response(head, is_kept, out);
    out.extend(CRLF);
}

/// A request target that is forwarded (RFC 9112 3.2).
#[derive(Debug, Clone, Copy)]
enum Target<'b> {
    /// A path, or `*` with OPTIONS: goes on as it is.
    Origin,
    /// A URI: its authority becomes the host, and the rest the target.
    Absolute {
        authority: &'b str,
        /// What stands before `rest` to make a path of it.
        prefix: &'static str,
        rest: &'b str,
    },
}

impl<'b> Target<'b> {
    fn new(head: &RequestHead<'_, 'b>) -> Option<Self> {
        let is_options = head.method == "OPTIONS";
        if head.target.starts_with('/') || (is_options && head.target == "*") {
            return Some(Self::Origin);
        }
        let (authority, rest) = split_absolute(head.target)?;
        let prefix = match rest.as_bytes().first() {
            Some(b'/') => "",
            Some(_) => "/",
            // RFC 9112 3.2.4
            None if is_options => "*",
            None => "/",
        };
        Some(Self::Absolute { authority, prefix, rest })
    }

    /// Both parts of the target in a request line that must be written anew.
    const fn rewritten(self, head: &RequestHead<'_, 'b>) -> Option<(&'static str, &'b str)> {
        match (self, head.version) {
            (Self::Origin, Version::Http11) => None,
            (Self::Origin, Version::Http10) => Some(("", head.target)),
            (Self::Absolute { prefix, rest, .. }, Version::Http10 | Version::Http11) => {
                Some((prefix, rest))
            }
        }
    }
}

/// The authority of a target in absolute form, and what follows it (RFC 9112 3.2.2).
pub(super) fn split_absolute(target: &str) -> Option<(&str, &str)> {
    let (scheme, uri) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let (authority, rest) = uri.split_at_checked(uri.find(['/', '?']).unwrap_or(uri.len()))?;
    fields::is_host(authority.as_bytes()).then_some((authority, rest))
}

/// What becomes of a request's field line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Dropped,
    /// It names the authority.
    Authority,
}

fn fate(
    head: &RequestHead<'_, '_>,
    name: Name,
    text: &str,
    body: BodyKind,
    upgrade: Upgrade,
) -> Fate {
    let is_of_hop = || head.framing.is_of_hop(name, text);
    let is_kept = match name {
        Name::Host => return Fate::Authority,
        Name::XForwardedFor
        | Name::XForwardedHost
        | Name::XForwardedPort
        | Name::XForwardedProto => true,
        Name::Connection | Name::HopByHop | Name::Te | Name::TransferEncoding => false,
        Name::Upgrade => upgrade == Upgrade::Asked,
        Name::ContentLength => body != BodyKind::Chunked,
        Name::Trailer => body == BodyKind::Chunked && !is_of_hop(),
        Name::Expect => head.version == Version::Http11 && !is_of_hop(),
        Name::Other => !is_of_hop(),
    };
    if is_kept { Fate::Kept } else { Fate::Dropped }
}

/// Writes the lines about the caller that no nearer proxy wrote.
fn write_forwarded(head: &RequestHead<'_, '_>, target: Target<'_>, via: &Forwarded, out: &mut Buf) {
    const NAMES: [Name; 3] = [Name::XForwardedFor, Name::XForwardedProto, Name::XForwardedPort];
    let framing = &head.framing;
    let host = match target {
        Target::Origin => framing.host().unwrap_or_default(),
        Target::Absolute { authority, .. } => authority.as_bytes(),
    };
    if NAMES.iter().any(|&name| framing.has(name)) {
        for (index, &name) in NAMES.iter().enumerate() {
            if framing.has(name) {
                continue;
            }
            if name == Name::XForwardedPort
                && let Some(port) = port_before_us(head, host)
            {
                // Writing to a queue cannot fail.
                let _ = write!(out, "X-Forwarded-Port: {port}\r\n");
            } else {
                out.extend(via.line(index));
            }
        }
    } else {
        out.extend(via.lines());
    }
    if !framing.has(Name::XForwardedHost) {
        write_line(out, b"X-Forwarded-Host: ", host);
    }
}

/// The port that the caller used at a proxy that tells the scheme and not the port. Ours would not fit
/// that scheme, and services make links of both.
fn port_before_us(head: &RequestHead<'_, '_>, host: &[u8]) -> Option<u16> {
    let first = |name| head.framing.values(name).flat_map(fields::elements).next();
    let proto = first(Name::XForwardedProto)?;
    let is_one_of =
        |[a, b]: [&[u8]; 2]| proto.eq_ignore_ascii_case(a) || proto.eq_ignore_ascii_case(b);
    let usual = if is_one_of([b"https", b"wss"]) {
        443
    } else if is_one_of([b"http", b"ws"]) {
        80
    } else {
        return None;
    };
    Some(fields::port(first(Name::XForwardedHost).unwrap_or(host)).unwrap_or(usual))
}

fn is_trailers(element: &[u8]) -> bool {
    element.eq_ignore_ascii_case(b"trailers")
}

#[cfg(test)]
mod tests;
