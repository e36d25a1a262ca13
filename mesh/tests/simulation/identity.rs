//! Agents that have to prove who they are, and go on proving it.

use std::time::Duration;

use mesh_ingress::identity::{
    ArnPattern, ClusterPattern, HostPattern, LaunchType, Policy, Rule, Tokens, Who,
};
use mesh_ingress::jobs::Answer;
use mesh_ingress::{Admission, IdentityChecks, Ingress};
use mesh_sim::peers::Request;
use mesh_sim::{Death, Fault, FaultRates, Life, LinkConfig, LinkRules, World, seeds};

use crate::ask::{Ask, Weather};
use crate::cloud::{Asked, Cloud};
use crate::stage::{HOST, Plan, Stage, agent_census};

/// Between two questions to ECS, and how long its silence is borne.
pub(crate) const RECHECK: Duration = Duration::from_secs(60);
pub(crate) const GRACE: Duration = Duration::from_secs(300);
/// How long a proof is good for.
pub(crate) const LIFETIME: Duration = Duration::from_secs(3600);
/// How long before that the agent is asked for another one.
pub(crate) const RENEWING: Duration = Duration::from_secs(300);

pub(crate) fn rule(role: &str, hosts: &[&str]) -> Rule {
    let arn = format!("arn:aws:iam::123456789012:role/{role}");
    Rule {
        who: Who::Arn(ArnPattern::parse(&arn).unwrap()),
        cluster: None,
        service: None,
        launch_type: None,
        hosts: hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect(),
    }
}

/// Only tasks in that cluster.
pub(crate) fn rule_of_tasks() -> Rule {
    let cluster = Some(ClusterPattern::parse("production").unwrap());
    Rule { cluster, launch_type: Some(LaunchType::External), ..rule("agents", &[HOST]) }
}

pub(crate) fn policy(rules: Vec<Rule>) -> Policy {
    Policy::new(rules, Vec::new(), Tokens::default())
}

/// A plan whose ingress measures by these rules.
pub(crate) fn plan(mut plan: Plan, rules: Vec<Rule>, cloud: &Cloud) -> Plan {
    plan.ingress.admission = Admission::Policy(Box::new(policy(rules)));
    plan.ingress.identity = IdentityChecks {
        server_ids: vec!["ingress".to_owned()],
        nonce_key: [7; 32],
        sts_host: None,
        recheck: RECHECK,
        lifetime: LIFETIME,
        grace: GRACE,
    };
    plan.cloud = Some(cloud.clone());
    plan
}

pub(crate) fn fast() -> Cloud {
    Cloud::new(Duration::from_millis(30))
}

/// A stage whose ingress measures by these rules.
pub(crate) fn staged(seed: u64, calm: Plan, rules: Vec<Rule>, cloud: &Cloud) -> Stage {
    Stage::new(seed, plan(calm, rules, cloud))
}

#[test]
fn agents_that_prove_who_they_are_serve_on_any_links() {
    seeds(48, |seed| {
        let cloud = fast();
        let rules = vec![rule_of_tasks()];
        let drawn = Plan::drawn(FaultRates::mild()).with_agents(3);
        let mut stage = staged(seed, drawn, rules, &cloud);
        stage.expect_ready(Duration::from_secs(120));
        let ask = || Ask::new(Request::get(HOST, "/bytes/5000"));
        stage.add_caller((0..10).map(|_| ask()).collect(), |client| client);
        stage.expect_answers(Duration::from_secs(600));
        stage.judge(Weather::Fair);
        stage.expect_empty_after_drain();
    });
}

/// It may be welcome without being asked, so it waits for that; asked, it is not welcome yet.
#[test]
fn an_agent_that_is_about_to_leave_does_not_prove_who_it_is() {
    seeds(8, |seed| {
        let cloud = fast();
        let mut plan = plan(Plan::calm(), vec![rule("agents", &[HOST])], &cloud);
        let latency = Duration::from_millis(50);
        plan.tunnel_links = LinkRules::fixed(LinkConfig { latency, ..LinkConfig::fast() });
        let mut stage = Stage::new(seed, plan);
        // By then its HELLO is under way.
        stage.world.run_for(Duration::from_millis(250));
        let agent = stage.agents[0];
        assert_eq!(agent_census(&stage.world, agent).tunnels, 1);
        stage.world.drain(agent);
        let gone = move |world: &World| world.life(agent) == Life::Exited;
        stage.world.expect("the agent leaves", gone, Duration::from_secs(1));
        stage.world.run_for(Duration::from_secs(1));
        assert_eq!(cloud.sky().asked, Asked::default());
    });
}

#[test]
fn an_agent_that_is_still_to_make_its_proof_leaves_at_once() {
    seeds(8, |seed| {
        let cloud = fast();
        cloud.sky().signing = Duration::from_secs(20);
        let plan = plan(Plan::calm(), vec![rule("agents", &[HOST])], &cloud);
        let mut stage = Stage::new(seed, plan);
        stage.world.run_for(Duration::from_secs(5));
        let agent = stage.agents[0];
        stage.world.drain(agent);
        let gone = move |world: &World| world.life(agent) == Life::Exited;
        stage.world.expect("the agent leaves", gone, Duration::from_secs(1));
        assert_eq!(cloud.sky().asked, Asked::default());
    });
}

/// The ingress waits 10 s for a proof, and the next one is made of what was found meanwhile.
#[test]
fn an_agent_that_finds_its_credentials_too_late_uses_them_the_next_time() {
    seeds(8, |seed| {
        let cloud = fast();
        cloud.sky().searching = Duration::from_secs(12);
        let plan = plan(Plan::calm(), vec![rule("agents", &[HOST])], &cloud);
        Stage::new(seed, plan).expect_ready(Duration::from_secs(30));
    });
}

/// It may be welcome by then, and have requests.
#[test]
fn an_agent_that_has_given_its_proof_awaits_the_answer_before_it_leaves() {
    seeds(8, |seed| {
        let cloud = fast();
        cloud.sky().latency = Duration::from_secs(10);
        let mut stage = staged(seed, Plan::calm(), vec![rule("agents", &[HOST])], &cloud);
        stage.world.run_for(Duration::from_secs(2));
        assert_eq!(cloud.sky().asked.proofs, 1, "the proof is given");
        let agent = stage.agents[0];
        stage.world.drain(agent);
        stage.world.run_for(Duration::from_secs(5));
        assert_eq!(stage.world.life(agent), Life::Running, "it is still to be answered");
        let gone = move |world: &World| world.life(agent) == Life::Exited;
        stage.world.expect("the agent leaves", gone, Duration::from_secs(6));
    });
}

/// Each agent knows it by the one that it dials, and proves nothing to another one.
#[test]
fn an_ingress_of_several_names_calls_itself_as_it_was_dialled() {
    seeds(4, |seed| {
        let cloud = fast();
        let mut plan = plan(Plan::calm(), vec![rule("agents", &[HOST])], &cloud);
        plan.ingress.identity.server_ids.insert(0, "other.example".to_owned());
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(10));
    });
}

#[test]
fn whoever_signs_with_another_key_is_never_registered() {
    seeds(8, |seed| {
        let cloud = fast();
        cloud.sky().forgers.insert(1);
        let calm = Plan::calm().with_agents(2);
        let mut stage = staged(seed, calm, vec![rule("agents", &[HOST])], &cloud);
        stage.world.run_for(Duration::from_secs(300));
        assert_eq!(stage.tunnels(), 1);
        assert!(cloud.sky().asked.proofs > 5, "it tried again, with pauses");
    });
}

#[test]
fn what_no_rule_allows_is_refused_before_ecs_is_asked() {
    seeds(8, |seed| {
        let cloud = fast();
        let rules = vec![rule("others", &[HOST]), rule("agents", &["b.example"])];
        let mut stage = staged(seed, Plan::calm(), rules, &cloud);
        stage.world.run_for(Duration::from_secs(100));
        assert_eq!(stage.tunnels(), 0);
        assert_eq!(cloud.sky().asked.descriptions, 0);
    });
}

#[test]
fn a_proof_is_given_again_after_its_lifetime_without_a_gap() {
    seeds(8, |seed| {
        let cloud = fast();
        let calm = Plan::calm().with_agents(1);
        let mut stage = staged(seed, calm, vec![rule("agents", &[HOST])], &cloud);
        stage.expect_ready(Duration::from_secs(10));
        assert_eq!(cloud.sky().asked.proofs, 1);
        // It is asked for the next one a little earlier than it has to be.
        stage.world.run_for(LIFETIME - RENEWING - Duration::from_secs(40));
        assert_eq!(cloud.sky().asked.proofs, 1, "it is good for that long");
        for _ in 0..60 {
            stage.probe();
            stage.world.run_for(Duration::from_secs(1));
        }
        assert_eq!(cloud.sky().asked.proofs, 2, "and no longer");
        // Whose credentials were taken away is out when the proof is too old, and not before.
        cloud.sky().forgers.insert(0);
        stage.world.run_for(LIFETIME - Duration::from_secs(140));
        stage.probe();
        stage.expect_tunnels(0, Duration::from_secs(140));
    });
}

/// As it is with ECS: what cannot be proved again is as good as it was, for a while.
#[test]
fn while_sts_is_silent_old_proofs_are_good_for_a_while() {
    seeds(8, |seed| {
        let cloud = fast();
        let calm = Plan::calm().with_agents(3);
        let mut stage = staged(seed, calm, vec![rule("agents", &[HOST])], &cloud);
        stage.expect_ready(Duration::from_secs(10));
        stage.world.run_for(LIFETIME - RENEWING - Duration::from_secs(60));
        cloud.sky().is_down = true;
        stage.world.run_for(RENEWING + GRACE);
        assert_eq!(stage.tunnels(), 3, "registrations are kept");
        stage.probe();
        cloud.sky().is_down = false;
        for _ in 0..180 {
            stage.world.run_for(Duration::from_secs(1));
            assert!(stage.tunnels() >= 3, "and have time to be renewed");
        }
        assert_eq!(stage.tunnels(), 3);

        stage.world.run_for(LIFETIME - RENEWING - Duration::from_secs(300));
        cloud.sky().is_down = true;
        stage.world.run_for(RENEWING);
        assert_eq!(stage.tunnels(), 3);
        stage.expect_tunnels(0, GRACE + Duration::from_secs(300));
    });
}

/// Whoever could have come again by then and did not, or was not let in, has no more of the silence.
#[test]
fn when_sts_speaks_again_old_proofs_are_good_until_their_agents_could_have_come_again() {
    const RETURN_TIME: Duration = Duration::from_secs(120);
    seeds(4, |seed| {
        let cloud = fast();
        let calm = Plan::calm().with_agents(2);
        let mut stage = staged(seed, calm, vec![rule("agents", &[HOST])], &cloud);
        stage.expect_ready(Duration::from_secs(10));
        stage.world.run_for(LIFETIME - RENEWING - Duration::from_secs(60));
        cloud.sky().is_down = true;
        stage.world.run_for(RENEWING + RETURN_TIME);
        assert_eq!(stage.tunnels(), 2, "the proofs have ended");
        cloud.sky().is_down = false;
        cloud.sky().forgers.insert(1);
        stage.world.run_for(RETURN_TIME + Duration::from_secs(1));
        assert_eq!(stage.tunnels(), 1, "long before the end of the grace");
        stage.probe();
    });
}

#[test]
fn agents_that_came_together_give_their_next_proofs_one_after_the_other() {
    const CROWD: usize = 20;
    seeds(2, |seed| {
        let cloud = fast();
        let calm = Plan::calm().with_agents(CROWD);
        let mut plan = plan(calm, vec![rule("agents", &[HOST])], &cloud);
        plan.ingress.identity.lifetime = RENEWING * 2;
        let mut stage = Stage::new(seed, plan);
        stage.expect_tunnels(CROWD, Duration::from_secs(10));
        let expect_proofs = |stage: &mut Stage, count: usize| {
            let known = cloud.clone();
            let is_asked = move |_: &World| known.sky().asked.proofs >= count;
            stage.world.expect("STS is asked", is_asked, RENEWING * 2);
            stage.world.elapsed()
        };
        assert_eq!(cloud.sky().asked.proofs, CROWD);
        let first = expect_proofs(&mut stage, CROWD + 1);
        let last = expect_proofs(&mut stage, 2 * CROWD);
        assert!(last - first > Duration::from_secs(15), "within {:?}", last - first);
    });
}

/// The proof of the tunnel that it is on has ended by then.
#[test]
fn what_is_under_way_when_sts_speaks_again_has_time_to_end() {
    seeds(4, |seed| {
        let cloud = fast();
        let mut plan = plan(Plan::calm().with_agents(1), vec![rule("agents", &[HOST])], &cloud);
        plan.ingress.timeouts.request = RENEWING * 4;
        plan.agent.timeouts.stream_idle = RENEWING * 4;
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(10));
        stage.world.run_for(LIFETIME - RENEWING - Duration::from_secs(60));
        cloud.sky().is_down = true;
        stage.world.run_for(RENEWING + Duration::from_secs(120));
        let slow = Ask::new(Request::get(HOST, "/slow/110000"));
        stage.add_caller(vec![slow], |client| client);
        stage.world.run_for(Duration::from_secs(60));
        cloud.sky().is_down = false;
        stage.expect_tunnels(2, Duration::from_secs(60));
        stage.expect_answers(Duration::from_secs(110));
        stage.judge(Weather::Fair);
        stage.expect_tunnels(1, Duration::from_secs(60));
    });
}

/// The way there is lost to the agent alone while STS thinks about it, and the agent comes again.
#[test]
fn an_answer_about_whoever_has_come_again_ends_nothing() {
    for workers in [1, 2] {
        seeds(4, |seed| {
            let cloud = fast();
            cloud.sky().latency = Duration::from_secs(20);
            let calm = Plan::calm().with_agents(1).with_workers(workers);
            let mut stage = staged(seed, calm, vec![rule("agents", &[HOST])], &cloud);
            stage.world.run_for(Duration::from_secs(2));
            assert_eq!(cloud.sky().asked.proofs, 1);
            cloud.sky().latency = Duration::from_millis(30);
            let (ingress, agent) = (stage.ingress, stage.agents[0]);
            stage.world.strike(agent, ingress, Fault::HalfCut);
            stage.expect_tunnels(1, Duration::from_secs(10));
            let slow = Ask::new(Request::post(HOST, "/slow/30000", b"once"));
            let caller = stage.add_caller(vec![slow], |client| client);
            stage.expect_answers(Duration::from_secs(31));
            let answer = &stage.responses(caller)[0];
            assert!(answer.is(200), "{answer:?}");
            assert_eq!(stage.tunnels(), 1);
            assert_eq!(cloud.sky().asked.proofs, 2);
        });
    }
}

/// The same, and STS thinks about the second as long as about the first: that one is registered after the
/// second introduced itself, and was there before it all the same.
#[test]
fn whoever_has_come_again_is_not_overtaken_by_its_own_first_attempt() {
    for workers in [1, 2] {
        seeds(4, |seed| {
            let cloud = fast();
            cloud.sky().latency = Duration::from_secs(10);
            let calm = Plan::calm().with_agents(1).with_workers(workers);
            let mut stage = staged(seed, calm, vec![rule("agents", &[HOST])], &cloud);
            stage.world.run_for(Duration::from_secs(2));
            let (ingress, agent) = (stage.ingress, stage.agents[0]);
            stage.world.strike(agent, ingress, Fault::HalfCut);
            stage.world.run_for(Duration::from_secs(3));
            assert_eq!(cloud.sky().asked.proofs, 2, "it has come again");
            assert_eq!(stage.tunnels(), 0);
            stage.expect_tunnels(1, Duration::from_secs(6));
            stage.world.run_for(Duration::from_secs(10));
            assert_eq!(cloud.sky().asked.proofs, 2, "nobody had to come a third time");
            assert_eq!(stage.tunnels(), 1);
            stage.probe();
        });
    }
}

#[test]
fn new_rules_are_in_force_at_once() {
    seeds(8, |seed| {
        let cloud = fast();
        let calm = Plan::calm().with_agents(2);
        let mut stage = staged(seed, calm, vec![rule("agents", &[HOST])], &cloud);
        stage.expect_ready(Duration::from_secs(10));
        let change = |stage: &mut Stage, rules| {
            let driver = stage.world.driver_mut::<Ingress>(stage.ingress);
            driver.handle_answer(Answer::Policy(Box::new(policy(rules))));
            // Other workers hear of it a moment later.
            stage.world.run_for(Duration::from_millis(50));
        };
        change(&mut stage, vec![rule("agents", &["*.example"])]);
        assert_eq!(stage.tunnels(), 2, "what is still allowed stays");
        change(&mut stage, vec![rule("agents", &["b.example"])]);
        assert_eq!(stage.tunnels(), 0);
        stage.world.run_for(Duration::from_secs(60));
        assert_eq!(stage.tunnels(), 0);
        change(&mut stage, vec![rule("agents", &[HOST])]);
        stage.expect_tunnels(2, Duration::from_secs(40));
    });
}

/// The tunnels of the new proofs come while those of the old ones are there, and something is under way.
#[test]
fn a_proof_is_given_again_where_there_is_room_for_no_agent_more() {
    seeds(8, |seed| {
        let cloud = fast();
        let calm = Plan::calm().with_agents(2);
        let mut plan = plan(calm, vec![rule("agents", &[HOST])], &cloud);
        plan.ingress.limits.tunnels = 2;
        plan.ingress.timeouts.request = RENEWING * 2;
        plan.agent.timeouts.stream_idle = RENEWING * 2;
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(10));
        stage.add_agent();
        stage.world.run_for(LIFETIME - RENEWING - Duration::from_secs(60));
        assert_eq!(stage.tunnels(), 2, "there is no room for a third one");
        stage.world.kill(stage.agents[2], Death::Reset);
        for _ in 0..6 {
            let ask = Ask::new(Request::get(HOST, "/slow/200000"));
            stage.add_caller(vec![ask], |client| client);
        }
        stage.expect_answers(Duration::from_secs(201));
        stage.judge(Weather::Fair);
        for _ in 0..20 {
            stage.probe();
            stage.world.run_for(Duration::from_secs(10));
        }
        assert_eq!(cloud.sky().asked.proofs, 4, "each gave its proof once more");
        assert_eq!(stage.tunnels(), 2);
    });
}

/// Everybody comes at once, STS takes its time, and nobody else feels it.
#[test]
fn a_crowd_of_agents_stalls_nobody() {
    const CROWD: usize = 150;
    seeds(2, |seed| {
        let cloud = fast();
        let mut stage = staged(seed, Plan::calm(), vec![rule("agents", &[HOST])], &cloud);
        stage.expect_ready(Duration::from_secs(10));
        // A worker of the simulation does four at a time: some 20 s for all of them.
        cloud.sky().latency = Duration::from_millis(500);
        stage.plan.caller_links = LinkRules::fixed(LinkConfig::fast());
        for _ in 0..CROWD {
            stage.add_agent();
        }
        for _ in 0..20 {
            let before = stage.world.elapsed();
            stage.probe();
            let took = stage.world.elapsed() - before;
            assert!(took < Duration::from_millis(200), "{took:?} for a small request");
            stage.world.run_for(Duration::from_millis(500));
        }
        stage.expect_tunnels(CROWD + 1, Duration::from_secs(120));
    });
}

/// 25 s for all questions about one agent: it waits for 30.
#[test]
fn what_aws_is_asked_about_an_agent_has_one_time_in_all() {
    seeds(4, |seed| {
        let cloud = Cloud::new(Duration::from_secs(12));
        let mut stage = staged(seed, Plan::calm(), vec![rule_of_tasks()], &cloud);
        stage.expect_tunnels(1, Duration::from_secs(25));
        let cloud = Cloud::new(Duration::from_secs(14));
        let mut stage = staged(seed, Plan::calm(), vec![rule_of_tasks()], &cloud);
        for _ in 0..50 {
            stage.world.run_for(Duration::from_secs(2));
            assert_eq!(stage.tunnels(), 0);
        }
    });
}

/// An agent chooses which of STS's hosts is asked about it, before it has proved anything.
#[test]
fn a_host_of_sts_that_does_not_answer_holds_back_nobody_of_another() {
    const STRANGERS: usize = 60;
    seeds(4, |seed| {
        let cloud = fast();
        let far = (1..=STRANGERS).collect();
        cloud.sky().unreachable = (far, Duration::from_secs(5));
        let mut stage = staged(seed, Plan::calm(), vec![rule("agents", &[HOST])], &cloud);
        stage.expect_ready(Duration::from_secs(10));
        for _ in 0..STRANGERS {
            stage.add_agent();
        }
        stage.world.run_for(Duration::from_secs(20));
        // One that is like the first.
        stage.add_agent();
        stage.expect_tunnels(2, Duration::from_secs(5));
    });
}

/// Five minutes, whatever the agent would take for its own leaving.
#[test]
fn what_is_under_way_when_a_proof_gets_old_has_time_to_end() {
    seeds(8, |seed| {
        let cloud = fast();
        let mut plan = plan(Plan::calm(), vec![rule("agents", &[HOST])], &cloud);
        plan.ingress.timeouts.request = Duration::from_secs(600);
        plan.agent.timeouts.stream_idle = Duration::from_secs(600);
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(10));
        stage.world.run_for(LIFETIME - RENEWING - Duration::from_secs(20));
        let ask = Ask::new(Request::get(HOST, "/slow/300000"));
        stage.add_caller(vec![ask], |client| client);
        stage.expect_answers(Duration::from_secs(301));
        stage.judge(Weather::Fair);
    });
}

/// The old tunnel gets nothing new once there is another one, and is closed without a word of reproach.
#[test]
fn what_begins_after_a_proof_was_given_again_outlasts_the_tunnel_of_the_old_one() {
    for workers in [1, 2, 3] {
        seeds(4, |seed| {
            let cloud = fast();
            let calm = Plan::calm().with_workers(workers);
            let mut stage = staged(seed, calm, vec![rule("agents", &[HOST])], &cloud);
            stage.expect_ready(Duration::from_secs(10));
            stage.world.run_for(LIFETIME - RENEWING - Duration::from_secs(41));
            // Some at each moment, at whatever worker they are.
            for _ in 0..6 {
                let ask = || Ask::new(Request::get(HOST, "/slow/140"));
                stage.add_caller((0..250).map(|_| ask()).collect(), |client| client);
            }
            for _ in 0..2 {
                let ask = || Ask::new(Request::get(HOST, "/drip/300"));
                stage.add_caller((0..120).map(|_| ask()).collect(), |client| client);
            }
            stage.world.run_for(Duration::from_secs(60));
            assert_eq!(stage.tunnels(), 1, "it went with its last request");
            stage.expect_answers(Duration::from_secs(400));
            stage.judge(Weather::Fair);
        });
    }
}

/// To the ingress it is another agent then, and the agent itself says which tunnel it is done with.
#[test]
fn whoever_proves_to_be_another_one_by_then_leaves_its_old_tunnel_in_peace() {
    for (workers, of_agent) in [(1, 1), (2, 1), (3, 2)] {
        seeds(2, |seed| {
            let cloud = fast();
            let calm = Plan::calm().with_workers(workers).with_agent_workers(of_agent, 1);
            let rules = vec![rule("agents", &[HOST]), rule("others", &[HOST])];
            let mut plan = plan(calm, rules, &cloud);
            plan.ingress.identity.lifetime = RENEWING * 2;
            plan.ingress.timeouts.request = RENEWING * 2;
            plan.agent.timeouts.stream_idle = RENEWING * 2;
            let mut stage = Stage::new(seed, plan);
            stage.expect_ready(Duration::from_secs(10));
            cloud.sky().renamed.insert(0);
            stage.world.run_for(RENEWING - Duration::from_secs(41));
            let slow = Ask::new(Request::get(HOST, "/slow/200000"));
            stage.add_caller(vec![slow], |client| client);
            for pause in [700, 900] {
                // As long as it takes until the old tunnel has gone.
                let ask = || Ask::new(Request::get(HOST, &format!("/slow/{pause}")));
                stage.add_caller((0..300).map(|_| ask()).collect(), |client| client);
            }
            stage.expect_tunnels(2, Duration::from_secs(60));
            stage.world.run_for(Duration::from_secs(100));
            assert_eq!(stage.tunnels(), 2, "what is under way goes on");
            stage.expect_tunnels(1, Duration::from_secs(120));
            stage.expect_answers(Duration::from_secs(200));
            stage.judge(Weather::Fair);
        });
    }
}
