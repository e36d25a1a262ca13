use std::collections::BTreeMap;

use argh::FromArgs;
use mesh_settings::{Environment, Error, Settings};

use super::{ClientArgs, Startup, TokenSource, start};
use crate::Identity;

fn settings(words: &[&str], variables: &[(String, &str)]) -> Settings {
    let args = ClientArgs::from_args(&["mesh-agent"], words).unwrap();
    let environment: Environment =
        variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    Settings::load(args.flags(), environment).unwrap()
}

fn read(words: &[&str]) -> Result<Startup, Error> {
    Startup::read(&mut settings(words, &[]))
}

/// Another value than the default for each setting that ends up in the configuration, and what is
/// other there.
const OTHERS: [(&str, &str, &[&str]); 39] = [
    (
        "ingress-endpoint",
        "wss://mesh.example/agents",
        &[
            "host: \"mesh.example\"",
            "port: 443",
            "security: Tls",
            "path: \"/agents\"",
            "server_id: \"mesh.example\"",
        ],
    ),
    ("proxy", "http://proxy.example:3128", &["proxy: proxy.example:3128"]),
    ("local-endpoint", "http://[::1]:80", &["host: \"::1\"", "port: 80"]),
    ("host", "a.example", &["hosts: \"a.example\""]),
    ("service-name", "shop", &["service: \"shop\""]),
    ("cluster-name", "prod", &["cluster: \"prod\""]),
    ("health-check-path", "/api/health", &["path: \"/api/health\""]),
    ("health-check-interval", "20", &["interval: 20s"]),
    ("health-check-timeout", "1", &["timeout: 1s"]),
    ("health-check-rise", "3", &["rise: 3"]),
    ("health-check-fall", "4", &["fall: 4"]),
    ("health-port", "8081", &["health_address: 127.0.0.1:8081"]),
    ("bind", "::1", &["health_address: [::1]:8081"]),
    ("skip-iam-validation", "true", &["identity: Skip"]),
    ("server-id", "mesh.other.example", &["server_id: \"mesh.other.example\""]),
    ("token-file", "/etc/mesh/token", &["token: \"/etc/mesh/token\""]),
    (
        "task-arn",
        "arn:aws:ecs:eu-central-1:1:task/1",
        &["task: \"arn:aws:ecs:eu-central-1:1:task/1\""],
    ),
    (
        "container-instance",
        "arn:aws:ecs:eu-central-1:1:container-instance/1",
        &["container_instance: \"arn:aws:ecs:eu-central-1:1:container-instance/1\""],
    ),
    ("ca-file", "/etc/ca.pem", &["authorities: \"/etc/ca.pem\""]),
    ("client-cert", "/etc/agent.pem", &["identity: \"/etc/agent.pem\""]),
    ("client-key", "/etc/agent.key", &["identity: \"/etc/agent.key\""]),
    ("connect-timeout", "11", &["connect: 11s"]),
    ("upstream-connect-timeout", "12", &["upstream_connect: 12s"]),
    ("upstream-idle-timeout", "13", &["upstream_idle: 13s"]),
    ("stream-idle-timeout", "14", &["stream_idle: 14s"]),
    ("echo-interval", "16", &["echo: 16s"]),
    ("reconnect-min", "2", &["backoff_min: 2s"]),
    ("reconnect-max", "40", &["backoff_max: 40s"]),
    ("reconnect-reset", "50", &["stable: 50s"]),
    ("give-up-after", "120", &["give_up: 120s"]),
    ("drain-timeout", "29", &["drain: 29s"]),
    ("max-streams", "100", &["streams: 100"]),
    ("tunnels", "2", &["tunnels: 2"]),
    ("tunnels-per-ingress", "3", &["tunnels_per_ingress: 3"]),
    ("workers", "4", &["workers: 4"]),
    ("max-idle-upstreams", "0", &["idle_upstreams: 0"]),
    ("max-head-size", "16KiB", &["head_bytes: 16384"]),
    ("stream-window", "1MiB", &["stream_window: 1048576"]),
    ("window-growth", "0", &["window_growth: 0"]),
];

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
    let by_default = read(&["--host", "x"]).unwrap();
    let variables: Vec<(String, &str)> =
        OTHERS.iter().map(|(name, value, _)| (Environment::variable(name), *value)).collect();
    let other = leaves(&Startup::read(&mut settings(&[], &variables)).unwrap());
    let unchanged: Vec<String> = leaves(&by_default)
        .into_iter()
        .zip(&other)
        .filter(|(line, other)| line == *other)
        .map(|(line, _)| line)
        .collect();
    // Of the local endpoint, which speaks plain HTTP without a path of its own.
    assert_eq!(unchanged, ["security: Plain", "path: \"/\""]);
    let names = ClientArgs::from_args(&["mesh-agent"], &[]).unwrap().flags();
    for name in names.names() {
        let everywhere =
            ["config", "log-level", "verbose", "token", "proxy-credentials"].contains(&name);
        assert!(
            everywhere || OTHERS.iter().any(|(other, ..)| *other == name),
            "{name} has no other value here"
        );
    }
}

/// What has to be set for a setting to matter; of a pair, both.
fn company(name: &str) -> &'static [(&'static str, &'static str)] {
    match name {
        "bind" => &[("health-port", "8081")],
        "client-cert" | "client-key" => &[
            ("ingress-endpoint", "wss://a.example"),
            ("client-cert", "a.pem"),
            ("client-key", "a.key"),
        ],
        "workers" => &[("tunnels", "4")],
        _ => &[],
    }
}

#[test]
fn a_setting_changes_what_it_names_and_nothing_else() {
    for (name, value, expected) in OTHERS {
        let mut variables: BTreeMap<_, _> = std::iter::once(&("host", "x"))
            .chain(company(name))
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
    let help = ClientArgs::from_args(&["mesh-agent"], &["--help"]).unwrap_err();
    let help = help.output.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut settings = settings(&["--host", "x"], &[]);
    Startup::read(&mut settings).unwrap();
    for line in settings.report().lines().filter(|line| line.ends_with("# default")) {
        let (name, value) = line.trim_start_matches("# ").split_once(": ").unwrap();
        if ["token", "proxy-credentials"].contains(&name) {
            assert!(!help.contains(&format!("--{name} ")), "a secret is never typed");
            continue;
        }
        let value = value.split_whitespace().next().unwrap();
        let value = if value == "\"\"" { "none" } else { value };
        let (_, description) = help.split_once(&format!("--{name} ")).unwrap();
        let (_, default) = description.split_once("[default: ").unwrap();
        assert!(default.starts_with(&format!("{value}]")), "{name}: {default:.40}");
    }
}

/// Each command line is refused with a sentence that begins like this.
fn check(cases: &[(&[&str], &str)]) {
    for (words, expected) in cases {
        let error = read(words).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{words:?}: {error}");
        assert!(!error.contains("pw"), "{error}");
    }
}

#[test]
fn hosts_and_endpoints_that_cannot_be_are_refused_with_one_sentence() {
    check(&[
        (&[], "--host is missing; give the host name to serve"),
        (&["--host", ","], "--host: this names no host; give the host name to serve"),
        (&["--host", ""], "--host: this names no host; give the host name to serve"),
        (&["--host", "a:80"], "--host: \"a:80\" is not a host name; give it without the port"),
        (
            &["--host", "a", "--server-id", "x:1"],
            "--server-id: \"x:1\" is neither a host name nor an address; give it without scheme, port",
        ),
        (
            &["--host", "a", "--local-endpoint", "https://localhost"],
            "--local-endpoint: TLS to the local service is not supported",
        ),
        (
            &["--host", "a", "--local-endpoint", "http://localhost/base"],
            "--local-endpoint: \"http://localhost/base\" has a path, and requests keep their own",
        ),
        (
            &["--host", "a", "--ingress-endpoint", "https://mesh.example"],
            "--ingress-endpoint: \"https://mesh.example\" must begin with ws:// or wss://",
        ),
        (
            &["--host", "a", "--ingress-endpoint", "wss://me:pw@mesh.example"],
            "--ingress-endpoint: a user name or password in a URL is not supported",
        ),
        (
            &["--host", "a", "--proxy", "http://me:pw@proxy.example:3128"],
            "--proxy: a user and a password are given by the variable MESH_PROXY_CREDENTIALS",
        ),
        (
            &["--host", "a", "--proxy", "https://proxy.example:3128"],
            "--proxy: TLS to the proxy itself is not supported",
        ),
        (
            &["--host", "a", "--proxy", "http://proxy.example"],
            "--proxy: \"http://proxy.example\" has no port; give for example http://proxy.example.com",
        ),
        (
            &["--host", "a", "--proxy", "http://proxy.example:1/x"],
            "--proxy: \"http://proxy.example:1/x\" has a path",
        ),
        (
            &["--host", "a", "--proxy", "socks5://proxy.example:1080"],
            "--proxy: \"socks5://proxy.example:1080\" must begin with http://",
        ),
        (
            &["--host", "a", "--ingress-endpoint", "wss://a", "--client-cert", "a.pem"],
            "--client-cert: the private key of the certificate is missing; give its file with \
             --client-key",
        ),
        (
            &["--host", "a", "--ingress-endpoint", "wss://a", "--client-key", "a.key"],
            "--client-key: the certificate of the key is missing; give its file with --client-cert",
        ),
        (
            &["--host", "a", "--client-cert", "a.pem", "--client-key", "a.key"],
            "--client-cert: a certificate can be shown only with wss://, and not with ws:// as in \
             --ingress-endpoint (by default)",
        ),
    ]);
}

#[test]
fn an_arn_has_to_be_of_the_kind_that_is_asked_for() {
    let arn = |kind: &str| format!("arn:aws:ecs:eu-central-1:123456789012:{kind}/production/1");
    let (task, instance) = ("task", "container-instance");
    for (flag, kind, other) in
        [("--task-arn", task, instance), ("--container-instance", instance, task)]
    {
        assert!(read(&["--host", "a", flag, &arn(kind)]).is_ok());
        for wrong in [&arn(other), "foo", "arn:aws:s3:::foo"] {
            let expected = format!(
                "{flag}: {wrong:?} is not the ARN of a {kind}; give for example \
                 arn:aws:ecs:eu-central-1:123456789012:{kind}/production/"
            );
            check(&[(&["--host", "a", flag, wrong], &expected)]);
        }
    }
}

#[test]
fn values_out_of_bounds_are_refused_with_one_sentence() {
    check(&[
        (
            &["--host", "a", "--health-check-path", "health"],
            "--health-check-path: \"health\" must begin with a slash",
        ),
        (
            &["--host", "a", "--health-check-rise", "0"],
            "--health-check-rise: \"0\" is out of bounds; give 1 to 100",
        ),
        (
            &["--host", "a", "--echo-interval", "31"],
            "--echo-interval: \"31\" is out of bounds; give 0.05 to 20 seconds",
        ),
        (
            &["--host", "a", "--max-head-size", "64KiB"],
            "--max-head-size: \"64KiB\" is out of bounds; give 1KiB to 32KiB",
        ),
        (
            &["--host", "a", "--stream-window", "1KiB"],
            "--stream-window: \"1KiB\" is out of bounds; give 16KiB to 16MiB",
        ),
        (
            &["--host", "a", "--max-streams", "65536"],
            "--max-streams: \"65536\" is out of bounds; give 1 to 65535",
        ),
        (
            &["--host", "a", "--tunnels-per-ingress", "17"],
            "--tunnels-per-ingress: \"17\" is out of bounds; give 1 to 16",
        ),
        (
            &["--host", "a", "--tunnels-per-ingress", "3", "--max-streams", "2"],
            "--tunnels-per-ingress: there would be tunnels without requests; see --max-streams",
        ),
        (&["--host", "a", "--workers", "0"], "--workers: \"0\" is out of bounds; give 1 to 64"),
        (
            &["--host", "a", "--reconnect-max", "0.5"],
            "--reconnect-max: the first wait would be longer than the longest; see --reconnect-min \
             (by default)",
        ),
    ]);
}

#[test]
fn the_quick_start_of_the_documents_is_understood() {
    let start = read(&[
        "--ingress-endpoint",
        "ws://127.0.0.1:8082",
        "--local-endpoint",
        "http://127.0.0.1:3000",
        "--host",
        "demo.local",
        "--service-name",
        "test-app",
        "--cluster-name",
        "dev-cluster",
        "--health-check-path",
        "/api/health",
        "--skip-iam-validation",
    ])
    .unwrap();
    assert_eq!(start.config.ingress.port, 8082);
    assert_eq!(start.config.local.port, 3000);
    assert_eq!(start.config.hosts, ["demo.local"]);
    assert_eq!(start.config.health.path, "/api/health");
    assert_eq!(start.config.identity, Identity::Skip);
}

#[test]
fn ports_come_from_the_scheme_when_none_is_given() {
    let cases = [("ws://a", 80), ("wss://a", 443), ("wss://a:8443", 8443)];
    for (url, port) in cases {
        let start = read(&["--host", "a", "--ingress-endpoint", url]).unwrap();
        assert_eq!(start.config.ingress.port, port, "{url}");
    }
}

#[test]
fn there_are_no_more_workers_than_tunnels() {
    let count = |words: &[&str]| read(&[&["--host", "a"], words].concat()).unwrap().workers;
    assert_eq!(count(&[]), 1);
    assert_eq!(count(&["--workers", "8", "--tunnels", "3", "--tunnels-per-ingress", "2"]), 6);
    let many = ["--workers", "64", "--tunnels", "16", "--tunnels-per-ingress", "16"];
    assert_eq!(count(&many), 64);
    let mut few = settings(&["--host", "a", "--workers", "2"], &[]);
    Startup::read(&mut few).unwrap();
    assert!(few.warnings()[0].starts_with("--workers 2: there are no more workers than tunnels"));
    let mut few = settings(&["--host", "a"], &[("MESH_WORKERS".to_owned(), "3")]);
    Startup::read(&mut few).unwrap();
    assert!(few.warnings()[0].starts_with("MESH_WORKERS 3: "), "{:?}", few.warnings());
}

#[test]
fn what_has_no_effect_is_a_warning_with_its_origin() {
    let warnings = |words: &[&str], variables: &[(String, &str)]| {
        let mut settings = settings(&[&["--host", "a"], words].concat(), variables);
        Startup::read(&mut settings).unwrap();
        settings.warnings().to_vec()
    };
    let without_port = |culprit| format!("{culprit}: nothing listens there without --health-port");
    assert_eq!(warnings(&["--bind", "::1"], &[]), [without_port("--bind")]);
    let variable = ("MESH_BIND".to_owned(), "::1");
    assert_eq!(warnings(&[], &[variable]), [without_port("MESH_BIND")]);
    assert_eq!(warnings(&["--bind", "::1", "--health-port", "0"], &[]), [""; 0]);
    let expected = "--ca-file: it has no effect: the ingress endpoint is ws:// and not wss://";
    assert_eq!(warnings(&["--ca-file", "a.pem"], &[]), [expected]);
}

#[test]
fn tunnels_to_one_ingress_share_the_requests() {
    let words = ["--host", "a", "--tunnels", "2", "--tunnels-per-ingress", "3"];
    let limits = read(&words).unwrap().config.limits;
    assert_eq!((limits.all_tunnels(), limits.streams_per_tunnel()), (6, 341));
}

#[test]
fn a_token_that_no_ingress_knows_is_refused_without_being_shown() {
    let token = |word: &str| TokenSource::Variable(word.to_owned()).token();
    for word in
        [String::new(), "a".repeat(15), "a".repeat(1025), format!("edge {}", "a".repeat(16))]
    {
        let sentence = token(&word).unwrap_err();
        assert!(sentence.starts_with("MESH_TOKEN holds no token: "), "{sentence}");
        assert!(!sentence.contains("aaa"), "{sentence}");
    }
    assert_eq!(token(&format!(" {}\n", "a".repeat(16))), Ok("a".repeat(16)));
    assert_eq!(token(&"a".repeat(1024)), Ok("a".repeat(1024)));
}

#[test]
fn what_a_proxy_wants_to_know_is_a_user_and_a_password_and_never_shown() {
    let proxy = |value: &'static str| {
        let words = ["--host", "a", "--proxy", "http://[2001:db8::1]:3128"];
        let mut settings = settings(&words, &[("MESH_PROXY_CREDENTIALS".to_owned(), value)]);
        let start = Startup::read(&mut settings);
        assert!(!settings.report().contains("pass:word"), "{}", settings.report());
        start.map(|start| start.config.proxy.unwrap()).map_err(|error| error.to_string())
    };
    let known = proxy("user:pass:word").unwrap();
    assert_eq!((known.host.as_str(), known.port), ("2001:db8::1", 3128));
    assert_eq!(known.credentials(), Some("user:pass:word"));
    assert_eq!(proxy("user:").unwrap().credentials(), Some("user:"));
    for wrong in ["user", "a\r\nb:c"] {
        let complaint = "MESH_PROXY_CREDENTIALS: must be a user, a colon and a password";
        assert_eq!(proxy(wrong).unwrap_err(), complaint);
    }
    let credentials = [("MESH_PROXY_CREDENTIALS".to_owned(), "user:password")];
    let mut idle = settings(&["--host", "a"], &credentials);
    assert_eq!(Startup::read(&mut idle).unwrap().config.proxy, None);
    assert_eq!(idle.warnings(), ["MESH_PROXY_CREDENTIALS has no effect without --proxy"]);
}

#[test]
fn the_ingress_is_to_call_itself_as_it_is_dialled() {
    let expected = |words: &[&str]| {
        let words = [&["--host", "a.example"], words].concat();
        read(&words).unwrap().config.server_id
    };
    for url in ["wss://Mesh.Example:8082", "wss://mesh.example.:8082"] {
        assert_eq!(expected(&["--ingress-endpoint", url]), "mesh.example");
    }
    assert_eq!(expected(&["--server-id", "Other.Example."]), "other.example");
    for wrong in ["", "https://mesh.example.com", "*.example.com"] {
        let words = ["--host", "a.example", "--server-id", wrong];
        let error = read(&words).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("--server-id: "), "{error}");
    }
    for url in ["ws://[::1]:8082", "ws://[0:0::0:1]:8082"] {
        assert_eq!(expected(&["--ingress-endpoint", url]), "::1");
    }
}

#[test]
fn the_first_line_of_the_log_names_addresses_as_they_are_written() {
    let words = [
        "--ingress-endpoint",
        "ws://[::1]:8082",
        "--local-endpoint",
        "http://[::1]:3000",
        "--host",
        "a.example",
        "--proxy",
        "http://[::1]:3128",
    ];
    let line = start::introduction(&read(&words).unwrap().config);
    let places = "serves a.example from [::1]:3000 through the ingress at [::1]:8082 and the proxy \
                  [::1]:3128";
    assert!(line.ends_with(places), "{line}");
}
