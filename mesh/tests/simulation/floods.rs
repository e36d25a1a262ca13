//! Very many messages that bring nothing or little, and whom they leave alone.

use std::time::Duration;

use mesh_agent::Agent;
use mesh_ingress::Ingress;
use mesh_protocol::http1::{RequestHead, Storage};
use mesh_protocol::{App, Buf, ws};
use mesh_sim::peers::{HttpClient, RawClient, RawPeer, Reading, Request, Then};
use mesh_sim::{LinkConfig, LinkRules, NodeId, Step, World, seeds};

use crate::ask::Ask;
use crate::lives::agent_health;
use crate::puppet::{
    DATA, END, HELLO, INTERIM, Puppet, REFUSED, REQUEST, RESPONSE, UPGRADE, frame, message, puppet,
};
use crate::stage::{HOST, Plan, Stage, TRAFFIC_ADDRESS, TUNNEL_ADDRESS, census};

const FLOODED: &str = "flooded.example";
/// More than the events of a tunnel in all the rounds of a turn in which a deadline passes.
const EMPTY: usize = 40_000;
/// More than the events of a tunnel in one round, in less than one read brings.
const EMPTY_IN_A_READ: usize = 2_100;

/// With one agent, and another one on strings.
fn with_puppet(seed: u64, puppet: RawPeer<Puppet>) -> (Stage, NodeId) {
    let mut stage = Stage::new(seed, Plan::calm().with_workers(1));
    stage.expect_ready(Duration::from_secs(5));
    let node = stage.world.add_peer("puppet", puppet, &[]);
    stage.world.set_links(node, stage.ingress, stage.plan.tunnel_links);
    stage.expect_healthy(2, Duration::from_secs(1));
    (stage, node)
}

/// With an ingress on strings alone, which accepts the tunnel, sends these bytes, and then does this. Its state
/// is whether it was asked; the answer comes a moment later.
fn with_ingress(seed: u64, bytes: Vec<u8>, then: Then) -> (Stage, NodeId) {
    let mut plan = Plan::calm();
    plan.agent.ingress.host = "flood".to_owned();
    let mut stage = Stage::new(seed, plan);
    let flood = RawPeer::listening(false, move |is_asked, turn| {
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
        turn.tx.extend(&bytes);
        turn.then = then;
        turn.rx.clear();
    });
    let (agent, links) = (stage.agents[0], stage.plan.tunnel_links);
    let flood = stage.world.add_peer("flood", flood, &["flood:8082"]);
    stage.world.set_links(agent, flood, links);
    (stage, flood)
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

/// The last bytes that it sends before it is answered: nothing behind them calls the ingress back to them.
#[test]
fn an_agent_that_says_hello_behind_a_flood_is_welcome() {
    seeds(2, |seed| {
        let (mut stage, _) = with_puppet(seed, puppet(FLOODED, |frame, act| act.be_polite(frame)));
        let hello =
            r#"{"version":"0","hosts":["b.example"],"window":65536,"streams":1,"healthy":true}"#;
        let hello = message(0x82, &frame(HELLO, 0, 0, hello.as_bytes()));
        let flood = [message(0x82, b"").repeat(EMPTY_IN_A_READ), hello].concat();
        let mut is_begun = false;
        let behind = RawPeer::dialling(TUNNEL_ADDRESS, (), move |(), turn| {
            if !std::mem::replace(&mut is_begun, true) {
                turn.tx.extend(UPGRADE);
            } else if turn.rx.ends_with(b"\r\n\r\n") {
                turn.tx.extend(&flood);
                turn.rx.clear();
            }
        });
        stage.world.add_peer("behind", behind, &[]);
        stage.expect_tunnels(3, Duration::from_secs(1));
    });
}

/// Lets a process sleep while a flood reaches it. The turn in which it hears of that leaves something of it.
fn check_taken_in_parts<A: App + 'static>(world: &mut World, node: NodeId) {
    sleep(world, node);
    let is_left = (0..10).any(|_| {
        while world.step() != Step::Turn(node) {}
        world.driver_mut::<A>(node).has_work()
    });
    assert!(is_left, "all in one turn");
}

/// All that is sent meanwhile is there at once afterwards.
fn sleep(world: &mut World, node: NodeId) {
    world.freeze(node);
    world.run_for(Duration::from_millis(50));
    world.thaw(node);
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
        let (mut stage, flood) = with_ingress(seed, [0x82, 0].repeat(EMPTY), Then::GoOn);
        let agent = stage.agents[0];
        let is_asked = move |world: &World| world.peer::<RawPeer<bool>>(flood).state;
        stage.world.expect("the agent asks", is_asked, Duration::from_secs(5));
        check_taken_in_parts::<Agent>(&mut stage.world, agent);
    });
}

#[test]
fn what_an_agent_says_behind_a_flood_is_heard_although_it_has_left() {
    seeds(2, |seed| {
        let flood = puppet(FLOODED, |frame, act| {
            act.be_polite(frame);
            if frame.kind == REQUEST {
                act.send_raw(&message(0x82, b"").repeat(EMPTY_IN_A_READ));
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                act.send(&self::frame(RESPONSE, END, frame.stream, head));
                act.finish();
            }
        });
        let (mut stage, flood) = with_puppet(seed, flood);
        let client = HttpClient::new(TRAFFIC_ADDRESS, vec![Request::get(FLOODED, "/")]);
        let caller = stage.world.add_peer("caller", client, &[]);
        let is_asked =
            move |world: &World| world.peer::<RawPeer<Puppet>>(flood).state.has_seen(REQUEST) > 0;
        stage.world.expect("the puppet is asked", is_asked, Duration::from_secs(1));
        let ingress = stage.ingress;
        sleep(&mut stage.world, ingress);
        let done = move |world: &World| world.peer::<HttpClient>(caller).is_done();
        stage.world.expect("the caller is answered", done, Duration::from_secs(1));
        assert!(stage.responses(caller)[0].is(200), "{:?}", stage.responses(caller));
    });
}

#[test]
fn what_an_ingress_says_behind_a_flood_is_heard_although_it_has_left() {
    seeds(2, |seed| {
        let refused = frame(REFUSED, 0, 0, br#"{"code":"forbidden","reason":"not you"}"#);
        let refused = [&[0x82, u8::try_from(refused.len()).expect("short")][..], &refused].concat();
        let (mut stage, flood) =
            with_ingress(seed, [[0x82, 0].repeat(EMPTY_IN_A_READ), refused].concat(), Then::Finish);
        let (agent, asked) =
            (stage.agents[0], |world: &World, flood| world.peer::<RawPeer<bool>>(flood).state);
        let is_asked = move |world: &World| asked(world, flood);
        stage.world.expect("the agent asks", is_asked, Duration::from_secs(5));
        sleep(&mut stage.world, agent);
        stage.world.run_for(Duration::from_millis(100));
        let page = agent_health(&mut stage, "visitor");
        assert!(
            page.contains("the ingress refused this agent") && page.contains("not you"),
            "{page}"
        );
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

/// One that waits for a 100 gets one, however long, and no more.
#[test]
fn endless_interim_answers_to_a_caller_that_does_not_read_cost_no_memory() {
    let plain = Request::get(FLOODED, "/");
    let expecting = Request::expecting(FLOODED, "/", b"body");
    for (status, request) in [(100, plain.clone()), (100, expecting), (103, plain)] {
        seeds(2, |seed| {
            let head = format!("HTTP/1.1 {status} \r\nX: {}\r\n\r\n", "x".repeat(3_000));
            let flood = puppet(FLOODED, move |frame, act| {
                act.be_polite(frame);
                if frame.kind == REQUEST {
                    let interim = self::frame(RESPONSE, INTERIM, frame.stream, head.as_bytes());
                    (0..300).for_each(|_| act.send(&interim));
                }
            });
            let (mut stage, _) = with_puppet(seed, flood);
            let client = HttpClient::new(TRAFFIC_ADDRESS, vec![request.clone()]);
            let caller = stage.world.add_peer("caller", client.reading(Reading::Never), &[]);
            let narrow = LinkConfig { capacity: 1024, ..LinkConfig::fast() };
            stage.world.set_links(caller, stage.ingress, LinkRules::fixed(narrow));
            stage.world.run_for(Duration::from_secs(1));
            let waiting = census(&stage.world, stage.ingress).callers_tx;
            assert!((1..16 * 1024).contains(&waiting), "{waiting} bytes");
        });
    }
}
