//! What operators and load balancers read: health, metrics and what is registered.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::peers::caller::{HOST, Response, ask, read_response, request};
use crate::peers::process::{Server, bare_agent, mesh};
use crate::peers::service::Service;
use crate::peers::wire::{End, Wire};

fn json(response: &Response) -> Value {
    assert_eq!(response.field("content-type"), Some("application/json"), "{response:?}");
    serde_json::from_slice(&response.body).unwrap()
}

/// A request for a page of the traffic port, with any host and more fields.
fn page(server: &Server, path: &str, host: &str, fields: &str) -> Response {
    ask(server.traffic, format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"))
}

#[test]
fn health_says_that_this_process_serves_whatever_is_connected() {
    let server = Server::start(&[]);
    for port in [server.health, server.traffic, server.tunnels] {
        let response = ask(port, format!("GET /health HTTP/1.1\r\nHost: {port}\r\n\r\n"));
        assert_eq!(response.status, 200, "{port}");
        let health = json(&response);
        assert_eq!(health["status"], "healthy");
        assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(health["tunnels"], 0);
        assert!(health["uptime_seconds"].is_u64());
    }
    assert_eq!(server.page("/ready").status, 200);
    assert_eq!(server.page("/nothing").status, 404);
    // As whoever takes us for a proxy asks (RFC 9112 3.2.2).
    for port in [server.health, server.traffic, server.tunnels] {
        let target = format!("HTTP://10.0.0.5:8080/health?{port}");
        let response = ask(port, format!("GET {target} HTTP/1.1\r\nHost: 10.0.0.5:8080\r\n\r\n"));
        assert_eq!(response.status, 200, "{port}");
        assert_eq!(json(&response)["status"], "healthy");
    }
    assert_eq!(server.page("http://ingress.example:8081/metrics").status, 200);
    assert_eq!(server.page("http://ingress.example:8081").status, 404);
    let refused = ask(server.health, request("POST", "/health", ""));
    assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn health_on_the_traffic_port_belongs_to_whoever_claims_the_host() {
    let server = Server::start(&[]);
    let service = Service::start("everything");
    let (ingress, local) = (format!("ws://{}", server.tunnels), service.url());
    let _agent = bare_agent(&ingress, &local, "*", &[]);
    server.wait_available(1);
    service.set_healthy(true);
    for host in [server.traffic.to_string(), "192.0.2.7".to_owned(), "[::1]:8080".to_owned()] {
        let response = page(&server, "/health", &host, "");
        assert_eq!(json(&response)["status"], "healthy", "an address is nobody's: {host}");
        assert_eq!(page(&server, "/", &host, "").verdict(), (404, "no_route"), "{host}");
    }
    for host in [HOST, "example.org:80"] {
        let response = page(&server, "/health", host, "");
        assert_eq!((response.status, response.body.len()), (200, 0), "the service's own: {host}");
    }
}

#[test]
fn what_is_registered_is_shown_to_this_machine_only() {
    let (server, _agent, service) =
        mesh(&[], &["--service-name", "shop", "--cluster-name", "prod"]);
    for response in [
        server.page("/debug/services"),
        page(&server, "/debug/services", "LocalHost:8080", ""),
        page(&server, "/debug/services", "[::1]:8080", ""),
        page(&server, "/debug/services", "LOCALHOST.", ""),
        page(&server, "/debug/services?pretty", "127.0.0.1", ""),
        page(&server, "http://localhost:8080/debug/services", "localhost:8080", ""),
    ] {
        let shown = json(&response);
        let agent = &shown["services"][0];
        for (key, expected) in [("service", "shop"), ("cluster", "prod")] {
            assert_eq!(agent[key], expected, "{shown}");
        }
        assert_eq!(agent["hosts"][0], HOST);
        assert_eq!(
            (&agent["healthy"], &agent["draining"]),
            (&Value::Bool(true), &Value::Bool(false))
        );
        assert!(agent["connected_seconds"].is_u64() && agent["in_flight"].is_u64());
        assert_eq!(agent["max_streams"], 1024);
        assert_eq!(shown["hosts"][0]["agents"], 1);
    }
    assert!(service.requests().is_empty());
    // A name that leads here, as any page in a browser may have one, and what a proxy or a page adds.
    for (host, field) in [
        ("attacker.example:8080", ""),
        ("localhost.example", ""),
        ("10.0.0.1", ""),
        ("localhost", "X-Forwarded-For: 127.0.0.1\r\n"),
        ("localhost", "Forwarded: for=127.0.0.1\r\n"),
        ("localhost", "Via: 1.1 proxy\r\n"),
        ("localhost", "X-Real-IP: 127.0.0.1\r\n"),
        ("localhost", "Origin: http://localhost:8080\r\n"),
    ] {
        let response = page(&server, "/debug/services", host, field);
        assert_eq!(response.verdict(), (404, "no_route"), "{host} {field}");
    }
    let absolute = format!("http://{HOST}/debug/services");
    for (target, host) in [("/debug/services", HOST), (&absolute, "localhost")] {
        let forwarded = page(&server, target, host, "");
        assert!(forwarded.text().starts_with("a: GET /debug/services"), "{forwarded:?}");
    }
    let posted = ask(server.traffic, request("POST", "/debug/services", "1"));
    assert!(posted.text().starts_with("a: POST /debug/services"), "{posted:?}");
    for path in ["/metrics", "/ready", "/debug", "/debug/services/"] {
        assert!(page(&server, path, HOST, "").text().starts_with("a: GET"), "{path}");
    }
}

/// Every sample of a page in the text format of Prometheus, checked line by line.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let (mut samples, mut types) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (key, value) = line.rsplit_once(' ').unwrap();
        let name = key.split('{').next().unwrap();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let known = types.contains_key(name)
            || base.is_some_and(|base| types.get(base).is_some_and(|kind| kind == "histogram"));
        assert!(known, "without a type: {line}");
        let labels = key.strip_prefix(name).unwrap();
        assert!(labels.is_empty() || labels.starts_with('{') && labels.ends_with("\"}"), "{line}");
        let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        assert!(samples.insert(key.to_owned(), value).is_none(), "twice: {line}");
    }
    samples
}

#[test]
fn metrics_are_well_formed_and_move() {
    let (server, _agent, _service) = mesh(&[], &[]);
    let metrics = || {
        let response = server.page("/metrics");
        assert!(response.field("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
        samples(&response.text())
    };
    let before = metrics();
    for _ in 0..3 {
        assert_eq!(ask(server.traffic, request("POST", "/", "12345")).status, 200);
    }
    assert_eq!(page(&server, "/", "nobody.local", "").verdict(), (404, "no_route"));
    assert_eq!(ask(server.traffic, "nonsense\r\n\r\n").status, 400);
    let after = metrics();
    // The sum over the samples of that name with those labels, whatever other labels there are.
    let sum = |samples: &BTreeMap<String, f64>, name: &str, labels: [&str; 2]| -> f64 {
        let is_named = |key: &str| key.split('{').next() == Some(name);
        let matches = |key: &str| labels.iter().all(|label| key.contains(label));
        samples
            .iter()
            .filter(|(key, _)| is_named(key) && matches(key))
            .map(|(_, value)| value)
            .sum()
    };
    let host = format!("host=\"{HOST}\"");
    let expected = [
        ("mesh_requests_total", [&*host, "class=\"2xx\""], 3.0),
        ("mesh_request_bytes_total", [&host, ""], 15.0),
        ("mesh_request_duration_seconds_count", [&host, ""], 3.0),
        ("mesh_request_duration_seconds_bucket", [&host, "le=\"+Inf\""], 3.0),
        ("mesh_errors_total", ["reason=\"no_route\"", ""], 1.0),
        ("mesh_errors_total", ["reason=\"bad_request\"", ""], 1.0),
        ("mesh_connections_total", ["", ""], 5.0),
        ("mesh_registrations_total", ["", ""], 0.0),
    ];
    for (name, labels, change) in expected {
        let moved = sum(&after, name, labels) - sum(&before, name, labels);
        assert!((moved - change).abs() < 1e-9, "{name}{labels:?}: {moved} instead of {change}");
    }
    assert!(sum(&after, "mesh_response_bytes_total", [&host, ""]) > 15.0);
    assert!((after["mesh_tunnels"] - 1.0).abs() < 1e-9);
}

#[test]
fn an_answer_of_the_mesh_itself_has_the_form_that_its_caller_accepts() {
    let server = Server::start(&[]);
    let text = page(&server, "/", "nobody.local", "");
    assert!(text.field("content-type").unwrap().starts_with("text/plain"));
    assert_eq!(text.text(), "No service is registered for the host nobody.local.\n");
    let response =
        page(&server, "/", "nobody.local", "Accept: text/html, application/json;q=0.5\r\n");
    let told = json(&response);
    assert_eq!((&told["error"], &told["host"]), (&"no_route".into(), &"nobody.local".into()));
    assert_eq!(told["message"], "No service is registered for the host nobody.local.");
    assert_eq!(response.verdict(), (404, "no_route"));
}

#[test]
fn a_request_on_a_rested_connection_may_come_in_pieces() {
    let server = Server::start(&["--head-timeout", "0.7"]);
    let mut wires = [server.health, server.traffic].map(Wire::connect);
    let head = "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    for wire in &mut wires {
        wire.send(head);
        assert_eq!(read_response(wire).unwrap().status, 200);
    }
    // Longer than a head may take: that is counted from its first byte.
    std::thread::sleep(Duration::from_millis(800));
    let (first, rest) = head.split_at(20);
    for wire in &mut wires {
        wire.send(first);
        assert!(wire.is_quiet_for(Duration::from_millis(50)));
        wire.send(rest);
        assert_eq!(read_response(wire).unwrap().status, 200);
    }
    let [wire, _] = &mut wires;
    wire.send(first);
    assert_eq!(wire.read_to_end(), (Vec::new(), End::Closed));
}

#[test]
fn a_connection_outlives_a_refusal_if_the_whole_request_is_there() {
    let server = Server::start(&[]);
    for (body, is_whole) in [
        ("Content-Length: 5\r\n\r\nhello", true),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n2\r\n!!\r\n0\r\nA: b\r\n\r\n", true),
        ("Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", true),
        ("Content-Length: 500000\r\n\r\nhello", false),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false),
        ("Transfer-Encoding: chunked\r\n\r\nnonsense\r\n", false),
        ("Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", false),
    ] {
        let mut wire = Wire::connect(server.traffic);
        wire.send(format!("POST / HTTP/1.1\r\nHost: nobody.local\r\n{body}"));
        let refused = read_response(&mut wire).unwrap();
        assert_eq!(refused.verdict(), (404, "no_route"), "{body:?}");
        assert_eq!(refused.is_last(), !is_whole, "{body:?}");
        if is_whole {
            wire.send("GET /health HTTP/1.1\r\nHost: nobody.local\r\n\r\n");
            assert_eq!(read_response(&mut wire).unwrap().status, 200, "{body:?}");
        }
    }
}
