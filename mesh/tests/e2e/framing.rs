//! Where messages end: every way to say so, and connections that take one request after another.

use crate::harness::answer::{Answer, expect, take_head};
use crate::harness::mesh::Mesh;
use crate::harness::origin::Origin;
use crate::peers::caller::find;
use crate::peers::wire::{End, Wire};

/// A request line, what the service answers before it closes, and the head and the body that the
/// caller gets. Its connection then takes another request.
struct Case {
    request: &'static str,
    answer: &'static str,
    head: &'static str,
    body: &'static str,
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

const CASES: &[Case] = &[
    Case {
        request: "GET /sized",
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        head: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        body: "hello",
    },
    Case {
        request: "GET /chunked",
        answer: "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n\
                 2;a=b\r\nhe\r\n03\r\nllo\r\n0\r\n\r\n",
        head: CHUNKED,
        body: "hello",
    },
    Case {
        request: "GET /until-close",
        answer: "HTTP/1.1 200 OK\r\n\r\nhello",
        head: CHUNKED,
        body: "hello",
    },
    Case {
        request: "GET /http10",
        answer: "HTTP/1.0 200 OK\r\n\r\nhello",
        head: CHUNKED,
        body: "hello",
    },
    Case {
        request: "GET /nothing-until-close",
        answer: "HTTP/1.1 200 OK\r\n\r\n",
        head: CHUNKED,
        body: "",
    },
    Case {
        request: "HEAD /sized",
        answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        head: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        body: "",
    },
    Case {
        request: "HEAD /chunked",
        answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        head: "HTTP/1.1 200 OK\r\n\r\n",
        body: "",
    },
    Case {
        request: "DELETE /no-content",
        answer: "HTTP/1.1 204 No Content\r\nX-Gone: 1\r\n\r\n",
        head: "HTTP/1.1 204 No Content\r\nX-Gone: 1\r\n\r\n",
        body: "",
    },
    Case {
        request: "GET /not-modified",
        answer: "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n",
        head: "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n",
        body: "",
    },
];

#[test]
fn responses_end_where_they_should_however_that_is_said() {
    let (mesh, origin) = Mesh::start_by_hand();
    let mut caller = mesh.call();
    CASES.iter().for_each(|case| check(&mut caller, &origin, case));
}

fn check(caller: &mut Wire, origin: &Origin, case: &Case) {
    let request = case.request;
    caller.send(format!("{request} HTTP/1.1\r\nHost: demo.local\r\n\r\n"));
    let mut call = origin.next();
    assert!(call.text().starts_with(request), "{request}: {call:?}");
    call.wire.send(case.answer);
    drop(call);
    let is_head = request.starts_with("HEAD");
    let (head, body) = if is_head {
        (take_head(caller).unwrap(), Vec::new())
    } else {
        let answer = Answer::read(caller);
        (answer.head, answer.body)
    };
    assert_eq!(String::from_utf8_lossy(&head), case.head, "{request}");
    assert_eq!(String::from_utf8_lossy(&body), case.body, "{request}");
}

#[test]
fn trailers_pass_in_both_directions() {
    let (mesh, origin) = Mesh::start_by_hand();
    let mut caller = mesh.call();
    caller.send(
        "POST / HTTP/1.1\r\nHost: demo.local\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\
         Trailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n",
    );
    let mut call = origin.next();
    assert_eq!(call.lines_of("trailer"), ["Trailer: X-Sum"]);
    assert_eq!(call.lines_of("transfer-encoding"), ["Transfer-Encoding: chunked"]);
    expect(&mut call.wire, "3\r\nabc\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n");
    call.wire.send(
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\ndef\r\n0\r\nX-Sum: 3\r\nX-More: 4\r\n\r\n",
    );
    let answer = Answer::read(&mut caller);
    assert_eq!(answer.values("trailer"), ["X-Sum"]);
    assert_eq!(answer.text(), "def");
    assert_eq!(answer.trailers, b"X-Sum: 3\r\nX-More: 4\r\n");
}

#[test]
fn a_sample_service_sends_its_trailers_to_those_who_take_them() {
    let (mesh, _app) = Mesh::start();
    for (te, expected) in [("TE: trailers\r\n", true), ("", false)] {
        let mut caller = mesh.call();
        caller.send(format!("GET /api/trailers HTTP/1.1\r\nHost: demo.local\r\n{te}\r\n"));
        let answer = Answer::read(&mut caller);
        assert_eq!(answer.trailers.starts_with(b"x-checksum: "), expected, "{answer:?}");
    }
}

#[test]
fn callers_with_http_1_0_get_what_they_understand() {
    let (mesh, origin) = Mesh::start_by_hand();
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let cases = [
        ("", sized, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"),
        ("", chunked, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"),
        (
            "Connection: keep-alive\r\n",
            chunked,
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
        ),
    ];
    for (fields, answer, expected) in cases {
        let mut caller = mesh.call();
        caller.send(format!("GET / HTTP/1.0\r\nHost: demo.local\r\n{fields}\r\n"));
        let mut call = origin.next();
        assert!(call.text().starts_with("GET / HTTP/1.1\r\n"), "{call:?}");
        call.wire.send(format!("HTTP/1.1 103 Early Hints\r\n\r\n{answer}"));
        let (bytes, end) = caller.read_to_end();
        assert_eq!((String::from_utf8_lossy(&bytes).as_ref(), end), (expected, End::Closed));
    }
}

#[test]
fn a_caller_with_http_1_0_can_keep_its_connection() {
    let (mesh, _app) = Mesh::start();
    let mut caller = mesh.call();
    for count in 0..3 {
        caller.send(format!(
            "GET /api/bytes/{count} HTTP/1.0\r\nHost: demo.local\r\nConnection: keep-alive\r\n\r\n"
        ));
        let answer = Answer::read(&mut caller);
        assert_eq!(answer.values("connection"), ["keep-alive"]);
        assert_eq!(answer.body.len(), count);
    }
}

/// Without a length it has no body, and no other request may follow.
#[test]
fn what_follows_a_last_request_does_not_destroy_its_answer() {
    let (mesh, _origin) = Mesh::start_by_hand();
    for _ in 0..20 {
        let mut caller = mesh.call();
        let head = "POST / HTTP/1.0\r\nHost: nobody.local\r\n\r\n";
        // It may be reset while this is being sent, and then it was for what came first.
        let _ = caller.try_send([head.as_bytes(), &[b'x'; 300_000]].concat());
        let (answer, end) = caller.read_to_end();
        assert!(answer.starts_with(b"HTTP/1.1 404 "), "{answer:?}");
        assert_eq!(end, End::Closed);
    }
}

/// The ingress has not looked for it when it closes the connection.
#[test]
fn what_comes_while_a_last_request_is_served_does_not_destroy_its_answer() {
    let (mesh, origin) = Mesh::start_by_hand();
    let requests = [
        "GET / HTTP/1.0\r\nHost: demo.local\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: demo.local\r\nConnection: close\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: demo.local\r\nContent-Length: 2\r\n\r\nhi",
    ];
    for request in requests.into_iter().cycle().take(30) {
        let mut caller = mesh.call();
        caller.send(request);
        let mut call = origin.next();
        caller.send("\r\n");
        call.wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
        let (answer, end) = caller.read_to_end();
        assert!(answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"\r\n\r\nhello"));
        assert_eq!(end, End::Closed, "{request:?}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let (mesh, _app) = Mesh::start();
    let mut caller = mesh.call();
    let request = |count: usize| match count % 3 {
        0 => format!(
            "PUT /api/echo?{count} HTTP/1.1\r\nHost: demo.local\r\nContent-Length: 5\r\n\r\nhello"
        ),
        1 => format!("GET /api/bytes/{count} HTTP/1.1\r\nHost: demo.local\r\n\r\n"),
        _ => format!("GET /api/bytes/{count}?chunked=1 HTTP/1.1\r\nhost: demo.local\r\n\r\n"),
    };
    caller.send((0..60).map(request).collect::<String>());
    for count in 0..60 {
        let answer = Answer::read(&mut caller);
        assert_eq!(answer.status, 200);
        match count % 3 {
            0 => assert!(find(&answer.body, format!("\"query\":\"{count}\"").as_bytes()).is_some()),
            _ => assert_eq!(answer.body.len(), count),
        }
    }
}

#[test]
fn every_form_of_target_reaches_the_service() {
    let (mesh, origin) = Mesh::start_by_hand();
    let cases = [
        ("GET http://demo.local/a?b HTTP/1.1\r\nHost: demo.local", "GET /a?b HTTP/1.1"),
        ("GET HTTP://DEMO.local:80?b HTTP/1.1\r\nHost: unknown", "GET /?b HTTP/1.1"),
        ("OPTIONS * HTTP/1.1\r\nHost: demo.local", "OPTIONS * HTTP/1.1"),
        ("OPTIONS http://demo.local HTTP/1.1\r\nHost: demo.local", "OPTIONS * HTTP/1.1"),
        ("MKCALENDAR // HTTP/1.1\r\nHost: demo.local", "MKCALENDAR // HTTP/1.1"),
    ];
    for (request, expected) in cases {
        let mut caller = mesh.call();
        caller.send(format!("{request}\r\n\r\n"));
        let call = origin.next();
        assert_eq!(call.text().lines().next(), Some(expected));
        assert!(
            call.lines_of("host")[0].to_lowercase().starts_with("host: demo.local"),
            "{call:?}"
        );
        call.approve_and_close();
        assert_eq!(Answer::read(&mut caller).status, 200);
    }
}

#[test]
fn a_caller_that_has_ended_its_sending_direction_still_gets_its_answer() {
    let (mesh, origin) = Mesh::start_by_hand();
    let requests = [
        "GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: demo.local\r\nContent-Length: 3\r\n\r\nabc",
    ];
    for request in requests {
        let mut caller = mesh.call();
        caller.send(request);
        caller.finish();
        let mut call = origin.next();
        call.wire.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
        expect(&mut caller, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
        call.wire.send("def");
        assert_eq!(caller.read_to_end(), (b"def".to_vec(), End::Closed), "{request:?}");
    }
}
