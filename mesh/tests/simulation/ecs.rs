//! Tasks as ECS sees them: those that stop, hosts that drain, and the silence of ECS itself.

use std::collections::BTreeSet;
use std::time::Duration;

use mesh_sim::peers::{HttpService, Request};
use mesh_sim::{World, seeds};

use crate::ask::{Ask, Weather};
use crate::cloud::{Asked, Bucket, Cloud};
use crate::identity::{GRACE, RECHECK, fast, plan, rule_of_tasks, staged};
use crate::stage::{HOST, Plan, Stage, census};

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
