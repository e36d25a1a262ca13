//! Each limit, exceeded once: whoever exceeds it is told so, and nobody else notices.

use crate::peers::caller::{HOST, ask, get, read_response, request};
use crate::peers::process::{Process, Server, agent, mesh};
use crate::peers::service::Service;
use crate::peers::wire::{Wire, wait_until};

/// Connections with a request each that is held.
fn hold(server: &Server, service: &Service, count: usize) -> Vec<Wire> {
    let held = service.held();
    let wires: Vec<_> = (0..count)
        .map(|_| {
            let mut wire = Wire::connect(server.traffic);
            wire.send(request("GET", "/hold", ""));
            wire
        })
        .collect();
    service.wait_held(held + count);
    wires
}

#[test]
fn one_agent_more_than_max_tunnels_waits_outside() {
    let (server, first, service) = mesh(&["--max-tunnels", "1"], &[]);
    let second = agent(server.tunnels, &service, &[]);
    second.wait_log("upgrade answered with status 503");
    wait_until("it is turned away again", || {
        server.metric("mesh_registrations_refused_total", "overloaded") > 1
    });
    // Those that are turned away try again and again.
    server.process.expect_log("agents are turned away: 1 tunnels", 1);
    assert_eq!(server.get("/").status, 200);
    first.signal("KILL");
    second.wait_log("registered");
    server.wait_available(1);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn one_request_more_than_max_streams_is_turned_away() {
    let both: [(&[&str], &[&str]); 2] =
        [(&["--max-streams", "2"], &[]), (&[], &["--max-streams", "2"])];
    for (server_words, client_words) in both {
        let (server, _agent, service) = mesh(server_words, client_words);
        let mut held = hold(&server, &service, 2);
        let response = server.get("/third");
        assert_eq!(response.verdict(), (503, "overloaded"));
        assert!(response.field("retry-after").is_some());
        service.release();
        assert!(held.iter_mut().all(|wire| read_response(wire).unwrap().status == 200));
        assert_eq!(server.get("/fourth").status, 200);
    }
}

#[test]
fn one_connection_more_than_max_connections_is_turned_away() {
    let (server, _agent, _service) = mesh(&["--max-connections", "3"], &[]);
    let mut kept: Vec<_> = (0..3).map(|_| Wire::connect(server.traffic)).collect();
    server.wait_metric("mesh_connections", 3);
    let response = server.get("/");
    assert_eq!(response.verdict(), (503, "overloaded"));
    // No request is in flight.
    assert_eq!(response.text(), "A limit of the ingress or of the service's agent is reached.\n");
    assert!(response.is_last());
    assert_eq!(server.page("/health").status, 200, "the health port has its own");
    kept[0].send(request("GET", "/", ""));
    assert_eq!(read_response(&mut kept[0]).unwrap().status, 200);
    kept.pop();
    server.wait_metric("mesh_connections", 2);
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.metric("mesh_connections_refused_total", ""), 1);
}

#[test]
fn one_address_cannot_take_all_connections() {
    let (server, _agent, _service) = mesh(&["--max-connections-per-address", "2"], &[]);
    let _kept: Vec<_> = (0..2).map(|_| Wire::connect(server.traffic)).collect();
    server.wait_metric("mesh_connections", 2);
    assert_eq!(server.get("/").verdict(), (503, "overloaded"));
    let mut other = Wire::connect_from("127.0.0.2".parse().unwrap(), server.traffic);
    other.send(request("GET", "/", ""));
    assert_eq!(read_response(&mut other).unwrap().status, 200);
}

#[test]
fn one_host_more_than_max_hosts_is_refused_with_the_reason() {
    let (server, service) = (Server::start(&["--max-hosts", "2"]), Service::start("a"));
    let greedy = agent(server.tunnels, &service, &["--host", "b.local,c.local"]);
    greedy.wait_log("3 hosts are too many");
    let _modest = agent(server.tunnels, &service, &["--host", "b.local"]);
    server.wait_available(1);
}

#[test]
fn heads_beyond_max_head_size_are_refused() {
    /// A request whose head has exactly that many bytes.
    fn of_size(size: usize) -> String {
        let start = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Pad: ");
        let pad = "a".repeat(size - start.len() - 4);
        format!("{start}{pad}\r\n\r\n")
    }
    for (words, limit) in [(&["--max-head-size", "2KiB"][..], 2048), (&[], 64 * 1024)] {
        let (server, _agent, _service) = mesh(words, &[]);
        assert_eq!(ask(server.traffic, of_size(limit)).status, 200, "{limit}");
        for size in [limit + 1, 2 * limit] {
            let response = ask(server.traffic, of_size(size));
            assert_eq!(response.verdict(), (431, "head_too_large"), "{size} of {limit}");
            assert!(response.is_last());
        }
        let fields = |count: usize| {
            format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{}\r\n", "A: 1\r\n".repeat(count - 1))
        };
        assert_eq!(ask(server.traffic, fields(256)).status, 200);
        assert_eq!(ask(server.traffic, fields(257)).verdict(), (431, "head_too_large"));
    }
}

#[test]
fn a_response_head_beyond_the_agents_limit_is_a_502_with_our_own_reason() {
    let (server, _agent, _service) = mesh(&[], &["--max-head-size", "2KiB"]);
    let padded = |size| format!("/pad?{size}");
    assert_eq!(get(server.traffic, &padded(1000)).status, 200);
    assert_eq!(get(server.traffic, &padded(3000)).verdict(), (502, "upstream_protocol"));
    let (server, _agent, _service) = mesh(&[], &[]);
    assert_eq!(get(server.traffic, &padded(31_000)).status, 200);
    assert_eq!(get(server.traffic, &padded(33_000)).verdict(), (502, "upstream_protocol"));
}

#[test]
fn the_smallest_windows_and_buffers_still_carry_everything() {
    let small = ["--stream-window", "16KiB", "--tunnel-buffer", "64KiB"];
    let (server, _agent, service) =
        mesh(&small, &["--stream-window", "16KiB", "--max-idle-upstreams", "0"]);
    let body = "0123456789abcdef".repeat(3 << 16);
    let chunked = format!(
        "POST /chunked HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len(),
    );
    for bytes in [request("POST", "/sized", &body), chunked] {
        let mut wire = Wire::connect(server.traffic);
        let mut sending = Wire::new(wire.stream().try_clone().unwrap());
        let sender = std::thread::spawn(move || sending.send(bytes));
        let response = read_response(&mut wire).unwrap();
        sender.join().unwrap();
        assert!(response.text().ends_with(&body), "{} bytes", response.body.len());
    }
    assert_eq!(service.requests().len(), 2);
}

#[test]
fn a_limit_that_cannot_be_is_refused_at_the_start() {
    for words in [["--max-tunnels", "0"], ["--stream-window", "1KiB"], ["--max-head-size", "1MiB"]]
    {
        let mut process = Process::start(&[&["server"], &words[..]].concat());
        assert!(!process.wait_exit().success());
        process.wait_log(&format!("mesh: {}: ", words[0]));
    }
}
