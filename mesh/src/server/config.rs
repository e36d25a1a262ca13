//! From settings to an ingress [`Config`] that cannot be invalid.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use mesh_ingress::{AccessLog, Config, IdentityChecks, Limits, Timeouts};
use mesh_protocol::Security;
use mesh_settings::{Error, Settings, value};

use super::identity_config::{Identity, admission};
use super::tls::TlsFiles;

/// Everything that an ingress needs to start.
#[derive(Debug)]
pub(crate) struct Startup {
    pub(crate) listen: Addresses,
    pub(crate) config: Config,
    pub(crate) workers: WorkerCount,
    /// Where the access log goes; standard output if nowhere else.
    pub(crate) access_log_file: Option<PathBuf>,
    /// With it, TLS is spoken with callers, agents or both.
    pub(crate) tls: Option<TlsFiles>,
    /// How identities are checked.
    pub(crate) identity: Identity,
}

/// How many event loops there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkerCount {
    /// One for each core that the process may use.
    Auto,
    Exactly(u8),
}

/// More would wait for each other more than they do.
const WORKERS_MAX: u8 = 64;

impl WorkerCount {
    /// Cores are what the process may use, not what the machine has: an affinity and the quota of
    /// a container count. Nobody knows: then one.
    pub(crate) fn resolve(self) -> u8 {
        match self {
            Self::Exactly(count) => count,
            Self::Auto => std::thread::available_parallelism()
                .ok()
                .and_then(|cores| u8::try_from(cores.get()).ok())
                .unwrap_or(1)
                .min(WORKERS_MAX),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let count = digits.and_then(|digits| digits.parse().ok());
        let count = count.filter(|count| (1..=WORKERS_MAX).contains(count));
        count.map(Self::Exactly).ok_or_else(|| {
            format!("{text:?} is not a number of workers; give 1 to {WORKERS_MAX}, or auto")
        })
    }

    fn show(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::Exactly(count) => count.to_string(),
        }
    }
}

/// Where to listen.
#[derive(Debug)]
pub(crate) struct Addresses {
    pub(crate) traffic: SocketAddr,
    pub(crate) tunnels: SocketAddr,
    pub(crate) health: SocketAddr,
}

/// The load balancer's idle timeout, unless somebody changed it.
const LOAD_BALANCER_IDLE: Duration = Duration::from_secs(60);

impl Startup {
    /// Reads the settings of an ingress.
    pub(crate) fn read(settings: &mut Settings) -> Result<Self, Error> {
        let Config { traffic_port, .. } = Config::default();
        let listen = addresses(settings, traffic_port)?;
        let workers =
            settings.parsed("workers", WorkerCount::Auto, WorkerCount::parse, WorkerCount::show)?;
        let tls = TlsFiles::read(settings)?;
        let identity = Identity::read(settings)?;
        let config = Config {
            traffic_port: listen.traffic.port(),
            traffic_security: match tls.as_ref().is_some_and(|tls| tls.ports.include_traffic()) {
                true => Security::Tls,
                false => Security::Plain,
            },
            admission: admission(settings, &identity)?,
            identity: IdentityChecks {
                server_ids: identity.server_ids.clone(),
                sts_host: identity.sts_authority().map(str::to_owned),
                recheck: identity.ecs_recheck,
                lifetime: identity.lifetime,
                grace: identity.ecs_grace,
                ..IdentityChecks::default()
            },
            access_log: access_log(settings)?,
            process: String::new(),
            timeouts: timeouts(settings)?,
            limits: limits(settings)?,
        };
        let access_log_file = access_log_file(settings, config.access_log)?;
        Ok(Self { listen, config, workers, access_log_file, tls, identity })
    }
}

fn addresses(settings: &mut Settings, traffic_port: u16) -> Result<Addresses, Error> {
    let any = 0..=u16::MAX;
    let traffic = settings.number("alb-port", traffic_port, any.clone())?;
    let tunnels = settings.number("websocket-port", 8082, any.clone())?;
    let health = settings.number("health-port", 8081, any)?;
    let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let ip = settings.parsed("bind", everywhere, value::address, IpAddr::to_string)?;
    let ports = [("alb-port", traffic), ("websocket-port", tunnels), ("health-port", health)];
    for (index, (name, port)) in ports.iter().enumerate() {
        let earlier = ports[..index].iter().find(|(_, other)| other == port && *port != 0);
        if let Some((earlier, _)) = earlier {
            return Err(settings.clash(name, earlier, &format!("{port} is already the port of")));
        }
    }
    Ok(Addresses {
        traffic: SocketAddr::new(ip, traffic),
        tunnels: SocketAddr::new(ip, tunnels),
        health: SocketAddr::new(ip, health),
    })
}

fn access_log(settings: &mut Settings) -> Result<AccessLog, Error> {
    let parse = |text: &str| match text.to_ascii_lowercase().as_str() {
        "off" => Ok(AccessLog::Off),
        "text" => Ok(AccessLog::Text),
        "json" => Ok(AccessLog::Json),
        _ => Err(format!("{text:?} is not a form of the access log; give off, text or json")),
    };
    let show = |form: &AccessLog| {
        let word = match form {
            AccessLog::Off => "off",
            AccessLog::Text => "text",
            AccessLog::Json => "json",
        };
        word.to_owned()
    };
    settings.parsed("access-log", AccessLog::Off, parse, show)
}

fn access_log_file(settings: &mut Settings, form: AccessLog) -> Result<Option<PathBuf>, Error> {
    let file = settings.optional(ACCESS_LOG_FILE, |text| Ok(PathBuf::from(text)))?;
    if file.is_some() && form == AccessLog::Off {
        let culprit = settings.culprit(ACCESS_LOG_FILE);
        settings.warn(format!("{culprit}: the access log is off; --access-log says its form"));
    }
    Ok(file)
}

/// The setting to blame when the file cannot be opened.
pub(crate) const ACCESS_LOG_FILE: &str = "access-log-file";

fn timeouts(settings: &mut Settings) -> Result<Timeouts, Error> {
    let default = Timeouts::default();
    let timeouts = Timeouts {
        request: settings.seconds("request-timeout", default.request, 100..=4_000_000)?,
        head: settings.seconds("head-timeout", default.head, 100..=300_000)?,
        idle: settings.seconds("idle-timeout", default.idle, 100..=7_200_000)?,
        stream_idle: settings.seconds(
            "stream-idle-timeout",
            default.stream_idle,
            100..=86_400_000,
        )?,
        send: settings.seconds("send-timeout", default.send, 100..=3_600_000)?,
        registration: settings.seconds(
            "registration-timeout",
            default.registration,
            100..=300_000,
        )?,
        echo: settings.seconds("echo-interval", default.echo, 50..=20_000)?,
        warm_up: settings.seconds("warm-up", default.warm_up, 0..=3_600_000)?,
        drain: settings.seconds("drain-timeout", default.drain, 100..=3_600_000)?,
    };
    for warning in timeout_warnings(&timeouts, settings) {
        settings.warn(warning);
    }
    Ok(timeouts)
}

/// Timeouts that work, but not behind a load balancer that is set up as usual.
fn timeout_warnings(timeouts: &Timeouts, settings: &Settings) -> Vec<String> {
    let usual = value::show_seconds(&LOAD_BALANCER_IDLE);
    let mut warnings = Vec::new();
    if timeouts.idle <= LOAD_BALANCER_IDLE {
        warnings.push(format!(
            "{}: {} s is not more than the load balancer's idle timeout, usually {usual} s: it \
             will reuse connections that are just being closed, and answer 502",
            settings.culprit("idle-timeout"),
            value::show_seconds(&timeouts.idle),
        ));
    }
    if timeouts.request >= LOAD_BALANCER_IDLE {
        warnings.push(format!(
            "{}: {} s takes effect only if the load balancer's idle timeout, usually {usual} s, \
             is raised above it",
            settings.culprit("request-timeout"),
            value::show_seconds(&timeouts.request),
        ));
    }
    if 2 * timeouts.echo >= timeouts.request {
        let is_echo = settings.is_set("echo-interval");
        warnings.push(format!(
            "{}: requests on a tunnel that falls silent end after {} s, before it counts as lost \
             ({} s, two echo intervals), so no other agent is tried",
            settings.culprit(if is_echo { "echo-interval" } else { "request-timeout" }),
            value::show_seconds(&timeouts.request),
            value::show_seconds(&(2 * timeouts.echo)),
        ));
    }
    if timeouts.stream_idle < timeouts.request {
        warnings.push(format!(
            "{}: {} s is less than the request timeout and ends slow requests before it",
            settings.culprit("stream-idle-timeout"),
            value::show_seconds(&timeouts.stream_idle),
        ));
    }
    warnings
}

fn limits(settings: &mut Settings) -> Result<Limits, Error> {
    let default = Limits::default();
    let window = 16 * 1024..=16 * 1024 * 1024;
    let buffer = 64 * 1024..=64 * 1024 * 1024;
    Ok(Limits {
        tunnels: settings.number("max-tunnels", default.tunnels, 1..=100_000)?,
        streams_per_tunnel: settings.number(
            "max-streams",
            default.streams_per_tunnel,
            1..=65_535,
        )?,
        connections: settings.number("max-connections", default.connections, 1..=1_000_000)?,
        connections_per_address: settings.number(
            "max-connections-per-address",
            default.connections_per_address,
            1..=1_000_000,
        )?,
        hosts_per_tunnel: settings.number("max-hosts", default.hosts_per_tunnel, 1..=10_000)?,
        hosts: default.hosts,
        head_bytes: settings.size("max-head-size", default.head_bytes, 1024..=64 * 1024)?,
        stream_window: settings.size("stream-window", default.stream_window, window)?,
        window_growth: settings.size(
            "window-growth",
            default.window_growth,
            0..=64 * 1024 * 1024,
        )?,
        tunnel_bytes: settings.size("tunnel-buffer", default.tunnel_bytes, buffer)?,
    })
}
