//! What an agent says of itself on its health port, to callers and to `health`.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::binaries::mesh_agent;
use crate::peers::caller::{HOST, Response, ask, get, read_response, request, try_ask};
use crate::peers::process::{Process, Server, agent, bare_agent, forget_surroundings, mesh};
use crate::peers::service::Service;
use crate::peers::wire::{Wire, wait_until};

const PORT: [&str; 2] = ["--health-port", "0"];

fn address(agent: &Process) -> SocketAddr {
    agent.wait_said("listening health ").parse().unwrap()
}

fn json(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

/// What `health` makes of an agent.
fn health(program: &OsStr, port: u16) -> Output {
    let mut command = Command::new(program);
    forget_surroundings(&mut command);
    command.arg("health").env("MESH_HEALTH_PORT", port.to_string()).output().unwrap()
}

#[test]
fn an_agent_with_a_tunnel_is_healthy_and_one_that_lost_it_says_why_it_is_not() {
    let (mut server, agent, _service) = mesh(&[], &PORT);
    let address = address(&agent);
    assert!(address.ip().is_loopback());
    let response = get(address, "/health");
    assert_eq!((response.status, response.field("cache-control")), (200, Some("no-store")));
    let told = json(&response);
    assert_eq!((&told["status"], &told["service"]), (&"healthy".into(), &"healthy".into()));
    assert_eq!((&told["tunnels"], &told["tunnels_wanted"]), (&1.into(), &1.into()));
    assert_eq!(told["hosts"], serde_json::json!([HOST]));
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    assert!(told["uptime_seconds"].is_u64() && told.get("reason").is_none(), "{told}");
    let programs = [OsStr::new(env!("CARGO_BIN_EXE_mesh")), mesh_agent().as_os_str()];
    for program in programs {
        let output = health(program, address.port());
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, b"healthy\n");
    }

    server.process.signal("KILL");
    server.process.wait_exit();
    wait_until("the tunnel is missed", || get(address, "/health").status == 503);
    let told = json(&get(address, "/health"));
    assert_eq!((&told["status"], &told["tunnels"]), (&"unhealthy".into(), &0.into()));
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.starts_with(&format!("no tunnel to {}: ", server.tunnels)), "{reason}");
    for program in programs {
        let output = health(program, address.port());
        assert_eq!(output.status.code(), Some(1));
        let sentence = String::from_utf8(output.stderr).unwrap();
        assert!(sentence.contains("/health answers 503, not 200: \"no tunnel to "), "{sentence}");
    }
}

#[test]
fn an_agent_says_why_its_service_is_down() {
    let (server, service) = (Server::start(&[]), Service::start("a"));
    service.set_healthy(false);
    let agent = agent(server.tunnels, &service, &PORT);
    let address = address(&agent);
    let told = || json(&get(address, "/health"));
    wait_until("it knows", || told()["service_reason"] == "answered 503");
    assert_eq!(told()["service"], "unhealthy");
}

#[test]
fn the_ingress_of_an_agent_is_not_taken_for_its_service() {
    let (server, service) = (Server::start(&[]), Service::start("a"));
    let endpoint = format!("ws://{}", server.tunnels);
    let words = ["--health-check-interval=1", PORT[0], PORT[1]];
    for port in [server.traffic, server.tunnels] {
        let looped = bare_agent(&endpoint, &format!("http://{port}"), HOST, &words);
        looped.wait_log("the local service is unhealthy: it is the ingress of this agent;");
        let told = json(&get(address(&looped), "/health"));
        let reason = told["service_reason"].as_str().expect("a reason");
        assert!(reason.starts_with("it is the ingress of this agent;"), "{reason}");
    }
    // That of another mesh may be its service.
    let other = Server::start(&[]);
    let _chained = bare_agent(
        &format!("ws://{}", other.tunnels),
        &format!("http://{}", server.traffic),
        HOST,
        &[],
    );
    other.wait_available(1);
    // What a service answers through the mesh is its own.
    let _agent = agent(server.tunnels, &service, &[]);
    server.wait_available(1);
    assert_eq!(server.get("/").field("x-mesh-ingress"), None);
}

#[test]
fn an_agent_may_publish_the_health_port_of_its_ingress() {
    let server = Server::start(&[]);
    let endpoint = format!("ws://{}", server.tunnels);
    let _agent = bare_agent(&endpoint, &format!("http://{}", server.health), HOST, &[]);
    server.wait_available(1);
    let page = server.get("/metrics");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("mesh_tunnels_available 1"), "{}", page.text());
}

#[test]
fn an_agent_that_leaves_says_so_and_serves_what_is_under_way() {
    let (server, mut agent, service) = mesh(&[], &PORT);
    let address = address(&agent);
    let mut wire = Wire::connect(server.traffic);
    wire.send(request("GET", "/hold", ""));
    service.wait_held(1);
    agent.signal("TERM");
    wait_until("it says that it leaves", || get(address, "/health").status == 503);
    assert_eq!(json(&get(address, "/health"))["reason"], "this agent is leaving");
    service.release();
    assert_eq!(read_response(&mut wire).unwrap().status, 200);
    assert!(agent.wait_exit().success());
}

#[test]
fn nothing_else_is_answered_there_and_nobody_can_hold_it() {
    let (_server, agent, _service) = mesh(&[], &PORT);
    let address = address(&agent);
    assert_eq!(get(address, "/").status, 404);
    assert_eq!(get(address, "/health?now").status, 200);
    let refused = ask(address, request("POST", "/health", "x"));
    assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, HEAD")));
    assert_eq!(ask(address, "GET /health\r\n\r\n").status, 400);
    let idle = [(); 16].map(|()| Wire::connect(address));
    drop(idle);
    wait_until("there is room again", || {
        try_ask(address, request("GET", "/health", "")).is_ok_and(|response| response.status == 200)
    });
}

#[test]
fn a_port_that_is_taken_is_named() {
    let (server, service) = (Server::start(&[]), Service::start("a"));
    let taken = server.health.to_string();
    let (ip, port) = (server.health.ip().to_string(), server.health.port().to_string());
    let mut agent = agent(server.tunnels, &service, &["--bind", &ip, "--health-port", &port]);
    assert_eq!(agent.wait_exit().code(), Some(1));
    agent.wait_log(&format!("mesh: listen on {taken} (--health-port): "));
}
