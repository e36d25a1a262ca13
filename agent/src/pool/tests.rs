use std::time::{Duration, Instant};

use mesh_protocol::{ConnId, Conns, Duplex};

use super::{PAUSE, Pool, QUICK, SURPLUS};
use crate::upstream::GIVING_WAY;

/// Nothing of what happens here takes so long.
const LONG: Duration = Duration::from_secs(60);

fn setup(max: usize) -> (Pool, Vec<ConnId>, Instant) {
    let mut conns = Conns::new();
    let ids = (0..4).map(|_| conns.insert(Duplex::new(1), ())).collect();
    #[expect(clippy::disallowed_methods, reason = "an origin for made-up time")]
    let now = Instant::now() + LONG;
    (Pool::new(max), ids, now)
}

/// A connection whose exchange took long.
fn keep(pool: &mut Pool, conn: ConnId, now: Instant) -> bool {
    pool.put(conn, now - LONG, now)
}

#[test]
fn the_connection_used_last_is_used_next() {
    let (mut pool, ids, now) = setup(4);
    for id in &ids[..3] {
        assert!(keep(&mut pool, *id, now));
    }
    pool.remove(ids[1]);
    assert_eq!(pool.take(Duration::ZERO, now), Some(ids[2]));
    assert_eq!(pool.take(Duration::ZERO, now), Some(ids[0]));
    assert_eq!(pool.take(Duration::ZERO, now), None);
}

#[test]
fn one_that_rested_too_long_is_not_used() {
    let (mut pool, ids, now) = setup(4);
    keep(&mut pool, ids[0], now);
    let later = now + Duration::from_secs(2);
    assert_eq!(pool.take(Duration::from_secs(1), later), None);
    assert_eq!(pool.take(Duration::from_secs(2), later), Some(ids[0]));
}

#[test]
fn no_more_than_enough_are_kept() {
    let (mut pool, ids, now) = setup(1);
    assert!(keep(&mut pool, ids[0], now));
    assert!(!keep(&mut pool, ids[1], now));
    assert_eq!(pool.len(), 1);
}

#[test]
fn the_one_that_has_rested_longest_gives_way() {
    let (mut pool, ids, now) = setup(4);
    assert_eq!(pool.take_oldest(), None);
    keep(&mut pool, ids[0], now);
    keep(&mut pool, ids[1], now);
    assert_eq!(pool.take_oldest(), Some(ids[0]));
    assert_eq!(pool.iter().collect::<Vec<_>>(), [ids[1]]);
}

#[test]
fn those_that_nobody_needs_give_way_at_once() {
    let (mut pool, ids, now) = setup(4);
    let later = now + SURPLUS;
    for id in &ids[..3] {
        keep(&mut pool, *id, now);
    }
    keep(&mut pool, ids[3], later);
    for id in &ids[..3] {
        assert_eq!(pool.give_way(false, later), Some(*id));
    }
    assert_eq!(pool.give_way(false, later), None, "the last one may be needed");
    assert_eq!(pool.take(Duration::ZERO, later), Some(ids[3]));
}

#[test]
fn one_that_may_be_needed_gives_way_once_in_a_while() {
    let (mut pool, ids, now) = setup(4);
    for id in &ids[..2] {
        keep(&mut pool, *id, now);
    }
    assert_eq!(pool.give_way(false, now), Some(ids[0]));
    // It is used and kept again all the time.
    for millisecond in 1..1_000 {
        let now = now + Duration::from_millis(millisecond);
        assert_eq!(pool.take(PAUSE, now), Some(ids[1]));
        keep(&mut pool, ids[1], now);
        assert_eq!(pool.give_way(false, now), None);
    }
    assert_eq!(pool.give_way(false, now + PAUSE), Some(ids[1]));
}

#[test]
fn one_gives_way_to_other_workers_no_more_often() {
    let (mut pool, ids, now) = setup(4);
    for id in &ids[..3] {
        keep(&mut pool, *id, now);
    }
    assert_eq!(pool.give_way_seldom(now), Some(ids[0]));
    assert_eq!(pool.give_way_seldom(now + PAUSE / 2), None);
    assert_eq!(pool.give_way(false, now + PAUSE / 3), None, "one gave way");
    assert_eq!(pool.give_way(false, now + PAUSE), Some(ids[1]));
    assert_eq!(pool.give_way_seldom(now + PAUSE), None, "one gave way");
    assert_eq!(pool.take_oldest(), Some(ids[2]));
    assert_eq!(pool.give_way_seldom(now + PAUSE * 2), None);
    assert!(!keep(&mut pool, ids[3], now), "it is owed");
}

#[test]
fn one_place_is_owed_however_often_it_is_asked_for() {
    let (mut pool, ids, now) = setup(4);
    for _ in 0..5 {
        assert_eq!(pool.give_way(false, now), None);
        assert_eq!(pool.take_oldest_or_owe(), None);
    }
    let kept: Vec<_> = ids.iter().map(|id| keep(&mut pool, *id, now)).collect();
    assert_eq!(kept, [false, true, true, true]);
}

/// A service that has no place for those that wait is quick with others.
#[test]
fn each_that_waits_gets_a_place_once_where_the_service_was_quick_meanwhile() {
    let (mut pool, ids, since) = setup(4);
    pool.put(ids[0], since, since + QUICK);
    let now = since + GIVING_WAY;
    assert_eq!(pool.take(LONG, now), Some(ids[0]));
    for _ in 0..3 {
        assert_eq!(pool.give_way(pool.was_quick_since(since), now), None);
    }
    let kept: Vec<_> = ids.iter().map(|id| keep(&mut pool, *id, now)).collect();
    assert_eq!(kept, [false, false, false, true]);
    assert_eq!(pool.give_way(pool.was_quick_since(since), now), Some(ids[3]));
    keep(&mut pool, ids[3], now);
    assert_eq!(pool.give_way(false, now), None, "it had a place");
    assert!(!pool.was_quick_since(since + QUICK * 3 / 2), "the quick one was before it");
}
