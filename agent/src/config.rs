//! What the operator decides about an agent. Whoever builds a [`Config`] validates it.

use std::time::Duration;

use mesh_protocol::{Proxy, Security};

/// Everything configurable about an agent.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the ingress listens for agents.
    pub ingress: Endpoint,
    /// The proxy on the way to the ingress.
    pub proxy: Option<Proxy>,
    /// Where the local service listens.
    pub local: Endpoint,
    /// Host names and patterns (`*.example.com`, `*`) to register.
    pub hosts: Vec<String>,
    /// The service's name, for logs, metrics and `/debug/services`.
    pub service: String,
    /// The ECS cluster's name, for the same.
    pub cluster: String,
    /// The ARN of the ECS task that the agent is part of, for authorisation; empty for none.
    pub task: String,
    /// The ARN of the ECS container instance it runs on, where it is part of no task.
    pub container_instance: String,
    /// Whether it tells the ingress who it is.
    pub identity: Identity,
    /// What the ingress has to call itself for that.
    pub server_id: String,
    /// How the local service's health is found out.
    pub health: HealthCheck,
    /// Bounds on time.
    pub timeouts: Timeouts,
    /// Bounds on space.
    pub limits: Limits,
}

#[cfg(feature = "aws")]
impl Config {
    /// Where this agent is, as far as that is known.
    #[must_use]
    pub fn place(&self) -> crate::identity::Place {
        crate::identity::Place {
            task: self.task.clone(),
            container_instance: self.container_instance.clone(),
            cluster: self.cluster.clone(),
            service: self.service.clone(),
        }
    }

    /// It is there from now on.
    pub fn set_place(&mut self, place: crate::identity::Place) {
        let crate::identity::Place { task, container_instance, cluster, service } = place;
        if container_instance != self.container_instance {
            log::info!("this agent is on the ECS container instance {container_instance}");
        }
        self.container_instance = container_instance;
        (self.task, self.cluster, self.service) = (task, cluster, service);
    }
}

/// Whether an agent shows who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// It does not, by `--skip-iam-validation`.
    Skip,
    /// It does when the ingress asks.
    Offer,
}

/// A place to connect to, taken from a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A DNS name or an address literal without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub security: Security,
    /// The path of the URL, with its leading slash.
    pub path: String,
}

/// How the local service's health is found out.
#[derive(Debug, Clone)]
pub struct HealthCheck {
    /// The path to `GET`; 200 to 399 means healthy.
    pub path: String,
    /// Between two checks.
    pub interval: Duration,
    /// For one check, from connecting to the response head.
    pub timeout: Duration,
    /// Good checks in a row that make an unhealthy service healthy.
    pub rise: u32,
    /// Bad checks in a row that make a healthy service unhealthy.
    pub fall: u32,
}

/// Bounds on time.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For connecting to the ingress, up to the accepted registration.
    pub connect: Duration,
    /// For connecting to the local service.
    pub upstream_connect: Duration,
    /// How long a connection to the local service is kept for the next request. Less than the
    /// keep-alive of common servers (Node.js: 5 s), or a request meets one that is just closing.
    pub upstream_idle: Duration,
    /// How long an exchange may go without a byte in either direction.
    pub stream_idle: Duration,
    /// Between two echoes on a tunnel; a peer that stays silent for two of them is gone.
    pub echo: Duration,
    /// The first upper bound of the random wait before connecting again; it doubles each time.
    pub backoff_min: Duration,
    /// The last upper bound of that wait.
    pub backoff_max: Duration,
    /// A tunnel that lived this long starts the waits anew.
    pub stable: Duration,
    /// From the drain signal to the exit, however busy.
    pub drain: Duration,
    /// How long it may be without any tunnel before it leaves, if it is to leave at all.
    pub give_up: Option<Duration>,
}

/// Files besides tunnels and connections to the service: four for each of up to 64 workers, and 64 for
/// health checks, who asks for them, tunnels on their way, names looked up, what is asked of AWS.
const OTHER_FILES: usize = 64 * 4 + 64;
/// Tunnels that have requests for each that there is to be: it, and the one that it came in place of,
/// whose last requests may take an hour. One more may be there for a while, which is rare enough not
/// to take a third of what there is for requests.
const GENERATIONS: usize = 2;

/// Bounds on space.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Ingress processes to have tunnels to. As many as there are of those
    /// behind the load balancer, or callers of the others do not reach this agent.
    pub tunnels: usize,
    /// Tunnels to one and the same ingress process, for its workers and ours.
    pub tunnels_per_ingress: usize,
    /// Streams open at once on all tunnels to one ingress process.
    pub streams: u32,
    /// Unused connections to the local service that are kept by all workers. With fewer than there
    /// are requests at once, connections are closed and made again all the time.
    pub idle_upstreams: usize,
    /// Bytes of a response head, [`RESPONSE_HEAD_BYTES_MAX`](mesh_protocol::http1::forward::RESPONSE_HEAD_BYTES_MAX) at
    /// the most. The ingress refuses longer ones as well, but here the service's faults are told of.
    pub head_bytes: usize,
    /// Bytes that may be on their way to a slow local service on one stream.
    pub stream_window: u32,
    /// Bytes by which the windows of one tunnel may grow together, for streams that they hold back.
    pub window_growth: u32,
}

impl Limits {
    /// Tunnels to be held at once.
    #[must_use]
    pub const fn all_tunnels(&self) -> usize {
        self.tunnels * self.tunnels_per_ingress
    }

    /// Streams open at once on one tunnel: those to one ingress share what there is.
    #[must_use]
    pub fn streams_per_tunnel(&self) -> u32 {
        let tunnels = u32::try_from(self.tunnels_per_ingress).unwrap_or(u32::MAX);
        (self.streams / tunnels.max(1)).max(1)
    }

    /// Lets no more requests come than there are files to be open in this process, each request being
    /// a connection to the service. Unused connections are no more than an eighth, and what is kept
    /// for all other things than requests no more than a half.
    pub fn fit_into(&mut self, files: usize) {
        self.idle_upstreams = self.idle_upstreams.min(files / 8);
        let others = GENERATIONS * self.all_tunnels() + self.idle_upstreams + OTHER_FILES;
        let for_requests = files.saturating_sub(others).max(files / 2);
        let for_each = for_requests / (GENERATIONS * self.tunnels.max(1));
        let for_each = u32::try_from(for_each).unwrap_or(u32::MAX);
        let fewest = u32::try_from(self.tunnels_per_ingress).unwrap_or(u32::MAX);
        self.streams = self.streams.min(for_each.max(fewest));
    }
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            path: "/health".to_owned(),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            rise: 2,
            fall: 2,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            upstream_connect: Duration::from_secs(5),
            upstream_idle: Duration::from_secs(4),
            stream_idle: Duration::from_secs(3600),
            echo: Duration::from_secs(10),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(30),
            stable: Duration::from_secs(60),
            drain: Duration::from_secs(30),
            give_up: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tunnels: 1,
            tunnels_per_ingress: 1,
            streams: 1024,
            idle_upstreams: 1024,
            head_bytes: 32 * 1024,
            stream_window: 256 * 1024,
            window_growth: 8 * 1024 * 1024,
        }
    }
}

#[cfg(test)]
mod tests;
