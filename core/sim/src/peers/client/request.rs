//! A request as a client sends it: raw bytes, with pauses where a caller would make some.

use std::time::Duration;

use crate::peers::message;

/// One request of a script.
#[derive(Debug, Clone)]
pub struct Request {
    /// The head, with its empty line.
    pub head: Vec<u8>,
    /// The framed body.
    pub body: Vec<u8>,
    /// What is sent only after an answer of 100 or 101.
    pub held: Vec<u8>,
    /// How long the client waits before it sends the first byte.
    pub pause: Duration,
    /// At most this many bytes each time, and the time between; `None` is as fast as it goes.
    pub pace: Option<(usize, Duration)>,
}

impl Request {
    /// A GET.
    #[must_use]
    pub fn get(host: &str, path: &str) -> Self {
        Self::raw(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
    }

    /// A HEAD, whose answer has no body.
    #[must_use]
    pub fn head(host: &str, path: &str) -> Self {
        Self::raw(format!("HEAD {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
    }

    /// A POST with a length.
    #[must_use]
    pub fn post(host: &str, path: &str, body: &[u8]) -> Self {
        let len = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len}\r\n\r\n");
        Self { body: body.to_vec(), ..Self::raw(head.as_bytes()) }
    }

    /// A PUT with a length.
    #[must_use]
    pub fn put(host: &str, path: &str, body: &[u8]) -> Self {
        let len = body.len();
        let head = format!("PUT {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len}\r\n\r\n");
        Self { body: body.to_vec(), ..Self::raw(head.as_bytes()) }
    }

    /// A POST in chunks of this many bytes, with a trailer.
    #[must_use]
    pub fn post_chunked(host: &str, path: &str, body: &[u8], chunk: usize) -> Self {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut framed = Vec::new();
        for piece in body.chunks(chunk) {
            framed.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            framed.extend_from_slice(piece);
            framed.extend_from_slice(b"\r\n");
        }
        framed.extend_from_slice(b"0\r\nX-Sent: all\r\n\r\n");
        Self { body: framed, ..Self::raw(head.as_bytes()) }
    }

    /// A POST that holds its body back until it is asked for.
    #[must_use]
    pub fn expecting(host: &str, path: &str, body: &[u8]) -> Self {
        let mut request = Self::post(host, path, body).header("Expect: 100-continue");
        request.held = std::mem::take(&mut request.body);
        request
    }

    /// An upgrade; after 101 the payload is sent, then FIN.
    #[must_use]
    pub fn upgrade(host: &str, path: &str, payload: &[u8]) -> Self {
        Self::get(host, path).upgrading(payload)
    }

    /// Asks for an upgrade too; after 101 the payload is sent, then FIN.
    #[must_use]
    pub fn upgrading(self, payload: &[u8]) -> Self {
        let request = self.header("Connection: Upgrade").header("Upgrade: echo");
        Self { held: payload.to_vec(), ..request }
    }

    /// These bytes. A body that belongs to them goes into `body`.
    #[must_use]
    pub fn raw(head: &[u8]) -> Self {
        Self {
            head: head.to_vec(),
            body: Vec::new(),
            held: Vec::new(),
            pause: Duration::ZERO,
            pace: None,
        }
    }

    /// With this header line, given without its end.
    #[must_use]
    pub fn header(mut self, line: &str) -> Self {
        self.head.truncate(self.head.len().saturating_sub(2));
        self.head.extend_from_slice(format!("{line}\r\n\r\n").as_bytes());
        self
    }

    /// Sent after a pause.
    #[must_use]
    pub const fn after(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Sent in small pieces: `bytes` at a time, `every` so often. A slow head is a slowloris.
    #[must_use]
    pub const fn paced(mut self, bytes: usize, every: Duration) -> Self {
        self.pace = Some((bytes, every));
        self
    }

    /// Whether its answer has no body whatever the answer's head says.
    pub(super) fn is_head(&self) -> bool {
        self.head.starts_with(b"HEAD ")
    }

    /// Whether its head promises what is held back, so that the connection is of no use without.
    pub(super) fn announces_more(&self) -> bool {
        message::lists(&self.head, "expect", "100-continue")
    }
}
