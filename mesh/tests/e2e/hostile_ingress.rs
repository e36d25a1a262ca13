//! Ingresses that break the protocol: the agent survives each of them, says why it left, comes back
//! after a while and serves as soon as it meets an honest one.

use std::net::TcpListener;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::harness::origin::Origin;
use crate::peers::caller::HOST;
use crate::peers::frames::{
    BINARY, CHALLENGE, CLOSE, DATA, DRAIN, ECHO, END, HELLO, Masking, PING, REFUSED, REQUEST,
    RESET, RESPONSE, TEXT, UPGRADE, WELCOME, WINDOW, frame, message, read_message,
};
use crate::peers::place::own_address;
use crate::peers::process::{Process, Server, bare_agent};
use crate::peers::raw_ingress::{RawIngress, RawTunnel, grant, welcome};
use crate::peers::service::Service;
use crate::peers::wire::{End, Wire, wait_until};

/// An agent of an ingress that the test plays.
fn start(words: &[&str]) -> (RawIngress, Process, Service) {
    let (ingress, service) = (RawIngress::start(), Service::start("a"));
    let agent = crate::peers::process::agent(ingress.address, &service, words);
    (ingress, agent, service)
}

/// The agent connects again and serves a request.
fn assert_serves(ingress: &RawIngress, service: &Service) {
    let seen = service.requests().len();
    let mut tunnel = ingress.welcome(64 * 1024);
    tunnel.send(REQUEST, END, 1, b"GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n");
    let response = tunnel.expect(RESPONSE);
    assert!(response.payload.starts_with(b"HTTP/1.1 200 "), "{response:?}");
    assert_eq!(service.requests().len(), seen + 1);
}

#[test]
fn an_agent_says_why_it_got_no_tunnel_and_comes_back() {
    let (ingress, agent, service) = start(&[]);
    let refusal = br#"{"code":"forbidden","reason":"not with\nthis identity"}"#;
    let challenge = br#"{"server_id":"s","nonce":"n","methods":["sts"]}"#;
    type Answer = fn(&[u8]) -> Vec<u8>;
    let answers: [(Answer, &str); 14] = [
        (|_| Vec::new(), "closed by the peer"),
        (|_| vec![7; 300], "bad WebSocket upgrade"),
        (|_| vec![21, 3, 3, 0, 2, 2, 70], "the peer speaks TLS; give its endpoint as wss://"),
        (|_| vec![b'a'; 70_000], "bad WebSocket upgrade"),
        (|_| b"HTTP/1.1 200 OK\r\n\r\n".into(), "upgrade answered with status 200"),
        (
            |_| b"HTTP/1.1 503 Later\r\nX-Mesh-Error: draining\r\n\r\n".into(),
            "upgrade answered with status 503 (draining)",
        ),
        (
            |_| b"HTTP/1.1 301 Moved\r\nLocation: https://a\"b:443/?state=1\r\n\r\n".into(),
            "answered with status 301, which leads to \"https://a\\\"b:443\"; if that is the ingress,",
        ),
        (
            |_| b"HTTP/1.1 302 Found\r\nLocation: https://me:secret@b/\r\n\r\n".into(),
            "answered with status 302; connecting",
        ),
        (
            |_| b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n".into(),
            "answered with status 302; connecting",
        ),
        (|_| b"HTTP/1.1 401 No\r\n\r\n".into(), "upgrade answered with status 401"),
        (
            |offer| patch(offer, "Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: x"),
            "bad WebSocket",
        ),
        (|offer| patch(offer, "mesh.v1", "mesh.v2"), "does not speak mesh.v1"),
        (|offer| patch(offer, "Upgrade: websocket\r\n", ""), "bad WebSocket upgrade"),
        (|offer| [grant(offer), b"\x82\x03abc".into()].concat(), "malformed frame"),
    ];
    for (answer, reason) in answers {
        let (mut wire, offer) = ingress.accept();
        wire.send(answer(&offer));
        wire.finish();
        agent.wait_log(reason);
    }
    let no_streams = br#"{"version":"0","session":"1","window":65536,"streams":0}"#;
    let notices: [(u8, &[u8], &str); 6] = [
        (REFUSED, refusal, r"not with\nthis identity"),
        (REFUSED, b"nonsense", "refused, reason unreadable"),
        (CHALLENGE, challenge, r#"the ingress calls itself "s", and this agent dialled"#),
        (WELCOME, b"{}", "bad WELCOME"),
        (WELCOME, no_streams, "bad WELCOME: window and streams must not be 0"),
        (HELLO, b"{}", "frame out of order"),
    ];
    for (kind, payload, reason) in notices {
        let mut tunnel = ingress.accept_tunnel();
        tunnel.send(kind, 0, 0, payload);
        agent.wait_log(reason);
        tunnel.wait_end();
    }
    assert_serves(&ingress, &service);
}

fn patch(offer: &[u8], from: &str, to: &str) -> Vec<u8> {
    String::from_utf8(grant(offer)).unwrap().replacen(from, to, 1).into_bytes()
}

/// An agent that dials this and waits for a moment only.
fn start_impatient(url: &str, service: &Service) -> Process {
    let times = ["--connect-timeout", "0.3", "--reconnect-min", "0.05", "--reconnect-max", "0.1"];
    bare_agent(url, &service.url(), HOST, &times)
}

#[test]
fn an_ingress_that_says_nothing_is_left_after_the_connect_timeout() {
    let (ingress, service) = (RawIngress::start(), Service::start("a"));
    let agent = start_impatient(&ingress.url(), &service);
    let (mut silent, _) = ingress.accept();
    silent.read_to_end();
    agent.wait_log("no answer to the upgrade within 300ms");
    let mut unwelcome = ingress.accept_tunnel();
    unwelcome.wait_end();
    agent.wait_log("no WELCOME within 300ms");
    assert_serves(&ingress, &service);
}

#[test]
fn an_agent_says_that_nothing_answers_before_there_is_a_connection() {
    let service = Service::start("a");
    // With its queue full, the kernel answers nobody who comes: as a firewall does.
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&own_address().into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let _first = Wire::connect(address);
    let agent = start_impatient(&format!("ws://{address}"), &service);
    agent.wait_log(&format!("no tunnel to {address}: no connection within 300ms"));

    let listener = TcpListener::bind(own_address()).unwrap();
    let address = listener.local_addr().unwrap();
    let agent = start_impatient(&format!("wss://{address}"), &service);
    agent.wait_log(&format!("no tunnel to {address}: no end of the TLS handshake within 300ms"));
}

#[test]
fn an_agent_that_leaves_does_not_wait_for_a_tls_handshake() {
    let service = Service::start("a");
    let listener = TcpListener::bind(own_address()).unwrap();
    let url = format!("wss://{}", listener.local_addr().unwrap());
    let (local, words) = (service.url(), ["--host", HOST, "--drain-timeout", "1"]);
    let fixed = ["client", "--ingress-endpoint", &url, "--local-endpoint", &local];
    let mut agent = Process::start(&[&fixed[..], &words].concat());
    let mut silent = Wire::new(listener.accept().unwrap().0);
    silent.wait(|bytes| (!bytes.is_empty()).then_some(())).unwrap();
    agent.signal("TERM");
    assert_eq!(agent.wait_exit().code(), Some(0));
    agent.wait_log("drained");
    assert_eq!(agent.log_count("unfinished"), 0, "{}", agent.log());
}

#[test]
fn an_agent_that_dials_the_port_for_requests_hears_that() {
    let (server, service) = (Server::start(&[]), Service::start("a"));
    let agent = crate::peers::process::agent(server.traffic, &service, &[]);
    agent.wait_log("that port is for requests; agents dial the ingress's --websocket-port");
}

#[test]
fn an_agent_that_leaves_says_what_an_ingress_did_not_confirm() {
    let (ingress, mut agent, _service) = start(&["--drain-timeout", "0.3"]);
    let mut tunnel = ingress.welcome(64 * 1024);
    agent.wait_log("registered");
    agent.signal("TERM");
    // The ECHO behind it is never answered.
    tunnel.expect(DRAIN);
    assert_eq!(agent.wait_exit().code(), Some(0));
    agent.wait_log("leaving before every ingress has let go of its tunnel");
    assert_eq!(agent.log_count("unfinished"), 0, "{}", agent.log());
}

#[test]
fn what_breaks_the_protocol_ends_the_tunnel() {
    let bare = |first, payload: &[u8]| message(first, Masking::Bare, payload);
    let in_message =
        |kind, flags, stream, payload: &[u8]| bare(BINARY, &frame(kind, flags, stream, payload));
    let get = b"GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n";
    let request = |stream| in_message(REQUEST, END, stream, get);
    let echo = frame(ECHO, 0, 0, &[0; 8]);
    let upload = b"POST / HTTP/1.1\r\nHost: demo.local\r\nTransfer-Encoding: chunked\r\n\r\n";
    let flood = in_message(DATA, 0, 1, &[0; 16 * 1024]).repeat(600);
    let deaf = b"POST /deaf HTTP/1.1\r\nHost: demo.local\r\nContent-Length: 99999999\r\n\r\n";
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("DATA of no stream", in_message(DATA, 0, 1, b"x")),
        ("WINDOW of no stream", in_message(WINDOW, 0, 1, &[0; 4])),
        ("RESET of no stream", in_message(RESET, 0, 1, &[0; 2])),
        ("a RESPONSE", in_message(RESPONSE, 0, 1, b"HTTP/1.1 200 OK\r\n\r\n")),
        ("an even stream", request(2)),
        ("stream 0", request(0)),
        ("a stream twice", [request(1), request(1)].concat()),
        ("an older stream", [request(5), request(3)].concat()),
        ("a second WELCOME", in_message(WELCOME, 0, 0, welcome(1).as_bytes())),
        ("a HELLO", in_message(HELLO, 0, 0, b"{}")),
        ("DATA after the end", [request(1), in_message(DATA, 0, 1, b"x")].concat()),
        (
            "too long DATA",
            [in_message(REQUEST, 0, 1, upload), in_message(DATA, 0, 1, &[0; 16 * 1024 + 1])]
                .concat(),
        ),
        ("DATA beyond the window", [in_message(REQUEST, 0, 1, deaf), flood].concat()),
        (
            "too much credit",
            [in_message(REQUEST, 0, 1, deaf), in_message(WINDOW, 0, 1, &[0xff; 4])].concat(),
        ),
        ("an unknown type", in_message(0x7f, 0, 0, b"")),
        ("half a frame", bare(BINARY, &echo[..12])),
        ("a text message", bare(TEXT, &echo)),
        ("a masked message", message(BINARY, Masking::Masked, &echo)),
        ("a fragment", bare(0x02, &echo)),
        ("a long ping", bare(PING, &[0; 126])),
        ("a message of 129 KiB", bare(BINARY, &vec![0; 129 * 1024])),
    ];
    let (ingress, mut agent, service) = start(&["--stream-window", "64KiB"]);
    for (name, bytes) in cases {
        let mut tunnel = ingress.welcome(64 * 1024);
        tunnel.wire.send(bytes);
        tunnel.wait_end();
        assert!(agent.is_running(), "{name}");
    }
    assert_serves(&ingress, &service);
    assert_eq!(agent.log_count("panicked"), 0);
}

#[test]
fn a_challenge_out_of_place_is_a_breach_of_the_protocol() {
    let (ingress, agent, _service) = start(&[]);
    let challenge = br#"{"server_id":"s","nonce":"n","methods":["iam"]}"#;
    let mut unreadable = ingress.accept_tunnel();
    unreadable.send(CHALLENGE, 0, 0, b"{}");
    assert_eq!(close_code(&mut unreadable), 1002);
    agent.wait_log("bad CHALLENGE: missing field");
    let mut late = ingress.welcome(64 * 1024);
    late.send(CHALLENGE, 0, 0, challenge);
    assert_eq!(close_code(&mut late), 1002);
    agent.wait_log("CHALLENGE frame out of order");
    assert_eq!(agent.log_count("no proof of identity"), 0, "{}", agent.log());
}

/// The code with which the agent closes the WebSocket.
fn close_code(tunnel: &mut RawTunnel) -> u16 {
    loop {
        let (kind, payload) = read_message(&mut tunnel.wire).expect("a close frame comes");
        if kind == CLOSE {
            return u16::from_be_bytes([payload[0], payload[1]]);
        }
    }
}

#[test]
fn a_request_before_the_welcome_ends_the_tunnel_and_never_reaches_the_service() {
    let request = frame(REQUEST, END, 1, b"GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n");
    let welcome = frame(WELCOME, 0, 0, welcome(64 * 1024).as_bytes());
    let two_workers = ["--workers", "2", "--tunnels-per-ingress", "2"];
    for words in [&[][..], &two_workers] {
        let (ingress, agent, service) = start(words);
        // Before it, and in one message with it.
        for message in [request.clone(), [request.clone(), welcome.clone()].concat()] {
            let mut tunnel = ingress.accept_tunnel();
            tunnel.send_message(BINARY, &message);
            tunnel.wait_end();
        }
        agent.wait_log("frame out of order");
        assert!(service.requests().is_empty(), "{:?}", service.requests());
        assert_serves(&ingress, &service);
    }
}

/// Resets of the agent: the code, for a request that it does not pass on.
fn reset_code(tunnel: &mut RawTunnel, flags: u8, stream: u32, head: &[u8]) -> u8 {
    tunnel.send(REQUEST, flags, stream, head);
    let reset = tunnel.expect(RESET);
    assert_eq!(reset.stream, stream);
    reset.payload[1]
}

#[test]
fn a_request_that_is_none_costs_its_stream_and_never_reaches_the_service() {
    const PROTOCOL: u8 = 4;
    let cases: [(u8, &[u8]); 12] = [
        (END, b""),
        (END, b"nonsense"),
        (END, b"GET / HTTP/1.1\r\nHost: demo.local\r\n"),
        (END, b"GET / HTTP/1.1\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"),
        (END, b"GET / HTTP/1.1\r\nX: a\nHost: b\r\n\r\n"),
        (END, b"GET / HTTP/1.1\r\nX : a\r\n\r\n"),
        (0, b"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (0, b"POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n"),
        (0, b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"),
        (0, b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n"),
        // It says that there is a body, and that there is none.
        (END, b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n"),
        (END | UPGRADE, b"\0\0\0\0"),
    ];
    let (ingress, _agent, service) = start(&[]);
    let mut tunnel = ingress.welcome(64 * 1024);
    let mut stream = 1;
    for (flags, head) in cases {
        assert_eq!(reset_code(&mut tunnel, flags, stream, head), PROTOCOL, "{head:?}");
        stream += 2;
    }
    let upload = b"POST / HTTP/1.1\r\nHost: demo.local\r\nContent-Length: 4\r\n\r\n";
    tunnel.send(REQUEST, 0, stream, upload);
    tunnel.send(DATA, 0, stream, b"more than announced");
    assert_eq!(tunnel.expect(RESET).payload[1], PROTOCOL);
    assert!(service.requests().is_empty(), "{:?}", service.requests());
    tunnel.send(REQUEST, END, stream + 2, b"GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n");
    assert!(tunnel.expect(RESPONSE).payload.starts_with(b"HTTP/1.1 200 "));
}

#[test]
fn more_streams_than_agreed_are_refused_one_by_one() {
    const REFUSED_STREAM: u8 = 6;
    let (ingress, _agent, service) = start(&["--max-streams", "2"]);
    let mut tunnel = ingress.welcome(64 * 1024);
    for stream in [1, 3] {
        tunnel.send(REQUEST, END, stream, b"GET /hold HTTP/1.1\r\nHost: demo.local\r\n\r\n");
    }
    service.wait_held(2);
    let head = b"GET /third HTTP/1.1\r\nHost: demo.local\r\n\r\n";
    assert_eq!(reset_code(&mut tunnel, END, 5, head), REFUSED_STREAM);
    service.release();
    for _ in 0..2 {
        assert!(tunnel.expect(RESPONSE).payload.starts_with(b"HTTP/1.1 200 "));
    }
}

#[test]
fn a_lost_tunnel_ends_its_requests_at_the_service() {
    let (ingress, _agent, service) = start(&[]);
    let mut tunnel = ingress.welcome(64 * 1024);
    for stream in [1, 3, 5] {
        tunnel.send(REQUEST, END, stream, b"GET /hold HTTP/1.1\r\nHost: demo.local\r\n\r\n");
    }
    service.wait_held(3);
    drop(tunnel);
    service.wait_abandoned(3);
}

/// What a caller said on an upgraded connection was no request that its reset takes back.
#[test]
fn what_comes_together_with_the_reset_of_an_upgraded_stream_goes_to_the_service_before_it() {
    let (ingress, origin) = (RawIngress::start(), Origin::start());
    let _agent = bare_agent(&ingress.url(), &format!("http://{}", origin.address), HOST, &[]);
    let mut tunnel = ingress.welcome(64 * 1024);
    let head =
        b"GET / HTTP/1.1\r\nHost: demo.local\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n";
    tunnel.send(REQUEST, UPGRADE, 1, head);
    let mut call = origin.next();
    call.wire.send("HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n");
    assert_eq!(tunnel.expect(RESPONSE).flags, UPGRADE);
    let reset = frame(RESET, 0, 1, &1_u16.to_be_bytes());
    tunnel.send_message(BINARY, &[frame(DATA, 0, 1, b"close frame"), reset].concat());
    assert_eq!(call.wire.read_to_end(), (b"close frame".to_vec(), End::Reset));
}

/// Requests that are reset as soon as they are made never count towards the limit of streams.
#[test]
fn streams_that_are_reset_at_once_are_no_connections_of_the_service() {
    let (pairs, ingress) = (50_000, RawIngress::start());
    let service = TcpListener::bind(own_address()).unwrap();
    let url = format!("http://{}", service.local_addr().unwrap());
    let _agent = bare_agent(&ingress.url(), &url, HOST, &["--max-streams", "10"]);
    let counting = std::thread::spawn(move || {
        for count in 0.. {
            let mut wire = Wire::new(service.accept().unwrap().0);
            let asked = wire.wait(|bytes| bytes.ends_with(b"\r\n\r\n").then(|| bytes.to_vec()));
            let asked = asked.unwrap_or_default();
            if !asked.is_empty() {
                // An agent that changed its mind takes no answer.
                let _ = wire.try_send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
            if asked.starts_with(b"GET /last ") {
                return count;
            }
        }
        unreachable!("it goes on counting")
    });
    let mut tunnel = ingress.welcome(64 * 1024);
    // All at once, so that more of them wait than the agent looks at in one turn.
    let (mut flood, mut frames) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        let stream = 2 * pair + 1;
        frames.extend(frame(REQUEST, END, stream, b"GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n"));
        frames.extend(frame(RESET, 0, stream, &1_u16.to_be_bytes()));
        if frames.len() > 100_000 {
            flood.extend(message(BINARY, Masking::Bare, &frames));
            frames.clear();
        }
    }
    flood.extend(message(BINARY, Masking::Bare, &frames));
    tunnel.wire.send(flood);
    let last = b"GET /last HTTP/1.1\r\nHost: demo.local\r\n\r\n";
    tunnel.send(REQUEST, END, 2 * pairs + 1, last);
    assert!(tunnel.expect(RESPONSE).payload.starts_with(b"HTTP/1.1 200 "));
    let count: u32 = counting.join().unwrap();
    // Without a limit the queue of the listener would be full, which is 128.
    assert!(count < 20, "{count} connections");
}

#[test]
fn an_ingress_that_asks_to_move_all_the_time_is_followed_without_haste() {
    let (ingress, agent, service) = start(&[]);
    for _ in 0..5 {
        let mut tunnel = ingress.welcome(64 * 1024);
        for _ in 0..1000 {
            tunnel.send(DRAIN, 0, 0, b"");
        }
    }
    assert_serves(&ingress, &service);
    let asked = agent.log_count("asks this agent to move");
    assert!(asked <= 6, "{asked} lines in the log");
}

#[test]
fn of_the_tunnels_that_an_ingress_does_not_let_go_of_the_oldest_are_left() {
    let (ingress, agent, service) = start(&[]);
    let mut tunnels = [(); 4].map(|()| {
        let mut tunnel = ingress.welcome(64 * 1024);
        tunnel.send(DRAIN, 0, 0, b"");
        tunnel
    });
    assert_serves(&ingress, &service);
    let [first, second, young @ ..] = &mut tunnels;
    first.wait_end();
    second.wait_end();
    assert_eq!(agent.log_count("a tunnel ended: left behind"), 2);
    for tunnel in young {
        tunnel.send(REQUEST, END, 1, b"GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n");
        assert!(tunnel.expect(RESPONSE).payload.starts_with(b"HTTP/1.1 200 "));
    }
}

#[test]
fn the_waits_between_attempts_grow_to_their_limit_and_no_further() {
    let (ingress, service) = (RawIngress::start(), Service::start("a"));
    let (url, local) = (ingress.url(), service.url());
    let words = ["--reconnect-min", "0.05", "--reconnect-max", "0.4", "--log-level", "debug"];
    let agent = bare_agent(&url, &local, HOST, &words);
    let attempts = 12;
    for _ in 0..attempts {
        drop(ingress.accept());
    }
    let again = "connecting again in ";
    wait_until("all waits are logged", || agent.log_count(again) + 1 >= attempts);
    let log = agent.log();
    let waits: Vec<_> = log
        .lines()
        .filter_map(|line| line.split_once(again))
        .map(|(_, wait)| milliseconds(wait))
        .collect();
    for (turn, wait) in waits.iter().enumerate() {
        let most = (50 << turn.min(10)).min(400);
        assert!(*wait <= Duration::from_millis(most + 1), "{turn}: {wait:?} of {waits:?}");
    }
    assert!(waits.iter().any(|wait| *wait > Duration::from_millis(50)), "{waits:?}");
}

/// A duration as Rust shows it: `12.3ms`, `4.5µs`.
fn milliseconds(shown: &str) -> Duration {
    let digits = shown.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: f64 = digits.parse().unwrap();
    let unit = match &shown[digits.len()..] {
        "ms" => 1e-3,
        "s" => 1.0,
        _ => 1e-6,
    };
    Duration::from_secs_f64(number * unit)
}
