//! The small binary for edge hosts: `mesh client`, and `health` for its container.

use std::process::ExitCode;

use argh::{EarlyExit, FromArgs};
use mesh_agent::args::{self, ClientArgs, health};
use mesh_settings::{Error, command_line, output};

/// What to do.
enum Command {
    /// Serve: there is no word for it.
    Serve(Box<ClientArgs>),
    /// `health`, before everything but flags of logging.
    Health(health::HealthArgs),
}

impl FromArgs for Command {
    fn from_args(command: &[&str], words: &[&str]) -> Result<Self, EarlyExit> {
        match behind_health(words) {
            Some(rest) => {
                let command = [command, &["health"]].concat();
                health::HealthArgs::from_args(&command, rest).map(Self::Health)
            }
            None => ClientArgs::from_args(command, words).map(|args| Self::Serve(Box::new(args))),
        }
    }
}

impl Command {
    /// Whether the version is wanted, and nothing else.
    const fn asks_for_version(&self) -> bool {
        match self {
            Self::Serve(args) => args.version,
            Self::Health(args) => args.version,
        }
    }
}

/// What follows on `health`. It logs nothing, but as with `mesh` the flags of logging may come first.
fn behind_health<'a, 'w>(words: &'a [&'w str]) -> Option<&'a [&'w str]> {
    match words {
        ["health", rest @ ..] => Some(rest),
        ["--verbose", rest @ ..] | ["--log-level", _, rest @ ..] => behind_health(rest),
        _ => None,
    }
}

fn main() -> ExitCode {
    command_line::run("mesh-agent", dispatch)
}

fn dispatch(words: Command) -> Result<(), Error> {
    if words.asks_for_version() {
        output::say(&format!("mesh-agent {}", mesh_settings::version()));
        return Ok(());
    }
    match words {
        Command::Serve(args) => args::start(*args),
        Command::Health(args) => health::start(args),
    }
}

#[cfg(test)]
mod tests;
