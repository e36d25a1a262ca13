use std::net::IpAddr;

use super::{BodyKind, Forwarded, Proto, Upgrade, authority};
use crate::http1::fields::{is_hop_by_hop, is_host};
use crate::http1::{Error, RequestHead, ResponseHead, Storage, Version};
use crate::{Buf, Rng};

use BodyKind::{Chunked, Empty, Sized};

fn via(peer: &str) -> Forwarded {
    Forwarded::new(peer.parse::<IpAddr>().unwrap(), Proto::Https, 8443)
}

fn forward(bytes: &[u8], body: BodyKind, upgrade: Upgrade, peer: &str) -> Vec<u8> {
    let mut storage = Storage::new();
    let head = RequestHead::parse(bytes, &mut storage).unwrap();
    authority(&head).unwrap();
    let mut out = Buf::new();
    super::request(&head, body, upgrade, &via(peer), &mut out);
    out.as_slice().to_vec()
}

fn forward_response(bytes: &[u8]) -> Vec<u8> {
    let mut storage = Storage::new();
    let head = ResponseHead::parse(bytes, &mut storage).unwrap();
    let mut out = Buf::new();
    super::response(&head, &mut out);
    out.as_slice().to_vec()
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\r\\n", "\n")
}

/// What the callers of the tables below have already said, so that only the rule shows.
const FORWARDED: &str = "X-Forwarded-For: 9\nX-Forwarded-Proto: p\nX-Forwarded-Port: 1\n\
    X-Forwarded-Host: h\n";
const WITH_PEER: &str = "X-Forwarded-For: 9, 10.0.0.7\nX-Forwarded-Proto: p\n\
    X-Forwarded-Port: 1\nX-Forwarded-Host: h\n";

fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// Forwards a head with these lines and returns the lines that became of them.
fn lines(sent: &str, body: BodyKind, upgrade: Upgrade) -> String {
    let head = crlf(&format!("GET / HTTP/1.1\nHost: h\n{FORWARDED}{sent}\n"));
    let out = text(&forward(&head, body, upgrade, "10.0.0.7"));
    let start = format!("GET / HTTP/1.1\nHost: h\n{WITH_PEER}");
    let lines = out.strip_prefix(&start).unwrap_or_else(|| panic!("{out}"));
    lines.strip_suffix('\n').unwrap().to_owned()
}

const FIELDS: &[(BodyKind, &str, &str)] = &[
    (Empty, "", ""),
    (
        Empty,
        "b: 2\nA:  1 \t\nb:2\nC:\nd: x,, \"y\"\n",
        "b: 2\nA:  1 \\t\nb:2\nC:\nd: x,, \\\"y\\\"\n",
    ),
    (Empty, "Connection: close\nA: 1\n", "A: 1\n"),
    (Empty, "A: 1\nConnection: keep-alive\nKeep-Alive: timeout=5\nB: 2\n", "A: 1\nB: 2\n"),
    (Empty, "Proxy-Connection: keep-alive\nPROXY-CONNECTION: x\n", ""),
    (Empty, "X: 1\nConnection: x, Y\ny: 2\nZ: 3\n", "Z: 3\n"),
    (Empty, "connection: a\nConnection:\nCONNECTION: ,b\nA: 1\nB: 2\nab: 3\n", "ab: 3\n"),
    (Empty, "TE: gzip\nA: 1\n", "A: 1\n"),
    (
        Empty,
        "Connection: TE\nTE: gzip;q=0.5, Trailers\nA: 1\n",
        "A: 1\nTE: trailers\nConnection: TE\n",
    ),
    (
        Empty,
        "Connection: TE\nTE: gzip\nte:  Trailers \nA: 1\nTE: trailers\n",
        "te:  Trailers \nA: 1\nConnection: TE\n",
    ),
    (Empty, "TE: trailers\nA: 1\n", "TE: trailers\nA: 1\nConnection: TE\n"),
    (Empty, "Upgrade: websocket\nConnection: Upgrade\nA: 1\n", "A: 1\n"),
    (Empty, "Trailer: A\nB: 1\n", "B: 1\n"),
    (Sized, "Trailer: A\nContent-Length: 3\n", "Content-Length: 3\n"),
    (
        Chunked,
        "Trailer: A\nTransfer-Encoding: chunked\nB: 1\n",
        "Trailer: A\nB: 1\nTransfer-Encoding: chunked\n",
    ),
    (Chunked, "Connection: trailer\nTrailer: A\n", "Transfer-Encoding: chunked\n"),
    (Chunked, "Content-Length: 3\n", "Transfer-Encoding: chunked\n"),
    (Sized, "Content-Length:  0003\nConnection: content-length\n", "Content-Length:  0003\n"),
    (
        Sized,
        "Expect: 100-continue\nContent-Length: 3\n",
        "Expect: 100-continue\nContent-Length: 3\n",
    ),
    (Empty, "Connection: expect\nExpect: 100-continue\n", ""),
    (
        Empty,
        "Connection: host, cookie, authorization\nCookie: a\nAuthorization: b\n",
        "Cookie: a\nAuthorization: b\n",
    ),
    (
        Empty,
        "Connection: x-forwarded-for, X-Forwarded-Host, x-forwarded-proto, x-forwarded-port\n",
        "",
    ),
    (
        Empty,
        "Connection: X-Amzn-Trace-Id,traceparent,tracestate,forwarded\nX-Amzn-Trace-Id: Root=1\n\
            traceparent: 00-a\ntracestate: b\nForwarded: for=x\n",
        "X-Amzn-Trace-Id: Root=1\ntraceparent: 00-a\ntracestate: b\nForwarded: for=x\n",
    ),
    (Empty, "Connection: HTTP2-Settings, Upgrade\nUpgrade: h2c\nHTTP2-Settings: AA\n", ""),
    (Empty, "HTTP2-Settings: AA\n", ""),
];

#[test]
fn fields_are_kept_or_dropped_by_rule() {
    for (body, sent, expected) in FIELDS {
        assert_eq!(lines(sent, *body, Upgrade::No), *expected, "{sent:?}");
    }
}

#[test]
fn an_upgrade_is_asked_for_again() {
    let sent = "Connection: keep-alive, Upgrade\nupgrade: websocket\nSec-WebSocket-Key: k\n\
        Upgrade: other\nTE: trailers\n";
    assert_eq!(
        lines(sent, Empty, Upgrade::Asked),
        "upgrade: websocket\nSec-WebSocket-Key: k\nUpgrade: other\nTE: trailers\n\
        Connection: Upgrade, TE\n"
    );
    assert_eq!(
        lines("Connection: Upgrade\nUpgrade: websocket\n", Empty, Upgrade::Asked),
        "Upgrade: websocket\nConnection: Upgrade\n"
    );
}

const REQUESTS: &[(&str, &str, &str)] = &[
    ("get /a?b HTTP/1.1\nHOST:h:1 \n", "get /a?b HTTP/1.1\nHOST:h:1 \n", "h:1"),
    (
        "GET / HTTP/1.0\nHost: h\nExpect: 100-continue\nA: 1\n",
        "GET / HTTP/1.1\nHost: h\nA: 1\n",
        "h",
    ),
    ("GET / HTTP/1.0\nKeep-Alive: 1\nHost: h\n", "GET / HTTP/1.1\nHost: h\n", "h"),
    ("OPTIONS * HTTP/1.1\nHost: h\n", "OPTIONS * HTTP/1.1\nHost: h\n", "h"),
    ("GET //x/../@ HTTP/1.1\nHost: h\n", "GET //x/../@ HTTP/1.1\nHost: h\n", "h"),
    (
        "GET http://b:2/c?d HTTP/1.1\nA: 1\nhost: evil\nB: 2\n",
        "GET /c?d HTTP/1.1\nA: 1\nHost: b:2\nB: 2\n",
        "b:2",
    ),
    ("GET HTTPS://B HTTP/1.0\nHost: b\n", "GET / HTTP/1.1\nHost: B\n", "B"),
    ("GET http://b?q=/ HTTP/1.1\nHost: b\n", "GET /?q=/ HTTP/1.1\nHost: b\n", "b"),
    ("OPTIONS http://b HTTP/1.1\nHost: b\n", "OPTIONS * HTTP/1.1\nHost: b\n", "b"),
    ("OPTIONS http://b/ HTTP/1.1\nHost: b\n", "OPTIONS / HTTP/1.1\nHost: b\n", "b"),
    ("OPTIONS http://b?x HTTP/1.1\nHost: b\n", "OPTIONS /?x HTTP/1.1\nHost: b\n", "b"),
    (
        "GET http://[::1]:80/http://x@y/ HTTP/1.1\nHost: b\n",
        "GET /http://x@y/ HTTP/1.1\nHost: [::1]:80\n",
        "[::1]:80",
    ),
];

#[test]
fn whole_requests_byte_for_byte() {
    let added = "X-Forwarded-For: 10.0.0.7\nX-Forwarded-Proto: https\nX-Forwarded-Port: 8443\n";
    for (sent, kept, host) in REQUESTS {
        let expected = crlf(&format!("{kept}{added}X-Forwarded-Host: {host}\n\n"));
        let out = forward(&crlf(&format!("{sent}\n")), Empty, Upgrade::No, "10.0.0.7");
        assert_eq!(text(&out), text(&expected), "{sent:?}");
    }
}

#[test]
fn the_peer_joins_the_last_list() {
    let table = [
        ("X-Forwarded-For: 1\n", "10.0.0.7", "X-Forwarded-For: 1, 10.0.0.7\n"),
        ("x-forwarded-for:1, 2 \t\n", "10.0.0.7", "x-forwarded-for:1, 2, 10.0.0.7\n"),
        (
            "X-Forwarded-For: 1\nA: b\nX-Forwarded-For: 2\nC: d\n",
            "2001:db8::1",
            "X-Forwarded-For: 1\nA: b\nX-Forwarded-For: 2, 2001:db8::1\nC: d\n",
        ),
        ("X-Forwarded-For:\n", "::ffff:10.0.0.7", "X-Forwarded-For: 10.0.0.7\n"),
    ];
    let rest = "X-Forwarded-Proto: p\nX-Forwarded-Port:\nx-forwarded-host: spoof\n";
    for (sent, peer, expected) in table {
        let start = format!("GET / HTTP/1.1\nHost: h\n{rest}");
        let out = forward(&crlf(&format!("{start}{sent}\n")), Empty, Upgrade::No, peer);
        assert_eq!(text(&out), format!("{start}{expected}\n"));
    }
    let out = forward(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", Empty, Upgrade::No, "::ffff:1.2.3.4");
    assert!(text(&out).contains("\nX-Forwarded-For: 1.2.3.4\n"));
}

#[test]
fn fields_have_their_meaning_behind_any_number_of_others() {
    for others in [0, 20, 25, 26, 27, 28, 29, 30, 60, 240] {
        let many = "o: 1\n".repeat(others);
        let sent = format!("{many}Connection: x\nx: 2\nKeep-Alive: 3\nlast: 4\n");
        assert_eq!(lines(&sent, Empty, Upgrade::No), format!("{many}last: 4\n"), "{others} others");
    }
}

#[test]
fn a_connection_is_told_of_in_three_lines() {
    let table = [
        ("0.9.10.255", Proto::Http, 0),
        ("255.255.255.255", Proto::Https, 65535),
        ("::1", Proto::Http, 80),
        ("2001:db8:f234:f678:f234:f678:f234:f678", Proto::Https, 65535),
    ];
    for (peer, proto, port) in table {
        let forwarded = Forwarded::new(peer.parse::<IpAddr>().unwrap(), proto, port);
        let scheme = if proto == Proto::Http { "http" } else { "https" };
        let expected = format!(
            "X-Forwarded-For: {peer}\nX-Forwarded-Proto: {scheme}\nX-Forwarded-Port: {port}\n"
        );
        assert_eq!(text(forwarded.lines()), expected);
        assert_eq!(forwarded.peer(), peer.as_bytes());
    }
}

/// The fields of a request, and the port that the service is told.
const PORTS: &[(&str, &str)] = &[
    // Nobody said anything, or only the port, or what is no scheme of ours.
    ("Host: h\n", "8443"),
    ("Host: h:1\n", "8443"),
    ("Host: h:1\nX-Forwarded-For: 9\n", "8443"),
    ("Host: h:1\nX-Forwarded-Port: 5\n", "5"),
    ("Host: h:1\nX-Forwarded-Proto: https\nX-Forwarded-Port: 5\n", "5"),
    ("Host: h:1\nX-Forwarded-Proto: ftp\n", "8443"),
    ("Host: h:1\nX-Forwarded-Proto:\n", "8443"),
    // By the scheme.
    ("Host: h\nX-Forwarded-Proto: https\n", "443"),
    ("Host: h\nx-forwarded-proto: HTTP\n", "80"),
    ("Host: h\nX-Forwarded-Proto: wss\n", "443"),
    ("Host: h\nX-Forwarded-Proto: ws\n", "80"),
    ("Host: h\nX-Forwarded-Proto: , https, http\n", "443"),
    ("Host: h\nX-Forwarded-Proto: http\nX-Forwarded-Proto: https\n", "80"),
    ("Host: [::1]\nX-Forwarded-Proto: http\n", "80"),
    // By the host.
    ("Host: h:444\nX-Forwarded-Proto: https\n", "444"),
    ("Host: [::1]:444\nX-Forwarded-Proto: https\n", "444"),
    ("Host: h:65536\nX-Forwarded-Proto: https\n", "443"),
    // By the host that a proxy replaced.
    ("Host: h:1\nX-Forwarded-Proto: https\nX-Forwarded-Host: b:444\n", "444"),
    ("Host: h:1\nX-Forwarded-Proto: https\nX-Forwarded-Host: b\n", "443"),
    ("Host: h:1\nX-Forwarded-Proto: https\nX-Forwarded-Host: b:444, c:2\n", "444"),
    ("Host: h:1\nX-Forwarded-Proto: https\nX-Forwarded-Host: b c:2\n", "443"),
    ("Host: h:1\nX-Forwarded-Proto: https\nX-Forwarded-Host: b:+4\n", "443"),
];

#[test]
fn the_port_fits_the_scheme_that_a_proxy_told() {
    for (sent, expected) in PORTS {
        let head = crlf(&format!("GET / HTTP/1.1\n{sent}\n"));
        let out = forward(&head, Empty, Upgrade::No, "10.0.0.7");
        let mut storage = Storage::new();
        let head = RequestHead::parse(&out, &mut storage).unwrap();
        assert_eq!(
            head.field("x-forwarded-port").map(text).as_deref(),
            Some(*expected),
            "{sent:?}"
        );
    }
    let absolute = b"GET http://b:444/ HTTP/1.1\r\nHost: b\r\nX-Forwarded-Proto: https\r\n\r\n";
    let out = forward(absolute, Empty, Upgrade::No, "10.0.0.7");
    assert!(text(&out).contains("\nX-Forwarded-Port: 444\n"));
}

#[test]
fn obsolete_text_passes_untouched() {
    let sent =
        b"GET / HTTP/1.1\r\nHost: h\r\nA: \xff\xc3\xa9\r\nConnection: close\r\nB:\x80\r\n\r\n";
    let out = forward(sent, Empty, Upgrade::No, "1.1.1.1");
    assert!(out.starts_with(b"GET / HTTP/1.1\r\nHost: h\r\nA: \xff\xc3\xa9\r\nB:\x80\r\nX-"));
    let sent = b"HTTP/1.1 200 \xe9t\xe9\r\nA: \xff\r\nConnection: close\r\n\r\n";
    assert_eq!(forward_response(sent), b"HTTP/1.1 200 \xe9t\xe9\r\nA: \xff\r\n\r\n");
}

const RESPONSES: &[(&str, &str)] = &[
    ("HTTP/1.1 200 OK\n", "HTTP/1.1 200 OK\n"),
    ("HTTP/1.0 200 OK\nA: 1\n", "HTTP/1.1 200 OK\nA: 1\n"),
    ("HTTP/1.1 200\nA: 1\n", "HTTP/1.1 200 \nA: 1\n"),
    ("HTTP/1.0 404\n", "HTTP/1.1 404 \n"),
    ("HTTP/1.1 299 \n", "HTTP/1.1 299 \n"),
    ("HTTP/1.1 200  My  reason \nb:2\nb: 2\n", "HTTP/1.1 200  My  reason \nb:2\nb: 2\n"),
    (
        "HTTP/1.1 200 OK\nConnection: keep-alive\nKeep-Alive: 1\nProxy-Connection: x\nTE: trailers\n\
            Set-Cookie: a\nSet-Cookie: b\n",
        "HTTP/1.1 200 OK\nSet-Cookie: a\nSet-Cookie: b\n",
    ),
    (
        "HTTP/1.1 200 OK\nX: 1\nConnection: x, content-length\nContent-Length: 4\nHost: a\nExpect: b\n",
        "HTTP/1.1 200 OK\nContent-Length: 4\nHost: a\nExpect: b\n",
    ),
    (
        "HTTP/1.1 200 OK\nTrailer: A\nTransfer-Encoding: chunked\nB: 1\n",
        "HTTP/1.1 200 OK\nTrailer: A\nB: 1\n",
    ),
    ("HTTP/1.1 200 OK\nTrailer: A\nContent-Length: 1\n", "HTTP/1.1 200 OK\nContent-Length: 1\n"),
    ("HTTP/1.1 200 OK\nContent-Length: 1\nTransfer-Encoding: chunked\n", "HTTP/1.1 200 OK\n"),
    (
        "HTTP/1.1 101 Switching Protocols\nupgrade: websocket\nConnection: upgrade\nSec-WebSocket-Accept: x\n",
        "HTTP/1.1 101 Switching Protocols\nupgrade: websocket\nSec-WebSocket-Accept: x\n",
    ),
    ("HTTP/1.1 426 No\nUpgrade: websocket\nConnection: upgrade\n", "HTTP/1.1 426 No\n"),
    (
        "HTTP/1.1 103 Early Hints\nLink: a\nLink: b\n",
        "HTTP/1.1 103 Early Hints\nLink: a\nLink: b\n",
    ),
];

#[test]
fn responses_byte_for_byte() {
    for (sent, expected) in RESPONSES {
        let out = forward_response(&crlf(&format!("{sent}\n")));
        assert_eq!(text(&out), format!("{expected}\n"), "{sent:?}");
    }
}

const AUTHORITIES: &[(&str, Result<&str, Error>)] = &[
    ("GET / HTTP/1.1\nHost: a\n", Ok("a")),
    ("GET / HTTP/1.0\nHost: A.b.:80\n", Ok("A.b.:80")),
    ("GET / HTTP/1.1\nX-Forwarded-Host: x\nhOST:\ta \n", Ok("a")),
    ("GET http://b/ HTTP/1.1\nHost: a\n", Ok("b")),
    ("GET / HTTP/1.1\n", Err(Error::MissingHost)),
    ("GET / HTTP/1.0\n", Err(Error::MissingHost)),
    ("GET http://b/ HTTP/1.1\n", Err(Error::MissingHost)),
    ("GET / HTTP/1.1\nHost: a\nHost: a\n", Err(Error::DuplicateHost)),
    ("GET / HTTP/1.1\nHost: a\nA: b\nhost: b\n", Err(Error::DuplicateHost)),
    ("GET http://b/ HTTP/1.1\nHost: b\nHost: b\n", Err(Error::DuplicateHost)),
    ("GET / HTTP/1.1\nHost:\n", Err(Error::BadHost)),
    ("GET / HTTP/1.1\nHost: u@a\n", Err(Error::BadHost)),
    ("GET / HTTP/1.1\nHost: a/b\n", Err(Error::BadHost)),
    ("GET / HTTP/1.1\nHost: a b\n", Err(Error::BadHost)),
    ("GET / HTTP/1.1\nHost: a, b\n", Err(Error::BadHost)),
    ("GET / HTTP/1.1\nHost: http://a\n", Err(Error::BadHost)),
    ("GET / HTTP/1.1\nHost: *\n", Err(Error::BadHost)),
    ("GET / HTTP/1.1\nHost: \u{e9}\n", Err(Error::BadHost)),
    ("GET http://b/ HTTP/1.1\nHost: a b\n", Err(Error::BadHost)),
    ("GET http://u@b/ HTTP/1.1\nHost: b\n", Err(Error::BadTarget)),
    ("GET http://u:p@b/ HTTP/1.1\nHost: b\n", Err(Error::BadTarget)),
    ("GET http:///a HTTP/1.1\nHost: b\n", Err(Error::BadTarget)),
    ("GET http:// HTTP/1.1\nHost: b\n", Err(Error::BadTarget)),
    ("GET http:/a HTTP/1.1\nHost: b\n", Err(Error::BadTarget)),
    ("GET http:b HTTP/1.1\nHost: b\n", Err(Error::BadTarget)),
    ("GET http://b\\@c/ HTTP/1.1\nHost: b\n", Err(Error::BadTarget)),
    ("GET http://b:/ HTTP/1.1\nHost: b\n", Err(Error::BadTarget)),
    ("GET http://b,c/ HTTP/1.1\nHost: b\n", Err(Error::BadTarget)),
    ("GET ftp://b/ HTTP/1.1\nHost: b\n", Err(Error::BadTarget)),
    ("GET ws://b/ HTTP/1.1\nHost: b\n", Err(Error::BadTarget)),
    ("GET ://b/ HTTP/1.1\nHost: b\n", Err(Error::BadTarget)),
    ("GET * HTTP/1.1\nHost: a\n", Err(Error::BadTarget)),
    ("OPTIONS *a HTTP/1.1\nHost: a\n", Err(Error::BadTarget)),
    ("options * HTTP/1.1\nHost: a\n", Err(Error::BadTarget)),
    ("GET a HTTP/1.1\nHost: a\n", Err(Error::BadTarget)),
    ("GET a:80 HTTP/1.1\nHost: a\n", Err(Error::BadTarget)),
    ("GET ?a HTTP/1.1\nHost: a\n", Err(Error::BadTarget)),
    ("GET \\a HTTP/1.1\nHost: a\n", Err(Error::BadTarget)),
    ("CONNECT a:80 HTTP/1.1\nHost: a\n", Err(Error::UnsupportedMethod)),
    ("CONNECT / HTTP/1.1\nHost: a\n", Err(Error::UnsupportedMethod)),
    ("connect a:80 HTTP/1.1\nHost: a\n", Err(Error::BadTarget)),
];

#[test]
fn only_one_reading_of_the_authority_is_routed() {
    for (sent, expected) in AUTHORITIES {
        let bytes = crlf(&format!("{sent}\n"));
        let mut storage = Storage::new();
        let head = RequestHead::parse(&bytes, &mut storage).unwrap();
        assert_eq!(authority(&head), *expected, "{sent:?}");
    }
}

/// Everything that a forwarded request must be, whatever it was made of.
fn check_request(out: &[u8], body: BodyKind, upgrade: Upgrade) {
    let mut storage = Storage::new();
    let head =
        RequestHead::parse(out, &mut storage).unwrap_or_else(|e| panic!("{e}: {}", text(out)));
    let count =
        |name: &str| head.fields.iter().filter(|f| f.name.eq_ignore_ascii_case(name)).count();
    let is_upgrade = upgrade == Upgrade::Asked;
    assert_eq!(head.version, Version::Http11);
    assert!(head.target.starts_with('/') || head.target == "*", "{}", text(out));
    assert!(authority(&head).is_ok_and(|host| is_host(host.as_bytes())));
    let takes_trailers = count("te") == 1;
    let listed = head.field("connection").map(|options| text(options).to_lowercase());
    let expected = match (is_upgrade, takes_trailers) {
        (false, false) => None,
        (false, true) => Some("te"),
        (true, false) => Some("upgrade"),
        (true, true) => Some("upgrade, te"),
    };
    assert_eq!(listed.as_deref(), expected);
    assert_eq!(count("connection"), usize::from(expected.is_some()));
    assert_eq!(count("transfer-encoding"), usize::from(body == Chunked));
    assert!(body != Chunked || count("content-length") == 0);
    assert!(count("te") <= 1 && head.field("te").is_none_or(super::is_trailers));
    for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-host"] {
        assert!(count(name) >= 1, "{name}");
    }
    let allowed = ["connection", "transfer-encoding", "te", "upgrade"];
    for field in head.fields.iter().filter(|field| is_hop_by_hop(field.name)) {
        assert!(allowed.iter().any(|name| field.name.eq_ignore_ascii_case(name)), "{}", text(out));
        assert!(is_upgrade || !field.name.eq_ignore_ascii_case("upgrade"));
    }
}

fn check_response(out: &[u8]) {
    let mut storage = Storage::new();
    let head =
        ResponseHead::parse(out, &mut storage).unwrap_or_else(|e| panic!("{e}: {}", text(out)));
    assert_eq!(head.version, Version::Http11);
    let is_allowed = |name: &str| head.status == 101 && name.eq_ignore_ascii_case("upgrade");
    assert!(
        head.fields.iter().all(|f| !is_hop_by_hop(f.name) || is_allowed(f.name)),
        "{}",
        text(out)
    );
}

/// Any head, as it may come after one or a few mutations of a good one.
fn mutate(head: &mut Vec<u8>, rng: &mut Rng) {
    const PIECES: [&[u8]; 16] = [
        b"\r\n",
        b"\r",
        b"\n",
        b"\0",
        b" ",
        b":",
        b",",
        b"Host: b\r\n",
        b"Connection: A, host\r\n",
        b"TE: trailers\r\n",
        b"http://x:1/",
        b"\xff",
        b"Upgrade: u\r\n",
        b"X-Forwarded-For:\r\n",
        b"\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n",
    ];
    for _ in 0..=rng.below(3) {
        let at = usize::try_from(rng.below(head.len() as u64)).unwrap();
        let byte = rng.bits().to_le_bytes()[0];
        match rng.below(6) {
            0 => head[at] = byte,
            1 => drop(head.remove(at)),
            2 => head.insert(at, byte),
            _ => {
                let line = head[at..].iter().position(|&byte| byte == b'\n');
                let at = if rng.below(2) == 0 { at } else { line.map_or(at, |end| at + end + 1) };
                let piece = PIECES[usize::from(byte) % PIECES.len()];
                head.splice(at..at, piece.iter().copied());
            }
        }
    }
}

const SEEDS: [&str; 4] = [
    "GET http://a.b:80/c?d HTTP/1.1\nConnection: close, A\nHost: a.b\nA: 1\nTrailer: x\nTE: trailers\n",
    "POST /x HTTP/1.0\nHost: h\nX-Forwarded-For: 1\nUpgrade: w\nContent-Length: 3\nKeep-Alive: 1\n",
    "HTTP/1.1 101 Switching\nConnection: Upgrade, A\nUpgrade: w\nA: 1\nTransfer-Encoding: chunked\n",
    "HTTP/1.0 200\nProxy-Connection: a\nContent-Length: 1\nTrailer: x\nSet-Cookie: y\n",
];

#[test]
fn mutated_heads_are_refused_or_forwarded_clean() {
    let mut rng = Rng::from_seed(0x4a11);
    let mut forwarded = [0_u32; 2];
    for round in 0..60_000 {
        let mut bytes = crlf(&format!("{}\n", SEEDS[round % SEEDS.len()]));
        mutate(&mut bytes, &mut rng);
        let mut out = Buf::new();
        if let Ok(head) = RequestHead::parse(&bytes, &mut Storage::new()) {
            let body = [Empty, Sized, Chunked][round % 3];
            let upgrade = if round % 5 == 0 { Upgrade::Asked } else { Upgrade::No };
            super::request(&head, body, upgrade, &via("::1"), &mut out);
            if authority(&head).is_ok() {
                check_request(out.as_slice(), body, upgrade);
                forwarded[0] += 1;
            }
        } else if let Ok(head) = ResponseHead::parse(&bytes, &mut Storage::new()) {
            super::response(&head, &mut out);
            check_response(out.as_slice());
            forwarded[1] += 1;
        }
    }
    assert!(forwarded.iter().all(|&count| count > 2000), "{forwarded:?}");
}
