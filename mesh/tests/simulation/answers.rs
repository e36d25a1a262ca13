//! What the ingress answers itself, and to whom.

use std::time::Duration;

use mesh_sim::peers::{RawClient, RawPeer, RawTurn, Received, Then};
use mesh_sim::{LinkConfig, LinkRules, NodeId, World, seeds};

use crate::stage::{ADMIN_ADDRESS, HOST, Plan, Stage, TRAFFIC_ADDRESS, TUNNEL_ADDRESS, census};

/// All that comes for these bytes until the connection ends.
pub(crate) fn answer(stage: &mut Stage, address: &str, bytes: &str) -> RawAnswer {
    let client = RawClient::new(address, bytes.as_bytes());
    let node = stage.world.add_peer("somebody", client, &[]);
    let ended = move |world: &World| world.peer::<RawClient>(node).end.is_some();
    stage.world.expect("the connection ends", ended, Duration::from_secs(5));
    let client = stage.world.peer::<RawClient>(node);
    let text = String::from_utf8_lossy(&client.answer).into_owned();
    RawAnswer { status_lines: client.status_lines(), text }
}

pub(crate) struct RawAnswer {
    status_lines: Vec<String>,
    pub(crate) text: String,
}

impl RawAnswer {
    pub(crate) fn has(&self, line: &str) -> bool {
        self.text.contains(&format!("\r\n{line}\r\n"))
    }
}

const JSON: &str = "Content-Type: application/json";

#[test]
fn a_head_that_is_refused_says_in_which_form_it_likes_the_reason() {
    seeds(4, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        for lines in ["Host: a\r\nHost: b\r\n", "Host: a\r\nContent-Length: x\r\n", ""] {
            for (accept, is_json) in [("Accept: application/json\r\n", true), ("", false)] {
                let head = format!("GET / HTTP/1.1\r\n{lines}{accept}\r\n");
                let answer = answer(&mut stage, TRAFFIC_ADDRESS, &head);
                assert_eq!(answer.status_lines, ["HTTP/1.1 400 Bad Request"], "{lines:?}");
                assert!(answer.has("x-mesh-error: bad_request"));
                assert!(answer.has("Connection: close"));
                assert_eq!(answer.has(JSON), is_json, "{}", answer.text);
            }
        }
        let nonsense = "nonsense\r\nAccept: application/json\r\n\r\n";
        let answer = answer(&mut stage, TRAFFIC_ADDRESS, nonsense);
        assert!(answer.has("x-mesh-error: bad_request") && !answer.has(JSON), "{}", answer.text);
    });
}

#[test]
fn a_health_check_asks_to_see_the_page() {
    seeds(4, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        for (method, expected) in [
            ("GET", "HTTP/1.1 200 OK"),
            ("HEAD", "HTTP/1.1 200 OK"),
            ("POST", "HTTP/1.1 404 Not Found"),
            ("OPTIONS", "HTTP/1.1 404 Not Found"),
        ] {
            let close = "Connection: close\r\n";
            let head = format!("{method} /health HTTP/1.1\r\nHost: nobody\r\n{close}\r\n");
            let answer = answer(&mut stage, TRAFFIC_ADDRESS, &head);
            assert_eq!(answer.status_lines, [expected], "{method}");
            assert_eq!(answer.has("x-mesh-error: no_route"), expected.contains("404"));
        }
    });
}

#[test]
fn a_head_that_is_too_large_is_told_so_at_every_port() {
    let large = format!("X: {}\r\n", "x".repeat(80_000));
    let many = "X: x\r\n".repeat(300);
    seeds(2, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        for address in [TRAFFIC_ADDRESS, ADMIN_ADDRESS, TUNNEL_ADDRESS] {
            for lines in [&large, &many] {
                let head = format!("GET /health HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
                let answer = answer(&mut stage, address, &head);
                let expected = ["HTTP/1.1 431 Request Header Fields Too Large"];
                assert_eq!(answer.status_lines, expected, "{address}");
                assert!(answer.has("x-mesh-error: head_too_large"));
            }
        }
    });
}

/// Those that are told to come back later, and those beyond, whom nobody hears.
#[test]
fn each_connection_beyond_the_limit_is_counted_as_refused() {
    const BEYOND: usize = 140;
    seeds(2, |seed| {
        let mut plan = Plan::calm().with_workers(1);
        plan.ingress.limits.connections = 1;
        let mut stage = Stage::new(seed, plan);
        let told = (0..=BEYOND).map(|_| {
            let caller =
                RawPeer::dialling(TRAFFIC_ADDRESS, false, |told, turn: &mut RawTurn<'_>| {
                    *told |= turn.rx.starts_with(b"HTTP/1.1 503 ");
                });
            let caller = stage.world.add_peer("caller", caller, &[]);
            stage.world.set_links(caller, stage.ingress, stage.plan.caller_links);
            caller
        });
        let callers: Vec<_> = told.collect();
        stage.world.run_for(Duration::from_secs(1));
        let told = |id: &&NodeId| stage.world.peer::<RawPeer<bool>>(**id).state;
        assert_eq!(callers.iter().filter(told).count(), 128);
        assert_eq!(stage.metric("mesh_connections_refused_total"), Some(BEYOND as u64));
    });
}

/// Whoever closes late and comes again would else keep everybody out.
#[test]
fn those_who_are_told_to_come_back_take_no_place() {
    seeds(4, |seed| {
        let mut plan = Plan::calm();
        plan.ingress.limits.connections = 1;
        let mut stage = Stage::new(seed, plan);
        let leaves_after = Duration::from_millis(50);
        let mut due = None;
        let served = RawPeer::dialling(TRAFFIC_ADDRESS, (), move |(), turn: &mut RawTurn<'_>| {
            let due = *due.get_or_insert(turn.now + leaves_after);
            turn.wake_in = Some(due.saturating_duration_since(turn.now));
            if turn.now >= due {
                turn.then = Then::Close;
            }
        });
        stage.world.add_peer("served", served, &[]);
        stage.world.run_for(Duration::from_millis(10));
        for _ in 0..3 {
            let late = RawPeer::dialling(TRAFFIC_ADDRESS, (), |(), _: &mut RawTurn<'_>| {});
            stage.world.add_peer("late", late, &[]);
        }
        stage.world.run_for(2 * leaves_after);
        assert_eq!(census(&stage.world, stage.ingress).callers, 3, "they are still there");
        let health = "GET /health HTTP/1.1\r\nHost: nobody\r\nConnection: close\r\n\r\n";
        let answer = answer(&mut stage, TRAFFIC_ADDRESS, health);
        assert_eq!(answer.status_lines, ["HTTP/1.1 200 OK"]);
        stage.world.run_for(Duration::from_secs(60));
        assert_eq!(census(&stage.world, stage.ingress).callers, 0);
    });
}

/// Such as the empty line that some send behind a body, or the rest of another request: it would come to a
/// connection that is gone, and the reset destroy what is still on its way of the answer.
#[test]
fn a_last_connection_stays_while_something_may_come_that_would_destroy_the_answer() {
    let request = |line: &str, host: &str, more: &str| {
        format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}")
    };
    let cases = [
        ("nothing follows", request("GET /bytes/1", HOST, "\r\n"), 0),
        ("much is left to be read", request("GET /bytes/300000", HOST, "\r\n"), 1),
        ("a body came", request("POST /upload", HOST, "Content-Length: 4\r\n\r\nbody"), 1),
        ("nothing follows, and nobody is asked", request("GET /", "b.example", "\r\n"), 0),
        ("something follows, and nobody is asked", request("GET /", "b.example", "\r\nGET"), 1),
    ];
    for (name, request, callers) in cases {
        seeds(4, |seed| {
            let mut stage = Stage::new(seed, Plan::calm());
            stage.expect_ready(Duration::from_secs(5));
            let (bytes, mut is_sent) = (request.clone(), false);
            let caller = RawPeer::dialling(TRAFFIC_ADDRESS, None, move |end, turn| {
                if !std::mem::replace(&mut is_sent, true) {
                    turn.tx.extend(bytes.as_bytes());
                }
                *end = turn.end;
            });
            let caller = stage.world.add_peer("caller", caller, &[]);
            let wide = LinkConfig { capacity: 1024 * 1024, ..LinkConfig::fast() };
            stage.world.set_links(caller, stage.ingress, LinkRules::fixed(wide));
            let ended = move |world: &World| {
                world.peer::<RawPeer<Option<Received>>>(caller).state == Some(Received::Eof)
            };
            stage.world.expect("it is answered", ended, Duration::from_secs(1));
            stage.world.run_for(Duration::from_millis(100));
            assert_eq!(census(&stage.world, stage.ingress).callers, callers, "{name}");
        });
    }
}
