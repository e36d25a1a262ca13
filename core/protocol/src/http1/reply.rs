//! Answers that the mesh writes itself.

use std::io::Write as _;

use super::fields::{is_token, is_value};
use crate::Buf;

/// An answer that the mesh writes itself.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'r> {
    /// The status code.
    pub status: u16,
    /// Fields beside those about the body and the connection. What is no field is left out.
    pub fields: &'r [(&'r str, &'r str)],
    /// The media type of the body.
    pub content_type: &'r str,
    /// The body.
    pub body: &'r [u8],
}

impl Reply<'_> {
    /// Writes the whole answer to a request of this method, as the last thing on its connection:
    /// for those who answer one request and have no [`super::ServerConn`].
    pub fn write_last(&self, method: &str, tx: &mut Buf) {
        write_head(self, tx);
        tx.extend(b"Connection: close\r\n\r\n");
        if method != "HEAD" {
            tx.extend(self.body);
        }
    }
}

/// Writes the head up to its connection fields and blank line, which are the connection's to say.
pub(super) fn write_head(reply: &Reply<'_>, tx: &mut Buf) {
    // Writing to a queue cannot fail.
    let _ = write!(tx, "HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
    for (name, value) in reply.fields.iter().chain(&[("Content-Type", reply.content_type)]) {
        if is_token(name.as_bytes()) && is_value(value.as_bytes()) {
            let _ = write!(tx, "{name}: {value}\r\n");
        }
    }
    if reply.status != 204 {
        let _ = write!(tx, "Content-Length: {}\r\n", reply.body.len());
    }
}

/// The reason phrases of the answers that the mesh gives (RFC 9110 15).
const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}
