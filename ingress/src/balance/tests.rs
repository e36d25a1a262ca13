use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh_protocol::mux::Flags;
use mesh_protocol::{Conns, Duplex, Rng, WorkerId};

use super::{Scope, Unavailable};
use crate::gauge::{Gauge, Reading};
use crate::routes::{Candidate, Place};
use crate::tunnel::tests::{origin, tunnel};
use crate::tunnel::{Serial, TunnelId, Tunnels};

fn candidates(ids: &[TunnelId]) -> Vec<Candidate> {
    let here = |(number, id): (u64, &TunnelId)| Candidate {
        serial: Serial(number),
        place: Place::Here(*id),
    };
    // The slot of the tunnel is its number here.
    ids.iter().map(|id| here((id.conn().index() as u64, id))).collect()
}

/// Picks among tunnels of this worker.
fn pick(
    ids: &[TunnelId],
    tunnels: &Tunnels,
    except: Option<TunnelId>,
    now: Instant,
    rng: &mut Rng,
) -> Result<TunnelId, Unavailable> {
    let candidates = candidates(ids);
    let except = except.map(|id| Serial(id.conn().index() as u64));
    let picked = super::pick(&candidates, tunnels, (Scope::Here, except), now, rng)?;
    match picked.place {
        Place::Here(id) => Ok(id),
        Place::There(..) => panic!("none is elsewhere"),
    }
}

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

const FAIR: Reading =
    Reading { in_flight: 0, takes_requests: true, has_room: true, ejected_until: None };

/// One tunnel here and one at another worker, with that gauge.
fn two_workers(now: Instant) -> (Tunnels, TunnelId, Vec<Candidate>, Arc<Gauge>) {
    let (tunnels, ids) = setup(1, now);
    let gauge = Arc::new(Gauge::new(now, &FAIR));
    let mut all = candidates(&ids);
    let place = Place::There(WorkerId(1), Arc::clone(&gauge));
    all.push(Candidate { serial: Serial(99), place });
    (tunnels, ids[0], all, gauge)
}

fn is_there(picked: Result<&Candidate, Unavailable>) -> bool {
    matches!(picked.unwrap().place, Place::There(..))
}

#[test]
fn two_idle_agents_share_and_of_two_busy_ones_the_nearer_is_taken() {
    let now = origin();
    let (mut tunnels, id, all, gauge) = two_workers(now);
    let mut rng = Rng::from_seed(6);
    let mut moved = 0;
    for _ in 0..1000 {
        let everywhere = (Scope::Everywhere, None);
        moved += usize::from(is_there(super::pick(&all, &tunnels, everywhere, now, &mut rng)));
    }
    assert!((400..600).contains(&moved), "{moved}");
    load(&mut tunnels, id, 1);
    for _ in 0..50 {
        let everywhere = (Scope::Everywhere, None);
        assert!(is_there(super::pick(&all, &tunnels, everywhere, now, &mut rng)));
        assert!(!is_there(super::pick(&all, &tunnels, (Scope::Here, None), now, &mut rng)));
    }
    gauge.expect();
    for _ in 0..50 {
        let everywhere = (Scope::Everywhere, None);
        let picked = super::pick(&all, &tunnels, everywhere, now, &mut rng);
        assert!(!is_there(picked), "who is on the way counts");
    }
}

#[test]
fn an_agent_elsewhere_is_measured_as_one_here_is() {
    let now = origin();
    let (tunnels, _, all, gauge) = two_workers(now);
    let mut rng = Rng::from_seed(7);
    let except = (Scope::Everywhere, Some(Serial(0)));
    let mut pick = || super::pick(&all, &tunnels, except, now, &mut rng).map(|one| one.serial);
    assert_eq!(pick(), Ok(Serial(99)));
    gauge.publish(&Reading { has_room: false, ..FAIR });
    assert_eq!(pick(), Err(Unavailable::Overloaded));
    let later = now + Duration::from_secs(10);
    gauge.publish(&Reading { ejected_until: Some(later), ..FAIR });
    assert_eq!(pick(), Ok(Serial(99)), "better than none");
    gauge.publish(&Reading { takes_requests: false, ..FAIR });
    assert_eq!(pick(), Err(Unavailable::NoHealthyAgent));
    gauge.publish(&FAIR);
    gauge.leave();
    assert_eq!(pick(), Err(Unavailable::NoHealthyAgent));
}
