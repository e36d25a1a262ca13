//! `mesh server`: an ingress on the sockets that the settings name.

mod args;
#[cfg(feature = "aws")]
mod aws;
mod config;
mod identity_config;
mod tls;

pub(crate) use args::ServerArgs;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Instant;

use log::{info, warn};
#[cfg(not(feature = "aws"))]
use mesh_ingress::identity::Method;
use mesh_ingress::jobs::{Answer, Failure, Job};
use mesh_ingress::{
    ADMIN, AccessLog, Admission, Config, IdentityChecks, Ingress, Limits, TRAFFIC, TUNNEL,
};
use mesh_protocol::{ListenerId, Traffic};
use mesh_reactor::{
    ClientTls, Listen, Reactor, ServerTls, ServiceManager, Signals, Watch, Watched,
};
use mesh_settings::logging::{self, Form, Rules};
use mesh_settings::{Environment, Error, NamedFile, Settings, output, reason};

use self::config::{ACCESS_LOG_FILE, Addresses, Startup};
use self::identity_config::{Identity, PolicySource};
use self::tls::Tls;

/// Whose lines in the log these are.
const LOG: &str = "mesh";

/// Starts an ingress and returns when it has drained.
pub(crate) fn start(args: ServerArgs) -> Result<(), Error> {
    let check = args.check;
    let (flags, environment) = (args.flags(), Environment::of_process());
    let source = PolicySource::new(flags.clone(), environment.clone());
    let mut settings = Settings::load(flags, environment)?;
    let ready = prepare(&mut settings, source).inspect_err(|_| settings.complain())?;
    if check {
        check_access_log(&ready.start, &settings).inspect_err(|_| settings.complain())?;
        settings.show();
        return Ok(());
    }
    let access_log = open_access_log(&ready.start, &settings);
    let access_log = access_log.inspect_err(|_| settings.complain())?;
    settings.start_logs(&ready.log_rules, access_log.as_ref());
    // The access log is dropped, and with that flushed, after everything that writes to it.
    run(ready, &settings)
}

/// All that is there before the first socket is open.
struct Ready<D> {
    start: Startup,
    log_rules: Rules,
    tls: Option<Tls>,
    policy: (PolicySource, Option<Watched>),
    /// Does the jobs of the ingress.
    do_job: D,
}

/// Reads the settings and the files that they name.
fn prepare(
    settings: &mut Settings,
    mut source: PolicySource,
) -> Result<Ready<impl Fn(Job) -> Answer + Send + Sync + 'static + use<>>, Error> {
    // Before the tokens are read, so that no change of theirs is lost in between.
    let policy_files = source.watched(settings);
    let mut start = Startup::read(settings)?;
    let log_rules = settings.log_rules(Rules::default())?;
    let (tls, warnings) = start.tls.take().map(Tls::open).transpose()?.unzip();
    let held_back = NamedFile::held_back(&identity_config::files(settings));
    let warnings = warnings.into_iter().flatten().chain(held_back);
    warnings.for_each(|warning| settings.warn(warning));
    let do_job = job_runner(&start.identity, &start.config.admission)?;
    Ok(Ready { start, log_rules, tls, policy: (source, policy_files), do_job })
}

/// Whether the access log could be opened.
fn check_access_log(start: &Startup, settings: &Settings) -> Result<(), Error> {
    match (start.config.access_log, &start.access_log_file) {
        (AccessLog::Off, _) | (AccessLog::Text | AccessLog::Json, None) => Ok(()),
        (AccessLog::Text | AccessLog::Json, Some(file)) => logging::AccessLog::check(file)
            .map_err(|error| no_access_log(Some(file), settings, &error)),
    }
}

fn open_access_log(
    start: &Startup,
    settings: &Settings,
) -> Result<Option<logging::AccessLog>, Error> {
    let form = match start.config.access_log {
        AccessLog::Off => return Ok(None),
        AccessLog::Text => Form::Text,
        AccessLog::Json => Form::Json,
    };
    let file = start.access_log_file.as_deref();
    let opened = logging::AccessLog::open(form, file);
    opened.map(Some).map_err(|error| no_access_log(file, settings, &error))
}

fn no_access_log(file: Option<&Path>, settings: &Settings, error: &io::Error) -> Error {
    match file {
        Some(file) => {
            let sentence = format!("open {}: {}", file.display(), reason(error));
            settings.blame(ACCESS_LOG_FILE, &sentence)
        }
        None => Error::new(format!("open the access log: {}", reason(error))),
    }
}

fn run(
    ready: Ready<impl Fn(Job) -> Answer + Send + Sync + 'static>,
    settings: &Settings,
) -> Result<(), Error> {
    let Ready { start, tls, policy, do_job, .. } = ready;
    let Startup { listen, config, workers, identity, .. } = start;
    let (listeners, announced) = listeners(&listen, tls.as_ref(), settings)?;
    let wrong = |error| Error::new(format!("cannot run the event loop: {}", reason(&error)));
    let nonce_key = mesh_reactor::random().map_err(wrong)?;
    let process = format!("{:016x}", u64::from_ne_bytes(mesh_reactor::random().map_err(wrong)?));
    let mut config = Config {
        traffic_port: announced[0].address.port(),
        identity: IdentityChecks { nonce_key, ..config.identity },
        process: process.clone(),
        ..config
    };
    let admission = config.admission.clone();
    let proofs = accepted_proofs(&admission, tls.as_ref());
    fit_into_open_files(&mut config.limits, settings);
    let count = workers.resolve();
    let mut workers = Ingress::workers(&config, Instant::now(), count);
    let ingress = workers.remove(0);
    let trust = ClientTls::web_roots();
    let reactor = Reactor::new(ingress, listeners, trust, Signals::Handle, do_job)
        .and_then(|reactor| reactor.with_workers(workers))
        .map_err(wrong)?;
    let environment = Environment::of_process();
    let manager = ServiceManager::find(|name| environment.get(name));
    let mut watched: Vec<Watched> = tls.and_then(|tls| tls.watched).into_iter().collect();
    if let (Admission::Policy(_), (source, Some(files))) = (&admission, policy) {
        watched.push(identity_config::reloading(source, files, identity, reactor.mailbox()));
    }
    let _watch = Watch::start(watched, Watch::INTERVAL)
        .map_err(|error| Error::new(format!("cannot watch files: {}", reason(&error))))?;
    // Whoever reads these lines may send a signal: from here on it drains.
    let version = mesh_settings::version();
    info!(target: LOG, "ingress {version}, workers: {count}, known to agents as ingress {process}");
    for Announced { name, address, is_tls } in announced {
        let with_tls = if is_tls { " with TLS" } else { "" };
        info!(target: LOG, "listening for {name} on {address}{with_tls}");
        output::say(&format!("listening {name} {address}"));
    }
    announce_admission(&admission, &proofs);
    reactor.managed_by(manager).run().map_err(wrong)?;
    info!(target: LOG, "the ingress has left");
    Ok(())
}

/// Opens the three listening sockets, and says how each is told of.
fn listeners(
    listen: &Addresses,
    tls: Option<&Tls>,
    settings: &Settings,
) -> Result<(Vec<Listen>, [Announced; 3]), Error> {
    let traffic = Socket::open("traffic", (settings, "alb-port"), listen.traffic)?;
    let tunnels = Socket::open("tunnels", (settings, "websocket-port"), listen.tunnels)?;
    let health = Socket::open("health", (settings, "health-port"), listen.health)?;
    let on_traffic = tls.and_then(|tls| tls.traffic.clone());
    let on_tunnels = tls.and_then(|tls| tls.tunnels.clone());
    let announced = [
        traffic.announced(on_traffic.as_ref()),
        tunnels.announced(on_tunnels.as_ref()),
        health.announced(None),
    ];
    let listeners = vec![
        traffic.listen(TRAFFIC, Traffic::Single, on_traffic),
        tunnels.listen(TUNNEL, Traffic::Multiplexed, on_tunnels),
        health.listen(ADMIN, Traffic::Single, None),
    ];
    Ok((listeners, announced))
}

/// Callers get no more descriptors than the system leaves us besides those of agents and health checks.
fn fit_into_open_files(limits: &mut Limits, settings: &Settings) {
    let Some(files) = mesh_reactor::raise_open_files() else { return };
    let wanted = limits.connections;
    limits.fit_into(files);
    if limits.connections < wanted {
        let why = format!("this process may have {files} files open");
        settings.tell_lowered("max-connections", limits.connections, &why);
    }
}

/// Who does the jobs of the ingress: AWS is asked on helper threads.
#[cfg(feature = "aws")]
fn job_runner(
    identity: &Identity,
    admission: &Admission,
) -> Result<impl Fn(Job) -> Answer + Send + Sync + 'static + use<>, Error> {
    let (sts, ecs) = (identity.sts_endpoint.clone(), identity.ecs_endpoint.clone());
    let aws = match admission {
        Admission::Policy(_) => Some(aws::Aws::new(sts, ecs).map_err(Error::new)?),
        Admission::Loopback | Admission::Anyone => None,
    };
    Ok(move |job| match &aws {
        Some(aws) => aws.do_job(job),
        None => answer_without_aws(job),
    })
}

/// This program was built without AWS: rules about its identities would admit nobody.
#[cfg(not(feature = "aws"))]
fn job_runner(
    _: &Identity,
    admission: &Admission,
) -> Result<impl Fn(Job) -> Answer + Send + Sync + 'static + use<>, Error> {
    match admission {
        Admission::Policy(policy) if policy.methods().contains(&Method::Iam) => Err(Error::new(
            "there are rules for AWS identities, and this program was built without AWS",
        )),
        Admission::Policy(_) | Admission::Loopback | Admission::Anyone => Ok(answer_without_aws),
    }
}

/// Does the jobs of an ingress that has nobody to ask.
pub(crate) fn answer_without_aws(job: Job) -> Answer {
    let nobody = || Failure::Unreachable("there is nobody to ask here".to_owned());
    match job {
        Job::Identify { conn, .. } => Answer::Identified { conn, outcome: Err(nobody()) },
        Job::Inspect { conns, .. } => Answer::Inspected { conns, outcome: Err(nobody()) },
        Job::Recheck { conns, .. } => Answer::Rechecked { conns, outcome: Err(nobody()) },
    }
}

/// The ways to prove an identity that can lead to anything here.
fn accepted_proofs(admission: &Admission, tls: Option<&Tls>) -> Vec<&'static str> {
    let methods = match admission {
        Admission::Policy(policy) => policy.methods(),
        Admission::Loopback | Admission::Anyone => Vec::new(),
    };
    let certificate = tls.is_some_and(|tls| tls.asks_for_certificates).then_some("certificate");
    methods.iter().map(|way| way.as_str()).chain(certificate).collect()
}

fn announce_admission(admission: &Admission, proofs: &[&str]) {
    match admission {
        Admission::Loopback => warn!(
            target: LOG,
            "NO AUTHENTICATION IS CONFIGURED: only agents from loopback addresses of this machine \
             are accepted; --skip-iam-validation accepts them from everywhere"
        ),
        Admission::Anyone => warn!(
            target: LOG,
            "agents are accepted from everywhere without authentication (--skip-iam-validation): \
             whoever reaches the WebSocket port can take over any host"
        ),
        Admission::Policy(_) if proofs.is_empty() => warn!(
            target: LOG,
            "agents must prove who they are, and none can; accepted proofs: none"
        ),
        Admission::Policy(_) => info!(
            target: LOG,
            "agents must prove who they are; accepted proofs: {}",
            proofs.join(", ")
        ),
    }
}

/// What the log and standard output say of a listening socket.
struct Announced {
    name: &'static str,
    address: SocketAddr,
    is_tls: bool,
}

/// An open listening socket.
struct Socket {
    name: &'static str,
    socket: TcpListener,
    address: SocketAddr,
}

impl Socket {
    /// Listens on `wanted`; `port` is what a user would change if that cannot be had.
    fn open(
        name: &'static str,
        (settings, port): (&Settings, &'static str),
        wanted: SocketAddr,
    ) -> Result<Self, Error> {
        let opened = mesh_reactor::listen(wanted).and_then(|socket| {
            let address = socket.local_addr()?;
            Ok(Self { name, socket, address })
        });
        opened.map_err(|error| settings.cannot_listen(wanted, port, &error))
    }

    fn announced(&self, tls: Option<&ServerTls>) -> Announced {
        Announced { name: self.name, address: self.address, is_tls: tls.is_some() }
    }

    fn listen(self, id: ListenerId, traffic: Traffic, tls: Option<ServerTls>) -> Listen {
        Listen { id, socket: self.socket, traffic, tls }
    }
}

#[cfg(test)]
mod tests;
