//! Connections that are made through a proxy.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use mesh_protocol::{Proxy, Target};

use crate::probe::{Heard, PATIENCE, Rule, Running, target};

/// Where no name server leads: only the proxy is asked for it.
const NOWHERE: &str = "ingress.invalid";

/// Takes one connection, reads the request of it, and lets the rest be told by the test.
fn proxy(serve: impl FnOnce(String, TcpStream) + Send + 'static) -> (Proxy, JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.extend(byte);
        }
        serve(String::from_utf8(request).unwrap(), stream);
    });
    let credentials = Some("user:secret".to_owned());
    (Proxy::new(address.ip().to_string(), address.port(), credentials), thread)
}

fn through(proxy: Proxy) -> Target {
    Target { via: Some(Box::new(proxy)), ..target(NOWHERE, 443) }
}

#[test]
fn what_is_beyond_a_proxy_is_reached_when_that_says_so() {
    let (proxy, thread) = proxy(|request, mut stream| {
        assert!(request.starts_with("CONNECT ingress.invalid:443 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("\r\nProxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n"));
        // In pieces, and with no byte of what follows on it.
        for piece in [&b"HTTP/1.1 200 Conn"[..], b"ection established\r\n", b"\r\n"] {
            stream.set_nodelay(true).unwrap();
            stream.write_all(piece).unwrap();
        }
        let mut asked = [0; 2];
        stream.read_exact(&mut asked).unwrap();
        stream.write_all(&asked).unwrap();
    });
    let client = Running::dial(through(proxy), Rule::Ask(b"hi".to_vec()));
    assert_eq!(client.next(), Heard::Connected);
    assert_eq!(client.received(), b"hi");
    thread.join().unwrap();
}

#[test]
fn a_proxy_that_refuses_is_named_with_what_it_said() {
    for (answer, reason) in [
        ("HTTP/1.1 403 Forbidden\r\n\r\nno", "it answered 403"),
        ("HTTP/1.1 407 Who?\r\n\r\n", "it answered 407: it wants (other) credentials"),
        ("", "it closed the connection"),
        ("220 mail.example ESMTP\r\n\r\n", "its answer is not HTTP"),
        ("HTTP/1.1 200 OK\r\n\r\n220 mail", "something was said before the tunnel began"),
    ] {
        let (proxy, thread) = proxy(move |_, mut stream| {
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let expected = format!("the proxy {proxy:?}: {reason}");
        let client = Running::dial(through(proxy), Rule::Echo);
        let closed = client.closed();
        assert!(closed.ends_with(&expected) && !closed.contains("secret"), "{closed}");
        thread.join().unwrap();
    }
}

#[test]
fn a_proxy_that_is_not_there_is_named() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let client = Running::dial(through(Proxy::new("localhost".to_owned(), port, None)), Rule::Echo);
    let closed = client.closed();
    assert!(
        closed.contains(&format!("the proxy localhost:{port}: Connection refused")),
        "{closed}"
    );
}
