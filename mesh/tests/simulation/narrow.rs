//! Services that serve one connection at a time, and keep it for its next request.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use mesh_sim::peers::{HttpService, RawPeer, Request, Then};
use mesh_sim::seeds;

use crate::ask::Ask;
use crate::stage::{HOST, Plan, Stage, census};

/// An agent whose service reads nothing of a second connection before the first one is closed.
fn narrow(seed: u64, plan: Plan) -> Stage {
    with_places(1, Duration::ZERO, seed, plan)
}

/// An agent whose service reads of so many connections, the oldest, until they are closed, and takes so
/// long for each answer to a caller.
fn with_places(places: usize, thinks: Duration, seed: u64, plan: Plan) -> Stage {
    let mut stage = Stage::new(seed, plan);
    // When each connection is to be answered, where it was asked.
    let service = RawPeer::listening(BTreeMap::new(), move |open, turn| {
        open.entry(turn.connection).or_insert(None);
        if turn.end.is_some() {
            open.remove(&turn.connection);
            turn.then = Then::Close;
            return;
        }
        if turn.rx.ends_with(b"\r\n\r\n") {
            let thinks = if turn.rx.starts_with(b"GET / ") { thinks } else { Duration::ZERO };
            let has_place = open.keys().take(places).any(|served| *served == turn.connection);
            let due = open.get_mut(&turn.connection).expect("it is there");
            if !has_place {
                turn.wake_in = Some(Duration::from_millis(5));
            } else if *due.get_or_insert(turn.now + thinks) > turn.now {
                turn.wake_in = due.map(|due| due.saturating_duration_since(turn.now));
            } else {
                *due = None;
                turn.rx.clear();
                turn.tx.extend(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine");
            }
        }
    });
    let service = stage.world.add_peer("narrow", service, &["service0:3000"]);
    stage.world.set_links(stage.agents[0], service, stage.plan.service_links);
    stage.expect_ready(Duration::from_secs(5));
    stage
}

fn get() -> Ask {
    Ask::new(Request::get(HOST, "/"))
}

/// Requests of one caller, each so long after the answer to the one before.
fn gets(count: usize, pause: Duration) -> Vec<Ask> {
    let one = || Ask::new(Request::get(HOST, "/").after(pause));
    (0..count).map(|_| one()).collect()
}

/// Each caller got all of its answers, none of them later than that.
fn expect_within(stage: &Stage, limit: Duration) {
    for caller in &stage.callers {
        for answer in stage.responses(caller.node) {
            assert!(answer.is(200), "{answer:?}");
            let took = answer.ended_at.expect("it is there") - answer.asked_at;
            assert!(took < limit, "it took {took:?}");
        }
    }
}

#[test]
fn what_may_not_be_repeated_does_not_wait_for_a_kept_connection_to_grow_old() {
    seeds(8, |seed| {
        let mut stage = narrow(seed, Plan::calm());
        let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n");
        let post = Request::raw(head.as_bytes()).after(Duration::from_millis(1_500));
        let caller = stage.add_caller(vec![get(), Ask::new(post)], |client| client);
        stage.expect_answers(Duration::from_secs(60));
        let answer = &stage.responses(caller)[1];
        assert!(answer.is(200), "{answer:?}");
        let took = answer.ended_at.expect("it is there") - answer.asked_at;
        assert!(took < Duration::from_millis(100), "it took {took:?}");
    });
}

#[test]
fn kept_connections_that_rest_give_way_to_requests_that_wait() {
    seeds(8, |seed| {
        let mut stage = narrow(seed, Plan::calm());
        for _ in 0..4 {
            stage.add_caller(vec![get()], |client| client);
        }
        stage.expect_answers(Duration::from_secs(60));
        expect_within(&stage, Duration::from_millis(3_500));
    });
}

/// One with places enough, which takes two seconds for each answer.
#[test]
fn a_slow_service_keeps_its_connections() {
    for workers in [1, 2] {
        seeds(4, |seed| {
            let plan = Plan::calm().with_agent_workers(workers, workers.into());
            let mut stage = Stage::new(seed, plan);
            let opened = Rc::new(Cell::new(0));
            let count = Rc::clone(&opened);
            let service = RawPeer::listening(HashMap::new(), move |asked, turn| {
                if !turn.rx.ends_with(b"\r\n\r\n") {
                    return;
                }
                let is_probe = !turn.rx.starts_with(b"GET / ");
                let thinks = Duration::from_secs(if is_probe { 0 } else { 2 });
                let due = *asked.entry(turn.connection).or_insert_with(|| {
                    count.set(count.get().max(turn.connection + 1));
                    turn.now + thinks
                });
                turn.wake_in = Some(due.saturating_duration_since(turn.now));
                if due <= turn.now {
                    turn.wake_in = None;
                    asked.remove(&turn.connection);
                    turn.rx.clear();
                    turn.tx.extend(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine");
                }
            });
            let service = stage.world.add_peer("slow", service, &["service0:3000"]);
            stage.world.set_links(stage.agents[0], service, stage.plan.service_links);
            stage.expect_ready(Duration::from_secs(5));
            for _ in 0..20 {
                stage.add_caller((0..4).map(|_| get()).collect(), |client| client);
            }
            stage.expect_answers(Duration::from_secs(60));
            // One a second may give way at each worker in these eight, and there are a few for health checks.
            assert!(
                opened.get() < 20 + usize::from(workers) * 8 + 6,
                "{} connections",
                opened.get()
            );
        });
    }
}

/// One that answers others quickly: each request that waits is taken once for one without a place.
#[test]
fn a_service_that_is_slow_with_some_requests_keeps_its_connections() {
    const SLOW: usize = 10;
    const QUICK: usize = 10;
    seeds(4, |seed| {
        let mut plan = Plan::calm().with_agents(1);
        plan.agent.health.interval = Duration::from_secs(60);
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(5));
        for _ in 0..SLOW {
            stage.add_caller(vec![Ask::new(Request::get(HOST, "/slow/20000"))], |client| client);
        }
        stage.world.run_for(Duration::from_millis(100));
        for _ in 0..QUICK {
            let one = || Ask::new(Request::get(HOST, "/slow/50").after(Duration::from_millis(50)));
            stage.add_caller((0..190).map(|_| one()).collect(), |client| client);
        }
        stage.expect_answers(Duration::from_secs(60));
        let opened = stage.world.peer::<HttpService>(stage.services[0]).connections();
        // Besides those, one a second gives way, and there are a few for health checks.
        assert!(opened < SLOW + QUICK + SLOW + 20 + 6, "{opened} connections");
    });
}

/// Whichever worker has them: the first one alone looks after the service.
#[test]
fn kept_connections_give_way_to_health_checks() {
    for workers in [1, 2] {
        seeds(4, |seed| {
            let mut stage = narrow(seed, Plan::calm().with_agent_workers(workers, 2));
            let caller = stage.add_caller(gets(120, Duration::from_millis(500)), |client| client);
            for second in 0..60 {
                stage.world.run_for(Duration::from_secs(1));
                let healthy = census(&stage.world, stage.ingress).healthy;
                assert_eq!(healthy, 2, "tunnels of a healthy service after {second} s");
            }
            stage.expect_answers(Duration::from_secs(60));
            for answer in stage.responses(caller) {
                assert!(answer.is(200), "{answer:?}");
            }
        });
    }
}

/// All of them at once, as a browser asks for the parts of a page. No health check makes room meanwhile.
#[test]
fn many_that_wait_for_a_place_get_it_within_seconds() {
    for (workers, limit) in [(1, 2_500), (2, 10_000)] {
        seeds(4, |seed| {
            let mut plan = Plan::calm().with_agent_workers(workers, workers.into());
            plan.agent.health.interval = Duration::from_secs(60);
            let mut stage = with_places(1, Duration::from_millis(2), seed, plan);
            for _ in 0..20 {
                stage.add_caller(gets(30, Duration::from_millis(300)), |client| client);
            }
            stage.expect_answers(Duration::from_secs(120));
            expect_within(&stage, Duration::from_millis(limit));
        });
    }
}

/// Who comes often enough keeps a place in use: nothing rests, and others wait all the same.
#[test]
fn kept_connections_that_are_in_use_give_way_too() {
    for (places, callers) in [(1, 3), (2, 4)] {
        seeds(4, |seed| {
            let thinks = Duration::from_millis(50);
            let mut stage = with_places(places, thinks, seed, Plan::calm());
            for caller in 0..callers {
                let pause = Duration::from_millis(300 + 40 * caller);
                stage.add_caller(gets(120, pause), |client| client);
            }
            for second in 0..60 {
                stage.world.run_for(Duration::from_secs(1));
                let healthy = census(&stage.world, stage.ingress).healthy;
                assert_eq!(healthy, 1, "tunnels of a healthy service after {second} s");
            }
            stage.expect_answers(Duration::from_secs(240));
            expect_within(&stage, Duration::from_secs(5));
        });
    }
}

/// The place is kept by one worker, and those that wait are at the other one. No health check makes room.
#[test]
fn kept_connections_give_way_to_requests_at_other_workers() {
    for workers in [2, 4] {
        seeds(4, |seed| {
            let mut plan = Plan::calm().with_agent_workers(workers, workers.into());
            plan.agent.health.interval = Duration::from_secs(60);
            let mut stage = with_places(1, Duration::from_millis(20), seed, plan);
            for _ in 0..workers {
                stage.add_caller(gets(60, Duration::from_millis(200)), |client| client);
            }
            stage.expect_answers(Duration::from_secs(240));
            expect_within(&stage, Duration::from_secs(3));
        });
    }
}
