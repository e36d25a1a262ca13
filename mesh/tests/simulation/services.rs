//! Services that close, refuse and break connections, and who notices.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_protocol::mux::frame::RUN_BYTES;
use mesh_sim::peers::{HttpService, Outcome, RawPeer, RawTurn, Received, Request, Then, pattern};
use mesh_sim::{Answer, Fault, FaultRates, Life, LinkConfig, LinkRules, World, seeds};

use crate::answers::answer;
use crate::ask::{Ask, Weather};
use crate::stage::{HOST, Plan, Stage, TRAFFIC_ADDRESS, TUNNEL_ADDRESS, census, endpoint};

/// A request with a body, or without one.
fn either(stage: &mut Stage) -> Ask {
    let size = usize::try_from(stage.below(20_000)).expect("small");
    let body = pattern(size);
    match stage.below(5) {
        0 => Ask::sending(Request::post(HOST, "/echo", &body), body),
        // Known to be empty only by its end.
        4 => Ask::sending(Request::post_chunked(HOST, "/upload", &[], 1), Vec::new()),
        1 => Ask::sending(Request::post_chunked(HOST, "/upload", &body, 700), body),
        2 => Ask::sending(Request::expecting(HOST, "/continue", &body), body),
        _ => Ask::new(Request::get(HOST, &format!("/bytes/{size}"))),
    }
}

/// Callers that ask now and then, so that connections to the service rest in between.
fn traffic(stage: &mut Stage, pause_max: u64) {
    for _ in 0..4 {
        let mut asks = Vec::new();
        for _ in 0..10 {
            let pause = Duration::from_millis(stage.below(pause_max));
            let mut ask = either(stage);
            ask.request = ask.request.after(pause);
            asks.push(ask);
        }
        stage.add_caller(asks, |client| client);
    }
}

#[test]
fn a_service_that_closes_idle_connections_costs_no_request_that_may_be_repeated() {
    seeds(64, |seed| {
        let mut stage = Stage::new(seed, Plan::drawn(FaultRates::none()));
        let service = stage.services[0];
        stage.world.peer_mut::<HttpService>(service).idle_close = Some(Duration::from_secs(3));
        stage.expect_ready(Duration::from_secs(60));
        traffic(&mut stage, 4_000);
        stage.expect_answers(Duration::from_secs(600));
        for caller in &stage.callers {
            for (ask, response) in caller.asks.iter().zip(stage.responses(caller.node)) {
                let is_repeatable = !ask.is_method("POST");
                ask.judge(response, if is_repeatable { Weather::Fair } else { Weather::Foul });
                ask.judge_service(&stage.served(ask), response);
            }
        }
        stage.expect_empty_after_drain();
    });
}

#[test]
fn what_a_service_says_behind_its_answer_is_nobodys_answer() {
    seeds(64, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        stage.expect_ready(Duration::from_secs(5));
        // The first ends where a read does, with the rest in the kernel.
        for path in ["/twice/65536", "/twice/65536", "/twice/500", "/twice/131072"] {
            let asks = (0..6).map(|_| Ask::new(Request::get(HOST, path))).collect();
            stage.add_caller(asks, |client| client);
        }
        stage.expect_answers(Duration::from_secs(60));
        for caller in &stage.callers {
            for response in stage.responses(caller.node) {
                assert!(response.is(200), "{response:?}");
            }
        }
        stage.expect_empty_after_drain();
    });
}

/// Answers at once, and neither reads on nor closes before its connection broke. To HEAD it sends a body all
/// the same, which goes on for as long as somebody takes it.
fn heedless() -> RawPeer<BTreeSet<usize>> {
    RawPeer::listening(BTreeSet::new(), |talking: &mut BTreeSet<usize>, turn| {
        if let Some(Received::Failed(_)) = turn.end {
            turn.then = Then::Close;
        } else if talking.contains(&turn.connection) {
            if turn.unsent == 0 {
                turn.tx.extend([b'x'; 16 * 1024]);
            }
            turn.wake_in = Some(Duration::from_millis(1));
        } else if turn.rx.windows(4).any(|window| window == b"\r\n\r\n") {
            if turn.rx.starts_with(b"HEAD ") {
                talking.insert(turn.connection);
                turn.tx.extend(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n");
                turn.wake_in = Some(Duration::from_millis(1));
            } else {
                turn.tx.extend(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
            if turn.rx.starts_with(b"POST ") {
                turn.then = Then::StopReading;
            }
            turn.rx.clear();
        }
    })
}

/// Such a connection takes a place at the service, which may have few, and holds an agent up that leaves.
#[test]
fn a_connection_of_no_further_use_ends_with_the_answer_whatever_the_service_does() {
    for request in [bodyless("HEAD", "/"), Request::post(HOST, "/", &pattern(1_000_000))] {
        seeds(16, |seed| {
            let mut stage = Stage::new(seed, Plan::calm());
            let service = stage.world.add_peer("heedless", heedless(), &["service0:3000"]);
            stage.world.set_links(stage.agents[0], service, stage.plan.service_links);
            stage.expect_ready(Duration::from_secs(5));
            let agent = stage.agents[0];
            let before = stage.world.open_links(agent);
            for _ in 0..4 {
                stage.add_caller(vec![Ask::new(request.clone())], |client| client);
            }
            stage.expect_answers(Duration::from_secs(5));
            for caller in &stage.callers {
                let responses = stage.responses(caller.node);
                assert!(responses[0].is(200), "{responses:?}");
            }
            let left = move |world: &World| world.open_links(agent) <= before;
            stage.world.expect("their connections end", left, Duration::from_secs(1));
            stage.world.drain(agent);
            let gone = move |world: &World| world.life(agent) == Life::Exited;
            stage.world.expect("the agent leaves", gone, Duration::from_secs(2));
        });
    }
}

/// So does a health check that has been heard out; where its answer has no known end, in two seconds.
#[test]
fn a_health_check_leaves_no_connection_behind_whatever_the_service_does() {
    let cases: [(&[u8], u64); 2] =
        [(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0), (b"HTTP/1.1 200 OK\r\n\r\n", 2_000)];
    for (head, takes) in cases {
        seeds(4, |seed| {
            let mut stage = Stage::new(seed, Plan::calm());
            let service = RawPeer::listening((), move |(), turn: &mut RawTurn<'_>| {
                if turn.rx.ends_with(b"\r\n\r\n") {
                    turn.tx.extend_from_slice(head);
                    turn.rx.clear();
                }
            });
            let service = stage.world.add_peer("silent", service, &["service0:3000"]);
            stage.world.set_links(stage.agents[0], service, stage.plan.service_links);
            stage.expect_ready(Duration::from_secs(5));
            stage.world.run_for(Duration::from_millis(takes + 50));
            assert_eq!(stage.world.open_links(stage.agents[0]), 1, "its tunnel");
        });
    }
}

/// The first answer ends where a read does, with the rest in the kernel; and another request comes with it.
#[test]
fn what_a_service_says_behind_its_answer_is_not_that_to_the_next_request() {
    seeds(16, |seed| {
        let mut plan = Plan::calm().with_workers(1);
        let (latency, capacity) = (Duration::from_millis(20), 4 * RUN_BYTES);
        plan.service_links =
            LinkRules::fixed(LinkConfig { latency, capacity, ..LinkConfig::fast() });
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(5));
        // The tunnel takes much at once by then.
        stage.add_caller(vec![Ask::new(Request::get(HOST, "/bytes/5000000"))], |client| client);
        stage.expect_answers(Duration::from_secs(5));
        let path = format!("/twice/{RUN_BYTES}");
        stage.add_caller(vec![Ask::new(Request::get(HOST, &path))], |client| client);
        stage.world.run_for(latency);
        let agent = stage.agents[0];
        stage.world.freeze(agent);
        stage.world.run_for(2 * latency);
        stage.add_caller(vec![Ask::new(Request::get(HOST, "/bytes/1000"))], |client| client);
        stage.world.run_for(latency);
        stage.world.thaw(agent);
        stage.expect_answers(Duration::from_secs(5));
        for caller in &stage.callers {
            let response = &stage.responses(caller.node)[0];
            assert!(response.is(200), "{response:?}");
        }
    });
}

/// Of the end nobody hears once more.
#[test]
fn a_connection_that_ends_with_an_answer_is_not_kept() {
    let post = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n");
    seeds(8, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        let service = RawPeer::listening((), |(), turn: &mut RawTurn<'_>| {
            if turn.end.is_some() {
                turn.then = Then::Close;
            } else if turn.rx.ends_with(b"\r\n\r\n") {
                turn.rx.clear();
                turn.tx.extend(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine");
                turn.then = Then::Finish;
            }
        });
        let service = stage.world.add_peer("closing", service, &["service0:3000"]);
        stage.world.set_links(stage.agents[0], service, stage.plan.service_links);
        stage.expect_ready(Duration::from_secs(5));
        // None of these may be sent a second time.
        let asks = (0..20).map(|_| Ask::new(Request::raw(post.as_bytes()))).collect();
        let caller = stage.add_caller(asks, |client| client);
        stage.expect_answers(Duration::from_secs(10));
        for response in stage.responses(caller) {
            assert!(response.is(200), "{response:?}");
        }
    });
}

#[test]
fn a_service_that_hints_at_its_answer_to_a_health_check_is_healthy() {
    seeds(16, |seed| {
        let mut plan = Plan::calm();
        plan.agent.health.path = "/hints".to_owned();
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(5));
        stage.expect_empty_after_drain();
    });
}

#[test]
fn an_agent_is_of_no_use_before_its_service_was_healthy_and_is_so_when_it_fails_later() {
    seeds(16, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        stage.world.set_answer("service0:3000", Answer::Refuse);
        let ingress = stage.ingress;
        let registered = move |world: &World| census(world, ingress).tunnels == 1;
        stage.world.expect("it is registered", registered, Duration::from_secs(5));
        stage.world.run_for(Duration::from_secs(30));
        let said = stage.page_of("agent0:8081", "/health");
        assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
        let reason = "\"reason\":\"the service has not been healthy yet\"";
        assert!(said.contains(reason) && said.contains("refused"), "{said}");

        stage.world.set_answer("service0:3000", Answer::Accept);
        stage.expect_ready(Duration::from_secs(10));
        let said = stage.page_of("agent0:8081", "/health");
        assert!(said.starts_with("HTTP/1.1 200 "), "{said}");

        stage.world.set_answer("service0:3000", Answer::Refuse);
        let unhealthy = move |world: &World| census(world, ingress).healthy == 0;
        stage.world.expect("the service is missed", unhealthy, Duration::from_secs(22));
        let said = stage.page_of("agent0:8081", "/health");
        assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
        assert!(said.contains("\"service\":\"unhealthy\""), "{said}");
        stage.expect_empty_after_drain();
    });
}

/// Whichever comes first: what the ingress answers to the health check, or what it answers to the agent.
#[test]
fn an_ingress_is_not_taken_for_the_service_of_its_agent_for_a_moment() {
    const MOMENT: Duration = Duration::from_millis(20);
    for has_to_wait in [false, true] {
        seeds(4, |seed| {
            let mut plan = Plan::calm();
            plan.local = Some(endpoint("ingress", 8080));
            plan.agent.health.path = "/health".to_owned();
            let mut stage = Stage::new(seed, plan);
            if has_to_wait {
                stage.world.set_answer(TUNNEL_ADDRESS, Answer::Refuse);
                stage.world.run_for(Duration::from_secs(1));
                let said = stage.page_of("agent0:8081", "/health");
                assert!(said.contains("\"service\":\"healthy\""), "{said}");
                stage.world.set_answer(TUNNEL_ADDRESS, Answer::Accept);
            }
            let mut asks = 0;
            while asks < 100 {
                let said = stage.page_of("agent0:8081", "/health");
                assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
                if stage.tunnels() == 0 {
                    stage.world.run_for(MOMENT);
                    continue;
                }
                let ask = Ask::new(Request::get(HOST, "/bytes/1"));
                let caller = stage.add_caller(vec![ask], |client| client);
                stage.expect_answers(Duration::from_secs(60));
                assert!(stage.responses(caller)[0].is(503), "{:?}", stage.responses(caller));
                asks += 1;
                stage.world.run_for(MOMENT);
            }
            let reason = "\"service_reason\":\"it is the ingress of this agent;";
            let said = stage.page_of("agent0:8081", "/health");
            assert!(said.contains(reason), "{said}");
            let page = stage.page("/metrics");
            let came = format!("mesh_requests_total{{host=\"{HOST}\",");
            let came = page.lines().filter(|line| line.starts_with(&came));
            let came =
                came.filter_map(|line| line.rsplit(' ').next()?.trim().parse::<usize>().ok());
            assert_eq!(came.sum::<usize>(), asks, "one came round: {page}");
        });
    }
}

#[test]
fn a_service_that_speaks_tls_is_called_so() {
    let service = RawPeer::listening((), |(), turn: &mut RawTurn<'_>| {
        if turn.rx.ends_with(b"\r\n\r\n") {
            turn.tx.extend(b"\x15\x03\x03\x00\x02\x02\x32");
            turn.then = Then::Close;
        }
    });
    let mut stage = Stage::new(1, Plan::calm());
    let service = stage.world.add_peer("secure", service, &["service0:3000"]);
    stage.world.set_links(stage.agents[0], service, stage.plan.service_links);
    stage.world.run_for(Duration::from_secs(5));
    let page = stage.page("/debug/services");
    assert!(page.contains("it speaks TLS; only http:// services are supported"), "{page}");
    stage.expect_empty_after_drain();
}

#[test]
fn the_ingress_hears_of_a_new_reason_why_a_service_is_unhealthy() {
    seeds(16, |seed| {
        let mut plan = Plan::calm().with_agent_workers(2, 2);
        plan.agent.health.path = "/status/404".to_owned();
        let mut stage = Stage::new(seed, plan);
        stage.world.set_answer("service0:3000", Answer::Refuse);
        let ingress = stage.ingress;
        let registered = move |world: &World| census(world, ingress).tunnels == 2;
        stage.world.expect("it is registered", registered, Duration::from_secs(5));
        stage.world.run_for(Duration::from_secs(10));
        let page = stage.page("/debug/services");
        assert_eq!(page.matches("refused").count(), 2, "{page}");
        stage.world.set_answer("service0:3000", Answer::Accept);
        stage.world.run_for(Duration::from_secs(20));
        let page = stage.page("/debug/services");
        assert_eq!(page.matches("answered 404").count(), 2, "{page}");
        assert!(!page.contains("refused"), "{page}");
        stage.expect_empty_after_drain();
    });
}

/// As servers do that write the head of an answer and its body one after the other.
#[test]
fn a_service_is_heard_out_when_it_answers_a_health_check_in_parts() {
    const PAUSE: Duration = Duration::from_millis(50);
    seeds(16, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        let mut begun = BTreeMap::new();
        let slow = move |ends: &mut Vec<Received>, turn: &mut RawTurn<'_>| {
            if let Some(end @ Received::Failed(_)) = turn.end {
                ends.push(end);
                turn.then = Then::Close;
                return;
            }
            let Some((body_at, written)) = begun.get_mut(&turn.connection) else {
                if turn.rx.ends_with(b"\r\n\r\n") {
                    turn.tx.extend(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
                    turn.wake_in = Some(PAUSE);
                    begun.insert(turn.connection, (turn.now + PAUSE, false));
                }
                return;
            };
            if *written && turn.end.is_some() {
                ends.extend(turn.end);
                turn.then = Then::Close;
            } else if !*written && turn.now >= *body_at {
                turn.tx.extend(b"fine");
                turn.then = Then::Finish;
                *written = true;
            } else if !*written {
                turn.wake_in = Some(*body_at - turn.now);
            }
        };
        let slow = RawPeer::listening(Vec::new(), slow);
        let slow = stage.world.add_peer("slow", slow, &["service0:3000"]);
        stage.expect_ready(Duration::from_secs(5));
        stage.world.run_for(Duration::from_secs(25));
        let ends = &stage.world.peer::<RawPeer<Vec<Received>>>(slow).state;
        assert_eq!(*ends, [Received::Eof; 3]);
    });
}

/// The connections that a service has, and how many there were at once.
#[derive(Default)]
struct Held {
    open: BTreeSet<usize>,
    most: usize,
}

#[test]
fn health_checks_leave_a_service_that_keeps_their_connections() {
    seeds(16, |seed| {
        let mut plan = Plan::calm();
        plan.agent.health.interval = Duration::from_secs(1);
        plan.agent.health.timeout = Duration::from_secs(60);
        let mut stage = Stage::new(seed, plan);
        let keeper = RawPeer::listening(Held::default(), |held, turn| {
            if turn.end.is_some() {
                held.open.remove(&turn.connection);
                turn.then = Then::Close;
                return;
            }
            held.open.insert(turn.connection);
            held.most = held.most.max(held.open.len());
            if turn.rx.ends_with(b"\r\n\r\n") {
                turn.rx.clear();
                turn.tx.extend(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                turn.tx.extend(b"4\r\nfine\r\n0\r\n\r\n");
            }
        });
        let keeper = stage.world.add_peer("keeper", keeper, &["service0:3000"]);
        stage.expect_ready(Duration::from_secs(5));
        stage.world.run_for(Duration::from_secs(30));
        let most = stage.world.peer::<RawPeer<Held>>(keeper).state.most;
        assert!((1..=3).contains(&most), "{most} connections at once");
    });
}

#[test]
fn an_answer_to_a_health_check_without_an_end_is_taken_up_to_a_limit() {
    const PIECE: usize = 16 * 1024;
    seeds(16, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        let endless = |sent: &mut BTreeMap<usize, usize>, turn: &mut RawTurn<'_>| {
            if turn.end.is_some() {
                turn.then = Then::Close;
                return;
            }
            if turn.rx.ends_with(b"\r\n\r\n") {
                turn.rx.clear();
                turn.tx.extend(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
                sent.insert(turn.connection, 0);
            }
            let Some(sent) = sent.get_mut(&turn.connection) else { return };
            if turn.unsent == 0 {
                turn.tx.extend([b'x'; PIECE]);
                *sent += PIECE;
            }
            turn.wake_in = Some(Duration::from_millis(1));
        };
        let endless = RawPeer::listening(BTreeMap::new(), endless);
        let endless = stage.world.add_peer("endless", endless, &["service0:3000"]);
        stage.expect_ready(Duration::from_secs(5));
        stage.world.run_for(Duration::from_secs(15));
        stage.expect_ready(Duration::from_secs(1));
        let sent = &stage.world.peer::<RawPeer<BTreeMap<usize, usize>>>(endless).state;
        assert!(sent.len() >= 2 && sent.values().all(|sent| *sent < 1024 * 1024), "{sent:?}");
    });
}

#[test]
fn a_service_that_refuses_connections_costs_nothing_while_another_one_accepts() {
    seeds(64, |seed| {
        let mut stage = Stage::new(seed, Plan::calm().with_agents(2));
        stage.expect_ready(Duration::from_secs(5));
        stage.world.set_answer("service0:3000", Answer::Refuse);
        stage.world.strike(stage.services[0], stage.agents[0], Fault::Cut);
        stage.world.run_for(Duration::from_millis(1));
        traffic(&mut stage, 50);
        stage.expect_answers(Duration::from_secs(60));
        stage.judge(Weather::Fair);
        stage.world.set_answer("service0:3000", Answer::Accept);
        stage.expect_ready(Duration::from_secs(15));
        stage.expect_empty_after_drain();
    });
}

/// No other look is due for a long time.
#[test]
fn a_request_that_does_not_reach_the_service_has_it_looked_at() {
    for answer in [Answer::Refuse, Answer::Ignore] {
        seeds(4, |seed| {
            let mut plan = Plan::calm();
            plan.agent.health.interval = Duration::from_secs(600);
            let mut stage = Stage::new(seed, plan);
            stage.expect_ready(Duration::from_secs(5));
            stage.world.set_answer("service0:3000", answer);
            stage.world.strike(stage.services[0], stage.agents[0], Fault::Cut);
            stage.world.run_for(Duration::from_secs(1));
            let ask = either(&mut stage);
            let caller = stage.add_caller(vec![ask], |client| client);
            stage.expect_answers(Duration::from_secs(10));
            assert!(stage.responses(caller)[0].is(502), "{:?}", stage.responses(caller));
            let ingress = stage.ingress;
            let unhealthy = move |world: &World| census(world, ingress).healthy == 0;
            stage.world.expect("the service is missed", unhealthy, Duration::from_secs(30));
        });
    }
}

#[test]
fn a_service_that_breaks_its_answers_is_never_believed() {
    seeds(32, |seed| {
        let mut stage = Stage::new(seed, Plan::drawn(FaultRates::none()).with_agents(2));
        stage.expect_ready(Duration::from_secs(60));
        let callers: Vec<_> = ["/reset", "/refuse", "/reset", "/refuse"]
            .into_iter()
            .map(|path| {
                let gets = (0..3).map(|_| Ask::new(Request::get(HOST, path)));
                let post = Ask::sending(Request::post(HOST, path, b"once"), b"once".to_vec());
                stage.add_caller(gets.chain([post]).collect(), |client| client)
            })
            .collect();
        stage.expect_answers(Duration::from_secs(600));
        for caller in callers {
            for response in stage.responses(caller) {
                let is_mesh = response.header("x-mesh-error").is_some();
                assert!(is_mesh || response.outcome != Outcome::Complete, "{response:?}");
                assert!(!is_mesh || response.is(502), "{response:?}");
            }
        }
        for caller in &stage.callers {
            let served = caller.asks.iter().map(|ask| (ask, stage.served(ask).len()));
            for (ask, count) in served {
                let most = if ask.is_method("POST") { 1 } else { 4 };
                assert!((1..=most).contains(&count), "{} was served {count} times", ask.name);
            }
        }
        let census = census(&stage.world, stage.ingress);
        assert_eq!(census.in_flight, 0);
        stage.expect_empty_after_drain();
    });
}

/// One caller that asks with these requests, one after the other; which connections of the service
/// each of them came over.
fn connections_of(stage: &mut Stage, requests: Vec<Request>) -> Vec<Vec<usize>> {
    let asks = requests.into_iter().map(Ask::new).collect();
    stage.add_caller(asks, |client| client);
    stage.expect_answers(Duration::from_secs(60));
    let caller = stage.callers.last().expect("just added");
    let served = caller.asks.iter().map(|ask| stage.served(ask));
    served.map(|served| served.iter().map(|one| one.connection).collect()).collect()
}

fn bodyless(method: &str, path: &str) -> Request {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n");
    Request::raw(head.as_bytes())
}

/// It may have done all that was asked of it before it closed.
#[test]
fn what_may_not_be_repeated_is_asked_once_although_a_kept_connection_closes_on_it() {
    seeds(16, |seed| {
        for (method, times) in [("POST", 1), ("PATCH", 1), ("GET", 2), ("PUT", 2)] {
            let mut stage = Stage::new(seed, Plan::calm());
            stage.expect_ready(Duration::from_secs(5));
            let keeping = Request::get(HOST, "/bytes/1");
            let script = vec![keeping, bodyless(method, "/refuse")];
            let connections = connections_of(&mut stage, script);
            assert_eq!(connections[1].len(), times, "{method}: {connections:?}");
            assert_eq!(connections[0][0], connections[1][0], "{method}: none was kept");
            let caller = stage.callers.last().expect("just added").node;
            let response = &stage.responses(caller)[1];
            assert!(response.is(502), "{method}: {response:?}");
            assert_eq!(response.header("x-mesh-error").as_deref(), Some("upstream_reset"));
        }
    });
}

/// A service may be about to close one that has rested longer.
#[test]
fn what_may_not_be_repeated_takes_a_kept_connection_only_within_its_first_second() {
    seeds(16, |seed| {
        for (method, rest, is_same) in
            [("POST", 900, true), ("POST", 1_100, false), ("GET", 1_100, true)]
        {
            let mut stage = Stage::new(seed, Plan::calm());
            stage.expect_ready(Duration::from_secs(5));
            let rest = Duration::from_millis(rest);
            let script =
                vec![Request::get(HOST, "/bytes/1"), bodyless(method, "/upload").after(rest)];
            let connections = connections_of(&mut stage, script);
            assert_eq!(connections[0] == connections[1], is_same, "{method} after {rest:?}");
            stage.judge(Weather::Fair);
        }
    });
}

/// No agent hears soon that a service does not answer. Meanwhile it gets a window of a body, which is kept
/// unless the agent has a larger one than is usual.
#[test]
fn a_request_is_sent_to_another_agent_only_if_all_of_its_body_was_kept() {
    const KEPT: usize = 256 * 1024;
    for (window, len, is_kept) in [
        (256 * 1024, 65_537, true),
        (256 * 1024, 1_000_000, true),
        (1024 * 1024, KEPT, true),
        (1024 * 1024, KEPT + 1, false),
    ] {
        seeds(8, |seed| {
            let mut plan = Plan::calm().with_agents(2);
            plan.agent.limits.stream_window = window;
            let mut stage = Stage::new(seed, plan);
            stage.expect_ready(Duration::from_secs(5));
            stage.world.set_answer("service0:3000", Answer::Ignore);
            for _ in 0..4 {
                let body = pattern(len);
                let upload = Ask::sending(Request::post(HOST, "/upload", &body), body);
                stage.add_caller(vec![upload], |client| client);
            }
            stage.expect_answers(Duration::from_secs(20));
            let answers = stage.callers.iter().map(|caller| &stage.responses(caller.node)[0]);
            let errors: Vec<_> = answers.filter_map(|one| one.header("x-mesh-error")).collect();
            assert_eq!(errors.is_empty(), is_kept, "{len} bytes: {errors:?}");
            stage.judge(if is_kept { Weather::Fair } else { Weather::Foul });
        });
    }
}

#[test]
fn an_answer_that_its_service_does_not_finish_is_cut_and_not_its_callers_doing() {
    seeds(8, |seed| {
        let mut plan = Plan::calm();
        plan.ingress.timeouts.stream_idle = Duration::from_secs(2);
        let mut stage = Stage::new(seed, plan);
        let service = RawPeer::listening((), |(), turn| {
            let is_asked = turn.rx.starts_with(b"GET /half ");
            if turn.rx.ends_with(b"\r\n\r\n") {
                turn.rx.clear();
                turn.tx.extend_from_slice(match is_asked {
                    true => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
                    false => b"HTTP/1.1 204 Fine\r\n\r\n",
                });
            }
            if turn.end.is_some() {
                turn.then = Then::Close;
            }
        });
        let service = stage.world.add_peer("half", service, &["service0:3000"]);
        stage.world.set_links(stage.agents[0], service, stage.plan.service_links);
        stage.expect_ready(Duration::from_secs(60));
        let request = format!("GET /half HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        let answer = answer(&mut stage, TRAFFIC_ADDRESS, &request);
        assert!(answer.text.ends_with("half"), "{}", answer.text);
        assert_eq!(stage.metric("mesh_caller_aborts_total"), Some(0));
    });
}
