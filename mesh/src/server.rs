//! `mesh server`: an ingress on the sockets that the settings name.

mod args;
mod config;
mod identity_config;

pub(crate) use args::ServerArgs;

use std::net::{SocketAddr, TcpListener};
use std::time::Instant;

use log::{info, warn};
use mesh_ingress::{ADMIN, AccessLog, Admission, Config, Ingress, TRAFFIC, TUNNEL};
use mesh_protocol::{ListenerId, Traffic};
use mesh_reactor::{ClientTls, Listen, Reactor, Signals};
use mesh_settings::logging::{self, Form, Rules};
use mesh_settings::{Environment, Error, Settings, output, reason};

use self::config::{ACCESS_LOG_FILE, Start};

/// Whose lines in the log these are.
const LOG: &str = "mesh";

/// Starts an ingress and returns when it has drained.
pub(crate) fn start(args: ServerArgs) -> Result<(), Error> {
    if args.version {
        crate::version();
        return Ok(());
    }
    let check = args.check;
    let mut settings = Settings::load(args.flags(), Environment::of_process())?;
    let start = Start::read(&mut settings)?;
    let rules = settings.log_rules(Rules::default())?;
    if check {
        settings.show();
        return Ok(());
    }
    let access_log = open_access_log(&start, &settings)?;
    settings.start_logs(&rules, access_log.as_ref());
    // The access log is dropped, and with that flushed, after everything that writes to it.
    run(start)
}

fn open_access_log(
    start: &Start,
    settings: &Settings,
) -> Result<Option<logging::AccessLog>, Error> {
    let form = match start.config.access_log {
        AccessLog::Off => return Ok(None),
        AccessLog::Text => Form::Text,
        AccessLog::Json => Form::Json,
    };
    let file = start.access_log_file.as_deref();
    let opened = logging::AccessLog::open(form, file).map_err(|error| match file {
        Some(file) => {
            let sentence = format!("open {}: {}", file.display(), reason(&error));
            settings.blame(ACCESS_LOG_FILE, &sentence)
        }
        None => Error::new(format!("open the access log: {}", reason(&error))),
    });
    opened.map(Some)
}

fn run(start: Start) -> Result<(), Error> {
    let Start { listen, config, .. } = start;
    let traffic = Socket::open("traffic", "--alb-port", listen.traffic)?;
    let tunnels = Socket::open("tunnels", "--websocket-port", listen.tunnels)?;
    let health = Socket::open("health", "--health-port", listen.health)?;
    let config = Config { traffic_port: traffic.address.port(), ..config };
    let admission = config.admission.clone();
    let heard = [&traffic, &tunnels, &health].map(|socket| (socket.name, socket.address));
    let listeners = vec![
        traffic.listen(TRAFFIC, Traffic::Single),
        tunnels.listen(TUNNEL, Traffic::Multiplexed),
        health.listen(ADMIN, Traffic::Single),
    ];
    let ingress = Ingress::new(config, Instant::now());
    let wrong = |error| Error::new(format!("cannot run the event loop: {}", reason(&error)));
    let reactor =
        Reactor::new(ingress, listeners, ClientTls::web_roots(), Signals::Handle).map_err(wrong)?;
    // Whoever reads these lines may send a signal: from here on it drains.
    info!(target: LOG, "ingress {}", env!("CARGO_PKG_VERSION"));
    for (name, address) in heard {
        info!(target: LOG, "listening for {name} on {address}");
        output::say(&format!("listening {name} {address}"));
    }
    tell_of(&admission);
    reactor.run().map_err(wrong)?;
    info!(target: LOG, "the ingress has left");
    Ok(())
}

fn tell_of(admission: &Admission) {
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
        Admission::Policy(policy) => {
            let methods: Vec<&str> = policy.methods().iter().map(|way| way.as_str()).collect();
            info!(
                target: LOG,
                "agents must prove who they are; accepted proofs: {}",
                if methods.is_empty() { "none".to_owned() } else { methods.join(", ") }
            );
        }
    }
}

/// An open listening socket.
struct Socket {
    name: &'static str,
    socket: TcpListener,
    address: SocketAddr,
}

impl Socket {
    /// Listens on `wanted`; `flag` is what a user would change if that cannot be had.
    fn open(name: &'static str, flag: &str, wanted: SocketAddr) -> Result<Self, Error> {
        let opened = mesh_reactor::listen(wanted).and_then(|socket| {
            let address = socket.local_addr()?;
            Ok(Self { name, socket, address })
        });
        opened
            .map_err(|error| Error::new(format!("listen on {wanted} ({flag}): {}", reason(&error))))
    }

    fn listen(self, id: ListenerId, traffic: Traffic) -> Listen {
        Listen { id, socket: self.socket, traffic }
    }
}

#[cfg(test)]
mod tests;
