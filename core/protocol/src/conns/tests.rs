use super::{ConnId, Conns};
use crate::{Duplex, Rng};

fn conns_with(count: usize) -> (Conns<usize>, Vec<ConnId>) {
    let mut conns = Conns::new();
    let ids = (0..count).map(|state| conns.insert(Duplex::new(1024), state)).collect();
    while conns.poll_touched().is_some() {}
    (conns, ids)
}

#[test]
fn mutable_access_is_reported_once_and_reading_is_not() {
    let (mut conns, ids) = conns_with(3);
    assert_eq!(conns.get(ids[0]).unwrap().state, 0);
    assert_eq!(conns.poll_touched(), None);
    conns.get_mut(ids[1]).unwrap().state = 9;
    conns.get_mut(ids[1]).unwrap().state = 10;
    assert_eq!(conns.poll_touched(), Some(ids[1]));
    assert_eq!(conns.poll_touched(), None);
}

#[test]
fn a_stale_name_means_nothing() {
    let (mut conns, ids) = conns_with(1);
    conns.get_mut(ids[0]);
    assert!(conns.remove(ids[0]));
    assert_eq!(conns.poll_touched(), None, "the touched connection is gone");
    let reused = conns.insert(Duplex::new(1), 7);
    assert_eq!(reused.index(), ids[0].index());
    assert!(conns.get(ids[0]).is_none());
    assert!(conns.get_mut(ids[0]).is_none());
    assert!(!conns.remove(ids[0]));
    assert_eq!(conns.get(reused).unwrap().state, 7);
}

#[test]
fn slots_behave_like_a_map() {
    let mut rng = Rng::from_seed(11);
    let (mut conns, mut ids) = conns_with(0);
    let mut gone = Vec::new();
    for step in 0..4_000 {
        if ids.is_empty() || rng.below(2) == 0 {
            ids.push(conns.insert(Duplex::new(1), step));
        } else {
            let id = ids.swap_remove(rng.index(ids.len()));
            assert!(conns.remove(id));
            gone.push(id);
        }
        assert_eq!(conns.len(), ids.len());
        assert_eq!(conns.iter().count(), ids.len());
    }
    assert!(ids.iter().all(|id| conns.get(*id).is_some()));
    assert!(gone.iter().all(|id| conns.get(*id).is_none()));
}

#[test]
fn an_idle_connection_owns_no_memory_and_a_busy_one_takes_used_memory() {
    let (mut conns, ids) = conns_with(2);
    conns.get_mut(ids[0]).unwrap().io.tx.extend(&[0; 900]);
    conns.reclaim(ids[0]);
    assert!(conns.get(ids[0]).unwrap().io.tx.capacity() > 0, "it is in use");
    conns.get_mut(ids[0]).unwrap().io.tx.clear();
    conns.reclaim(ids[0]);
    assert_eq!(conns.get(ids[0]).unwrap().io.tx.capacity(), 0);
    assert!(conns.get_mut(ids[1]).unwrap().io.tx.capacity() >= 900);
}

#[test]
fn the_memory_of_a_removed_connection_goes_to_the_next_one() {
    let mut conns = Conns::new();
    let mut io = Duplex::new(100);
    io.tx.extend(&[1; 3000]);
    io.tx.clear();
    let memory = io.tx.capacity();
    let first = conns.insert(io, ());
    conns.remove(first);
    let second = conns.insert(Duplex::new(100), ());
    assert_eq!(conns.get(second).unwrap().io.tx.capacity(), memory);
}

#[test]
fn connections_that_end_leave_their_memory_to_the_next_ones() {
    let (mut conns, ids) = conns_with(super::VACANT_MAX + 2);
    assert!(ids.iter().all(|id| conns.remove(*id)));
    assert_eq!(conns.vacant.len(), super::VACANT_MAX, "not all of a crowd's memory is kept");
    conns.insert(Duplex::new(1), 0);
    assert_eq!(conns.vacant.len(), super::VACANT_MAX - 1);
}
