//! Upgraded connections, whose two directions end by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mesh_protocol::Rng;
use mesh_sim::peers::{RawPeer, RawTurn, Received, Then, pattern};
use mesh_sim::{Death, FaultRates, Life, NodeId, World, seeds};

use crate::stage::{Plan, Stage, TRAFFIC_ADDRESS, agent_census, census};

/// Where the service with the raw manners listens in place of the usual one.
const SERVICE: &str = "service0:3000";

/// How a caller asks for an upgrade.
const ASKING: &[u8] = b"GET /talk HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\n\
    Upgrade: talk\r\n\r\n";

/// One end of an upgraded connection.
#[derive(Debug, Default)]
struct Talker {
    begun: bool,
    finishes_at: Option<Instant>,
    heard: Vec<u8>,
    end: Option<Received>,
}

impl Talker {
    /// Says everything; and FIN, behind it or after a while.
    fn finish(&mut self, said: &[u8], turn: &mut RawTurn<'_>) {
        let Some(at) = self.finishes_at else {
            turn.tx.extend_from_slice(said);
            let pause = Duration::from_millis(turn.rng.below(2) * turn.rng.below(300));
            self.finishes_at = Some(turn.now + pause);
            return self.finish(said, turn);
        };
        if at <= turn.now {
            turn.then = Then::Finish;
        } else {
            turn.wake_in = Some(at - turn.now);
        }
    }

    fn hear(&mut self, turn: &mut RawTurn<'_>) {
        self.heard.append(turn.rx);
        self.end = turn.end;
    }
}

/// Takes a head off what was received; whether it was there.
fn take_head(rx: &mut Vec<u8>) -> bool {
    let end = rx.windows(4).position(|window| window == b"\r\n\r\n");
    if let Some(end) = end {
        rx.drain(..end + 4);
    }
    end.is_some()
}

/// Asks for an upgrade, and has the last word or the first.
fn caller(said: Vec<u8>, waits: bool) -> RawPeer<Talker> {
    RawPeer::dialling(TRAFFIC_ADDRESS, Talker::default(), move |talker, turn| {
        if !std::mem::replace(&mut talker.begun, true) {
            turn.tx.extend_from_slice(ASKING);
            return;
        }
        if talker.heard.is_empty() && !turn.rx.starts_with(b"HTTP/1.1 101 ") {
            return;
        }
        talker.hear(turn);
        if !waits || talker.end.is_some() {
            talker.finish(&said, turn);
        }
    })
}

/// Grants upgrades, and has the first word or the last. It answers health checks, too.
fn service(said: Vec<u8>, waits: bool) -> RawPeer<Talker> {
    let mut upgraded = None;
    RawPeer::listening(Talker::default(), move |talker, turn| {
        if upgraded != Some(turn.connection) {
            let is_upgrade = turn.rx.starts_with(b"GET /talk ");
            if !take_head(turn.rx) {
                if turn.end.is_some() {
                    turn.then = Then::Close;
                }
                return;
            }
            if !is_upgrade {
                turn.tx.extend_from_slice(b"HTTP/1.1 204 Fine\r\n\r\n");
                return;
            }
            upgraded = Some(turn.connection);
            turn.tx.extend_from_slice(
                b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n",
            );
        }
        talker.hear(turn);
        if !waits || talker.end.is_some() {
            talker.finish(&said, turn);
        }
    })
}

/// Whoever ends first: the other one's bytes all arrive, and so does its end.
#[test]
fn whoever_ends_first_hears_the_other_out() {
    seeds(128, |seed| {
        let mut rng = Rng::from_seed(seed);
        let mut words = || pattern(usize::try_from(rng.below(300_000)).expect("small"));
        let (from_caller, from_service) = (words(), words());
        let (caller_waits, service_waits) = (seed % 3 == 0, seed % 3 == 1);
        let mut stage = Stage::new(seed, Plan::drawn(FaultRates::mild()));
        let service = service(from_service.clone(), service_waits);
        let service = stage.world.add_peer("talker", service, &[SERVICE]);
        stage.world.set_links(stage.agents[0], service, stage.plan.service_links);
        stage.expect_ready(Duration::from_secs(60));
        let caller = caller(from_caller.clone(), caller_waits);
        let caller = stage.world.add_peer("caller", caller, &[]);
        stage.world.set_links(caller, stage.ingress, stage.plan.caller_links);

        let over =
            |world: &World, id: NodeId| world.peer::<RawPeer<Talker>>(id).state.end.is_some();
        let both = move |world: &World| over(world, caller) && over(world, service);
        stage.world.expect("both hear the end", both, Duration::from_secs(600));
        let at_service = &stage.world.peer::<RawPeer<Talker>>(service).state;
        assert_eq!(at_service.end, Some(Received::Eof));
        assert!(at_service.heard == from_caller, "{} bytes", at_service.heard.len());
        let at_caller = &stage.world.peer::<RawPeer<Talker>>(caller).state;
        assert_eq!(at_caller.end, Some(Received::Eof));
        assert!(at_caller.heard.ends_with(&from_service), "{} bytes", at_caller.heard.len());
    });
}

/// A service that has an upgrade's body for a while, of so many bytes, before it gives this answer. What
/// follows the body must not come before a 101.
fn considerate(body: usize, answer: &'static [u8]) -> RawPeer<Talker> {
    let wanted = pattern(body);
    let (mut talk, mut answers_at, mut is_answered) = (None, None, false);
    RawPeer::listening(Talker::default(), move |talker, turn| {
        if talk != Some(turn.connection) {
            let is_upgrade = turn.rx.starts_with(b"POST /talk ");
            if !take_head(turn.rx) {
                if turn.end.is_some() {
                    turn.then = Then::Close;
                }
                return;
            }
            if !is_upgrade {
                turn.tx.extend_from_slice(b"HTTP/1.1 204 Fine\r\n\r\n");
                return;
            }
            talk = Some(turn.connection);
        }
        if is_answered {
            talker.hear(turn);
            if talker.end.is_some() {
                talker.finish(b"bye", turn);
            }
            return;
        }
        assert!(turn.rx.len() <= body, "more than the body");
        if turn.rx.len() == body {
            assert!(*turn.rx == wanted);
            let due = *answers_at.get_or_insert(turn.now + Duration::from_millis(100));
            turn.wake_in = Some(due.saturating_duration_since(turn.now));
            if turn.now >= due {
                turn.wake_in = None;
                turn.rx.clear();
                turn.tx.extend_from_slice(answer);
                is_answered = answer.starts_with(b"HTTP/1.1 101 ");
                if !is_answered {
                    (talk, answers_at) = (None, None);
                }
            }
        }
    })
}

/// Asks for an upgrade with a body of so many bytes, and says more before it is answered.
fn hasty(body: usize, more: &'static [u8]) -> RawPeer<Talker> {
    let head = format!(
        "POST /talk HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\
         Content-Length: {body}\r\n\r\n"
    );
    let said = [head.as_bytes(), &pattern(body), more].concat();
    RawPeer::dialling(TRAFFIC_ADDRESS, Talker::default(), move |talker, turn| {
        talker.hear(turn);
        talker.finish(&said, turn);
    })
}

/// As a `docker exec` asks, whose body says what is to be run.
#[test]
fn an_upgrade_may_be_asked_for_with_a_body() {
    const GRANTED: &[u8] = b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n";
    const DECLINED: &[u8] = b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno";
    const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n";
    for (answer, more) in [(GRANTED, NEXT), (DECLINED, NEXT), (GRANTED, b""), (DECLINED, b"")] {
        for body in [1, 300, 300_000] {
            seeds(4, |seed| {
                let mut stage = Stage::new(seed, Plan::drawn(FaultRates::mild()));
                let service = considerate(body, answer);
                let service = stage.world.add_peer("talker", service, &[SERVICE]);
                stage.world.set_links(stage.agents[0], service, stage.plan.service_links);
                stage.expect_ready(Duration::from_secs(60));
                let caller = stage.world.add_peer("caller", hasty(body, more), &[]);
                stage.world.set_links(caller, stage.ingress, stage.plan.caller_links);
                let over = move |world: &World| talker(world, caller).end.is_some();
                stage.world.expect("the caller hears the end", over, Duration::from_secs(600));
                let heard = &talker(&stage.world, caller).heard;
                let has = |part: &[u8]| heard.windows(part.len()).any(|window| window == part);
                assert_eq!(talker(&stage.world, caller).end, Some(Received::Eof));
                if answer == GRANTED {
                    assert!(heard.starts_with(b"HTTP/1.1 101 ") && heard.ends_with(b"bye"));
                    assert_eq!(talker(&stage.world, service).heard, more);
                } else {
                    assert!(heard.starts_with(b"HTTP/1.1 403 "));
                    assert_eq!(has(b"HTTP/1.1 204 "), more == NEXT);
                }
                stage.expect_empty_after_drain();
            });
        }
    }
}

/// Whether the ingress is still there when an agent leaves.
#[derive(Debug, Clone, Copy)]
enum Ingress {
    Stays,
    IsLost,
    WasLost,
}

/// Also when the agent leaves meanwhile, and the exchange is over for everybody but the service.
#[test]
fn an_agent_that_leaves_lets_the_service_hear_the_caller_out() {
    for (ingress, workers) in [
        (Ingress::Stays, 1),
        (Ingress::IsLost, 1),
        (Ingress::WasLost, 1),
        (Ingress::Stays, 2),
        (Ingress::IsLost, 2),
        (Ingress::WasLost, 2),
    ] {
        hears_out_before_leaving(ingress, workers);
    }
}

fn hears_out_before_leaving(ingress: Ingress, workers: u8) {
    seeds(16, |seed| {
        let said = pattern(300_000);
        let (mut stage, service) = with_a_rest_for_the_service(seed, workers, &said);
        let agent = stage.agents[0];
        if let Ingress::WasLost = ingress {
            stage.world.kill(stage.ingress, Death::Reset);
            let alone = move |world: &World| agent_census(world, agent).tunnels == 0;
            stage.world.expect("the tunnels are lost", alone, Duration::from_secs(1));
        }
        stage.world.drain(agent);
        if let Ingress::IsLost = ingress {
            stage.world.kill(stage.ingress, Death::Reset);
        }
        let over = move |world: &World| {
            world.peer::<RawPeer<Talker>>(service).state.end.is_some()
                && world.life(agent) == Life::Exited
        };
        stage.world.expect("the agent leaves", over, Duration::from_secs(30));
        let heard = &stage.world.peer::<RawPeer<Talker>>(service).state.heard;
        assert!(*heard == said, "{} bytes", heard.len());
    });
}

/// An upgraded connection that is over for everybody but the service, which takes its bytes slowly.
fn with_a_rest_for_the_service(seed: u64, workers: u8, said: &[u8]) -> (Stage, NodeId) {
    let plan = Plan::calm().with_slow_services();
    let mut stage = Stage::new(seed, plan.with_agent_workers(workers, workers.into()));
    let service = service(pattern(100), false);
    let service = stage.world.add_peer("talker", service, &[SERVICE]);
    stage.world.set_links(stage.agents[0], service, stage.plan.service_links);
    stage.expect_ready(Duration::from_secs(60));
    let caller = caller(said.to_vec(), true);
    let caller = stage.world.add_peer("caller", caller, &[]);
    stage.world.set_links(caller, stage.ingress, stage.plan.caller_links);
    let agent = stage.agents[0];
    let rests = move |world: &World| {
        let census = agent_census(world, agent);
        census.streams == 0 && census.upstream_tx > 0
    };
    stage.world.expect("only the service lacks something", rests, Duration::from_secs(10));
    (stage, service)
}

/// The service would take what it got for all that the caller said.
#[test]
fn an_agent_that_leaves_at_once_cuts_what_the_service_has_not_taken() {
    for workers in [1, 2] {
        seeds(8, |seed| {
            let said = pattern(300_000);
            let (mut stage, service) = with_a_rest_for_the_service(seed, workers, &said);
            let agent = stage.agents[0];
            stage.world.drain(agent);
            stage.world.run_for(Duration::from_millis(10));
            stage.world.drain(agent);
            let over = move |world: &World| {
                talker(world, service).end.is_some() && world.life(agent) == Life::Exited
            };
            stage.world.expect("the agent leaves", over, Duration::from_secs(1));
            let talker = talker(&stage.world, service);
            assert!(talker.heard.len() < said.len(), "nothing was left to be cut");
            assert!(matches!(talker.end, Some(Received::Failed(_))), "{:?}", talker.end);
        });
    }
}

/// Its exit alone would end the connection as if each side had said all that it had to say.
#[test]
fn an_agent_that_leaves_an_upgraded_connection_behind_cuts_it_on_both_sides() {
    for (is_asked_twice, workers) in [(true, 1), (false, 1), (true, 3), (false, 3)] {
        seeds(8, |seed| {
            let mut plan = Plan::calm().with_agent_workers(workers, workers.into());
            plan.agent.timeouts.drain = Duration::from_secs(5);
            let mut stage = Stage::new(seed, plan);
            let service = service(Vec::new(), true);
            let service = stage.world.add_peer("talker", service, &[SERVICE]);
            stage.world.set_links(stage.agents[0], service, stage.plan.service_links);
            stage.expect_ready(Duration::from_secs(60));
            let caller = caller(pattern(1000), true);
            let caller = stage.world.add_peer("caller", caller, &[]);
            stage.world.set_links(caller, stage.ingress, stage.plan.caller_links);
            stage.world.run_for(Duration::from_secs(1));
            let agent = stage.agents[0];
            assert_eq!(agent_census(&stage.world, agent).streams, 1);
            stage.world.drain(agent);
            if is_asked_twice {
                stage.world.run_for(Duration::from_secs(1));
                stage.world.drain(agent);
            }
            let limit = Duration::from_secs(if is_asked_twice { 1 } else { 6 });
            let over = move |world: &World| {
                [service, caller].iter().all(|id| talker(world, *id).end.is_some())
                    && world.life(agent) == Life::Exited
            };
            stage.world.expect("the agent leaves", over, limit);
            for id in [service, caller] {
                let end = talker(&stage.world, id).end;
                assert!(!matches!(end, Some(Received::Eof)), "a peaceful end: {end:?}");
            }
        });
    }
}

fn talker(world: &World, id: NodeId) -> &Talker {
    &world.peer::<RawPeer<Talker>>(id).state
}

/// What the caller says to that then is nobody's fault.
#[test]
fn a_service_that_ends_in_good_order_and_is_gone_is_no_broken_one() {
    seeds(32, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        let service = RawPeer::listening(BTreeSet::new(), |leaving, turn| {
            if turn.rx.starts_with(b"GET /talk ") {
                leaving.insert(turn.connection);
                turn.wake_in = Some(Duration::from_millis(10));
            } else if turn.end.is_some() || (leaving.contains(&turn.connection) && turn.unsent == 0)
            {
                turn.then = Then::Close;
            }
            if take_head(turn.rx) {
                turn.tx.extend_from_slice(match leaving.contains(&turn.connection) {
                    true => b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\nbye!",
                    false => b"HTTP/1.1 204 Fine\r\n\r\n",
                });
            }
        });
        let service = stage.world.add_peer("talker", service, &[SERVICE]);
        stage.world.set_links(stage.agents[0], service, stage.plan.service_links);
        stage.expect_ready(Duration::from_secs(60));
        let mut callers = Vec::new();
        for _ in 0..6 {
            let mut words = 2;
            let caller =
                RawPeer::dialling(TRAFFIC_ADDRESS, Talker::default(), move |talker, turn| {
                    if !std::mem::replace(&mut talker.begun, true) {
                        turn.tx.extend_from_slice(ASKING);
                    }
                    talker.hear(turn);
                    let due = *talker.finishes_at.get_or_insert(turn.now);
                    if turn.now < due {
                        turn.wake_in = Some(due - turn.now);
                    } else if turn.end.is_some() && words > 0 {
                        words -= 1;
                        turn.tx.extend_from_slice(b"bye");
                        let pause = Duration::from_millis(100);
                        (turn.wake_in, talker.finishes_at) = (Some(pause), Some(turn.now + pause));
                    } else if turn.end.is_some() {
                        turn.then = Then::Finish;
                    }
                });
            callers.push(stage.world.add_peer("caller", caller, &[]));
        }
        stage.world.run_for(Duration::from_secs(1));
        for caller in callers {
            let talker = &stage.world.peer::<RawPeer<Talker>>(caller).state;
            assert!(talker.heard.ends_with(b"bye!"), "{:?}", talker.heard);
            assert_eq!(talker.end, Some(Received::Eof));
        }
        assert_eq!(stage.metric("mesh_ejections_total"), Some(0));
        assert_eq!(stage.metric("mesh_requests_in_flight"), Some(0));
    });
}

/// A caller that closes while something of the service's is unread says its last words and resets the
/// connection: TCP has no other way. Either network loses them more often than not.
#[test]
fn what_a_caller_says_before_it_resets_an_upgraded_connection_reaches_the_service() {
    const CALLERS: usize = 100;
    seeds(8, |seed| {
        let said = pattern(usize::try_from(10 << (2 * seed % 14)).expect("small"));
        let mut stage = Stage::new(seed, Plan::calm());
        let service = RawPeer::listening(BTreeMap::new(), |heard, turn| {
            let is_upgrade = turn.rx.starts_with(b"GET /talk ");
            if let Some(talk) = heard.get_mut(&turn.connection) {
                *talk = (turn.rx.clone(), turn.end);
            } else if take_head(turn.rx) {
                turn.tx.extend_from_slice(match is_upgrade {
                    true => b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n",
                    false => b"HTTP/1.1 204 Fine\r\n\r\n",
                });
                if is_upgrade {
                    heard.insert(turn.connection, (Vec::new(), None));
                }
            }
            if turn.end.is_some() {
                turn.then = Then::Close;
            }
        });
        let service = stage.world.add_peer("talker", service, &[SERVICE]);
        stage.world.set_links(stage.agents[0], service, stage.plan.service_links);
        stage.expect_ready(Duration::from_secs(60));
        for _ in 0..CALLERS {
            let words = said.clone();
            let caller = RawPeer::dialling(TRAFFIC_ADDRESS, false, move |begun, turn| {
                if !std::mem::replace(begun, true) {
                    turn.tx.extend_from_slice(ASKING);
                } else if take_head(turn.rx) {
                    turn.tx.extend_from_slice(&words);
                    turn.then = Then::Reset;
                }
            });
            let caller = stage.world.add_peer("caller", caller, &[]);
            stage.world.set_links(caller, stage.ingress, stage.plan.caller_links);
        }
        type Heard = BTreeMap<usize, (Vec<u8>, Option<Received>)>;
        let heard = move |world: &World| world.peer::<RawPeer<Heard>>(service).state.clone();
        let over = move |world: &World| {
            let heard = heard(world);
            heard.len() == CALLERS && heard.values().all(|(_, end)| end.is_some())
        };
        stage.world.expect("the service hears of all", over, Duration::from_secs(5));
        let heard = heard(&stage.world);
        for (words, end) in heard.values() {
            assert!(said.starts_with(words), "{} bytes", words.len());
            assert!(matches!(end, Some(Received::Failed(_))), "{end:?}");
        }
        assert!(heard.values().any(|(words, _)| *words == said), "all last words are lost");
        stage.expect_empty_after_drain();
    });
}

/// Its agent has answered: that says nothing of the next request.
#[test]
fn a_service_that_resets_what_it_upgraded_is_no_failing_one() {
    seeds(8, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        let service = RawPeer::listening((), |(), turn| {
            if turn.rx.starts_with(b"GET /talk ") && take_head(turn.rx) {
                turn.tx.extend_from_slice(
                    b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n",
                );
            } else if take_head(turn.rx) {
                turn.tx.extend_from_slice(b"HTTP/1.1 204 Fine\r\n\r\n");
            } else if turn.rx.starts_with(b"too much") {
                turn.then = Then::Reset;
            } else if turn.end.is_some() {
                turn.then = Then::Close;
            }
        });
        let service = stage.world.add_peer("talker", service, &[SERVICE]);
        stage.world.set_links(stage.agents[0], service, stage.plan.service_links);
        stage.expect_ready(Duration::from_secs(60));
        let mut callers = Vec::new();
        for _ in 0..6 {
            let caller = caller(b"too much".to_vec(), false);
            callers.push(stage.world.add_peer("caller", caller, &[]));
        }
        let over = move |world: &World| callers.iter().all(|id| talker(world, *id).end.is_some());
        stage.world.expect("all hear of it", over, Duration::from_secs(5));
        assert_eq!(stage.metric("mesh_answers_cut_total{reason=\"upstream_reset\"}"), Some(6));
        assert_eq!(stage.metric("mesh_ejections_total"), Some(0));
    });
}

#[test]
fn a_caller_that_breaks_an_upgraded_connection_has_abandoned_its_exchange() {
    for (then, aborts) in [(Then::Reset, 1), (Then::Finish, 0)] {
        seeds(8, |seed| {
            let mut stage = Stage::new(seed, Plan::calm());
            let service = stage.world.add_peer("talker", service(Vec::new(), true), &[SERVICE]);
            stage.world.set_links(stage.agents[0], service, stage.plan.service_links);
            stage.expect_ready(Duration::from_secs(60));
            let caller =
                RawPeer::dialling(TRAFFIC_ADDRESS, Talker::default(), move |talker, turn| {
                    if !std::mem::replace(&mut talker.begun, true) {
                        turn.tx.extend_from_slice(ASKING);
                    } else if take_head(turn.rx) {
                        turn.then = then;
                    }
                });
            stage.world.add_peer("caller", caller, &[]);
            let ingress = stage.ingress;
            let over = move |world: &World| {
                talker(world, service).end.is_some() && census(world, ingress).in_flight == 0
            };
            stage.world.expect("it is over for everybody", over, Duration::from_secs(5));
            assert_eq!(stage.metric("mesh_caller_aborts_total"), Some(aborts));
        });
    }
}

/// A connection of hours would else be nothing for hours, and then a spike.
#[test]
fn what_an_upgraded_connection_carries_is_counted_before_it_ends() {
    seeds(8, |seed| {
        let mut stage = Stage::new(seed, Plan::calm());
        let service = service(pattern(5000), false);
        let service = stage.world.add_peer("talker", service, &[SERVICE]);
        stage.world.set_links(stage.agents[0], service, stage.plan.service_links);
        stage.expect_ready(Duration::from_secs(60));
        let caller = RawPeer::dialling(TRAFFIC_ADDRESS, Talker::default(), |talker, turn| {
            if !std::mem::replace(&mut talker.begun, true) {
                turn.tx.extend_from_slice(&[ASKING, &pattern(3000)].concat());
            }
            talker.hear(turn);
            let due = *talker.finishes_at.get_or_insert(turn.now + Duration::from_secs(10));
            if turn.now < due {
                turn.wake_in = Some(due - turn.now);
            } else {
                turn.then = Then::Finish;
            }
        });
        let caller = stage.world.add_peer("caller", caller, &[]);
        stage.world.set_links(caller, stage.ingress, stage.plan.caller_links);
        stage.world.run_for(Duration::from_secs(1));
        let of = format!("{{host=\"a.example\",service=\"{}\"}}", stage.plan.agent.service);
        let counted = |stage: &mut Stage| {
            let mut count = |name: &str| stage.metric(&format!("mesh_{name}_bytes_total{of}"));
            (count("request"), count("response"))
        };
        let all = (Some(3000), Some(5000));
        assert_eq!((stage.metric("mesh_requests_in_flight"), counted(&mut stage)), (Some(1), all));
        stage.world.run_for(Duration::from_secs(20));
        assert_eq!((stage.metric("mesh_requests_in_flight"), counted(&mut stage)), (Some(0), all));
    });
}
