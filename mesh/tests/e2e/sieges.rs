//! Strangers in numbers, slow ones, and tenants that reach for what is another's: what they take
//! is theirs, and everybody else is served.

use mesh_protocol::control::Proof;

use crate::harness::fortress::{Fortress, ROLE_HOST, TENANT, TENANT_TOKEN};
use crate::peers::caller::{HOST, ask, read_response};
use crate::peers::frames::{DATA, DRAIN, HEALTH, HELLO, RESET, RESPONSE, frame};
use crate::peers::raw_agent::{OFFER, RawAgent, hello, offer};
use crate::peers::wire::{AT_ONCE, Wire, wait_until};
use crate::tokens::status;

/// A tenant that is registered with its own token.
fn tenant(fortress: &Fortress) -> RawAgent {
    tenant_with(fortress, &hello(TENANT))
}

fn tenant_with(fortress: &Fortress, hello: &str) -> RawAgent {
    let mut tenant = fortress.stranger().greet_with(hello);
    let proof = Proof::Token(tenant.token_proof(TENANT_TOKEN));
    tenant.prove(proof);
    tenant.welcome()
}

#[test]
fn a_crowd_of_strangers_fills_what_is_left_and_no_more() {
    const ROOM: usize = 20;
    let room = ROOM.to_string();
    let fortress = Fortress::start(&["--max-tunnels", &room, "--registration-timeout", "1"]);
    // Up to the challenge, and not a word more.
    let crowd: Vec<_> = (1..ROOM).map(|_| fortress.stranger().greet(HOST)).collect();
    for _ in 0..30 {
        assert_eq!(offer(fortress.server.tunnels, OFFER).status, 503);
    }
    fortress.assert_unharmed();
    for stranger in crowd {
        let sentence = fortress.turned_away(stranger, "one of the crowd");
        assert!(sentence.contains("no proof of identity in time"), "{sentence}");
    }
    drop(tenant(&fortress));
    fortress.assert_unharmed();
}

#[test]
fn who_takes_too_long_is_cut_at_whatever_point() {
    let fortress = Fortress::start(&["--registration-timeout", "0.5"]);
    let start = std::time::Instant::now();
    let mut mute = Wire::connect(fortress.server.tunnels);
    let mut slow = Wire::connect(fortress.server.tunnels);
    slow.send(&OFFER[..40]);
    let upgraded = fortress.stranger();
    let mut half = fortress.stranger();
    let message = frame(HELLO, 0, 0, hello(HOST).as_bytes());
    half.agent.wire.send([&[0x82, 0xfe, 0, 200, 0, 0, 0, 0][..], &message[..20]].concat());
    let greeted = fortress.stranger().greet(HOST);
    let in_time = "no registration in time";
    assert!(fortress.turned_away(upgraded, "no HELLO").contains(in_time));
    assert!(fortress.turned_away(half, "half a HELLO").contains(in_time));
    let sentence = fortress.turned_away(greeted, "no PROOF");
    assert!(sentence.contains("no proof of identity in time"), "{sentence}");
    mute.read_to_end();
    slow.read_to_end();
    assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
    fortress.assert_unharmed();
}

#[test]
fn a_tenant_gets_its_own_hosts_whatever_it_says_of_itself() {
    let fortress = Fortress::start(&[]);
    let others = [HOST, ROLE_HOST, "*", "*.test", "*.local", "x.tenant.test", "*.tenant.test"];
    for host in others {
        let mut stranger = fortress.stranger().greet(host);
        let proof = Proof::Token(stranger.token_proof(TENANT_TOKEN));
        stranger.prove(proof);
        let sentence = stranger.refusal(host);
        let reason = format!("token tenant-7 may not register {host}: no rule for it");
        assert!(sentence.contains(&reason), "{sentence}");
        fortress.assert_unharmed();
    }
    // One foreign host among its own costs it all of them.
    let both = hello(TENANT).replace(r#"["tenant.test"]"#, r#"["tenant.test","demo.local"]"#);
    let mut stranger = fortress.stranger().greet_with(&both);
    let proof = Proof::Token(stranger.token_proof(TENANT_TOKEN));
    stranger.prove(proof);
    assert!(stranger.refusal("both").contains("may not register demo.local"));
    assert_eq!(status(fortress.server.traffic, TENANT), 404);
    // What an agent calls itself is for people alone: nobody is replaced by it.
    let page = fortress.server.page("/debug/services").text();
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    let honest = &page["services"][0];
    let claims = format!(
        r#","session":{},"instance":{},"principal":"token honest","service":"x","cluster":"x"}}"#,
        honest["session"], honest["instance"],
    );
    let hello = format!("{}{claims}", hello(TENANT).trim_end_matches('}'));
    let _double = tenant_with(&fortress, &hello);
    assert_eq!(fortress.server.get("/").status, 200);
    let page = fortress.server.page("/debug/services").text();
    assert!(page.contains(r#""principal":"token tenant-7""#), "{page}");
    assert_eq!(fortress.server.metric("mesh_tunnels", ""), 2);
}

#[test]
fn a_tenant_can_end_or_silence_nobody_but_itself() {
    let fortress = Fortress::start(&[]);
    let request = format!("GET / HTTP/1.1\r\nHost: {TENANT}\r\n\r\n");
    let names = br#"{"session":"1","hosts":["demo.local"],"healthy":false,"reason":"x"}"#;
    for (kind, payload) in [(HEALTH, &names[..]), (DRAIN, &names[..]), (DRAIN, b"")] {
        let mut agent = tenant(&fortress);
        agent.send(kind, 0, 0, payload);
        // Until then it may be given requests, which it never answers.
        agent.settle();
        wait_until("its own host is not served any more", || {
            ask(fortress.server.traffic, &request).verdict() == (503, "no_healthy_agent")
        });
        for _ in 0..10 {
            assert_eq!(fortress.server.get("/").status, 200);
        }
        drop(agent);
        fortress.assert_unharmed();
    }
    // Streams have numbers of their own in each tunnel: those of others cannot be named.
    let mut held = Wire::connect(fortress.server.traffic);
    held.send(format!("GET /hold HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    fortress.service.wait_held(1);
    let kinds = [(RESET, &[0, 1][..]), (RESPONSE, b"HTTP/1.1 200 OK\r\n\r\n"), (DATA, b"x")];
    for (kind, payload) in kinds {
        for stream in 1..16 {
            let mut agent = tenant(&fortress);
            agent.send(kind, 0, stream, payload);
            agent.wait_end();
        }
    }
    assert_eq!(fortress.service.held(), 1, "it waits on");
    fortress.service.release();
    let response = read_response(&mut held).unwrap();
    assert!(response.text().starts_with("a: GET /hold"), "{response:?}");
    fortress.assert_unharmed();
}
