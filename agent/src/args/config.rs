//! From settings to a [`Config`] that cannot be invalid.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mesh_protocol::proxy::Authority;
use mesh_protocol::{Proxy, Security};
use mesh_settings::{Error, Settings, value};

use super::prover::TokenSource;
use super::tls::TlsFiles;
use crate::{Config, Endpoint, HealthCheck, Identity, Limits, Timeouts};

/// Everything that an agent needs to start.
#[derive(Debug)]
pub struct Startup {
    /// What the agent is to do.
    pub config: Config,
    /// How many event loops do it.
    pub workers: u8,
    /// Where the token is that proves the agent's identity.
    pub token: Option<TokenSource>,
    /// Whom to trust with TLS, and what to show.
    pub tls: TlsFiles,
    /// Where to say how it is.
    pub health_address: Option<SocketAddr>,
}

impl Startup {
    /// Reads the settings of an agent.
    ///
    /// # Errors
    /// A setting cannot be, or does not go with another one.
    pub fn read(settings: &mut Settings) -> Result<Self, Error> {
        let ingress = settings.parsed(
            "ingress-endpoint",
            at_localhost(8082),
            ingress_endpoint,
            |endpoint| show(endpoint, ["ws", "wss"]),
        )?;
        let proxy = proxy(settings)?;
        let local =
            settings.parsed("local-endpoint", at_localhost(3000), local_endpoint, |endpoint| {
                show(endpoint, ["http", "https"])
            })?;
        let hosts = settings.list("host", value::host_pattern, String::clone)?;
        if hosts.is_empty() {
            let culprit = match settings.is_set("host") {
                true => format!("{}: this names no host", settings.culprit("host")),
                false => "--host is missing".to_owned(),
            };
            return Err(Error::new(format!(
                "{culprit}; give the host name to serve, for example --host shop.example.com"
            )));
        }
        let label = |text: &String| text.clone();
        let service = settings.parsed("service-name", String::new(), value::label, label)?;
        let cluster = settings.parsed("cluster-name", String::new(), value::label, label)?;
        let task = settings.parsed("task-arn", String::new(), task_arn, label)?;
        let container_instance =
            settings.parsed("container-instance", String::new(), container_instance_arn, label)?;
        // Written as the ingress writes what it calls itself, whatever it is dialled as.
        let dialled = || value::server_id(&ingress.host).unwrap_or_else(|_| ingress.host.clone());
        let server_id = settings.optional("server-id", value::server_id)?.unwrap_or_else(dialled);
        let token = TokenSource::read_from(settings)?;
        let health = health_check(settings)?;
        let health_address = health_address(settings)?;
        let identity = match settings.switch("skip-iam-validation")? {
            true => Identity::Skip,
            false => Identity::Offer,
        };
        let tls = TlsFiles::read(settings, ingress.security)?;
        let limits = limits(settings)?;
        let workers = worker_count(settings, &limits)?;
        Ok(Self {
            config: Config {
                ingress,
                proxy,
                local,
                hosts,
                service,
                cluster,
                task,
                container_instance,
                identity,
                server_id,
                health,
                timeouts: timeouts(settings)?,
                limits,
            },
            workers,
            token,
            tls,
            health_address,
        })
    }
}

/// The proxy on the way to the ingress.
fn proxy(settings: &mut Settings) -> Result<Option<Proxy>, Error> {
    let address = settings.optional("proxy", proxy_address)?;
    let credentials = settings.secret("proxy-credentials");
    let is_pair = |text: &String| text.contains(':') && !text.contains(char::is_control);
    if credentials.as_ref().is_some_and(|text| !is_pair(text)) {
        return Err(settings.blame("proxy-credentials", "must be a user, a colon and a password"));
    }
    if address.is_none() && credentials.is_some() {
        settings.warn("MESH_PROXY_CREDENTIALS has no effect without --proxy");
    }
    Ok(address.map(|(host, port)| Proxy::new(host, port, credentials)))
}

fn proxy_address(text: &str) -> Result<(String, u16), String> {
    let example = "http://proxy.example.com:3128";
    if text.contains('@') {
        return Err(format!(
            "a user and a password are given by the variable MESH_PROXY_CREDENTIALS, where others \
             on this machine do not see them; give here for example {example}"
        ));
    }
    if text.to_ascii_lowercase().starts_with("https://") {
        return Err(format!(
            "TLS to the proxy itself is not supported; give for example {example}"
        ));
    }
    let url = value::url(text, &["http"], example)?;
    match url.port {
        Some(port) if url.path == "/" => Ok((url.host, port)),
        Some(_) => Err(format!("{text:?} has a path; give for example {example}")),
        None => Err(format!("{text:?} has no port; give for example {example}")),
    }
}

fn health_check(settings: &mut Settings) -> Result<HealthCheck, Error> {
    let HealthCheck { path, interval, timeout, rise, fall } = HealthCheck::default();
    Ok(HealthCheck {
        path: settings.parsed("health-check-path", path, value::path, String::clone)?,
        interval: settings.seconds("health-check-interval", interval, 100..=3_600_000)?,
        timeout: settings.seconds("health-check-timeout", timeout, 100..=300_000)?,
        rise: settings.number("health-check-rise", rise, 1..=100)?,
        fall: settings.number("health-check-fall", fall, 1..=100)?,
    })
}

fn health_address(settings: &mut Settings) -> Result<Option<SocketAddr>, Error> {
    let port = settings.optional("health-port", |text| {
        let number = value::number(text)?;
        u16::try_from(number).map_err(|_| format!("{text:?} must be from 0 to {}", u16::MAX))
    })?;
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let ip = settings.parsed("bind", here, value::address, IpAddr::to_string)?;
    if port.is_none() && settings.is_set("bind") {
        let culprit = settings.culprit("bind");
        settings.warn(format!("{culprit}: nothing listens there without --health-port"));
    }
    Ok(port.map(|port| SocketAddr::new(ip, port)))
}

fn timeouts(settings: &mut Settings) -> Result<Timeouts, Error> {
    let Timeouts {
        connect,
        upstream_connect,
        upstream_idle,
        stream_idle,
        echo,
        backoff_min,
        backoff_max,
        stable,
        drain,
        give_up,
    } = Timeouts::default();
    let give_up = settings.seconds("give-up-after", give_up.unwrap_or_default(), 0..=86_400_000)?;
    let timeouts = Timeouts {
        connect: settings.seconds("connect-timeout", connect, 100..=300_000)?,
        upstream_connect: settings.seconds(
            "upstream-connect-timeout",
            upstream_connect,
            100..=300_000,
        )?,
        upstream_idle: settings.seconds("upstream-idle-timeout", upstream_idle, 100..=3_600_000)?,
        stream_idle: settings.seconds("stream-idle-timeout", stream_idle, 100..=86_400_000)?,
        echo: settings.seconds("echo-interval", echo, 50..=20_000)?,
        backoff_min: settings.seconds("reconnect-min", backoff_min, 50..=300_000)?,
        backoff_max: settings.seconds("reconnect-max", backoff_max, 50..=3_600_000)?,
        stable: settings.seconds("reconnect-reset", stable, 100..=86_400_000)?,
        drain: settings.seconds("drain-timeout", drain, 100..=3_600_000)?,
        give_up: Some(give_up).filter(|after| !after.is_zero()),
    };
    if timeouts.backoff_min > timeouts.backoff_max {
        return Err(settings.clash(
            "reconnect-min",
            "reconnect-max",
            "the first wait would be longer than the longest; see",
        ));
    }
    Ok(timeouts)
}

fn limits(settings: &mut Settings) -> Result<Limits, Error> {
    let Limits {
        tunnels,
        tunnels_per_ingress,
        streams,
        idle_upstreams,
        head_bytes,
        stream_window,
        window_growth,
    } = Limits::default();
    let limits = Limits {
        tunnels: settings.number("tunnels", tunnels, 1..=16)?,
        tunnels_per_ingress: settings.number("tunnels-per-ingress", tunnels_per_ingress, 1..=16)?,
        streams: settings.number("max-streams", streams, 1..=65_535)?,
        idle_upstreams: settings.number("max-idle-upstreams", idle_upstreams, 0..=65_535)?,
        head_bytes: settings.size("max-head-size", head_bytes, 1024..=32 * 1024)?,
        stream_window: settings.size(
            "stream-window",
            stream_window,
            16 * 1024..=16 * 1024 * 1024,
        )?,
        window_growth: settings.size("window-growth", window_growth, 0..=64 * 1024 * 1024)?,
    };
    if limits.tunnels_per_ingress > limits.streams as usize {
        return Err(settings.clash(
            "tunnels-per-ingress",
            "max-streams",
            "there would be tunnels without requests; see",
        ));
    }
    Ok(limits)
}

/// How many event loops there are: one that never had a tunnel would be of no use.
fn worker_count(settings: &mut Settings, limits: &Limits) -> Result<u8, Error> {
    let wanted = settings.number("workers", 1_usize, 1..=64)?;
    let tunnels = limits.all_tunnels();
    if wanted > tunnels {
        let culprit = settings.culprit("workers");
        settings.warn(format!(
            "{culprit} {wanted}: there are no more workers than tunnels, which are {tunnels} \
             (--tunnels times --tunnels-per-ingress)"
        ));
    }
    Ok(u8::try_from(wanted.min(tunnels)).unwrap_or(u8::MAX))
}

fn task_arn(text: &str) -> Result<String, String> {
    ecs_arn(text, "task")
}

fn container_instance_arn(text: &str) -> Result<String, String> {
    ecs_arn(text, "container-instance")
}

/// The ARN of something of this kind in ECS, or nothing.
fn ecs_arn(text: &str, kind: &str) -> Result<String, String> {
    let is_plain = text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic());
    let is_arn = text.starts_with("arn:") && text.contains(&format!(":{kind}/"));
    if text.is_empty() || (is_plain && is_arn) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is not the ARN of a {kind}; give for example \
         arn:aws:ecs:eu-central-1:123456789012:{kind}/production/0123456789abcdef0123456789abcdef"
    ))
}

fn ingress_endpoint(text: &str) -> Result<Endpoint, String> {
    parse(text, &["ws", "wss"], "ws://localhost:8082")
}

fn local_endpoint(text: &str) -> Result<Endpoint, String> {
    let example = "http://localhost:3000";
    if text.to_ascii_lowercase().starts_with("https://") {
        return Err(format!(
            "TLS to the local service is not supported; give for example {example}"
        ));
    }
    let endpoint = parse(text, &["http"], example)?;
    if endpoint.path == "/" {
        return Ok(endpoint);
    }
    Err(value::wrong_url(text, "has a path, and requests keep their own", example))
}

fn parse(text: &str, schemes: &[&str], example: &str) -> Result<Endpoint, String> {
    let url = value::url(text, schemes, example)?;
    let security = match url.scheme.as_str() {
        "wss" => Security::Tls,
        _ => Security::Plain,
    };
    Ok(Endpoint {
        host: url.host,
        port: url.port.unwrap_or_else(|| port_of(security)),
        security,
        path: url.path,
    })
}

const fn port_of(security: Security) -> u16 {
    match security {
        Security::Plain => 80,
        Security::Tls => 443,
    }
}

fn at_localhost(port: u16) -> Endpoint {
    Endpoint { host: "localhost".to_owned(), port, security: Security::Plain, path: "/".to_owned() }
}

/// The endpoint as a URL, with the scheme without or with TLS.
fn show(endpoint: &Endpoint, [plain, tls]: [&str; 2]) -> String {
    let Endpoint { host, port, security, path } = endpoint;
    let scheme = match security {
        Security::Plain => plain,
        Security::Tls => tls,
    };
    let path = path.strip_suffix('/').filter(|rest| rest.is_empty()).unwrap_or(path);
    format!("{scheme}://{}{path}", Authority(host, *port))
}
