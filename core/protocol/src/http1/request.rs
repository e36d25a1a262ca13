//! What is read from a request head beside the fields that are only passed on.

use super::framing::BodyLength;
use super::{Error, RequestHead, forward};

/// What the mesh must know of a request; all rules of refusal applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'b> {
    /// The host, perhaps with a port, to route by (RFC 9112 3.3).
    pub host: &'b str,
    /// How the body ends.
    pub body: BodyLength,
    /// Whether it asks for another protocol (RFC 9110 7.8).
    pub is_upgrade: bool,
    /// Whether the body waits for a 100 (RFC 9110 10.1.1).
    pub expects_continue: bool,
    /// Whether doing it twice is doing it once (RFC 9110 9.2.2).
    pub is_idempotent: bool,
}

/// What decides how the response to a request is framed, whoever sends and whoever reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestKind {
    /// There is no body, whatever its head says (RFC 9112 6.3).
    Head,
    /// 101 may be the answer (RFC 9110 7.8).
    Upgrade,
    Other,
}

impl RequestKind {
    pub(super) fn of(head: &RequestHead<'_, '_>) -> Self {
        if head.method == "HEAD" {
            Self::Head
        } else if head.framing.is_upgrade(head.version) {
            Self::Upgrade
        } else {
            Self::Other
        }
    }
}

impl RequestHead<'_, '_> {
    /// Whether doing it twice is doing it once (RFC 9110 9.2.2).
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
    }
}

impl<'b> Request<'b> {
    /// Judges a head by all rules at once.
    pub(super) fn new(head: &RequestHead<'_, 'b>) -> Result<Self, Error> {
        let framing = &head.framing;
        Ok(Self {
            host: forward::authority(head)?,
            body: framing.request_body(head.version)?,
            is_upgrade: framing.is_upgrade(head.version),
            expects_continue: framing.expects_continue(head.version),
            is_idempotent: head.is_idempotent(),
        })
    }
}
