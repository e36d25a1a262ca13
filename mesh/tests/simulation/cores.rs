//! Agents of several workers with several tunnels to one ingress of several workers: who has which
//! tunnel, and that requests stay where they are.

use std::time::Duration;

use mesh_agent::Agent;
use mesh_ingress::Ingress;
use mesh_sim::peers::{Health, HttpService, RawPeer, Request, pattern};
use mesh_sim::{Answer, Death, Fault, FaultRates, Life, World, seeds};

use crate::ask::{Ask, Weather};
use crate::identity::{LIFETIME, RENEWING, fast, rule, staged};
use crate::puppet::{ECHO, END, Puppet, REQUEST, RESPONSE, frame, puppet_of};
use crate::stage::{HOST, Plan, Stage, census};

/// Longer than anything takes on the slowest links.
const LONG: Duration = Duration::from_secs(3_600);
/// The longest wait before an agent connects again, and registering.
const RECONNECTED: Duration = Duration::from_secs(32);

/// Two workers and two tunnels on either side.
fn two(plan: Plan) -> Plan {
    plan.with_workers(2).with_agent_workers(2, 2)
}

/// Callers that ask `count` things each, of all kinds that keep their connection.
fn invite(stage: &mut Stage, callers: usize, count: usize) {
    for _ in 0..callers {
        let asks = (0..count).map(|_| draw(stage)).collect();
        stage.add_caller(asks, |client| client);
    }
}

fn draw(stage: &mut Stage) -> Ask {
    let size = usize::try_from(stage.below(60_000)).expect("small");
    let pause = Duration::from_millis(stage.below(200));
    let body = pattern(size);
    let mut ask = match stage.below(4) {
        0 => Ask::sending(Request::post(HOST, "/upload", &body), body),
        1 => Ask::sending(Request::post_chunked(HOST, "/echo", &body, 1_000), body),
        2 => Ask::new(Request::get(HOST, &format!("/slow/{}", size % 300))),
        _ => Ask::new(Request::get(HOST, &format!("/bytes/{size}"))),
    };
    ask.request = ask.request.after(pause);
    ask
}

fn moves(stage: &Stage) -> u64 {
    stage.workers.iter().map(|id| stage.world.app::<Ingress>(*id).moves()).sum()
}

/// Each worker of either side has as many tunnels as the others, once WELCOME has got through.
fn expect_spread(stage: &mut Stage) {
    let (workers, agents) = (stage.workers.clone(), stage.agents.clone());
    let spread = move |world: &World| {
        let of_ingress = workers.iter().map(|id| world.app::<Ingress>(*id).census().tunnels);
        let mut of_agents = agents.iter().map(|agent| {
            let workers = world.workers_of(*agent).into_iter();
            workers.map(|id| world.app::<Agent>(id).census().tunnels).collect::<Vec<_>>()
        });
        of_ingress.eq([agents.len(); 2]) && of_agents.all(|tunnels| tunnels == [1, 1])
    };
    stage.world.expect("every worker has its share", spread, Duration::from_secs(5));
}

fn spread_and_answered(seed: u64, agents: usize, faults: FaultRates) {
    let mut stage = Stage::new(seed, two(Plan::drawn(faults)).with_agents(agents));
    stage.expect_ready(Duration::from_secs(60));
    expect_spread(&mut stage);
    for _ in 0..6 {
        // With bodies, an answer may end its connection.
        let asks = (0..8).map(|turn| Ask::new(Request::get(HOST, &format!("/bytes/{turn}000"))));
        let asks = asks.collect();
        stage.add_caller(asks, |client| client);
    }
    stage.expect_answers(LONG);
    stage.judge(Weather::Fair);
    // Of six callers with eight requests each, some move with their first one.
    assert!((1..=6).contains(&moves(&stage)), "{} moves", moves(&stage));
    expect_spread(&mut stage);
    stage.expect_empty_after_drain();
}

#[test]
fn one_agent_uses_all_workers_and_nobody_moves_twice() {
    seeds(96, |seed| spread_and_answered(seed, 1, FaultRates::none()));
}

#[test]
fn several_agents_have_a_tunnel_at_every_worker() {
    seeds(96, |seed| spread_and_answered(seed, 3, FaultRates::mild()));
}

#[test]
fn tunnels_are_lost_and_requests_go_on_by_the_others() {
    seeds(128, |seed| {
        let mut stage = Stage::new(seed, two(Plan::drawn(FaultRates::rough())));
        stage.plan.service_links = Plan::calm().service_links;
        stage.expect_known(Duration::from_secs(600));
        invite(&mut stage, 6, 12);
        for _ in 0..3 {
            let wait = stage.below(1_000);
            stage.world.run_for(Duration::from_millis(wait));
            let (agent, service) = (stage.agents[0], stage.services[0]);
            match stage.below(3) {
                0 => stage.world.strike(agent, stage.ingress, Fault::Cut),
                1 => stage.world.strike(agent, service, Fault::Cut),
                _ => {
                    let stall = Fault::Stall(Duration::from_millis(300));
                    stage.world.strike(agent, stage.ingress, stall);
                }
            }
        }
        stage.expect_endings();
        stage.judge(Weather::Foul);
        stage.clear_up();
        stage.expect_ready(Duration::from_secs(120));
        stage.probe();
        stage.expect_empty_after_drain();
    });
}

#[test]
fn an_agent_of_two_workers_leaves_without_a_failed_request() {
    seeds(96, |seed| {
        let mut stage = Stage::new(seed, two(Plan::drawn(FaultRates::mild())).with_agents(2));
        stage.expect_ready(Duration::from_secs(60));
        invite(&mut stage, 6, 20);
        for number in 0..2 {
            let agent = stage.agents[number];
            let wait = stage.below(1_500);
            stage.world.run_for(Duration::from_millis(wait));
            stage.world.drain(agent);
            let gone = move |world: &World| world.life(agent) == Life::Exited;
            stage.world.expect("the agent leaves", gone, Duration::from_secs(31));
            for worker in stage.world.workers_of(agent) {
                assert_eq!(stage.world.life(worker), Life::Exited);
            }
            stage.restart_agent(number);
            stage.expect_ready(RECONNECTED);
        }
        expect_spread(&mut stage);
        stage.expect_answers(LONG);
        stage.judge(Weather::Fair);
        stage.expect_empty_after_drain();
    });
}

#[test]
fn an_ingress_that_was_lost_gets_all_tunnels_back() {
    for death in [Death::Reset, Death::Vanish] {
        seeds(32, |seed| {
            let mut stage = Stage::new(seed, two(Plan::calm()).with_agents(2));
            stage.expect_ready(Duration::from_secs(5));
            invite(&mut stage, 3, 4);
            let wait = stage.below(1_000);
            stage.world.run_for(Duration::from_millis(wait));
            stage.world.kill(stage.ingress, death);
            let away = stage.below(60);
            stage.world.run_for(Duration::from_secs(away));
            stage.restart_ingress();
            stage.expect_ready(2 * RECONNECTED + stage.plan.agent.timeouts.connect);
            expect_spread(&mut stage);
            stage.expect_endings();
            stage.judge(Weather::Foul);
            stage.probe();
            stage.expect_empty_after_drain();
        });
    }
}

#[test]
fn an_ingress_that_drains_is_served_by_all_tunnels_until_it_leaves() {
    seeds(48, |seed| {
        let mut stage = Stage::new(seed, two(Plan::drawn(FaultRates::mild())));
        stage.expect_ready(Duration::from_secs(60));
        invite(&mut stage, 4, 6);
        let wait = stage.below(500);
        stage.world.run_for(Duration::from_millis(wait));
        let ingress = stage.ingress;
        stage.world.drain(ingress);
        let gone = move |world: &World| world.life(ingress) == Life::Exited;
        stage.world.expect("the ingress leaves", gone, Duration::from_secs(27));
        stage.restart_ingress();
        stage.expect_endings();
        stage.expect_ready(2 * RECONNECTED);
        expect_spread(&mut stage);
        stage.probe();
        stage.expect_empty_after_drain();
    });
}

#[test]
fn all_tunnels_are_replaced_when_their_proofs_are_old_and_stay_spread() {
    seeds(8, |seed| {
        let cloud = fast();
        let calm = two(Plan::calm()).with_agents(2);
        let mut stage = staged(seed, calm, vec![rule("agents", &[HOST])], &cloud);
        stage.expect_ready(Duration::from_secs(10));
        stage.world.run_for(LIFETIME - RENEWING - Duration::from_secs(40));
        assert_eq!(cloud.sky().asked.proofs, 4, "each tunnel proves who its agent is");
        for _ in 0..120 {
            stage.probe();
            stage.world.run_for(Duration::from_secs(1));
        }
        assert_eq!(cloud.sky().asked.proofs, 8);
        stage.world.run_for(Duration::from_secs(400));
        stage.expect_ready(Duration::from_secs(1));
        expect_spread(&mut stage);
        stage.probe();
    });
}

#[test]
fn the_health_of_the_service_is_told_by_all_tunnels() {
    seeds(32, |seed| {
        let mut stage = Stage::new(seed, two(Plan::calm()).with_agents(2));
        stage.expect_ready(Duration::from_secs(5));
        let (ingress, service) = (stage.ingress, stage.services[0]);
        let healthy = |count| move |world: &World| census(world, ingress).healthy == count;
        stage.world.peer_mut::<HttpService>(service).health = Health::Down;
        stage.world.expect("two tunnels less", healthy(2), Duration::from_secs(22));
        invite(&mut stage, 4, 5);
        stage.expect_answers(LONG);
        stage.judge(Weather::Fair);
        stage.world.peer_mut::<HttpService>(service).health = Health::Up;
        stage.world.expect("and two more", healthy(4), Duration::from_secs(22));
        stage.expect_empty_after_drain();
    });
}

#[test]
fn a_service_that_refuses_is_looked_at_whichever_worker_finds_out() {
    seeds(32, |seed| {
        let mut stage = Stage::new(seed, two(Plan::calm()));
        stage.expect_ready(Duration::from_secs(5));
        stage.world.set_answer("service0:3000", Answer::Refuse);
        let (agent, service, ingress) = (stage.agents[0], stage.services[0], stage.ingress);
        stage.world.strike(agent, service, Fault::Cut);
        invite(&mut stage, 4, 1);
        stage.expect_answers(LONG);
        let unhealthy = move |world: &World| census(world, ingress).healthy == 0;
        stage.world.expect("both tunnels say so", unhealthy, Duration::from_secs(3));
        stage.world.set_answer("service0:3000", Answer::Accept);
        stage.expect_ready(Duration::from_secs(10));
        stage.probe();
        stage.expect_empty_after_drain();
    });
}

#[test]
fn nothing_goes_to_a_tunnel_that_its_agent_has_replaced() {
    seeds(32, |seed| {
        let mut stage = Stage::new(seed, Plan::calm().with_workers(2).with_agents(0));
        let hello = r#","process":"one","lane":1"#;
        let answering = || {
            puppet_of(hello, HOST, |frame: &crate::puppet::Frame, act| match frame.kind {
                REQUEST => {
                    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    act.send(&self::frame(RESPONSE, END, frame.stream, head));
                }
                _ => act.be_polite(frame),
            })
        };
        let silent = puppet_of(hello, HOST, |frame, act| {
            assert_ne!(frame.kind, REQUEST, "its agent does not have it any more");
            if frame.kind == ECHO {
                act.be_polite(frame);
            }
        });
        let ingress = stage.ingress;
        let serving = |wanted| {
            move |world: &World| {
                let census = census(world, ingress);
                (census.tunnels, census.healthy) == (wanted, wanted)
            }
        };
        // With another agent at the first worker, the lost tunnel is at the second one.
        let others = usize::from(seed % 2 == 1);
        if others > 0 {
            let other = puppet_of("", "b.example", |frame, act| act.be_polite(frame));
            stage.world.add_peer("other", other, &[]);
            stage.expect_known(Duration::from_secs(5));
        }
        let soon = Duration::from_secs(5);
        stage.world.add_peer("lost", silent, &[]);
        stage.world.expect("it is registered", serving(others + 1), soon);
        let there = stage.world.add_peer("there", answering(), &[]);
        let is_welcome = move |world: &World| {
            let puppet = &world.peer::<RawPeer<Puppet>>(there).state;
            !puppet.seen.is_empty() && serving(others + 1)(world)
        };
        stage.world.expect("the other one is there in its place", is_welcome, soon);
        let ask = || Ask::new(Request::get(HOST, "/bytes/0"));
        for _ in 0..4 {
            stage.add_caller((0..4).map(|_| ask()).collect(), |client| client);
        }
        stage.expect_answers(Duration::from_secs(5));
        for caller in &stage.callers {
            let responses = stage.responses(caller.node);
            assert!(responses.iter().all(|response| response.is(200)), "{responses:?}");
        }
    });
}
