//! `mesh health`, before servers that are well, ill, slow, or no servers at all.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use super::{Program, check, mesh, run, text};

/// Answers every connection with these bytes, and leaves it open.
fn server(answer: &'static [u8]) -> SocketAddr {
    server_at("127.0.0.1:0", answer)
}

/// The same there.
fn server_at(address: &str, answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
            kept.push(stream);
        }
    });
    address
}

#[test]
fn a_healthy_ingress_is_found_by_url_and_by_the_port_in_the_environment() {
    let mut ingress = Program::start();
    let address = loop {
        if let (name, address) = ingress.listening()
            && name == "health"
        {
            break address;
        }
    };
    let hints = server(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    let output = run(&["health", "--url", &format!("http://{hints}/health")]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let localhost = format!("http://localhost:{}/health", address.port());
    for url in [format!("http://{address}/health"), format!("http://{address}/ready"), localhost] {
        let output = run(&["--verbose", "health", "--url", &url]);
        assert!(output.status.success(), "{url}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "healthy\n");
    }
    let port = address.port().to_string();
    let output = mesh(&["health"]).env("MESH_HEALTH_PORT", port).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn the_address_in_the_environment_is_asked_unless_it_is_everybody_s() {
    let healthy = b"HTTP/1.1 200 OK\r\n\r\n";
    for (listen, bind) in [
        ("127.0.0.2:0", "127.0.0.2"),
        ("127.0.0.1:0", "0.0.0.0"),
        ("127.0.0.1:0", "::"),
        ("[::1]:0", "::1"),
    ] {
        let port = server_at(listen, healthy).port().to_string();
        let mut health = mesh(&["health"]);
        let output = health.env("MESH_BIND", bind).env("MESH_HEALTH_PORT", port).output().unwrap();
        assert!(output.status.success(), "{bind}: {}", text(&output.stderr));
    }
    let output = mesh(&["health"]).env("MESH_BIND", "here").output().unwrap();
    let expected = "mesh: MESH_BIND: \"here\" is not an IP address; give for example 0.0.0.0, \
                    127.0.0.1 or ::\n";
    assert_eq!(text(&output.stderr), expected);
}

#[test]
fn an_answer_counts_as_soon_as_its_head_is_there() {
    let address = server(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    let output = run(&["health", "--url", &format!("http://{address}")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn what_is_not_well_is_said_in_one_sentence() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let large: &[u8] = Box::leak(
        [b"HTTP/1.1 200 OK\r\nA: ".as_slice(), &[b'a'; 9000], b"\r\n\r\n"]
            .concat()
            .into_boxed_slice(),
    );
    let reason = format!("{{\"reason\":\"{}\"}}", "a".repeat(7000));
    let large_reason: &[u8] = Box::leak(
        format!(
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: {}\r\n\r\n{reason}",
            reason.len()
        )
        .into_bytes()
        .into_boxed_slice(),
    );
    let cases: [(SocketAddr, &str); 13] = [
        (free, ": connection refused"),
        (server(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"), " answers 503, not 200"),
        (server(b"HTTP/1.1 204 No Content\r\n\r\n"), " answers 204, not 200"),
        (
            server(
                b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 62\r\n\r\n\
                  {\"reason\":\"a\\u001b[1m \\\"b\\\"\",\"service_reason\":\"c\",\"tunnels\":0}....",
            ),
            " answers 503, not 200: \"a\\u{1b}[1m \\\"b\\\"; the service: c\"\n",
        ),
        (
            server(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 21\r\n\r\n{\"status\":\"draining\"}"),
            " answers 503, not 200: \"draining\"\n",
        ),
        (
            server(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 11\r\n\r\nwarming up\n"),
            " answers 503, not 200: \"warming up\"\n",
        ),
        // The rest of the body never comes, or says nothing.
        (
            server(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 99\r\n\r\n{\"reason\":"),
            " answers 503, not 200\n",
        ),
        (server(b"HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\n<!--\n>"), " answers 404, not 200\n"),
        (server(large_reason), " answers 503, not 200: \"aaaa"),
        (server(b"SSH-2.0-mesh\r\n"), ": the answer is not HTTP: "),
        (server(b"HTTP/1.1 200 OK\nA: b\n\n"), ": the answer is not HTTP: "),
        (server(large), ": the answer is not HTTP: "),
        (server(b"\x15\x03\x03\x00\x02\x02\x32"), ": the peer speaks TLS"),
    ];
    for (address, expected) in cases {
        let output = run(&["health", "--url", &format!("http://{address}/health")]);
        assert_eq!(output.status.code(), Some(1), "{expected}");
        let sentence = text(&output.stderr);
        let expected = format!("mesh: http://{address}/health{expected}");
        assert!(sentence.starts_with(&expected), "{sentence} is not {expected}");
        assert_eq!(sentence.lines().count(), 1);
        assert!(sentence.len() < 1000, "{sentence}");
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn nobody_waits_longer_than_the_timeout() {
    // Bytes that never become a head, and a peer that says nothing.
    for answer in [b"HTTP/1.1 200 OK\r\n".as_slice(), b""] {
        let url = format!("http://{}/health", server(answer));
        let begin = Instant::now();
        check(&[(
            &["health", "--timeout", "200ms", "--url", &url],
            &format!("mesh: {url}: no answer within 0.2 seconds"),
        )]);
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn a_wrong_question_is_not_asked() {
    check(&[
        (
            &["health", "--url", "https://localhost/health"],
            "mesh: --url: \"https://localhost/health\" must begin with http://; give for example \
             http://127.0.0.1:8081/health",
        ),
        (
            &["health", "--timeout", "0.01"],
            "mesh: --timeout: \"0.01\" must be from 0.1 to 300 seconds",
        ),
        (
            &["health", "8081"],
            "mesh: \"8081\" stands alone; a value needs its flag before it; see mesh health --help",
        ),
    ]);
}

#[test]
fn a_port_in_the_environment_that_is_none_is_to_blame_itself() {
    for port in ["abc", "0", "65536", "8081/ready"] {
        let output = mesh(&["health"]).env("MESH_HEALTH_PORT", port).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let expected = format!(
            "mesh: MESH_HEALTH_PORT: nobody can be asked at port {port:?}; give 1 to 65535 there, \
             or --url\n"
        );
        assert_eq!(text(&output.stderr), expected);
    }
}
