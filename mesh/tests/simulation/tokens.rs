//! Agents whose token is another one while they run. Whoever forges has one that the ingress does not know.

use std::time::Duration;

use mesh_agent::Agent;
use mesh_agent::identity::Answer;
use mesh_sim::peers::Request;
use mesh_sim::{World, seeds};

use crate::ask::Ask;
use crate::cloud::Cloud;
use crate::identity::{fast, plan, rule};
use crate::stage::{HOST, Plan, Stage, agent_census, census};
use crate::wear::wear;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A stage whose ingress asks for a proof once.
fn staged(seed: u64, calm: Plan, cloud: &Cloud) -> Stage {
    let mut plan = plan(calm, vec![rule("agents", &[HOST])], cloud);
    plan.ingress.identity.lifetime = 24 * HOUR;
    Stage::new(seed, plan)
}

/// The file has another token, which the ingress knows or does not.
fn replace_token(stage: &mut Stage, cloud: &Cloud, is_known: bool) {
    cloud.sky().forgers.clear();
    if !is_known {
        cloud.sky().forgers.insert(0);
    }
    let agent = stage.agents[0];
    stage.world.driver_mut::<Agent>(agent).handle_answer(Answer::NewToken);
}

/// What the agent says of itself.
fn health(stage: &mut Stage) -> String {
    stage.page_of("agent0:8081", "/health")
}

fn expect_another_tunnel(stage: &mut Stage, cloud: &Cloud, limit: Duration) {
    let (ingress, before, cloud) = (stage.ingress, cloud.sky().asked.proofs, cloud.clone());
    let is_there = move |world: &World| {
        cloud.sky().asked.proofs > before && census(world, ingress).tunnels == 1
    };
    stage.world.expect("only the other tunnel is there", is_there, limit);
}

#[test]
fn an_agent_whose_new_token_is_refused_serves_on() {
    seeds(4, |seed| {
        let cloud = fast();
        let mut stage = staged(seed, Plan::calm().with_agent_workers(2, 1), &cloud);
        stage.expect_ready(Duration::from_secs(10));
        // The agent hears of it, too.
        stage.world.run_for(Duration::from_secs(1));
        replace_token(&mut stage, &cloud, false);
        for _ in 0..130 {
            let page = health(&mut stage);
            assert!(page.contains(r#""status":"healthy","tunnels":1,"#), "{page}");
            stage.probe();
            stage.world.run_for(MINUTE);
        }
        replace_token(&mut stage, &cloud, true);
        expect_another_tunnel(&mut stage, &cloud, Duration::from_secs(3));
        stage.probe();
        let page = health(&mut stage);
        assert!(page.contains(r#""status":"healthy","tunnels":1,"#), "{page}");
    });
}

#[test]
fn an_agent_that_waits_tries_a_new_token_at_once() {
    seeds(16, |seed| {
        let cloud = fast();
        cloud.sky().forgers.insert(0);
        let mut stage = staged(seed, Plan::calm(), &cloud);
        stage.world.run_for(5 * MINUTE);
        assert_eq!(stage.tunnels(), 0);
        replace_token(&mut stage, &cloud, true);
        stage.expect_tunnels(1, Duration::from_secs(2));
    });
}

/// It has shown the former one, which may be taken back.
#[test]
fn a_tunnel_that_waits_for_its_welcome_gives_way_to_one_with_the_new_token() {
    seeds(16, |seed| {
        let cloud = fast();
        cloud.sky().latency = Duration::from_secs(10);
        let mut stage = staged(seed, Plan::calm(), &cloud);
        stage.world.run_for(Duration::from_secs(2));
        assert_eq!(cloud.sky().asked.proofs, 1, "the former one is being looked at");
        cloud.sky().latency = Duration::from_millis(30);
        replace_token(&mut stage, &cloud, true);
        stage.expect_tunnels(1, Duration::from_secs(3));
        stage.world.run_for(MINUTE);
        assert_eq!((stage.tunnels(), cloud.sky().asked.proofs), (1, 2));
    });
}

/// Until then it tries again in its own time.
#[test]
fn an_agent_whose_new_token_was_refused_makes_haste_once_its_old_tunnel_is_to_end() {
    seeds(16, |seed| {
        let cloud = fast();
        let mut stage = staged(seed, Plan::calm(), &cloud);
        stage.expect_ready(Duration::from_secs(10));
        // The agent hears of it, too.
        stage.world.run_for(Duration::from_secs(1));
        replace_token(&mut stage, &cloud, false);
        stage.world.run_for(5 * MINUTE);
        cloud.sky().forgers.clear();
        let agent = stage.agents[0];
        wear::<Agent>(&mut stage.world, agent);
        stage.add_caller(vec![Ask::new(Request::get(HOST, "/bytes/1"))], |client| client);
        expect_another_tunnel(&mut stage, &cloud, Duration::from_secs(3));
    });
}

/// The ingress lets go of an old tunnel after its last request.
#[test]
fn old_tunnels_with_long_requests_stay_few_however_often_the_token_changes() {
    seeds(4, |seed| {
        let cloud = fast();
        let mut stage = staged(seed, Plan::calm().with_agent_workers(2, 1), &cloud);
        stage.expect_ready(Duration::from_secs(10));
        let mut most = 0;
        for _ in 0..6 {
            stage.add_caller(vec![Ask::new(Request::get(HOST, "/hang"))], |client| client);
            stage.world.run_for(Duration::from_secs(1));
            replace_token(&mut stage, &cloud, true);
            stage.world.run_for(Duration::from_secs(4));
            most = most.max(agent_census(&stage.world, stage.agents[0]).tunnels);
        }
        assert_eq!(most, 3, "the present one and two old ones");
        let ask = Ask::new(Request::get(HOST, "/bytes/1"));
        let caller = stage.add_caller(vec![ask], |client| client);
        stage.world.run_for(Duration::from_secs(1));
        assert!(stage.responses(caller)[0].is(200), "{:?}", stage.responses(caller));
    });
}
