//! `mesh.v1`: many HTTP exchanges on one tunnel. This page is the protocol.
//!
//! # Framing
//!
//! A tunnel is a WebSocket (sub-protocol `mesh.v1`). Each binary message holds one or more whole
//! frames; other messages than binary ones carry none. All integers are big-endian.
//!
//! ```text
//! 0..3   length   u24   payload bytes; DATA at most 16384
//! 3      type     u8
//! 4      flags    u8    bit 0 END, bit 1 INTERIM, bit 2 UPGRADE
//! 5..9   stream   u32   0: the connection; odd: opened by the ingress; even: reserved for agents
//! 9..    payload
//! ```
//!
//! | type | from | payload |
//! | --- | --- | --- |
//! | 0x01 HELLO | agent | JSON [`crate::control::Hello`] |
//! | 0x02 WELCOME | ingress | JSON [`crate::control::Welcome`] |
//! | 0x03 REFUSED | ingress | JSON [`crate::control::Refused`]; the tunnel ends |
//! | 0x04 CHALLENGE | ingress | JSON [`crate::control::Challenge`] |
//! | 0x05 PROOF | agent | JSON [`crate::control::Proof`] |
//! | 0x10 REQUEST | opener | an HTTP/1.1 request head, ready for the service; opens the stream |
//! | 0x11 RESPONSE | acceptor | an HTTP/1.1 response head; INTERIM for 1xx, UPGRADE for 101 |
//! | 0x12 DATA | both | body bytes without their HTTP framing; after UPGRADE raw bytes |
//! | 0x13 WINDOW | both | u32: so many more DATA bytes may be sent on the stream |
//! | 0x14 RESET | both | u16 code, then a short text; the stream is over |
//! | 0x15 TRAILERS | both | trailer fields as raw lines; implies END |
//! | 0x20 HEALTH | agent | JSON [`crate::control::Health`] |
//! | 0x21 DRAIN | both | nothing. From an agent: open no more streams, those that crossed this are served. From an ingress: open another tunnel elsewhere, this one serves on until it is closed |
//! | | agent | one byte, 1: another tunnel to this ingress has come in place of this one, which is the last resort from now on |
//! | 0x22 ECHO / 0x23 ECHO_REPLY | both | u64, returned as it came |
//!
//! Types from 0x80 on are ignored by those who do not know them; other unknown types end the
//! tunnel.
//!
//! # Life of a stream
//!
//! ```text
//!           REQUEST            RESPONSE*  (INTERIM any number, then one final or UPGRADE)
//! opener ------------> open <------------ acceptor
//!           DATA* END            DATA* END              each direction ends by itself;
//!               `-----> closed <-----'                  RESET ends both at once
//! ```
//!
//! A REQUEST with UPGRADE has no END: of its direction, DATA up to its `Content-Length` are the body, and more
//! comes after the RESPONSE with UPGRADE only.
//!
//! Identifiers only grow and are never used again on a tunnel. Frames for a stream that is over
//! are dropped: they crossed the end on their way. Frames for one that never was end the tunnel.
//!
//! # Flow control
//!
//! Only DATA consumes credit. Each side announces its window in HELLO and WELCOME; the receiver
//! returns credit when bytes have left for their destination's socket, in steps of half a window, but
//! of 128 KiB at the most, or an eighth of a window above 1 MiB. It may return more than was used, so
//! that the window of a stream on a long path grows.
//! DATA beyond the credit ends the tunnel: a peer that cheats is not throttled.
//!
//! # Order and fairness
//!
//! REQUEST, WINDOW, RESET and frames about the connection go first. RESPONSE, DATA and TRAILERS go in
//! their stream's turn: that is one DATA frame, or more where hardly anything is queued. Streams that
//! have sent little go before those that have sent much, which are sure of a turn for each 64 KiB that
//! went ahead of them ([`session::Session::poll_ready`]).

pub mod error;
pub mod frame;
mod growth;
pub mod outbound;
pub mod session;
pub mod stream;
mod turns;

pub use error::{Error, ResetCode};
pub use frame::{Flags, Frame, FrameKind, StreamId};
pub use outbound::Outbound;
pub use session::{Event, Head, Limits, OpenError, Session, Side, Turn};
pub use stream::Sender;
pub use turns::Turns;
