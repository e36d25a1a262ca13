//! TLS that ends at the ingress itself: callers and agents, without a load balancer in front.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::harness::answer::{expect, take_head};
use crate::harness::origin::Origin;
use crate::peers::caller::{HOST, Response, ask, get, read_response, request};
use crate::peers::papers::{Authority, Folder};
use crate::peers::place::own_ip;
use crate::peers::process::{Process, Server, bare_agent};
use crate::peers::service::Service;
use crate::peers::wire::{AT_ONCE, End, Wire, wait_until};

/// An ingress with TLS and what belongs to it.
pub(crate) struct Secure {
    pub(crate) server: Server,
    pub(crate) authority: Authority,
    /// Whose certificates the ingress takes from agents, if it wants any.
    pub(crate) agents: Authority,
    pub(crate) folder: Folder,
}

impl Secure {
    pub(crate) fn start(words: &[&str]) -> Self {
        let ip = own_ip();
        let (authority, agents) = (Authority::new("servers"), Authority::new("agents"));
        let folder = Folder::new(ip);
        let papers = authority.issue(&[&ip.to_string()]);
        let certificate = folder.put("server.pem", &papers.certificate);
        let key = folder.put("server.key", &papers.key);
        folder.put("ca.pem", &authority.pem);
        folder.put("agents.pem", &agents.pem);
        let server = Self::serve(ip, &certificate, &key, words);
        Self { server, authority, agents, folder }
    }

    /// The same, for agents with certificates alone.
    pub(crate) fn start_for_known_agents() -> Self {
        let Self { server, authority, agents, folder } = Self::start(&[]);
        let (ip, ca) = (server.traffic.ip(), folder.path("agents.pem"));
        drop(server);
        let [certificate, key] = ["server.pem", "server.key"].map(|name| folder.path(name));
        let server = Self::serve(ip, &certificate, &key, &["--client-ca-file", &ca]);
        Self { server, authority, agents, folder }
    }

    fn serve(ip: IpAddr, certificate: &str, key: &str, words: &[&str]) -> Server {
        let ip = ip.to_string();
        let fixed = ["--bind", &ip, "--tls-cert", certificate, "--tls-key", key];
        Server::start(&[&fixed, &["--log-level", "debug"][..], words].concat())
    }

    /// An agent that trusts the ingress by `--ca-file`.
    pub(crate) fn agent(&self, service: SocketAddr, words: &[&str]) -> Process {
        let ingress = format!("wss://{}", self.server.tunnels);
        let (local, ca) = (format!("http://{service}"), self.folder.path("ca.pem"));
        let fixed = [
            "client",
            "--ingress-endpoint",
            &ingress,
            "--local-endpoint",
            &local,
            "--ca-file",
            &ca,
            "--host",
            HOST,
            "--reconnect-min",
            "0.05",
            "--reconnect-max",
            "0.2",
        ];
        Process::start(&[&fixed, words].concat())
    }

    /// A caller's connection.
    pub(crate) fn call(&self, version: &'static SupportedProtocolVersion) -> Wire {
        self.authority.connect(self.server.traffic, version)
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        let mut wire = self.call(&TLS13);
        wire.send(request("GET", path, ""));
        read_response(&mut wire).unwrap()
    }
}

/// The whole mesh.
fn mesh() -> (Secure, Process, Service) {
    let (secure, service) = (Secure::start(&[]), Service::start("a"));
    let agent = secure.agent(service.address, &[]);
    secure.server.wait_available(1);
    (secure, agent, service)
}

#[test]
fn requests_and_large_bodies_pass_on_one_connection_with_either_version() {
    let (secure, _agent, service) = mesh();
    let body = "0123456789abcdef".repeat(256 * 1024);
    for version in [&TLS12, &TLS13] {
        let mut wire = secure.call(version);
        for path in ["/first", "/second"] {
            wire.send(request("GET", path, ""));
            let response = read_response(&mut wire).unwrap();
            assert!(response.text().starts_with(&format!("a: GET {path}")), "{response:?}");
            assert!(!response.is_last(), "{response:?}");
        }
        wire.send(request("POST", "/large", &body));
        let response = read_response(&mut wire).unwrap();
        assert!(response.text().ends_with(&body), "{} bytes came back", response.body.len());
        wire.finish();
        assert_eq!(wire.read_to_end(), (Vec::new(), End::Closed));
    }
    assert_eq!(service.requests().len(), 6);
    for request in service.requests() {
        assert!(request.head.contains("X-Forwarded-Proto: https\r\n"), "{}", request.head);
    }
    secure.server.process.expect_log("listening for traffic", 1);
    secure.server.process.expect_log(" with TLS", 2);
}

#[test]
fn tls_may_be_spoken_with_agents_alone() {
    let (secure, service) = (Secure::start(&["--tls-ports", "websocket"]), Service::start("a"));
    let _agent = secure.agent(service.address, &[]);
    secure.server.wait_available(1);
    assert_eq!(get(secure.server.traffic, "/plain").status, 200);
    let head = &service.requests()[0].head;
    assert!(head.contains("X-Forwarded-Proto: http\r\n"), "{head}");
    secure.server.process.expect_log(" with TLS", 1);
}

#[test]
fn tls_may_be_spoken_with_callers_alone() {
    let (secure, service) = (Secure::start(&["--tls-ports", "alb"]), Service::start("a"));
    let ingress = format!("ws://{}", secure.server.tunnels);
    let _agent = bare_agent(&ingress, &service.url(), HOST, &[]);
    secure.server.wait_available(1);
    assert_eq!(secure.get("/secret").status, 200);
    let head = &service.requests()[0].head;
    assert!(head.contains("X-Forwarded-Proto: https\r\n"), "{head}");
    secure.server.process.expect_log(" with TLS", 1);
}

#[test]
fn a_scheme_that_somebody_in_front_wrote_stays() {
    let (secure, _agent, service) = mesh();
    let mut wire = secure.call(&TLS13);
    wire.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-Proto: http\r\n\r\n"));
    assert_eq!(read_response(&mut wire).unwrap().status, 200);
    let head = &service.requests()[0].head;
    assert!(head.contains("X-Forwarded-Proto: http\r\n"), "{head}");
}

#[test]
fn an_upgraded_connection_passes_both_ways() {
    let (secure, origin) = (Secure::start(&[]), Origin::start());
    let _agent = secure.agent(origin.address, &[]);
    secure.server.wait_available(1);
    let mut wire = secure.call(&TLS13);
    wire.send(format!(
        "GET /chat HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    ));
    let mut call = origin.next();
    call.wire.send(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst",
    );
    let head = take_head(&mut wire).unwrap();
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
    expect(&mut wire, "first");
    wire.send("second");
    expect(&mut call.wire, "second");
    wire.finish();
    assert_eq!(call.wire.read_to_end(), (Vec::new(), End::Closed));
    call.wire.send("third");
    expect(&mut wire, "third");
    call.wire.finish();
    assert_eq!(wire.read_to_end(), (Vec::new(), End::Closed));
}

/// Nothing says of a body that breaks off that it is whole. What was upgraded is its own master.
#[test]
fn a_caller_that_closes_without_the_goodbye_of_tls_has_ended_what_it_upgraded() {
    let (secure, origin) = (Secure::start(&[]), Origin::start());
    let _agent = secure.agent(origin.address, &[]);
    secure.server.wait_available(1);
    let said = vec![b'm'; 1_000_000];
    for version in [&TLS12, &TLS13] {
        let mut wire = secure.call(version);
        wire.send(format!(
            "GET /chat HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n"
        ));
        let mut call = origin.next();
        call.wire.send("HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n");
        take_head(&mut wire).unwrap();
        wire.send(&said);
        drop(wire);
        let (heard, end) = call.wire.read_to_end();
        assert_eq!((heard.len(), end), (said.len(), End::Closed), "{version:?}");
        drop(call);
        secure.server.wait_metric("mesh_requests_in_flight", 0);
        assert_eq!(secure.server.metric("mesh_caller_aborts_total", ""), 0);
    }
    let mut wire = secure.call(&TLS13);
    wire.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 9\r\n\r\nhalf"));
    let mut call = origin.next();
    expect(&mut call.wire, "half");
    drop(wire);
    assert_eq!(call.wire.read_to_end(), (Vec::new(), End::Reset));
}

/// Where the end of the connection is the end of the answer, the goodbye of TLS says that it is whole.
#[test]
fn an_answer_that_breaks_off_ends_without_the_goodbye_that_a_whole_one_has() {
    let (secure, origin) = (Secure::start(&[]), Origin::start());
    let _agent = secure.agent(origin.address, &[]);
    secure.server.wait_available(1);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let until_close = "HTTP/1.1 200 OK\r\n\r\nhello";
    for version in [&TLS12, &TLS13] {
        for (answer, is_reset, end) in [
            (chunked, false, End::Reset),
            (chunked, true, End::Reset),
            (until_close, true, End::Reset),
            (until_close, false, End::Closed),
        ] {
            let mut wire = secure.call(version);
            wire.send(format!("GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n"));
            let mut call = origin.next();
            call.wire.send(answer);
            take_head(&mut wire).unwrap();
            expect(&mut wire, "hello");
            if is_reset {
                call.wire.abort();
            } else {
                drop(call);
            }
            let what = format!("{version:?}, reset: {is_reset}: {answer}");
            assert_eq!(wire.read_to_end(), (Vec::new(), end), "{what}");
        }
    }
}

#[test]
fn who_does_not_trust_the_certificate_leaves_and_hurts_nobody() {
    let (secure, _agent, _service) = mesh();
    let stranger = Authority::new("strangers");
    let mut wire = stranger.connect(secure.server.traffic, &TLS13);
    let error = wire.try_send(request("GET", "/", "")).unwrap_err().to_string();
    assert!(error.contains("UnknownIssuer"), "{error}");
    drop(wire);
    secure.server.process.wait_log("the TLS handshake failed: received fatal alert: UnknownCA");
    assert_eq!(secure.get("/").status, 200);
}

/// Whether a program is there; when not, the test says what it leaves out.
fn has(program: &str, argument: &str) -> bool {
    let found = Command::new(program).arg(argument).stdout(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("{program} is not installed: it is not tried");
    }
    found
}

#[test]
fn curl_is_served() {
    let (secure, _agent, _service) = mesh();
    if !has("curl", "--version") {
        return;
    }
    let url = format!("https://{}/", secure.server.traffic);
    let host = format!("Host: {HOST}");
    let output = |arguments: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--header", &host]);
        curl.args(arguments).arg(&url).output().unwrap()
    };
    let ca = secure.folder.path("ca.pem");
    for version in ["--tlsv1.2", "--tlsv1.3", "--http1.1"] {
        let output = output(&["--cacert", &ca, version]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.starts_with("a: GET / HTTP/1.1"), "{version}: {output:?}");
    }
    let refused = output(&["--cacert", &secure.folder.path("agents.pem")]);
    assert!(!refused.status.success(), "{refused:?}");
}

#[test]
fn openssl_is_served_unless_its_version_is_too_old() {
    let (secure, _agent, _service) = mesh();
    if !has("openssl", "version") {
        return;
    }
    let output = |arguments: &[&str]| {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-quiet", "-verify_return_error", "-CAfile"]);
        client.arg(secure.folder.path("ca.pem")).args(arguments);
        client.args(["-connect", &secure.server.traffic.to_string()]);
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = client.spawn().unwrap();
        let last = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
        let _ = client.stdin.as_mut().unwrap().write_all(last.as_bytes());
        client.wait_with_output().unwrap()
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let output = output(&[version]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("a: GET / HTTP/1.1"), "{version}: {output:?}");
    }
    let refused = output(&["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]);
    assert!(!refused.status.success(), "{refused:?}");
    assert!(refused.stdout.is_empty(), "{refused:?}");
}

#[test]
fn a_stalled_handshake_is_cut_in_the_time_for_a_head_or_a_registration() {
    let words = ["--head-timeout", "0.5", "--registration-timeout", "0.7"];
    let secure = Secure::start(&words);
    let opened_at = Instant::now();
    let cases = [(secure.server.traffic, 500), (secure.server.tunnels, 700)];
    let mut wires = Vec::new();
    for (address, time) in cases {
        // Nothing at all, and the beginning of a hello.
        for bytes in [&[][..], &[22, 3, 1, 2, 0, 1, 0]] {
            let mut wire = Wire::connect(address);
            wire.send(bytes);
            wires.push((wire, Duration::from_millis(time)));
        }
    }
    for (mut wire, time) in wires {
        let (said, end) = wire.read_to_end();
        assert_eq!(end, End::Closed);
        assert_eq!(said, [21, 3, 3, 0, 2, 1, 0], "a goodbye of TLS and nothing else");
        let waited = opened_at.elapsed();
        assert!(
            waited + Duration::from_millis(50) >= time && waited < time + AT_ONCE,
            "{waited:?}"
        );
    }
    secure.server.process.wait_log("the TLS handshake was not over in time");
}

#[test]
fn a_caller_that_has_shaken_hands_may_think_longer_than_its_head_may_take() {
    let secure = Secure::start(&["--head-timeout", "0.3", "--idle-timeout", "10"]);
    for version in [&TLS12, &TLS13] {
        let mut wire = secure.call(version);
        // A TLS write of nothing is the handshake alone.
        wire.send("");
        assert!(wire.is_quiet_for(Duration::from_millis(800)));
        wire.send(request("GET", "/", ""));
        assert_eq!(read_response(&mut wire).unwrap().verdict(), (404, "no_route"));
    }
}

#[test]
fn plain_http_is_told_goodbye_and_health_stays_plain() {
    let (secure, _agent, service) = mesh();
    for address in [secure.server.traffic, secure.server.tunnels] {
        let mut wire = Wire::connect(address);
        wire.send(request("GET", "/", ""));
        let (said, end) = wire.read_to_end();
        assert_eq!((said[0], said.len(), end), (21, 7, End::Closed), "an alert and nothing else");
    }
    let process = &secure.server.process;
    wait_until("both are logged", || process.log_count("the peer does not speak TLS") == 2);
    assert!(service.requests().is_empty());
    let health = get(secure.server.health, "/health");
    assert_eq!(health.status, 200);
    let on_traffic = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", secure.server.traffic);
    let mut wire = secure.call(&TLS12);
    wire.send(&on_traffic);
    assert_eq!(read_response(&mut wire).unwrap().status, 200);
    assert_eq!(ask(secure.server.health, &on_traffic).status, 200);
}
