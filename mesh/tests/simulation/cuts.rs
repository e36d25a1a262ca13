//! Answers that break off: what their callers get of them, and that they can tell.

use std::io::ErrorKind;
use std::time::Duration;

use mesh_sim::peers::{
    HttpClient, Outcome, RawClient, RawPeer, RawTurn, Reading, Received, Request, Response, Then,
    pattern,
};
use mesh_sim::{Fault, NodeId, World, seeds};

use crate::stage::{HOST, Plan, Stage, TRAFFIC_ADDRESS, census};

const SEEDS: u64 = 8;
/// What the service sends of its answer: more than a window.
const PART: usize = 300_000;
const SIZED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
pub(crate) const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
/// A caller reads a window in a third of a second.
const SLOW: Reading = Reading::Slow(4096, Duration::from_millis(5));

/// A service that sends so much of each answer, and then this becomes of the connection. It counts what
/// it is asked for.
pub(crate) fn breaking_off(head: &'static [u8], part: usize, then: Then) -> RawPeer<usize> {
    RawPeer::listening(0, move |asked, turn: &mut RawTurn<'_>| {
        if turn.end.is_some() {
            turn.then = Then::Close;
        } else if turn.rx.starts_with(b"GET /health ") && turn.rx.ends_with(b"\r\n\r\n") {
            turn.tx.extend_from_slice(b"HTTP/1.1 204 Fine\r\n\r\n");
            turn.rx.clear();
        } else if turn.rx.ends_with(b"\r\n\r\n") {
            turn.tx.extend_from_slice(head);
            if head == CHUNKED {
                turn.tx.extend_from_slice(format!("{part:x}\r\n").as_bytes());
            }
            turn.tx.extend(pattern(part));
            if head == CHUNKED {
                turn.tx.extend_from_slice(b"\r\n");
            }
            turn.rx.clear();
            turn.then = then;
            *asked += 1;
        }
    })
}

/// With one agent for such a service.
fn stage(seed: u64, head: &'static [u8], then: Then) -> (Stage, NodeId) {
    let mut stage = Stage::new(seed, Plan::calm());
    let service =
        stage.world.add_peer("breaking", breaking_off(head, PART, then), &["service0:3000"]);
    stage.world.set_links(stage.agents[0], service, stage.plan.service_links);
    stage.expect_ready(Duration::from_secs(5));
    (stage, service)
}

fn add(stage: &mut Stage, client: HttpClient) -> NodeId {
    let caller = stage.world.add_peer("caller", client, &[]);
    stage.world.set_links(caller, stage.ingress, stage.plan.caller_links);
    caller
}

fn responses(stage: &mut Stage, caller: NodeId) -> Vec<Response> {
    let is_done = move |world: &World| world.peer::<HttpClient>(caller).is_done();
    stage.world.expect("it has its answers", is_done, Duration::from_secs(60));
    stage.responses(caller).to_vec()
}

#[test]
fn what_a_service_sent_before_it_broke_off_reaches_a_slow_caller() {
    for head in [SIZED, CHUNKED] {
        seeds(SEEDS, |seed| {
            let (mut stage, service) = stage(seed, head, Then::Finish);
            let script = ["/part", "/behind"].map(|path| Request::get(HOST, path));
            let client = HttpClient::new(TRAFFIC_ADDRESS, script.to_vec());
            let caller = add(&mut stage, client.reading(SLOW).pipelined());
            let [part, behind] = &responses(&mut stage, caller)[..] else { panic!("two requests") };
            assert_eq!(part.outcome, Outcome::Truncated, "{} bytes", part.body.len());
            assert!(part.body == pattern(PART), "{} of {PART} bytes", part.body.len());
            assert_eq!(behind.outcome, Outcome::NoAnswer);
            assert_eq!(stage.world.peer::<RawPeer<usize>>(service).state, 1);
            assert_eq!(stage.metric("mesh_caller_aborts_total"), Some(0));
            stage.expect_empty_after_drain();
        });
    }
}

#[test]
fn what_came_through_a_tunnel_before_it_was_lost_reaches_a_slow_caller() {
    for head in [SIZED, CHUNKED] {
        seeds(SEEDS, |seed| {
            let (mut stage, _) = stage(seed, head, Then::GoOn);
            let script = vec![Request::get(HOST, "/part")];
            let caller = add(&mut stage, HttpClient::new(TRAFFIC_ADDRESS, script).reading(SLOW));
            stage.world.run_for(Duration::from_millis(50));
            stage.world.strike(stage.agents[0], stage.ingress, Fault::Cut);
            let part = &responses(&mut stage, caller)[0];
            let total = format!(
                "mesh_response_bytes_total{{host=\"{HOST}\",service=\"{}\"}}",
                stage.plan.agent.service
            );
            assert_eq!(part.outcome, Outcome::Truncated, "{} bytes", part.body.len());
            assert_eq!(stage.metric(&total), Some(part.body.len() as u64));
            assert!(part.body.len() > 200_000 && pattern(PART).starts_with(&part.body));
        });
    }
}

/// Their framing takes more than is granted beside a window.
#[test]
fn small_pieces_that_wait_when_their_tunnel_is_lost_reach_their_caller() {
    const PIECE: usize = 2;
    const WINDOW: u32 = 64 * 1024;
    seeds(2, |seed| {
        let mut plan = Plan::calm();
        plan.ingress.limits.stream_window = WINDOW;
        plan.ingress.limits.window_growth = 0;
        let window = WINDOW as usize;
        let mut stage = Stage::new(seed, plan);
        let service = RawPeer::listening(0, move |sent, turn: &mut RawTurn<'_>| {
            if turn.rx.starts_with(b"GET /health ") && turn.rx.ends_with(b"\r\n\r\n") {
                turn.tx.extend_from_slice(b"HTTP/1.1 204 Fine\r\n\r\n");
                turn.rx.clear();
            } else if turn.rx.ends_with(b"\r\n\r\n") && *sent < 2 * window {
                if *sent == 0 {
                    turn.tx.extend_from_slice(CHUNKED);
                }
                turn.tx.extend_from_slice(format!("{PIECE:x}\r\n").as_bytes());
                turn.tx.extend(pattern(*sent % 251 + PIECE).split_off(*sent % 251));
                turn.tx.extend_from_slice(b"\r\n");
                *sent += PIECE;
                turn.wake_in = Some(Duration::from_millis(1));
            }
        });
        let service = stage.world.add_peer("dripping", service, &["service0:3000"]);
        stage.world.set_links(stage.agents[0], service, stage.plan.service_links);
        stage.expect_ready(Duration::from_secs(5));
        let client = HttpClient::new(TRAFFIC_ADDRESS, vec![Request::get(HOST, "/drip")]);
        let caller = add(&mut stage, client.reading(Reading::Never));
        let ingress = stage.ingress;
        let waiting = move |world: &World| census(world, ingress).callers_tx;
        let much = move |world: &World| waiting(world) > window + 32 * 1024;
        stage.world.expect("more waits than is granted", much, Duration::from_secs(55));
        stage.world.strike(stage.agents[0], ingress, Fault::Cut);
        stage.world.run_for(Duration::from_secs(1));
        let waits = waiting(&stage.world);
        assert!((window..=window + 32 * 1024).contains(&waits), "{waits} bytes");
        stage.world.peer_mut::<HttpClient>(caller).read_on();
        let part = &responses(&mut stage, caller)[0];
        assert_eq!(part.outcome, Outcome::Truncated, "{} bytes", part.body.len());
        assert!(part.body.len() > window / 4 && pattern(2 * window).starts_with(&part.body));
    });
}

/// It knows the end of such an answer by the end of the connection.
#[test]
fn a_caller_that_cannot_tell_by_the_framing_is_told_by_a_reset() {
    seeds(SEEDS, |seed| {
        let (mut stage, _) = stage(seed, CHUNKED, Then::Finish);
        let request = format!("GET /part HTTP/1.0\r\nHost: {HOST}\r\n\r\n");
        let caller = RawClient::new(TRAFFIC_ADDRESS, request.as_bytes());
        let caller = stage.world.add_peer("old", caller, &[]);
        let ended = move |world: &World| world.peer::<RawClient>(caller).end.is_some();
        stage.world.expect("its connection ends", ended, Duration::from_secs(5));
        let end = stage.world.peer::<RawClient>(caller).end;
        assert_eq!(end, Some(Received::Failed(ErrorKind::ConnectionReset)));
    });
}

#[test]
fn a_caller_that_takes_nothing_of_a_part_is_given_up() {
    seeds(SEEDS, |seed| {
        let (mut stage, _) = stage(seed, SIZED, Then::Finish);
        let script = vec![Request::get(HOST, "/part")];
        let client = HttpClient::new(TRAFFIC_ADDRESS, script);
        add(&mut stage, client.reading(Reading::Never));
        stage.world.run_for(Duration::from_secs(59));
        let ingress = stage.ingress;
        assert_eq!(census(&stage.world, ingress).callers, 1);
        let is_gone = move |world: &World| census(world, ingress).callers == 0;
        stage.world.expect("it is given up", is_gone, Duration::from_secs(2));
    });
}
