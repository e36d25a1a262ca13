//! Callers that lie about where their requests end, or speak something else altogether.

use crate::peers::caller::{HOST, ask, read_response, request};
use crate::peers::process::{Server, mesh};
use crate::peers::raw_agent::{OFFER, offer};
use crate::peers::wire::{Wire, lossy};

/// What must never reach the service: it follows each refused request on the same connection.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: demo.local\r\n\r\n";

/// Requests that two readers may understand in two ways, or that nobody should.
#[rustfmt::skip]
const MALFORMED: &[&str] = &[
    // Two lengths.
    "POST / HTTP/1.1\r\nHost: demo.local\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nContent-Length: 4\r\ncontent-length: 4\r\n\r\nbody",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nContent-Length: 4, 4\r\n\r\nbody",
    // Lengths that are none.
    "POST / HTTP/1.1\r\nHost: demo.local\r\nContent-Length: +4\r\n\r\nbody",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nContent-Length: -4\r\n\r\nbody",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nContent-Length: 0x4\r\n\r\nbody",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nContent-Length: 4 4\r\n\r\nbody",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nContent-Length: \r\n\r\n",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    // Codings that are not exactly one `chunked`.
    "POST / HTTP/1.1\r\nHost: demo.local\r\nTransfer-Encoding: gzip\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\nHost: demo.local\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    // Lines and names.
    "POST / HTTP/1.1\r\nHost: demo.local\r\nContent-Length : 4\r\n\r\nbody",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\n Host: demo.local\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: demo.local\r\nX-A: 1\r\n folded: 2\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: demo.local\r\nX-A: 1\r\n\tfolded\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: demo.local\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\nHost: demo.local\n\n",
    "GET / HTTP/1.1\r\nHost: demo.local\nX-A: 1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: demo.local\r\nX-A: 1\rX-B: 2\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: demo.local\r\nX-A: 1\0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: demo.local\r\nX\0A: 1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: demo.local\r\nno colon\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: demo.local\r\n: no name\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: demo.local\r\nX\u{e9}: 1\r\n\r\n",
    "\r\n\r\nGET / HTTP/1.1\r\nHost: demo.local\r\n\r\n",
    // Request lines.
    "GET  / HTTP/1.1\r\nHost: demo.local\r\n\r\n",
    "GET / HTTP/1.1 \r\nHost: demo.local\r\n\r\n",
    " GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n",
    "GET / HTTP/1.2\r\nHost: demo.local\r\n\r\n",
    "GET / HTTP/2.0\r\nHost: demo.local\r\n\r\n",
    "GET / http/1.1\r\nHost: demo.local\r\n\r\n",
    "GET /\r\n\r\n",
    "GET /a\x01b HTTP/1.1\r\nHost: demo.local\r\n\r\n",
    "GET /a\tb HTTP/1.1\r\nHost: demo.local\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: demo.local\r\n\r\n",
    "GET /\u{85} HTTP/1.1\r\nHost: demo.local\r\n\r\n",
    "GET relative HTTP/1.1\r\nHost: demo.local\r\n\r\n",
    "GET * HTTP/1.1\r\nHost: demo.local\r\n\r\n",
    "G@T / HTTP/1.1\r\nHost: demo.local\r\n\r\n",
    "CONNECT demo.local:443 HTTP/1.1\r\nHost: demo.local:443\r\n\r\n",
    "CONNECT / HTTP/1.1\r\nHost: demo.local\r\n\r\n",
    // Hosts.
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: demo.local\r\nHost: demo.local\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: demo.local\r\nhost: other\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: demo.local, other\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: demo.local/path\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: user@demo.local\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: demo local\r\n\r\n",
    "GET http://user@demo.local/ HTTP/1.1\r\nHost: demo.local\r\n\r\n",
    "GET http:///path HTTP/1.1\r\nHost: demo.local\r\n\r\n",
    "GET ftp://demo.local/ HTTP/1.1\r\nHost: demo.local\r\n\r\n",
    "GET http://demo.local/ HTTP/1.1\r\n\r\n",
];

/// Bodies that are malformed behind a sound head.
const BAD_CHUNKS: &[&str] = &[
    "zz\r\nbody\r\n0\r\n\r\n",
    "-4\r\nbody\r\n0\r\n\r\n",
    "+4\r\nbody\r\n0\r\n\r\n",
    "0x4\r\nbody\r\n0\r\n\r\n",
    " 4\r\nbody\r\n0\r\n\r\n",
    "4 \r\nbody\r\n0\r\n\r\n",
    "4\nbody\r\n0\r\n\r\n",
    "4\r\nbodyX\r\n0\r\n\r\n",
    "4\r\nbody0\r\n\r\n",
    "\r\n\r\n",
    "10000000000000000\r\nbody\r\n0\r\n\r\n",
    "fffffffffffffffff\r\nbody\r\n0\r\n\r\n",
    "4\r\nbody\r\n0\r\nContent-Length: 4\nX: 1\r\n\r\n",
    "4\r\nbody\r\n0\r\nno colon\r\n\r\n",
    "4;a=\x01b\r\nbody\r\n0\r\n\r\n",
];

/// The connection answers 400 once, closes, and serves nothing that follows.
fn assert_refused(address: std::net::SocketAddr, bytes: &[u8]) {
    let mut wire = Wire::connect(address);
    wire.send([bytes, SMUGGLED.as_bytes(), SMUGGLED.as_bytes()].concat());
    let response =
        read_response(&mut wire).unwrap_or_else(|cut| panic!("{cut:?} for {:?}", lossy(bytes)));
    assert_eq!(response.verdict(), (400, "bad_request"), "{:?}", lossy(bytes));
    assert!(response.is_last(), "{:?}", lossy(bytes));
    let (rest, _) = wire.read_to_end();
    assert_eq!(lossy(&rest), "", "{:?}", lossy(bytes));
}

#[test]
fn ambiguous_requests_are_refused_and_nothing_behind_them_is_served() {
    let (server, _agent, service) = mesh(&[], &[]);
    for bytes in MALFORMED {
        assert_refused(server.traffic, bytes.as_bytes());
    }
    assert_eq!(service.requests().len(), 0, "{:?}", service.requests());
    let refused = server.metric("mesh_errors_total", "reason=\"bad_request\"");
    assert_eq!(refused, MALFORMED.len() as u64);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn malformed_chunks_are_refused_and_nothing_behind_them_is_served() {
    let (server, _agent, service) = mesh(&[], &[]);
    let head = format!("POST /up HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n");
    for body in BAD_CHUNKS {
        assert_refused(server.traffic, format!("{head}{body}").as_bytes());
    }
    // The service may have seen a beginning, but no whole request.
    assert_eq!(service.requests().len(), 0, "{:?}", service.requests());
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn heads_that_arrive_byte_by_byte_are_judged_alike() {
    let (server, _agent, service) = mesh(&[], &[]);
    for bytes in [MALFORMED[0], MALFORMED[14], MALFORMED[30], BAD_CHUNKS[7]] {
        let mut wire = Wire::connect(server.traffic);
        let head = if bytes == BAD_CHUNKS[7] { CHUNKED } else { "" };
        for byte in [head, bytes, SMUGGLED].concat().bytes() {
            wire.send([byte]);
        }
        assert_eq!(read_response(&mut wire).unwrap().verdict(), (400, "bad_request"));
        wire.read_to_end();
    }
    assert_eq!(service.requests().len(), 0);
}

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: demo.local\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn what_is_odd_but_sound_is_understood_in_one_way() {
    let (server, _agent, service) = mesh(&[], &[]);
    let cases = [
        "\r\nGET /a HTTP/1.1\r\nHost: demo.local\r\n\r\n",
        "GET http://demo.local/a HTTP/1.1\r\nHost: other\r\n\r\n",
        "GET HTTP://DEMO.local:8080/a HTTP/1.1\r\nHost: demo.local\r\n\r\n",
        "GET /a HTTP/1.0\r\nHost: demo.local\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: demo.local\r\nContent-Length: 0000\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: demo.local\r\nTransfer-Encoding: CHUNKED\r\n\r\n4;x=y\r\nbody\r\n0\r\n\r\n",
    ];
    for bytes in cases {
        let response = ask(server.traffic, bytes);
        assert_eq!(response.status, 200, "{bytes:?}: {response:?}");
    }
    assert!(service.requests().iter().all(|request| request.target() == "/a"));
    assert!(service.requests()[1].head.contains("Host: demo.local\r\n"), "the target decides");
}

#[test]
fn garbage_on_any_port_ends_only_its_own_connection() {
    let (mut server, mut agent, _service) = mesh(&[], &[]);
    let hello =
        [&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03][..], &[7; 500]];
    let noise: Vec<u8> =
        (0..25_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let mut kept = Wire::connect(server.traffic);
    kept.send("GET / HT");
    let garbage: [&[u8]; 9] = [
        b"",
        b"\r\n",
        &hello.concat(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        &noise,
        &[b'a'; 200_000],
        &[b"GET /".as_slice(), &[b'a'; 200_000]].concat(),
        &[b"GET / HTTP/1.1\r\nHost: a\r\nX: ".as_slice(), &[b'a'; 200_000]].concat(),
        &[0; 70_000],
    ];
    for port in [server.traffic, server.tunnels, server.health] {
        for bytes in garbage {
            let mut wire = Wire::connect(port);
            wire.send(bytes);
            wire.finish();
            let (answer, _) = wire.read_to_end();
            let status = answer.get(..12).map(lossy).unwrap_or_default();
            let expected = ["", "HTTP/1.1 400", "HTTP/1.1 431"];
            assert!(expected.contains(&&*status), "{port} said {status:?} to {:?}", lossy(bytes));
            // A reset in its middle is no answer either.
            Wire::connect(port).abort();
        }
    }
    assert!(server.process.is_running() && agent.is_running());
    kept.send("TP/1.1\r\nHost: demo.local\r\n\r\n");
    assert_eq!(read_response(&mut kept).unwrap().status, 200, "others go on");
    assert_eq!(server.process.log_count("panicked"), 0);
}

#[test]
fn a_web_page_gets_no_tunnel_even_from_this_machine() {
    for arguments in [&[][..], &["--skip-iam-validation"]] {
        let server = Server::start(arguments);
        for origin in ["https://attacker.example", "null", &format!("http://{}", server.tunnels)] {
            let bytes = OFFER.replace("Host: mesh", &format!("Host: mesh\r\nOrigin: {origin}"));
            let answer = offer(server.tunnels, &bytes);
            assert_eq!(answer.status, 403, "{origin}");
            assert!(answer.text().contains("agents send no Origin"), "{answer:?}");
            assert_eq!(answer.field("upgrade"), None);
        }
    }
}

#[test]
fn what_is_no_websocket_of_ours_gets_no_tunnel() {
    const NO_UPGRADE: (u16, &str) = (426, "no_upgrade");
    let (server, _agent, _service) = mesh(&["--log-level", "debug"], &[]);
    let without = |line: &str| OFFER.replace(&format!("{line}\r\n"), "");
    let cases = [
        (without("Upgrade: websocket"), NO_UPGRADE),
        (without("Connection: Upgrade"), NO_UPGRADE),
        (without("Sec-WebSocket-Version: 13"), NO_UPGRADE),
        (without("Sec-WebSocket-Protocol: mesh.v1"), NO_UPGRADE),
        (without("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), NO_UPGRADE),
        (without("Host: mesh"), (400, "bad_request")),
        (OFFER.replace("HTTP/1.1", "HTTP/1.0"), (426, "http_version")),
        (OFFER.replace("Host: mesh", "Host: mesh\r\nContent-Length: 5"), NO_UPGRADE),
        (OFFER.replace("Version: 13", "Version: 8"), NO_UPGRADE),
        (OFFER.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), NO_UPGRADE),
        (OFFER.replace("mesh.v1", "mesh.v2"), NO_UPGRADE),
        (OFFER.replace("GET", "POST"), NO_UPGRADE),
        (OFFER.replace("Connection: Upgrade", "Connection: close"), NO_UPGRADE),
        (request("GET", "/", ""), NO_UPGRADE),
    ];
    for (bytes, verdict) in cases {
        let answer = offer(server.tunnels, &bytes);
        assert_eq!(answer.verdict(), verdict, "{bytes}");
        let wanted = (answer.status == 426).then_some("websocket");
        assert_eq!(answer.field("upgrade"), wanted, "{bytes}");
        assert_eq!(answer.field("sec-websocket-version"), wanted.and(Some("13")), "{bytes}");
        let is_said = answer.head.contains("Connection: Upgrade\r\n");
        assert_eq!(is_said, answer.status == 426, "{bytes}");
    }
    server.process.wait_log("gets no tunnel (http_version): bad WebSocket upgrade");
    assert_eq!(server.metric("mesh_errors_total", "no_upgrade"), 12);
    assert_eq!(offer(server.tunnels, &request("GET", "/health", "")).status, 200);
    server.wait_metric("mesh_tunnels", 1);
    // A WebSocket on the callers' port belongs to the service.
    assert_eq!(ask(server.traffic, OFFER).verdict(), (404, "no_route"));
}
