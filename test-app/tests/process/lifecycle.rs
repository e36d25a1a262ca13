//! Start and end.

use std::io::Read as _;
use std::net::TcpListener;

use crate::{Service, command, read_until, wait_for};

/// Asserts that the service does not start with these variables but says why in one line.
fn assert_no_start(variables: &[(&str, &str)], sentence: &str) {
    let output = command(variables).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{variables:?}");
    assert!(output.stdout.is_empty());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(sentence), "{stderr}");
}

#[test]
fn the_address_is_the_only_output_and_either_signal_ends_the_service() {
    for signal in ["TERM", "INT"] {
        let mut service = Service::start();
        let (ip, port) = service.address.split_once(':').unwrap();
        assert_eq!(ip, "127.0.0.1");
        assert_ne!(port.parse::<u16>().unwrap(), 0);
        assert!(service.exchange("GET /health HTTP/1.1").starts_with("HTTP/1.1 200 OK\r\n"));
        service.signal(signal);
        let (status, output) = service.end();
        assert_eq!((status.code(), output.as_str()), (Some(0), ""), "{signal}");
    }
}

#[test]
fn arguments_are_answered_and_start_nothing() {
    for (word, code, beginning) in
        [("--help", 0, "Usage: test-app"), ("--version", 0, "test-app "), ("--port", 2, "")]
    {
        let output = command(&[]).arg(word).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{word}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(stdout.starts_with(beginning), "{word}: {stdout}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr.contains("There is no argument \"--port\""), code == 2, "{stderr}");
    }
}

#[test]
fn a_port_in_use_is_reported() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let sentence = format!("Cannot listen on 127.0.0.1:{port}: Address already in use");
    assert_no_start(&[("PORT", &port.to_string()), ("BIND", "127.0.0.1")], &sentence);
}

#[test]
fn an_impossible_setting_is_reported() {
    assert_no_start(&[("PORT", "65536")], "PORT must be a whole number from 0 to 65535");
    assert_no_start(&[("PORT", "0"), ("BIND", "localhost")], "BIND must be an IP address");
}

#[test]
fn requests_in_progress_are_finished() {
    let mut service = Service::start();
    let mut slow = service.begin("GET /api/stress/1 HTTP/1.1");
    let mut asked = 0;
    wait_for("the slow request to arrive", || {
        let info = service.exchange("GET /api/info HTTP/1.1");
        asked += 1;
        let requests = info.split_once("\"requests\":")?.1.trim_end_matches('}');
        (requests.parse::<u64>().unwrap() > asked).then_some(())
    });
    service.signal("TERM");
    let mut response = String::new();
    slow.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.contains("held_seconds"), "{response}");
    assert_eq!(service.end().0.code(), Some(0));
}

#[test]
fn endless_answers_and_idle_connections_do_not_hold_up_the_end() {
    let mut service = Service::start();
    let silent = service.connect();
    let mut idle = service.begin("GET /health HTTP/1.1");
    read_until(&mut idle, "}");
    let mut events = service.begin("GET /api/stream?interval_ms=3600000 HTTP/1.1");
    read_until(&mut events, "\n\n\r\n");
    let start = std::time::Instant::now();
    service.signal("TERM");
    let mut rest = String::new();
    events.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "0\r\n\r\n");
    assert_eq!(service.end().0.code(), Some(0));
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    drop(silent);
}
