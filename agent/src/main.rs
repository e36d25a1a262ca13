//! The small binary for edge hosts: `mesh client` and nothing else.

use std::process::ExitCode;

use mesh_agent::args;
use mesh_settings::command_line;

fn main() -> ExitCode {
    command_line::run("mesh-agent", args::start)
}
