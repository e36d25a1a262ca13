use std::time::{Duration, Instant};

use super::{Change, Health, Verdict};
use crate::config::HealthCheck;

#[expect(clippy::disallowed_methods, reason = "an origin for made-up time")]
fn origin() -> Instant {
    Instant::now()
}

fn bad() -> Verdict {
    Verdict::Bad("connection refused".to_owned())
}

fn check() -> HealthCheck {
    HealthCheck { rise: 2, fall: 3, ..HealthCheck::default() }
}

#[test]
fn the_first_probe_decides_alone() {
    for (verdict, change) in [(Verdict::Good, Change::Up), (bad(), Change::Down)] {
        let mut health = Health::new(origin());
        assert!(!health.is_healthy());
        assert_eq!(health.record(verdict, &check(), origin()), change);
        assert_eq!(health.is_healthy(), change == Change::Up);
    }
}

#[test]
fn a_service_that_was_healthy_once_has_been_so_for_good() {
    let (now, mut health) = (origin(), Health::new(origin()));
    let once = HealthCheck { fall: 1, ..check() };
    let mut seen = Vec::new();
    for verdict in [bad(), Verdict::Good, Verdict::Good, bad()] {
        health.record(verdict, &once, now);
        seen.push((health.is_healthy(), health.has_been_healthy()));
    }
    assert_eq!(seen, [(false, false), (false, false), (true, true), (false, true)]);
}

#[test]
fn only_probes_in_a_row_change_what_is_believed() {
    let now = origin();
    let mut health = Health::new(now);
    let mut seen = Vec::new();
    let probes = [1, 0, 0, 1, 0, 0, 0, 1, 0, 1, 1, 1];
    for good in probes {
        let verdict = if good == 1 { Verdict::Good } else { bad() };
        seen.push(health.record(verdict, &check(), now));
    }
    let changes: Vec<_> =
        seen.iter().enumerate().filter(|(_, change)| **change != Change::Same).collect();
    assert_eq!(changes, [(0, &Change::Up), (6, &Change::Down), (10, &Change::Up)]);
}

#[test]
fn a_probe_that_disagrees_is_looked_at_again_soon() {
    let now = origin();
    let mut health = Health::new(now);
    health.record(Verdict::Good, &check(), now);
    assert_eq!(health.due(), Some(now + Duration::from_secs(10)));
    health.record(bad(), &check(), now);
    assert_eq!(health.due(), Some(now + Duration::from_secs(1)));
    health.record(bad(), &check(), now);
    health.record(bad(), &check(), now);
    assert_eq!(health.due(), Some(now + Duration::from_secs(2)), "decided, and to be watched");
    health.record(bad(), &check(), now);
    assert_eq!(health.due(), Some(now + Duration::from_secs(2)), "still down");
}

#[test]
fn a_request_that_cannot_reach_the_service_brings_the_probe_forward() {
    let now = origin();
    let mut health = Health::new(now);
    health.record(Verdict::Good, &check(), now);
    let later = now + Duration::from_secs(2);
    health.suspect(later);
    assert_eq!(health.due(), Some(later));
    health.record(bad(), &check(), later);
    health.suspect(later);
    assert_eq!(health.due(), Some(later + Duration::from_secs(1)), "not in a tight loop");
}

#[test]
fn another_reason_of_a_service_that_stays_down_is_told_but_not_too_often() {
    let (now, mut health) = (origin(), Health::new(origin()));
    let wrong = || Verdict::Bad("answered 404".to_owned());
    assert_eq!(health.record(bad(), &check(), now), Change::Down);
    let after = |seconds| now + Duration::from_secs(seconds);
    assert_eq!(health.record(bad(), &check(), after(20)), Change::Same, "it is known");
    assert_eq!(health.record(wrong(), &check(), after(22)), Change::Cause);
    assert_eq!(health.reason(), "answered 404");
    assert_eq!(health.record(bad(), &check(), after(24)), Change::Same, "too soon");
    assert_eq!(health.record(wrong(), &check(), after(40)), Change::Same, "it was told");
    assert_eq!(health.record(bad(), &check(), after(42)), Change::Cause);
}

#[test]
fn a_service_is_unhealthy_for_a_reason_until_it_is_healthy() {
    let (now, mut health) = (origin(), Health::new(origin()));
    health.record(bad(), &check(), now);
    assert_eq!(health.record(Verdict::Good, &check(), now), Change::Same);
    assert!(!health.is_healthy());
    assert_eq!(health.report().reason, "connection refused");
    assert_eq!(health.record(Verdict::Good, &check(), now), Change::Up);
    assert_eq!(health.report().reason, "");
}

#[test]
fn an_ingress_that_was_taken_for_the_service_never_was_healthy() {
    let (now, mut health) = (origin(), Health::new(origin()));
    health.answered_by = b"one".to_vec();
    health.record(Verdict::Good, &check(), now);
    assert_eq!(
        health.detect_loop(b"another", &check(), now),
        Change::Same,
        "that may be the service"
    );
    assert!(health.is_healthy() && health.has_been_healthy());
    assert_eq!(health.detect_loop(b"one", &check(), now), Change::Down);
    assert!(!health.is_healthy() && !health.has_been_healthy());
    assert!(health.reason().starts_with("it is the ingress of this agent"), "{}", health.reason());
    assert_eq!(health.detect_loop(b"one", &check(), now), Change::Same, "it is known");
}

#[test]
fn an_ingress_that_names_itself_not_is_nobody() {
    let (now, mut health) = (origin(), Health::new(origin()));
    health.record(Verdict::Good, &check(), now);
    assert_eq!(health.detect_loop(b"", &check(), now), Change::Same);
    assert!(health.is_healthy());
}
