//! Response heads written for the caller: raw lines are copied, so that what is kept is kept byte
//! for byte, and the lines about this hop are left out (RFC 9110 7.6.1).
//!
//! Parsing has made sure that each line of a head is one line to any reader.

use super::head::line_start;
use super::{ResponseHead, fields};
use crate::Buf;

pub(super) const CRLF: &[u8] = b"\r\n";

/// Writes the status line as HTTP/1.1, then the field lines for which `is_kept` holds, in runs as
/// long as possible. The blank line is still to come.
pub(super) fn copy_head(head: &ResponseHead<'_, '_>, is_kept: impl Fn(&str) -> bool, tx: &mut Buf) {
    const VERSION: usize = "HTTP/1.1".len();
    const VERSION_AND_STATUS: usize = "HTTP/1.1 200".len();
    let bytes = head.bytes;
    let copy = |tx: &mut Buf, from, to| tx.extend(bytes.get(from..to).unwrap_or_default());
    tx.extend(b"HTTP/1.1");
    copy(tx, VERSION, VERSION_AND_STATUS);
    if bytes.get(VERSION_AND_STATUS) == Some(&b'\r') {
        // The space is due even without a reason (RFC 9112 4).
        tx.extend(b" ");
    }
    let mut run = VERSION_AND_STATUS;
    for (index, field) in head.fields.iter().enumerate() {
        if !is_kept(field.name) {
            copy(tx, run, line_start(bytes, field));
            run = line_end(head, index);
        }
    }
    copy(tx, run, bytes.len().saturating_sub(CRLF.len()));
}

fn line_end(head: &ResponseHead<'_, '_>, index: usize) -> usize {
    head.fields.get(index + 1).map_or_else(
        || head.bytes.len().saturating_sub(CRLF.len()),
        |next| line_start(head.bytes, next),
    )
}

/// Whether that is a token (RFC 9110 5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| fields::is_token_byte(byte))
}

/// Whether that can be a field's value: no control characters but the tab (RFC 9110 5.5).
pub(super) fn is_value(bytes: &[u8]) -> bool {
    !bytes
        .iter()
        .any(|&byte| byte.is_ascii_control() && byte != b'\t')
}
