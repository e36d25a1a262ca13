//! What the tests of several modules share.

mod secrecy;
mod server;

pub(crate) use server::{Reply, Server, refused};
