//! The harness does what it says: moto verifies, the fakes misbehave as asked, and the network of a
//! test's own has AWS's addresses.

mod emulation;
mod fakes;
mod places;
