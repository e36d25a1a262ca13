//! The HTTP upgrade that opens a tunnel (RFC 6455 4), on our own HTTP machines.

use std::io::Write;

use data_encoding::BASE64;
use tungstenite::handshake::derive_accept_key;

use super::Error;
use crate::http1::{RequestHead, ResponseHead, Version};
use crate::{Buf, Rng};

/// The only version of the WebSocket protocol that there is.
pub const VERSION: &str = "13";

/// The sub-protocol that both ends of a tunnel speak.
pub const PROTOCOL: &str = "mesh.v1";

/// The field of the answer that tells one ingress process from another, so that an agent with
/// several tunnels does not hold two to the same one.
pub const INGRESS_FIELD: &str = "X-Mesh-Ingress";

/// The agent's side of an upgrade: remembers the key until the answer comes.
#[derive(Debug)]
pub struct Offer {
    key: String,
}

impl Offer {
    /// Writes the request for the WebSocket at `path` of `authority`.
    pub fn write(authority: &str, path: &str, tx: &mut Buf, rng: &mut Rng) -> Self {
        let nonce = [rng.bits().to_be_bytes(), rng.bits().to_be_bytes()].concat();
        let key = BASE64.encode(&nonce);
        write!(
            tx,
            "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: {VERSION}\r\nSec-WebSocket-Key: {key}\r\n\
             Sec-WebSocket-Protocol: {PROTOCOL}\r\nUser-Agent: mesh-agent/{}\r\n\r\n",
            env!("CARGO_PKG_VERSION"),
        )
        .expect("a Buf takes everything");
        Self { key }
    }

    /// Checks the answer; which ingress gave it, if it says so.
    ///
    /// # Errors
    /// The peer did not switch, or not to what was offered.
    pub fn verify<'b>(&self, head: &ResponseHead<'_, 'b>) -> Result<Option<&'b [u8]>, Error> {
        if head.status != 101 {
            return Err(Error::NotSwitching(head.status));
        }
        let accept = derive_accept_key(self.key.as_bytes());
        let is_upgraded = has_token(head.fields, "connection", "upgrade")
            && has_token(head.fields, "upgrade", "websocket")
            && head.field("sec-websocket-accept") == Some(accept.as_bytes())
            && head.field("sec-websocket-extensions").is_none();
        if !is_upgraded {
            return Err(Error::BadUpgrade);
        }
        match head.field("sec-websocket-protocol") {
            Some(protocol) if protocol == PROTOCOL.as_bytes() => Ok(head.field(INGRESS_FIELD)),
            Some(_) | None => Err(Error::WrongProtocol),
        }
    }
}

/// Checks a request for a tunnel and writes the 101 to it, as the ingress of that name.
///
/// # Errors
/// The request is no WebSocket upgrade, does not offer `mesh.v1`, or comes from a web page; nothing was
/// written.
pub fn accept(head: &RequestHead<'_, '_>, ingress: &str, tx: &mut Buf) -> Result<(), Error> {
    // Browsers let any page open a WebSocket to any address, from the user's own machine, and always say
    // which page it is (RFC 6455 10.2).
    if head.field("origin").is_some() {
        return Err(Error::FromWebPage);
    }
    let key = head
        .field("sec-websocket-key")
        .filter(|key| BASE64.decode(key).is_ok_and(|nonce| nonce.len() == 16));
    // HTTP/1.0 cannot ask (RFC 9110 7.8), and a body would be taken for frames.
    let is_upgrade = head.method == "GET"
        && head.version == Version::Http11
        && !has_body(head)
        && has_token(head.fields, "connection", "upgrade")
        && has_token(head.fields, "upgrade", "websocket")
        && head.field("sec-websocket-version") == Some(VERSION.as_bytes());
    let (true, Some(key)) = (is_upgrade, key) else { return Err(Error::BadUpgrade) };
    if !has_token(head.fields, "sec-websocket-protocol", PROTOCOL) {
        return Err(Error::WrongProtocol);
    }
    let accept = derive_accept_key(key);
    write!(
        tx,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {PROTOCOL}\r\n\
         {INGRESS_FIELD}: {ingress}\r\n\r\n",
    )
    .expect("a Buf takes everything");
    Ok(())
}

/// Whether a request announces a body that is not empty.
fn has_body(head: &RequestHead<'_, '_>) -> bool {
    let length = head.field("content-length").unwrap_or_default();
    head.field("transfer-encoding").is_some() || length.iter().any(|digit| *digit != b'0')
}

/// Whether a comma-separated list holds the token, whatever its case. It may lie in several lines of that
/// name (RFC 9110 5.3).
fn has_token(fields: &[httparse::Header<'_>], name: &str, token: &str) -> bool {
    let lines = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
    let mut items = lines.flat_map(|field| field.value.split(|byte| *byte == b','));
    items.any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests;
