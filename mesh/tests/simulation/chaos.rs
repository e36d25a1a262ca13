//! Everything happens at any time; afterwards everything is as it should be.

use std::time::Duration;

use mesh_sim::peers::{Health, HttpService, Reading};
use mesh_sim::{Answer, Death, Fault, FaultRates, Life, NodeId, seeds};

use crate::ask::{Ask, Weather};
use crate::stage::{Plan, Stage};

#[test]
fn the_mesh_outlives_whatever_happens_to_its_parts() {
    seeds(128, |seed| {
        let faults = if seed % 2 == 0 { FaultRates::mild() } else { FaultRates::rough() };
        let mut plan = Plan::drawn(faults).with_agents(3);
        if seed % 3 == 0 {
            plan = plan.with_agent_workers(2, 2);
        }
        let mut stage = Stage::new(seed, plan);
        stage.expect_known(Duration::from_secs(600));
        invite(&mut stage);
        for _ in 0..12 {
            let pause = stage.below(4_000);
            stage.world.run_for(Duration::from_millis(pause));
            befall(&mut stage);
        }
        restore(&mut stage);
        stage.expect_endings();
        stage.judge(Weather::Foul);
        stage.clear_up();
        stage.expect_ready(Duration::from_secs(120));
        stage.probe();
        stage.expect_empty_after_drain();
    });
}

fn invite(stage: &mut Stage) {
    for _ in 0..6 {
        let mut asks = Vec::new();
        for _ in 0..8 {
            let pause = Duration::from_millis(stage.below(3_000));
            let mut ask = Ask::draw(stage.rng(), 17);
            ask.request = ask.request.after(pause);
            asks.push(ask);
        }
        let slow = stage.below(4) == 0;
        let pace = Reading::Slow(4_096, Duration::from_millis(10));
        stage.add_caller(asks, |client| if slow { client.reading(pace) } else { client });
    }
}

/// Something happens to somebody.
fn befall(stage: &mut Stage) {
    let number = usize::try_from(stage.below(3)).expect("small");
    let (agent, service, ingress) = (stage.agents[number], stage.services[number], stage.ingress);
    let address = format!("service{number}:3000");
    let stall = Fault::Stall(Duration::from_millis(stage.below(20_000)));
    match stage.below(16) {
        0 => stage.world.kill(agent, Death::Reset),
        1 => stage.world.kill(agent, Death::Vanish),
        2 => stage.world.drain(agent),
        3 | 4 => stage.restart_agent(number),
        5 => stage.world.freeze(agent),
        6 => stage.world.thaw(agent),
        7 => stage.restart_ingress(),
        8 => stage.world.freeze(ingress),
        9 => stage.world.thaw(ingress),
        10 => stage.world.strike(agent, ingress, Fault::Cut),
        11 => stage.world.strike(agent, ingress, stall),
        12 => stage.world.strike(agent, ingress, Fault::Blackhole),
        13 => {
            stage.world.set_answer(&address, Answer::Refuse);
            stage.world.strike(service, agent, Fault::Cut);
        }
        14 => stage.world.set_answer(&address, Answer::Accept),
        _ => {
            let health = [Health::Up, Health::Down, Health::Silent][number];
            stage.world.peer_mut::<HttpService>(service).health = health;
        }
    }
}

/// Everybody is there again.
fn restore(stage: &mut Stage) {
    let needs_restart =
        |stage: &Stage, id: NodeId| matches!(stage.world.life(id), Life::Exited | Life::Vanished);
    for number in 0..stage.agents.len() {
        stage.world.thaw(stage.agents[number]);
        if needs_restart(stage, stage.agents[number]) {
            stage.restart_agent(number);
        }
        stage.world.set_answer(&format!("service{number}:3000"), Answer::Accept);
        stage.world.peer_mut::<HttpService>(stage.services[number]).health = Health::Up;
    }
    stage.world.thaw(stage.ingress);
    if needs_restart(stage, stage.ingress) {
        stage.restart_ingress();
    }
    // An agent that was asked to leave may do so only now.
    stage.world.run_for(Duration::from_secs(40));
    for number in 0..stage.agents.len() {
        if needs_restart(stage, stage.agents[number]) {
            stage.restart_agent(number);
        }
    }
}
