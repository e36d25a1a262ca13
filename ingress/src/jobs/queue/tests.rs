use std::time::{Duration, Instant};

use mesh_protocol::{ConnId, Conns, Duplex};

use super::Queue;
use crate::identity::ecs::SUBJECTS_MAX;
use crate::identity::{AwsPrincipal, Claim, EcsQuestion, EcsSubject, Requirement, StsRequest};
use crate::jobs::{EcsInquiry, Job, batches};
use crate::tunnel::tests::origin;

fn conns(count: usize) -> Vec<ConnId> {
    let mut conns = Conns::new();
    (0..count).map(|_| conns.insert(Duplex::new(0), ())).collect()
}

fn identify(conn: ConnId, host: &str) -> Job {
    let request = StsRequest { host: host.to_owned(), headers: Vec::new(), body: "" };
    Job::Identify { conn, request, date: String::new() }
}

fn question() -> EcsQuestion {
    EcsQuestion {
        region: String::new(),
        cluster_arn: String::new(),
        tasks: Vec::new(),
        instances: Vec::new(),
        tasks_of_services: Vec::new(),
    }
}

/// A task of this cluster.
fn asked(cluster: &str, number: usize) -> EcsInquiry {
    asked_as(cluster, number, &format!("task/{cluster}"))
}

/// One whose ARN is of the old form.
fn asked_of_old_form(cluster: &str, number: usize) -> EcsInquiry {
    asked_as(cluster, number, "task")
}

fn asked_as(cluster: &str, number: usize, kind: &str) -> EcsInquiry {
    let account = "123456789012";
    let id = format!("{number:032x}");
    let task = format!("arn:aws:ecs:eu-central-1:{account}:{kind}/{id}");
    let arn = format!("arn:aws:sts::{account}:assumed-role/mesh-agent/{id}");
    let principal = AwsPrincipal::parse(&arn, account).unwrap();
    let (task, container_instance) = (Some(task.as_str()), None);
    let claim = Claim { hosts: &[], service: "", cluster, task, container_instance };
    let subject = EcsSubject::new(&principal, &claim).unwrap();
    EcsInquiry { subject, requirement: Requirement::Place }
}

/// About whom the next question is, and how many tasks it names.
fn inspected(queue: &mut Queue, now: Instant) -> Option<(Vec<ConnId>, usize)> {
    let job = queue.poll(now, |_| true)?;
    let Job::Inspect { conns, question } = job else { panic!("an agent that wants to register") };
    Some((conns, question.tasks.len()))
}

/// The host that the next job is for.
fn next(queue: &mut Queue, now: Instant) -> Option<String> {
    let Job::Identify { request, .. } = queue.poll(now, |_| true)? else { panic!("a proof") };
    Some(request.host)
}

#[test]
fn a_slow_host_gets_few_questions_at_once_and_another_one_its_turn() {
    let (mut queue, conns, now) = (Queue::default(), conns(101), origin());
    for conn in &conns[..100] {
        queue.push(identify(*conn, "far"));
    }
    let asked: Vec<_> = std::iter::from_fn(|| next(&mut queue, now)).collect();
    assert_eq!(asked, ["far", "far", "far"]);
    queue.push(identify(conns[100], "near"));
    assert_eq!(next(&mut queue, now).as_deref(), Some("near"));
    // An answer in vain makes room for one.
    queue.answered(conns[0], now + Duration::from_secs(5));
    assert_eq!(next(&mut queue, now).as_deref(), Some("far"));
    assert_eq!(next(&mut queue, now), None);
    assert_eq!(queue.len(), 96);
}

#[test]
fn all_slow_hosts_together_leave_room_for_a_fast_one() {
    let (mut queue, conns, now) = (Queue::default(), conns(400), origin());
    queue.push(identify(conns[0], "near"));
    assert_eq!(next(&mut queue, now).as_deref(), Some("near"));
    queue.answered(conns[0], now + Duration::from_millis(100));
    for (number, conn) in conns[1..300].iter().enumerate() {
        queue.push(identify(*conn, &format!("far{}", number % 50)));
    }
    let asked = std::iter::from_fn(|| next(&mut queue, now)).count();
    assert_eq!(asked, 8);
    for conn in &conns[300..] {
        queue.push(identify(*conn, "near"));
    }
    let near = std::iter::from_fn(|| next(&mut queue, now)).filter(|host| host == "near");
    assert_eq!(near.count(), 100, "as many as there are");
}

/// Whoever floods one host after the other does not keep a host from showing that it is fast.
#[test]
fn a_host_that_was_not_asked_yet_comes_before_those_that_were() {
    let (mut queue, conns, now) = (Queue::default(), conns(200), origin());
    for (number, conn) in conns[1..].iter().enumerate() {
        queue.push(identify(*conn, ["far1", "far2", "far3"][number % 3]));
    }
    let asked: Vec<_> = std::iter::from_fn(|| next(&mut queue, now)).collect();
    assert_eq!(asked.len(), 8);
    queue.push(identify(conns[0], "near"));
    assert_eq!(next(&mut queue, now), None);
    queue.answered(conns[1], now + Duration::from_secs(5));
    assert_eq!(next(&mut queue, now).as_deref(), Some("near"));
}

/// A proof with a wrong date is known for one before STS is asked, which says nothing of STS.
#[test]
fn a_host_that_was_not_asked_after_all_is_as_slow_as_before() {
    let (mut queue, conns, now) = (Queue::default(), conns(100), origin());
    for conn in &conns {
        queue.push(identify(*conn, "far"));
    }
    assert_eq!(std::iter::from_fn(|| next(&mut queue, now)).count(), 3);
    queue.unanswered(conns[0], now);
    assert_eq!(std::iter::from_fn(|| next(&mut queue, now)).count(), 1, "it makes room for one");
}

/// One slow answer does not put a host behind all that were never heard of.
#[test]
fn a_host_that_has_been_fast_comes_before_those_that_never_were() {
    let (mut queue, conns, now) = (Queue::default(), conns(300), origin());
    queue.push(identify(conns[0], "near"));
    assert_eq!(next(&mut queue, now).as_deref(), Some("near"));
    queue.answered(conns[0], now + Duration::from_millis(100));
    queue.push(identify(conns[1], "near"));
    assert_eq!(next(&mut queue, now).as_deref(), Some("near"));
    queue.answered(conns[1], now + Duration::from_secs(2));
    for (number, conn) in conns[3..].iter().enumerate() {
        queue.push(identify(*conn, &format!("far{}", number % 70)));
    }
    assert_eq!(std::iter::from_fn(|| next(&mut queue, now)).count(), 8);
    queue.push(identify(conns[2], "near"));
    queue.answered(conns[3], now + Duration::from_secs(5));
    assert_eq!(next(&mut queue, now).as_deref(), Some("near"));
}

#[test]
fn hosts_that_were_fast_leave_turns_to_a_new_one() {
    let (mut queue, conns, now) = (Queue::default(), conns(40), origin());
    for (host, name) in ["one", "two", "three"].into_iter().enumerate() {
        for (turn, took) in [100, 5000].into_iter().enumerate() {
            let conn = conns[2 * host + turn];
            queue.push(identify(conn, name));
            assert_eq!(next(&mut queue, now).as_deref(), Some(name));
            queue.answered(conn, now + Duration::from_millis(took));
        }
    }
    for (number, conn) in conns[6..36].iter().enumerate() {
        queue.push(identify(*conn, ["one", "two", "three"][number % 3]));
    }
    let mut asked = Vec::new();
    while let Some(job) = queue.poll(now, |_| true) {
        let Job::Identify { conn, .. } = job else { panic!("a proof") };
        asked.push(conn);
    }
    assert_eq!(asked.len(), 8);
    queue.push(identify(conns[36], "new"));
    // Each answer in vain makes room for one.
    let turns = asked.into_iter().map(|conn| {
        queue.unanswered(conn, now + Duration::from_secs(5));
        next(&mut queue, now).unwrap()
    });
    assert!(turns.take(5).any(|name| name == "new"));
}

#[test]
fn what_concerns_registered_agents_comes_first_and_proofs_last() {
    let (mut queue, conns, now) = (Queue::default(), conns(3), origin());
    queue.push(identify(conns[0], "near"));
    queue.inspect(conns[1], asked("production", 1));
    queue.push(Job::Recheck { conns: vec![conns[2]], question: question() });
    assert!(matches!(queue.poll(now, |_| true), Some(Job::Recheck { .. })));
    assert!(matches!(queue.poll(now, |_| true), Some(Job::Inspect { .. })));
    assert!(matches!(queue.poll(now, |_| true), Some(Job::Identify { .. })));
    assert!(queue.poll(now, |_| true).is_none());
}

#[test]
fn nothing_is_asked_or_kept_for_whoever_is_gone() {
    let (mut queue, conns, now) = (Queue::default(), conns(4), origin());
    queue.push(identify(conns[0], "near"));
    queue.push(identify(conns[1], "near"));
    queue.inspect(conns[2], asked("production", 2));
    queue.inspect(conns[3], asked("production", 3));
    queue.forget(conns[0]);
    queue.forget(conns[2]);
    assert_eq!(queue.len(), 2);
    queue.push(Job::Inspect { conns: vec![conns[3]], question: question() });
    assert!(queue.poll(now, |_| false).is_none());
    assert_eq!(queue.len(), 0);
    assert!(queue.clusters.is_empty(), "agents choose the names");
}

#[test]
fn all_agents_of_a_cluster_that_wait_are_asked_about_together() {
    let (mut queue, conns, now) = (Queue::default(), conns(2 * SUBJECTS_MAX + 2), origin());
    queue.inspect(conns[0], asked("a", 0));
    assert_eq!(inspected(&mut queue, now), Some((vec![conns[0]], 1)));
    for (number, conn) in conns[1..=SUBJECTS_MAX + 1].iter().enumerate() {
        queue.inspect(*conn, asked("a", number));
    }
    assert_eq!(inspected(&mut queue, now), None, "they wait for the answer about the first");
    let other = *conns.last().unwrap();
    queue.inspect(other, asked("b", 0));
    assert_eq!(inspected(&mut queue, now), Some((vec![other], 1)), "another cluster does not");
    queue.inspected(&conns[..1]);
    let next = (conns[1..=SUBJECTS_MAX].to_vec(), SUBJECTS_MAX);
    assert_eq!(inspected(&mut queue, now), Some(next), "as many as one question may be about");
    assert_eq!(inspected(&mut queue, now), None);
    queue.inspected(&conns[1..=SUBJECTS_MAX]);
    assert_eq!(inspected(&mut queue, now), Some((vec![conns[SUBJECTS_MAX + 1]], 1)));
    queue.inspected(&conns[SUBJECTS_MAX + 1..SUBJECTS_MAX + 2]);
    queue.inspected(&[other]);
    assert!(queue.clusters.is_empty() && queue.inspecting.is_empty(), "nothing is kept");
}

#[test]
fn clusters_have_their_turns() {
    let (mut queue, conns, now) = (Queue::default(), conns(4), origin());
    queue.inspect(conns[0], asked("a", 0));
    queue.inspect(conns[1], asked("b", 1));
    assert_eq!(inspected(&mut queue, now), Some((vec![conns[0]], 1)));
    // There is always somebody of the first one who waits.
    queue.inspect(conns[2], asked("a", 2));
    queue.inspected(&conns[..1]);
    assert_eq!(inspected(&mut queue, now), Some((vec![conns[1]], 1)));
    assert_eq!(inspected(&mut queue, now), Some((vec![conns[2]], 1)));
}

/// Several tunnels of one task are one subject.
#[test]
fn tunnels_of_one_task_share_its_question() {
    let (mut queue, conns, now) = (Queue::default(), conns(3), origin());
    for conn in &conns {
        queue.inspect(*conn, asked("a", 7));
    }
    assert_eq!(inspected(&mut queue, now), Some((conns, 1)));
}

/// ECS denies a question as a whole, and the ingress may be allowed to ask about the tasks of its clusters
/// only, which an ARN of the old form does not name.
#[test]
fn an_arn_without_a_cluster_shares_no_question_with_those_that_name_it() {
    let (mut queue, conns, now) = (Queue::default(), conns(4), origin());
    let new = |number| asked("a", number);
    let old = |number| asked_of_old_form("a", number);
    let all = [new(1), old(2), new(3), old(4)];
    let all: Vec<_> = conns.iter().copied().zip(all).collect();
    for (conn, asked) in &all {
        queue.inspect(*conn, asked.clone());
    }
    assert_eq!(inspected(&mut queue, now), Some((vec![conns[0], conns[2]], 2)));
    assert_eq!(inspected(&mut queue, now), Some((vec![conns[1], conns[3]], 2)));
    queue.inspected(&[conns[0], conns[2]]);
    queue.inspected(&[conns[1], conns[3]]);
    assert!(queue.clusters.is_empty() && queue.inspecting.is_empty(), "nothing is kept");
    let together: Vec<_> = batches(&all).into_iter().map(|(conns, _)| conns).collect();
    assert_eq!(together, [[conns[0], conns[2]], [conns[1], conns[3]]], "nor when asked again");
}
