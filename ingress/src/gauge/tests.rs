use std::time::Duration;

use super::{Gauge, Reading};
use crate::tunnel::tests::origin;

#[test]
fn it_says_what_was_published_last() {
    let epoch = origin();
    let now = epoch + Duration::from_millis(1500);
    let until = now + Duration::from_micros(10_000_300);
    let fair = Reading { in_flight: 3, takes_requests: true, has_room: true, ejected_until: None };
    let gauge = Gauge::new(epoch, &fair);
    assert!(gauge.says(&fair) && gauge.takes_requests() && gauge.has_room());
    assert!(!gauge.is_ejected(now));
    let poor = Reading {
        in_flight: 9,
        takes_requests: false,
        has_room: false,
        ejected_until: Some(until),
    };
    gauge.publish(&poor);
    assert!(gauge.says(&poor) && !gauge.says(&fair));
    assert!(gauge.is_ejected(now) && gauge.is_ejected(until - Duration::from_micros(1)));
    assert!(!gauge.is_ejected(until + Duration::from_millis(1)));
    gauge.publish(&fair);
    gauge.leave();
    assert!(!gauge.takes_requests(), "whatever was published");
}

#[test]
fn who_sets_out_counts_until_it_arrives() {
    let reading =
        Reading { in_flight: 0, takes_requests: true, has_room: true, ejected_until: None };
    let gauge = Gauge::new(origin(), &reading);
    gauge.expect();
    gauge.expect();
    gauge.arrived();
    assert_eq!((gauge.in_flight(), gauge.coming()), (0, 1));
}
