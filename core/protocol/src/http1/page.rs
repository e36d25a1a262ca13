//! Pages that the mesh answers itself: about its health, and what it knows.

use serde::Serialize;

use super::{Reply, forward};

/// A page, which nobody may keep: it is about this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The status code.
    pub status: u16,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Page {
    /// A page of a few words.
    #[must_use]
    pub fn text(status: u16, body: &str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: body.to_owned() }
    }

    /// A page of JSON.
    #[must_use]
    pub fn json(status: u16, body: &impl Serialize) -> Self {
        // Only maps with keys that are no text cannot be written.
        let mut body = serde_json::to_string(body).unwrap_or_default();
        body.push('\n');
        Self { status, content_type: "application/json", body }
    }

    /// The page for those who ask for it by another method than GET and HEAD.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::text(405, "Only GET is answered here.\n")
    }

    /// The page as an answer.
    #[must_use]
    pub const fn as_reply(&self) -> Reply<'_> {
        Reply {
            status: self.status,
            // RFC 9110 15.5.6 wants 405 to name what is allowed.
            fields: match self.status {
                405 => &[("Cache-Control", "no-store"), ("Allow", "GET, HEAD")],
                // Whatever it is, it may be over soon.
                503 => &[("Cache-Control", "no-store"), ("Retry-After", "1")],
                _ => &[("Cache-Control", "no-store")],
            },
            content_type: self.content_type,
            body: self.body.as_bytes(),
        }
    }
}

/// The path of a request target, without authority and query.
#[must_use]
pub fn path_of(target: &str) -> &str {
    let absolute = if target.starts_with('/') { None } else { forward::split_absolute(target) };
    let rest = absolute.map_or(target, |(_, rest)| rest);
    let end = memchr::memchr(b'?', rest.as_bytes());
    let path = end.and_then(|end| rest.get(..end)).unwrap_or(rest);
    // RFC 9110 4.2.3
    if absolute.is_some() && path.is_empty() { "/" } else { path }
}
