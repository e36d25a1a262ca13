//! `mesh demo`: ingress, agent and a sample service in one process, to look at.
//!
//! Each part runs its own reactor on its own thread and knows the others by their addresses alone,
//! as if they were far apart.

mod answer;
mod parts;
mod picture;
mod request;
mod service;

use std::time::{Duration, Instant};

use argh::FromArgs;
use log::LevelFilter;
use mesh_settings::logging::Rules;
use mesh_settings::{Environment, Error, Flags, Settings, output};

use self::parts::Parts;
use self::request::Exchange;

/// Show it: an ingress, an agent and a sample service in this process, and a request through all
/// of them.
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "demo",
    usage = "[<options>]",
    note = "The ports 8080, 8081 and 8082 are used where they are free, and others where not."
)]
pub(crate) struct DemoArgs {
    /// exit after the request instead of waiting for Ctrl-C
    #[argh(switch)]
    once: bool,
    /// off, error, warn, info, debug or trace [default: warn]
    #[argh(option)]
    pub(crate) log_level: Option<String>,
    /// the same as --log-level debug [default: false]
    #[argh(switch)]
    pub(crate) verbose: bool,
    /// print the version, and exit
    #[argh(switch)]
    pub(crate) version: bool,
}

/// The host that the sample service is registered for.
const HOST: &str = "demo.local";
/// The path of the request that is shown.
const PATH: &str = "/hello";
/// Everything is on this machine: what takes longer than this does not come.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at whether the route is there.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Starts the demo and returns when the user has seen enough.
pub(crate) fn start(args: DemoArgs) -> Result<(), Error> {
    let flags = Flags::new().one("log-level", args.log_level).switch("verbose", args.verbose);
    let mut settings = Settings::load(flags, Environment::of_process())?;
    // The story on the screen is told without the log, and at the end without an agent that looks for
    // another ingress.
    let agent = ("mesh_agent".to_owned(), LevelFilter::Error);
    let quiet = Rules { level: LevelFilter::Warn, targets: vec![agent] };
    let rules = settings.log_rules(quiet).inspect_err(|_| settings.complain())?;
    settings.start_log(&rules);
    let parts = Parts::start(HOST)?;
    let addresses = parts.addresses;
    output::say(&picture::path(&addresses, HOST));
    match exchange(&parts) {
        Ok(exchange) => output::say(&picture::exchange(&exchange)),
        // Somebody has seen enough already.
        Err(_) if parts.have_left() => return parts.wait(),
        Err(error) => {
            parts.stop();
            return Err(error);
        }
    }
    if args.once {
        parts.stop();
        return Ok(());
    }
    output::say(&picture::hints(&addresses, HOST, PATH));
    parts.wait()
}

/// The request through the mesh, repeated until the route is there.
fn exchange(parts: &Parts) -> Result<Exchange, Error> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let result = request::get(parts.addresses.traffic, HOST, PATH);
        let last = match result {
            Ok(exchange) if exchange.is_success() => return Ok(exchange),
            Ok(exchange) => format!("the last answer was {}", exchange.status_line()),
            Err(error) => format!("the last try failed: {}", mesh_settings::reason(&error)),
        };
        parts.check()?;
        if Instant::now() >= deadline {
            return Err(Error::new(format!(
                "no request came through the mesh within {} seconds; {last}",
                START_TIMEOUT.as_secs()
            )));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}
