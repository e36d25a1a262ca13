//! The command line of `mesh server`.

use argh::FromArgs;
use mesh_settings::Flags;

use super::identity_config::{RULE_MEMBERS, RULES, TOKENS};

/// Run an ingress: take requests from a load balancer, and agents that dial in to serve them.
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "server",
    usage = "[<options>]",
    example = "{command_name} --alb-port 8080 --websocket-port 8082",
    note = "Every option can also be set by a variable (--request-timeout: MESH_REQUEST_TIMEOUT)",
    note = "or by a line of the file given with --config (request-timeout: 30). An option comes",
    note = "before a variable, a variable before the file, and the file before the default.",
    note = "Seconds may have a unit (500ms, 5m, 1h), and so may bytes (64KiB, 1MiB).",
    note = "A port of 0 lets the system choose; standard output says which it chose."
)]
pub(crate) struct ServerArgs {
    /// port for requests, the load balancer's target [default: 8080]
    #[argh(option)]
    pub(crate) alb_port: Option<String>,
    /// port for the agents' WebSockets [default: 8082]
    #[argh(option)]
    pub(crate) websocket_port: Option<String>,
    /// port for health checks and metrics [default: 8081]
    #[argh(option)]
    pub(crate) health_port: Option<String>,
    /// IP address to listen on with all ports [default: 0.0.0.0]
    #[argh(option)]
    pub(crate) bind: Option<String>,
    /// event loops, each on a thread of its own, or auto: one for each core that the process may
    /// use [default: auto]
    #[argh(option)]
    pub(crate) workers: Option<String>,
    /// PEM file of a certificate and its chain: with it, TLS is spoken on the ports for requests and
    /// agents; read anew when it changes; needs --tls-key [default: none]
    #[argh(option)]
    pub(crate) tls_cert: Option<String>,
    /// PEM file of the private key of that certificate [default: none]
    #[argh(option)]
    pub(crate) tls_key: Option<String>,
    /// ports that speak TLS when there is a certificate: both, or only the one for requests (alb) or
    /// for agents (websocket) [default: both]
    #[argh(option)]
    pub(crate) tls_ports: Option<String>,
    /// PEM file of authorities: agents have to show a certificate of one of them; needs --tls-cert
    /// [default: none]
    #[argh(option)]
    pub(crate) client_ca_file: Option<String>,
    /// accept agents from everywhere without authentication; without it, agents from loopback
    /// addresses only are accepted [default: false]
    #[argh(switch)]
    pub(crate) skip_iam_validation: bool,
    /// name that agents dial, to which their proofs are bound; needed with roles, tokens or rules
    /// [default: none]
    #[argh(option)]
    pub(crate) server_id: Vec<String>,
    /// role whose sessions may register every host: arn:aws:iam::ACCOUNT:role/NAME, with * in the
    /// name for any run of letters [default: none]
    #[argh(option)]
    pub(crate) allowed_role_arns: Vec<String>,
    /// ECS cluster, by name or ARN, in which agents with an AWS identity must run [default: none]
    #[argh(option)]
    pub(crate) allowed_clusters: Vec<String>,
    /// file of pre-shared tokens, one per line: NAME TOKEN [HOST,HOST...] [default: none]
    #[argh(option)]
    pub(crate) token_file: Option<String>,
    /// URL to ask instead of STS [default: none]
    #[argh(option)]
    pub(crate) sts_endpoint: Option<String>,
    /// URL to ask instead of ECS [default: none]
    #[argh(option)]
    pub(crate) ecs_endpoint: Option<String>,
    /// seconds after which ECS is asked again about a connected agent [default: 60]
    #[argh(option)]
    pub(crate) ecs_recheck_interval: Option<String>,
    /// seconds for which agents stay connected while ECS does not answer, or STS when they have to prove
    /// their identity again [default: 900]
    #[argh(option)]
    pub(crate) ecs_grace: Option<String>,
    /// seconds for which a proof of identity is good; some time before that the agent gives another
    /// one, on another tunnel [default: 43200]
    #[argh(option)]
    pub(crate) identity_lifetime: Option<String>,
    /// seconds from the end of a request to the head of its response; less than the load
    /// balancer's idle timeout [default: 30]
    #[argh(option)]
    pub(crate) request_timeout: Option<String>,
    /// seconds for a caller to send its request head [default: 10]
    #[argh(option)]
    pub(crate) head_timeout: Option<String>,
    /// seconds to keep an unused connection of a caller; more than the load balancer's idle
    /// timeout [default: 75]
    #[argh(option)]
    pub(crate) idle_timeout: Option<String>,
    /// seconds without a byte either way after which an exchange is given up [default: 3600]
    #[argh(option)]
    pub(crate) stream_idle_timeout: Option<String>,
    /// seconds for which a peer may take nothing of what we send it [default: 60]
    #[argh(option)]
    pub(crate) send_timeout: Option<String>,
    /// seconds for an agent to register after its upgrade [default: 10]
    #[argh(option)]
    pub(crate) registration_timeout: Option<String>,
    /// seconds between two signs of life on a tunnel [default: 10]
    #[argh(option)]
    pub(crate) echo_interval: Option<String>,
    /// seconds from the start until /ready answers 200, so that agents come first [default: 0]
    #[argh(option)]
    pub(crate) warm_up: Option<String>,
    /// seconds to finish what is under way after SIGTERM [default: 25]
    #[argh(option)]
    pub(crate) drain_timeout: Option<String>,
    /// tunnels of agents at once [default: 1000]
    #[argh(option)]
    pub(crate) max_tunnels: Option<String>,
    /// requests under way at once per agent [default: 1024]
    #[argh(option)]
    pub(crate) max_streams: Option<String>,
    /// connections of callers at once [default: 20000]
    #[argh(option)]
    pub(crate) max_connections: Option<String>,
    /// connections at once from one address [default: 10000]
    #[argh(option)]
    pub(crate) max_connections_per_address: Option<String>,
    /// hosts that one agent may register [default: 64]
    #[argh(option)]
    pub(crate) max_hosts: Option<String>,
    /// bytes of a request head [default: 64KiB]
    #[argh(option)]
    pub(crate) max_head_size: Option<String>,
    /// bytes that may be on their way to a slow caller per request [default: 256KiB]
    #[argh(option)]
    pub(crate) stream_window: Option<String>,
    /// extra bytes for answers on a long path, per tunnel [default: 8MiB]
    #[argh(option)]
    pub(crate) window_growth: Option<String>,
    /// bytes that may wait to be sent on one tunnel [default: 512KiB]
    #[argh(option)]
    pub(crate) tunnel_buffer: Option<String>,
    /// log each answer to a caller: off, text or json [default: off]
    #[argh(option)]
    pub(crate) access_log: Option<String>,
    /// file to append the access log to; without it, standard output [default: none]
    #[argh(option)]
    pub(crate) access_log_file: Option<String>,
    /// YAML file with settings, named as these options are [default: none]
    #[argh(option)]
    pub(crate) config: Option<String>,
    /// off, error, warn, info, debug or trace; also for one part: info,mesh_ingress=debug
    /// [default: info]
    #[argh(option)]
    pub(crate) log_level: Option<String>,
    /// the same as --log-level debug [default: false]
    #[argh(switch)]
    pub(crate) verbose: bool,
    /// print the settings and where they are from, and exit
    #[argh(switch)]
    pub(crate) check: bool,
    /// print the version, and exit
    #[argh(switch)]
    pub(crate) version: bool,
}

impl ServerArgs {
    /// Every setting of an ingress, with what was typed for it.
    pub(crate) fn flags(self) -> Flags {
        Flags::new()
            .one("alb-port", self.alb_port)
            .one("websocket-port", self.websocket_port)
            .one("health-port", self.health_port)
            .one("bind", self.bind)
            .one("workers", self.workers)
            .one("tls-cert", self.tls_cert)
            .one("tls-key", self.tls_key)
            .one("tls-ports", self.tls_ports)
            .one("client-ca-file", self.client_ca_file)
            .switch("skip-iam-validation", self.skip_iam_validation)
            .many("server-id", self.server_id)
            .many("allowed-role-arns", self.allowed_role_arns)
            .many("allowed-clusters", self.allowed_clusters)
            .one("token-file", self.token_file)
            .secret(TOKENS)
            .records(RULES, &RULE_MEMBERS)
            .one("sts-endpoint", self.sts_endpoint)
            .one("ecs-endpoint", self.ecs_endpoint)
            .one("ecs-recheck-interval", self.ecs_recheck_interval)
            .one("ecs-grace", self.ecs_grace)
            .one("identity-lifetime", self.identity_lifetime)
            .one("request-timeout", self.request_timeout)
            .one("head-timeout", self.head_timeout)
            .one("idle-timeout", self.idle_timeout)
            .one("stream-idle-timeout", self.stream_idle_timeout)
            .one("send-timeout", self.send_timeout)
            .one("registration-timeout", self.registration_timeout)
            .one("echo-interval", self.echo_interval)
            .one("warm-up", self.warm_up)
            .one("drain-timeout", self.drain_timeout)
            .one("max-tunnels", self.max_tunnels)
            .one("max-streams", self.max_streams)
            .one("max-connections", self.max_connections)
            .one("max-connections-per-address", self.max_connections_per_address)
            .one("max-hosts", self.max_hosts)
            .one("max-head-size", self.max_head_size)
            .one("stream-window", self.stream_window)
            .one("window-growth", self.window_growth)
            .one("tunnel-buffer", self.tunnel_buffer)
            .one("access-log", self.access_log)
            .one("access-log-file", self.access_log_file)
            .one("config", self.config)
            .one("log-level", self.log_level)
            .switch("verbose", self.verbose)
    }
}
