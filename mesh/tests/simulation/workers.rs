//! Several workers: callers whose every request is for an agent of another worker than the last
//! one. All other histories run with two or three workers too, in half of their seeds.

use std::time::Duration;

use mesh_ingress::Ingress;
use mesh_sim::peers::{HttpClient, Request, Vanish, pattern};
use mesh_sim::{Answer, Death, Fault, FaultRates, Life, World, seeds};

use crate::ask::{Ask, Weather};
use crate::stage::{HOST, Plan, Stage, TRAFFIC_ADDRESS, own_host};

/// Longer than anything takes on the slowest links.
const LONG: Duration = Duration::from_secs(3_600);

/// As many agents as workers, so that each worker has one.
fn spread(seed: u64, faults: FaultRates) -> Plan {
    let workers = if seed.is_multiple_of(2) { 2 } else { 3 };
    let mut plan = Plan::drawn(faults).with_agents(workers.into()).with_workers(workers);
    plan.own_hosts = true;
    plan
}

/// A request for the host of one agent.
fn draw(stage: &mut Stage, host: &str) -> Ask {
    let size = usize::try_from(stage.below(200_000)).expect("small");
    let body = pattern(size);
    match stage.below(4) {
        0 => Ask::sending(Request::post(host, "/upload", &body), body),
        1 => Ask::sending(Request::post_chunked(host, "/echo", &body, 1_000), body),
        2 => Ask::new(Request::get(host, &format!("/slow/{}", size % 300))),
        _ => Ask::new(Request::get(host, &format!("/bytes/{size}"))),
    }
}

/// Callers that go round the agents, with requests of all kinds.
fn invite(stage: &mut Stage, callers: usize, count: usize) {
    let agents = stage.agents.len();
    for first in 0..callers {
        let hosts = (0..count).map(|turn| own_host((first + turn) % agents));
        let asks = hosts.map(|host| draw(stage, &host)).collect();
        stage.add_caller(asks, |client| client);
    }
}

fn moves(stage: &Stage) -> u64 {
    stage.workers.iter().map(|id| stage.world.app::<Ingress>(*id).moves()).sum()
}

fn every_request_moves(seed: u64, faults: FaultRates) {
    let mut stage = Stage::new(seed, spread(seed, faults));
    stage.expect_ready(Duration::from_secs(60));
    invite(&mut stage, 4, 8);
    stage.expect_answers(LONG);
    stage.judge(Weather::Fair);
    // Not each one: a caller whose connection ended begins at the first worker again.
    assert!(moves(&stage) >= 4 * 4, "{} moves", moves(&stage));
    stage.expect_empty_after_drain();
}

#[test]
fn every_request_moves_and_is_answered_right() {
    seeds(128, |seed| every_request_moves(seed, FaultRates::none()));
}

#[test]
fn every_request_moves_and_is_answered_right_whatever_delays_it() {
    seeds(128, |seed| every_request_moves(seed, FaultRates::mild()));
}

#[test]
fn pipelined_requests_travel_with_their_connection() {
    seeds(64, |seed| {
        let mut stage = Stage::new(seed, spread(seed, FaultRates::mild()));
        stage.expect_ready(Duration::from_secs(60));
        let agents = stage.agents.len();
        for _ in 0..3 {
            let ask = |turn: usize| Request::get(&own_host(turn % agents), "/bytes/3000");
            let asks = (0..12).map(|turn| Ask::new(ask(turn))).collect();
            stage.add_caller(asks, |client| client.pipelined());
        }
        stage.expect_answers(LONG);
        stage.judge(Weather::Fair);
        assert!(moves(&stage) >= 3 * 11, "{} moves", moves(&stage));
        stage.expect_empty_after_drain();
    });
}

#[test]
fn a_tunnel_may_be_lost_while_callers_are_on_their_way_to_it() {
    seeds(128, |seed| {
        let mut stage = Stage::new(seed, spread(seed, FaultRates::none()));
        stage.expect_ready(Duration::from_secs(60));
        invite(&mut stage, 6, 10);
        for _ in 0..3 {
            let number = usize::try_from(stage.below(stage.agents.len() as u64)).expect("few");
            let (wait, agent) = (stage.below(200_000), stage.agents[number]);
            stage.world.run_for(Duration::from_micros(wait));
            if stage.below(2) == 0 {
                stage.world.strike(agent, stage.ingress, Fault::Cut);
                continue;
            }
            stage.world.kill(agent, Death::Reset);
            let wait = stage.below(2_000);
            stage.world.run_for(Duration::from_millis(wait));
            stage.restart_agent(number);
        }
        stage.expect_answers(LONG);
        stage.judge(Weather::Foul);
        stage.expect_ready(Duration::from_secs(120));
        stage.probe();
        stage.expect_empty_after_drain();
    });
}

#[test]
fn a_caller_whose_reset_comes_with_its_request_is_on_its_way_to_nobody() {
    seeds(64, |seed| {
        let mut stage = Stage::new(seed, spread(seed, FaultRates::none()));
        stage.expect_ready(Duration::from_secs(60));
        let agents = stage.agents.len();
        for first in 0..8 {
            let script: Vec<_> =
                (0..2).map(|turn| Request::get(&own_host((first + turn) % agents), "/")).collect();
            let limit = script.iter().map(|request| request.head.len() as u64).sum();
            let caller = HttpClient::new(TRAFFIC_ADDRESS, script)
                .vanishing(Vanish::ResetAfterSending(limit));
            let caller = stage.world.add_peer("caller", caller, &[]);
            stage.world.set_links(caller, stage.ingress, stage.plan.caller_links);
        }
        stage.expect_empty_after_drain();
    });
}

#[test]
fn what_no_service_got_at_one_worker_is_served_at_another() {
    seeds(64, |seed| {
        let mut stage = Stage::new(seed, spread(seed, FaultRates::none()));
        stage.expect_ready(Duration::from_secs(60));
        // The agent of the second worker believes in a service that is gone.
        stage.world.set_answer("service1:3000", Answer::Refuse);
        let (service, agent) = (stage.services[1], stage.agents[1]);
        stage.world.strike(service, agent, Fault::Cut);
        for _ in 0..4 {
            // Bodies that are kept for a second agent, and answers that begin before they end.
            let asks = (0..6).map(|_| {
                let size = usize::try_from(stage.below(60_000)).expect("small");
                let body = pattern(size);
                match stage.below(4) {
                    0 => Ask::sending(Request::post(HOST, "/upload", &body), body),
                    3 => Ask::sending(Request::post_chunked(HOST, "/upload", &[], 1), Vec::new()),
                    1 => Ask::sending(Request::post_chunked(HOST, "/echo", &body, 1_000), body),
                    _ => Ask::new(Request::get(HOST, &format!("/bytes/{size}"))),
                }
            });
            let asks = asks.collect();
            stage.add_caller(asks, |client| client);
        }
        stage.expect_answers(LONG);
        stage.judge(Weather::Fair);
        stage.world.set_answer("service1:3000", Answer::Accept);
        stage.expect_empty_after_drain();
    });
}

#[test]
fn all_workers_drain_together() {
    seeds(64, |seed| {
        let mut stage = Stage::new(seed, spread(seed, FaultRates::mild()));
        stage.expect_ready(Duration::from_secs(60));
        invite(&mut stage, 4, 6);
        let wait = stage.below(500);
        stage.world.run_for(Duration::from_millis(wait));
        let ingress = stage.ingress;
        stage.world.drain(ingress);
        let gone = move |world: &World| world.life(ingress) == Life::Exited;
        stage.world.expect("the ingress leaves", gone, Duration::from_secs(27));
        for worker in &stage.workers {
            assert_eq!(stage.world.life(*worker), Life::Exited);
        }
        stage.restart_ingress();
        stage.expect_endings();
        stage.expect_ready(Duration::from_secs(120));
        stage.probe();
        stage.expect_empty_after_drain();
    });
}
