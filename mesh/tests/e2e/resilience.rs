//! What callers notice when agents, services and ingresses break: as little as possible, and never
//! a wait for a timeout.

use std::time::Instant;

use crate::peers::caller::{Cut, ask, find, get, read_response, request};
use crate::peers::process::{Process, Server, agent, bare_agent, mesh};
use crate::peers::service::Service;
use crate::peers::wire::{AT_ONCE, Wire, wait_until};

/// Two agents with a service each.
struct Pair {
    server: Server,
    agents: [Process; 2],
    services: [Service; 2],
}

impl Pair {
    fn start(server: &[&str]) -> Self {
        let server = Server::start(server);
        let services = ["a", "b"].map(Service::start);
        let agents = [0, 1].map(|index| agent(server.tunnels, &services[index], &[]));
        server.wait_available(2);
        Self { server, agents, services }
    }

    /// Sends a request that is held; the number of the service that holds it.
    fn hold(&self, bytes: &str) -> (Wire, usize) {
        let mut wire = Wire::connect(self.server.traffic);
        wire.send(bytes);
        wait_until("one service holds it", || {
            self.services.iter().any(|service| service.held() > 0)
        });
        (wire, usize::from(self.services[1].held() > 0))
    }
}

#[test]
fn a_killed_agent_costs_its_requests_at_once() {
    let (server, agent_a, service) = mesh(&[], &[]);
    let mut get_wire = Wire::connect(server.traffic);
    let mut post_wire = Wire::connect(server.traffic);
    get_wire.send(request("GET", "/hold", ""));
    post_wire.send(request("POST", "/hold", "body"));
    service.wait_held(2);
    let killed_at = Instant::now();
    agent_a.signal("KILL");
    for wire in [&mut get_wire, &mut post_wire] {
        let response = read_response(wire).unwrap();
        assert_eq!(response.verdict(), (502, "agent_lost"));
    }
    assert!(killed_at.elapsed() < AT_ONCE, "{:?}", killed_at.elapsed());
    assert_eq!(get(server.traffic, "/").verdict(), (503, "no_healthy_agent"));

    let _agent_b = agent(server.tunnels, &service, &[]);
    server.wait_available(1);
    assert_eq!(get(server.traffic, "/").status, 200);
    // The connection on which the request failed goes on.
    post_wire.send(request("GET", "/again", ""));
    assert_eq!(read_response(&mut post_wire).unwrap().status, 200);
}

#[test]
fn a_response_that_a_killed_agent_leaves_unfinished_is_cut() {
    let (server, agent, service) = mesh(&[], &[]);
    let mut wire = Wire::connect(server.traffic);
    wire.send(request("GET", "/half", ""));
    wire.wait(|bytes| find(bytes, b"half")).unwrap();
    let killed_at = Instant::now();
    agent.signal("KILL");
    assert!(matches!(read_response(&mut wire), Err(Cut::Short(_))));
    assert!(killed_at.elapsed() < AT_ONCE, "{:?}", killed_at.elapsed());
    service.wait_abandoned(1);
}

#[test]
fn an_idempotent_request_on_a_killed_agent_is_answered_by_another() {
    let pair = Pair::start(&[]);
    let (mut wire, first) = pair.hold(&request("GET", "/hold?get", ""));
    pair.agents[first].signal("KILL");
    let second = 1 - first;
    pair.services[second].wait_held(1);
    pair.services[second].release();
    let response = read_response(&mut wire).unwrap();
    assert_eq!(response.status, 200);
    assert!(response.text().starts_with(["a", "b"][second]), "{}", response.text());
    pair.server.wait_metric("mesh_retries_total", 1);
}

#[test]
fn a_post_that_may_have_been_served_is_not_repeated() {
    let pair = Pair::start(&[]);
    let (mut wire, first) = pair.hold(&request("POST", "/hold", "pay"));
    pair.agents[first].signal("KILL");
    assert_eq!(read_response(&mut wire).unwrap().verdict(), (502, "agent_lost"));
    assert_eq!(pair.services[1 - first].requests().len(), 0);
}

#[test]
fn what_a_service_refuses_to_take_is_answered_by_another_agent_whatever_the_method() {
    let server = Server::start(&[]);
    let (gone, there) = (Service::start("gone"), Service::start("there"));
    let (local, ingress) = (gone.url(), format!("ws://{}", server.tunnels));
    // Believed to be healthy for as long as this test runs.
    let _blind = bare_agent(&ingress, &local, "demo.local", &["--health-check-fall", "100"]);
    let _agent = agent(server.tunnels, &there, &[]);
    server.wait_available(2);
    drop(gone);
    for turn in 0..30 {
        let method = ["POST", "PATCH", "DELETE", "GET"][turn % 4];
        let body = "x".repeat(turn * 6_997);
        let body = if method == "GET" { String::new() } else { body };
        let response = ask(server.traffic, request(method, "/", &body));
        assert_eq!(response.verdict(), (200, "none"), "{method} {turn}");
        assert!(response.text().starts_with("there: ") && response.text().ends_with(&body));
    }
    assert_eq!(there.requests().len(), 30, "each request is served once");
    assert!(server.metric("mesh_retries_total", "") >= 1, "the first agent was never tried");
}

#[test]
fn agents_find_a_restarted_ingress_by_themselves() {
    let (mut server, agent, _service) = mesh(&[], &[]);
    let place = server.place();
    server.process.signal("KILL");
    server.process.wait_exit();
    agent.wait_log("connecting again in");
    let server = Server::start_at(place, &[]);
    server.wait_available(1);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_service_that_is_down_is_found_out_and_so_is_its_return() {
    let (server, agent, service) = mesh(&[], &[]);
    let address = service.address;
    drop(service);
    // Until the health check has noticed, the first callers find out.
    let mut verdicts = Vec::new();
    wait_until("the service counts as unhealthy", || {
        let response = server.get("/");
        verdicts.push((response.status, response.error().to_owned()));
        response.status == 503
    });
    let response = server.get("/");
    assert_eq!(response.verdict(), (503, "no_healthy_agent"));
    assert!(response.field("retry-after").is_some());
    assert_eq!(verdicts[0], (502, "upstream_connect".to_owned()), "{verdicts:?}");
    agent.wait_log("the local service is unhealthy");

    let _service = Service::start_at("a", address);
    server.wait_available(1);
    assert_eq!(server.get("/").status, 200);
    agent.wait_log("the local service is healthy");
}

#[test]
fn a_service_that_says_it_is_unhealthy_gets_no_requests() {
    let (server, _agent, service) = mesh(&[], &[]);
    service.set_healthy(false);
    server.wait_available(0);
    assert_eq!(server.get("/").verdict(), (503, "no_healthy_agent"));
    service.set_healthy(true);
    server.wait_available(1);
    assert_eq!(server.get("/").status, 200);
    assert_eq!(service.requests().len(), 1);
}

#[test]
fn a_stopped_agent_is_noticed_within_two_echo_intervals_and_comes_back() {
    let pair = Pair::start(&["--echo-interval", "0.5"]);
    let (mut wire, first) = pair.hold(&request("GET", "/hold", ""));
    let mut post = Wire::connect(pair.server.traffic);
    let second = 1 - first;
    pair.agents[first].signal("STOP");
    pair.services[second].wait_held(1);
    pair.services[second].release();
    assert!(read_response(&mut wire).unwrap().text().starts_with(["a", "b"][second]));
    pair.server.process.expect_log("silent for two echo intervals", 1);
    post.send(request("POST", "/", "x"));
    assert_eq!(read_response(&mut post).unwrap().status, 200);

    pair.agents[first].signal("CONT");
    pair.server.wait_available(2);
}

#[test]
fn a_stopped_agent_alone_costs_its_requests_as_soon_as_it_is_noticed() {
    let (server, agent, service) = mesh(&["--echo-interval", "0.3"], &[]);
    let mut wire = Wire::connect(server.traffic);
    wire.send(request("POST", "/hold", "x"));
    service.wait_held(1);
    let stopped_at = Instant::now();
    agent.signal("STOP");
    assert_eq!(read_response(&mut wire).unwrap().verdict(), (502, "agent_lost"));
    assert!(stopped_at.elapsed() < AT_ONCE, "{:?}", stopped_at.elapsed());
    agent.signal("CONT");
    server.wait_available(1);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_stopped_ingress_is_noticed_by_the_agent_which_reconnects_when_it_goes_on() {
    let (server, agent, _service) = mesh(&["--echo-interval", "0.3"], &["--echo-interval", "0.3"]);
    let stopped_at = Instant::now();
    server.process.signal("STOP");
    agent.wait_log("silent for two echo intervals");
    assert!(stopped_at.elapsed() < AT_ONCE, "{:?}", stopped_at.elapsed());
    server.process.signal("CONT");
    wait_until("the agent is back", || server.get("/").status == 200);
}
