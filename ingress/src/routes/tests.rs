use super::{Candidate, Place, Routes, normalize};
use crate::tunnel::tests::tunnel_id;
use crate::tunnel::{AgentId, Serial};

/// A tunnel of the agent whose first one had this number.
fn of_agent(index: usize, agent: usize) -> Candidate {
    let agent = AgentId(Serial(agent as u64));
    Candidate { serial: Serial(index as u64), agent, place: Place::Here(tunnel_id(index)) }
}

fn candidate(index: usize) -> Candidate {
    of_agent(index, index)
}

fn routes(patterns: &[&str]) -> Routes {
    let mut routes = Routes::default();
    for (index, pattern) in patterns.iter().enumerate() {
        assert!(routes.add(&normalize(pattern).unwrap(), "shop", candidate(index)));
    }
    routes
}

fn found<'r>(routes: &'r Routes, host: &str) -> Option<&'r str> {
    routes.lookup(host).map(|id| &*routes.get(id).unwrap().pattern)
}

#[test]
fn exact_beats_the_longest_suffix_beats_a_shorter_one_beats_any() {
    let routes = routes(&["*", "*.example.com", "*.eu.example.com", "shop.eu.example.com"]);
    let cases = [
        ("shop.eu.example.com", "shop.eu.example.com"),
        ("SHOP.eu.Example.COM", "shop.eu.example.com"),
        ("shop.eu.example.com:8443", "shop.eu.example.com"),
        ("shop.eu.example.com.", "shop.eu.example.com"),
        ("shop.eu.example.com.:80", "shop.eu.example.com"),
        ("blog.eu.example.com", "*.eu.example.com"),
        ("a.b.eu.example.com", "*.eu.example.com"),
        ("eu.example.com", "*.example.com"),
        ("example.com", "*"),
        ("notexample.com", "*"),
        ("localhost", "*"),
    ];
    for (host, pattern) in cases {
        assert_eq!(found(&routes, host), Some(pattern), "{host}");
    }
}

#[test]
fn an_address_literal_is_matched_only_by_itself() {
    let routes = routes(&["*", "*.0.0.1", "10.0.0.7"]);
    for host in ["10.0.0.1", "10.0.0.1:8080", "[::1]:8080", "[2001:db8::1]", "127.0.0.1"] {
        assert_eq!(found(&routes, host), None, "{host}");
    }
    assert_eq!(found(&routes, "10.0.0.7:80"), Some("10.0.0.7"));
}

#[test]
fn a_host_without_agents_gives_way_and_stays_known() {
    let mut routes = routes(&["shop.example.com", "*.example.com"]);
    routes.remove("shop.example.com", Serial(0));
    assert_eq!(found(&routes, "shop.example.com"), Some("*.example.com"));
    routes.remove("*.example.com", Serial(1));
    assert_eq!(found(&routes, "shop.example.com"), Some("shop.example.com"), "known, unserved");
    assert_eq!(found(&routes, "other.org"), None);
}

#[test]
fn a_host_longer_than_any_name_has_no_route() {
    let routes = routes(&["*"]);
    assert_eq!(found(&routes, &"a".repeat(254)), None);
    assert_eq!(found(&routes, &"a.".repeat(120)), Some("*"));
}

#[test]
fn patterns_are_put_into_one_form_or_refused() {
    for (pattern, form) in [
        ("Demo.Local", Some("demo.local")),
        ("demo.local.", Some("demo.local")),
        ("*.Demo.local", Some("*.demo.local")),
        ("*", Some("*")),
        ("my_service", Some("my_service")),
        ("", None),
        (".", None),
        ("*.", None),
        ("a..b", None),
        ("*.*.a", None),
        ("a.*.b", None),
        ("demo.local:80", None),
        ("http://demo.local", None),
        ("demo local", None),
        ("demo/local", None),
        ("d\u{e9}mo", None),
    ] {
        assert_eq!(normalize(pattern).as_deref(), form, "{pattern}");
    }
}

#[test]
fn tunnels_of_one_agent_lie_side_by_side() {
    let mut routes = Routes::default();
    for (index, agent) in [(0, 0), (1, 1), (2, 0), (3, 3), (4, 1), (5, 0)] {
        assert!(routes.add("*", "", of_agent(index, agent)));
    }
    let id = routes.lookup("shop").unwrap();
    let order = |routes: &Routes| {
        let candidates = &routes.get(id).unwrap().candidates;
        candidates.iter().map(|one| one.serial.0).collect::<Vec<_>>()
    };
    assert_eq!(order(&routes), [0, 2, 5, 1, 4, 3]);
    routes.remove("*", Serial(0));
    assert!(routes.add("*", "", of_agent(6, 0)));
    assert_eq!(order(&routes), [2, 5, 6, 1, 4, 3]);
}
