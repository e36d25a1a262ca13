//! The command line of an agent, shared by `mesh client` and `mesh-agent`.
//!
//! [`ClientArgs`] holds what was typed; `config` makes a [`crate::Config`] of it, the environment
//! and the file; `start` runs the agent. The rest of this crate knows none of these.

#[cfg(feature = "aws")]
mod aws;
mod config;
pub mod health;
mod prover;
mod start;
mod tls;

pub use config::Startup;
pub use prover::{TokenFile, TokenSource};
pub use start::start;
pub use tls::{TlsFiles, expires_soon, expiry_warning, identity_files, read_identity, watched};

use argh::FromArgs;
use mesh_settings::Flags;

/// Serve hosts from this machine: dial out to an ingress, register the hosts there, and pass the
/// requests for them to a local HTTP service.
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "client",
    usage = "--host <name> [<options>]",
    example = "{command_name} --host shop.example.com --local-endpoint http://localhost:3000",
    note = "Every option can also be set by a variable (--connect-timeout: MESH_CONNECT_TIMEOUT)",
    note = "or by a line of the file given with --config (connect-timeout: 10). An option comes",
    note = "before a variable, a variable before the file, and the file before the default.",
    note = "Seconds may have a unit (500ms, 5m, 1h), and so may bytes (64KiB, 1MiB).",
    note = "An agent with a --health-port is asked how it is by mesh health, or mesh-agent health."
)]
pub struct ClientArgs {
    /// where the ingress accepts agents, ws:// or wss:// [default: ws://localhost:8082]
    #[argh(option)]
    pub ingress_endpoint: Option<String>,
    /// HTTP proxy on the way there, asked to CONNECT, http://HOST:PORT; the variable
    /// MESH_PROXY_CREDENTIALS can hold its credentials, user:password [default: none]
    #[argh(option)]
    pub proxy: Option<String>,
    /// where the local service listens, http:// [default: http://localhost:3000]
    #[argh(option)]
    pub local_endpoint: Option<String>,
    /// a host name or pattern (*.example.com, *) to serve; repeat it for several, or separate them
    /// with commas (required)
    #[argh(option)]
    pub host: Vec<String>,
    /// the service's name, for logs, metrics and /debug/services [default: none]
    #[argh(option)]
    pub service_name: Option<String>,
    /// the ECS cluster's name, for logs and /debug/services [default: none]
    #[argh(option)]
    pub cluster_name: Option<String>,
    /// path of the local service that answers 200 to 399 while it is healthy [default: /health]
    #[argh(option)]
    pub health_check_path: Option<String>,
    /// seconds between two health checks [default: 10]
    #[argh(option)]
    pub health_check_interval: Option<String>,
    /// seconds after which a health check without an answer fails [default: 5]
    #[argh(option)]
    pub health_check_timeout: Option<String>,
    /// good checks in a row after which the service is healthy again [default: 2]
    #[argh(option)]
    pub health_check_rise: Option<String>,
    /// bad checks in a row after which the service is unhealthy [default: 2]
    #[argh(option)]
    pub health_check_fall: Option<String>,
    /// port on which to answer /health with 200 while a tunnel is up and is to stay, once the service
    /// has been healthy [default: none]
    #[argh(option)]
    pub health_port: Option<String>,
    /// address on which that port listens [default: 127.0.0.1]
    #[argh(option)]
    pub bind: Option<String>,
    /// offer the ingress no identity [default: false]
    #[argh(switch)]
    pub skip_iam_validation: bool,
    /// what the ingress has to call itself to be given a proof of identity; without it, the host
    /// of --ingress-endpoint [default: none]
    #[argh(option)]
    pub server_id: Option<String>,
    /// file with the token that proves this agent's identity, reloaded when it changes; the variable
    /// MESH_TOKEN can hold the token itself [default: none]
    #[argh(option)]
    pub token_file: Option<String>,
    /// ARN of the ECS task that this agent is part of; without it, the ECS agent is asked
    /// [default: none]
    #[argh(option)]
    pub task_arn: Option<String>,
    /// ARN of the ECS container instance that this agent runs on, if it is part of no task; without
    /// it, the ECS agent is asked [default: none]
    #[argh(option)]
    pub container_instance: Option<String>,
    /// PEM file of the only authorities to trust with wss:// [default: none]
    #[argh(option)]
    pub ca_file: Option<String>,
    /// PEM file of a certificate to show the ingress with wss://, and its chain; reloaded when it
    /// changes; needs --client-key [default: none]
    #[argh(option)]
    pub client_cert: Option<String>,
    /// PEM file of the private key of that certificate [default: none]
    #[argh(option)]
    pub client_key: Option<String>,
    /// seconds for connecting to the ingress and registering there [default: 10]
    #[argh(option)]
    pub connect_timeout: Option<String>,
    /// seconds for connecting to the local service [default: 5]
    #[argh(option)]
    pub upstream_connect_timeout: Option<String>,
    /// seconds to keep an unused connection to the local service; less than the service keeps it
    /// [default: 4]
    #[argh(option)]
    pub upstream_idle_timeout: Option<String>,
    /// seconds without a byte either way after which an exchange is given up [default: 3600]
    #[argh(option)]
    pub stream_idle_timeout: Option<String>,
    /// seconds between two signs of life on the tunnel [default: 10]
    #[argh(option)]
    pub echo_interval: Option<String>,
    /// seconds that the first wait before reconnecting may last; it doubles each time
    /// [default: 1]
    #[argh(option)]
    pub reconnect_min: Option<String>,
    /// seconds that the longest wait before reconnecting may last [default: 30]
    #[argh(option)]
    pub reconnect_max: Option<String>,
    /// seconds that a tunnel has to last for the waits to begin anew [default: 60]
    #[argh(option)]
    pub reconnect_reset: Option<String>,
    /// seconds without any tunnel after which to exit, so that a restart picks up name servers that
    /// have changed; 0: never [default: 0]
    #[argh(option)]
    pub give_up_after: Option<String>,
    /// seconds to finish what is under way after SIGTERM [default: 30]
    #[argh(option)]
    pub drain_timeout: Option<String>,
    /// ingress processes to be connected to at once, as many as are behind the load balancer
    /// [default: 1]
    #[argh(option)]
    pub tunnels: Option<String>,
    /// tunnels to each of them, so that their workers and this agent's can share the work
    /// [default: 1]
    #[argh(option)]
    pub tunnels_per_ingress: Option<String>,
    /// event loops, each on a core of its own; no more than there are tunnels [default: 1]
    #[argh(option)]
    pub workers: Option<String>,
    /// requests under way at once [default: 1024]
    #[argh(option)]
    pub max_streams: Option<String>,
    /// unused connections to the local service to keep [default: 1024]
    #[argh(option)]
    pub max_idle_upstreams: Option<String>,
    /// bytes of a response head; load balancers refuse more than 32KiB [default: 32KiB]
    #[argh(option)]
    pub max_head_size: Option<String>,
    /// bytes that may be on their way to a slow service per request [default: 256KiB]
    #[argh(option)]
    pub stream_window: Option<String>,
    /// extra bytes for requests on a long path, per tunnel [default: 8MiB]
    #[argh(option)]
    pub window_growth: Option<String>,
    /// YAML file with settings, named as these options are [default: none]
    #[argh(option)]
    pub config: Option<String>,
    /// off, error, warn, info, debug or trace; also for one part: info,mesh_agent=debug
    /// [default: info]
    #[argh(option)]
    pub log_level: Option<String>,
    /// the same as --log-level debug [default: false]
    #[argh(switch)]
    pub verbose: bool,
    /// print the settings and where they are from, and exit
    #[argh(switch)]
    pub check: bool,
    /// print the version, and exit
    #[argh(switch)]
    pub version: bool,
}

impl ClientArgs {
    /// Every setting of an agent, with what was typed for it.
    #[must_use]
    pub fn flags(self) -> Flags {
        Flags::new()
            .one("ingress-endpoint", self.ingress_endpoint)
            .one("proxy", self.proxy)
            .secret("proxy-credentials")
            .one("local-endpoint", self.local_endpoint)
            .many("host", self.host)
            .one("service-name", self.service_name)
            .one("cluster-name", self.cluster_name)
            .one("health-check-path", self.health_check_path)
            .one("health-check-interval", self.health_check_interval)
            .one("health-check-timeout", self.health_check_timeout)
            .one("health-check-rise", self.health_check_rise)
            .one("health-check-fall", self.health_check_fall)
            .one("health-port", self.health_port)
            .one("bind", self.bind)
            .switch("skip-iam-validation", self.skip_iam_validation)
            .one("server-id", self.server_id)
            .one("token-file", self.token_file)
            .secret("token")
            .one("task-arn", self.task_arn)
            .one("container-instance", self.container_instance)
            .one("ca-file", self.ca_file)
            .one("client-cert", self.client_cert)
            .one("client-key", self.client_key)
            .one("connect-timeout", self.connect_timeout)
            .one("upstream-connect-timeout", self.upstream_connect_timeout)
            .one("upstream-idle-timeout", self.upstream_idle_timeout)
            .one("stream-idle-timeout", self.stream_idle_timeout)
            .one("echo-interval", self.echo_interval)
            .one("reconnect-min", self.reconnect_min)
            .one("reconnect-max", self.reconnect_max)
            .one("reconnect-reset", self.reconnect_reset)
            .one("give-up-after", self.give_up_after)
            .one("drain-timeout", self.drain_timeout)
            .one("tunnels", self.tunnels)
            .one("tunnels-per-ingress", self.tunnels_per_ingress)
            .one("workers", self.workers)
            .one("max-streams", self.max_streams)
            .one("max-idle-upstreams", self.max_idle_upstreams)
            .one("max-head-size", self.max_head_size)
            .one("stream-window", self.stream_window)
            .one("window-growth", self.window_growth)
            .one("config", self.config)
            .one("log-level", self.log_level)
            .switch("verbose", self.verbose)
    }
}

#[cfg(test)]
mod tests;
