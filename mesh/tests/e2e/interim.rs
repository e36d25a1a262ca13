//! Responses before the response, and bodies that wait to be asked for.

use std::time::Duration;

use crate::harness::answer::{Answer, expect, values};
use crate::harness::mesh::Mesh;
use crate::harness::origin::Call;
use crate::peers::wire::{End, Wire};

/// How long silence is listened to.
const A_WHILE: Duration = Duration::from_millis(150);

const EXPECTING: &str = "POST / HTTP/1.1\r\nHost: demo.local\r\nExpect: 100-continue\r\n\
                         Content-Length: 4\r\n\r\n";

#[test]
fn interim_responses_arrive_before_the_final_one_is_written() {
    let (mesh, origin) = Mesh::start_by_hand();
    let mut caller = mesh.call();
    caller.send("GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n");
    let mut call = origin.next();
    for interim in [
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nlink: </b.js>\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </c.css>\r\n\r\n",
    ] {
        call.wire.send(interim);
        expect(&mut caller, interim);
    }
    call.approve();
    assert_eq!(Answer::read(&mut caller).status, 200);
}

/// What waits for a caller that does not read is bounded, and heads need no credit.
#[test]
fn an_interim_response_of_more_than_8_kib_is_left_out() {
    let (mesh, origin) = Mesh::start_by_hand();
    let mut caller = mesh.call();
    caller.send("GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n");
    let mut call = origin.next();
    let hints =
        |length| format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "x".repeat(length));
    call.wire.send(hints(8 * 1024));
    call.wire.send(hints(8 * 1000));
    expect(&mut caller, hints(8 * 1000));
    call.approve();
    assert_eq!(Answer::read(&mut caller).status, 200);
}

#[test]
fn only_the_service_asks_for_a_body_that_waits() {
    let (mesh, origin) = Mesh::start_by_hand();
    let mut caller = mesh.call();
    caller.send(EXPECTING);
    let mut call = origin.next();
    assert_eq!(call.lines_of("expect"), ["Expect: 100-continue"]);
    assert!(caller.is_quiet_for(A_WHILE));
    // Hints of all that may wait for a caller come at once with it.
    let hint = format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "x".repeat(8150));
    call.wire.send(format!("{hint}HTTP/1.1 100 Continue\r\n\r\n"));
    expect(&mut caller, &hint);
    expect(&mut caller, "HTTP/1.1 100 Continue\r\n\r\n");
    caller.send("body");
    expect(&mut call.wire, "body");
    call.approve();
    let answer = Answer::read(&mut caller);
    assert_eq!(answer.status, 200);
    assert!(answer.values("connection").is_empty());
    // The connection was kept in step.
    drop(call);
    caller.send("GET /next HTTP/1.1\r\nHost: demo.local\r\n\r\n");
    let mut call = origin.next();
    call.approve();
    assert_eq!(Answer::read(&mut caller).status, 200);
}

#[test]
fn a_body_that_waits_is_not_asked_for_when_the_service_refuses_it() {
    let (mesh, origin) = Mesh::start_by_hand();
    for status in ["417 Expectation Failed", "413 Content Too Large", "401 Unauthorized"] {
        let mut caller = mesh.call();
        caller.send(EXPECTING);
        let call = refuse(&mut caller, origin.next(), status);
        drop(call);
        assert_eq!(caller.read_to_end(), (Vec::new(), End::Closed));
    }
}

/// Without the body nobody knows where the next request would begin: both connections end.
fn refuse(caller: &mut Wire, mut call: Call, status: &str) -> Call {
    call.wire.send(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno"));
    let answer = Answer::read(caller);
    assert!(answer.head.starts_with(format!("HTTP/1.1 {status}\r\n").as_bytes()), "{answer:?}");
    assert_eq!(
        (answer.text(), values(&answer.head, "connection")),
        ("no".into(), vec!["close".into()])
    );
    assert!(call.wire.read_to_end().0.is_empty(), "the service was sent a body");
    call
}

#[test]
fn a_body_that_does_not_wait_passes_before_the_service_asks() {
    let (mesh, origin) = Mesh::start_by_hand();
    let mut caller = mesh.call();
    caller.send(format!("{EXPECTING}body"));
    let mut call = origin.next();
    expect(&mut call.wire, "body");
    call.approve();
    assert_eq!(Answer::read(&mut caller).status, 200);
}

#[test]
fn a_body_that_waits_reaches_a_service_that_asks_for_it() {
    let (mesh, _app) = Mesh::start();
    let mut caller = mesh.call();
    caller.send(EXPECTING.replace("POST /", "POST /api/upload"));
    expect(&mut caller, "HTTP/1.1 100 Continue\r\n\r\n");
    caller.send("body");
    assert!(Answer::read(&mut caller).text().contains("\"size\":4"));
}
