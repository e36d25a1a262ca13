//! Strangers that break the order of a registration, garble what they say, or bring proofs that
//! were made for something else: each is turned away with one sentence that tells nothing.

use mesh_protocol::control::{CONTROL_BYTES_MAX, Proof, TokenProof};

use crate::harness::binaries::MESH;
use crate::harness::fortress::{Fortress, SERVER_ID, TENANT, TENANT_TOKEN, iam_proof};
use crate::peers::caller::HOST;
use crate::peers::frames::{
    BINARY, CHALLENGE, DATA, DRAIN, ECHO, ECHO_REPLY, END, HEALTH, HELLO, PROOF, REFUSED, REQUEST,
    RESET, RESPONSE, TRAILERS, WELCOME, WINDOW, frame,
};
use crate::peers::process::mesh;
use crate::peers::raw_agent::{RawAgent, hello};
use crate::peers::raw_ingress::RawIngress;
use crate::peers::wire::wait_until;
use crate::tokens::{ONE, start_agent, words};

const OUT_OF_ORDER: &str = r#"{"code":"invalid","reason":"frame out of order"}"#;
const UNREADABLE: &str = r#"{"code":"invalid","reason":"unreadable PROOF: "#;
/// Bytes of the longest sentence about a proof: 256 characters, in JSON.
const SENTENCE_BYTES_MAX: usize = 2000;
const UNKNOWN_TOKEN: &str =
    r#"{"code":"unauthenticated","reason":"the ingress does not know this agent's token"}"#;

/// Frames that have no place before WELCOME, whatever their payload.
fn early() -> Vec<(&'static str, u8, u8, u32, Vec<u8>)> {
    let get = b"GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n".to_vec();
    let ok = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    vec![
        ("REQUEST", REQUEST, END, 2, get.clone()),
        ("REQUEST of the ingress's", REQUEST, END, 1, get),
        ("RESPONSE", RESPONSE, 0, 1, ok),
        ("DATA", DATA, 0, 1, b"x".to_vec()),
        ("WINDOW", WINDOW, 0, 1, vec![0, 0, 1, 0]),
        ("RESET", RESET, 0, 1, vec![0, 7]),
        ("TRAILERS", TRAILERS, 0, 1, Vec::new()),
        ("HEALTH", HEALTH, 0, 0, br#"{"healthy":false}"#.to_vec()),
        ("DRAIN", DRAIN, 0, 0, Vec::new()),
        ("WELCOME", WELCOME, 0, 0, b"{}".to_vec()),
        ("REFUSED", REFUSED, 0, 0, b"{}".to_vec()),
        ("CHALLENGE", CHALLENGE, 0, 0, b"{}".to_vec()),
        ("PROOF of a stream", PROOF, 0, 1, b"{}".to_vec()),
        ("HELLO of a stream", HELLO, 0, 1, hello(HOST).into_bytes()),
    ]
}

#[test]
fn nothing_but_hello_comes_first_and_nothing_but_a_proof_answers_a_challenge() {
    let fortress = Fortress::start(&[]);
    for (name, kind, flags, stream, payload) in early() {
        let mut first = fortress.stranger();
        first.agent.send(kind, flags, stream, &payload);
        let sentence = fortress.turned_away(first, name);
        assert!(sentence.starts_with(r#"{"code":"invalid","#), "{name}: {sentence}");
        let mut second = fortress.stranger().greet(HOST);
        second.agent.send(kind, flags, stream, &payload);
        let sentence = fortress.turned_away(second, name);
        assert!(sentence.starts_with(r#"{"code":"invalid","#), "{name}: {sentence}");
    }
    let proof = serde_json::to_vec(&Proof::Iam(iam_proof())).unwrap();
    let mut unasked = fortress.stranger();
    unasked.send_proof(&proof);
    assert_eq!(fortress.turned_away(unasked, "PROOF before HELLO"), OUT_OF_ORDER);
    let mut twice = fortress.stranger().greet(HOST);
    twice.agent.send(HELLO, 0, 0, hello(TENANT).as_bytes());
    assert_eq!(fortress.turned_away(twice, "HELLO twice"), OUT_OF_ORDER);
    // Signs of life are no offence, and no answer either.
    let mut alive = fortress.stranger().greet(TENANT);
    alive.agent.send(ECHO, 0, 0, &[7; 8]);
    assert_eq!(alive.agent.expect(ECHO_REPLY).payload, [7; 8]);
    let proof = Proof::Token(alive.token_proof(TENANT_TOKEN));
    alive.prove(proof);
    drop(alive.welcome());
    fortress.assert_unharmed();
}

#[test]
fn only_the_first_proof_counts() {
    let fortress = Fortress::start(&[]);
    let both = |stranger: &crate::harness::fortress::Stranger, first: &str, second: &str| {
        let proofs = [first, second].map(|token| {
            let proof = Proof::Token(stranger.token_proof(token));
            frame(PROOF, 0, 0, &serde_json::to_vec(&proof).unwrap())
        });
        proofs.concat()
    };
    let mut wrong_first = fortress.stranger().greet(TENANT);
    let message = both(&wrong_first, "a token of nobody", TENANT_TOKEN);
    wrong_first.agent.send_message(BINARY, &message);
    assert_eq!(fortress.turned_away(wrong_first, "a wrong and a right proof"), UNKNOWN_TOKEN);
    let mut right_first = fortress.stranger().greet(TENANT);
    let message = both(&right_first, TENANT_TOKEN, ONE);
    right_first.agent.send_message(BINARY, &message);
    right_first.welcome().wait_end();
    fortress.assert_unharmed();
}

#[test]
fn a_proof_that_nobody_asked_for_ends_the_tunnel() {
    let (server, _agent, _service) = mesh(&[], &[]);
    let mut agent = RawAgent::connect(server.tunnels);
    let proof = serde_json::to_vec(&Proof::Iam(iam_proof())).unwrap();
    let message = [frame(HELLO, 0, 0, hello(TENANT).as_bytes()), frame(PROOF, 0, 0, &proof)];
    agent.send_message(BINARY, &message.concat());
    agent.expect(WELCOME);
    agent.wait_end();
    server.wait_metric("mesh_tunnels", 1);
    assert_eq!(server.get("/").status, 200);
}

/// Payloads of PROOF that are none.
fn garbled() -> Vec<Vec<u8>> {
    let long = "x".repeat(CONTROL_BYTES_MAX);
    let nested = "[".repeat(30_000);
    [
        "",
        "{}",
        "[]",
        "null",
        "not JSON",
        r#"{"method":null}"#,
        r#"{"method":7}"#,
        r#"{"method":["token"]}"#,
        r#"{"method":{"token":{}}}"#,
        r#"{"method":"token"}"#,
        r#"{"method":"token","id":7,"mac":"x"}"#,
        r#"{"method":"token","id":"x","mac":["x"]}"#,
        r#"{"method":"token","id":"x","mac":null}"#,
        r#"{"method":"iam"}"#,
        r#"{"method":"iam","host":"sts.amazonaws.com","host":"x","region":"x"}"#,
        r#"{"method":"token","method":"iam","id":"x","mac":"x"}"#,
        r#"{"method":"token","id":"x","mac":"x"} "#,
        r#"{"method":"token","id":"\ud800","mac":"x"}"#,
        "\u{feff}{\"method\":\"token\",\"id\":\"x\",\"mac\":\"x\"}",
        "{\"method\":\"token\",\"id\":\"x\0\",\"mac\":\"x\"}",
        "{\"method\":\"token\",\"id\":\"x\r\n2026 ERROR forged\",\"mac\":[]}",
        &nested,
        &format!(r#"{{"method":"token","id":"x","mac":"{long}"}}"#),
        &format!(r#"{{"method":"{long}"}}"#),
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .chain([b"\xff\xfe{}".to_vec(), b"{\"method\":\"to\xffken\"}".to_vec()])
    .collect()
}

#[test]
fn a_proof_that_is_none_is_told_so_and_no_more() {
    let fortress = Fortress::start(&[]);
    let before = fortress.server.process.memory_kib();
    for payload in garbled() {
        let case = String::from_utf8_lossy(&payload[..payload.len().min(80)]).into_owned();
        let mut stranger = fortress.stranger().greet(HOST);
        stranger.send_proof(&payload);
        let sentence = fortress.turned_away(stranger, &case);
        let is_told = sentence.starts_with(UNREADABLE) || sentence == UNKNOWN_TOKEN;
        assert!(is_told && sentence.len() < SENTENCE_BYTES_MAX, "{case}: {sentence}");
    }
    for method in ["", "none", "Token", "token ", "t\u{43e}ken", "certificate", "x\\u0000\\r\\n"] {
        let mut stranger = fortress.stranger().greet(HOST);
        stranger.send_proof(format!(r#"{{"method":"{method}","id":"x"}}"#).as_bytes());
        let sentence = fortress.turned_away(stranger, method);
        assert!(sentence.contains("does not know this kind of proof"), "{method}: {sentence}");
    }
    assert!(fortress.server.process.memory_kib() < before + 16 * 1024);
    assert_eq!(fortress.asked_sts(), 0);
    fortress.assert_unharmed();
}

#[test]
fn a_hello_that_is_none_is_refused_before_anything_is_asked() {
    let fortress = Fortress::start(&[]);
    let with = |from: &str, to: &str| hello(HOST).replace(from, to);
    let field =
        |bytes: usize| with(r#""window""#, &format!(r#""x":"{}","window""#, "y".repeat(bytes)));
    let fits = CONTROL_BYTES_MAX - field(0).len();
    let hosts = [
        "demo.local\\r\\nHost: x",
        "demo.local\\u0000",
        "demo.loca\\u0131",
        "d\\u0435mo.local",
        "demo\\u3002local",
        "demo.local/..",
        "demo.local:80",
        "demo.local@x",
        "[::1]",
        "de*mo.local",
        "%64emo.local",
        " demo.local",
        "\\u202edemo.local",
        "demo.local\\u2028",
    ];
    for host in hosts {
        let mut stranger = fortress.stranger();
        stranger.agent.send(HELLO, 0, 0, with(HOST, host).as_bytes());
        let from = stranger.agent.wire.stream().local_addr().unwrap();
        let sentence = stranger.agent.expect_refusal();
        assert!(sentence.contains("is no host name or pattern"), "{host}: {sentence}");
        let line = format!("refused the agent from {from}");
        wait_until("the audit line", || fortress.server.process.log_count(&line) == 1);
    }
    for (name, hello) in [
        ("not JSON", "{".to_owned()),
        // Its own words may be in the answer, so it does not say whom it knows.
        ("hosts that are none", with(r#"["demo.local"]"#, r#""own.test""#)),
        ("a window that is a string", with("65536", r#""65536""#)),
        ("a window below zero", with("65536", "-1")),
        ("a window of 2^32", with("65536", "4294967296")),
        ("streams of NaN", with("100", "NaN")),
        ("healthy that is a number", with("true", "1")),
        ("a byte too much", field(fits + 1)),
        ("much too much", field(100_000)),
    ] {
        let mut stranger = fortress.stranger();
        stranger.agent.send(HELLO, 0, 0, hello.as_bytes());
        let sentence = fortress.turned_away(stranger, name);
        assert!(sentence.starts_with(r#"{"code":"invalid","#), "{name}: {sentence}");
    }
    let mut all = fortress.stranger().greet_with(&field(fits));
    all.send_proof(b"{}");
    fortress.turned_away(all, "as much as fits");
    fortress.assert_unharmed();
}

#[test]
fn a_proof_is_good_for_its_own_connection_hello_and_ingress_alone() {
    let fortress = Fortress::start(&[]);
    let other = fortress.stranger().greet(TENANT);
    let mut nonces = vec![other.nonce().to_owned()];
    type Make = fn(&crate::harness::fortress::Stranger, &str) -> TokenProof;
    let cases: [(&str, Make); 9] = [
        ("another connection's", |own, nonce| {
            own.token_proof_for(TENANT_TOKEN, SERVER_ID, nonce, &own.hello)
        }),
        ("no nonce", |own, _| own.token_proof_for(TENANT_TOKEN, SERVER_ID, "", &own.hello)),
        ("another ingress's", |own, _| {
            own.token_proof_for(TENANT_TOKEN, "other.example.com", own.nonce(), &own.hello)
        }),
        ("for other hosts", |own, _| {
            own.token_proof_for(TENANT_TOKEN, SERVER_ID, own.nonce(), &hello("other.test"))
        }),
        ("for the same HELLO, written otherwise", |own, _| {
            let spaced = own.hello.replace(',', ", ");
            own.token_proof_for(TENANT_TOKEN, SERVER_ID, own.nonce(), &spaced)
        }),
        ("a line moved into the nonce", |own, _| {
            let id = format!("{SERVER_ID}\n{}", own.nonce());
            own.token_proof_for(TENANT_TOKEN, &id, "", &own.hello)
        }),
        ("in capitals", |own, _| {
            let proof = own.token_proof(TENANT_TOKEN);
            TokenProof { mac: proof.mac.to_uppercase(), ..proof }
        }),
        ("half of it", |own, _| {
            let proof = own.token_proof(TENANT_TOKEN);
            TokenProof { mac: proof.mac[..32].to_owned(), ..proof }
        }),
        ("under another's id", |own, _| {
            let id = own.token_proof(ONE).id;
            TokenProof { id, ..own.token_proof(TENANT_TOKEN) }
        }),
    ];
    for (name, make) in cases {
        let mut stranger = fortress.stranger().greet(TENANT);
        nonces.push(stranger.nonce().to_owned());
        let proof = make(&stranger, other.nonce());
        stranger.prove(Proof::Token(proof));
        assert_eq!(fortress.turned_away(stranger, name), UNKNOWN_TOKEN, "{name}");
    }
    let count = nonces.len();
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), count, "no nonce comes twice");
    fortress.assert_unharmed();
}

/// Somebody between an agent and its ingress, or a false ingress that knows a true one.
#[test]
fn a_relayed_challenge_gets_no_proof_from_an_agent_that_dialled_somebody_else() {
    let fortress = Fortress::start(&[]);
    let relay = RawIngress::start();
    let variables = [("MESH_TOKEN", TENANT_TOKEN)];
    let lured = words(&[], &[TENANT]);
    let victim = start_agent(MESH, relay.address, &fortress.service, &variables, &lured);
    let (mut tunnel, said) = relay.accept_greeting();
    let said = String::from_utf8(said).unwrap();
    let outside = fortress.stranger().greet_with(&said);
    let challenge = serde_json::to_string(outside.challenge.as_ref().unwrap()).unwrap();
    tunnel.send(CHALLENGE, 0, 0, challenge.as_bytes());
    while let Some(frame) = tunnel.next() {
        assert_ne!(frame.kind, PROOF, "the agent gives no proof to a stranger");
    }
    let sentence = format!(
        "the ingress calls itself {SERVER_ID:?}, and this agent dialled \"{}\": proving its \
         identity to a stranger would let that one pose as this agent",
        relay.address.ip()
    );
    victim.wait_log(&sentence);
    // The relay says its own name instead: the proof is worth nothing where the relay wants it.
    let (mut tunnel, said) = relay.accept_greeting();
    let mut outside = fortress.stranger().greet_with(&String::from_utf8(said).unwrap());
    let challenge = serde_json::to_string(outside.challenge.as_ref().unwrap()).unwrap();
    let forged = challenge.replace(SERVER_ID, &relay.address.ip().to_string());
    tunnel.send(CHALLENGE, 0, 0, forged.as_bytes());
    let proof = tunnel.expect(PROOF).payload;
    assert!(!String::from_utf8_lossy(&proof).contains(TENANT_TOKEN));
    outside.send_proof(&proof);
    assert_eq!(fortress.turned_away(outside, "a relayed proof"), UNKNOWN_TOKEN);
    fortress.assert_unharmed();
}
