//! The mesh command: server, client, demo and health.
//!
//! This crate reads settings and connects the applications to the shell; it has no rules of its
//! own. `client` is in [`mesh_agent::args`], which the small agent binary shares.

mod args;
mod demo;
mod server;

use std::process::ExitCode;

use mesh_agent::args::health;
use mesh_settings::{Error, command_line, output};

use crate::args::{Command, Mesh};

/// Runs the command that the command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    command_line::run("mesh", dispatch)
}

fn dispatch(mesh: Mesh) -> Result<(), Error> {
    if mesh.asks_for_version() {
        output::say(&format!("mesh {}", mesh_settings::version()));
        return Ok(());
    }
    match mesh.with_shared_flags()? {
        Command::Server(args) => server::start(args),
        Command::Client(args) => mesh_agent::args::start(args),
        Command::Demo(args) => demo::start(args),
        Command::Health(args) => health::start(args),
    }
}
