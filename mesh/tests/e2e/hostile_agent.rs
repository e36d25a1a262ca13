//! Agents that break the protocol, lie about responses or flood: they lose their tunnel at most,
//! and callers see 502 or a cut connection, never a response that nobody gave.

use std::net::SocketAddr;

use crate::peers::caller::{Cut, Response, ask, read_response};
use crate::peers::frames::{
    BINARY, CHALLENGE, DATA, DRAIN, ECHO, END, HEALTH, HELLO, INTERIM, Masking, PING, REFUSED,
    REQUEST, RESET, RESPONSE, TEXT, TRAILERS, UPGRADE, WELCOME, WINDOW, frame, message,
};
use crate::peers::process::{Process, Server, mesh};
use crate::peers::raw_agent::{RawAgent, hello};
use crate::peers::service::Service;
use crate::peers::wire::{Wire, lossy, wait_until};

/// The host that the hostile agents register.
const HOST: &str = "hostile.local";
/// A request for them.
const GET: &str = "GET / HTTP/1.1\r\nHost: hostile.local\r\n\r\n";
/// The head of a response with a body of any length.
const OK: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

/// Kind, flags and payload of a frame.
type Parts<'p> = (u8, u8, &'p [u8]);

/// A hostile agent beside an honest one.
struct Stage {
    server: Server,
    _agent: Process,
    _service: Service,
}

impl Stage {
    fn start(words: &[&str]) -> Self {
        let (server, agent, service) = mesh(words, &[]);
        Self { server, _agent: agent, _service: service }
    }

    fn hostile(&self) -> RawAgent {
        RawAgent::register_host(self.server.tunnels, HOST)
    }

    /// The honest agent serves, and the hostile one is gone.
    fn assert_unharmed(&self) {
        self.server.wait_metric("mesh_tunnels", 1);
        assert_eq!(self.server.get("/").status, 200);
    }
}

/// Sends a request that the agent is to answer.
fn ask_hostile(address: SocketAddr) -> Wire {
    let mut wire = Wire::connect_slowly(address);
    wire.send(GET);
    wire
}

#[test]
fn what_breaks_the_protocol_ends_the_tunnel() {
    let masked = |first, payload: &[u8]| message(first, Masking::Masked, payload);
    let in_message =
        |kind, flags, stream, payload: &[u8]| masked(BINARY, &frame(kind, flags, stream, payload));
    let echo = frame(ECHO, 0, 0, &[0; 8]);
    let hello = hello(HOST);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("RESPONSE to nothing", in_message(RESPONSE, 0, 99, OK)),
        ("DATA of no stream", in_message(DATA, 0, 99, b"x")),
        ("DATA of an agent's stream", in_message(DATA, 0, 2, b"x")),
        ("DATA of the connection", in_message(DATA, 0, 0, b"x")),
        ("WINDOW of no stream", in_message(WINDOW, 0, 99, &[0; 4])),
        ("RESET of no stream", in_message(RESET, 0, 99, &[0; 2])),
        ("TRAILERS of no stream", in_message(TRAILERS, 0, 99, b"")),
        ("a REQUEST", in_message(REQUEST, END, 2, GET.as_bytes())),
        ("a second HELLO", in_message(HELLO, 0, 0, hello.as_bytes())),
        ("a WELCOME", in_message(WELCOME, 0, 0, b"{}")),
        ("a REFUSED", in_message(REFUSED, 0, 0, b"{}")),
        ("a CHALLENGE", in_message(CHALLENGE, 0, 0, b"{}")),
        ("HEALTH that is none", in_message(HEALTH, 0, 0, b"{]")),
        ("HEALTH of a stream", in_message(HEALTH, 0, 1, br#"{"healthy":true}"#)),
        ("ECHO of a stream", in_message(ECHO, 0, 1, &[0; 8])),
        ("an ECHO of 7 bytes", in_message(ECHO, 0, 0, &[0; 7])),
        ("an unknown type", in_message(0x7f, 0, 0, b"")),
        ("half a frame", masked(BINARY, &echo[..12])),
        ("half a header", masked(BINARY, &echo[..5])),
        ("a text message", masked(TEXT, &echo)),
        ("an unmasked message", message(BINARY, Masking::Bare, &echo)),
        ("a fragment", masked(0x02, &echo)),
        ("a continuation", masked(0x80, &echo)),
        ("a reserved operation", masked(0x83, &echo)),
        ("reserved bits", masked(0xc2, &echo)),
        ("a long ping", masked(PING, &[0; 126])),
        ("a message of 129 KiB", masked(BINARY, &vec![0; 129 * 1024])),
        ("a message of 2^62 bytes", [&[BINARY, 0xff, 0x40][..], &[0; 11]].concat()),
        ("a long length for a short message", vec![BINARY, 0xfe, 0, 1, 0, 0, 0, 0, 0]),
        ("no frames at all", [0x00; 64].to_vec()),
        ("HTTP", GET.into()),
    ];
    let stage = Stage::start(&[]);
    for (name, bytes) in cases {
        let mut agent = stage.hostile();
        agent.wire.send(bytes);
        agent.wait_end();
        stage.server.wait_metric("mesh_tunnels", 1);
        assert_eq!(ask(stage.server.traffic, GET).verdict(), (503, "no_healthy_agent"), "{name}");
    }
    stage.assert_unharmed();
}

#[test]
fn what_breaks_the_rules_of_a_stream_ends_the_tunnel_and_costs_its_caller_the_request() {
    let chunk = [0; 16 * 1024];
    let late: &[(u8, u8, &[u8])] = &[(RESPONSE, 0, OK), (DATA, 0, b"some")];
    let beyond: Vec<_> = std::iter::once((RESPONSE, 0, OK))
        .chain(std::iter::repeat_n((DATA, 0, &chunk[..]), 600))
        .collect();
    let cases: [(&str, bool, Vec<Parts<'_>>); 8] = [
        ("DATA before RESPONSE", true, vec![(DATA, 0, b"early")]),
        ("TRAILERS before RESPONSE", true, vec![(TRAILERS, 0, b"X: 1\r\n")]),
        ("an interim end", true, vec![(RESPONSE, INTERIM | END, b"HTTP/1.1 100 \r\n\r\n")]),
        ("too much credit", true, vec![(WINDOW, 0, &[0xff; 4])]),
        ("two RESPONSEs", false, [late, &[(RESPONSE, 0, OK)]].concat()),
        (
            "an interim RESPONSE after the final one",
            false,
            [late, &[(RESPONSE, INTERIM, OK)]].concat(),
        ),
        ("too long DATA", false, [late, &[(DATA, 0, &[0; 16 * 1024 + 1])]].concat()),
        ("DATA beyond the window", false, beyond),
    ];
    // What may be on the way in all is far less than is sent, even if the caller's kernel takes some.
    let stage = Stage::start(&["--stream-window", "256KiB", "--window-growth", "1MiB"]);
    for (name, is_answered, frames) in cases {
        let mut agent = stage.hostile();
        let mut wire = ask_hostile(stage.server.traffic);
        let stream = agent.expect_request();
        for (kind, flags, payload) in frames {
            agent.send(kind, flags, stream, payload);
        }
        match read_response(&mut wire) {
            Ok(response) if is_answered => {
                assert_eq!(response.verdict(), (502, "agent_lost"), "{name}");
            }
            outcome => assert!(matches!(outcome, Err(Cut::Short(_))), "{name}: {outcome:?}"),
        }
        agent.wait_end();
    }
    stage.assert_unharmed();
}

/// Response heads that a caller, or a load balancer, might understand as something else.
fn false_heads() -> Vec<(u8, Vec<u8>)> {
    let fields = "X-A: 1\r\n".repeat(257);
    let heads = [
        "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nX: a\r\n\r\nbody".to_owned(),
        "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\nX: a\n\n".to_owned(),
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nX : a\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nX: a\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 4, 4\r\n\r\n".to_owned(),
        "HTTP/1.1 099 Low\r\n\r\n".to_owned(),
        "HTTP/1.1 1000 High\r\n\r\n".to_owned(),
        "HTTP/1.1 20 Short\r\n\r\n".to_owned(),
        "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n".to_owned(),
        "HTTP/2.0 200 OK\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(33 * 1024)),
        format!("HTTP/1.1 200 OK\r\n{fields}\r\n"),
        "\r\nHTTP/1.1 200 OK\r\n\r\n".to_owned(),
        "nonsense".to_owned(),
        String::new(),
    ];
    let flagged = [
        (UPGRADE, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
        (UPGRADE, "HTTP/1.1 200 OK\r\n\r\n"),
        (INTERIM, "HTTP/1.1 200 OK\r\n\r\n"),
        (INTERIM, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
        (INTERIM, "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
    ];
    let plain = heads.into_iter().map(|head| (0, head.into_bytes()));
    plain.chain(flagged.map(|(flags, head)| (flags, head.into()))).collect()
}

#[test]
fn a_head_that_could_be_understood_twice_becomes_a_502() {
    let stage = Stage::start(&[]);
    let mut agent = stage.hostile();
    let mut wire = ask_hostile(stage.server.traffic);
    for (flags, head) in false_heads() {
        let stream = agent.expect_request();
        agent.send(RESPONSE, flags, stream, &head);
        let response = read_response(&mut wire).unwrap();
        assert_eq!(response.verdict(), (502, "upstream_protocol"), "{:?}", lossy(&head));
        assert!(response.field("x").is_none() && response.field("set-cookie").is_none());
        // The caller's connection and the tunnel go on.
        wire.send(GET);
    }
    let stream = agent.expect_request();
    agent.answer(stream);
    assert_eq!(read_response(&mut wire).unwrap().status, 200);
}

#[test]
fn an_upgrade_that_the_ingress_declined_is_granted_by_nobody() {
    let stage = Stage::start(&[]);
    let mut agent = stage.hostile();
    let mut wire = Wire::connect_slowly(stage.server.traffic);
    let post = GET.replace("GET", "POST").replace("\r\n\r\n", "\r\nConnection: Upgrade\r\n");
    let chunked = "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    wire.send(format!("{post}Upgrade: x\r\n{chunked}"));
    let stream = agent.expect_request();
    let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
    agent.send(RESPONSE, UPGRADE, stream, head);
    assert_eq!(read_response(&mut wire).unwrap().verdict(), (502, "upstream_protocol"));
}

#[test]
fn a_body_that_is_not_what_its_head_said_is_cut() {
    let sized: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n";
    let cases: [(&str, &[u8], Parts<'_>); 6] = [
        ("too long", sized, (DATA, 0, b"123456789")),
        ("too long at its end", sized, (DATA, END, b"12345678HTTP/1.1 200 OK\r\n\r\n")),
        ("too short", sized, (DATA, END, b"1234567")),
        ("empty", sized, (DATA, END, b"")),
        (
            "trailers that hold a response",
            OK,
            (TRAILERS, END, b"X: 1\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
        ),
        ("trailers that are none", OK, (TRAILERS, END, b"no colon\r\n")),
    ];
    let stage = Stage::start(&[]);
    let mut agent = stage.hostile();
    for (name, head, (kind, flags, payload)) in cases {
        let mut wire = ask_hostile(stage.server.traffic);
        let stream = agent.expect_request();
        agent.send(RESPONSE, 0, stream, head);
        agent.send(kind, flags, stream, payload);
        let outcome = read_response(&mut wire);
        assert!(matches!(outcome, Err(Cut::Short(_))), "{name}: {outcome:?}");
    }
}

#[test]
fn an_agent_that_never_answers_is_gone_after_two_echo_intervals() {
    let stage = Stage::start(&["--echo-interval", "0.3"]);
    let mut agent = stage.hostile();
    let mut wire = ask_hostile(stage.server.traffic);
    agent.expect_request();
    agent.wait_end();
    assert_eq!(read_response(&mut wire).unwrap().verdict(), (502, "agent_lost"));
    stage.assert_unharmed();
}

/// What the ingress may grow by under any flood.
const GROWTH_KIB_MAX: usize = 24 * 1024;

#[test]
fn floods_cost_neither_memory_nor_others_their_answers_nor_the_log_its_use() {
    let health = format!(r#"{{"healthy":true,"reason":"{}"}}"#, "x".repeat(900));
    let flip =
        [frame(HEALTH, 0, 0, br#"{"healthy":false}"#), frame(HEALTH, 0, 0, health.as_bytes())];
    let floods: [(&str, Vec<u8>, usize); 5] = [
        ("ECHO", frame(ECHO, 0, 0, &[7; 8]), 300_000),
        ("DRAIN", frame(DRAIN, 0, 0, b""), 100_000),
        ("HEALTH", frame(HEALTH, 0, 0, health.as_bytes()), 20_000),
        ("HEALTH that changes", flip.concat(), 20_000),
        ("unknown frames", frame(0x80, 0, 0, &[7; 64]), 100_000),
    ];
    let stage = Stage::start(&[]);
    let before = stage.server.process.memory_kib();
    for (name, unit, count) in floods {
        let mut agent = stage.hostile();
        let per_message = 100_000 / unit.len();
        let message = message(BINARY, Masking::Masked, &unit.repeat(per_message));
        for _ in 0..count / per_message {
            // Whether the ingress takes it all or ends the tunnel is its choice.
            if agent.wire.try_send(&message).is_err() {
                break;
            }
        }
        assert_eq!(stage.server.get("/").status, 200, "{name}");
        drop(agent);
        stage.assert_unharmed();
        let lines = stage.server.process.log().lines().count();
        assert!(lines < 200, "{name}: {lines} lines in the log");
    }
    let growth = stage.server.process.memory_kib().saturating_sub(before);
    assert!(growth < GROWTH_KIB_MAX, "{growth} KiB");
}

#[test]
fn a_flood_of_interim_responses_to_a_caller_that_does_not_read_costs_no_memory() {
    let stage = Stage::start(&[]);
    let mut agent = stage.hostile();
    let before = stage.server.process.memory_kib();
    let _wire = ask_hostile(stage.server.traffic);
    let stream = agent.expect_request();
    let head = format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "x".repeat(30_000));
    let message =
        message(BINARY, Masking::Masked, &frame(RESPONSE, INTERIM, stream, head.as_bytes()));
    for _ in 0..3000 {
        if agent.wire.try_send(&message).is_err() {
            break;
        }
    }
    assert_eq!(stage.server.get("/").status, 200);
    let growth = stage.server.process.memory_kib().saturating_sub(before);
    assert!(growth < GROWTH_KIB_MAX, "{growth} KiB");
}

#[test]
fn hosts_that_are_none_and_hellos_that_are_none_are_refused_with_the_reason() {
    let stage = Stage::start(&["--max-hosts", "3"]);
    let with_hosts = |hosts: &str| hello(HOST).replace(r#""hostile.local""#, hosts);
    let named = |member: &str, name: &str| {
        hello(HOST).replacen('{', &format!("{{\"{member}\":\"{name}\","), 1)
    };
    let with = |member: &str, length: usize| named(member, &"n".repeat(length));
    let cases = [
        (with_hosts(""), "no host to register"),
        (
            with_hosts(r#""a","b","c","d""#),
            "4 hosts are too many: this ingress accepts 3 per agent",
        ),
        (with_hosts(r#""a b""#), "is no host name"),
        (with_hosts(r#""a:80""#), "is no host name"),
        (with_hosts(r#""*a.com""#), "is no host name"),
        (with_hosts(r#""a..b""#), "is no host name"),
        (with_hosts(r#""a\r\nX: y""#), "is no host name"),
        (with_hosts(&format!("{:?}", "a.".repeat(130) + "a")), "is no host name"),
        (with("process", 65), "the name of the process is too long"),
        (with("service", 256), "the name of the service is too long"),
        (with("instance", 256), "the name of the instance is too long"),
        (with("cluster", 2049), "the name of the cluster is too long"),
        (with("task", 2049), "the name of the task is too long"),
        (named("process", r"a\n"), "the name of the process has control characters"),
        (hello(HOST).replacen('0', r"a\r", 1), "the name of the version has control characters"),
        (named("service", r"a\u0000b"), "the name of the service has control characters"),
        (named("instance", r"\u001b[2J"), "the name of the instance has control characters"),
        (named("cluster", r"a\u007f"), "the name of the cluster has control characters"),
        (named("task", r"a\u0085"), "the name of the task has control characters"),
        (hello(HOST).replace("65536", "0"), "window and streams must not be 0"),
        (hello(HOST).replace("100", "0"), "window and streams must not be 0"),
        ("{}".to_owned(), "unreadable HELLO: missing field `version`"),
        ("not JSON".to_owned(), "unreadable HELLO: expected"),
    ];
    for (hello, reason) in cases {
        let mut agent = RawAgent::connect(stage.server.tunnels);
        agent.send(HELLO, 0, 0, hello.as_bytes());
        let refusal = agent.expect_refusal();
        assert!(refusal.contains(reason), "{hello}: {refusal}");
        agent.wait_end();
    }
    for kind in [WELCOME, HEALTH, DRAIN, RESPONSE, DATA] {
        let mut agent = RawAgent::connect(stage.server.tunnels);
        agent.send(kind, 0, 0, b"");
        agent.wait_end();
    }
    stage.assert_unharmed();
}

#[test]
fn an_agent_that_resets_a_stream_costs_one_request_by_its_code() {
    let stage = Stage::start(&[]);
    let mut agent = stage.hostile();
    let cases = [
        (1, (502, "upstream_reset")),
        (2, (502, "upstream_connect")),
        (3, (502, "upstream_reset")),
        (4, (502, "upstream_protocol")),
        (5, (504, "request_timeout")),
        (6, (503, "overloaded")),
        (99, (502, "upstream_reset")),
        // Behind this one the agent counts as leaving.
        (7, (503, "no_healthy_agent")),
    ];
    for (code, verdict) in cases {
        let mut wire = ask_hostile(stage.server.traffic);
        let stream = agent.expect_request();
        agent.send(RESET, 0, stream, &[&[0, code], &b"\xff\r\nX: secret words"[..]].concat());
        let response: Response = read_response(&mut wire).unwrap();
        assert_eq!(response.verdict(), verdict, "code {code}");
        assert!(!format!("{}{}", response.head, response.text()).contains("secret"));
    }
    wait_until("it counts as leaving", || {
        ask(stage.server.traffic, GET).verdict() == (503, "no_healthy_agent")
    });
}
