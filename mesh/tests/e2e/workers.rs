//! Three workers, each with one agent: callers move from one to the other, and nobody notices.

use std::collections::BTreeSet;
use std::thread;

use crate::harness::answer::{Body, take_head, values};
use crate::harness::mesh::{TestApp, client};
use crate::harness::origin::{Call, Origin};
use crate::peers::caller::{read_response, request};
use crate::peers::load::Load;
use crate::peers::process::{Process, Server, agent};
use crate::peers::service::Service;
use crate::peers::wire::{End, Wire};

/// Agents with a host each and one in common, and their services.
struct Three {
    server: Server,
    agents: Vec<Process>,
    services: Vec<Service>,
}

const NAMES: [&str; 3] = ["a", "b", "c"];

impl Three {
    fn start(words: &[&str]) -> Self {
        let server = Server::start(&[&["--workers", "3"], words].concat());
        let services: Vec<_> = NAMES.iter().map(|name| Service::start(name)).collect();
        let mut agents = Vec::new();
        for (name, service) in NAMES.iter().zip(&services) {
            let host = format!("{name}.local");
            agents.push(agent(server.tunnels, service, &["--host", &host]));
            server.wait_available(u32::try_from(agents.len()).unwrap());
        }
        Self { server, agents, services }
    }

    /// A connection for each agent, on which it has answered.
    fn settled(&self) -> Vec<Wire> {
        let wires = NAMES.iter().map(|name| {
            let mut wire = Wire::connect(self.server.traffic);
            wire.send(at(name, "GET", "/", ""));
            assert_eq!(read_response(&mut wire).unwrap().status, 200);
            wire
        });
        wires.collect()
    }
}

/// A request for the host of one agent.
fn at(name: &str, method: &str, path: &str, body: &str) -> String {
    request(method, path, body).replace("Host: demo.local", &format!("Host: {name}.local"))
}

#[test]
fn one_connection_reaches_the_agents_of_all_workers() {
    let three = Three::start(&[]);
    let mut wire = Wire::connect(three.server.traffic);
    for turn in 0..30 {
        let name = NAMES[turn % 3];
        let body = "x".repeat(turn * 1000);
        wire.send(at(name, "POST", &format!("/{turn}"), &body));
        let response = read_response(&mut wire).unwrap();
        assert_eq!(response.text(), format!("{name}: POST /{turn} HTTP/1.1\n{body}"));
    }
    assert!(three.server.metric("mesh_moves_total", "") >= 29);
    assert_eq!(three.server.metric("mesh_workers", ""), 3);
}

#[test]
fn pipelined_requests_are_answered_in_their_order_by_any_worker() {
    let three = Three::start(&[]);
    let mut wire = Wire::connect(three.server.traffic);
    let ask = |turn: usize| at(NAMES[turn % 3], "GET", &format!("/{turn}"), "");
    wire.send((0..60).map(ask).collect::<String>());
    for turn in 0..60 {
        let expected = format!("{}: GET /{turn} HTTP/1.1\n", NAMES[turn % 3]);
        assert_eq!(read_response(&mut wire).unwrap().text(), expected);
    }
}

#[test]
fn megabytes_follow_a_caller_that_moved_both_ways() {
    let server = Server::start(&["--workers", "3"]);
    let apps = [0, 1, 2].map(|_| TestApp::start());
    let mut clients = Vec::new();
    for (name, app) in NAMES.iter().zip(&apps) {
        clients.push(client(server.tunnels, app.address, &[&format!("{name}.local")]));
        server.wait_available(u32::try_from(clients.len()).unwrap());
    }
    thread::scope(|scope| {
        for first in 0..4 {
            let server = &server;
            scope.spawn(move || {
                let mut wire = Wire::connect(server.traffic);
                for turn in 0..6 {
                    let name = NAMES[(first + turn) % 3];
                    let body = "y".repeat(3_000_000);
                    wire.send(at(name, "POST", "/api/echo", &body));
                    let echoed = read_response(&mut wire).unwrap();
                    assert_eq!(echoed.status, 200, "{}", echoed.head);
                    assert!(echoed.text().contains("\"body_size\":3000000"), "{}", echoed.head);
                    wire.send(at(name, "GET", "/api/bytes/2000000", ""));
                    assert_eq!(read_response(&mut wire).unwrap().body.len(), 2_000_000);
                }
            });
        }
    });
}

/// What is needed of a WebSocket here: that bytes pass both ways once it is agreed on.
#[test]
fn an_upgrade_works_on_a_connection_that_moved() {
    let server = Server::start(&["--workers", "2"]);
    let apps = [TestApp::start(), TestApp::start()];
    let mut clients = Vec::new();
    for (name, app) in NAMES.iter().zip(&apps) {
        clients.push(client(server.tunnels, app.address, &[&format!("{name}.local")]));
        server.wait_available(u32::try_from(clients.len()).unwrap());
    }
    let mut wire = Wire::connect(server.traffic);
    wire.send(at("a", "GET", "/api/health", ""));
    assert_eq!(read_response(&mut wire).unwrap().status, 200);
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    wire.send(format!("GET /ws HTTP/1.1\r\nHost: b.local\r\n{upgrade}"));
    let head = wire.wait(|bytes| bytes.windows(4).position(|end| end == b"\r\n\r\n")).unwrap() + 4;
    let head = String::from_utf8(wire.take(head)).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    // A ping of two bytes under a mask of zeros, and its pong.
    wire.send([0x89, 0x82, 0, 0, 0, 0, b'h', b'i']);
    wire.wait(|bytes| bytes.windows(4).any(|pong| pong == [0x8a, 2, b'h', b'i']).then_some(()))
        .expect("a pong");
}

/// Two workers, each with the agent of a service that answers by hand, and a connection on which
/// the first one has answered.
struct ByHand {
    _server: Server,
    _clients: [Process; 2],
    origins: [Origin; 2],
    wire: Wire,
}

impl ByHand {
    fn start() -> Self {
        let server = Server::start(&["--workers", "2"]);
        let origins = [Origin::start(), Origin::start()];
        let join = |number: usize| {
            let host = format!("{}.local", NAMES[number]);
            let client = client(server.tunnels, origins[number].address, &[&host]);
            server.wait_available(u32::try_from(number).unwrap() + 1);
            client
        };
        let clients = [join(0), join(1)];
        let wire = Wire::connect(server.traffic);
        let mut by_hand = Self { _server: server, _clients: clients, origins, wire };
        by_hand.ask_quickly(0);
        by_hand
    }

    fn ask(&mut self, number: usize) -> Call {
        self.wire.send(at(NAMES[number], "GET", "/", ""));
        self.origins[number].next()
    }

    fn ask_quickly(&mut self, number: usize) {
        let mut call = self.ask(number);
        call.wire.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfast");
        assert_eq!(read_response(&mut self.wire).unwrap().text(), "fast");
    }

    /// The beginning of server-sent events from an agent of the other worker.
    fn subscribe(&mut self) -> (Call, Body) {
        let mut call = self.ask(1);
        call.wire.send(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
        );
        let head = take_head(&mut self.wire).unwrap();
        assert_eq!(values(&head, "content-type"), ["text/event-stream"]);
        (call, Body::of(&head))
    }
}

#[test]
fn events_arrive_one_by_one_on_a_connection_that_moved_and_it_goes_on_afterwards() {
    let mut by_hand = ByHand::start();
    for _ in 0..3 {
        let (mut call, mut body) = by_hand.subscribe();
        for number in 0..20 {
            let event = format!("id: {number}\ndata: {}\n\n", "x".repeat(number * 50));
            call.wire.send(format!("{:x}\r\n{event}\r\n", event.len()));
            let mut arrived = Vec::new();
            while arrived.len() < event.len() {
                arrived.extend(body.next(&mut by_hand.wire).unwrap().expect("more events"));
            }
            assert_eq!(arrived, event.as_bytes());
        }
        call.wire.send("0\r\n\r\n");
        assert_eq!(body.next(&mut by_hand.wire), Ok(None));
        by_hand.ask_quickly(0);
        by_hand.ask_quickly(1);
    }
}

#[test]
fn a_subscriber_who_moved_and_leaves_is_noticed_while_no_event_comes() {
    let mut by_hand = ByHand::start();
    let (mut call, _body) = by_hand.subscribe();
    by_hand.wire.abort();
    // The agent gives up what nobody waits for.
    let (rest, End::Closed | End::Reset) = call.wire.read_to_end();
    assert_eq!(rest, b"");
}

#[test]
fn a_slow_reader_who_moved_gets_all_of_a_long_answer() {
    let mut by_hand = ByHand::start();
    let mut call = by_hand.ask(1);
    let body = "z".repeat(20_000_000);
    // Far more than all the buffers on the way hold while nobody reads.
    let writer = thread::spawn(move || {
        call.wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
        call.wire.send(&body);
        call
    });
    assert_eq!(read_response(&mut by_hand.wire).unwrap().body.len(), 20_000_000);
    writer.join().unwrap();
    by_hand.ask_quickly(0);
}

#[test]
fn pages_speak_for_all_workers() {
    let three = Three::start(&[]);
    let server = &three.server;
    let mut kept: Vec<_> = (0..10).flat_map(|_| three.settled()).collect();
    assert_eq!(server.metric("mesh_requests_total", ""), 30);
    for name in NAMES {
        let host = format!("host=\"{name}.local\"");
        assert_eq!(server.metric("mesh_requests_total", &host), 10);
        assert_eq!(server.metric("mesh_request_duration_seconds_count", &host), 10);
    }
    assert_eq!(server.metric("mesh_connections", ""), 30);
    assert_eq!(server.metric("mesh_connections_total", ""), 30);
    assert_eq!(server.metric("mesh_tunnels", ""), 3);
    let services = |page: &str| {
        let page: serde_json::Value = serde_json::from_str(page).unwrap();
        let services = page["services"].as_array().unwrap().clone();
        let at = services.iter().map(|service| service["worker"].as_u64().unwrap());
        at.collect::<BTreeSet<_>>()
    };
    assert_eq!(services(&server.page("/debug/services").text()), BTreeSet::from([0, 1, 2]));
    let health = server.page("/health").text();
    assert!(health.contains("\"tunnels\":3") && health.contains("\"hosts\":4"), "{health}");
    // The same page by way of the traffic port, on a connection that moved.
    let wire = kept.last_mut().unwrap();
    wire.send("GET /debug/services HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let page = read_response(wire).unwrap().text();
    assert_eq!(services(&page), BTreeSet::from([0, 1, 2]));
    drop(kept);
    server.wait_metric("mesh_connections", 0);
}

#[test]
fn limits_count_callers_of_all_workers() {
    let three = Three::start(&["--max-connections-per-address", "6"]);
    let server = &three.server;
    let mut kept: Vec<_> = (0..2).flat_map(|_| three.settled()).collect();
    assert_eq!(server.get("/").verdict(), (503, "overloaded"));
    server.wait_metric("mesh_connections", 6);
    kept.pop();
    server.wait_metric("mesh_connections", 5);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_host_whose_agent_left_is_known_at_every_worker() {
    let mut three = Three::start(&[]);
    let mut wires = three.settled();
    three.agents[2].signal("TERM");
    three.agents[2].wait_exit();
    three.server.wait_metric("mesh_tunnels", 2);
    for wire in &mut wires {
        wire.send(at("c", "GET", "/", ""));
        assert_eq!(read_response(wire).unwrap().verdict(), (503, "no_healthy_agent"));
        wire.send(at("d", "GET", "/", ""));
        assert_eq!(read_response(wire).unwrap().verdict(), (404, "no_route"));
    }
}

#[test]
fn a_drain_waits_for_the_callers_of_all_workers() {
    let three = Three::start(&[]);
    let mut held = Vec::new();
    for name in NAMES {
        let mut wire = Wire::connect(three.server.traffic);
        wire.send(at(name, "GET", "/hold", ""));
        held.push(wire);
    }
    three.services.iter().for_each(|service| service.wait_held(1));
    three.server.process.signal("TERM");
    three.server.process.wait_log("draining: 3 callers' connections, 3 exchanges");
    three.services.iter().for_each(Service::release);
    for wire in &mut held {
        let mut response = read_response(wire).unwrap();
        if !response.is_last() {
            // Its worker had not heard of the drain yet; the next answer is the last.
            assert_eq!(response.status, 200);
            wire.send(at("a", "GET", "/", ""));
            response = read_response(wire).unwrap();
        }
        assert!(response.status == 200 && response.is_last(), "{}", response.head);
    }
    drop(held);
    three.server.process.wait_log("the ingress has left");
}

#[test]
fn agents_are_replaced_under_load_without_a_failed_request() {
    let mut three = Three::start(&[]);
    let load = Load::start(three.server.traffic, 6);
    load.wait_served(200);
    for (number, name) in NAMES.iter().enumerate() {
        let host = format!("{name}.local");
        let mut old = three.agents.remove(0);
        three.agents.push(agent(three.server.tunnels, &three.services[number], &["--host", &host]));
        three.server.wait_available(4);
        old.signal("TERM");
        assert_eq!(old.wait_exit().code(), Some(0));
        three.server.wait_available(3);
        load.wait_served(200);
    }
    let failures = load.stop();
    assert!(failures.is_empty(), "{} failed: {:?}", failures.len(), &failures[..1]);
    assert!(three.server.metric("mesh_moves_total", "") > 0);
}
