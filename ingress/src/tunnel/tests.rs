use std::time::{Duration, Instant};

use mesh_protocol::control::{Health, Hello};
use mesh_protocol::mux::{Limits, Session, Side};
use mesh_protocol::ws::Role;
use mesh_protocol::{Conns, Duplex, Link};

use crate::admission::Standing;
use crate::application::Applicant;

use super::{AgentId, Ejected, Serial, Successor, Tunnel, TunnelId, Tunnels};

/// The name of a tunnel that no test connects.
pub(crate) fn tunnel_id(index: usize) -> TunnelId {
    let mut conns = Conns::new();
    TunnelId((0..=index).map(|_| conns.insert(Duplex::new(0), ())).next_back().unwrap())
}

/// A moment to count from.
#[expect(clippy::disallowed_methods, reason = "an origin for made-up time")]
pub(crate) fn origin() -> Instant {
    Instant::now()
}

/// A healthy tunnel without streams, which takes `streams` of them.
pub(crate) fn tunnel(streams: u32, now: Instant) -> Tunnel {
    let limits = Limits {
        streams,
        send_window: 65_536,
        recv_window: 65_536,
        pending_bytes: 65_536,
        growth: 0,
    };
    let session = Session::new(Side::Opener, limits);
    let link = Link::new(Role::Server, session, Duration::from_secs(15), now);
    let hello = Hello {
        version: "0".to_owned(),
        hosts: vec!["demo.local".to_owned()],
        service: "demo".to_owned(),
        cluster: String::new(),
        instance: String::new(),
        process: String::new(),
        lane: 0,
        keeps_former: false,
        kept: Vec::new(),
        window: 65_536,
        streams,
        healthy: true,
        task: String::new(),
        container_instance: String::new(),
    };
    let applicant = Applicant { hello, introduced: now, digest: String::new() };
    let (peer, standing) = ("127.0.0.1:1".parse().unwrap(), Standing::default());
    Tunnel::new(link, Serial(1), AgentId(Serial(1)), applicant, peer, standing, now)
}

/// Whoever reads a line about its end has no other one at hand.
#[test]
fn the_log_says_whose_a_tunnel_is_in_few_words() {
    let mut tunnel = tunnel(1, origin());
    assert_eq!(tunnel.to_string(), "tunnel 1 (demo.local)");
    tunnel.hello.hosts.extend((0..63).map(|number| format!("shop{number}.example.com")));
    assert_eq!(tunnel.to_string(), "tunnel 1 (demo.local and 63 more)");
}

#[test]
fn an_agent_is_ejected_after_failures_in_a_row_and_longer_each_time() {
    let start = origin();
    let mut tunnel = tunnel(1, start);
    for _ in 0..4 {
        assert_eq!(tunnel.failed(start), Ejected::No);
    }
    assert_eq!(tunnel.failed(start), Ejected::For(Duration::from_secs(10)));
    assert!(tunnel.is_ejected(start + Duration::from_millis(9_999)));
    let later = start + Duration::from_secs(10);
    assert!(!tunnel.is_ejected(later));
    for _ in 0..4 {
        assert_eq!(tunnel.failed(later), Ejected::No);
    }
    assert_eq!(tunnel.failed(later), Ejected::For(Duration::from_secs(20)));
}

#[test]
fn failures_while_an_agent_is_ejected_eject_it_no_further() {
    let start = origin();
    let mut tunnel = tunnel(1, start);
    let answers = (0..100).map(|_| tunnel.failed(start)).filter(|one| *one != Ejected::No);
    assert_eq!(answers.collect::<Vec<_>>(), [Ejected::For(Duration::from_secs(10))]);
    assert!(!tunnel.is_ejected(start + Duration::from_secs(10)));
}

#[test]
fn no_ejection_lasts_longer_than_ten_minutes() {
    let mut now = origin();
    let mut tunnel = tunnel(1, now);
    let mut lasted = Vec::new();
    for _ in 0..70 * 5 {
        if let Ejected::For(duration) = tunnel.failed(now) {
            lasted.push(duration.as_secs());
            now += duration;
        }
    }
    assert_eq!(lasted.len(), 70);
    assert_eq!(lasted[58..62], [590, 600, 600, 600]);
    assert_eq!(lasted.iter().max(), Some(&600));
}

#[test]
fn one_success_forgives_everything() {
    let start = origin();
    let mut tunnel = tunnel(1, start);
    for _ in 0..5 {
        tunnel.failed(start);
    }
    tunnel.succeeded();
    assert!(!tunnel.is_ejected(start));
    for _ in 0..4 {
        assert_eq!(tunnel.failed(start), Ejected::No);
    }
    assert_eq!(tunnel.failed(start), Ejected::For(Duration::from_secs(10)));
}

#[test]
fn a_stale_name_means_nothing() {
    let mut conns = Conns::new();
    let now = origin();
    let mut tunnels = Tunnels::default();
    let first = conns.insert(Duplex::new(0), ());
    tunnels.insert(TunnelId(first), tunnel(1, now));
    assert!(tunnels.remove(TunnelId(first)).is_some());
    conns.remove(first);
    let second = conns.insert(Duplex::new(0), ());
    tunnels.insert(TunnelId(second), tunnel(1, now));
    assert_eq!(first.index(), second.index());
    assert!(tunnels.get(TunnelId(first)).is_none());
    assert!(tunnels.get_mut(TunnelId(first)).is_none());
    assert!(tunnels.remove(TunnelId(first)).is_none());
    assert_eq!(tunnels.len(), 1);
}

#[test]
fn little_is_kept_of_what_an_agent_says_of_its_service() {
    let start = origin();
    let mut tunnel = tunnel(1, start);
    for letter in ["x", "\u{7f}", "\u{1f980}"] {
        tunnel.note_health(Health { healthy: false, reason: letter.repeat(8000) }, start);
        assert_eq!(tunnel.health_reason, letter.repeat(256));
    }
}

#[test]
fn a_tunnel_is_unused_from_its_agents_word_on_while_nothing_comes() {
    let (start, second) = (origin(), Duration::from_secs(1));
    let mut tunnel = tunnel(1, start);
    assert_eq!(tunnel.note_use(start), Duration::ZERO);
    assert_eq!(tunnel.note_use(start + second), Duration::ZERO, "its agent stays");
    tunnel.note_successor(Successor::Announced);
    tunnel.note_use(start + second);
    assert_eq!(tunnel.note_use(start + 3 * second), 2 * second);
    // The one in its place was lost, and a request has come and gone meanwhile.
    tunnel.requests += 1;
    assert_eq!(tunnel.note_use(start + 4 * second), Duration::ZERO);
    tunnel.note_use(start + 5 * second);
    assert_eq!(tunnel.note_use(start + 6 * second), second);
    tunnel.was_told_to_move = true;
    assert_eq!(tunnel.note_use(start + 7 * second), Duration::ZERO);
    tunnel.is_draining = true;
    tunnel.note_use(start + 7 * second);
    assert_eq!(tunnel.note_use(start + 8 * second), second);
}
