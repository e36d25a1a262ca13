//! Runs an agent: the only part of this crate that touches the system.

use std::time::Instant;

use log::info;
use mesh_reactor::{ClientTls, Reactor, Signals};
use mesh_settings::logging::Rules;
use mesh_settings::{Environment, Error, Settings, machine, output, read_text, reason};

use super::ClientArgs;
use super::config::Start;
use super::prover::{Prover, TokenSource};
use crate::Agent;

/// Whose lines in the log these are.
const LOG: &str = "mesh_agent";

/// Starts an agent and returns when it has drained.
///
/// # Errors
/// One sentence about what keeps it from starting.
pub fn start(args: ClientArgs) -> Result<(), Error> {
    if args.version {
        output::say(concat!("mesh-agent ", env!("CARGO_PKG_VERSION")));
        return Ok(());
    }
    let check = args.check;
    let mut settings = Settings::load(args.flags(), Environment::of_process())?;
    let start = Start::read(&mut settings)?;
    let rules = settings.log_rules(Rules::default())?;
    let tls = trust(&settings, &start)?;
    if check {
        settings.show();
        return Ok(());
    }
    settings.start_log(&rules);
    run(&start, tls)
}

/// The authorities to trust.
fn trust(settings: &Settings, start: &Start) -> Result<ClientTls, Error> {
    let Some(path) = &start.ca_file else {
        return Ok(ClientTls::web_roots());
    };
    let pem = read_text(path, &settings.culprit("ca-file"))?;
    ClientTls::with_ca_file(pem.as_bytes())
        .map_err(|error| settings.blame("ca-file", &format!("cannot use {path}: {error}")))
}

fn announce(start: &Start) {
    let config = &start.config;
    info!(
        target: LOG,
        "agent {} serves {} from {}:{} through the ingress at {}:{}",
        env!("CARGO_PKG_VERSION"),
        config.hosts.join(", "),
        config.local.host,
        config.local.port,
        config.ingress.host,
        config.ingress.port,
    );
}

#[expect(clippy::disallowed_methods, reason = "the clock is read once, to be handed over")]
fn run(start: &Start, tls: ClientTls) -> Result<(), Error> {
    let wrong = |error| Error::new(format!("cannot run the event loop: {}", reason(&error)));
    let instance = format!("{}-{}", machine(), std::process::id());
    let agent = Agent::new(start.config.clone(), Instant::now(), instance);
    let prover = Prover::new(start.token_file.clone().map(TokenSource::File));
    let work = move |job| prover.work(job);
    let reactor = Reactor::new(agent, Vec::new(), tls, Signals::Handle, work).map_err(wrong)?;
    // Whoever reads this may send a signal: from here on it drains.
    announce(start);
    reactor.run().map_err(wrong)?;
    info!(target: LOG, "the agent has left");
    Ok(())
}
