use std::time::Instant;

use mesh_protocol::mux::Flags;
use mesh_protocol::{Conns, Duplex, Rng};

use super::{Unavailable, pick};
use crate::tunnel::tests::{origin, tunnel};
use crate::tunnel::{TunnelId, Tunnels};

fn setup(count: usize, now: Instant) -> (Tunnels, Vec<TunnelId>) {
    let mut conns = Conns::new();
    let mut tunnels = Tunnels::default();
    let ids: Vec<_> = (0..count).map(|_| TunnelId(conns.insert(Duplex::new(0), ()))).collect();
    for id in &ids {
        tunnels.insert(*id, tunnel(3, now));
    }
    (tunnels, ids)
}

fn load(tunnels: &mut Tunnels, id: TunnelId, streams: usize) {
    for _ in 0..streams {
        let session = &mut tunnels.get_mut(id).unwrap().link.session;
        session.open(id.conn(), Flags::NONE, |_| {}).unwrap();
    }
}

#[test]
fn the_less_loaded_of_two_gets_the_request() {
    let now = origin();
    let (mut tunnels, ids) = setup(2, now);
    load(&mut tunnels, ids[0], 1);
    let mut rng = Rng::from_seed(1);
    for _ in 0..50 {
        assert_eq!(pick(&ids, &tunnels, None, now, &mut rng), Ok(ids[1]));
    }
}

#[test]
fn equal_agents_share_evenly() {
    let now = origin();
    let (tunnels, ids) = setup(4, now);
    let mut rng = Rng::from_seed(2);
    let mut counts = [0; 4];
    for _ in 0..4_000 {
        let picked = pick(&ids, &tunnels, None, now, &mut rng).unwrap();
        counts[ids.iter().position(|id| *id == picked).unwrap()] += 1;
    }
    assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
}

#[test]
fn unhealthy_draining_and_excepted_agents_get_nothing() {
    let now = origin();
    let (mut tunnels, ids) = setup(4, now);
    tunnels.get_mut(ids[0]).unwrap().is_healthy = false;
    tunnels.get_mut(ids[1]).unwrap().is_draining = true;
    let mut rng = Rng::from_seed(3);
    for _ in 0..50 {
        assert_eq!(pick(&ids, &tunnels, Some(ids[2]), now, &mut rng), Ok(ids[3]));
    }
    let none = pick(&ids[..3], &tunnels, Some(ids[2]), now, &mut rng);
    assert_eq!(none, Err(Unavailable::NoHealthyAgent));
    assert_eq!(pick(&[], &tunnels, None, now, &mut rng), Err(Unavailable::NoHealthyAgent));
}

#[test]
fn a_full_agent_gives_way_and_full_agents_mean_overload() {
    let now = origin();
    let (mut tunnels, ids) = setup(3, now);
    load(&mut tunnels, ids[0], 3);
    load(&mut tunnels, ids[1], 3);
    let mut rng = Rng::from_seed(4);
    for _ in 0..50 {
        assert_eq!(pick(&ids, &tunnels, None, now, &mut rng), Ok(ids[2]));
    }
    load(&mut tunnels, ids[2], 3);
    assert_eq!(pick(&ids, &tunnels, None, now, &mut rng), Err(Unavailable::Overloaded));
}

#[test]
fn an_ejected_agent_is_used_only_when_no_other_is_left() {
    let now = origin();
    let (mut tunnels, ids) = setup(2, now);
    for _ in 0..5 {
        tunnels.get_mut(ids[0]).unwrap().failed(now);
    }
    let mut rng = Rng::from_seed(5);
    for _ in 0..50 {
        assert_eq!(pick(&ids, &tunnels, None, now, &mut rng), Ok(ids[1]));
    }
    assert_eq!(pick(&ids[..1], &tunnels, None, now, &mut rng), Ok(ids[0]));
}
