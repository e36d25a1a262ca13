//! Which service a request reaches, and what is said when it is none.

use std::net::SocketAddr;
use std::process::Command;

use crate::harness::answer::Answer;
use crate::harness::binaries;
use crate::harness::mesh::{Mesh, TestApp, client, mesh_agent};
use crate::harness::origin::Origin;
use crate::peers::process::{Process, Server};
use crate::peers::wire::{PATIENCE, Wire, wait_until};

fn ask(address: SocketAddr, target: &str, fields: &str) -> Answer {
    let mut caller = Wire::connect(address);
    caller.send(format!("GET {target} HTTP/1.1\r\n{fields}\r\n\r\n"));
    Answer::read(&mut caller)
}

/// The words of the documentation, with ports that are free on this machine.
#[test]
fn the_quick_start_works_word_for_word() {
    let app = TestApp::start();
    let server = "server --alb-port 8080 --websocket-port 8082 --request-timeout 30";
    let server = server.replace("8080", "0").replace("8082", "0");
    let server = Process::spawn(
        Command::new(binaries::MESH).args(server.split(' ')).env("MESH_HEALTH_PORT", "0"),
    );
    let port = |name: &str| {
        let address = server.wait_said(&format!("listening {name} 0.0.0.0:"));
        address.parse::<u16>().unwrap()
    };
    let client = "client --ingress-endpoint ws://127.0.0.1:8082 --local-endpoint \
                  http://127.0.0.1:3000 --host demo.local --service-name test-app --cluster-name \
                  dev-cluster --health-check-path /api/health --skip-iam-validation";
    let client = client
        .replace("8082", &port("tunnels").to_string())
        .replace("127.0.0.1:3000", &app.address.to_string());
    let _client = Process::spawn(Command::new(binaries::MESH).args(client.split_whitespace()));
    let traffic = SocketAddr::from(([127, 0, 0, 1], port("traffic")));
    let answer = || ask(traffic, "/api/health", "Host: demo.local");
    wait_until("curl succeeds", || answer().status == 200);
    assert!(answer().text().contains("\"healthy\""), "{:?}", answer());
}

#[test]
fn the_small_binary_serves_like_mesh_client() {
    let (server, app) = (Server::start(&[]), TestApp::start());
    let _agent = mesh_agent(server.tunnels, app.address, &["demo.local"]);
    server.wait_available(1);
    assert_eq!(ask(server.traffic, "/api/bytes/100000", "Host: demo.local").body.len(), 100_000);
}

#[test]
fn one_client_serves_all_its_hosts_and_no_others() {
    let (server, app) = (Server::start(&[]), TestApp::start());
    let hosts = ["a.example", "*.b.example,c.example"];
    let _client = client(server.tunnels, app.address, &hosts);
    server.wait_available(1);
    let cases = [
        ("a.example", 200),
        ("A.EXAMPLE.:443", 200),
        ("x.b.example", 200),
        ("x.y.b.example", 200),
        ("c.example", 200),
        ("b.example", 404),
        ("xb.example", 404),
        ("x.a.example", 404),
        ("127.0.0.1", 404),
    ];
    for (host, status) in cases {
        assert_eq!(ask(server.traffic, "/", &format!("Host: {host}")).status, status, "{host}");
    }
}

#[test]
fn a_host_that_nobody_registered_is_404_and_one_without_an_agent_503() {
    let mesh = Mesh::start();
    let (Mesh { server, client }, _app) = mesh;
    assert_eq!(ask(server.traffic, "/", "Host: other.local").verdict(), (404, "no_route".into()));
    drop(client);
    server.wait_metric("mesh_tunnels", 0);
    let answer = ask(server.traffic, "/", "Host: demo.local");
    assert_eq!(answer.verdict(), (503, "no_healthy_agent".into()));
    assert_eq!(answer.values("retry-after"), ["1"]);
    assert_eq!(ask(server.traffic, "/", "Host: other.local").verdict(), (404, "no_route".into()));
}

#[test]
fn only_the_host_decides_where_a_request_goes() {
    let (mesh, origin) = Mesh::start_by_hand();
    for fields in [
        "Host: other.local\r\nX-Forwarded-Host: demo.local",
        "Host: other.local\r\nForwarded: host=demo.local",
        "X-Forwarded-Host: demo.local\r\nHost: other.local:80",
        "Host: other.local\r\nX-Original-Host: demo.local\r\nX-Host: demo.local",
    ] {
        let answer = ask(mesh.server.traffic, "/", fields);
        assert_eq!(answer.verdict(), (404, "no_route".into()), "{fields:?}");
    }
    // The authority of an absolute target is the host (RFC 9112 3.2.2).
    let answer = ask(mesh.server.traffic, "http://other.local/", "Host: demo.local");
    assert_eq!(answer.verdict(), (404, "no_route".into()));
    assert!(origin.is_untouched());
}

#[test]
fn errors_are_in_the_form_that_the_caller_accepts() {
    let server = Server::start(&[]);
    let cases = [
        ("", "text/plain; charset=utf-8"),
        ("\r\nAccept: */*", "text/plain; charset=utf-8"),
        ("\r\nAccept: text/html, text/plain;q=0.9", "text/plain; charset=utf-8"),
        ("\r\nAccept: Application/JSON", "application/json"),
        ("\r\nAccept: text/html, application/json;q=0.9", "application/json"),
    ];
    for (accept, content_type) in cases {
        let answer = ask(server.traffic, "/", &format!("Host: demo.local{accept}"));
        assert_eq!(answer.values("content-type"), [content_type]);
        let is_json = answer.text().starts_with("{\"error\":\"no_route\"");
        assert_eq!(is_json, content_type == "application/json", "{answer:?}");
    }
}

#[test]
fn health_checks_of_the_load_balancer_are_not_for_services() {
    let server = Server::start(&[]);
    let origin = Origin::start();
    let _client = client(server.tunnels, origin.address, &["*", "demo.local"]);
    server.wait_available(1);
    let answer = ask(server.traffic, "/health", &format!("Host: {}", server.traffic));
    assert!(answer.text().contains("\"tunnels\":1"), "{answer:?}");
    // Whoever registers a host gets its /health, too.
    let answer = ask(server.traffic, "/health", "Host: demo.local");
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
}

#[test]
fn a_connection_serves_many_hosts_one_after_another() {
    let server = Server::start(&[]);
    let origins = [Origin::start(), Origin::start()];
    let _clients = [
        client(server.tunnels, origins[0].address, &["a.local"]),
        client(server.tunnels, origins[1].address, &["b.local"]),
    ];
    server.wait_available(2);
    let mut caller = Wire::connect(server.traffic);
    caller.send(
        "GET /1 HTTP/1.1\r\nHost: a.local\r\n\r\nGET /2 HTTP/1.1\r\nHost: nobody.local\r\n\r\n\
         GET /3 HTTP/1.1\r\nHost: b.local\r\n\r\n",
    );
    let mut first = origins[0].next();
    assert!(caller.is_quiet_for(PATIENCE / 100));
    first.approve();
    assert_eq!(Answer::read(&mut caller).status, 200);
    assert_eq!(Answer::read(&mut caller).verdict(), (404, "no_route".into()));
    let mut third = origins[1].next();
    assert!(third.text().starts_with("GET /3 "), "{third:?}");
    third.approve();
    assert_eq!(Answer::read(&mut caller).status, 200);
}
