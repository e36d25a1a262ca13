//! What the tests of traffic stand on: the whole mesh in one line, and both of its ends in the
//! hands of the test, byte for byte.

pub(crate) mod answer;
pub(crate) mod binaries;
pub(crate) mod fortress;
pub(crate) mod mesh;
pub(crate) mod origin;
