//! Services that break off, or answer what is no answer: callers can tell.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::answer::{Answer, Body, expect, take_head};
use crate::harness::mesh::Mesh;
use crate::peers::caller::HOST;
use crate::peers::frames::{DATA, RESET, WINDOW};
use crate::peers::process::{Process, Server};
use crate::peers::raw_agent::RawAgent;
use crate::peers::wire::{AT_ONCE, End, Wire, wait_until};

/// How one side leaves in the midst of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    InPeace,
    WithReset,
}

#[test]
fn a_response_that_breaks_off_arrives_as_broken_off() {
    use Leaving::{InPeace, WithReset};
    let (mesh, origin) = Mesh::start_by_hand();
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let in_a_chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhello";
    let in_trailers =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-A: 1\r\n";
    let bad_chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n";
    let until_close = "HTTP/1.1 200 OK\r\n\r\nhello";
    let cases = [
        (sized, InPeace),
        (sized, WithReset),
        (chunked, InPeace),
        (chunked, WithReset),
        (in_a_chunk, InPeace),
        (in_trailers, InPeace),
        (bad_chunk, InPeace),
        (until_close, WithReset),
    ];
    for (answer, leaving) in cases {
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            let mut caller = mesh.call();
            caller.send(format!("GET / {version}\r\nHost: demo.local\r\n\r\n"));
            let mut call = origin.next();
            call.wire.send(answer);
            let mut body = Body::of(&take_head(&mut caller).unwrap());
            let what = format!("{version} {leaving:?} {answer:?}");
            let mut whole = Vec::new();
            while whole.len() < 5 {
                whole.extend(body.next(&mut caller).expect(&what).expect(&what));
            }
            assert_eq!(whole, b"hello", "{what}");
            match leaving {
                InPeace => drop(call),
                WithReset => call.wire.abort(),
            }
            let end = body.next(&mut caller).expect_err(&what);
            // A length or chunks say that something is missing; without them only a reset does.
            let is_framed = answer == sized || version == "HTTP/1.1";
            assert_eq!(end, if is_framed { End::Closed } else { End::Reset }, "{what}");
        }
    }
    // Each of them counts as 200 besides.
    let cut = |reason| mesh.server.metric("mesh_answers_cut_total", reason);
    wait_until("all are counted", || (cut(""), cut("upstream_protocol")) == (16, 2));
}

#[test]
fn what_is_no_answer_becomes_a_502() {
    let (mesh, origin) = Mesh::start_by_hand();
    let head_too_large = head_of(32 * 1024 + 1);
    let cases: [(&str, &str); 20] = [
        ("", "upstream_reset"),
        ("HTTP/1.1 200 OK\r\nContent-Le", "upstream_reset"),
        ("HTTP/1.1 103 Early Hints\r\n\r\n", "upstream_reset"),
        ("SSH-2.0-OpenSSH_9.9\r\n\r\n", "upstream_protocol"),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n", "upstream_protocol"),
        ("<html>HTTP/0.9</html>\r\n\r\n", "upstream_protocol"),
        ("HTTP/2 200\r\n\r\n", "upstream_protocol"),
        ("HTTP/1.1 20 OK\r\n\r\n", "upstream_protocol"),
        ("HTTP/1.1 099 What\r\n\r\n", "upstream_protocol"),
        ("HTTP/1.1 200 OK\nContent-Length: 0\n\n", "upstream_protocol"),
        ("HTTP/1.1 200 OK\r\nX-A: 1\r\n folded\r\n\r\n", "upstream_protocol"),
        ("HTTP/1.1 200 OK\r\nX-A : 1\r\n\r\n", "upstream_protocol"),
        ("HTTP/1.1 200 OK\r\nX-A: \0\r\n\r\n", "upstream_protocol"),
        ("HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello", "upstream_protocol"),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello", "upstream_protocol"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            "upstream_protocol",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "upstream_protocol",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "upstream_protocol",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            "upstream_protocol",
        ),
        (&head_too_large, "upstream_protocol"),
    ];
    let mut caller = mesh.call();
    for (answer, reason) in cases {
        // The service may get it: it is not asked twice.
        caller.send("POST / HTTP/1.1\r\nHost: demo.local\r\nContent-Length: 2\r\n\r\nhi");
        let mut call = origin.next();
        expect(&mut call.wire, "hi");
        call.wire.send(answer);
        call.wire.finish();
        let mut verdict = Answer::read_final(&mut caller);
        let shown = &answer[..answer.len().min(60)];
        assert_eq!(verdict.verdict(), (502, reason.to_owned()), "{shown:?}");
        verdict.body.retain(|byte| !b"\r\n".contains(byte));
        assert!(!verdict.text().contains("HTTP"), "{shown:?}: {verdict:?}");
        assert!(origin.is_untouched(), "{shown:?}");
    }
}

#[test]
fn the_log_of_an_agent_names_what_its_service_did_wrong_once_for_many_requests() {
    let cases: [(&[u8], &str); 2] = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "conflicting body"),
        (b"\x15\x03\x03\x00\x02\x02\x32", "it speaks TLS; only http:// services are supported"),
    ];
    for (answer, fault) in cases {
        let (mesh, origin) = Mesh::start_by_hand();
        let mut caller = mesh.call();
        for _ in 0..3 {
            caller.send("GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n");
            let mut call = origin.next();
            call.wire.send(answer);
            assert_eq!(
                Answer::read_final(&mut caller).verdict(),
                (502, "upstream_protocol".to_owned())
            );
        }
        let line = "WARN  [mesh_agent::faults] the local service failed a request: ";
        mesh.client.wait_log(&format!("{line}{fault}"));
        mesh.client.expect_log("failed a request", 1);
    }
}

#[test]
fn a_response_head_may_be_as_large_as_a_load_balancer_takes() {
    let (mesh, origin) = Mesh::start_by_hand();
    let mut caller = mesh.call();
    caller.send("GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n");
    // The mesh has some lines of its own to add.
    let head = head_of(32 * 1024 - 64);
    origin.next().wire.send(&head);
    expect(&mut caller, head);
}

/// The ingress would refuse it too, but the agent is where a service's faults are told of.
#[test]
fn the_log_of_an_agent_names_a_head_that_is_too_large_for_a_load_balancer() {
    for size in [32 * 1024 - 63, 32 * 1024] {
        let (mesh, origin) = Mesh::start_by_hand();
        let mut caller = mesh.call();
        caller.send("POST / HTTP/1.1\r\nHost: demo.local\r\nContent-Length: 0\r\n\r\n");
        origin.next().wire.send(head_of(size));
        let verdict = Answer::read_final(&mut caller).verdict();
        assert_eq!(verdict, (502, "upstream_protocol".to_owned()), "{size}");
        mesh.client.wait_log("head too large");
    }
}

/// A response head of so many bytes.
fn head_of(size: usize) -> String {
    let (start, end) = ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Large: ", "\r\n\r\n");
    format!("{start}{}{end}", "x".repeat(size - start.len() - end.len()))
}

#[test]
fn a_caller_that_leaves_ends_its_request_at_the_service() {
    let (mesh, origin) = Mesh::start_by_hand();
    let chunked = |body: &str| {
        format!("POST / HTTP/1.1\r\nHost: demo.local\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
    };
    for request in [
        "GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: demo.local\r\nContent-Length: 9\r\n\r\nhello",
        &chunked("5\r\nhello\r\n"),
        &chunked("5\r\nhello\r"),
        &chunked("5\r\nhello\r\n1"),
        &chunked("5\r\nhello\r\n0\r\nX-A: 1\r\n"),
    ] {
        let begun = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello";
        for (answer, leaving) in [
            ("", Leaving::InPeace),
            ("", Leaving::WithReset),
            (begun, Leaving::InPeace),
            (begun, Leaving::WithReset),
        ] {
            let mut caller = mesh.call();
            caller.send(request);
            let mut call = origin.next();
            call.wire.send(answer);
            if !answer.is_empty() {
                take_head(&mut caller).unwrap();
                expect(&mut caller, "hello");
            }
            let has_ended = request.starts_with("GET");
            match leaving {
                // After a whole request that is no reason to withhold the answer.
                Leaving::InPeace if has_ended => continue,
                Leaving::InPeace => caller.finish(),
                Leaving::WithReset => caller.abort(),
            }
            let (sent, _) = call.wire.read_to_end();
            assert!(!sent.ends_with(b"0\r\n\r\n"), "a request body seems whole: {request:?}");
        }
    }
}

#[test]
fn an_answer_to_a_caller_that_leaves_within_its_request_never_seems_whole() {
    let (mesh, origin) = Mesh::start_by_hand();
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        let mut caller = mesh.call();
        let line = format!("POST / {version}\r\nHost: demo.local\r\n");
        caller.send(format!("{line}Content-Length: 9\r\n\r\nhello"));
        let mut call = origin.next();
        call.wire.send("HTTP/1.1 200 OK\r\n\r\nhalf");
        let mut body = Body::of(&take_head(&mut caller).unwrap());
        assert_eq!(body.next(&mut caller).unwrap().unwrap(), b"half", "{version}");
        caller.stream().shutdown(Shutdown::Write).unwrap();
        assert_eq!(body.next(&mut caller), Err(End::Reset), "{version}");
    }
}

#[test]
fn no_connection_is_left_open_whatever_its_end_was() {
    let (mesh, origin) = Mesh::start_by_hand();
    let count = || [&mesh.server.process, &mesh.client].map(Process::descriptors);
    let before = count();
    let upgrade = "GET / HTTP/1.1\r\nHost: demo.local\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let switched = "HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let get = "GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n";
    let post = "POST / HTTP/1.1\r\nHost: demo.local\r\nContent-Length: 9\r\n\r\nhello";
    for (request, answer) in [
        (get, ""),
        (get, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (get, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"),
        (get, "HTTP/1.1 200 OK\r\n\r\nhello"),
        (get, "no HTTP\r\n\r\n"),
        (post, ""),
        (post, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"),
        (upgrade, switched),
        (upgrade, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"),
    ] {
        for _ in 0..10 {
            for who_leaves in 0..4 {
                let mut caller = mesh.call();
                caller.send(request);
                let mut call = origin.next();
                call.wire.send(answer);
                if !answer.is_empty() {
                    take_head(&mut caller).unwrap();
                }
                match who_leaves {
                    0 => caller.abort(),
                    1 => call.wire.abort(),
                    2 => drop((caller, call)),
                    _ => drop((call, caller)),
                }
            }
        }
    }
    wait_until("all connections are closed", || {
        count().iter().zip(before).all(|(now, before)| *now <= before)
    });
}

#[test]
fn a_request_that_is_sent_again_is_the_one_that_was_asked() {
    let (mesh, origin) = Mesh::start_by_hand();
    let ask = |path: &str| {
        let mut caller = mesh.call();
        caller.send(format!("GET {path} HTTP/1.1\r\nHost: demo.local\r\n\r\n"));
        caller
    };
    let mut caller = ask("/first");
    let mut kept = origin.next();
    kept.approve();
    assert_eq!(Answer::read(&mut caller).status, 200);
    // This one fails on a kept connection, so that its head is put aside unused.
    let mut caller = ask("/second");
    assert!(take_head(&mut kept.wire).unwrap().starts_with(b"GET /second "));
    kept.wire.send("this is no HTTP\r\n\r\n");
    assert_eq!(Answer::read(&mut caller).status, 502);
    let mut caller = ask("/third");
    let mut kept = origin.next();
    kept.approve();
    assert_eq!(Answer::read(&mut caller).status, 200);
    // And here the service closes a kept connection just as the request comes.
    let mut caller = ask("/fourth");
    assert!(take_head(&mut kept.wire).unwrap().starts_with(b"GET /fourth "));
    drop(kept);
    let mut again = origin.next();
    assert!(again.text().starts_with("GET /fourth "), "{}", again.text());
    again.approve();
    assert_eq!(Answer::read(&mut caller).status, 200);
}

const WINDOW_BYTES: usize = 65_536;

/// Writes until nobody takes more.
fn fill(mut stream: &TcpStream) {
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    while stream.write(&[b'x'; 65_536]).is_ok() {}
}

/// Takes so many bytes of a body.
fn take(agent: &mut RawAgent, wanted: usize) {
    let mut got = 0;
    while got < wanted {
        got += agent.expect(DATA).payload.len();
    }
    assert_eq!(got, wanted);
}

/// More of which came than is read.
#[test]
fn a_caller_that_resets_while_its_upload_waits_for_credit_is_noticed() {
    let server = Server::start(&[]);
    let mut agent = RawAgent::register(server.tunnels);
    let mut caller = Wire::connect(server.traffic);
    caller.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1000000\r\n\r\n"));
    caller.send(vec![b'x'; WINDOW_BYTES + 300_000]);
    let stream = agent.expect_request();
    take(&mut agent, WINDOW_BYTES);
    agent.settle();
    agent.settle();
    let due = Instant::now() + AT_ONCE;
    caller.abort();
    assert_eq!(agent.expect(RESET).stream, stream);
    assert!(Instant::now() < due, "only when its time was over");
}

/// The break is met by what is to be written, and then there is nothing to write any more.
#[test]
fn a_caller_that_resets_while_neither_side_reads_is_noticed() {
    let upload = "POST / HTTP/1.1\r\nHost: demo.local\r\nContent-Length: 1000000000\r\n\r\n";
    let upgrade = "GET / HTTP/1.1\r\nHost: demo.local\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let switched = "HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let (mesh, origin) = Mesh::start_by_hand();
    for (request, answer) in [(upload, "HTTP/1.1 200 OK\r\n\r\n"), (upgrade, switched)] {
        let mut caller = Wire::connect_slowly(mesh.server.traffic);
        caller.send(request);
        let mut call = origin.next();
        call.wire.send(answer);
        take_head(&mut caller).unwrap();
        fill(call.wire.stream());
        fill(caller.stream());
        let due = Instant::now() + AT_ONCE;
        caller.abort();
        mesh.server.wait_metric("mesh_requests_in_flight", 0);
        call.wire.read_to_end();
        assert!(Instant::now() < due, "only when its time was over");
    }
}

#[test]
fn a_caller_that_leaves_while_its_upload_waits_for_credit_is_noticed() {
    const MORE: usize = 30_000;
    let server = Server::start(&[]);
    let mut agent = RawAgent::register(server.tunnels);
    let mut caller = Wire::connect(server.traffic);
    caller.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1000000\r\n\r\n"));
    caller.send(vec![b'x'; WINDOW_BYTES + MORE]);
    caller.finish();
    let stream = agent.expect_request();
    take(&mut agent, WINDOW_BYTES);
    // By now the ingress has read the rest, which waits for credit, and the end after it.
    agent.settle();
    agent.settle();
    let due = Instant::now() + AT_ONCE;
    agent.send(WINDOW, 0, stream, &100_000_u32.to_be_bytes());
    take(&mut agent, MORE);
    assert_eq!(agent.expect(RESET).stream, stream);
    assert!(Instant::now() < due, "only when its time was over");
}
