//! WebSocket (RFC 6455) as the tunnel uses it: one upgrade, then whole binary messages.
//!
//! tungstenite's pure functions do the coding (`FrameHeader`, `derive_accept_key`) on our own
//! buffers; its stream types would read and zero a buffer of their own for every small message.
//! The rules that `FrameHeader::parse` leaves to its caller are kept in [`frame`].

pub mod close;
pub mod error;
pub mod frame;
pub mod upgrade;

pub use error::Error;
pub use frame::{Kind, Message, Role, Writer};
