//! What the fields of a head say about the message and its connection (RFC 9112 6 and 9).
//!
//! This is where request smuggling is decided: two readers that disagree on where a body ends can
//! be made to disagree on what is a request. So there is one reading here and everything that
//! could be read in another way is refused, even where the specification allows a recovery.

use std::fmt;

use super::fields::{self, Name};
use super::{Error, Version};

/// How a message's body ends (RFC 9112 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    Empty,
    /// After that many bytes.
    Sized(u64),
    /// With a chunk of size zero and a trailer section.
    Chunked,
    /// With the connection. Only responses end so.
    UntilClose,
}

/// Why a connection is not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer sent `Connection: close`.
    PeerAskedClose,
    /// The peer speaks HTTP/1.0 and did not send `Connection: keep-alive`.
    Http10,
    /// The end of the connection is the end of the response.
    UntilClose,
    /// The request is not complete.
    RequestUnfinished,
    /// The response is not complete.
    ResponseUnfinished,
    /// The peer sent what was refused: where the next message would begin is unknown.
    ProtocolError,
    /// This side sends `Connection: close`.
    Draining,
    /// The connection speaks another protocol now.
    Upgraded,
}

/// The fields of one head with what they are, noted while the head was read. Nothing is judged yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Framing<'s, 'b> {
    fields: &'s [httparse::Header<'b>],
    /// As many as there are fields.
    names: &'s [Name],
    noted: Noted,
}

/// What is noted of the fields one by one.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Noted {
    /// A bit for each name that is there.
    seen: u16,
    /// A bit for each name that is there more than once.
    repeated: u16,
    asks_close: bool,
    asks_keep_alive: bool,
    lists_upgrade: bool,
    /// Whether `Upgrade` lists HTTP/2.
    lists_http2: bool,
    /// Whether `Connection` lists fields that are not of this hop by their names.
    lists_others: bool,
    expects_continue: bool,
}

/// A field that may be there once.
#[derive(Debug, Clone, Copy)]
enum Seen<'b> {
    Never,
    Once(&'b [u8]),
    Repeatedly,
}

impl Noted {
    /// Takes down a field.
    #[inline]
    pub(super) fn note(&mut self, name: Name, value: &[u8]) {
        match name {
            Name::Connection => fields::elements(value).for_each(|option| self.note_option(option)),
            Name::Expect => self.expects_continue |= value.eq_ignore_ascii_case(b"100-continue"),
            Name::Upgrade => self.lists_http2 |= fields::elements(value).any(is_http2),
            Name::ContentLength
            | Name::Host
            | Name::HopByHop
            | Name::Te
            | Name::Trailer
            | Name::TransferEncoding
            | Name::XForwardedFor
            | Name::XForwardedHost
            | Name::XForwardedPort
            | Name::XForwardedProto
            | Name::Other => {}
        }
        self.repeated |= self.seen & bit(name);
        self.seen |= bit(name);
    }

    fn note_option(&mut self, option: &[u8]) {
        if option.eq_ignore_ascii_case(b"close") {
            self.asks_close = true;
        } else if option.eq_ignore_ascii_case(b"keep-alive") {
            self.asks_keep_alive = true;
        } else if option.eq_ignore_ascii_case(b"upgrade") {
            self.lists_upgrade = true;
        } else if !option.eq_ignore_ascii_case(b"te") {
            self.lists_others = true;
        }
    }
}

/// Whether a protocol is HTTP/2 (RFC 7540 3.2).
fn is_http2(protocol: &[u8]) -> bool {
    protocol.eq_ignore_ascii_case(b"h2c")
}

/// A bit for a name.
const fn bit(name: Name) -> u16 {
    1 << name as u8
}

impl<'s, 'b> Framing<'s, 'b> {
    pub(super) const fn new(
        fields: &'s [httparse::Header<'b>],
        names: &'s [Name],
        noted: Noted,
    ) -> Self {
        Self { fields, names, noted }
    }

    /// The fields with their names and places.
    pub(super) fn fields(
        &self,
    ) -> impl Iterator<Item = (usize, Name, &'s httparse::Header<'b>)> + use<'s, 'b> {
        let named = self.names.iter().zip(self.fields).enumerate();
        named.map(|(index, (&name, field))| (index, name, field))
    }

    /// Whether such a field is there.
    pub(super) const fn has(&self, name: Name) -> bool {
        self.noted.seen & bit(name) != 0
    }

    /// The place of the last such field.
    pub(super) fn last(&self, name: Name) -> Option<usize> {
        if self.has(name) { self.names.iter().rposition(|&other| other == name) } else { None }
    }

    /// The place of the first such field with a value of that kind.
    pub(super) fn first(&self, name: Name, is_meant: impl Fn(&[u8]) -> bool) -> Option<usize> {
        if !self.has(name) {
            return None;
        }
        self.fields().find_map(|(index, other, field)| {
            (other == name && is_meant(field.value)).then_some(index)
        })
    }

    /// The values of all such fields, in order.
    pub(super) fn values(&self, name: Name) -> impl Iterator<Item = &'b [u8]> {
        let named = self.names.iter().zip(self.fields);
        named.filter(move |&(&other, _)| other == name).map(|(_, field)| field.value)
    }

    /// The host that the message is for (RFC 9112 3.2).
    pub(super) fn host(&self) -> Result<&'b [u8], Error> {
        match self.seen(Name::Host) {
            Seen::Never => Err(Error::MissingHost),
            Seen::Once(host) => Ok(host),
            Seen::Repeatedly => Err(Error::DuplicateHost),
        }
    }

    fn seen(&self, name: Name) -> Seen<'b> {
        if self.noted.repeated & bit(name) != 0 {
            return Seen::Repeatedly;
        }
        let value = if self.has(name) { self.values(name).next() } else { None };
        value.map_or(Seen::Never, Seen::Once)
    }

    /// Whether a field of this head is a matter of this hop: by its name, or because `Connection`
    /// lists it (RFC 9110 7.6.1).
    pub(super) fn is_of_hop(&self, name: Name, text: &str) -> bool {
        name.is_hop_by_hop() || self.noted.lists_others && self.is_listed(text)
    }

    #[cold]
    fn is_listed(&self, name: &str) -> bool {
        let options = self.values(Name::Connection).flat_map(fields::elements);
        let is_listed = |option: &[u8]| option.eq_ignore_ascii_case(name.as_bytes());
        { options }.any(is_listed) && !fields::is_protected(name)
    }

    /// The length of a request's body: without a field that says so there is none.
    pub(super) fn request_body(&self, version: Version) -> Result<BodyLength, Error> {
        Ok(self.announced(version)?.unwrap_or(BodyLength::Empty))
    }

    /// The length of a response's body: without a field that says so it ends with the connection.
    pub(super) fn response_body(&self, version: Version) -> Result<BodyLength, Error> {
        Ok(self.announced(version)?.unwrap_or(BodyLength::UntilClose))
    }

    /// The length of a response's body whose transfer coding was removed before the tunnel.
    pub(super) fn tunnelled_body(&self) -> Result<Option<u64>, Error> {
        match self.seen(Name::TransferEncoding) {
            Seen::Never => self.seen(Name::ContentLength).number(),
            Seen::Once(_) | Seen::Repeatedly => Err(Error::BadTransferCoding),
        }
    }

    fn announced(&self, version: Version) -> Result<Option<BodyLength>, Error> {
        let (length, coding) = (self.seen(Name::ContentLength), self.seen(Name::TransferEncoding));
        match (length, coding, version) {
            (_, Seen::Never, _) => Ok(length.number()?.map(BodyLength::Sized)),
            (Seen::Once(_) | Seen::Repeatedly, _, _) => Err(Error::ConflictingLengths),
            (Seen::Never, Seen::Once(coding), Version::Http11)
                if coding.eq_ignore_ascii_case(b"chunked") =>
            {
                Ok(Some(BodyLength::Chunked))
            }
            // A coding in HTTP/1.0 may come from a proxy that passed on what it does not know
            // (RFC 9112 6.1).
            (Seen::Never, Seen::Once(_) | Seen::Repeatedly, _) => Err(Error::BadTransferCoding),
        }
    }

    /// Why the sender of this head takes no further message on the connection (RFC 9112 9.3).
    pub(super) const fn close_reason(&self, version: Version) -> Option<CloseReason> {
        if self.noted.asks_close {
            return Some(CloseReason::PeerAskedClose);
        }
        match version {
            Version::Http10 if !self.noted.asks_keep_alive => Some(CloseReason::Http10),
            Version::Http10 | Version::Http11 => None,
        }
    }

    /// Whether another protocol is asked for (RFC 9110 7.8); HTTP/1.0 cannot ask. HTTP/2 is none: its
    /// requests would go on to the service unread, with whatever host and `X-Forwarded-For` they like.
    pub(super) const fn is_upgrade(&self, version: Version) -> bool {
        let Noted { lists_upgrade, lists_http2, .. } = self.noted;
        matches!(version, Version::Http11)
            && lists_upgrade
            && !lists_http2
            && self.has(Name::Upgrade)
    }

    /// Whether the body waits for a 100 (RFC 9110 10.1.1); HTTP/1.0 does not know of it.
    pub(super) const fn expects_continue(&self, version: Version) -> bool {
        matches!(version, Version::Http11) && self.noted.expects_continue
    }
}

impl Seen<'_> {
    /// The number of a `Content-Length`: digits only, once (RFC 9112 6.3 allows to refuse more).
    fn number(self) -> Result<Option<u64>, Error> {
        let digits = match self {
            Self::Never => return Ok(None),
            Self::Once(digits) => digits,
            Self::Repeatedly => return Err(Error::ConflictingLengths),
        };
        if digits.is_empty() {
            return Err(Error::BadLength);
        }
        let mut number = 0_u64;
        for &digit in digits {
            if !digit.is_ascii_digit() {
                return Err(Error::BadLength);
            }
            number = number
                .checked_mul(10)
                .and_then(|tens| tens.checked_add(u64::from(digit - b'0')))
                .ok_or(Error::BadLength)?;
        }
        Ok(Some(number))
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PeerAskedClose => "the peer asked to close",
            Self::Http10 => "HTTP/1.0 without keep-alive",
            Self::UntilClose => "the response ends with the connection",
            Self::RequestUnfinished => "request unfinished",
            Self::ResponseUnfinished => "response unfinished",
            Self::ProtocolError => "protocol error",
            Self::Draining => "draining",
            Self::Upgraded => "upgraded to another protocol",
        })
    }
}
