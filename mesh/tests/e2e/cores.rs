//! Agents with several tunnels to one ingress and several workers: all tunnels serve, and come back
//! or leave together.

use std::collections::BTreeMap;

use crate::peers::balancer::{Balancer, Choice, Target};
use crate::peers::caller::{read_response, request};
use crate::peers::load::Load;
use crate::peers::process::{Server, agent};
use crate::peers::service::Service;
use crate::peers::wire::Wire;

/// Callers at once.
const CALLERS: usize = 6;
/// Answers between two steps.
const SOME: usize = 150;
/// What gives an agent two of everything.
const TWO: [&str; 4] = ["--tunnels-per-ingress", "2", "--workers", "2"];

fn two_workers() -> Server {
    Server::start(&["--workers", "2"])
}

/// Requests by worker of the ingress, as its page says.
fn requests(server: &Server) -> BTreeMap<u64, u64> {
    let page: serde_json::Value =
        serde_json::from_str(&server.page("/debug/services").text()).unwrap();
    let tunnels = page["services"].as_array().unwrap().iter();
    let number = |tunnel: &serde_json::Value, name: &str| tunnel[name].as_u64().unwrap();
    tunnels.map(|tunnel| (number(tunnel, "worker"), number(tunnel, "requests"))).collect()
}

/// So many requests that the service holds, one after the other.
fn hold(server: &Server, service: &Service, count: usize) -> Vec<Wire> {
    let held = (1..=count).map(|count| {
        let mut wire = Wire::connect(server.traffic);
        wire.send(request("POST", "/hold", "slow"));
        service.wait_held(count);
        wire
    });
    held.collect()
}

#[test]
fn all_tunnels_of_an_agent_serve_and_callers_stay_with_theirs() {
    let (server, service) = (two_workers(), Service::start("a"));
    let agent = agent(server.tunnels, &service, &TWO);
    server.wait_available(2);
    let load = Load::start(server.traffic, CALLERS);
    load.wait_served(2 * SOME);
    assert_eq!(load.stop(), Vec::<String>::new());
    let requests = requests(&server);
    assert!(requests.len() == 2 && requests.values().all(|count| *count >= 30), "{requests:?}");
    let (moves, callers) =
        (server.metric("mesh_moves_total", ""), server.metric("mesh_connections_total", ""));
    assert!(moves <= callers, "{moves} moves of {callers} connections");
    agent.expect_log("registered demo.local", 2);
    let page = server.page("/debug/services").text();
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    assert_eq!(page["hosts"][0]["agents"], 1, "{page}");
}

#[test]
fn all_tunnels_come_back_to_an_ingress_that_was_killed() {
    let (mut server, service) = (two_workers(), Service::start("a"));
    let agent = agent(server.tunnels, &service, &TWO);
    server.wait_available(2);
    let mut held = hold(&server, &service, 2);
    let place = server.place();
    server.process.signal("KILL");
    server.process.wait_exit();
    let server = Server::start_at(place, &["--workers", "2"]);
    for wire in &mut held {
        assert!(read_response(wire).is_err(), "nobody answers for one that was killed");
    }
    service.wait_abandoned(2);
    server.wait_available(2);
    let load = Load::start(server.traffic, CALLERS);
    load.wait_served(SOME);
    assert_eq!(load.stop(), Vec::<String>::new());
    assert_eq!(requests(&server).len(), 2, "one tunnel at each worker");
    agent.wait_log(" was lost: ");
    agent.wait_log("(1 of 2 left); connecting again");
    agent.wait_log("no tunnel to");
}

#[test]
fn an_agent_that_leaves_finishes_what_all_of_its_tunnels_carry() {
    let (server, service) = (two_workers(), Service::start("a"));
    let mut agent = agent(server.tunnels, &service, &TWO);
    server.wait_available(2);
    let mut held = hold(&server, &service, 4);
    assert_eq!(requests(&server), BTreeMap::from([(0, 2), (1, 2)]));
    agent.signal("TERM");
    server.wait_available(0);
    agent.wait_log("draining (worker 0): 2 exchanges");
    agent.wait_log("draining (worker 1): 2 exchanges");
    assert!(agent.is_running(), "it left requests behind");
    service.release();
    for wire in &mut held {
        assert!(read_response(wire).unwrap().text().ends_with("slow"));
    }
    assert_eq!(agent.wait_exit().code(), Some(0), "{}", agent.log());
    server.wait_metric("mesh_tunnels", 0);
}

#[test]
fn draining_one_of_two_agents_under_load_fails_nothing_with_two_tunnels_each() {
    let server = two_workers();
    let services = ["a", "b"].map(Service::start);
    let mut first = agent(server.tunnels, &services[0], &TWO);
    let _second = agent(server.tunnels, &services[1], &TWO);
    server.wait_available(4);
    let load = Load::start(server.traffic, CALLERS);
    load.wait_served(SOME);
    first.signal("TERM");
    assert_eq!(first.wait_exit().code(), Some(0), "{}", first.log());
    load.wait_served(SOME);
    assert_eq!(load.stop(), Vec::<String>::new());
    for service in &services {
        assert!(!service.requests().is_empty(), "one of them did nothing");
    }
}

#[test]
fn an_agent_with_more_tunnels_gets_no_more_requests() {
    let server = two_workers();
    let services = ["a", "b"].map(Service::start);
    let _three = agent(server.tunnels, &services[0], &["--tunnels-per-ingress", "3"]);
    server.wait_available(3);
    // The first worker has two of these, so the single one is the other's: a caller that is sent to it
    // must not be drawn for once more there.
    let _one = agent(server.tunnels, &services[1], &[]);
    server.wait_available(4);
    for _ in 0..300 {
        assert_eq!(server.get("/").status, 200);
    }
    let counts = services.each_ref().map(|service| service.requests().len());
    // An even coin gives fewer than 110 of 300 once in 300,000 times.
    assert!(counts.iter().all(|count| *count >= 110), "{counts:?}");
}

#[test]
fn tunnels_are_counted_for_each_ingress() {
    let servers = [two_workers(), two_workers()];
    let targets =
        servers.each_ref().map(|server| Target { address: server.tunnels, health: server.health });
    let balancer = Balancer::start_by(Choice::InTurn, "/health", &targets);
    let service = Service::start("a");
    let _agent = agent(balancer.address, &service, &[&["--tunnels", "2"], &TWO[..]].concat());
    for server in &servers {
        server.wait_available(2);
        for _ in 0..10 {
            assert_eq!(server.get("/").status, 200);
        }
    }
}
