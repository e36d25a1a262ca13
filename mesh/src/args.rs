//! The command line of `mesh`: what comes before the command.

use argh::FromArgs;
use mesh_agent::args::ClientArgs;
use mesh_agent::args::health::HealthArgs;
use mesh_settings::Error;

use crate::demo::DemoArgs;
use crate::server::ServerArgs;

/// Anywhere Mesh brings HTTP requests from a load balancer to services on machines that nothing
/// outside can connect to. The server runs behind the load balancer; a client beside each service
/// dials out to it.
#[derive(Debug, FromArgs)]
#[argh(
    usage = "[<options>] <command> [<options of the command>]",
    example = "{command_name} demo",
    example = "{command_name} server --skip-iam-validation",
    example = "{command_name} client --host demo.local --local-endpoint http://localhost:3000",
    note = "{command_name} <command> --help shows the options of a command."
)]
pub(crate) struct Mesh {
    /// off, error, warn, info, debug or trace; also after the command [default: info]
    #[argh(option)]
    log_level: Option<String>,
    /// the same as --log-level debug [default: false]
    #[argh(switch)]
    verbose: bool,
    /// print the version, and exit
    #[argh(switch)]
    version: bool,
    #[argh(subcommand)]
    command: Option<Command>,
}

/// What to run.
#[derive(Debug, FromArgs)]
#[argh(subcommand)]
pub(crate) enum Command {
    /// The ingress.
    Server(ServerArgs),
    /// The agent.
    Client(ClientArgs),
    /// Both, with a service, to look at.
    Demo(DemoArgs),
    /// A question to an ingress or an agent.
    Health(HealthArgs),
}

impl Mesh {
    /// Whether the version is wanted, and nothing else: before a command or behind it.
    pub(crate) fn asks_for_version(&self) -> bool {
        let is_asked_behind = match &self.command {
            None => false,
            Some(Command::Server(args)) => args.version,
            Some(Command::Client(args)) => args.version,
            Some(Command::Demo(args)) => args.version,
            Some(Command::Health(args)) => args.version,
        };
        self.version || is_asked_behind
    }

    /// The command, with the flags before it as if they were typed behind it. Those behind it win.
    pub(crate) fn with_shared_flags(self) -> Result<Command, Error> {
        let mut command = self.command.ok_or_else(|| {
            Error::misuse(
                "a command is missing; give server, client, demo or health; see mesh --help",
            )
        })?;
        let (level, verbose) = match &mut command {
            Command::Server(args) => (&mut args.log_level, &mut args.verbose),
            Command::Client(args) => (&mut args.log_level, &mut args.verbose),
            Command::Demo(args) => (&mut args.log_level, &mut args.verbose),
            // It has no log.
            Command::Health(_) => return Ok(command),
        };
        if level.is_none() && !*verbose {
            (*level, *verbose) = (self.log_level, self.verbose);
        }
        Ok(command)
    }
}
