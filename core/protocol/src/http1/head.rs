//! Message heads, read in place (RFC 9112 3 to 5).
//!
//! `httparse` reads, and what it tolerates beyond the grammar is refused afterwards: a head that
//! two readers can understand in two ways is where request smuggling begins.

use std::mem::MaybeUninit;

use super::Error;
use super::fields::Name;
use super::framing::{Framing, Noted};

/// Fields that a head may have.
pub const FIELDS_MAX: usize = 256;

/// Fields that a request gets on its way to the service: [`super::forward::request`] adds no more.
const FIELDS_ADDED_MAX: usize = 8;

/// Bytes of a method. The longest registered one has 17; without a limit a caller that speaks
/// something else would be listened to until the head is too large.
const METHOD_BYTES_MAX: usize = 64;

/// Options that all `Connection` fields of a head may list. Each option is compared with each
/// field, and that product is what a hostile head could make expensive.
const OPTIONS_MAX: usize = 64;

/// The versions of HTTP/1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// Fields that there is room for.
const ROOM: usize = FIELDS_MAX + FIELDS_ADDED_MAX;

/// Fields that hardly any head has more than.
const USUAL: usize = 32;

/// Room for the fields of one head, on the caller's stack and mostly not initialised.
#[derive(Debug)]
pub struct Storage<'b> {
    fields: [MaybeUninit<httparse::Header<'b>>; ROOM],
    names: Names,
}

/// Room for the names of the fields. That for all of them is prepared for heads that need it.
#[derive(Debug)]
struct Names {
    usual: [Name; USUAL],
    all: Option<[Name; ROOM]>,
}

impl Names {
    fn room_for(&mut self, count: usize) -> &mut [Name] {
        match self.usual.get_mut(..count) {
            Some(names) => names,
            None => {
                let all = self.all.insert([Name::Other; ROOM]);
                all.get_mut(..count).unwrap_or_default()
            }
        }
    }
}

impl Storage<'_> {
    /// Room for the fields of any head, before and after the mesh has added its own.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            fields: [const { MaybeUninit::uninit() }; ROOM],
            names: Names { usual: [Name::Other; USUAL], all: None },
        }
    }
}

impl Default for Storage<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// A request head, read in place.
#[derive(Debug)]
pub struct RequestHead<'s, 'b> {
    /// The method, as it was sent.
    pub method: &'b str,
    /// The request target, as it was sent.
    pub target: &'b str,
    /// The caller's version.
    pub version: Version,
    /// The fields in order.
    pub fields: &'s [httparse::Header<'b>],
    /// The whole head, its blank line included.
    pub bytes: &'b [u8],
    pub(super) framing: Framing<'s, 'b>,
}

/// A response head, read in place.
#[derive(Debug)]
pub struct ResponseHead<'s, 'b> {
    /// The status code.
    pub status: u16,
    /// The service's version.
    pub version: Version,
    /// The fields in order.
    pub fields: &'s [httparse::Header<'b>],
    /// The whole head, its blank line included.
    pub bytes: &'b [u8],
    pub(super) framing: Framing<'s, 'b>,
}

impl<'s, 'b> RequestHead<'s, 'b> {
    /// Reads exactly one whole head.
    ///
    /// # Errors
    /// It is none, or has more than [`FIELDS_MAX`] fields.
    pub fn parse(bytes: &'b [u8], storage: &'s mut Storage<'b>) -> Result<Self, Error> {
        let head = Self::parse_forwarded(bytes, storage)?;
        check_count(head.fields)?;
        Ok(head)
    }

    /// Reads the head that the bytes begin with, if it is one that [`Self::parse`] would read.
    #[inline]
    pub(super) fn parse_front(
        bytes: &'b [u8],
        storage: &'s mut Storage<'b>,
    ) -> Result<Self, Error> {
        let head = Self::read(bytes, storage)?;
        check_count(head.fields)?;
        Ok(head)
    }

    /// Reads exactly one whole head that has its fields of the mesh already.
    ///
    /// # Errors
    /// It is none.
    pub fn parse_forwarded(bytes: &'b [u8], storage: &'s mut Storage<'b>) -> Result<Self, Error> {
        let head = Self::read(bytes, storage)?;
        check_whole(bytes, head.bytes)?;
        Ok(head)
    }

    #[inline]
    fn read(bytes: &'b [u8], storage: &'s mut Storage<'b>) -> Result<Self, Error> {
        let mut request = httparse::Request::new(&mut []);
        let parsed = request.parse_with_uninit_headers(bytes, &mut storage.fields);
        check_request_line(request.method, request.path)?;
        let (httparse::Status::Complete(length), Some(method), Some(target), Some(version)) =
            (parsed?, request.method, request.path, request.version)
        else {
            return Err(Error::MalformedHead);
        };
        let bytes = check_ends(bytes, length)?;
        let fields: &'s [httparse::Header<'b>] = request.headers;
        let framing = read_fields(bytes, fields, &mut storage.names)?;
        Ok(Self { method, target, version: Version::new(version), fields, bytes, framing })
    }

    /// Refuses what can never become a head, however it goes on.
    pub(super) fn check_beginning(bytes: &[u8]) -> Result<(), Error> {
        let mut storage = Storage::new();
        let mut request = httparse::Request::new(&mut []);
        let parsed = request.parse_with_uninit_headers(bytes, &mut storage.fields);
        check_request_line(request.method, request.path)?;
        if request.method.is_none() && bytes.len() > METHOD_BYTES_MAX {
            return Err(Error::MalformedHead);
        }
        parsed?;
        Ok(())
    }

    /// The value of the first field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'b [u8]> {
        field(self.fields, name)
    }
}

impl<'s, 'b> ResponseHead<'s, 'b> {
    /// Reads exactly one whole head.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(bytes: &'b [u8], storage: &'s mut Storage<'b>) -> Result<Self, Error> {
        let head = Self::parse_front(bytes, storage)?;
        check_whole(bytes, head.bytes)?;
        Ok(head)
    }

    /// Reads the head that the bytes begin with, if it is one that [`Self::parse`] would read.
    #[inline]
    pub(super) fn parse_front(
        bytes: &'b [u8],
        storage: &'s mut Storage<'b>,
    ) -> Result<Self, Error> {
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            bytes,
            &mut storage.fields,
        );
        check_status(response.code)?;
        let (httparse::Status::Complete(length), Some(status), Some(version)) =
            (parsed?, response.code, response.version)
        else {
            return Err(Error::MalformedHead);
        };
        let bytes = check_ends(bytes, length)?;
        let fields: &'s [httparse::Header<'b>] = response.headers;
        let framing = read_fields(bytes, fields, &mut storage.names)?;
        check_count(fields)?;
        Ok(Self { status, version: Version::new(version), fields, bytes, framing })
    }

    /// Refuses what can never become a head, however it goes on.
    pub(super) fn check_beginning(bytes: &[u8]) -> Result<(), Error> {
        let mut storage = Storage::new();
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            bytes,
            &mut storage.fields,
        );
        check_status(response.code)?;
        parsed?;
        Ok(())
    }

    /// The value of the first field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'b [u8]> {
        field(self.fields, name)
    }
}

impl Version {
    /// The version for `httparse`'s minor number; that parser knows no others than these two.
    const fn new(minor: u8) -> Self {
        if minor == 0 { Self::Http10 } else { Self::Http11 }
    }
}

impl From<httparse::Error> for Error {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Self::TooManyFields,
            httparse::Error::Version => Self::UnsupportedVersion,
            httparse::Error::Status => Self::BadStatus,
            httparse::Error::HeaderName
            | httparse::Error::HeaderValue
            | httparse::Error::NewLine
            | httparse::Error::Token => Self::MalformedHead,
        }
    }
}

/// Where the line of a field begins in the head that it was read from. `httparse` borrows names
/// and values from the head, so the distance of two addresses is a position in it.
pub(super) fn line_start(bytes: &[u8], field: &httparse::Header<'_>) -> usize {
    field.name.as_ptr().addr().saturating_sub(bytes.as_ptr().addr())
}

/// Where the value of a field ends in the head that it was read from.
pub(super) fn value_end(bytes: &[u8], field: &httparse::Header<'_>) -> usize {
    field.value.as_ptr_range().end.addr().saturating_sub(bytes.as_ptr().addr())
}

/// Checks what `httparse` leaves open in a request line, as far as that was read.
fn check_request_line(method: Option<&str>, target: Option<&str>) -> Result<(), Error> {
    if method.is_some_and(|method| method.len() > METHOD_BYTES_MAX) {
        return Err(Error::MalformedHead);
    }
    // A fragment is never sent (RFC 9112 3.2). What is beyond ASCII is to be percent-encoded, but many do not,
    // and services take it as UTF-8; the controls among it are as bad as those of ASCII.
    let is_good = |target: &str| {
        memchr::memchr(b'#', target.as_bytes()).is_none()
            && (target.is_ascii() || !target.chars().any(char::is_control))
    };
    if target.is_some_and(|target| !is_good(target)) {
        return Err(Error::BadTarget);
    }
    Ok(())
}

fn check_count(fields: &[httparse::Header<'_>]) -> Result<(), Error> {
    if fields.len() > FIELDS_MAX { Err(Error::TooManyFields) } else { Ok(()) }
}

/// Three digits, of which the parser has seen to it. Those of no class are for the caller to judge, who takes
/// them for a server's error (RFC 9110 15).
fn check_status(status: Option<u16>) -> Result<(), Error> {
    match status {
        Some(100..=999) | None => Ok(()),
        Some(_) => Err(Error::BadStatus),
    }
}

fn check_whole(bytes: &[u8], head: &[u8]) -> Result<(), Error> {
    if head.len() == bytes.len() { Ok(()) } else { Err(Error::MalformedHead) }
}

/// Closes `httparse`'s leniencies about where a head begins and ends: it skips empty lines in front
/// and takes a bare line feed for a line end, where RFC 9112 2.2 lets another reader do otherwise. A
/// carriage return without line feed it refuses itself.
fn check_ends(bytes: &[u8], length: usize) -> Result<&[u8], Error> {
    let head = bytes.get(..length).ok_or(Error::MalformedHead)?;
    if matches!(head.first(), Some(b'\r' | b'\n')) {
        return Err(Error::MalformedHead);
    }
    if head.ends_with(b"\r\n\r\n") { Ok(head) } else { Err(Error::BareLineFeed) }
}

/// The one pass over the fields: whether the line above each of them ends as it should, and what
/// they are.
fn read_fields<'s, 'b>(
    bytes: &'b [u8],
    fields: &'s [httparse::Header<'b>],
    names: &'s mut Names,
) -> Result<Framing<'s, 'b>, Error> {
    let (mut noted, mut options) = (Noted::default(), 0);
    let names = names.room_for(fields.len());
    for (field, name) in fields.iter().zip(names.iter_mut()) {
        let above = bytes.get(..line_start(bytes, field)).unwrap_or_default();
        if !above.ends_with(b"\r\n") {
            return Err(Error::BareLineFeed);
        }
        *name = Name::new(field.name);
        if *name != Name::Other {
            noted.note(*name, field.value);
        }
        if *name == Name::ContentLength && has_tab(bytes, field) {
            return Err(Error::BadLength);
        }
        if *name == Name::Connection {
            options += 1 + memchr::memchr_iter(b',', field.value).count();
        }
    }
    if options > OPTIONS_MAX {
        return Err(Error::TooManyFields);
    }
    Ok(Framing::new(fields, names, noted))
}

/// Whether there is a tab beside the value of a field. It is no part of the value (RFC 9110 5.5), but there
/// are readers that take the value for another one then, and the line goes on as it is.
fn has_tab(bytes: &[u8], field: &httparse::Header<'_>) -> bool {
    let name_end = line_start(bytes, field) + field.name.len();
    let value_end = value_end(bytes, field);
    let before =
        bytes.get(name_end..value_end.saturating_sub(field.value.len())).unwrap_or_default();
    let behind = bytes.get(value_end..).unwrap_or_default();
    let behind = behind.iter().take_while(|byte| **byte != b'\n');
    before.iter().chain(behind).any(|byte| *byte == b'\t')
}

fn field<'b>(fields: &[httparse::Header<'b>], name: &str) -> Option<&'b [u8]> {
    fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
}

#[cfg(test)]
mod tests;
