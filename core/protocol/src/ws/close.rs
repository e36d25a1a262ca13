//! Why a WebSocket is closed (RFC 6455 7.4.1), as far as a tunnel says so.

/// It has done what it was for, or is over already.
pub const NORMAL: u16 = 1000;
/// The endpoint leaves, or the connection has a successor.
pub const GOING_AWAY: u16 = 1001;
/// The peer broke WebSocket or `mesh.v1`.
pub const PROTOCOL_ERROR: u16 = 1002;
/// The peer may not be here.
pub const POLICY_VIOLATION: u16 = 1008;
