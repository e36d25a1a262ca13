//! STS as the test wants it: the same servers as those of the tests of identity.

#[path = "../identity/fakes/server.rs"]
pub(crate) mod server;
#[path = "../identity/fakes/sts.rs"]
pub(crate) mod sts;
