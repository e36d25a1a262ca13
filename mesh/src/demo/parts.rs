//! The three parts, each with a thread of its own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use mesh_agent::identity::{Answer, Job};
use mesh_agent::{Agent, HealthCheck, Identity};
use mesh_ingress::{ADMIN, Admission, Ingress, TRAFFIC, TUNNEL};
use mesh_protocol::{App, Security, Traffic};
use mesh_reactor::{ClientTls, Handle, Listen, Reactor, Signals};
use mesh_settings::{Error, reason};

use super::service::{SERVICE, SampleService};

/// Where the parts listen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) traffic: SocketAddr,
    pub(crate) tunnels: SocketAddr,
    pub(crate) health: SocketAddr,
    pub(crate) service: SocketAddr,
}

/// The running parts.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) addresses: Addresses,
    ingress: Part,
    agent: Part,
    service: Part,
}

#[derive(Debug)]
struct Part {
    name: &'static str,
    handle: Handle,
    thread: JoinHandle<io::Result<()>>,
}

/// A demo that is told to leave does not keep anybody waiting.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Soon enough that the route is there before anybody looks.
const BACKOFF_MIN: Duration = Duration::from_millis(50);

impl Parts {
    /// Starts all three, the agent with `host` for the service.
    pub(crate) fn start(host: &str) -> Result<Self, Error> {
        let sockets = Sockets::open()?;
        let addresses = sockets.addresses()?;
        let now = Instant::now();
        let service = Part::start(
            "service",
            SampleService::new(),
            vec![listener(SERVICE, sockets.service, Traffic::Single)],
            Signals::Ignore,
            |job| job,
        )?;
        let ingress = Part::start(
            "ingress",
            Ingress::new(ingress_config(&addresses), now),
            vec![
                listener(TRAFFIC, sockets.traffic, Traffic::Single),
                listener(TUNNEL, sockets.tunnels, Traffic::Multiplexed),
                listener(ADMIN, sockets.health, Traffic::Single),
            ],
            Signals::Handle,
            crate::server::answer_without_aws,
        )?;
        let agent = Part::start(
            "agent",
            Agent::new(agent_config(&addresses, host), now, "demo".to_owned()),
            Vec::new(),
            Signals::Ignore,
            |Job::Prove { conn, .. }| {
                let outcome = Err("the demo has no identity".to_owned());
                Answer::Proved { conn, outcome }
            },
        )?;
        Ok(Self { addresses, ingress, agent, service })
    }

    /// An error when one of the parts has ended.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for part in [&self.service, &self.ingress, &self.agent] {
            if part.thread.is_finished() {
                return Err(Error::new(format!(
                    "the {} of the demo has ended before its time",
                    part.name
                )));
            }
        }
        Ok(())
    }

    /// Whether the ingress has ended, as it does when it is asked to.
    pub(crate) fn have_left(&self) -> bool {
        self.ingress.thread.is_finished()
    }

    /// Waits for Ctrl-C or SIGTERM, on which the ingress drains, and ends the other two.
    pub(crate) fn wait(self) -> Result<(), Error> {
        let drained = self.ingress.join();
        self.agent.stop();
        self.service.stop();
        drained
    }

    /// Ends all three.
    pub(crate) fn stop(self) {
        for part in [self.agent, self.ingress, self.service] {
            part.stop();
        }
    }
}

impl Part {
    fn start<A>(
        name: &'static str,
        app: A,
        listeners: Vec<Listen>,
        signals: Signals,
        do_job: impl Fn(A::Job) -> A::Answer + Send + Sync + 'static,
    ) -> Result<Self, Error>
    where
        A: App + Send + 'static,
        A::Conn: Send,
    {
        let wrong = |error: io::Error| {
            Error::new(format!("cannot start the {name} of the demo: {}", reason(&error)))
        };
        let tls = ClientTls::web_roots();
        let reactor = Reactor::new(app, listeners, tls, signals, do_job).map_err(wrong)?;
        let handle = reactor.handle();
        let thread = Builder::new()
            .name(name.to_owned())
            .spawn(move || reactor.run().map(drop))
            .map_err(wrong)?;
        Ok(Self { name, handle, thread })
    }

    fn join(self) -> Result<(), Error> {
        let name = self.name;
        let complaint = match self.thread.join() {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => reason(&error),
            Err(_) => "it panicked".to_owned(),
        };
        Err(Error::new(format!("the {name} of the demo has failed: {complaint}")))
    }

    /// Ends the part; how it ends is of no interest any more.
    fn stop(self) {
        self.handle.stop();
        let _ = self.join();
    }
}

/// The listening sockets, all on loopback.
struct Sockets {
    traffic: TcpListener,
    tunnels: TcpListener,
    health: TcpListener,
    service: TcpListener,
}

impl Sockets {
    fn open() -> Result<Self, Error> {
        Ok(Self {
            traffic: open(8080)?,
            tunnels: open(8082)?,
            health: open(8081)?,
            service: open(0)?,
        })
    }

    fn addresses(&self) -> Result<Addresses, Error> {
        let address = |socket: &TcpListener| {
            socket
                .local_addr()
                .map_err(|error| Error::new(format!("listen on loopback: {}", reason(&error))))
        };
        Ok(Addresses {
            traffic: address(&self.traffic)?,
            tunnels: address(&self.tunnels)?,
            health: address(&self.health)?,
            service: address(&self.service)?,
        })
    }
}

/// Listens on that port if it is free, else on one that the system chooses.
fn open(port: u16) -> Result<TcpListener, Error> {
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    mesh_reactor::listen(address(port))
        .or_else(|_| mesh_reactor::listen(address(0)))
        .map_err(|error| Error::new(format!("listen on 127.0.0.1: {}", reason(&error))))
}

const fn listener(id: mesh_protocol::ListenerId, socket: TcpListener, traffic: Traffic) -> Listen {
    Listen { id, socket, traffic, tls: None }
}

fn ingress_config(addresses: &Addresses) -> mesh_ingress::Config {
    let default = mesh_ingress::Config::default();
    mesh_ingress::Config {
        traffic_port: addresses.traffic.port(),
        traffic_security: Security::Plain,
        admission: Admission::Loopback,
        identity: default.identity,
        access_log: default.access_log,
        process: "demo".to_owned(),
        timeouts: mesh_ingress::Timeouts { drain: DRAIN_TIMEOUT, ..default.timeouts },
        limits: default.limits,
    }
}

fn agent_config(addresses: &Addresses, host: &str) -> mesh_agent::Config {
    mesh_agent::Config {
        proxy: None,
        ingress: endpoint(addresses.tunnels),
        local: endpoint(addresses.service),
        hosts: vec![host.to_owned()],
        service: "sample".to_owned(),
        cluster: "demo".to_owned(),
        task: String::new(),
        container_instance: String::new(),
        identity: Identity::Skip,
        server_id: String::new(),
        health: HealthCheck::default(),
        timeouts: mesh_agent::Timeouts {
            backoff_min: BACKOFF_MIN,
            ..mesh_agent::Timeouts::default()
        },
        limits: mesh_agent::Limits::default(),
    }
}

fn endpoint(address: SocketAddr) -> mesh_agent::Endpoint {
    mesh_agent::Endpoint {
        host: address.ip().to_string(),
        port: address.port(),
        security: Security::Plain,
        path: "/".to_owned(),
    }
}
