//! The small binary for edge hosts: `mesh client`, and `health` for its container.

use std::process::ExitCode;

use argh::{EarlyExit, FromArgs};
use mesh_agent::args::{self, ClientArgs, health};
use mesh_settings::{command_line, output};

/// What to do.
enum Words {
    /// Serve: there is no word for it.
    Serve(Box<ClientArgs>),
    /// `health`, as the first word.
    Health(health::HealthArgs),
}

impl FromArgs for Words {
    fn from_args(command: &[&str], words: &[&str]) -> Result<Self, EarlyExit> {
        match words {
            ["health", rest @ ..] => {
                let command = [command, &["health"]].concat();
                health::HealthArgs::from_args(&command, rest).map(Self::Health)
            }
            _ => ClientArgs::from_args(command, words).map(|args| Self::Serve(Box::new(args))),
        }
    }
}

fn main() -> ExitCode {
    command_line::run("mesh-agent", |words| match words {
        Words::Serve(args) => args::start(*args),
        Words::Health(args) if args.version => {
            output::say(&format!("mesh-agent {}", mesh_settings::version()));
            Ok(())
        }
        Words::Health(args) => health::start(args),
    })
}
