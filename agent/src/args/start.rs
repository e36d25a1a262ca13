//! Runs an agent on the reactor.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
#[cfg(feature = "aws")]
use std::sync::mpsc::{self, Receiver, SyncSender};
#[cfg(feature = "aws")]
use std::thread;
use std::time::Instant;

use log::info;
#[cfg(feature = "aws")]
use log::warn;
use mesh_protocol::proxy::Authority;
use mesh_protocol::{ListenerId, Traffic};
use mesh_reactor::{
    EarlySignals, Listen, Mailbox, Reactor, ServiceManager, Signals, Watch, Watched,
};
use mesh_settings::logging::Rules;
use mesh_settings::{Environment, Error, Settings, machine_name, output, reason};

use super::ClientArgs;
#[cfg(feature = "aws")]
use super::aws::Aws;
use super::config::Startup;
use super::prover::{Prover, TokenSource};
use super::tls::Tls;
use crate::Agent;
#[cfg(feature = "aws")]
use crate::Identity;
use crate::config::{Config, Limits};
use crate::identity::Answer;
#[cfg(feature = "aws")]
use crate::identity::Job;

/// Whose lines in the log these are.
const LOG: &str = "mesh_agent";

/// Starts an agent and returns when it has drained.
///
/// # Errors
/// One sentence about what keeps it from starting.
pub fn start(args: ClientArgs) -> Result<(), Error> {
    // To ask the machine who it is may take seconds, and process 1 has no default action for signals.
    let signals = EarlySignals::install()
        .map_err(|error| Error::new(format!("cannot handle signals: {}", reason(&error))))?;
    let check = args.check;
    let mut settings = Settings::load(args.flags(), Environment::of_process())?;
    let prepared = prepare(&mut settings).inspect_err(|_| settings.complain());
    let (mut start, rules, tls) = prepared?;
    if check {
        settings.show();
        return Ok(());
    }
    settings.start_log(&rules);
    fit_into_open_files(&mut start.config.limits, &settings);
    let prover = prover(&mut start);
    run(&start, &settings, tls, prover, signals)
}

/// Reads the settings and the files that they name.
fn prepare(settings: &mut Settings) -> Result<(Startup, Rules, Tls), Error> {
    let mut start = Startup::read(settings)?;
    let rules = settings.log_rules(Rules::default())?;
    let (tls, warnings) = Tls::open(&start.tls)?;
    warnings.into_iter().for_each(|warning| settings.warn(warning));
    start.token.as_mut().map(TokenSource::check).transpose().map_err(Error::new)?;
    Ok((start, rules, tls))
}

/// Requests get no more descriptors than the system leaves us besides those of tunnels, and unused
/// connections to the service a share of these.
fn fit_into_open_files(limits: &mut Limits, settings: &Settings) {
    let Some(files) = mesh_reactor::raise_open_files() else { return };
    let wanted = limits.clone();
    limits.fit_into(files);
    let why = format!("this process may have {files} files open");
    if limits.streams < wanted.streams {
        settings.tell_lowered("max-streams", limits.streams, &why);
    }
    if limits.idle_upstreams < wanted.idle_upstreams {
        settings.tell_lowered("max-idle-upstreams", limits.idle_upstreams, &why);
    }
}

/// What proves this agent's identity, and what it can find out about itself. That something is
/// wrong with AWS matters only once an ingress asks for it.
#[cfg(feature = "aws")]
fn prover(start: &mut Startup) -> Arc<Prover> {
    let aws = Aws::new(start.config.proxy.as_ref());
    let given = start.config.place();
    // Whoever gives a token or a certificate does not mean AWS.
    let by_aws = start.token.is_none()
        && start.tls.identity.is_none()
        && start.config.identity == Identity::Offer;
    if let Ok(aws) = &aws
        && by_aws
        && let Some(place) = aws.place()
    {
        start.config.set_place(place.overridden_by(&given));
    }
    let prover = Arc::new(Prover { token: start.token.clone(), aws, given });
    if by_aws {
        let (prover, config) = (Arc::clone(&prover), start.config.clone());
        let look = move || match &prover.aws {
            Ok(aws) => aws.check_own_identity(&config),
            Err(sentence) => warn!(target: LOG, "{sentence}"),
        };
        let thread = thread::Builder::new().name("self check".to_owned()).spawn(look);
        if let Err(error) = thread {
            // What it would have found is for the log alone.
            warn!(target: LOG, "cannot start a thread to ask AWS about this agent: {}", reason(&error));
        }
    }
    prover
}

/// What proves this agent's identity.
#[cfg(not(feature = "aws"))]
fn prover(start: &mut Startup) -> Arc<Prover> {
    Arc::new(Prover { token: start.token.clone() })
}

/// What this agent is for, in one sentence.
pub(super) fn introduction(config: &Config) -> String {
    format!(
        "agent {} serves {} from {} through the ingress at {}{}",
        mesh_settings::version(),
        config.hosts.join(", "),
        Authority(&config.local.host, config.local.port),
        Authority(&config.ingress.host, config.ingress.port),
        config.proxy.as_ref().map_or_else(String::new, |proxy| format!(" and the proxy {proxy:?}")),
    )
}

/// Listens for those who ask how this agent is.
fn listen(wanted: SocketAddr, settings: &Settings) -> Result<Listen, Error> {
    let opened = mesh_reactor::listen(wanted).and_then(|socket| {
        let address = socket.local_addr()?;
        info!(target: LOG, "listening for health on {address}");
        output::say(&format!("listening health {address}"));
        Ok(Listen { id: ListenerId(0), socket, traffic: Traffic::Single, tls: None })
    });
    opened.map_err(|error| settings.cannot_listen(wanted, "health-port", &error))
}

#[expect(clippy::disallowed_methods, reason = "the clock is read once, to be handed over")]
fn run(
    start: &Startup,
    settings: &Settings,
    tls: Tls,
    prover: Arc<Prover>,
    signals: EarlySignals,
) -> Result<(), Error> {
    let wrong = |error| Error::new(format!("cannot run the event loop: {}", reason(&error)));
    let instance = format!("{}-{}", machine_name(), std::process::id());
    let mut workers = Agent::workers(&start.config, Instant::now(), &instance, start.workers);
    let agent = workers.remove(0);
    #[cfg(feature = "aws")]
    let (asks, asked) = mpsc::sync_channel(1);
    let token = prover.token.clone();
    #[cfg(feature = "aws")]
    let work = prove_and_ask(Arc::clone(&prover), asks);
    #[cfg(not(feature = "aws"))]
    let work = move |job| prover.do_job(job);
    let listener = start.health_address.map(|wanted| listen(wanted, settings)).transpose()?;
    let listeners = listener.into_iter().collect();
    let reactor = Reactor::new(agent, listeners, tls.client, Signals::Handle, work)
        .and_then(|reactor| reactor.with_workers(workers))
        .map_err(wrong)?;
    drop(signals);
    let token = token.and_then(|token| watched(token, reactor.mailbox()));
    #[cfg(feature = "aws")]
    find_places(prover, asked, reactor.mailbox());
    let environment = Environment::of_process();
    let manager = ServiceManager::find(|name| environment.get(name));
    let watched = tls.watched.into_iter().chain(token).collect();
    let _watch = Watch::start(watched, Watch::INTERVAL)
        .map_err(|error| Error::new(format!("cannot watch files: {}", reason(&error))))?;
    // Whoever reads this may send a signal: from here on it drains.
    info!(target: LOG, "{}", introduction(&start.config));
    reactor.managed_by(manager).run().map_err(wrong)?;
    info!(target: LOG, "the agent has left");
    Ok(())
}

/// Tells the agent when the file of its token holds another one. Each proof reads it by itself; where that
/// finds none it is with the last one, and who looks at the log learns of it here.
fn watched(token: TokenSource, mailbox: Mailbox<Answer>) -> Option<Watched> {
    let TokenSource::File(file) = &token else { return None };
    let what = format!("the token in {}", file.path());
    let watched = Watched::new(what, vec![PathBuf::from(file.path())]);
    let mut known = token.read().ok();
    Some(watched.reloading(move || {
        let present = Some(token.read()?);
        if present != known {
            known = present;
            mailbox.tell(Answer::NewToken);
        }
        Ok(())
    }))
}

/// Does what the agent asks for. Whoever is asked for a proof will be asked where it is, too: that is for
/// its next introduction, and this proof does not wait until it is known.
#[cfg(feature = "aws")]
fn prove_and_ask(prover: Arc<Prover>, asks: SyncSender<()>) -> impl Fn(Job) -> Answer {
    move |job| {
        // One that waits already is for this one as well.
        let _ = asks.try_send(());
        prover.do_job(job)
    }
}

/// Finds out where this agent is as often as that is asked, on a thread of its own: what would know it may
/// be silent for seconds.
#[cfg(feature = "aws")]
fn find_places(prover: Arc<Prover>, asked: Receiver<()>, mailbox: Mailbox<Answer>) {
    let find = move || {
        for () in asked {
            if let Some(place) = prover.place() {
                mailbox.tell(Answer::Placed(place));
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("whereabouts".to_owned()).spawn(find) {
        // It stays as it was found at the start.
        let error = reason(&error);
        warn!(target: LOG, "cannot start a thread to ask where this agent is: {error}");
    }
}

#[cfg(all(test, feature = "aws"))]
mod tests;
