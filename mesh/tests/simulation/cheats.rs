//! Agents that break `mesh.v1` or HTTP, and what that costs everybody else: nothing.

use std::time::Duration;

use mesh_sim::peers::{HttpClient, Outcome, RawPeer, Reading, Request, Response};
use mesh_sim::{World, seeds};

use crate::ask::{Ask, Weather};
use crate::puppet::{
    Act, DATA, DRAIN, ECHO, END, Frame, REQUEST, RESPONSE, TRAILERS, UPGRADE, WELCOME, WINDOW,
    frame, message, puppet,
};
use crate::stage::{HOST, Plan, Stage, TRAFFIC_ADDRESS, TUNNEL_ADDRESS, census};

const SEEDS: u64 = 8;
const CHEATED: &str = "cheat.example";

/// Two echo intervals, and the way there and back.
const NOTICED: Duration = Duration::from_secs(21);

/// Lets callers of an honest agent and callers of a cheat ask at the same time. The honest one's
/// are answered right and soon, the cheat is thrown out, and its callers see what happened.
fn check(seed: u64, act: impl FnMut(&Frame, &mut Act) + 'static) -> Vec<Response> {
    check_with(seed, Reading::Eager, act)
}

/// The same where the cheat's caller reads like this.
fn check_with(
    seed: u64,
    reading: Reading,
    act: impl FnMut(&Frame, &mut Act) + 'static,
) -> Vec<Response> {
    let mut stage = with_cheat(seed, act);
    let asks = |count| (0..count).map(|_| Ask::new(Request::get(HOST, "/bytes/20000")));
    for _ in 0..3 {
        stage.add_caller(asks(5).collect(), |client| client);
    }
    let script = vec![Request::get(CHEATED, "/one"), Request::get(CHEATED, "/two")];
    let victim = HttpClient::new(TRAFFIC_ADDRESS, script).reading(reading);
    let victim = stage.world.add_peer("victim", victim, &[]);
    stage.expect_answers(Duration::from_secs(1));
    stage.judge(Weather::Fair);
    let ingress = stage.ingress;
    let settled = move |world: &World| {
        let census = census(world, ingress);
        census.tunnels == 1 && world.peer::<HttpClient>(victim).is_done()
    };
    stage.world.expect("the cheat is thrown out", settled, 2 * NOTICED);
    stage.probe();
    let responses = stage.responses(victim).to_vec();
    stage.expect_empty_after_drain();
    responses
}

/// An honest agent and a cheat, both registered.
fn with_cheat(seed: u64, act: impl FnMut(&Frame, &mut Act) + 'static) -> Stage {
    let mut stage = Stage::new(seed, Plan::calm());
    stage.expect_ready(Duration::from_secs(5));
    let cheat = stage.world.add_peer("cheat", puppet(CHEATED, act), &[]);
    stage.world.set_links(cheat, stage.ingress, stage.plan.tunnel_links);
    let ingress = stage.ingress;
    let both = move |world: &World| census(world, ingress).healthy == 2;
    stage.world.expect("both are registered", both, Duration::from_secs(1));
    stage
}

/// No answer may pass for a whole one, and after the first nobody is there.
fn nothing_whole(responses: &[Response]) {
    for response in responses {
        let is_mesh = response.header("x-mesh-error").is_some();
        let is_whole = response.outcome == Outcome::Complete;
        assert!(is_mesh || !is_whole, "a cheat's answer: {response:?}");
        assert!(!matches!(response.outcome, Outcome::Malformed(_)), "nonsense: {response:?}");
    }
}

/// Answers the first request with these frames, whose stream is filled in.
fn answer(frames: fn(u32) -> Vec<u8>) -> impl FnMut(&Frame, &mut Act) {
    move |frame, act| {
        act.be_polite(frame);
        if frame.kind == REQUEST {
            act.send(&frames(frame.stream));
        }
    }
}

fn head(stream: u32, flags: u8, head: &str) -> Vec<u8> {
    frame(RESPONSE, flags, stream, head.as_bytes())
}

/// Whose end brings no bytes, and so nothing that would leave and take the connection on.
#[test]
fn an_end_that_comes_late_does_not_hold_up_the_next_request() {
    seeds(SEEDS, |seed| {
        let mut asked = 0;
        let mut stage = with_cheat(seed, move |frame, act| {
            act.be_polite(frame);
            match frame.kind {
                REQUEST => {
                    act.send(&head(
                        frame.stream,
                        0,
                        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                    ));
                    act.send(&self::frame(DATA, 0, frame.stream, b"hello"));
                    asked = frame.stream;
                }
                // Some seconds later: the caller has it all.
                ECHO if asked > 0 => {
                    act.send(&self::frame(DATA, END, std::mem::take(&mut asked), b""))
                }
                _ => {}
            }
        });
        let script = vec![Request::get(CHEATED, "/one"), Request::get(CHEATED, "/two")];
        let caller = HttpClient::new(TRAFFIC_ADDRESS, script).pipelined();
        let caller = stage.world.add_peer("caller", caller, &[]);
        let is_done = move |world: &World| world.peer::<HttpClient>(caller).is_done();
        stage.world.expect("both are answered", is_done, Duration::from_secs(31));
        assert!(stage.responses(caller).iter().all(|response| response.is(200)));
    });
}

#[test]
fn a_silent_agent_is_noticed_within_two_echo_intervals() {
    seeds(SEEDS, |seed| {
        let responses = check(seed, |_, _| {});
        let [first, second] = &responses[..] else { panic!("two requests") };
        assert!(first.is(502) && second.is(503), "{responses:?}");
        let waited = first.ended_at.expect("it is over") - first.asked_at;
        assert!(waited <= NOTICED, "{waited:?}");
    });
}

#[test]
fn data_beyond_the_window_ends_the_tunnel() {
    seeds(SEEDS, |seed| {
        // With one that reads at once, credit may come back as fast as the bytes arrive; and these
        // are more than a window with all that it may grow by.
        let slowly = Reading::Slow(4_096, Duration::from_millis(10));
        nothing_whole(&check_with(seed, slowly, |frame, act| {
            act.be_polite(frame);
            if frame.kind == REQUEST {
                act.send(&head(frame.stream, 0, "HTTP/1.1 200 OK\r\n\r\n"));
                for _ in 0..640 {
                    act.send(&self::frame(DATA, 0, frame.stream, &[7; 16 * 1024]));
                }
            }
        }));
    });
}

#[test]
fn breaches_of_the_protocol_end_the_tunnel() {
    let breaches: [fn(u32) -> Vec<u8>; 9] = [
        |_| frame(WINDOW, 0, 99, &[0, 0, 0, 1]),
        |stream| frame(WINDOW, 0, stream, &u32::MAX.to_be_bytes()),
        |stream| frame(WINDOW, 0, stream, &[1]),
        |stream| frame(DATA, 0, stream, b"before the head"),
        |_| frame(0x77, 0, 0, b"no such type"),
        |_| vec![0, 0, 9, DATA, 0],
        |stream| frame(REQUEST, 0, stream + 2, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        |stream| head(stream, 2 | END, "HTTP/1.1 103 Hints\r\n\r\n"),
        |stream| head(stream, 0, "HTTP/1.1 200 OK\r\n\r\n").repeat(2),
    ];
    for breach in breaches {
        seeds(SEEDS, |seed| nothing_whole(&check(seed, answer(breach))));
    }
}

#[test]
fn breaches_of_websocket_end_the_tunnel() {
    let text = |_: u32| message(0x81, b"text");
    let fragment = |_: u32| message(0x02, &frame(ECHO, 0, 0, &[0; 8]));
    let reserved = |_: u32| message(0xc2, &frame(ECHO, 0, 0, &[0; 8]));
    let unmasked = |_: u32| vec![0x82, 1, 0];
    let endless = |_: u32| vec![0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let breaches: [fn(u32) -> Vec<u8>; 5] = [text, fragment, reserved, unmasked, endless];
    for breach in breaches {
        seeds(SEEDS, |seed| {
            nothing_whole(&check(seed, move |frame, act| {
                if frame.kind == REQUEST {
                    act.send_raw(&breach(frame.stream));
                }
            }));
        });
    }
}

/// Answers that are no answers: the tunnel stays, the caller learns that something is wrong, and
/// the next response on its connection is not what the cheat made up.
#[test]
fn an_agent_cannot_split_responses() {
    const SMUGGLED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsplit";
    let answers: [fn(u32) -> Vec<u8>; 9] = [
        |stream| {
            let head = head(stream, 0, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
            [head, frame(DATA, END, stream, &[b"ok", SMUGGLED].concat())].concat()
        },
        |stream| {
            let head = head(stream, 0, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
            [head, frame(DATA, END, stream, b"short")].concat()
        },
        |stream| head(stream, END, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
        |stream| head(stream, END, "HTTP/1.1 200 OK\nX: y\n\n"),
        |stream| head(stream, END, "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n"),
        |stream| head(stream, END, "HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n"),
        |stream| head(stream, END, "HTTP/1.1 99 Odd\r\n\r\n"),
        |stream| frame(RESPONSE, END, stream, &[SMUGGLED, SMUGGLED].concat()),
        |stream| {
            let head = head(stream, 0, "HTTP/1.1 200 OK\r\n\r\n");
            let trailers = b"X: y\r\n\r\nHTTP/1.1 200 OK\r\n";
            [head, frame(TRAILERS, END, stream, trailers)].concat()
        },
    ];
    for answers in answers {
        seeds(SEEDS, |seed| {
            let mut stage = with_cheat(seed, answer(answers));
            let script = (0..3).map(|_| Request::get(CHEATED, "/")).collect();
            let client = HttpClient::new(TRAFFIC_ADDRESS, script);
            let victim = stage.world.add_peer("victim", client, &[]);
            let done = move |world: &World| world.peer::<HttpClient>(victim).is_done();
            stage.world.expect("the victim is answered", done, NOTICED);
            nothing_whole(stage.responses(victim));
            let client = stage.world.peer::<HttpClient>(victim);
            // The beginning of a head may be all that came of an answer that was cut.
            let excess = String::from_utf8_lossy(&client.excess);
            assert!(!excess.contains("\r\n\r\n"), "another answer: {excess:?}");
            stage.probe();
        });
    }
}

#[test]
fn an_agent_that_asks_and_does_not_read_costs_a_bounded_amount_of_memory() {
    seeds(SEEDS, |seed| {
        nothing_whole(&check(seed, |frame, act| {
            if frame.kind == REQUEST {
                for number in 0..20_000_u64 {
                    act.send(&self::frame(ECHO, 0, 0, &number.to_be_bytes()));
                    act.send_raw(&message(0x89, b"are you there?"));
                }
                act.stop_reading();
            }
        }));
    });
}

/// Before anybody knows them.
#[test]
fn strangers_that_begin_long_messages_cost_a_bounded_amount_of_memory() {
    seeds(SEEDS, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        stage.expect_ready(Duration::from_secs(5));
        let long = message(0x82, &frame(DATA, 0, 1, &[b'x'; 120_000]));
        let mut begun = None;
        let stranger = RawPeer::dialling(TUNNEL_ADDRESS, (), move |(), turn| {
            let offer = || [UPGRADE, &long[..long.len() - 1]].concat();
            turn.tx.append(begun.get_or_insert_with(offer));
        });
        stage.world.add_peer("stranger", stranger, &[]);
        let ingress = stage.ingress;
        let unread = move |world: &World| census(world, ingress).registration_rx;
        let has_come = move |world: &World| unread(world) > 32 * 1024;
        stage.world.expect("much of it is there", has_come, Duration::from_secs(5));
        stage.world.run_for(Duration::from_secs(2));
        let unread = unread(&stage.world);
        assert!((1..=64 * 1024).contains(&unread), "{unread}");
        stage.probe();
        stage.expect_empty_after_drain();
    });
}

/// Their connections stay for half a minute as long as something comes on them.
#[test]
fn strangers_that_were_refused_and_talk_on_keep_nobody_out() {
    seeds(SEEDS, |seed| {
        let mut plan = Plan::calm().with_agents(0);
        plan.ingress.limits.tunnels = 2;
        let mut stage = Stage::new(seed, plan);
        for number in 0..2 {
            let mut said = false;
            let stranger = RawPeer::dialling(TUNNEL_ADDRESS, (), move |(), turn| {
                if !std::mem::replace(&mut said, true) {
                    turn.tx.extend_from_slice(UPGRADE);
                    turn.tx.extend(message(0x82, b"nonsense"));
                }
                turn.tx.extend(message(0x89, b""));
                turn.wake_in = Some(Duration::from_millis(1500));
            });
            stage.world.add_peer(&format!("stranger{number}"), stranger, &[]);
        }
        stage.world.run_for(Duration::from_secs(1));
        assert_eq!(census(&stage.world, stage.ingress).connections, 2, "they are still there");
        stage.add_agent();
        stage.expect_ready(Duration::from_secs(1));
        stage.probe();
        stage.expect_empty_after_drain();
    });
}

/// Whose tunnels do not count beside those that stay, so that they could fill the room twice.
#[test]
fn agents_that_say_that_they_leave_and_do_not_keep_nobody_out() {
    for (said, patience) in [(&[][..], 30), (&[1], 300)] {
        seeds(SEEDS, |seed| {
            let mut plan = Plan::calm().with_agents(0);
            plan.ingress.limits.tunnels = 2;
            let mut stage = Stage::new(seed, plan);
            let ingress = stage.ingress;
            for number in 1..=4 {
                let cheat = puppet(CHEATED, move |frame, act| {
                    act.be_polite(frame);
                    if frame.kind == WELCOME {
                        act.send(&self::frame(DRAIN, 0, 0, said));
                    }
                });
                stage.world.add_peer(&format!("cheat{number}"), cheat, &[]);
                let is_in = move |world: &World| census(world, ingress).tunnels == number;
                stage.world.expect("another cheat is in", is_in, Duration::from_secs(1));
                stage.world.run_for(Duration::from_secs(1));
            }
            stage.add_agent();
            stage.world.run_for(Duration::from_secs(5));
            let present = census(&stage.world, ingress).tunnels;
            assert_eq!(present, 4, "there is room for twice as many and no more");
            // An echo until it is noticed that nothing is under way, and the agent's own wait.
            stage.world.run_for(Duration::from_secs(15 + patience + 32));
            stage.probe();
            let left = census(&stage.world, ingress).tunnels;
            assert_eq!(left, 1, "of the cheats none is there");
        });
    }
}
