//! Many at once, and many one after the other: everybody is served, and nothing is left behind.

use std::net::TcpStream;
use std::time::Duration;

use crate::peers::caller::{Cut, HOST, find, read_response, request};
use crate::peers::frames::{DATA, END, REQUEST};
use crate::peers::process::{Process, Server, agent, bare_agent, limited, mesh};
use crate::peers::raw_agent::RawAgent;
use crate::peers::raw_ingress::RawIngress;
use crate::peers::service::Service;
use crate::peers::wire::{Wire, wait_until};

#[test]
fn hundreds_of_slow_requests_at_once_are_all_answered() {
    const CALLERS: usize = 500;
    let (server, _agent, service) = mesh(&[], &[]);
    let mut wires: Vec<_> = (0..CALLERS)
        .map(|number| {
            let mut wire = Wire::connect(server.traffic);
            let (method, body) = if number % 2 == 0 { ("GET", "") } else { ("POST", "some body") };
            wire.send(request(method, &format!("/hold?{number}"), body));
            wire
        })
        .collect();
    service.wait_held(CALLERS);
    assert_eq!(server.metric("mesh_requests_in_flight", ""), CALLERS as u64);
    service.release();
    for (number, wire) in wires.iter_mut().enumerate() {
        let response = read_response(wire).unwrap();
        assert!(response.text().contains(&format!("/hold?{number} HTTP")), "{response:?}");
    }
    assert_eq!(service.requests().len(), CALLERS);
    server.wait_metric("mesh_requests_in_flight", 0);
}

#[test]
fn thousands_of_idle_connections_cost_little_and_hurt_nobody() {
    const CALLERS: usize = 2000;
    let (server, _agent, _service) = mesh(&[], &[]);
    let before = server.process.memory_kib();
    let mut wires: Vec<_> = (0..CALLERS).map(|_| Wire::connect(server.traffic)).collect();
    wait_until("all are accepted", || server.metric("mesh_connections", "") >= CALLERS as u64);
    for wire in wires.iter_mut().step_by(100) {
        wire.send(request("GET", "/", ""));
        assert_eq!(read_response(wire).unwrap().status, 200);
    }
    assert_eq!(server.get("/").status, 200);
    let each = (server.process.memory_kib().saturating_sub(before)) / CALLERS;
    assert!(each < 4, "{each} KiB for each idle connection");
}

#[test]
fn strangers_on_the_agents_port_do_not_make_the_ingress_look_dead() {
    let (server, _agent, _service) = mesh(&[], &[]);
    let strangers: Vec<_> = (0..1100).map(|_| Wire::connect(server.tunnels)).collect();
    wait_until("they are accepted", || {
        // One that is beyond the limit is reset.
        !Wire::connect(server.tunnels).is_quiet_for(Duration::from_millis(50))
    });
    server.process.wait_log("no more than 1024 are taken");
    server.process.expect_log("agents are turned away: there are ", 1);
    let refused = server.metric("mesh_registrations_refused_total", "overloaded");
    assert!((76..200).contains(&refused), "{refused}");
    assert_eq!(server.page("/health").status, 200);
    assert_eq!(server.get("/").status, 200);
    drop(strangers);
}

#[test]
fn an_ingress_out_of_descriptors_names_the_port_and_recovers() {
    let server = Server::start_limited("-n 40", &[]);
    let wires: Vec<_> = (0..60).map(|_| Wire::connect(server.traffic)).collect();
    server.process.wait_log(&format!("cannot accept on {}: Too many open files", server.traffic));
    drop(wires);
    assert_eq!(server.get("/").verdict(), (404, "no_route"));
}

#[test]
fn callers_leave_descriptors_for_agents_and_health_checks() {
    let server = Server::start_limited("-n 600", &["--max-connections", "5000"]);
    server.process.expect_log("--max-connections: 300 at most, because", 1);
    let mut wires: Vec<_> = (0..301).map(|_| Wire::connect(server.traffic)).collect();
    // Those for whom there is no file are reset, some of them before they know that they connected.
    let mut more: Vec<_> = (301..700).map(|_| TcpStream::connect(server.traffic)).collect();
    if let Ok(last) = more.pop().unwrap() {
        assert!(Wire::new(last).read_to_end().0.is_empty(), "there is no file left for it");
    }
    let service = Service::start("a");
    let _agent = agent(server.tunnels, &service, &[]);
    server.wait_available(1);
    assert_eq!(server.page("/health").status, 200);
    for (number, status) in [(0, 200), (299, 200), (300, 503)] {
        wires[number].send(request("GET", "/", ""));
        assert_eq!(read_response(&mut wires[number]).unwrap().status, status, "{number}");
    }
    assert_eq!(server.process.log_count("Too many open files"), 0);
}

/// `mesh client` with less of something of the system.
fn limited_agent(ulimit: &str, server: &Server, service: &Service) -> Process {
    Process::spawn(
        limited(ulimit)
            .args(["client", "--ingress-endpoint", &format!("ws://{}", server.tunnels)])
            .args(["--local-endpoint", &service.url(), "--host", HOST]),
    )
}

#[test]
fn requests_leave_descriptors_for_tunnels() {
    let (server, service) = (Server::start(&[]), Service::start("a"));
    let agent = limited_agent("-n 300", &server, &service);
    server.wait_available(1);
    agent.expect_log("--max-streams (by default): 75 at most, because", 1);
    let mut wires: Vec<_> = (0..75)
        .map(|_| {
            let mut wire = Wire::connect(server.traffic);
            wire.send(request("GET", "/hold", ""));
            wire
        })
        .collect();
    service.wait_held(75);
    assert_eq!(server.get("/").verdict(), (503, "overloaded"));
    service.release();
    for wire in &mut wires {
        assert_eq!(read_response(wire).unwrap().status, 200);
    }
}

/// As many as are kept free for it by those who share out the rest.
#[test]
fn a_process_of_many_workers_has_the_descriptors_that_it_is_reckoned_with() {
    let (server, service) = (Server::start(&["--workers", "64"]), Service::start("a"));
    let words = ["--workers", "16", "--tunnels-per-ingress", "16"];
    let agent = agent(server.tunnels, &service, &words);
    server.wait_available(16);
    for (process, workers) in [(&server.process, 64), (&agent, 16)] {
        let besides_tunnels = process.descriptors() - 16;
        let reckoned = workers * 4..workers * 4 + 64;
        assert!(reckoned.contains(&besides_tunnels), "{besides_tunnels} of {workers} workers");
    }
}

#[test]
fn both_sides_use_all_descriptors_that_they_may_have() {
    let server = Server::start_limited("-S -n 64", &[]);
    let service = Service::start("a");
    let agent = limited_agent("-S -n 64", &server, &service);
    server.wait_available(1);
    for process in [&server.process, &agent] {
        let (soft, hard) = process.open_files_max();
        assert_eq!(soft, hard);
        assert_ne!(soft, "64");
    }
}

#[test]
fn callers_that_leave_in_the_middle_of_a_download_leave_nothing_behind() {
    let (server, _agent, service) = mesh(&[], &[]);
    for turn in 0..100 {
        let mut wire = Wire::connect(server.traffic);
        wire.send(request("GET", "/endless", ""));
        wire.wait(|bytes| find(bytes, b"xxx")).unwrap();
        if turn % 2 == 0 {
            wire.abort();
        }
    }
    service.wait_abandoned(100);
    server.wait_metric("mesh_requests_in_flight", 0);
    server.wait_metric("mesh_caller_aborts_total", 100);
    assert!(server.page("/debug/services").text().contains(r#""in_flight":0"#));
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn descriptors_return_to_where_they_were_after_all_kinds_of_ends() {
    let (server, agent, service) =
        mesh(&["--request-timeout", "0.3"], &["--upstream-idle-timeout", "0.2"]);
    assert_eq!(server.get("/").status, 200);
    let settled = || (server.process.descriptors(), agent.descriptors());
    let at_rest = |what: &str, before: (usize, usize)| {
        // A health check or the test's own question may be under way.
        wait_until(what, || {
            let (server, agent) = settled();
            server <= before.0 + 1 && agent <= before.1 + 1
        });
    };
    server.wait_metric("mesh_connections", 0);
    let before = settled();
    for _ in 0..1000 {
        assert_eq!(server.get("/").status, 200);
    }
    at_rest("short connections are gone", before);
    ends_of_callers(&server, &service);
    at_rest("broken connections are gone", before);
    ends_of_agents(&server);
    at_rest("agents are gone", before);
    assert_eq!(server.get("/").status, 200);
}

/// Callers that reset, leave in the middle of heads and bodies, or whose request times out.
fn ends_of_callers(server: &Server, service: &Service) {
    let (upload, abandoned) = (request("POST", "/", &"x".repeat(100_000)), 100);
    for turn in 0..abandoned {
        Wire::connect(server.traffic).abort();
        let mut head = Wire::connect(server.traffic);
        head.send("GET / HTTP/1.1\r\nHost: ");
        let mut body = Wire::connect(server.traffic);
        body.send(&upload[..50_000]);
        let mut download = Wire::connect(server.traffic);
        download.send(request("GET", "/endless", ""));
        download.wait(|bytes| find(bytes, b"xxx")).unwrap();
        if turn % 2 == 0 {
            [head, body, download].into_iter().for_each(Wire::abort);
        }
    }
    let mut late: Vec<_> = (0..50).map(|_| Wire::connect(server.traffic)).collect();
    late.iter_mut().for_each(|wire| wire.send(request("GET", "/hold", "")));
    assert!(late.iter_mut().all(|wire| read_response(wire).unwrap().status == 504));
    service.wait_abandoned(50 + abandoned);
}

/// Agents that register and leave, with and without a word, and strangers on their port.
fn ends_of_agents(server: &Server) {
    for turn in 0..100 {
        let agent = RawAgent::register(server.tunnels);
        if turn % 2 == 0 {
            agent.wire.abort();
        }
        RawAgent::connect(server.tunnels).wire.abort();
        Wire::connect(server.tunnels).send("GET");
        Wire::connect(server.health).abort();
    }
    server.wait_metric("mesh_tunnels", 1);
}

#[test]
fn an_agent_that_loses_its_tunnel_again_and_again_keeps_nothing_of_them() {
    let (ingress, service) = (RawIngress::start(), Service::start("a"));
    let (url, local) = (ingress.url(), service.url());
    let waits = ["--reconnect-min", "0.05", "--reconnect-max", "0.05"];
    let words = [&waits[..], &["--upstream-idle-timeout", "0.2"]].concat();
    let agent = bare_agent(&url, &local, HOST, &words);
    let mut tunnel = ingress.welcome(64 * 1024);
    let before = agent.descriptors();
    let turns = 40;
    for turn in 0..turns {
        for (stream, path) in [(1, "/hold"), (3, "/endless"), (5, "/deaf")] {
            let head = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
            tunnel.send(REQUEST, END, stream, head.as_bytes());
        }
        tunnel.expect(DATA);
        service.wait_held(2);
        if turn % 2 == 0 {
            tunnel.wire.abort();
        } else {
            drop(tunnel);
        }
        service.wait_abandoned(3 * (turn + 1));
        tunnel = ingress.welcome(64 * 1024);
    }
    wait_until("only the tunnel is left", || agent.descriptors() <= before + 1);
    agent.expect_log("connecting again in", turns);
}

#[test]
fn a_caller_that_reads_slowly_holds_nobody_else_up() {
    let (server, _agent, _service) = mesh(&[], &[]);
    let mut slow: Vec<_> = (0..20)
        .map(|_| {
            let mut wire = Wire::connect_slowly(server.traffic);
            wire.send(request("GET", "/endless", ""));
            wire
        })
        .collect();
    slow.iter_mut().for_each(|wire| assert!(wire.wait(|bytes| find(bytes, b"xxx")).is_some()));
    let before = server.process.memory_kib();
    let body = "x".repeat(1 << 20);
    for _ in 0..5 {
        let mut wire = Wire::connect(server.traffic);
        wire.send(request("POST", "/", &body));
        let response: Result<_, Cut> = read_response(&mut wire);
        assert!(response.unwrap().body.len() > body.len());
    }
    let growth = server.process.memory_kib().saturating_sub(before);
    assert!(growth < 16 * 1024, "{growth} KiB");
}

#[test]
fn uploads_to_a_service_that_does_not_read_hold_only_themselves_up() {
    let (server, agent, service) = mesh(&[], &[]);
    let before = (server.process.memory_kib(), agent.memory_kib());
    let head = format!("POST /deaf HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1000000000\r\n\r\n");
    let mut uploads: Vec<_> = (0..10).map(|_| Wire::connect(server.traffic)).collect();
    for wire in &mut uploads {
        wire.send(&head);
        wire.stream().set_write_timeout(Some(Duration::from_millis(50))).unwrap();
        // Until everything between here and the service is full.
        while wire.try_send([0; 100_000]).is_ok() {}
    }
    service.wait_held(10);
    for _ in 0..20 {
        assert_eq!(server.get("/").status, 200);
    }
    let growth = (server.process.memory_kib() - before.0, agent.memory_kib() - before.1);
    assert!(growth.0 < 16 * 1024 && growth.1 < 16 * 1024, "{growth:?} KiB");
}
