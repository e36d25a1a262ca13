//! What the operator decides about an ingress. Whoever builds a [`Config`] validates it.

use std::fmt;
use std::time::Duration;

use mesh_protocol::Security;

use crate::admin::{HEALTH_RESERVE, OTHERS_MAX};
use crate::callers::TURNED_AWAY_MAX;
use crate::identity::Policy;

/// Everything configurable about an ingress, defaults included.
#[derive(Debug, Clone)]
pub struct Config {
    /// The port that callers see when nothing says otherwise (`X-Forwarded-Port`).
    pub traffic_port: u16,
    /// Whether callers speak TLS to us (`X-Forwarded-Proto`).
    pub traffic_security: Security,
    /// Who may register.
    pub admission: Admission,
    /// How identities are asked for and verified, with [`Admission::Policy`].
    pub identity: IdentityChecks,
    /// Whether each answer is logged.
    pub access_log: AccessLog,
    /// A random word that tells this process from other ingresses (`X-Mesh-Ingress`).
    pub process: String,
    /// Bounds on time.
    pub timeouts: Timeouts,
    /// Bounds on space.
    pub limits: Limits,
}

/// Who may register hosts.
#[derive(Debug, Clone)]
pub enum Admission {
    /// Nothing is configured: agents from loopback addresses only.
    Loopback,
    /// Anyone who can connect, by `--skip-iam-validation`; each registration is warned about.
    Anyone,
    /// Those whom this policy allows to.
    Policy(Box<Policy>),
}

/// How identities are asked for and verified.
#[derive(Clone)]
pub struct IdentityChecks {
    /// The names by which agents dial this ingress, in lower case; proofs are bound to one.
    pub server_ids: Vec<String>,
    /// What makes nonces unpredictable: random, and new for each process.
    pub nonce_key: [u8; 32],
    /// A host, perhaps with a port, that proofs may be signed for besides STS's own.
    pub sts_host: Option<String>,
    /// Between two questions to ECS about a registered agent.
    pub recheck: Duration,
    /// How long a proof of identity is good for; before that the agent has to give another one.
    pub lifetime: Duration,
    /// How long a registration lasts that ECS does not confirm because it cannot be reached.
    pub grace: Duration,
}

impl fmt::Debug for IdentityChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server_ids, nonce_key: _, sts_host, recheck, lifetime, grace } = self;
        f.debug_struct("IdentityChecks")
            .field("server_ids", server_ids)
            .field("sts_host", sts_host)
            .field("recheck", recheck)
            .field("lifetime", lifetime)
            .field("grace", grace)
            .finish_non_exhaustive()
    }
}

impl Default for IdentityChecks {
    fn default() -> Self {
        Self {
            server_ids: Vec::new(),
            nonce_key: [0; 32],
            sts_host: None,
            recheck: Duration::from_secs(60),
            lifetime: Duration::from_secs(12 * 3600),
            grace: Duration::from_secs(900),
        }
    }
}

/// In which form answers to callers are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLog {
    /// Not at all.
    Off,
    /// `name=value`, for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Bounds on time. They nest: the request timeout lies below the load balancer's idle timeout,
/// and that below our own.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From a caller's first byte to the end of its request head; with TLS also from its
    /// connection to the end of the handshake.
    pub head: Duration,
    /// From the last byte of the request to the response head.
    pub request: Duration,
    /// How long a caller's connection may rest between requests. More than the load balancer's
    /// own idle timeout (60 s by default), or it meets connections that we are just closing.
    pub idle: Duration,
    /// How long an exchange or an upgraded connection may go without a byte in either direction.
    pub stream_idle: Duration,
    /// How long a peer may go without taking a byte of what waits for it.
    pub send: Duration,
    /// From an agent's connection to all that it has to say to be registered. What AWS has to be asked
    /// then takes time of its own.
    pub registration: Duration,
    /// Between two echoes on a tunnel; a peer that stays silent for two of them is gone.
    pub echo: Duration,
    /// From the start until `/ready` says so. Agents need this time to find one more ingress of
    /// several before a load balancer sends callers to it.
    pub warm_up: Duration,
    /// From the drain signal to the exit, however busy.
    pub drain: Duration,
}

/// Files that are no connections: four for each of up to 64 workers, and 64 for listeners, logs, files
/// that are read, what is asked of AWS.
const OWN_FILES: usize = 64 * 4 + 64;

/// Bounds on space.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Tunnels that are there to stay, and those that are about to be registered.
    pub tunnels: usize,
    /// Streams open at once on one tunnel.
    pub streams_per_tunnel: u32,
    /// Callers' connections.
    pub connections: usize,
    /// Callers' connections from one address. The load balancer's nodes are few addresses.
    pub connections_per_address: usize,
    /// Hosts that one agent may register.
    pub hosts_per_tunnel: usize,
    /// Hosts that are known at once. Of those without an agent, the oldest are forgotten for new ones.
    pub hosts: usize,
    /// Bytes of a request head.
    pub head_bytes: usize,
    /// Bytes that may be on their way to one slow caller or service.
    pub stream_window: u32,
    /// Bytes by which the windows of one tunnel may grow together, for streams that they hold back.
    pub window_growth: u32,
    /// Bytes queued for one tunnel, besides what the windows allow at its far end.
    pub tunnel_bytes: usize,
}

impl Limits {
    /// Tunnels with those in whose place others come.
    #[must_use]
    pub const fn all_tunnels(&self) -> usize {
        2 * self.tunnels
    }

    /// Lets no more callers connect than there are files to be open in this process, each connection
    /// being one. What agents, health checks and the process itself may need is kept free, up to a
    /// half.
    pub fn fit_into(&mut self, files: usize) {
        let others = self.all_tunnels() + OTHERS_MAX + HEALTH_RESERVE + TURNED_AWAY_MAX + OWN_FILES;
        let for_callers = files.saturating_sub(others).max(files / 2).max(1);
        self.connections = self.connections.min(for_callers);
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            traffic_port: 8080,
            traffic_security: Security::Plain,
            admission: Admission::Loopback,
            identity: IdentityChecks::default(),
            access_log: AccessLog::Off,
            process: String::new(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            request: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            stream_idle: Duration::from_secs(3600),
            send: Duration::from_secs(60),
            registration: Duration::from_secs(10),
            echo: Duration::from_secs(10),
            warm_up: Duration::ZERO,
            drain: Duration::from_secs(25),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tunnels: 1000,
            streams_per_tunnel: 1024,
            connections: 20_000,
            connections_per_address: 10_000,
            hosts_per_tunnel: 64,
            hosts: 65_536,
            head_bytes: 64 * 1024,
            stream_window: 256 * 1024,
            window_growth: 8 * 1024 * 1024,
            tunnel_bytes: 512 * 1024,
        }
    }
}

#[cfg(test)]
mod tests;
