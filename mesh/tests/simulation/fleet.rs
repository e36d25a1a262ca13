//! Several ingresses behind one load balancer, and agents with tunnels to each of them: ingresses
//! and agents are restarted one after the other, as a deployment does it, and no request fails.

use std::time::Duration;

use mesh_sim::{FaultRates, Life, NodeId, World, seeds};

use crate::ask::{Ask, Weather};
use crate::stage::{Plan, Stage, TRAFFIC_ADDRESS, TUNNEL_ADDRESS, census};

/// A stage whose usual addresses are those of a load balancer in front of several ingresses.
struct Fleet {
    stage: Stage,
    /// The workers of each ingress.
    ingresses: Vec<Vec<NodeId>>,
}

/// Whom the load balancer sends nobody to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Without {
    Nobody,
    Ingress(usize),
}

impl Fleet {
    fn new(seed: u64, plan: Plan, ingresses: usize) -> Self {
        let mut stage = Stage::new(seed, plan);
        let links = stage.plan.tunnel_links;
        stage.world.set_default_links(links);
        let mut all = vec![stage.workers.clone()];
        for number in 1..ingresses {
            let (name, workers) = (name_of(number), stage.plan.workers_at(seed + number as u64));
            all.push(stage.plan.add_ingress(&mut stage.world, &name, workers));
        }
        let mut fleet = Self { stage, ingresses: all };
        fleet.balance(Without::Nobody);
        fleet
    }

    /// Callers and agents are sent to these ingresses from now on.
    fn balance(&mut self, without: Without) {
        self.balance_callers(without);
        self.balance_agents(without);
    }

    fn balance_callers(&mut self, without: Without) {
        self.pool(TRAFFIC_ADDRESS, without);
    }

    fn balance_agents(&mut self, without: Without) {
        self.pool(TUNNEL_ADDRESS, without);
    }

    fn pool(&mut self, address: &str, without: Without) {
        let (_, port) = address.split_once(':').expect("an address has a port");
        let those = (0..self.ingresses.len()).filter(|number| without != Without::Ingress(*number));
        let members: Vec<_> = those.map(|number| format!("{}:{port}", name_of(number))).collect();
        let members: Vec<_> = members.iter().map(String::as_str).collect();
        self.stage.world.set_pool(address, &members);
    }

    /// Callers that ask small things now and then.
    fn invite(&mut self) {
        for _ in 0..4 {
            let mut asks = Vec::new();
            for _ in 0..8 {
                let pause = Duration::from_millis(self.stage.below(600));
                let mut ask = Ask::draw(self.stage.rng(), 14);
                ask.request = ask.request.after(pause);
                asks.push(ask);
            }
            self.stage.add_caller(asks, |client| client);
        }
    }

    /// Runs until each agent has all its tunnels to each ingress.
    fn expect_complete(&mut self, limit: Duration) {
        let of_each = self.stage.plan.agent.limits.tunnels_per_ingress;
        let wanted = self.stage.agents.len() * of_each;
        let ingresses: Vec<_> = self.ingresses.iter().map(|workers| workers[0]).collect();
        let complete = move |world: &World| {
            ingresses.iter().all(|ingress| {
                let census = census(world, *ingress);
                (census.tunnels, census.healthy) == (wanted, wanted)
            })
        };
        self.stage.world.expect("each agent is at each ingress", complete, limit);
    }

    /// SIGTERM, until the process is gone.
    fn leave(&mut self, process: NodeId) {
        self.stage.world.drain(process);
        let gone = move |world: &World| world.life(process) == Life::Exited;
        self.stage.world.expect("the process leaves", gone, Duration::from_secs(40));
    }

    fn restart_ingress(&mut self, number: usize) {
        self.balance(Without::Ingress(number));
        self.leave(self.ingresses[number][0]);
        self.stage.restart_ingress_of(&self.ingresses[number]);
        // Callers come once the agents have found it.
        self.balance_agents(Without::Nobody);
    }

    fn restart_agent(&mut self, number: usize) {
        self.leave(self.stage.agents[number]);
        self.stage.restart_agent(number);
    }
}

/// The first one is the ingress of the stage.
fn name_of(ingress: usize) -> String {
    if ingress == 0 { "ingress".to_owned() } else { format!("ingress{ingress}") }
}

#[test]
fn ingresses_and_agents_restart_one_after_the_other_without_a_failed_request() {
    seeds(12, |seed| {
        let (ingresses, agents) = (2 + (seed % 2) as usize, 2 + (seed / 2 % 2) as usize);
        let mut plan = Plan::drawn(FaultRates::mild()).with_agents(agents);
        if seed % 3 == 0 {
            plan = plan.with_agent_workers(2, 2);
        }
        plan.agent.limits.tunnels = ingresses;
        let mut fleet = Fleet::new(seed, plan, ingresses);
        fleet.expect_complete(Duration::from_secs(600));
        for round in 0..ingresses + agents {
            fleet.invite();
            let wait = fleet.stage.below(1_500);
            fleet.stage.world.run_for(Duration::from_millis(wait));
            match round.checked_sub(ingresses) {
                None => fleet.restart_ingress(round),
                Some(agent) => fleet.restart_agent(agent),
            }
            fleet.expect_complete(Duration::from_secs(900));
            fleet.balance_callers(Without::Nobody);
        }
        fleet.stage.expect_answers(Duration::from_secs(600));
        fleet.stage.judge(Weather::Fair);
    });
}
