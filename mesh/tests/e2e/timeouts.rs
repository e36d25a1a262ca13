//! Each timeout, exceeded once, and who is not to be bothered by it.

use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::harness::answer::take_head;
use crate::harness::mesh::client;
use crate::harness::origin::Origin;
use crate::peers::caller::{HOST, ask, find, read_response, request};
use crate::peers::place::own_address;
use crate::peers::process::{Server, agent, bare_agent, mesh};
use crate::peers::raw_agent::RawAgent;
use crate::peers::service::Service;
use crate::peers::wire::{AT_ONCE, End, Wire, wait_until};

/// Whether `time` is at least `expected`. That it is hardly more shows in the simulation, where nobody
/// waits for a processor.
fn assert_not_early(time: Duration, expected: Duration) {
    assert!(time + Duration::from_millis(50) >= expected, "{time:?} instead of {expected:?}");
}

#[test]
fn a_service_that_does_not_answer_in_time_costs_504_and_its_connection() {
    let (server, _agent, service) = mesh(&["--request-timeout", "0.5"], &[]);
    let mut wire = Wire::connect(server.traffic);
    for (method, body) in [("GET", ""), ("POST", "body")] {
        let asked_at = Instant::now();
        wire.send(request(method, "/hold", body));
        let response = read_response(&mut wire).unwrap();
        assert_eq!(response.verdict(), (504, "request_timeout"), "{method}");
        assert_not_early(asked_at.elapsed(), Duration::from_millis(500));
        assert!(!response.is_last(), "the request was whole: the connection can go on");
    }
    service.wait_abandoned(2);
    wire.send(request("GET", "/after", ""));
    assert_eq!(read_response(&mut wire).unwrap().status, 200);
    assert_eq!(service.requests().len(), 3, "nothing is repeated");
    server.wait_metric("mesh_requests_in_flight", 0);
}

/// A service that has one connection wait at most, and answers a health check there.
fn narrow_service() -> (SocketAddr, thread::JoinHandle<TcpListener>) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&own_address().into()).unwrap();
    socket.listen(0).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let checked = thread::spawn(move || {
        let mut wire = Wire::new(listener.accept().unwrap().0);
        take_head(&mut wire).expect("a health check");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        listener
    });
    (address, checked)
}

#[test]
fn a_service_that_takes_no_connection_in_time_costs_502_or_another_agent() {
    let server = Server::start(&[]);
    let (narrow, checked) = narrow_service();
    // Checked once, and believed for as long as this test runs.
    let words = ["--health-check-interval", "60", "--health-check-fall", "100"];
    let words = [&words[..], &["--upstream-connect-timeout", "0.5"]].concat();
    let ingress = format!("ws://{}", server.tunnels);
    let _blind = bare_agent(&ingress, &format!("http://{narrow}"), HOST, &words);
    server.wait_available(1);
    let _listener = checked.join().unwrap();
    // Nobody takes it, and the kernel answers no more who come.
    let _waiting = Wire::connect(narrow);
    let asked_at = Instant::now();
    assert_eq!(server.get("/").verdict(), (502, "upstream_connect"));
    let took = asked_at.elapsed();
    assert_not_early(took, Duration::from_millis(500));
    assert!(took < AT_ONCE, "{took:?}");

    let service = Service::start("a");
    let _agent = agent(server.tunnels, &service, &[]);
    server.wait_available(2);
    wait_until("the first one is tried once more", || {
        assert_eq!(ask(server.traffic, request("POST", "/", "once")).status, 200);
        server.metric("mesh_retries_total", "") > 0
    });
}

#[test]
fn a_response_that_began_in_time_may_take_longer_than_the_request_timeout() {
    let (server, _agent, service) = mesh(&["--request-timeout", "0.4"], &[]);
    let mut wire = Wire::connect(server.traffic);
    wire.send(request("GET", "/half", ""));
    service.wait_held(1);
    wire.wait(|bytes| bytes.ends_with(b"half").then_some(()));
    thread::sleep(Duration::from_millis(800));
    service.release();
    assert_eq!(read_response(&mut wire).unwrap().text(), "halfhalf");
}

#[test]
fn callers_that_dribble_their_heads_are_cut_and_hurt_nobody() {
    let (server, _agent, _service) = mesh(&["--head-timeout", "1"], &[]);
    let started_at = Instant::now();
    let mut slow: Vec<_> = (0..200).map(|_| Wire::connect(server.traffic)).collect();
    let head = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Slow: ");
    slow.iter_mut().for_each(|wire| wire.send(&head));
    while started_at.elapsed() < Duration::from_millis(800) {
        slow.iter_mut().for_each(|wire| wire.send("x"));
        assert_eq!(server.get("/").status, 200);
    }
    for wire in &mut slow {
        let response = read_response(wire).unwrap();
        assert_eq!(response.verdict(), (408, "head_timeout"));
        assert!(response.is_last());
        wire.read_to_end();
    }
    assert_not_early(started_at.elapsed(), Duration::from_secs(1));
}

/// A debugger, `docker pause` or a suspended machine stops a process; what arrives then waits in the kernel.
#[test]
fn what_arrived_while_the_process_was_stopped_is_in_time() {
    const LIMIT: Duration = Duration::from_secs(2);
    let (server, _agent, _service) = mesh(&["--head-timeout", "2"], &[]);
    let mut wire = Wire::connect(server.traffic);
    wire.send("GET / HTTP/1.1\r\n");
    assert_eq!(server.get("/").status, 200, "and the other one was read before");
    server.process.stop();
    wire.send(format!("Host: {HOST}\r\n\r\n"));
    thread::sleep(LIMIT);
    server.process.signal("CONT");
    assert_eq!(read_response(&mut wire).unwrap().status, 200);
}

#[test]
fn a_body_that_stalls_costs_408_and_the_connection() {
    let (server, _agent, service) = mesh(&["--request-timeout", "0.5"], &[]);
    let cases =
        ["Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"];
    for rest in cases {
        let mut wire = Wire::connect(server.traffic);
        let asked_at = Instant::now();
        wire.send(format!("POST /upload HTTP/1.1\r\nHost: {HOST}\r\n{rest}"));
        let response = read_response(&mut wire).unwrap();
        assert_eq!(response.verdict(), (408, "body_timeout"), "{rest:?}");
        assert_not_early(asked_at.elapsed(), Duration::from_millis(500));
        assert!(response.is_last());
        wire.read_to_end();
    }
    assert!(service.requests().is_empty(), "the service saw no whole request");
    server.wait_metric("mesh_requests_in_flight", 0);
}

#[test]
fn a_body_that_nobody_asks_for_costs_504_and_one_that_was_asked_for_408() {
    let service = Origin::start();
    let server = Server::start(&["--request-timeout", "0.5"]);
    let _agent = client(server.tunnels, service.address, &[HOST]);
    server.wait_available(1);
    for (is_asked_for, verdict) in
        [(false, (504, "request_timeout")), (true, (408, "body_timeout"))]
    {
        let mut wire = Wire::connect(server.traffic);
        wire.send(format!(
            "POST / HTTP/1.1\r\nHost: {HOST}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        ));
        let mut call = service.next();
        if is_asked_for {
            call.wire.send("HTTP/1.1 100 Continue\r\n\r\n");
        }
        let response = read_response(&mut wire).unwrap();
        assert_eq!(response.verdict(), verdict);
        assert!(response.is_last());
    }
}

#[test]
fn connections_without_requests_are_closed_in_peace() {
    let (server, _agent, _service) = mesh(&["--idle-timeout", "0.5"], &[]);
    let opened_at = Instant::now();
    let mut silent = Wire::connect(server.traffic);
    let mut used = Wire::connect(server.traffic);
    used.send(request("GET", "/", ""));
    assert_eq!(read_response(&mut used).unwrap().status, 200);
    for mut wire in [silent.read_to_end(), used.read_to_end()] {
        assert_eq!(wire.1, End::Closed);
        assert!(std::mem::take(&mut wire.0).is_empty(), "nothing was asked, nothing is said");
    }
    assert_not_early(opened_at.elapsed(), Duration::from_millis(500));
}

#[test]
fn agents_that_do_not_register_in_time_are_cut_at_each_stage() {
    let server = Server::start(&["--registration-timeout", "0.5"]);
    let opened_at = Instant::now();
    let mut silent = Wire::connect(server.tunnels);
    let mut halfway = Wire::connect(server.tunnels);
    halfway.send("GET / HTTP/1.1\r\nHost: mesh\r\nConnection: Upg");
    let mut upgraded = RawAgent::connect(server.tunnels);
    let reason = upgraded.expect_refusal();
    assert!(reason.contains("no registration in time"), "{reason}");
    upgraded.wait_end();
    silent.read_to_end();
    halfway.read_to_end();
    assert_not_early(opened_at.elapsed(), Duration::from_millis(500));
}

/// Of an answer after which the connection ends, most of which the kernel holds.
#[test]
fn a_caller_that_reads_slowly_but_all_the_time_gets_everything() {
    const TOTAL: usize = 8_000_000;
    let service = Origin::start();
    let server = Server::start(&[]);
    let _client = client(server.tunnels, service.address, &[HOST]);
    server.wait_available(1);
    let mut wire = Wire::connect(server.traffic);
    wire.send(request("GET", "/", ""));
    let mut call = service.next();
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {TOTAL}\r\n\r\n");
    thread::scope(|scope| {
        // Whether it can shows at the caller.
        scope.spawn(|| call.wire.try_send([head.as_bytes(), &vec![b'x'; TOTAL]].concat()));
        let head = wire.wait(|bytes| find(bytes, b"\r\n\r\n")).expect("a head");
        wire.take(head + 4);
        let (mut got, begun_at) = (0, Instant::now());
        while got < TOTAL {
            let length = wire.wait(|bytes| (!bytes.is_empty()).then_some(bytes.len()));
            got += wire.take(length.expect("it goes on")).len();
            // At 60 kB a second, and what is left after some time as it comes.
            let due = begun_at + Duration::from_micros(got as u64 * 50 / 3);
            if begun_at.elapsed() < Duration::from_secs(14) {
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        }
        assert_eq!(got, TOTAL);
    });
}

#[test]
fn a_caller_that_does_not_read_is_cut_and_so_is_its_request() {
    let (server, _agent, service) = mesh(&["--send-timeout", "0.5"], &[]);
    let mut wire = Wire::connect(server.traffic);
    wire.send(request("GET", "/endless", ""));
    service.wait_abandoned(1);
    server.wait_metric("mesh_requests_in_flight", 0);
    server.wait_metric("mesh_connections", 0);
}
