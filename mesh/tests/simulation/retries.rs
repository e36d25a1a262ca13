//! What is given to a second agent, and which agents are set aside for what they failed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use mesh_sim::peers::{HttpClient, RawPeer, RawTurn, Request, Response, Then, Vanish, pattern};
use mesh_sim::{Fault, NodeId, World, seeds};

use crate::puppet::{
    Act, DATA, END, Frame, Puppet, REQUEST, RESET, RESPONSE, UPGRADED, frame, puppet, puppet_of,
};
use crate::stage::{HOST, Plan, Stage, TRAFFIC_ADDRESS, census};

const SEEDS: u64 = 8;
const SOON: Duration = Duration::from_secs(5);

/// Codes of RESET, as the protocol's table has them.
const CANCEL: u16 = 1;
const CONNECT_FAILED: u16 = 2;
const UPSTREAM_RESET: u16 = 3;
const PROTOCOL: u16 = 4;
const TIMEOUT: u16 = 5;
const REFUSED: u16 = 6;
const DRAINING: u16 = 7;
const UNKNOWN: u16 = 999;

/// Asks and waits for the answer.
fn ask(stage: &mut Stage, request: Request) -> Response {
    let caller = HttpClient::new(TRAFFIC_ADDRESS, vec![request]);
    let caller = stage.world.add_peer("caller", caller, &[]);
    stage.world.set_links(caller, stage.ingress, stage.plan.caller_links);
    let done = move |world: &World| world.peer::<HttpClient>(caller).is_done();
    stage.world.expect("it is answered", done, Duration::from_secs(3_600));
    stage.responses(caller)[0].clone()
}

fn reset(stream: u32, code: u16) -> Vec<u8> {
    frame(RESET, 0, stream, &[&code.to_be_bytes()[..], b"as told"].concat())
}

fn reset_each(code: u16) -> impl FnMut(&Frame, &mut Act) {
    move |frame, act| {
        act.be_polite(frame);
        if frame.kind == REQUEST {
            act.send(&reset(frame.stream, code));
        }
    }
}

/// Two agents of one host: whoever is asked first resets the stream, and all others answer. The count of
/// requests that they saw.
fn with_a_reset(seed: u64, code: u16) -> (Stage, Rc<Cell<usize>>) {
    let mut stage = Stage::new(seed, Plan::calm().with_agents(0));
    let asked = Rc::new(Cell::new(0));
    for name in ["one", "two"] {
        let asked = Rc::clone(&asked);
        let act = move |frame: &Frame, act: &mut Act| {
            act.be_polite(frame);
            if frame.kind != REQUEST {
                return;
            }
            asked.set(asked.get() + 1);
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            act.send(&match asked.get() {
                1 => reset(frame.stream, code),
                _ => self::frame(RESPONSE, END, frame.stream, head),
            });
        };
        stage.world.add_peer(name, puppet(HOST, act), &[]);
    }
    stage.expect_healthy(2, SOON);
    (stage, asked)
}

/// With the timeouts that everybody has who changed none.
#[test]
fn what_waits_on_a_tunnel_that_falls_silent_is_tried_on_another_agent() {
    seeds(SEEDS, |seed| {
        let mut plan = Plan::calm().with_agents(2);
        plan.ingress.timeouts = mesh_ingress::Config::default().timeouts;
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(SOON);
        let callers: Vec<_> = (0..8)
            .map(|_| {
                let script = vec![Request::get(HOST, "/slow/300"); 4];
                stage.world.add_peer("caller", HttpClient::new(TRAFFIC_ADDRESS, script), &[])
            })
            .collect();
        stage.world.run_for(Duration::from_millis(400));
        stage.world.strike(stage.agents[0], stage.ingress, Fault::Blackhole);
        let all = callers.clone();
        let done = move |world: &World| {
            all.iter().all(|caller| world.peer::<HttpClient>(*caller).is_done())
        };
        stage.world.expect("all are answered", done, Duration::from_secs(40));
        for caller in callers {
            for response in stage.responses(caller) {
                assert!(response.is(200), "{response:?}");
            }
        }
        assert!(stage.metric("mesh_retries_total") > Some(0), "some waited there");
    });
}

/// The service may have done what was asked of it, and then broke.
#[test]
fn what_a_service_may_have_had_is_repeated_only_where_that_is_harmless() {
    let body = pattern(5);
    let cases = [
        (Request::get(HOST, "/"), true),
        (Request::put(HOST, "/", b""), true),
        (Request::put(HOST, "/", &body), false),
        (Request::post(HOST, "/", b""), false),
        (Request::post(HOST, "/", &body), false),
    ];
    for (request, is_repeated) in cases {
        seeds(SEEDS, |seed| {
            let (mut stage, asked) = with_a_reset(seed, UPSTREAM_RESET);
            let response = ask(&mut stage, request.clone());
            assert!(response.is(if is_repeated { 200 } else { 502 }), "{response:?}");
            assert_eq!(asked.get(), 1 + usize::from(is_repeated));
            assert_eq!(stage.metric("mesh_retries_total"), Some(is_repeated.into()));
        });
    }
}

/// Whether a service can have had a request is for the agent to say, and whether another agent helps.
#[test]
fn what_an_agent_says_of_a_failure_decides_who_else_may_be_asked() {
    let (get, post) = (Request::get(HOST, "/"), Request::post(HOST, "/", &pattern(5)));
    // The answer to a GET and to a POST.
    let codes = [
        (CANCEL, 200, 502),
        (CONNECT_FAILED, 200, 200),
        (UPSTREAM_RESET, 200, 502),
        (PROTOCOL, 502, 502),
        (TIMEOUT, 504, 504),
        (REFUSED, 200, 200),
        (DRAINING, 200, 200),
        (UNKNOWN, 200, 502),
    ];
    for (code, to_get, to_post) in codes {
        for (request, status) in [(&get, to_get), (&post, to_post)] {
            seeds(2, |seed| {
                let (mut stage, asked) = with_a_reset(seed, code);
                let response = ask(&mut stage, request.clone());
                assert!(response.is(status), "{code}: {response:?}");
                assert_eq!(asked.get(), 1 + usize::from(status == 200), "{code}");
            });
        }
    }
}

/// What the services of an agent failed, which is set aside for five of it. A tunnel that takes no more
/// streams or drains is no fault of a service.
#[test]
fn what_counts_against_an_agent() {
    let codes = [
        (CANCEL, 1),
        (CONNECT_FAILED, 1),
        (UPSTREAM_RESET, 1),
        (PROTOCOL, 1),
        (TIMEOUT, 1),
        (UNKNOWN, 1),
        (REFUSED, 0),
        (DRAINING, 0),
    ];
    for (code, ejections) in codes {
        seeds(2, |seed| {
            let mut stage = Stage::new(seed, Plan::calm().with_agents(0));
            stage.world.add_peer("flaky", puppet(HOST, reset_each(code)), &[]);
            stage.expect_healthy(1, SOON);
            for turn in 0..5 {
                assert_eq!(stage.metric("mesh_ejections_total"), Some(0), "{code}: {turn}");
                let response = ask(&mut stage, Request::get(HOST, "/"));
                assert!(response.is(502) || response.is(503) || response.is(504), "{response:?}");
            }
            assert_eq!(stage.metric("mesh_ejections_total"), Some(ejections), "{code}");
        });
    }
}

/// The first of two agents has a service that says it is fine, and answers nothing else.
fn with_a_hanging_service(seed: u64) -> Stage {
    let mut plan = Plan::calm().with_agents(2);
    plan.ingress.timeouts.request = Duration::from_secs(2);
    let mut stage = Stage::new(seed, plan);
    let hanging = RawPeer::listening((), |(), turn: &mut RawTurn<'_>| {
        if turn.rx.starts_with(b"GET /health ") && turn.rx.ends_with(b"\r\n\r\n") {
            turn.rx.clear();
            turn.tx.extend(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    stage.world.add_peer("hanging", hanging, &["service0:3000"]);
    stage.expect_ready(SOON);
    stage
}

#[test]
fn an_agent_whose_service_hangs_is_set_aside() {
    seeds(SEEDS, |seed| {
        let mut stage = with_a_hanging_service(seed);
        for _ in 0..5 {
            // The other one's answers in between are none of the hanging one's.
            let late = |response: &Response| response.is(504);
            let mut answers = (0..100).map(|_| ask(&mut stage, Request::get(HOST, "/bytes/1")));
            assert!(answers.any(|response| late(&response)), "the hanging one is never asked");
        }
        assert_eq!(stage.metric("mesh_ejections_total"), Some(1));
        let since = stage.world.now();
        for _ in 0..20 {
            let response = ask(&mut stage, Request::get(HOST, "/bytes/1"));
            assert!(response.is(200), "{response:?}");
        }
        assert!(stage.world.now() - since < Duration::from_secs(10), "it is set aside for so long");
        stage.world.run_for(Duration::from_secs(10));
        let mut answers = (0..100).map(|_| ask(&mut stage, Request::get(HOST, "/bytes/1")));
        assert!(answers.any(|response| response.is(504)), "it gets another chance");
    });
}

/// Else callers could take an agent out of use.
#[test]
fn a_caller_that_does_not_go_on_with_its_body_does_not_count_against_the_agent() {
    seeds(2, |seed| {
        let mut plan = Plan::calm();
        plan.ingress.timeouts.request = Duration::from_secs(2);
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(SOON);
        for _ in 0..6 {
            let request = Request::post(HOST, "/upload", &pattern(1_000));
            let sent = request.head.len() as u64 + 10;
            let caller = HttpClient::new(TRAFFIC_ADDRESS, vec![request])
                .vanishing(Vanish::StallAfterSending(sent));
            let caller = stage.world.add_peer("stalling", caller, &[]);
            let done = move |world: &World| world.peer::<HttpClient>(caller).is_done();
            stage.world.expect("it is refused", done, SOON);
            assert!(stage.responses(caller)[0].is(408));
        }
        assert_eq!(stage.metric("mesh_ejections_total"), Some(0));
    });
}

/// Services may grant an upgrade before its body is there.
#[test]
fn a_caller_that_keeps_back_the_body_of_an_upgrade_does_not_count_against_the_agent() {
    seeds(2, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        let early = RawPeer::listening((), |(), turn: &mut RawTurn<'_>| {
            if turn.end.is_some() {
                turn.then = Then::Close;
            } else if turn.rx.starts_with(b"GET /health ") && turn.rx.ends_with(b"\r\n\r\n") {
                turn.rx.clear();
                turn.tx.extend(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            } else if turn.rx.ends_with(b"\r\n\r\n") {
                turn.rx.clear();
                turn.tx.extend(b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n");
            }
        });
        stage.world.add_peer("early", early, &["service0:3000"]);
        stage.expect_ready(SOON);
        for _ in 0..6 {
            let head = format!(
                "POST /talk HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\
                 Content-Length: 1\r\n\r\n"
            );
            assert!(ask(&mut stage, Request::raw(head.as_bytes())).is(502));
        }
        assert_eq!(stage.metric("mesh_ejections_total"), Some(0));
    });
}

/// A service may leave out the 100, and an answer too for as long as the body does not come.
#[test]
fn a_caller_that_waits_to_be_asked_for_its_body_does_not_count_against_the_agent() {
    seeds(2, |seed| {
        let mut stage = with_a_hanging_service(seed);
        let mut late = 0;
        for _ in 0..40 {
            let request = Request::expecting(HOST, "/continue", b"never sent");
            late += usize::from(ask(&mut stage, request).is(504));
        }
        assert!(late > 5, "the hanging one was asked {late} times");
        assert_eq!(stage.metric("mesh_ejections_total"), Some(0));
    });
}

/// A tunnel of an agent with two, which answers nothing before it has got something a second time.
fn holding(lane: &'static str, asked: &Rc<Cell<usize>>) -> RawPeer<Puppet> {
    let (asked, mut held) = (Rc::clone(asked), Vec::new());
    puppet_of(lane, HOST, move |frame, act| {
        act.be_polite(frame);
        if frame.kind != REQUEST {
            return;
        }
        asked.set(asked.get() + 1);
        held.push(frame.stream);
        if asked.get() > HELD {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            for stream in held.drain(..) {
                act.send(&self::frame(RESPONSE, END, stream, head));
            }
        }
    })
}

/// Requests that two tunnels hold together.
const HELD: usize = 6;

#[test]
fn what_a_lost_tunnel_had_goes_through_another_one_of_the_same_agent() {
    seeds(32, |seed| {
        let mut stage = Stage::new(seed, Plan::calm().with_agents(0));
        let asked = Rc::new(Cell::new(0));
        let tunnels = [r#","process":"one","lane":0"#, r#","process":"one","lane":1"#]
            .map(|lane| stage.world.add_peer("tunnel", holding(lane, &asked), &[]));
        stage.expect_healthy(2, SOON);
        let callers: Vec<NodeId> = (0..HELD)
            .map(|_| {
                let script = vec![Request::get(HOST, "/")];
                stage.world.add_peer("caller", HttpClient::new(TRAFFIC_ADDRESS, script), &[])
            })
            .collect();
        stage.world.expect("all are held", move |_| asked.get() == HELD, SOON);
        let requests = |id: NodeId| {
            let seen = &stage.world.peer::<RawPeer<Puppet>>(id).state.seen;
            seen.iter().filter(|(kind, _)| *kind == REQUEST).count()
        };
        let lost = requests(tunnels[0]);
        assert!((1..HELD).contains(&lost), "both are used");
        stage.world.run_for(Duration::from_secs(2));
        stage.world.strike(tunnels[0], stage.ingress, Fault::Cut);
        for caller in callers {
            let done = move |world: &World| world.peer::<HttpClient>(caller).is_done();
            stage.world.expect("it is answered", done, SOON);
            assert!(stage.responses(caller)[0].is(200), "{:?}", stage.responses(caller));
        }
        assert_eq!(stage.metric("mesh_retries_total"), Some(lost as u64));
        assert_eq!(stage.metric("mesh_tunnels_lost_total"), Some(1));
        // The first attempt is a part of it.
        let labels = r#"host="a.example",service="",le="1""#;
        let short = format!("mesh_request_duration_seconds_bucket{{{labels}}}");
        assert_eq!(stage.metric(&short), Some(0));
    });
}

/// An older one that it leaves may still have something under way.
#[test]
fn what_was_under_way_on_a_lost_tunnel_is_over_although_an_older_one_is_kept() {
    seeds(16, |seed| {
        let mut stage = Stage::new(seed, Plan::calm().with_agents(0));
        let asked = Rc::new(Cell::new(0));
        let ingress = stage.ingress;
        let mut callers = Vec::new();
        let keeps = r#","process":"one","keeps_former":true,"kept":["1"]"#;
        for members in [r#","process":"one""#, keeps] {
            stage.world.add_peer("tunnel", holding(members, &asked), &[]);
            stage.expect_healthy(callers.len() + 1, SOON);
            let script = vec![Request::post(HOST, "/", b"once")];
            let caller = HttpClient::new(TRAFFIC_ADDRESS, script);
            callers.push(stage.world.add_peer("caller", caller, &[]));
            let (asked, wanted) = (Rc::clone(&asked), callers.len());
            stage.world.expect("it is held", move |_| asked.get() == wanted, SOON);
        }
        stage.world.add_peer("tunnel", holding(keeps, &asked), &[]);
        let lost = callers[1];
        let done = move |world: &World| world.peer::<HttpClient>(lost).is_done();
        stage.world.expect("what was on the lost one is over", done, SOON);
        let reason = stage.responses(lost)[0].header("x-mesh-error");
        assert_eq!(reason.as_deref(), Some("agent_lost"));
        stage.expect_healthy(2, SOON);
        assert_eq!(census(&stage.world, ingress).in_flight, 1, "the oldest one goes on");
    });
}

/// Its body may all be there by then, and what follows it is no part of the request.
#[test]
fn an_upgrade_with_a_body_is_given_to_a_second_agent_whole() {
    seeds(SEEDS, |seed| {
        let mut stage = Stage::new(seed, Plan::calm().with_agents(0));
        let asked = Rc::new(Cell::new(0));
        let got = Rc::new(RefCell::new(Vec::new()));
        for name in ["one", "two"] {
            let (asked, got) = (Rc::clone(&asked), Rc::clone(&got));
            let act = move |frame: &Frame, act: &mut Act| {
                act.be_polite(frame);
                asked.set(asked.get() + usize::from(frame.kind == REQUEST));
                if frame.kind != DATA {
                    return;
                }
                assert_eq!(frame.flags & END != 0, frame.payload.is_empty(), "an early end");
                if asked.get() == 1 {
                    return act.send(&reset(frame.stream, CONNECT_FAILED));
                }
                got.borrow_mut().extend_from_slice(&frame.payload);
                act.send(&match &frame.payload[..] {
                    b"body" => {
                        let head = b"HTTP/1.1 101 Go\r\nupgrade: echo\r\n\r\n";
                        self::frame(RESPONSE, UPGRADED, frame.stream, head)
                    }
                    payload => self::frame(DATA, frame.flags, frame.stream, payload),
                });
            };
            stage.world.add_peer(name, puppet(HOST, act), &[]);
        }
        stage.expect_healthy(2, SOON);
        let request = Request::post(HOST, "/", b"body").upgrading(b"more");
        let response = ask(&mut stage, request);
        assert!(response.is(101), "{response:?}");
        assert_eq!(*got.borrow(), b"bodymore");
        assert_eq!((asked.get(), stage.metric("mesh_retries_total")), (2, Some(1)));
    });
}
