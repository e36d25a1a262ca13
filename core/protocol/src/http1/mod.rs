//! HTTP/1.1 without I/O: heads, bodies, and the two ends of a connection (RFC 9112).
//!
//! A connection's owner keeps its bytes; a [`ServerConn`] or [`ClientConn`] says what they mean and
//! writes what is to be sent. Both are strict in the same way: a message that two readers could
//! understand in two ways is refused, never repaired.
//!
//! One exchange, at the end that takes requests (the ingress) and the end that sends them (the
//! agent). The two bodies go on independently; [`ServerConn::next`] and [`ClientConn::next`] wait
//! for both.
//!
//! ```text
//!  ServerConn                                          ClientConn
//!
//!    Idle ◀───────────────────────┐                      Idle ◀───────────────────────┐
//!     │ read_head, begin          │                       │ send                      │
//!     ▼                           │                       ▼                           │
//!    Asked ─ interim ─▶ Asked     │ next                 Asked ─ receive: Interim ─┐  │ next
//!     │ decode … end              │                       │ write … finish   ▲     │  │
//!     ├─ respond, write, finish   │                       │                  └─────┘  │
//!     ├─ reply (our own)          │                       ├─ receive: Final           │
//!     ▼                           │                       ▼                           │
//!    Answered ── no close_reason ─┘                      Answered ── no close_reason ─┘
//!                                                           decode … end
//!    Asked ─ upgrade ─▶ Upgraded                         Asked ─ receive: Upgraded ─▶ Upgraded
//!               (write and decode then carry bytes as they are)
//!
//!    any ── reading: Err ──▶ close_reason is ProtocolError: reply if not yet answered, and close
//! ```
//!
//! A whole exchange of a caller, with its answer made up:
//!
//! ```
//! use mesh_protocol::Buf;
//! use mesh_protocol::http1::{BodyLength, ResponseHead, ServerConn, Storage};
//!
//! let mut rx = Buf::new();
//! rx.extend(b"POST /sum HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n");
//! rx.extend(b"5\r\n1 + 2\r\n0\r\n\r\n");
//! let mut tx = Buf::new();
//! let mut conn = ServerConn::new(64 * 1024);
//!
//! // The head.
//! let mut storage = Storage::new();
//! let (head, end) = conn.read_head(rx.as_slice(), &mut storage)?.expect("it is complete");
//! let request = conn.begin(&head)?;
//! assert_eq!((request.host, request.body), ("a.example", BodyLength::Chunked));
//! rx.consume(end);
//!
//! // The body: each step says how much of the input it used up.
//! let mut body = Vec::new();
//! while !conn.has_request_ended() {
//!     let decoded = conn.decode(rx.as_slice(), 16 * 1024)?;
//!     body.extend_from_slice(decoded.data);
//!     let used = decoded.used;
//!     rx.consume(used);
//! }
//! assert_eq!(body, b"1 + 2");
//!
//! // The answer came without a length, so it is sent in chunks.
//! let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n";
//! let mut storage = Storage::new();
//! conn.respond(&ResponseHead::parse(head, &mut storage)?, &mut tx)?;
//! conn.write(b"3", &mut tx)?;
//! conn.finish(b"", &mut tx)?;
//! assert_eq!(
//!     tx.as_slice(),
//!     b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n\
//!       1\r\n3\r\n0\r\n\r\n"
//! );
//!
//! // Nothing speaks against another request.
//! assert_eq!(conn.close_reason(), None);
//! conn.next();
//! # Ok::<(), mesh_protocol::http1::Error>(())
//! ```

pub mod body;
mod chunked;
pub mod client;
pub mod error;
pub mod fields;
pub mod forward;
pub mod framing;
pub mod head;
mod lines;
mod page;
mod reply;
mod request;
pub mod scan;
pub mod server;
mod trailers;

pub use body::{BODY_PIECES_MAX, Decoded, Decoder, Encoder, Eof};
pub use client::{ClientConn, Received};
pub use error::Error;
pub use framing::{BodyLength, CloseReason};
pub use head::{FIELDS_MAX, RequestHead, ResponseHead, Storage, Version};
pub use page::{Page, path_of};
pub use reply::Reply;
pub use request::Request;
pub use server::ServerConn;

#[cfg(test)]
mod tests;
