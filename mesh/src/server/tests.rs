use std::collections::BTreeMap;

use argh::FromArgs;
use mesh_settings::{Environment, Error, Settings};

use super::ServerArgs;
use super::config::Startup;

fn settings(words: &[&str], variables: &[(String, &str)]) -> Settings {
    let args = ServerArgs::from_args(&["mesh", "server"], words).unwrap();
    let environment: Environment =
        variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    Settings::load(args.flags(), environment).unwrap()
}

fn read(words: &[&str]) -> Result<Startup, Error> {
    Startup::read(&mut settings(words, &[]))
}

/// Another value than the default for each setting that ends up in the configuration, and what is
/// other there.
const OTHERS: [(&str, &str, &[&str]); 35] = [
    ("alb-port", "0", &["traffic: 0.0.0.0:0", "traffic_port: 0"]),
    ("websocket-port", "0", &["tunnels: 0.0.0.0:0"]),
    ("health-port", "0", &["health: 0.0.0.0:0"]),
    ("bind", "::1", &["traffic: [::1]:8080", "tunnels: [::1]:8082", "health: [::1]:8081"]),
    ("workers", "3", &["workers: 3"]),
    ("tls-cert", "/etc/mesh.pem", &["identity: \"/etc/mesh.pem\""]),
    ("tls-key", "/etc/mesh.key", &["identity: \"/etc/mesh.key\""]),
    ("tls-ports", "alb", &["ports: Alb"]),
    ("skip-iam-validation", "true", &["admission: Anyone"]),
    (
        "server-id",
        "mesh.example.com",
        &["server_ids: \"mesh.example.com\"", "server_ids: \"mesh.example.com\""],
    ),
    (
        "sts-endpoint",
        "http://127.0.0.1:5055",
        &["sts_host: \"127.0.0.1:5055\"", "sts_endpoint: \"http://127.0.0.1:5055\""],
    ),
    ("ecs-endpoint", "http://127.0.0.1:5056", &["ecs_endpoint: \"http://127.0.0.1:5056\""]),
    ("ecs-recheck-interval", "61", &["recheck: 61s", "ecs_recheck: 61s"]),
    ("ecs-grace", "901", &["grace: 901s", "ecs_grace: 901s"]),
    ("identity-lifetime", "3600", &["lifetime: 3600s", "lifetime: 3600s"]),
    ("request-timeout", "31", &["request: 31s"]),
    ("head-timeout", "11", &["head: 11s"]),
    ("idle-timeout", "76", &["idle: 76s"]),
    ("stream-idle-timeout", "3601", &["stream_idle: 3601s"]),
    ("send-timeout", "61", &["send: 61s"]),
    ("registration-timeout", "12", &["registration: 12s"]),
    ("echo-interval", "16", &["echo: 16s"]),
    ("warm-up", "1", &["warm_up: 1s"]),
    ("drain-timeout", "26", &["drain: 26s"]),
    ("max-tunnels", "1001", &["tunnels: 1001"]),
    ("max-streams", "1025", &["streams_per_tunnel: 1025"]),
    ("max-connections", "20001", &["connections: 20001"]),
    ("max-connections-per-address", "10001", &["connections_per_address: 10001"]),
    ("max-hosts", "65", &["hosts_per_tunnel: 65"]),
    ("max-head-size", "63KiB", &["head_bytes: 64512"]),
    ("stream-window", "128KiB", &["stream_window: 131072"]),
    ("window-growth", "1MiB", &["window_growth: 1048576"]),
    ("tunnel-buffer", "1MiB", &["tunnel_bytes: 1048576"]),
    ("access-log", "json", &["access_log: Json"]),
    (
        "access-log-file",
        "/var/log/mesh/access.log",
        &["access_log_file: \"/var/log/mesh/access.log\""],
    ),
];

/// What makes a policy does not go together with accepting everyone.
const POLICY: [&str; 6] =
    ["allowed-role-arns", "allowed-clusters", "token-file", "tokens", "rules", "client-ca-file"];

/// The values of the configuration, each with the name of its field.
fn leaves(start: &Startup) -> Vec<String> {
    let mut leaves = Vec::new();
    let mut field = "";
    let text = format!("{start:#?}");
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['}', ']', ')'])) {
        let name = line.split_once(": ").map(|(name, _)| name);
        match (name, line.strip_suffix(',')) {
            (Some(_), Some(leaf)) => leaves.push(leaf.to_owned()),
            (None, Some(value)) => leaves.push(format!("{field}: {value}")),
            (Some(name), None) => field = name,
            (None, None) => {}
        }
    }
    leaves
}

#[test]
fn every_field_of_the_configuration_has_a_setting() {
    let by_default = read(&[]).unwrap();
    let variables: Vec<(String, &str)> =
        OTHERS.iter().map(|(name, value, _)| (Environment::variable(name), *value)).collect();
    let other = leaves(&Startup::read(&mut settings(&[], &variables)).unwrap());
    for (line, other) in leaves(&by_default).iter().zip(&other) {
        // There are no more numbers for hosts than that; tests of the ingress take fewer. The word of the
        // process is drawn when it begins.
        let is_fixed =
            ["hosts: 65536", "process: \"\""].iter().any(|fixed| line.starts_with(fixed));
        assert!(line != other || is_fixed, "this cannot be changed: {line}");
    }
    let names = ServerArgs::from_args(&["mesh"], &[]).unwrap().flags();
    for name in names.names() {
        let elsewhere = ["config", "log-level", "verbose"].contains(&name);
        assert!(
            elsewhere || POLICY.contains(&name) || OTHERS.iter().any(|(other, ..)| *other == name),
            "{name} has no other value here"
        );
    }
}

/// What has to be set for a setting to matter; of a pair, both.
fn company(name: &str) -> &'static [(&'static str, &'static str)] {
    match name {
        "tls-cert" | "tls-key" | "tls-ports" => &[("tls-cert", "a.pem"), ("tls-key", "a.key")],
        _ => &[],
    }
}

#[test]
fn a_setting_changes_what_it_names_and_nothing_else() {
    for (name, value, expected) in OTHERS {
        let mut variables: BTreeMap<_, _> = company(name)
            .iter()
            .map(|(name, value)| (Environment::variable(name), *value))
            .collect();
        let read = |variables: &BTreeMap<String, &str>| {
            let variables: Vec<_> = variables.clone().into_iter().collect();
            leaves(&Startup::read(&mut settings(&[], &variables)).unwrap())
        };
        let mut before = read(&variables);
        variables.insert(Environment::variable(name), value);
        let mut changed = read(&variables);
        changed.retain(|line| {
            let found = before.iter().position(|other| other == line);
            found.map(|at| before.remove(at)).is_none()
        });
        assert_eq!(changed, expected, "{name}");
    }
}

#[test]
fn the_help_shows_each_setting_with_its_default() {
    let help = ServerArgs::from_args(&["mesh", "server"], &["--help"]).unwrap_err();
    let help = help.output.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut settings = settings(&[], &[]);
    Startup::read(&mut settings).unwrap();
    for line in settings.report().lines() {
        let (name, value) = line.trim_start_matches("# ").split_once(": ").unwrap();
        let value = value.split_whitespace().next().unwrap();
        if ["tokens", "rules"].contains(&name) {
            assert!(!help.contains(&format!("--{name} ")), "{name} is no flag");
            continue;
        }
        let (_, description) = help.split_once(&format!("--{name} ")).unwrap();
        let (_, default) = description.split_once("[default: ").unwrap();
        assert!(default.starts_with(&format!("{value}]")), "{name}: {default:.40}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_one_sentence() {
    let cases: [(&[&str], &str); 15] = [
        (
            &["--alb-port", "8081"],
            "--alb-port: 8081 is already the port of --health-port (by default); change one of \
             them",
        ),
        (
            &["--alb-port", "1", "--websocket-port", "1"],
            "--websocket-port: 1 is already the port of --alb-port; change one of them",
        ),
        (&["--alb-port", "65536"], "--alb-port: \"65536\" is out of bounds; give 0 to 65535"),
        (&["--bind", "localhost"], "--bind: \"localhost\" is not an IP address"),
        (
            &["--skip-iam-validation", "--allowed-role-arns", "arn:aws:iam::1:role/a"],
            "--allowed-role-arns: \"arn:aws:iam::1:role/a\" must have an account of 12 digits",
        ),
        (
            &["--max-head-size", "65KiB"],
            "--max-head-size: \"65KiB\" is out of bounds; give 1KiB to 64KiB",
        ),
        (
            &["--max-head-size", "1023"],
            "--max-head-size: \"1023\" is out of bounds; give 1KiB to 64KiB",
        ),
        (
            &["--tls-cert", "a.pem"],
            "--tls-cert: the private key of the certificate is missing; give its file with \
             --tls-key",
        ),
        (
            &["--tls-key", "a.key"],
            "--tls-key: the certificate of the key is missing; give its file with --tls-cert",
        ),
        (
            &["--client-ca-file", "ca.pem"],
            "--client-ca-file: agents can show certificates only with TLS; give --tls-cert and \
             --tls-key too",
        ),
        (
            &["--tls-ports", "alb"],
            "--tls-ports: no port speaks TLS without a certificate; give --tls-cert and --tls-key \
             too",
        ),
        (
            &["--tls-cert", "a", "--tls-key", "b", "--tls-ports", "alb", "--client-ca-file", "c"],
            "--client-ca-file: agents show certificates on the WebSocket port, which speaks no \
             TLS because of --tls-ports",
        ),
        (&["--max-streams", "0"], "--max-streams: \"0\" is out of bounds; give 1 to 65535"),
        (
            &["--access-log", "xml"],
            "--access-log: \"xml\" is not a form of the access log; give off, text or json",
        ),
        (&["--request-timeout", "0"], "--request-timeout: \"0\" must be more than 0 seconds"),
    ];
    for (words, expected) in cases {
        let error = read(words).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{words:?}: {error}");
    }
}

#[test]
fn what_is_strange_behind_a_load_balancer_is_a_warning() {
    let cases: [(&[&str], &str); 9] = [
        (&["--idle-timeout", "60"], "--idle-timeout: 60 s is not more than the load balancer's"),
        (&["--request-timeout", "60"], "--request-timeout: 60 s takes effect only if"),
        (
            &["--stream-idle-timeout", "29"],
            "--stream-idle-timeout: 29 s is less than the request timeout",
        ),
        (
            &["--request-timeout", "20"],
            "--request-timeout: requests on a tunnel that falls silent end after 20 s, before it",
        ),
        (
            &["--echo-interval", "15"],
            "--echo-interval: requests on a tunnel that falls silent end after 30 s, before it \
             counts as lost (30 s, two echo intervals)",
        ),
        (&["--echo-interval", "9.9", "--request-timeout", "20"], ""),
        (&["--access-log-file", "a.log"], "--access-log-file: the access log is off"),
        (&["--access-log", "TEXT", "--access-log-file", "a.log"], ""),
        (&["--request-timeout", "59.9", "--idle-timeout", "60.1"], ""),
    ];
    for (words, expected) in cases {
        let mut settings = settings(words, &[]);
        Startup::read(&mut settings).unwrap();
        let warnings = settings.warnings().concat();
        assert_eq!(warnings.is_empty(), expected.is_empty(), "{warnings}");
        assert!(warnings.starts_with(expected), "{words:?}: {warnings}");
    }
}
