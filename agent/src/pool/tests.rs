use std::time::{Duration, Instant};

use mesh_protocol::{ConnId, Conns, Duplex};

use super::Pool;

fn setup(max: usize) -> (Pool, Vec<ConnId>, Instant) {
    let mut conns = Conns::new();
    let ids = (0..4).map(|_| conns.insert(Duplex::new(1), ())).collect();
    #[expect(clippy::disallowed_methods, reason = "an origin for made-up time")]
    let now = Instant::now();
    (Pool::new(max), ids, now)
}

#[test]
fn the_connection_used_last_is_used_next() {
    let (mut pool, ids, now) = setup(4);
    for id in &ids[..3] {
        assert!(pool.put(*id, now));
    }
    pool.remove(ids[1]);
    assert_eq!(pool.take(Duration::ZERO, now), Some(ids[2]));
    assert_eq!(pool.take(Duration::ZERO, now), Some(ids[0]));
    assert_eq!(pool.take(Duration::ZERO, now), None);
}

#[test]
fn one_that_rested_too_long_is_not_used() {
    let (mut pool, ids, now) = setup(4);
    pool.put(ids[0], now);
    let later = now + Duration::from_secs(2);
    assert_eq!(pool.take(Duration::from_secs(1), later), None);
    assert_eq!(pool.take(Duration::from_secs(2), later), Some(ids[0]));
}

#[test]
fn no_more_than_enough_are_kept() {
    let (mut pool, ids, now) = setup(1);
    assert!(pool.put(ids[0], now));
    assert!(!pool.put(ids[1], now));
    assert_eq!(pool.len(), 1);
}

#[test]
fn the_one_that_has_rested_longest_gives_way() {
    let (mut pool, ids, now) = setup(4);
    assert_eq!(pool.take_oldest(), None);
    pool.put(ids[0], now);
    pool.put(ids[1], now);
    assert_eq!(pool.take_oldest(), Some(ids[0]));
    assert_eq!(pool.iter().collect::<Vec<_>>(), [ids[1]]);
}

#[test]
fn only_one_that_rests_long_enough_is_surplus() {
    let (mut pool, ids, now) = setup(4);
    let age = Duration::from_secs(1);
    assert_eq!(pool.take_rested(age, now), None);
    pool.put(ids[0], now);
    pool.put(ids[1], now + age / 2);
    assert_eq!(pool.take_rested(age, now + age / 2), None);
    assert_eq!(pool.take_rested(age, now + age), Some(ids[0]));
    assert_eq!(pool.take_rested(age, now + age), None);
}

#[test]
fn one_place_is_owed_however_often_it_is_asked_for() {
    let (mut pool, ids, now) = setup(4);
    for _ in 0..5 {
        pool.owe();
    }
    let kept: Vec<_> = ids.iter().map(|id| pool.put(*id, now)).collect();
    assert_eq!(kept, [false, true, true, true]);
}
