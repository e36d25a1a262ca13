use std::time::{Duration, Instant};

use super::Timers;
use crate::{ConnId, Conns, Duplex};

fn setup() -> (Timers, Vec<ConnId>, impl Fn(u64) -> Instant) {
    let mut conns = Conns::new();
    let ids = (0..4).map(|_| conns.insert(Duplex::new(1), ())).collect();
    #[expect(clippy::disallowed_methods, reason = "an origin for made-up time")]
    let origin = Instant::now();
    (Timers::new(), ids, move |seconds| origin + Duration::from_secs(seconds))
}

#[test]
fn entries_come_in_the_order_of_their_deadlines() {
    let (mut timers, ids, at) = setup();
    for (id, due) in [(0, 5), (1, 3), (2, 4)] {
        timers.update(ids[id], Some(at(due)));
    }
    assert_eq!(timers.next(), Some(at(3)));
    assert_eq!(timers.poll(at(2)), None);
    assert_eq!(timers.poll(at(4)), Some(ids[1]));
    assert_eq!(timers.poll(at(4)), Some(ids[2]));
    assert_eq!(timers.poll(at(4)), None);
}

#[test]
fn a_later_deadline_costs_nothing_and_an_earlier_one_replaces() {
    let (mut timers, ids, at) = setup();
    timers.update(ids[0], Some(at(5)));
    timers.update(ids[0], Some(at(9)));
    assert_eq!(timers.next(), Some(at(5)), "asked early, to be told the later deadline then");
    timers.update(ids[0], Some(at(2)));
    assert_eq!(timers.poll(at(2)), Some(ids[0]));
    assert_eq!(timers.poll(at(20)), None, "the replaced entry is stale");
}

#[test]
fn a_removed_connection_is_never_asked() {
    let (mut timers, ids, at) = setup();
    timers.update(ids[0], Some(at(1)));
    timers.remove(ids[0]);
    assert_eq!(timers.poll(at(9)), None);
}

#[test]
fn deadlines_that_keep_moving_earlier_do_not_pile_up() {
    let (mut timers, ids, at) = setup();
    for step in 0..10_000 {
        timers.update(ids[0], Some(at(20_000 - step)));
    }
    assert!(timers.heap.len() <= 4 * 4 + 65, "{}", timers.heap.len());
    assert_eq!(timers.poll(at(10_001)), Some(ids[0]));
    assert_eq!(timers.poll(at(30_000)), None);
}
