//! Agents that have to prove who they are, and go on proving it.

use std::collections::BTreeSet;
use std::time::Duration;

use mesh_ingress::identity::{
    ArnPattern, ClusterPattern, HostPattern, LaunchType, Policy, Rule, Tokens, Who,
};
use mesh_ingress::jobs::Answer;
use mesh_ingress::{Admission, IdentityChecks, Ingress};
use mesh_sim::peers::{HttpService, Request};
use mesh_sim::{Death, Fault, FaultRates, Life, LinkConfig, LinkRules, World, seeds};

use crate::ask::{Ask, Weather};
use crate::cloud::{Asked, Bucket, Cloud};
use crate::stage::{HOST, Plan, Stage, agent_census, census};

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
fn a_task_that_stops_loses_its_registration_and_nobody_else_does() {
    seeds(16, |seed| {
        let cloud = fast();
        let mut stage = staged(seed, Plan::calm().with_agents(3), vec![rule_of_tasks()], &cloud);
        stage.expect_ready(Duration::from_secs(10));
        stage.world.run_for(RECHECK * 5);
        assert_eq!(stage.tunnels(), 3, "what is confirmed stays");
        cloud.sky().stopped.insert(1);
        let before = cloud.sky().asked.descriptions;
        stage.expect_tunnels(2, RECHECK + Duration::from_secs(1));
        // One question for all agents of the cluster, by each worker that has some.
        assert!(cloud.sky().asked.descriptions <= before + 2 * stage.workers.len());
        stage.probe();
        cloud.sky().stopped.clear();
        stage.expect_tunnels(3, Duration::from_secs(40));
    });
}

#[test]
fn a_question_that_is_due_does_not_end_a_drain() {
    seeds(16, |seed| {
        let cloud = fast();
        let calm = Plan::calm().with_agents(2);
        let mut plan = plan(calm, vec![rule_of_tasks()], &cloud);
        plan.ingress.identity.recheck = Duration::from_secs(5);
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(10));
        for _ in 0..4 {
            let ask = Ask::new(Request::get(HOST, "/slow/15000"));
            stage.add_caller(vec![ask], |client| client);
        }
        stage.world.run_for(Duration::from_millis(100));
        stage.world.drain(stage.ingress);
        stage.expect_answers(Duration::from_secs(16));
        stage.judge(Weather::Fair);
    });
}

/// How many requests of callers the second service got.
fn served(stage: &Stage) -> usize {
    let served = &stage.world.peer::<HttpService>(stage.services[1]).served;
    served.iter().filter(|served| served.header("x-ask").is_some()).count()
}

/// The second of two agents begins to leave with requests under way: it finishes them and gets no others.
/// How many it has served then.
fn see_it_leave(stage: &mut Stage, begin: impl FnOnce()) -> usize {
    stage.expect_ready(Duration::from_secs(10));
    for _ in 0..4 {
        let slow = Ask::new(Request::get(HOST, "/slow/80000"));
        stage.add_caller(vec![slow], |client| client);
    }
    begin();
    stage.world.run_for(RECHECK + Duration::from_secs(1));
    stage.expect_answers(RECHECK);
    stage.judge(Weather::Fair);
    let before = served(stage);
    for _ in 0..10 {
        stage.probe();
    }
    assert_eq!(served(stage), before, "it gets no new requests");
    assert_eq!(stage.tunnels(), 2, "and is not cut");
    before
}

/// Whom ECS has asked to stop finishes what it has, and gets nothing more.
#[test]
fn a_task_that_is_about_to_stop_finishes_its_requests_and_gets_no_new_ones() {
    seeds(16, |seed| {
        let cloud = fast();
        let mut stage = staged(seed, Plan::calm().with_agents(2), vec![rule_of_tasks()], &cloud);
        see_it_leave(&mut stage, || {
            cloud.sky().stopping.insert(1);
        });
        // Being about to stop is no silence: that is not counted as such.
        stage.world.run_for(GRACE + RECHECK * 2);
        assert_eq!(stage.tunnels(), 2);
        cloud.sky().stopped.insert(1);
        stage.expect_tunnels(1, RECHECK + Duration::from_secs(1));
        stage.probe();
    });
}

/// A host that is to be emptied is one of a task that is about to stop, but it may come back.
#[test]
fn a_host_that_drains_finishes_its_requests_and_gets_new_ones_when_it_is_active_again() {
    seeds(16, |seed| {
        let cloud = fast();
        cloud.sky().hosts.insert(1);
        let mut stage = staged(seed, Plan::calm().with_agents(2), vec![rule_of_tasks()], &cloud);
        let before = see_it_leave(&mut stage, || {
            cloud.sky().draining.insert(1);
        });
        cloud.sky().draining.clear();
        stage.world.run_for(RECHECK + Duration::from_secs(1));
        for _ in 0..20 {
            stage.probe();
        }
        assert!(served(&stage) > before, "it is as good as any again");
        assert_eq!(cloud.sky().asked.proofs, 2, "and did not have to register again");
    });
}

#[test]
fn a_host_that_drains_is_not_registered() {
    seeds(8, |seed| {
        let cloud = fast();
        cloud.sky().hosts.insert(1);
        cloud.sky().draining.insert(1);
        let mut stage = staged(seed, Plan::calm().with_agents(2), vec![rule_of_tasks()], &cloud);
        stage.world.run_for(Duration::from_secs(100));
        assert_eq!(stage.tunnels(), 1);
    });
}

#[test]
fn a_task_that_is_about_to_stop_is_not_registered() {
    seeds(8, |seed| {
        let cloud = fast();
        cloud.sky().stopping.insert(1);
        let mut stage = staged(seed, Plan::calm().with_agents(2), vec![rule_of_tasks()], &cloud);
        stage.world.run_for(Duration::from_secs(100));
        assert_eq!(stage.tunnels(), 1);
        stage.probe();
    });
}

/// Its containers may run before ECS says so of the task.
#[test]
fn a_task_that_has_not_begun_is_awaited_within_one_registration() {
    seeds(8, |seed| {
        let cloud = fast();
        cloud.sky().pending.insert(1);
        let mut stage = staged(seed, Plan::calm().with_agents(2), vec![rule_of_tasks()], &cloud);
        stage.world.run_for(Duration::from_secs(10));
        assert_eq!(stage.tunnels(), 1);
        cloud.sky().pending.clear();
        stage.expect_tunnels(2, Duration::from_secs(2));
        let Asked { proofs, descriptions } = cloud.sky().asked;
        assert_eq!(proofs, 2, "nobody had to come again");
        assert!(descriptions <= 14, "ECS was asked {descriptions} times");
    });
}

#[test]
fn a_task_that_does_not_begin_in_time_is_refused_and_comes_again() {
    seeds(4, |seed| {
        let cloud = fast();
        cloud.sky().pending.insert(1);
        let calm = Plan::calm().with_workers(1).with_agents(2);
        let mut stage = staged(seed, calm, vec![rule_of_tasks()], &cloud);
        stage.world.run_for(Duration::from_secs(60));
        let Asked { proofs, descriptions } = cloud.sky().asked;
        assert!((3..=4).contains(&proofs), "{proofs} proofs");
        assert!(descriptions <= 65, "ECS was asked {descriptions} times");
        cloud.sky().pending.clear();
        stage.expect_tunnels(2, Duration::from_secs(60));
    });
}

/// ECS answers from copies of what it knows, and one of them may be old.
#[test]
fn one_answer_that_cannot_be_true_costs_nobody_the_registration() {
    seeds(8, |seed| {
        let cloud = fast();
        let calm = Plan::calm().with_workers(1).with_agents(3);
        let mut stage = staged(seed, calm, vec![rule_of_tasks()], &cloud);
        let second = Duration::from_secs(1);
        stage.expect_tunnels(3, Duration::from_secs(10));
        cloud.sky().missing.insert(0);
        cloud.sky().pending.insert(1);
        let (before, known) = (cloud.sky().asked.descriptions, cloud.clone());
        let is_asked = move |_: &World| known.sky().asked.descriptions > before;
        stage.world.expect("ECS is asked again", is_asked, RECHECK);
        stage.world.run_for(second);
        assert_eq!(stage.tunnels(), 3);
        cloud.sky().missing.clear();
        cloud.sky().pending.clear();
        stage.world.run_for(RECHECK * 3);
        assert_eq!(cloud.sky().asked.proofs, 3, "nobody had to come again");
        cloud.sky().missing.insert(0);
        stage.expect_tunnels(2, RECHECK * 2 + second);
        stage.probe();
    });
}

/// Runs until ECS has answered the next question, or has not.
fn expect_recheck(stage: &mut Stage, cloud: &Cloud) {
    let (before, known) = (cloud.sky().asked.descriptions, cloud.clone());
    let is_asked = move |_: &World| known.sky().asked.descriptions > before;
    stage.world.expect("ECS is asked again", is_asked, RECHECK);
    stage.world.run_for(Duration::from_secs(1));
}

#[test]
fn an_answer_that_cannot_be_true_is_believed_where_no_silence_is_borne() {
    seeds(8, |seed| {
        let cloud = fast();
        let calm = Plan::calm().with_workers(1).with_agents(1);
        let mut plan = plan(calm, vec![rule_of_tasks()], &cloud);
        plan.ingress.identity.grace = Duration::ZERO;
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(10));
        cloud.sky().missing.insert(0);
        expect_recheck(&mut stage, &cloud);
        assert_eq!(stage.tunnels(), 0);
    });
}

#[test]
fn what_ecs_says_twice_is_believed_although_it_was_silent_in_between() {
    seeds(8, |seed| {
        let cloud = fast();
        let calm = Plan::calm().with_workers(1).with_agents(1);
        let mut stage = staged(seed, calm, vec![rule_of_tasks()], &cloud);
        stage.expect_ready(Duration::from_secs(10));
        cloud.sky().missing.insert(0);
        for (is_down, left) in [(false, 1), (true, 1), (false, 0)] {
            cloud.sky().is_down = is_down;
            expect_recheck(&mut stage, &cloud);
            assert_eq!(stage.tunnels(), left);
        }
    });
}

#[test]
fn an_ecs_that_takes_no_question_at_all_is_silent() {
    seeds(8, |seed| {
        let cloud = fast();
        let mut stage = staged(seed, Plan::calm().with_agents(2), vec![rule_of_tasks()], &cloud);
        stage.expect_ready(Duration::from_secs(10));
        cloud.sky().strange.extend([0, 1]);
        stage.world.run_for(RECHECK * 4);
        assert!(stage.page("/health").contains("\"ecs\":\"silent\""));
        assert_eq!(stage.tunnels(), 2, "that is borne for a while");
    });
}

#[test]
fn the_silence_of_ecs_is_borne_for_a_while_and_no_longer() {
    seeds(16, |seed| {
        let cloud = fast();
        let mut stage = staged(seed, Plan::calm().with_agents(2), vec![rule_of_tasks()], &cloud);
        stage.expect_ready(Duration::from_secs(10));
        cloud.sky().is_down = true;
        stage.world.run_for(GRACE - RECHECK);
        assert_eq!(stage.tunnels(), 2, "registrations are kept");
        stage.probe();
        stage.expect_tunnels(0, RECHECK * 2 + Duration::from_secs(1));
        stage.world.run_for(Duration::from_secs(60));
        assert_eq!(stage.tunnels(), 0, "and nobody comes in");
        cloud.sky().is_down = false;
        stage.expect_tunnels(2, Duration::from_secs(40));
        stage.probe();
    });
}

/// ECS is asked about so many agents at once and no more.
const BATCH: usize = 100;

/// So many agents that ECS is asked about one of them apart, where its silence is not borne at all.
fn one_more_than_a_batch(seed: u64, cloud: &Cloud) -> Stage {
    let calm = Plan::calm().with_workers(1).with_agents(BATCH + 1);
    let mut plan = plan(calm, vec![rule_of_tasks()], cloud);
    plan.ingress.identity.grace = Duration::ZERO;
    let mut stage = Stage::new(seed, plan);
    stage.expect_tunnels(BATCH + 1, Duration::from_secs(60));
    stage
}

#[test]
fn a_question_without_an_answer_costs_only_those_whom_it_was_about() {
    seeds(2, |seed| {
        let cloud = fast();
        let mut stage = one_more_than_a_batch(seed, &cloud);
        cloud.sky().unanswered.insert(0);
        let ingress = stage.ingress;
        let lost = move |world: &World| census(world, ingress).tunnels <= BATCH;
        stage.world.expect("some lose their place", lost, RECHECK + Duration::from_secs(1));
        let left = stage.tunnels();
        assert!(left == 1 || left == BATCH, "{left} are left: ECS was not done with the others");
    });
}

/// ECS takes a question as a whole or not at all, so one name that it does not take would speak
/// against everybody in it.
#[test]
fn whom_ecs_takes_no_question_about_costs_nobody_else_a_place() {
    seeds(2, |seed| {
        let cloud = fast();
        let mut stage = staged(seed, Plan::calm().with_agents(20), vec![rule_of_tasks()], &cloud);
        stage.expect_tunnels(20, Duration::from_secs(10));
        cloud.sky().strange.insert(7);
        stage.world.run_for(RECHECK * 2);
        assert_eq!(stage.tunnels(), 20, "it is kept as if ECS were silent");
        stage.expect_tunnels(19, GRACE);
        stage.world.run_for(Duration::from_secs(10));
        let Asked { proofs, descriptions } = cloud.sky().asked;
        assert!(proofs <= 25, "nobody else had to register again: {proofs} proofs");
        stage.world.run_for(GRACE * 2);
        assert_eq!(stage.tunnels(), 19);
        // Once in a while it comes and is not let in; the others are asked about in one question each time.
        assert!(cloud.sky().asked.descriptions - descriptions < 60 * stage.workers.len());
        let health = stage.page("/health");
        assert!(health.contains("\"identity\":\"ok\""), "ECS speaks: {health}");
    });
}

/// Nor does it look like silence where no other agent is at the same worker.
#[test]
fn what_ecs_answers_one_worker_is_no_silence_to_another() {
    seeds(8, |seed| {
        let cloud = fast();
        let calm = Plan::calm().with_workers(2).with_agents(2);
        let mut stage = staged(seed, calm, vec![rule_of_tasks()], &cloud);
        stage.expect_tunnels(2, Duration::from_secs(10));
        stage.world.run_for(RECHECK * 3);
        cloud.sky().strange.insert(usize::from(seed % 2 == 0));
        for _ in 0..4 {
            stage.world.run_for(RECHECK);
            let health = stage.page("/health");
            assert!(health.contains("\"identity\":\"ok\""), "ECS speaks: {health}");
        }
    });
}

/// ECS bears some questions at once of an account, and some more each second: 50 and 20, and fewer here,
/// where few threads ask.
#[test]
fn many_agents_at_once_do_not_ask_too_much_of_ecs() {
    seeds(2, |seed| {
        let cloud = fast();
        {
            let mut sky = cloud.sky();
            sky.bears = Some(Bucket { left: 5.0, per_second: 12.0, since: None });
            sky.latency = Duration::from_millis(100);
            sky.strange.insert(50);
        }
        let mut stage = staged(seed, Plan::calm().with_agents(120), vec![rule_of_tasks()], &cloud);
        stage.expect_tunnels(119, Duration::from_secs(10));
        let sky = cloud.sky();
        assert_eq!(sky.throttled, 0);
        assert!(sky.asked.descriptions < 60, "ECS was asked {} times", sky.asked.descriptions);
    });
}

/// What ECS thinks about for longer than until it is asked again says nothing of the others.
#[test]
fn a_question_that_is_still_open_costs_only_those_whom_it_is_about() {
    seeds(2, |seed| {
        let cloud = fast();
        let mut stage = one_more_than_a_batch(seed, &cloud);
        cloud.sky().pondered = (BTreeSet::from([BATCH]), RECHECK * 3 / 2);
        for _ in 0..300 {
            stage.world.run_for(Duration::from_secs(1));
            assert!(stage.tunnels() >= BATCH, "ECS confirmed the others");
        }
        assert_eq!(stage.tunnels(), BATCH);
    });
}

/// Whoever bears no silence has one question without an answer end registrations, and no more.
#[test]
fn agents_that_ecs_confirms_stay_however_little_silence_is_borne() {
    for grace in [Duration::ZERO, RECHECK / 2] {
        seeds(8, |seed| {
            let cloud = fast();
            let calm = Plan::calm().with_agents(2);
            let mut plan = plan(calm, vec![rule_of_tasks()], &cloud);
            plan.ingress.identity.grace = grace;
            let mut stage = Stage::new(seed, plan);
            stage.expect_ready(Duration::from_secs(10));
            stage.world.run_for(RECHECK * 5);
            assert_eq!(cloud.sky().asked.proofs, 2, "nobody had to register again");
            assert_eq!(stage.tunnels(), 2);
            cloud.sky().is_down = true;
            stage.expect_tunnels(0, RECHECK + Duration::from_secs(1));
        });
    }
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

#[test]
fn ecs_is_silent_no_longer_than_until_it_answers_somebody() {
    seeds(16, |seed| {
        let cloud = fast();
        let calm = Plan::calm().with_agents(2).with_workers(2);
        let mut stage = staged(seed, calm, vec![rule_of_tasks()], &cloud);
        stage.expect_ready(Duration::from_secs(10));
        cloud.sky().is_down = true;
        stage.world.run_for(2 * RECHECK);
        assert!(stage.page("/health").contains("\"ecs\":\"silent\""));
        let leaver = stage.agents[usize::from(seed % 2 == 0)];
        stage.world.drain(leaver);
        stage.expect_tunnels(1, Duration::from_secs(5));
        stage.world.run_for(RECHECK);
        assert!(stage.page("/health").contains("\"ecs\":\"silent\""));
        cloud.sky().is_down = false;
        stage.world.run_for(2 * RECHECK);
        let health = stage.page("/health");
        assert!(health.contains("\"identity\":\"ok\""), "{health}");
    });
}
