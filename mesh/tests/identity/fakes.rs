//! AWS servers that do what the test says: answer, lie, stall and break.

pub(crate) mod clock;
pub(crate) mod container;
pub(crate) mod imds;
pub(crate) mod proxy;
pub(crate) mod server;
pub(crate) mod sts;
