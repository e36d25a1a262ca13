//! What can only be seen on the wire.

use std::io::{Read as _, Write as _};

use crate::{Service, read_until};

/// Splits a response into its head, in lower case, and its body.
fn split(response: &str) -> (String, &str) {
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body)
}

#[test]
fn the_first_event_comes_at_once() {
    let service = Service::start();
    // The second would come after an hour.
    let mut stream = service.begin("GET /api/stream?interval_ms=3600000 HTTP/1.1");
    let head = read_until(&mut stream, "\r\n\r\n").to_ascii_lowercase();
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    let event = read_until(&mut stream, "\n\n");
    assert!(event.contains("data: {\"sequence\":1,"), "{event}");
}

#[test]
fn the_trailer_field_is_sent_to_whom_it_is_welcome() {
    let service = Service::start();
    let response = service.exchange("GET /api/trailers HTTP/1.1\r\nTE: trailers");
    let (head, body) = split(&response);
    assert!(head.contains("\r\ntransfer-encoding: chunked"), "{head}");
    assert!(head.contains("\r\ntrailer: x-checksum"), "{head}");
    let trailer = body.split_once("\r\n0\r\n").unwrap().1.to_ascii_lowercase();
    let checksum = trailer.strip_prefix("x-checksum: ").unwrap().strip_suffix("\r\n\r\n").unwrap();
    assert_eq!(checksum.len(), 64);
    assert!(service.exchange("GET /api/trailers HTTP/1.1").ends_with("\r\n0\r\n\r\n"));
}

#[test]
fn bytes_have_a_length_or_are_chunked() {
    let service = Service::start();
    let response = service.exchange("GET /api/bytes/100 HTTP/1.1");
    let (head, body) = split(&response);
    assert!(head.contains("\r\ncontent-length: 100"), "{head}");
    assert_eq!(body.len(), 100);
    let response = service.exchange("GET /api/bytes/100?chunked=1 HTTP/1.1");
    let (head, body) = split(&response);
    assert!(head.contains("\r\ntransfer-encoding: chunked"), "{head}");
    assert!(!head.contains("content-length"), "{head}");
    assert!(body.starts_with("64\r\n") && body.ends_with("\r\n0\r\n\r\n"));
    let response = service.exchange("HEAD /api/bytes/1099511627776 HTTP/1.1");
    let (head, body) = split(&response);
    assert!(head.contains("\r\ncontent-length: 1099511627776"), "{head}");
    assert_eq!(body, "");
}

#[test]
fn responses_without_content_have_no_body() {
    let service = Service::start();
    for code in [204, 304] {
        let response = service.exchange(&format!("GET /api/status/{code} HTTP/1.1"));
        let (head, body) = split(&response);
        assert!(head.starts_with(&format!("http/1.1 {code} ")), "{head}");
        assert!(!head.contains("content-length") && !head.contains("transfer-encoding"), "{head}");
        assert_eq!(body, "");
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_sent() {
    let service = Service::start();
    let request = "POST /api/echo HTTP/1.1\r\nContent-Length: 10485761\r\nExpect: 100-continue";
    assert!(service.exchange(request).starts_with("HTTP/1.1 413 "));
    let mut stream = service.begin(&request.replace("10485761", "3"));
    assert_eq!(read_until(&mut stream, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").unwrap();
    assert!(read_until(&mut stream, "}").contains("\"body\":\"abc\""));
}

#[test]
fn who_sends_too_much_gets_to_see_the_refusal() {
    let service = Service::start();
    let mut stream =
        service.begin("POST /api/echo HTTP/1.1\r\nConnection: close\r\nContent-Length: 33554432");
    stream.write_all(&vec![b'x'; 32 << 20]).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
}

#[test]
fn a_websocket_address_asks_for_an_upgrade() {
    let service = Service::start();
    for path in ["/ws", "/api/ws"] {
        let response = service.exchange(&format!("GET {path} HTTP/1.1"));
        let (head, body) = split(&response);
        assert!(head.starts_with("http/1.1 426 "), "{head}");
        assert!(head.contains("\r\nupgrade: websocket"), "{head}");
        assert!(body.contains("error"), "{body}");
    }
    let upgrade = "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade";
    let ask = |fields: &str| {
        let mut stream = service.begin(&format!("{upgrade}\r\n{fields}"));
        read_until(&mut stream, "\r\n\r\n").to_ascii_lowercase()
    };
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let head = ask(&format!("{key}\r\nSec-WebSocket-Version: 8"));
    assert!(head.starts_with("http/1.1 426 "), "{head}");
    assert!(head.contains("\r\nsec-websocket-version: 13"), "{head}");
    for key in ["X-No-Key: x", "Sec-WebSocket-Key: short"] {
        let head = ask(&format!("{key}\r\nSec-WebSocket-Version: 13"));
        assert!(head.starts_with("http/1.1 400 "), "{head}");
    }
}
