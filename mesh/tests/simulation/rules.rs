//! Rules that change while agents are registered, or about to be.

use std::time::Duration;

use mesh_ingress::Ingress;
use mesh_ingress::identity::{ClusterPattern, Pattern, Rule};
use mesh_ingress::jobs::Answer;
use mesh_sim::peers::Request;
use mesh_sim::{World, seeds};

use crate::ask::{Ask, Weather};
use crate::cloud::Cloud;
use crate::identity::{GRACE, RECHECK, fast, plan, policy, rule, rule_of_tasks, staged};
use crate::stage::{HOST, Plan, Stage};

/// Only tasks of some service.
fn rule_of_services() -> Rule {
    Rule { service: Some(Pattern::new("*")), ..rule_of_tasks() }
}

fn change(stage: &mut Stage, rules: Vec<Rule>) {
    let driver = stage.world.driver_mut::<Ingress>(stage.ingress);
    driver.handle_answer(Answer::Policy(Box::new(policy(rules))));
}

/// Two agents that are registered by this rule, with requests under way.
fn busy_stage(seed: u64, rule: Rule, cloud: &Cloud) -> Stage {
    let mut stage = staged(seed, Plan::calm().with_agents(2), vec![rule], cloud);
    stage.expect_ready(Duration::from_secs(10));
    for _ in 0..4 {
        let ask = || Ask::new(Request::get(HOST, "/slow/5000"));
        stage.add_caller((0..4).map(|_| ask()).collect(), |client| client);
    }
    stage.world.run_for(Duration::from_millis(500));
    stage
}

#[test]
fn rules_that_ask_for_more_cut_off_nobody_whom_they_allow() {
    for before in [rule_of_tasks(), rule("agents", &[HOST])] {
        seeds(16, |seed| {
            let cloud = fast();
            let mut stage = busy_stage(seed, before.clone(), &cloud);
            let asked = cloud.sky().asked;
            change(&mut stage, vec![rule_of_services()]);
            stage.expect_answers(Duration::from_secs(30));
            stage.judge(Weather::Fair);
            assert!(cloud.sky().asked.descriptions > asked.descriptions, "ECS was asked at once");
            stage.world.run_for(RECHECK * 3);
            assert_eq!(stage.tunnels(), 2);
            assert_eq!(cloud.sky().asked.proofs, asked.proofs, "nobody had to register again");
        });
    }
}

#[test]
fn rules_that_ask_for_more_end_what_ecs_does_not_confirm() {
    for before in [rule_of_tasks(), rule("agents", &[HOST])] {
        seeds(8, |seed| {
            let cloud = fast();
            cloud.sky().loose.insert(1);
            let mut stage = staged(seed, Plan::calm().with_agents(2), vec![before.clone()], &cloud);
            stage.expect_ready(Duration::from_secs(10));
            change(&mut stage, vec![rule_of_services()]);
            stage.expect_tunnels(1, Duration::from_secs(1));
            stage.world.run_for(RECHECK * 3);
            assert_eq!(stage.tunnels(), 1);
            stage.probe();
        });
    }
}

#[test]
fn who_is_not_of_its_service_has_what_rules_allow_by_its_place() {
    seeds(8, |seed| {
        let cloud = fast();
        cloud.sky().pretenders.insert(1);
        let calm = Plan::calm().with_agents(2);
        let rules = vec![rule_of_services(), rule_of_tasks()];
        let mut stage = staged(seed, calm, rules, &cloud);
        stage.expect_tunnels(2, Duration::from_secs(10));
        stage.world.run_for(RECHECK * 3);
        assert_eq!(cloud.sky().asked.proofs, 2, "nobody had to come again");
        change(&mut stage, vec![rule_of_services()]);
        stage.expect_tunnels(1, Duration::from_secs(1));
    });
}

#[test]
fn a_service_that_ecs_does_not_know_once_is_asked_about_again() {
    seeds(8, |seed| {
        let cloud = fast();
        let calm = Plan::calm().with_workers(1).with_agents(2);
        let mut stage = staged(seed, calm, vec![rule_of_services()], &cloud);
        stage.expect_tunnels(2, Duration::from_secs(10));
        cloud.sky().is_without_service = true;
        let (before, known) = (cloud.sky().asked.descriptions, cloud.clone());
        let is_asked = move |_: &World| known.sky().asked.descriptions > before;
        stage.world.expect("ECS is asked again", is_asked, RECHECK);
        stage.world.run_for(Duration::from_secs(1));
        assert_eq!(stage.tunnels(), 2);
        stage.expect_tunnels(0, RECHECK);
    });
}

/// A service that is deleted has its tasks stopped, and is not known when the last of them stop.
#[test]
fn a_task_that_is_about_to_stop_may_outlast_its_service() {
    seeds(8, |seed| {
        let cloud = fast();
        let calm = Plan::calm().with_agents(1);
        let mut stage = staged(seed, calm, vec![rule_of_services()], &cloud);
        stage.expect_ready(Duration::from_secs(10));
        let slow = Ask::new(Request::get(HOST, "/slow/80000"));
        stage.add_caller(vec![slow], |client| client);
        cloud.sky().stopping.insert(0);
        cloud.sky().is_without_service = true;
        stage.expect_answers(Duration::from_secs(81));
        stage.judge(Weather::Fair);
    });
}

/// It is not late with its answer when the next question is due.
#[test]
fn rules_may_ask_for_more_just_before_ecs_is_asked_again() {
    seeds(8, |seed| {
        let cloud = fast();
        let mut plan = plan(Plan::calm(), vec![rule_of_tasks()], &cloud);
        plan.ingress.identity.grace = Duration::ZERO;
        let mut stage = Stage::new(seed, plan);
        stage.expect_ready(Duration::from_secs(10));
        stage.world.run_for(RECHECK * 3 / 4);
        cloud.sky().latency = RECHECK / 3;
        change(&mut stage, vec![rule_of_services()]);
        for _ in 0..30 {
            stage.world.run_for(Duration::from_secs(1));
            assert_eq!(stage.tunnels(), 1);
        }
        assert_eq!(cloud.sky().asked.proofs, 1, "nobody had to register again");
    });
}

/// What ECS answers then is about less than what it is to say now.
#[test]
fn rules_may_ask_for_more_while_ecs_is_asked() {
    seeds(8, |seed| {
        let cloud = fast();
        let mut stage = busy_stage(seed, rule_of_tasks(), &cloud);
        let asked = cloud.sky().asked;
        cloud.sky().latency = Duration::from_secs(5);
        while cloud.sky().asked.descriptions == asked.descriptions {
            stage.world.run_for(Duration::from_secs(1));
        }
        change(&mut stage, vec![rule_of_services()]);
        for _ in 0..60 {
            stage.world.run_for(Duration::from_secs(1));
            assert_eq!(stage.tunnels(), 2);
        }
        stage.judge(Weather::Fair);
        assert_eq!(cloud.sky().asked.proofs, asked.proofs, "nobody had to register again");
    });
}

/// ECS takes no question about one of them, and then there is nobody left to ask about in halves.
#[test]
fn whom_no_rule_asked_about_for_a_while_is_asked_about_again() {
    seeds(4, |seed| {
        let cloud = fast();
        let mut stage = staged(seed, Plan::calm().with_agents(3), vec![rule_of_tasks()], &cloud);
        stage.expect_tunnels(3, Duration::from_secs(10));
        let asked = cloud.sky().asked;
        cloud.sky().strange.extend([0, 1, 2]);
        cloud.sky().latency = Duration::from_secs(5);
        while cloud.sky().asked.descriptions == asked.descriptions {
            stage.world.run_for(Duration::from_millis(100));
        }
        change(&mut stage, vec![rule("agents", &[HOST])]);
        stage.world.run_for(Duration::from_secs(15));
        cloud.sky().strange.clear();
        change(&mut stage, vec![rule_of_tasks()]);
        stage.world.run_for(GRACE + RECHECK * 2);
        assert_eq!(stage.tunnels(), 3);
        assert_eq!(cloud.sky().asked.proofs, asked.proofs, "nobody had to register again");
    });
}

#[test]
fn rules_may_ask_for_more_while_an_agent_waits_for_its_welcome() {
    seeds(8, |seed| {
        let cloud = Cloud::new(Duration::from_secs(5));
        let mut stage = staged(seed, Plan::calm(), vec![rule_of_tasks()], &cloud);
        while cloud.sky().asked.descriptions == 0 {
            stage.world.run_for(Duration::from_secs(1));
        }
        change(&mut stage, vec![rule_of_services()]);
        stage.expect_tunnels(1, Duration::from_secs(11));
        assert_eq!(cloud.sky().asked.proofs, 1, "it was not refused");
    });
}

/// What ECS has to say of an agent that leaves is said with one answer.
#[test]
fn rules_that_ask_for_more_of_an_agent_that_leaves_ask_once() {
    seeds(8, |seed| {
        let cloud = fast();
        cloud.sky().hosts.insert(1);
        let calm = Plan::calm().with_workers(1).with_agents(3);
        let mut stage = staged(seed, calm, vec![rule("agents", &[HOST])], &cloud);
        stage.expect_tunnels(3, Duration::from_secs(10));
        cloud.sky().draining.insert(1);
        change(&mut stage, vec![rule_of_tasks()]);
        stage.world.run_for(RECHECK * 3);
        assert_eq!(stage.tunnels(), 3, "it may finish what it has");
        let asked = cloud.sky().asked.descriptions;
        assert!(asked <= 6, "ECS was asked {asked} times");
        cloud.sky().stopped.insert(2);
        stage.expect_tunnels(2, RECHECK + Duration::from_secs(1));
    });
}

#[test]
fn rules_end_what_they_do_not_allow_although_it_leaves() {
    seeds(8, |seed| {
        let cloud = fast();
        cloud.sky().hosts.insert(0);
        let mut stage = staged(seed, Plan::calm(), vec![rule("agents", &[HOST])], &cloud);
        stage.expect_tunnels(1, Duration::from_secs(10));
        cloud.sky().draining.insert(0);
        let cluster = Some(ClusterPattern::parse("elsewhere").unwrap());
        change(&mut stage, vec![Rule { cluster, ..rule_of_tasks() }]);
        stage.expect_tunnels(0, Duration::from_secs(1));
    });
}

#[test]
fn rules_that_are_taken_back_take_back_what_they_ask_of_ecs() {
    seeds(8, |seed| {
        let cloud = fast();
        let calm = Plan::calm().with_agents(2);
        let mut stage = staged(seed, calm, vec![rule("agents", &[HOST])], &cloud);
        stage.expect_tunnels(2, Duration::from_secs(10));
        cloud.sky().is_down = true;
        change(&mut stage, vec![rule_of_tasks()]);
        stage.world.run_for(Duration::from_secs(1));
        assert!(stage.page("/health").contains("\"ecs\":\"silent\""));
        change(&mut stage, vec![rule("agents", &[HOST])]);
        stage.world.run_for(Duration::from_secs(1));
        let asked = cloud.sky().asked.descriptions;
        stage.world.run_for(GRACE + RECHECK * 2);
        assert_eq!(stage.tunnels(), 2);
        assert_eq!(cloud.sky().asked.descriptions, asked, "no rule asks ECS");
        let health = stage.page("/health");
        assert!(health.contains("\"identity\":\"ok\""), "{health}");
    });
}

#[test]
fn rules_that_ask_for_less_have_ecs_asked_for_less() {
    seeds(8, |seed| {
        let cloud = fast();
        let mut stage = staged(seed, Plan::calm().with_agents(2), vec![rule_of_services()], &cloud);
        stage.expect_tunnels(2, Duration::from_secs(10));
        change(&mut stage, vec![rule_of_tasks()]);
        stage.world.run_for(Duration::from_secs(1));
        let before = cloud.sky().of_services;
        stage.world.run_for(RECHECK * 3);
        assert_eq!(stage.tunnels(), 2);
        assert_eq!(cloud.sky().of_services, before, "no rule asks for services");
    });
}

/// What is under way at one of those that are to go is tried once more, and not at the next of them.
#[test]
fn rules_that_end_many_at_once_cost_no_request_that_others_can_serve() {
    seeds(16, |seed| {
        let cloud = fast();
        cloud.sky().renamed.extend(0..4);
        let workers = if seed % 2 == 0 { 1 } else { 2 };
        let calm = Plan::calm().with_workers(workers).with_agents(5);
        let rules = vec![rule("agents", &[HOST]), rule("others", &[HOST])];
        let mut stage = staged(seed, calm, rules, &cloud);
        stage.expect_ready(Duration::from_secs(10));
        for _ in 0..40 {
            let ask = Ask::new(Request::get(HOST, "/slow/2000"));
            stage.add_caller(vec![ask], |client| client);
        }
        stage.world.run_for(Duration::from_secs(1));
        change(&mut stage, vec![rule("agents", &[HOST])]);
        stage.expect_answers(Duration::from_secs(5));
        stage.judge(Weather::Fair);
        assert_eq!(stage.tunnels(), 1);
    });
}

/// The same where ECS says it of all of them in one answer.
#[test]
fn tasks_that_stop_together_cost_no_request_that_others_can_serve() {
    seeds(8, |seed| {
        let cloud = fast();
        let calm = Plan::calm().with_workers(1).with_agents(5);
        let mut stage = staged(seed, calm, vec![rule_of_tasks()], &cloud);
        stage.expect_ready(Duration::from_secs(10));
        cloud.sky().stopped.extend(0..4);
        for _ in 0..20 {
            // Under way when ECS is asked, whenever that is.
            let ask = Ask::new(Request::get(HOST, "/slow/61000"));
            stage.add_caller(vec![ask], |client| client);
        }
        stage.expect_tunnels(1, RECHECK + Duration::from_secs(1));
        stage.expect_answers(Duration::from_secs(62));
        stage.judge(Weather::Fair);
    });
}
