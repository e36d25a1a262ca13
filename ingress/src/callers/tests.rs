use super::{Arrival, Callers};
use crate::config::Limits;

#[test]
fn limits_hold_in_all_and_for_one_address() {
    let limits = Limits { connections: 3, connections_per_address: 2, ..Limits::default() };
    let (here, there) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
    let mut callers = Callers::default();
    assert_eq!(callers.arrived(here, &limits), Arrival::Admitted);
    assert_eq!(callers.arrived(here, &limits), Arrival::Admitted);
    assert_eq!(callers.arrived(here, &limits), Arrival::TurnedAway, "two from one address");
    assert_eq!(callers.arrived(there, &limits), Arrival::Admitted);
    assert_eq!(callers.arrived(there, &limits), Arrival::TurnedAway, "three in all");
    assert_eq!(callers.total(), 5);
    callers.turned_away_left();
    callers.turned_away_left();
    for _ in 0..4 {
        callers.left(here);
        callers.left(there);
    }
    assert_eq!(callers.total(), 0);
    assert_eq!(callers.arrived(here, &limits), Arrival::Admitted);
}

#[test]
fn those_who_are_turned_away_take_no_place_of_others() {
    let limits = Limits { connections: 3, connections_per_address: 2, ..Limits::default() };
    let (here, there) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
    let mut callers = Callers::default();
    for _ in 0..2 {
        assert_eq!(callers.arrived(here, &limits), Arrival::Admitted);
    }
    for _ in 0..3 {
        assert_eq!(callers.arrived(here, &limits), Arrival::TurnedAway);
    }
    assert_eq!(callers.arrived(there, &limits), Arrival::Admitted);
    // They who close late outlast those who were served.
    callers.left(here);
    callers.left(here);
    assert_eq!(callers.arrived(here, &limits), Arrival::Admitted);
    assert_eq!(callers.arrived(there, &limits), Arrival::Admitted);
    assert_eq!(callers.total(), 6);
}

#[test]
fn a_flood_beyond_the_limit_is_dropped() {
    let limits = Limits { connections: 1, connections_per_address: 9999, ..Limits::default() };
    let address = "::1".parse().unwrap();
    let mut callers = Callers::default();
    let arrivals: Vec<_> = (0..200).map(|_| callers.arrived(address, &limits)).collect();
    assert_eq!(arrivals.iter().filter(|one| **one == Arrival::TurnedAway).count(), 128);
    assert_eq!(arrivals[199], Arrival::Dropped);
    assert_eq!(callers.total(), 129);
    callers.turned_away_left();
    assert_eq!(callers.arrived(address, &limits), Arrival::TurnedAway);
}

#[test]
fn a_flood_from_one_address_is_dropped() {
    let limits = Limits { connections: 9999, connections_per_address: 1, ..Limits::default() };
    let (here, there) = ("::1".parse().unwrap(), "::2".parse().unwrap());
    let mut callers = Callers::default();
    let arrivals: Vec<_> = (0..200).map(|_| callers.arrived(here, &limits)).collect();
    assert_eq!(arrivals.iter().filter(|one| **one == Arrival::TurnedAway).count(), 128);
    assert_eq!(arrivals[199], Arrival::Dropped);
    assert_eq!(callers.arrived(there, &limits), Arrival::Admitted);
    assert_eq!(callers.total(), 130);
}
