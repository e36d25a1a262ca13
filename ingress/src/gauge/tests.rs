use std::sync::Arc;
use std::time::Duration;

use mesh_protocol::WorkerId;

use super::{Gauge, Homes, Reading};
use crate::tunnel::Serial;
use crate::tunnel::tests::origin;

#[test]
fn it_says_what_was_published_last() {
    let epoch = origin();
    let now = epoch + Duration::from_millis(1500);
    let until = now + Duration::from_micros(10_000_300);
    let fair = Reading {
        in_flight: 3,
        takes_requests: true,
        has_room: true,
        lasts: true,
        holds_hosts: true,
        is_replaced: false,
        ejected_until: None,
    };
    let gauge = Gauge::new(Serial(7), epoch, &fair);
    assert!(
        gauge.agrees_with(&fair) && gauge.takes_requests() && gauge.has_room() && gauge.lasts()
    );
    assert!(!gauge.is_ejected(now));
    let poor = Reading {
        in_flight: 9,
        takes_requests: false,
        has_room: false,
        lasts: false,
        holds_hosts: false,
        is_replaced: true,
        ejected_until: Some(until),
    };
    gauge.publish(&poor);
    assert!(
        gauge.agrees_with(&poor)
            && !gauge.agrees_with(&fair)
            && !gauge.lasts()
            && gauge.is_replaced()
    );
    assert!(gauge.is_ejected(now) && gauge.is_ejected(until - Duration::from_micros(1)));
    assert!(!gauge.is_ejected(until + Duration::from_millis(1)));
    gauge.publish(&fair);
    gauge.leave();
    assert!(!gauge.takes_requests() && !gauge.lasts(), "whatever was published");
}

#[test]
fn who_sets_out_counts_until_it_arrives_or_is_gone() {
    let reading = Reading {
        in_flight: 0,
        takes_requests: true,
        has_room: true,
        lasts: true,
        holds_hosts: true,
        is_replaced: false,
        ejected_until: None,
    };
    let gauge = Arc::new(Gauge::new(Serial(7), origin(), &reading));
    let (first, second) = (Arc::clone(&gauge).reserve(), Arc::clone(&gauge).reserve());
    assert_eq!(first.serial(), Serial(7));
    drop(first);
    assert_eq!((gauge.in_flight(), gauge.reserved()), (0, 1));
    drop(second);
    assert_eq!(gauge.reserved(), 0);
}

#[test]
fn callers_are_counted_at_the_worker_where_they_are() {
    let homes = Homes::new(2);
    homes.enter(WorkerId(0));
    homes.enter(WorkerId(1));
    homes.enter(WorkerId(1));
    homes.leave(WorkerId(0));
    assert_eq!((homes.at(WorkerId(0)), homes.at(WorkerId(1))), (0, 2));
    homes.enter(WorkerId(2));
    assert_eq!(homes.at(WorkerId(2)), 0, "there is no such worker");
}
