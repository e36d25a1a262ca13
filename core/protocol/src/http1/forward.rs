//! Heads written anew for the next hop (RFC 9110 7.6, RFC 9112 3.2).
//!
//! A head is copied as raw lines, in runs as long as possible: what is kept is kept byte for byte,
//! with its order, case, white space and duplicates. Lines about this hop are cut out of it, and
//! the few lines that a proxy adds stand at the end.

use std::net::IpAddr;

use super::fields::{self, Name};
use super::{Error, RequestHead, ResponseHead, Version};
use crate::Buf;

use super::lines::{self, Lines, write_address, write_line, write_number};

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

/// What the service is told about the connection on which a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forwarded {
    /// The address at the other end.
    pub peer: IpAddr,
    /// The scheme of that connection.
    pub proto: Proto,
    /// The port at this end.
    pub port: u16,
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
    let mut hosts = head.fields.iter().filter(|field| Name::new(field.name) == Name::Host);
    let host = hosts.next().ok_or(Error::MissingHost)?;
    if hosts.next().is_some() {
        return Err(Error::DuplicateHost);
    }
    if !fields::is_host(host.value) {
        return Err(Error::BadHost);
    }
    match Target::new(head) {
        Some(Target::Origin) => std::str::from_utf8(host.value).map_err(|_| Error::BadHost),
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
    let seen = Seen::new(head.fields);
    let target = Target::new(head).unwrap_or(Target::Origin);
    let mut lines = Lines::new(head.bytes, head.fields);
    if let Some((prefix, rest)) = target.rewritten(head) {
        lines.write_request_line(head.method, prefix, rest, out);
    }
    for (index, field) in head.fields.iter().enumerate() {
        match seen.request_field(index, field, head.version, body, upgrade) {
            Fate::Kept => {}
            Fate::Dropped => lines.drop(index, out),
            Fate::Authority => {
                if let Target::Absolute { authority, .. } = target {
                    lines.drop(index, out);
                    write_line(out, b"Host: ", authority.as_bytes());
                }
            }
            Fate::Peer => lines.append_peer(index, via.peer, out),
        }
    }
    lines.write_rest(out);
    seen.write_forwarded(target, via, out);
    if seen.te_trailers {
        out.extend(b"TE: trailers\r\n");
    }
    if upgrade == Upgrade::Asked {
        out.extend(b"Connection: Upgrade\r\n");
    }
    if body == BodyKind::Chunked {
        out.extend(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend(b"\r\n");
}

/// Appends the head with which a response leaves the service. How its body ends is for the next
/// hop to say, and so is `Connection`.
pub fn response(head: &ResponseHead<'_, '_>, out: &mut Buf) {
    let seen = Seen::new(head.fields);
    lines::copy_response(head, |field| seen.is_response_field_kept(field, head.status), out);
    out.extend(b"\r\n");
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
        let (scheme, uri) = head.target.split_once("://")?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return None;
        }
        let (authority, rest) = uri.split_at_checked(uri.find(['/', '?']).unwrap_or(uri.len()))?;
        if !fields::is_host(authority.as_bytes()) {
            return None;
        }
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

/// What becomes of a request's field line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Dropped,
    /// It names the authority.
    Authority,
    /// It gets the peer's address.
    Peer,
}

/// What must be known about all fields before the first one is copied.
#[derive(Debug)]
struct Seen<'s, 'b> {
    fields: &'s [httparse::Header<'b>],
    /// Whether `Connection` lists more than is dropped anyway.
    lists_others: bool,
    te_trailers: bool,
    transfer_encoding: bool,
    /// The last `X-Forwarded-For`, which nearer proxies wrote.
    forwarded_for: Option<usize>,
    host: Option<&'b [u8]>,
    forwarded_host: bool,
    forwarded_port: bool,
    forwarded_proto: bool,
}

impl<'s, 'b> Seen<'s, 'b> {
    fn new(fields: &'s [httparse::Header<'b>]) -> Self {
        let mut seen = Self {
            fields,
            lists_others: false,
            te_trailers: false,
            transfer_encoding: false,
            forwarded_for: None,
            host: None,
            forwarded_host: false,
            forwarded_port: false,
            forwarded_proto: false,
        };
        for (index, field) in fields.iter().enumerate() {
            seen.note(index, field);
        }
        seen
    }

    fn note(&mut self, index: usize, field: &httparse::Header<'b>) {
        match Name::new(field.name) {
            Name::Connection => self.lists_others |= fields::elements(field.value).any(is_other),
            Name::Te => self.te_trailers |= fields::elements(field.value).any(is_trailers),
            Name::TransferEncoding => self.transfer_encoding = true,
            Name::XForwardedFor => self.forwarded_for = Some(index),
            Name::Host => self.host = Some(field.value),
            Name::XForwardedHost => self.forwarded_host = true,
            Name::XForwardedPort => self.forwarded_port = true,
            Name::XForwardedProto => self.forwarded_proto = true,
            Name::ContentLength
            | Name::Expect
            | Name::HopByHop
            | Name::Trailer
            | Name::Upgrade
            | Name::Other => {}
        }
    }

    fn request_field(
        &self,
        index: usize,
        field: &httparse::Header<'_>,
        version: Version,
        body: BodyKind,
        upgrade: Upgrade,
    ) -> Fate {
        let is_kept = match Name::new(field.name) {
            Name::Host => return Fate::Authority,
            Name::XForwardedFor if self.forwarded_for == Some(index) => return Fate::Peer,
            Name::XForwardedFor
            | Name::XForwardedHost
            | Name::XForwardedPort
            | Name::XForwardedProto => true,
            Name::Connection | Name::HopByHop | Name::Te | Name::TransferEncoding => false,
            Name::Upgrade => upgrade == Upgrade::Asked,
            Name::ContentLength => body != BodyKind::Chunked,
            Name::Trailer => body == BodyKind::Chunked && !self.is_listed(field.name),
            Name::Expect => version == Version::Http11 && !self.is_listed(field.name),
            Name::Other => !self.is_listed(field.name),
        };
        if is_kept { Fate::Kept } else { Fate::Dropped }
    }

    fn is_response_field_kept(&self, field: &httparse::Header<'_>, status: u16) -> bool {
        match Name::new(field.name) {
            Name::Connection | Name::HopByHop | Name::Te | Name::TransferEncoding => false,
            Name::Upgrade => status == 101,
            // The coding is what counts when both are there (RFC 9112 6.3).
            Name::ContentLength => !self.transfer_encoding,
            Name::Trailer => self.transfer_encoding && !self.is_listed(field.name),
            Name::Expect
            | Name::Host
            | Name::XForwardedFor
            | Name::XForwardedHost
            | Name::XForwardedPort
            | Name::XForwardedProto
            | Name::Other => !self.is_listed(field.name),
        }
    }

    /// Whether `Connection` makes that field a matter of this hop (RFC 9110 7.6.1).
    fn is_listed(&self, name: &str) -> bool {
        self.lists_others
            && fields::tokens(self.fields, "connection")
                .any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
            && !fields::is_protected(name)
    }

    fn write_forwarded(&self, target: Target<'_>, via: &Forwarded, out: &mut Buf) {
        if self.forwarded_for.is_none() {
            out.extend(b"X-Forwarded-For: ");
            write_address(out, via.peer);
            out.extend(b"\r\n");
        }
        if !self.forwarded_proto {
            let proto: &[u8] = match via.proto {
                Proto::Http => b"http",
                Proto::Https => b"https",
            };
            write_line(out, b"X-Forwarded-Proto: ", proto);
        }
        if !self.forwarded_port {
            out.extend(b"X-Forwarded-Port: ");
            write_number(out, via.port);
            out.extend(b"\r\n");
        }
        if !self.forwarded_host {
            let host = match target {
                Target::Origin => self.host.unwrap_or_default(),
                Target::Absolute { authority, .. } => authority.as_bytes(),
            };
            write_line(out, b"X-Forwarded-Host: ", host);
        }
    }
}

/// Options about this hop that need no look at the other fields.
fn is_other(option: &[u8]) -> bool {
    const KNOWN: [&[u8]; 4] = [b"close", b"keep-alive", b"upgrade", b"te"];
    !KNOWN.iter().any(|known| option.eq_ignore_ascii_case(known))
}

fn is_trailers(element: &[u8]) -> bool {
    element.eq_ignore_ascii_case(b"trailers")
}

#[cfg(test)]
mod tests;
