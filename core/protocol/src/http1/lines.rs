//! The raw lines of one head, copied in runs.

use super::fields::Name;
use super::head::{line_start, value_end};
use super::{ResponseHead, Version};
use crate::Buf;

/// Writes a response head as one of HTTP/1.1, without the fields for which `is_kept` does not hold
/// and without the blank line. The reason phrase stays as it is.
pub(super) fn copy_response(
    head: &ResponseHead<'_, '_>,
    is_kept: impl Fn(Name, &str) -> bool,
    out: &mut Buf,
) {
    let mut lines = Lines::new(head.bytes, head.fields);
    lines.write_status_line(head.version, out);
    for (index, name, field) in head.framing.fields() {
        if !is_kept(name, field.name) {
            lines.drop(index, out);
        }
    }
    lines.write_rest(out);
}

/// The lines of a head while they are copied.
#[derive(Debug)]
pub(super) struct Lines<'s, 'b> {
    bytes: &'b [u8],
    fields: &'s [httparse::Header<'b>],
    /// Where the bytes begin that are kept and not yet written.
    run: usize,
}

impl<'s, 'b> Lines<'s, 'b> {
    pub(super) const fn new(bytes: &'b [u8], fields: &'s [httparse::Header<'b>]) -> Self {
        Self { bytes, fields, run: 0 }
    }

    /// Writes the request line anew, in place of the one that there is.
    pub(super) fn write_request_line(
        &mut self,
        method: &str,
        prefix: &str,
        rest: &str,
        out: &mut Buf,
    ) {
        for part in [method, " ", prefix, rest, " HTTP/1.1\r\n"] {
            out.extend(part.as_bytes());
        }
        self.run = self.start_of(0);
    }

    /// Makes the status line one of HTTP/1.1.
    fn write_status_line(&mut self, version: Version, out: &mut Buf) {
        const VERSION: usize = "HTTP/1.1".len();
        const VERSION_AND_STATUS: usize = "HTTP/1.1 200".len();
        match version {
            Version::Http11 => {}
            Version::Http10 => {
                out.extend(b"HTTP/1.1");
                self.run = VERSION;
            }
        }
        if self.bytes.get(VERSION_AND_STATUS) == Some(&b'\r') {
            // The space is due even without a reason (RFC 9112 4).
            self.write_to(VERSION_AND_STATUS, out);
            out.extend(b" ");
        }
    }

    /// Leaves a line out.
    pub(super) fn drop(&mut self, index: usize, out: &mut Buf) {
        self.write_to(self.start_of(index), out);
        self.run = self.start_of(index + 1);
    }

    /// Adds the peer to the list that a line holds.
    pub(super) fn append_peer(&mut self, index: usize, peer: &[u8], out: &mut Buf) {
        let Some(field) = self.fields.get(index) else {
            return;
        };
        self.write_to(value_end(self.bytes, field), out);
        out.extend(if field.value.is_empty() { b" " } else { b", " });
        out.extend(peer);
        out.extend(b"\r\n");
        self.run = self.start_of(index + 1);
    }

    /// Writes what is kept of the remaining lines, without the blank one.
    pub(super) fn write_rest(&mut self, out: &mut Buf) {
        self.write_to(self.start_of(self.fields.len()), out);
    }

    fn write_to(&mut self, end: usize, out: &mut Buf) {
        out.extend(self.bytes.get(self.run..end).unwrap_or_default());
        self.run = end;
    }

    /// Where the line of a field begins, or the blank line when there is no such field.
    fn start_of(&self, index: usize) -> usize {
        self.fields.get(index).map_or_else(
            || self.bytes.len().saturating_sub("\r\n".len()),
            |field| line_start(self.bytes, field),
        )
    }
}

pub(super) fn write_line(out: &mut Buf, name: &[u8], value: &[u8]) {
    out.extend(name);
    out.extend(value);
    out.extend(b"\r\n");
}
