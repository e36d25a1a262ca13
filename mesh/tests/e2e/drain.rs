//! Leaving in peace: what is under way is finished, and under load nothing fails.

use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::peers::balancer::{Balancer, Choice, Target};
use crate::peers::caller::{ask, get, read_response, request, try_ask};
use crate::peers::frames::{BINARY, DATA, END, Masking, RESPONSE, frame, message};
use crate::peers::load::Load;
use crate::peers::process::{Process, Server, agent, mesh};
use crate::peers::raw_agent::RawAgent;
use crate::peers::service::Service;
use crate::peers::wire::{End, Wire, wait_until};

/// Callers at once in the tests under load.
const CALLERS: usize = 6;
/// Answers between two steps of a test under load.
const SOME: usize = 150;

/// So many whole answers, and none that failed.
fn assert_flawless(failures: &[String]) {
    assert!(failures.is_empty(), "{} failed: {:?}", failures.len(), &failures[..1]);
}

/// As process 1 of a container it would not hear SIGTERM at all by default.
#[test]
fn an_agent_that_still_asks_who_it_is_leaves_at_once() {
    let metadata = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", metadata.local_addr().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
    command.args(["client", "--host", "demo.local", "--ingress-endpoint", "ws://127.0.0.1:1"]);
    command.args(["--local-endpoint", "http://127.0.0.1:1"]);
    let mut agent = Process::spawn(command.env("ECS_CONTAINER_METADATA_URI_V4", url));
    let _unanswered = metadata.accept().unwrap();
    agent.signal("HUP");
    agent.signal("TERM");
    assert_eq!(agent.wait_exit().code(), Some(0), "{}", agent.log());
}

#[test]
fn an_agent_that_leaves_finishes_a_slow_request_and_takes_no_new_ones() {
    let (server, mut agent, service) = mesh(&[], &[]);
    let mut wire = Wire::connect(server.traffic);
    wire.send(request("POST", "/hold", "slow"));
    service.wait_held(1);
    agent.signal("TERM");
    server.wait_available(0);
    assert_eq!(server.get("/").verdict(), (503, "no_healthy_agent"));
    assert!(agent.is_running(), "it left a request behind");
    service.release();
    let response = read_response(&mut wire).unwrap();
    assert!(response.text().ends_with("slow"), "{response:?}");
    assert_eq!(agent.wait_exit().code(), Some(0), "{}", agent.log());
    server.wait_metric("mesh_tunnels", 0);
}

#[test]
fn an_agent_leaves_at_once_when_asked_twice() {
    let (server, mut agent, service) = mesh(&[], &[]);
    let mut wire = Wire::connect(server.traffic);
    wire.send(request("GET", "/hold", ""));
    service.wait_held(1);
    agent.signal("TERM");
    server.wait_available(0);
    agent.signal("TERM");
    assert_eq!(agent.wait_exit().code(), Some(0), "{}", agent.log());
    assert_eq!(read_response(&mut wire).unwrap().verdict(), (502, "agent_lost"));
}

#[test]
fn an_agent_leaves_a_request_behind_that_outlasts_its_drain_timeout() {
    let (server, mut agent, service) = mesh(&[], &["--drain-timeout", "0.3"]);
    let mut wire = Wire::connect(server.traffic);
    wire.send(request("GET", "/hold", ""));
    service.wait_held(1);
    agent.signal("TERM");
    assert_eq!(agent.wait_exit().code(), Some(0), "{}", agent.log());
    agent.wait_log("leaving with 1 exchanges unfinished");
    assert_eq!(read_response(&mut wire).unwrap().verdict(), (502, "agent_lost"));
}

#[test]
fn draining_one_of_two_agents_under_load_fails_nothing() {
    let server = Server::start(&[]);
    let services = ["a", "b"].map(Service::start);
    let mut first = agent(server.tunnels, &services[0], &[]);
    let _second = agent(server.tunnels, &services[1], &[]);
    server.wait_available(2);
    let load = Load::start(server.traffic, CALLERS);
    load.wait_served(SOME);
    first.signal("TERM");
    assert_eq!(first.wait_exit().code(), Some(0), "{}", first.log());
    load.wait_served(SOME);
    assert_flawless(&load.stop());
    for service in &services {
        assert!(!service.requests().is_empty(), "one of them did nothing");
    }
}

#[test]
fn killing_one_of_two_agents_under_load_fails_only_posts_in_flight_on_it() {
    let server = Server::start(&[]);
    let services = ["a", "b"].map(Service::start);
    let first = agent(server.tunnels, &services[0], &[]);
    let _second = agent(server.tunnels, &services[1], &[]);
    server.wait_available(2);
    let load = Load::start(server.traffic, CALLERS);
    load.wait_served(SOME);
    first.signal("KILL");
    load.wait_served(SOME);
    let failures = load.stop();
    assert!(failures.len() <= CALLERS, "{failures:?}");
    for failure in failures {
        assert_eq!(failure, r#"POST (502, "agent_lost")"#);
    }
}

#[test]
fn a_second_agent_takes_over_under_load_before_the_first_one_leaves() {
    let (server, mut old, service) = mesh(&[], &[]);
    let load = Load::start(server.traffic, CALLERS);
    load.wait_served(SOME);
    for _ in 0..3 {
        let new = agent(server.tunnels, &service, &[]);
        server.wait_available(2);
        load.wait_served(SOME / 3);
        old.signal("TERM");
        assert_eq!(old.wait_exit().code(), Some(0), "{}", old.log());
        load.wait_served(SOME / 3);
        old = new;
    }
    assert_flawless(&load.stop());
}

#[test]
fn an_ingress_that_leaves_finishes_what_is_under_way_and_says_so_to_everyone() {
    let (mut server, _agent, service) = mesh(&["--drain-timeout", "60"], &[]);
    let [mut slow, mut kept] = [0; 2].map(|_| Wire::connect(server.traffic));
    kept.send(request("GET", "/kept", ""));
    assert!(!read_response(&mut kept).unwrap().is_last());
    slow.send(request("POST", "/hold", "slow"));
    service.wait_held(1);

    server.process.signal("TERM");
    wait_until("/health fails", || server.page("/health").status == 503);
    assert!(server.page("/health").text().contains("draining"));
    assert_eq!(server.page("/ready").status, 503);
    // The load balancer has not noticed yet: old and new connections are served, for the last time.
    kept.send(request("GET", "/kept", ""));
    for response in [read_response(&mut kept).unwrap(), server.get("/new")] {
        assert_eq!(response.status, 200);
        assert!(response.is_last(), "{}", response.head);
    }
    service.release();
    // And so is a request from before.
    let response = read_response(&mut slow).unwrap();
    assert!(response.text().ends_with("slow"));
    assert!(response.is_last(), "{}", response.head);
    // Whoever asked for its health might send more callers, but the operator does not wait for them.
    server.process.signal("TERM");
    assert_eq!(server.process.wait_exit().code(), Some(0), "{}", server.process.log());
}

#[test]
fn an_ingress_that_is_watched_serves_on_until_that_can_have_been_noticed() {
    let (mut server, _agent, _service) = mesh(&["--drain-timeout", "60"], &[]);
    let check = "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(server.traffic, check).status, 200);
    server.process.signal("TERM");
    wait_until("/health fails", || ask(server.traffic, check).status == 503);
    for _ in 0..SOME {
        let response = try_ask(server.traffic, request("GET", "/", ""));
        assert_eq!(response.map(|response| response.status), Ok(200));
    }
    server.process.signal("TERM");
    assert_eq!(server.process.wait_exit().code(), Some(0), "{}", server.process.log());
}

#[test]
fn an_ingress_that_nobody_watches_or_uses_leaves_at_once() {
    let (mut server, _agent, _service) = mesh(&["--drain-timeout", "60"], &[]);
    assert_eq!(server.get("/").status, 200);
    server.wait_metric("mesh_connections", 0);
    server.process.signal("TERM");
    assert_eq!(server.process.wait_exit().code(), Some(0), "{}", server.process.log());
}

#[test]
fn an_ingress_leaves_at_once_when_asked_twice() {
    let (mut server, _agent, service) = mesh(&[], &[]);
    let mut callers = ["GET", "POST"].map(|method| {
        let mut wire = Wire::connect(server.traffic);
        wire.send(request(method, "/hold", ""));
        wire
    });
    service.wait_held(2);
    server.process.signal("TERM");
    wait_until("/health fails", || server.page("/health").status == 503);
    server.process.signal("TERM");
    assert_eq!(server.process.wait_exit().code(), Some(0), "{}", server.process.log());
    // They can still be told, since nothing of an answer has been sent: to come again, where that
    // does no harm.
    let [get, post] = callers.each_mut().map(|wire| read_response(wire).unwrap());
    assert_eq!(get.verdict(), (503, "draining"));
    assert_eq!(get.field("retry-after"), Some("1"));
    assert_eq!(post.verdict(), (502, "agent_lost"));
}

#[test]
fn an_answer_that_a_hurried_leave_cuts_is_reset() {
    for workers in ["1", "3"] {
        let (mut server, _agent, _service) = mesh(&["--workers", workers], &[]);
        // Without a length or chunks only the way in which the connection ends tells.
        let mut wire = Wire::connect(server.traffic);
        wire.send("GET /endless HTTP/1.0\r\nHost: demo.local\r\n\r\n");
        wire.wait(|bytes| (bytes.len() > 100_000).then_some(()));
        server.process.signal("TERM");
        wait_until("/health fails", || server.page("/health").status == 503);
        server.process.signal("TERM");
        assert_eq!(server.process.wait_exit().code(), Some(0), "{}", server.process.log());
        assert_eq!(wire.read_to_end().1, End::Reset, "{workers} workers");
    }
}

/// An answer that is whole at the ingress, and waits for a caller that does not read.
#[test]
fn a_delivered_answer_that_a_hurried_leave_cuts_is_reset() {
    const BYTES: usize = 15 << 20;
    for workers in ["1", "2"] {
        let words = ["--workers", workers, "--stream-window", "16MiB", "--window-growth", "0"];
        let mut server = Server::start(&words);
        let mut agent = RawAgent::register_host(server.tunnels, "demo.local");
        let mut wire = Wire::connect_slowly(server.traffic);
        wire.send("GET / HTTP/1.0\r\nHost: demo.local\r\n\r\n");
        let stream = agent.expect_request();
        let mut frames = frame(RESPONSE, 0, stream, b"HTTP/1.1 200 OK\r\n\r\n");
        for _ in 0..BYTES / 16_384 {
            agent.wire.send(message(BINARY, Masking::Masked, &frames));
            frames = frame(DATA, 0, stream, &[b'x'; 16_384]);
        }
        agent.wire.send(message(BINARY, Masking::Masked, &frame(DATA, END, stream, b"")));
        wait_until("the answer is whole", || server.metric("mesh_requests_in_flight", "") == 0);
        server.process.signal("TERM");
        wait_until("/health fails", || server.page("/health").status == 503);
        server.process.signal("TERM");
        assert_eq!(server.process.wait_exit().code(), Some(0), "{}", server.process.log());
        let (body, end) = wire.read_to_end();
        assert!(body.len() < BYTES, "all of it has left: {} bytes", body.len());
        assert_eq!(end, End::Reset, "{workers} workers");
    }
}

#[test]
fn an_agent_that_does_not_hear_the_goodbye_of_a_hurried_leave_costs_no_caller_the_truth() {
    for workers in ["1", "3"] {
        let (mut server, agent, service) = mesh(&["--workers", workers], &[]);
        let mut cut = Wire::connect(server.traffic);
        cut.send("GET /endless HTTP/1.0\r\nHost: demo.local\r\n\r\n");
        cut.wait(|bytes| (bytes.len() > 100_000).then_some(()));
        let mut held = Wire::connect(server.traffic);
        held.send(request("GET", "/hold", ""));
        service.wait_held(1);
        agent.signal("STOP");
        server.process.signal("TERM");
        wait_until("/health fails", || server.page("/health").status == 503);
        server.process.signal("TERM");
        assert_eq!(server.process.wait_exit().code(), Some(0), "{}", server.process.log());
        assert_eq!(read_response(&mut held).unwrap().verdict(), (503, "draining"));
        assert_eq!(cut.read_to_end().1, End::Reset, "{workers} workers");
        agent.signal("CONT");
    }
}

/// The loop wakes for a deadline that has passed and means nothing any more; the next one is far.
#[test]
fn an_ingress_that_is_asked_to_leave_while_it_is_stopped_leaves() {
    const HEAD: Duration = Duration::from_secs(1);
    let mut server = Server::start(&["--workers=1", "--head-timeout=1", "--drain-timeout=1"]);
    let mut idle = Wire::connect(server.traffic);
    idle.send("GET /health HTTP/1.1\r\n");
    assert_eq!(server.page("/health").status, 200, "and the other one was read before");
    idle.send("Host: 127.0.0.1\r\n\r\n");
    assert_eq!(read_response(&mut idle).unwrap().status, 200);
    server.process.stop();
    thread::sleep(HEAD);
    server.process.signal("TERM");
    server.process.signal("CONT");
    assert_eq!(server.process.wait_exit().code(), Some(0), "{}", server.process.log());
}

#[test]
fn an_ingress_leaves_a_request_behind_that_outlasts_its_drain_timeout() {
    let (mut server, agent, service) = mesh(&["--drain-timeout", "0.3"], &[]);
    let mut wire = Wire::connect(server.traffic);
    wire.send(request("GET", "/hold", ""));
    service.wait_held(1);
    server.process.signal("TERM");
    assert_eq!(server.process.wait_exit().code(), Some(0), "{}", server.process.log());
    let response = read_response(&mut wire).unwrap();
    assert!(response.status == 503 && response.is_last(), "{}", response.head);
    service.wait_abandoned(1);
    agent.wait_log("connecting again in");
}

#[test]
fn a_draining_ingress_takes_no_new_agents() {
    let (server, _agent, service) = mesh(&[], &[]);
    let mut wire = Wire::connect(server.traffic);
    wire.send(request("GET", "/hold", ""));
    service.wait_held(1);
    server.process.signal("TERM");
    wait_until("/health fails", || server.page("/health").status == 503);
    let late = agent(server.tunnels, &service, &[]);
    late.wait_log("upgrade answered with status 503");
    assert!(server.metric("mesh_registrations_refused_total", "draining") >= 1);
    service.release();
    assert_eq!(read_response(&mut wire).unwrap().status, 200);
}

/// Two ingresses behind a load balancer, with an agent each: one ingress leaves, and the other one
/// does all the work.
#[test]
fn a_rolling_restart_of_the_ingress_under_load_fails_nothing() {
    let drain = ["--drain-timeout", "1.5"];
    let (mut old, new, service) =
        (Server::start(&drain), Server::start(&drain), Service::start("a"));
    let target = |server: &Server, address| Target { address, health: server.health };
    let callers = [target(&old, old.traffic), target(&new, new.traffic)];
    let agents = [target(&old, old.tunnels), target(&new, new.tunnels)];
    let (callers, agents) = (Balancer::start(&callers), Balancer::start(&agents));
    let moving = agent(agents.address, &service, &[]);
    old.wait_available(1);
    let _staying = agent(new.tunnels, &service, &[]);
    new.wait_available(1);
    assert_eq!(get(callers.address, "/").status, 200);

    let load = Load::start(callers.address, CALLERS);
    load.wait_served(SOME);
    old.process.signal("TERM");
    new.wait_available(2);
    moving.wait_log("opening another tunnel");
    assert_eq!(old.process.wait_exit().code(), Some(0), "{}", old.process.log());
    assert_eq!(callers.chosen(), 1);
    load.wait_served(SOME);
    assert_flawless(&load.stop());
}

/// The same for both in turn. Agents hold a tunnel to each, and the load balancer sends callers to
/// a young one only when the agents have had the time to find it.
#[test]
fn a_rolling_restart_of_both_ingresses_under_load_fails_nothing() {
    let words = ["--drain-timeout", "2", "--warm-up", "2"];
    let (mut first, mut second) = (Server::start(&words), Server::start(&words));
    let target = |server: &Server, address| Target { address, health: server.health };
    let callers = [target(&first, first.traffic), target(&second, second.traffic)];
    let agents = [target(&first, first.tunnels), target(&second, second.tunnels)];
    let callers = Balancer::start_by(Choice::First, "/ready", &callers);
    let agents = Balancer::start_by(Choice::InTurn, "/health", &agents);
    let services = ["a", "b"].map(Service::start);
    let _agents =
        services.each_ref().map(|service| agent(agents.address, service, &["--tunnels", "2"]));
    first.wait_available(2);
    second.wait_available(2);
    wait_until("both are ready", || {
        [&first, &second].iter().all(|server| server.page("/ready").status == 200)
    });

    let load = Load::start(callers.address, CALLERS);
    load.wait_served(SOME);
    for server in [&mut first, &mut second] {
        let place = server.place();
        server.process.signal("TERM");
        assert_eq!(server.process.wait_exit().code(), Some(0), "{}", server.process.log());
        *server = Server::start_at(place, &words);
        server.wait_available(2);
        wait_until("it is ready", || server.page("/ready").status == 200);
        load.wait_served(SOME);
    }
    assert_flawless(&load.stop());
}

#[test]
fn an_agent_holds_one_tunnel_to_one_ingress_however_many_it_wants() {
    let (server, service) = (Server::start(&["--log-level", "debug"]), Service::start("a"));
    let agent = agent(server.tunnels, &service, &["--tunnels", "2", "--log-level", "debug"]);
    server.wait_available(1);
    agent.wait_log("there is a tunnel to this ingress already");
    server.process.wait_log("left before it introduced itself");
    assert_eq!(
        server.process.log_count("INFO  [mesh_ingress::registration::leaving] the agent"),
        0
    );
    server.process.expect_log("registered demo.local", 1);
    server.wait_metric("mesh_tunnels", 1);
}
