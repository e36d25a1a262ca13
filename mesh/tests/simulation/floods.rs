//! Very many messages that bring nothing or little, and whom they leave alone.

use std::time::Duration;

use mesh_agent::Agent;
use mesh_ingress::Ingress;
use mesh_protocol::http1::{RequestHead, Storage};
use mesh_protocol::{App, Buf, ws};
use mesh_sim::peers::{HttpClient, RawClient, RawPeer, Reading, Request};
use mesh_sim::{LinkConfig, LinkRules, NodeId, Step, World, seeds};

use crate::ask::Ask;
use crate::puppet::{DATA, END, Puppet, REQUEST, RESPONSE, UPGRADE, frame, message, puppet};
use crate::stage::{HOST, Plan, Stage, TRAFFIC_ADDRESS, TUNNEL_ADDRESS};

const FLOODED: &str = "flooded.example";
/// More than the events of a tunnel in all the rounds of a turn in which a deadline passes.
const EMPTY: usize = 40_000;

/// With one agent, and another one on strings.
fn with_puppet(seed: u64, puppet: RawPeer<Puppet>) -> (Stage, NodeId) {
    let mut stage = Stage::new(seed, Plan::calm().with_workers(1));
    stage.expect_ready(Duration::from_secs(5));
    let node = stage.world.add_peer("puppet", puppet, &[]);
    stage.world.set_links(node, stage.ingress, stage.plan.tunnel_links);
    stage.expect_healthy(2, Duration::from_secs(1));
    (stage, node)
}

/// As it is sent of strangers, too.
#[test]
fn an_ingress_takes_a_flood_of_a_stranger_in_parts() {
    seeds(2, |seed| {
        let (mut stage, _) = with_puppet(seed, puppet(FLOODED, |frame, act| act.be_polite(frame)));
        let flood = [UPGRADE, &message(0x82, b"").repeat(EMPTY)].concat();
        let stranger =
            stage.world.add_peer("stranger", RawClient::new(TUNNEL_ADDRESS, &flood), &[]);
        stage.world.set_links(stranger, stage.ingress, stage.plan.tunnel_links);
        stage.world.run_for(Duration::from_micros(110));
        let ingress = stage.ingress;
        check_taken_in_parts::<Ingress>(&mut stage.world, ingress);
    });
}

/// Lets a process sleep while a flood reaches it. The turn in which it hears of that leaves something of it.
fn check_taken_in_parts<A: App + 'static>(world: &mut World, node: NodeId) {
    world.freeze(node);
    world.run_for(Duration::from_millis(50));
    world.thaw(node);
    let is_left = (0..10).any(|_| {
        while world.step() != Step::Turn(node) {}
        world.driver_mut::<A>(node).has_work()
    });
    assert!(is_left, "all in one turn");
}

#[test]
fn an_ingress_takes_a_flood_of_empty_messages_in_parts() {
    seeds(2, |seed| {
        let flood = puppet(FLOODED, |frame, act| {
            act.be_polite(frame);
            if frame.kind == REQUEST {
                act.send_raw(&message(0x82, b"").repeat(EMPTY));
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                act.send(&self::frame(RESPONSE, END, frame.stream, head));
            }
        });
        let (mut stage, flood) = with_puppet(seed, flood);
        let client = HttpClient::new(TRAFFIC_ADDRESS, vec![Request::get(FLOODED, "/")]);
        let caller = stage.world.add_peer("caller", client, &[]);
        let is_asked =
            move |world: &World| world.peer::<RawPeer<Puppet>>(flood).state.has_seen(REQUEST) > 0;
        stage.world.expect("the puppet is asked", is_asked, Duration::from_secs(1));
        let ingress = stage.ingress;
        check_taken_in_parts::<Ingress>(&mut stage.world, ingress);
        let done = move |world: &World| world.peer::<HttpClient>(caller).is_done();
        stage.world.expect("what is behind the flood is heard", done, Duration::from_secs(1));
        assert!(stage.responses(caller)[0].is(200));
    });
}

#[test]
fn an_agent_takes_a_flood_of_empty_messages_in_parts() {
    seeds(2, |seed| {
        let mut plan = Plan::calm();
        plan.agent.ingress.host = "flood".to_owned();
        let mut stage = Stage::new(seed, plan);
        // Whether it was asked; the answer comes a moment later.
        let flood = RawPeer::listening(false, |is_asked, turn| {
            if !turn.rx.ends_with(b"\r\n\r\n") {
                return;
            }
            if !std::mem::replace(is_asked, true) {
                turn.wake_in = Some(Duration::from_millis(10));
                return;
            }
            let (mut tx, mut storage) = (Buf::new(), Storage::new());
            let head = RequestHead::parse(turn.rx, &mut storage).expect("it asks for a tunnel");
            ws::upgrade::accept(&head, "", &mut tx).expect("it asks for a tunnel");
            turn.tx.extend(tx.as_slice());
            turn.tx.extend([0x82, 0].repeat(EMPTY));
            turn.rx.clear();
        });
        let (agent, links) = (stage.agents[0], stage.plan.tunnel_links);
        let flood = stage.world.add_peer("flood", flood, &["flood:8082"]);
        stage.world.set_links(agent, flood, links);
        let is_asked = move |world: &World| world.peer::<RawPeer<bool>>(flood).state;
        stage.world.expect("the agent asks", is_asked, Duration::from_secs(5));
        check_taken_in_parts::<Agent>(&mut stage.world, agent);
    });
}

#[test]
fn an_upload_in_small_chunks_goes_on_in_large_ones() {
    seeds(2, |seed| {
        let (mut stage, puppet) =
            with_puppet(seed, puppet(FLOODED, |frame, act| act.be_polite(frame)));
        let head =
            format!("POST / HTTP/1.1\r\nHost: {FLOODED}\r\nTransfer-Encoding: chunked\r\n\r\n");
        let upload = [head.as_bytes(), &b"1\r\nx\r\n".repeat(5_000)].concat();
        let caller = stage.world.add_peer("caller", RawClient::new(TRAFFIC_ADDRESS, &upload), &[]);
        stage.world.set_links(caller, stage.ingress, stage.plan.caller_links);
        stage.world.run_for(Duration::from_millis(100));
        let puppet = &stage.world.peer::<RawPeer<Puppet>>(puppet).state;
        let frames = puppet.has_seen(DATA);
        assert!((1..100).contains(&frames), "{frames} frames");
    });
}

/// Interim answers take no credit and may be any number.
#[test]
fn endless_interim_answers_leave_small_requests_their_share() {
    seeds(2, |seed| {
        let mut plan = Plan::calm();
        let latency = Duration::from_millis(5);
        let slow = LinkConfig {
            latency,
            capacity: 64 * 1024,
            bytes_per_second: Some(2_000_000),
            ..LinkConfig::uplink()
        };
        plan.tunnel_links = LinkRules::fixed(slow);
        let mut stage = Stage::new(seed, plan);
        let service = RawPeer::listening(Vec::new(), |endless: &mut Vec<usize>, turn| {
            if turn.rx.ends_with(b"\r\n\r\n") {
                if turn.rx.starts_with(b"GET /endless ") {
                    endless.push(turn.connection);
                } else {
                    turn.tx.extend(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine");
                }
                turn.rx.clear();
            }
            if endless.contains(&turn.connection) {
                if turn.unsent == 0 {
                    turn.tx.extend(b"HTTP/1.1 102 Processing\r\n\r\n".repeat(2_000));
                }
                turn.wake_in = Some(Duration::from_millis(1));
            }
        });
        let service = stage.world.add_peer("service", service, &["service0:3000"]);
        stage.world.set_links(stage.agents[0], service, stage.plan.service_links);
        stage.expect_ready(Duration::from_secs(5));
        for _ in 0..4 {
            let endless = HttpClient::new(TRAFFIC_ADDRESS, vec![Request::get(HOST, "/endless")]);
            stage.world.add_peer("endless", endless.reading(Reading::Never), &[]);
        }
        stage.world.run_for(Duration::from_millis(500));
        let small = (0..10).map(|_| Ask::new(Request::get(HOST, "/"))).collect();
        let small = stage.add_caller(small, |client| client);
        let done = move |world: &World| world.peer::<HttpClient>(small).is_done();
        stage.world.expect("the small ones are answered", done, Duration::from_secs(20));
        let took =
            stage.responses(small).iter().map(|one| one.ended_at.expect("over") - one.asked_at);
        let last = took.max().expect("there are some");
        assert!(last < Duration::from_millis(150), "one took {last:?}");
    });
}
