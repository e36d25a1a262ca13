use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh_protocol::mux::Flags;
use mesh_protocol::{Conns, Duplex, Rng, WorkerId};

use super::{Culprit, Scope, Tried, Unavailable, View};
use crate::gauge::{Gauge, Homes, Reading};
use crate::replies::Reason;
use crate::routes::{Candidate, Place};
use crate::tunnel::tests::{origin, tunnel};
use crate::tunnel::{AgentId, Serial, Successor, TunnelId, Tunnels};

const FIRST: WorkerId = WorkerId::FIRST;
const SECOND: WorkerId = WorkerId(1);

/// How the first of two workers sees things, for a caller that is new.
fn view<'t>(tunnels: &'t Tunnels, homes: &'t Homes, scope: Scope, now: Instant) -> View<'t> {
    View { tunnels, own: FIRST, homes, streams_max: 100, home: None, scope, now }
}

/// An agent with one tunnel, which is not to be asked again.
fn tried(serial: u64) -> Tried {
    let serial = Serial(serial);
    Tried { serial, agent: AgentId(serial), service: "".into(), reason: Reason::UpstreamConnect }
}

fn candidates(ids: &[TunnelId]) -> Vec<Candidate> {
    let here = |(number, id): (u64, &TunnelId)| Candidate {
        serial: Serial(number),
        agent: AgentId(Serial(number)),
        service: "".into(),
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
    let except = except.map(|id| tried(id.conn().index() as u64));
    let homes = Homes::new(2);
    let picked =
        super::pick(&candidates, &view(tunnels, &homes, Scope::Here, now), except.as_ref(), rng)?;
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

const FAIR: Reading = Reading {
    in_flight: 0,
    takes_requests: true,
    has_room: true,
    lasts: true,
    holds_hosts: true,
    is_replaced: false,
    ejected_until: None,
};

/// One tunnel here and one at another worker, with that gauge.
fn two_workers(now: Instant) -> (Tunnels, TunnelId, Vec<Candidate>, Arc<Gauge>) {
    let (tunnels, ids) = setup(1, now);
    let gauge = Arc::new(Gauge::new(Serial(99), now, &FAIR));
    let mut all = candidates(&ids);
    all.push(there(99, 99, &gauge));
    (tunnels, ids[0], all, gauge)
}

/// A tunnel of some agent at the other worker.
fn there(serial: u64, agent: u64, gauge: &Arc<Gauge>) -> Candidate {
    let place = Place::There(SECOND, Arc::clone(gauge));
    let (serial, agent) = (Serial(serial), AgentId(Serial(agent)));
    Candidate { serial, agent, service: "".into(), place }
}

fn is_there(picked: Result<&Candidate, Unavailable>) -> bool {
    matches!(picked.unwrap().place, Place::There(..))
}

#[test]
fn two_idle_agents_share_and_of_two_busy_ones_the_nearer_is_taken() {
    let now = origin();
    let (mut tunnels, id, all, gauge) = two_workers(now);
    let mut rng = Rng::from_seed(6);
    let homes = Homes::new(2);
    let mut moved = 0;
    for _ in 0..1000 {
        let everywhere = view(&tunnels, &homes, Scope::Everywhere, now);
        moved += usize::from(is_there(super::pick(&all, &everywhere, None, &mut rng)));
    }
    assert!((400..600).contains(&moved), "{moved}");
    load(&mut tunnels, id, 1);
    for _ in 0..50 {
        let everywhere = view(&tunnels, &homes, Scope::Everywhere, now);
        assert!(is_there(super::pick(&all, &everywhere, None, &mut rng)));
        let here = View { scope: Scope::Here, ..everywhere };
        assert!(!is_there(super::pick(&all, &here, None, &mut rng)));
    }
    let _reservation = gauge.reserve();
    for _ in 0..50 {
        let everywhere = view(&tunnels, &homes, Scope::Everywhere, now);
        let picked = super::pick(&all, &everywhere, None, &mut rng);
        assert!(!is_there(picked), "who is on the way counts");
    }
}

#[test]
fn an_agent_elsewhere_is_measured_as_one_here_is() {
    let now = origin();
    let (tunnels, _, all, gauge) = two_workers(now);
    let mut rng = Rng::from_seed(7);
    let homes = Homes::new(2);
    let view = view(&tunnels, &homes, Scope::Everywhere, now);
    let mut pick = || super::pick(&all, &view, Some(&tried(0)), &mut rng).map(|one| one.serial);
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

#[test]
fn what_has_another_one_in_its_place_gets_nothing_where_that_is_known() {
    let now = origin();
    let (mut tunnels, id, all, gauge) = two_workers(now);
    let both = [all[0].clone(), there(99, all[0].agent.0.0, &gauge)];
    let mut rng = Rng::from_seed(9);
    let homes = Homes::new(2);
    let mut pick = |tunnels: &Tunnels, known: &[Candidate]| {
        let view = view(tunnels, &homes, Scope::Everywhere, now);
        super::pick(known, &view, None, &mut rng).map(is_elsewhere)
    };
    assert_eq!(pick(&tunnels, &both), Ok(false), "nearer");
    tunnels.get_mut(id).unwrap().successor = Successor::Found;
    assert_eq!(pick(&tunnels, &both), Ok(true));
    assert_eq!(pick(&tunnels, &both[..1]), Ok(false), "the other one is not known yet");
    gauge.publish(&Reading { has_room: false, ..FAIR });
    assert_eq!(pick(&tunnels, &both), Err(Unavailable::Overloaded));
    gauge.publish(&Reading { takes_requests: false, ..FAIR });
    assert_eq!(pick(&tunnels, &both), Ok(false), "the other one is of no use");
}

/// It may have another tunnel by another identity, and is another agent there.
#[test]
fn an_agent_that_is_only_there_by_a_replaced_tunnel_is_the_last_resort() {
    let now = origin();
    let (mut tunnels, id, all, gauge) = two_workers(now);
    tunnels.get_mut(id).unwrap().note_successor(Successor::Announced);
    let (mut rng, homes) = (Rng::from_seed(9), Homes::new(2));
    let view = view(&tunnels, &homes, Scope::Everywhere, now);
    for _ in 0..20 {
        assert!(is_there(super::pick(&all, &view, None, &mut rng)));
    }
    gauge.publish(&Reading { takes_requests: false, ..FAIR });
    assert!(!is_there(super::pick(&all, &view, None, &mut rng)));
}

fn is_elsewhere(picked: &Candidate) -> bool {
    matches!(picked.place, Place::There(..))
}

/// An agent with a tunnel here and one at the other worker, and one that has a tunnel here only.
struct Neighbours {
    tunnels: Tunnels,
    ids: Vec<TunnelId>,
    all: Vec<Candidate>,
    gauge: Arc<Gauge>,
    homes: Homes,
    now: Instant,
    rng: Rng,
}

/// Their serials.
const NEAR: u64 = 0;
const FAR: u64 = 50;
const OTHER: u64 = 1;

impl Neighbours {
    fn new(seed: u64) -> Self {
        let now = origin();
        let (tunnels, ids) = setup(2, now);
        let gauge = Arc::new(Gauge::new(Serial(FAR), now, &FAIR));
        let mut all = candidates(&ids);
        all.insert(1, there(FAR, NEAR, &gauge));
        let (homes, rng) = (Homes::new(2), Rng::from_seed(seed));
        Self { tunnels, ids, all, gauge, homes, now, rng }
    }

    /// How often each of the three is picked, in their order.
    fn picks(&mut self, home: Option<WorkerId>, tried: Option<&Tried>) -> [usize; 3] {
        let mut counts = [0; 3];
        for _ in 0..1000 {
            let view = view(&self.tunnels, &self.homes, Scope::Everywhere, self.now);
            let picked = super::pick(&self.all, &View { home, ..view }, tried, &mut self.rng);
            let picked = picked.unwrap().serial;
            counts[self.all.iter().position(|one| one.serial == picked).unwrap()] += 1;
        }
        counts
    }
}

#[test]
fn an_agent_with_two_tunnels_is_drawn_as_often_as_one_with_one() {
    let mut three = Neighbours::new(8);
    let [near, far, other] = three.picks(Some(FIRST), None);
    assert!((400..600).contains(&near) && far == 0, "{near} {far} {other}");
}

/// Fifty agents, each second one with three tunnels.
fn many(gauge: &Arc<Gauge>) -> Vec<Candidate> {
    let tunnels = |agent: u64| 0..if agent.is_multiple_of(2) { 1 } else { 3 };
    let of = |agent| tunnels(agent).map(move |number| there(10 * agent + number, agent, gauge));
    (0..50).flat_map(of).collect()
}

#[test]
fn of_many_agents_few_are_looked_at_and_all_are_drawn_as_often() {
    let gauge = Arc::new(Gauge::new(Serial(99), origin(), &FAIR));
    let (all, mut rng) = (many(&gauge), Rng::from_seed(16));
    let looks = Cell::new(0);
    let mut counts = [0; 50];
    for _ in 0..5_000 {
        let is_wanted = |agent: &[Candidate]| {
            looks.set(looks.get() + 1);
            !agent[0].agent.0.0.is_multiple_of(5)
        };
        let (one, two) = super::two_agents(&all, is_wanted, &mut rng);
        let [one, two] = [one, two].map(|agent| agent.expect("many are wanted"));
        assert_ne!(one[0].agent, two[0].agent);
        for agent in [one, two] {
            let number = usize::try_from(agent[0].agent.0.0).unwrap();
            assert_eq!(agent.len(), if number % 2 == 0 { 1 } else { 3 }, "whole");
            counts[number] += 1;
        }
    }
    assert!(looks.get() < 5_000 * 4, "{} looks", looks.get());
    for (number, count) in counts.into_iter().enumerate() {
        let is_fair = if number % 5 == 0 { count == 0 } else { (190..310).contains(&count) };
        assert!(is_fair, "{counts:?}");
    }
}

#[test]
fn the_only_ones_of_many_agents_are_found() {
    let gauge = Arc::new(Gauge::new(Serial(99), origin(), &FAIR));
    let (all, mut rng) = (many(&gauge), Rng::from_seed(17));
    for _ in 0..50 {
        let mut of = |wanted: &[u64]| {
            let is_wanted = |agent: &[Candidate]| wanted.contains(&agent[0].agent.0.0);
            let (one, two) = super::two_agents(&all, is_wanted, &mut rng);
            let mut found: Vec<_> =
                [one, two].into_iter().flatten().map(|agent| agent[0].agent.0.0).collect();
            found.sort_unstable();
            found
        };
        assert_eq!(of(&[7, 31]), [7, 31]);
        assert_eq!(of(&[49]), [49]);
        assert_eq!(of(&[]), [0; 0]);
    }
}

#[test]
fn what_all_tunnels_of_an_agent_carry_is_its_load() {
    let mut three = Neighbours::new(9);
    three.gauge.publish(&Reading { in_flight: 3, ..FAIR });
    let other = three.ids[1];
    load(&mut three.tunnels, other, 2);
    assert_eq!(three.picks(None, None), [0, 0, 1000], "3 against 2, although one has none");
    let near = three.ids[0];
    three.gauge.publish(&FAIR);
    load(&mut three.tunnels, near, 1);
    assert_eq!(three.picks(None, None), [1000, 0, 0]);
}

#[test]
fn a_caller_stays_at_its_worker_and_a_new_one_goes_where_callers_are_few() {
    let mut three = Neighbours::new(10);
    three.all.truncate(2);
    three.homes.enter(FIRST);
    assert_eq!(three.picks(Some(FIRST), None), [1000, 0, 0]);
    assert_eq!(three.picks(None, None), [0, 1000, 0]);
    three.homes.enter(SECOND);
    assert_eq!(three.picks(None, None), [1000, 0, 0], "nobody moves in vain");
    let near = three.ids[0];
    load(&mut three.tunnels, near, 3);
    assert_eq!(three.picks(Some(FIRST), None), [0, 1000, 0], "this tunnel is full");
    three.tunnels.get_mut(near).unwrap().is_draining = true;
    assert_eq!(three.picks(Some(FIRST), None), [0, 1000, 0], "and this one is left");
}

#[test]
fn a_choice_of_another_worker_holds_unless_something_came_between() {
    let mut three = Neighbours::new(14);
    // The least likely one: it is busier than the other.
    let near = three.ids[0];
    load(&mut three.tunnels, near, 2);
    let confirm = |three: &Neighbours, serial, streams_max| {
        let view = view(&three.tunnels, &three.homes, Scope::Here, three.now);
        let confirmed = super::confirm(&three.all, &View { streams_max, ..view }, Serial(serial));
        confirmed.map(|one| one.serial)
    };
    assert_eq!(confirm(&three, NEAR, 100), Some(Serial(NEAR)));
    assert_eq!(confirm(&three, OTHER, 100), Some(Serial(OTHER)));
    assert_eq!(confirm(&three, FAR, 100), None, "it is elsewhere");
    assert_eq!(confirm(&three, 77, 100), None, "it is gone");
    assert_eq!(confirm(&three, NEAR, 2), None, "its agent has enough");
    load(&mut three.tunnels, near, 1);
    assert_eq!(confirm(&three, NEAR, 100), None, "it is full");
    let other = three.ids[1];
    load(&mut three.tunnels, other, 3);
    assert_eq!(confirm(&three, OTHER, 100), None, "it is full, and the only one of its agent");
    let mut three = Neighbours::new(15);
    let until = Some(three.now + Duration::from_secs(10));
    three.gauge.publish(&Reading { ejected_until: until, ..FAIR });
    assert_eq!(confirm(&three, NEAR, 100), None, "its agent is set aside");
    three.tunnels.get_mut(other).unwrap().is_draining = true;
    assert_eq!(confirm(&three, OTHER, 100), None, "it leaves");
}

#[test]
fn an_agent_that_failed_on_one_tunnel_is_set_aside_on_all() {
    let mut three = Neighbours::new(11);
    let until = Some(three.now + Duration::from_secs(10));
    three.gauge.publish(&Reading { ejected_until: until, ..FAIR });
    assert_eq!(three.picks(Some(FIRST), None), [0, 0, 1000]);
}

#[test]
fn a_second_attempt_goes_to_another_agent_or_else_through_another_tunnel() {
    let mut three = Neighbours::new(12);
    let (serial, agent) = (Serial(NEAR), AgentId(Serial(NEAR)));
    let lost = Tried { serial, agent, service: "".into(), reason: Reason::AgentLost };
    let broken = Tried { reason: Reason::UpstreamConnect, ..lost.clone() };
    assert_eq!(three.picks(Some(FIRST), Some(&lost)), [0, 0, 1000]);
    assert_eq!(three.picks(Some(FIRST), Some(&broken)), [0, 0, 1000]);
    assert_eq!(three.all.pop().unwrap().serial, Serial(OTHER));
    assert_eq!(three.picks(Some(FIRST), Some(&lost)), [0, 1000, 0]);
    let view = view(&three.tunnels, &three.homes, Scope::Everywhere, three.now);
    let picked = super::pick(&three.all, &view, Some(&broken), &mut three.rng);
    assert_eq!(picked.map(|one| one.serial), Err(Unavailable::NoHealthyAgent));
}

#[test]
fn the_limit_of_an_agent_holds_for_all_of_its_tunnels_together() {
    let mut three = Neighbours::new(13);
    three.all.truncate(2);
    three.gauge.publish(&Reading { in_flight: 9, ..FAIR });
    let near = three.ids[0];
    load(&mut three.tunnels, near, 1);
    let view = view(&three.tunnels, &three.homes, Scope::Everywhere, three.now);
    let limited = |streams_max| View { streams_max, ..view };
    let picked = super::pick(&three.all, &limited(10), None, &mut three.rng);
    assert_eq!(picked.map(|one| one.serial), Err(Unavailable::Overloaded));
    assert!(super::pick(&three.all, &limited(11), None, &mut three.rng).is_ok());
}

#[test]
fn only_what_a_tunnel_failed_is_tried_by_another_tunnel_of_the_same_agent() {
    let by_tunnel = |reason: &Reason| Culprit::of(*reason) == Culprit::Tunnel;
    let reasons: Vec<_> = Reason::ALL.into_iter().filter(by_tunnel).collect();
    assert_eq!(reasons, [Reason::Overloaded, Reason::AgentLost]);
}
