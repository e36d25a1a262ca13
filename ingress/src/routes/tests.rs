use super::{Candidate, Place, Routes, is_loopback, normalize};
use crate::tunnel::tests::tunnel_id;
use crate::tunnel::{AgentId, Serial};

/// A tunnel of the agent whose first one had this number.
fn of_agent(index: usize, agent: usize) -> Candidate {
    let agent = AgentId(Serial(agent as u64));
    let (service, place) = ("shop".into(), Place::Here(tunnel_id(index)));
    Candidate { serial: Serial(index as u64), agent, service, place }
}

fn candidate(index: usize) -> Candidate {
    of_agent(index, index)
}

fn routes(patterns: &[&str]) -> Routes {
    let mut routes = Routes::default();
    for (index, pattern) in patterns.iter().enumerate() {
        routes.add(&normalize(pattern).unwrap(), candidate(index));
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
fn after_a_route_come_less_specific_ones_with_agents() {
    let patterns = ["shop.eu.example.com", "*.eu.example.com", "*.example.com", "*"];
    let mut routes = routes(&patterns);
    routes.remove("*.example.com", Serial(2));
    let [shop, eu, example, any] = patterns.map(|pattern| routes.of_pattern(pattern).unwrap().0);
    let after = |route| routes.lookup_after(route, "Shop.EU.example.com:80");
    assert_eq!(after(shop), Some(eu));
    assert_eq!(after(eu), Some(any), "nobody is there between them");
    assert_eq!((after(example), after(any)), (Some(any), None));
    assert_eq!(routes.lookup_after(shop, "example.org"), None, "it is no route of that host");
}

fn of(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn what_is_longest_without_an_agent_gives_way_to_new_hosts() {
    let mut routes = routes(&["a", "b", "c", "d"]);
    for (name, serial) in [("c", 2), ("a", 0), ("b", 1)] {
        routes.remove(name, Serial(serial));
        routes.remove(name, Serial(serial));
    }
    let ids = |routes: &Routes, names: &[&str]| -> Vec<_> {
        names.iter().map(|name| routes.of_pattern(name).unwrap().0).collect()
    };
    assert_eq!(routes.vacancies(&of(&["e"]), 5), Some(Vec::new()), "there is room");
    assert_eq!(routes.vacancies(&of(&["e"]), 4), Some(ids(&routes, &["c"])));
    assert_eq!(routes.vacancies(&of(&["e", "f"]), 4), Some(ids(&routes, &["c", "a"])));
    assert_eq!(routes.vacancies(&of(&["e", "c"]), 4), Some(ids(&routes, &["a"])), "c is to stay");
    assert_eq!(routes.vacancies(&of(&["d", "c"]), 4), Some(Vec::new()), "both are known");
    assert_eq!(routes.vacancies(&of(&["e", "f", "g"]), 4), Some(ids(&routes, &["c", "a", "b"])));
    assert_eq!(routes.vacancies(&of(&["e", "f", "g", "h"]), 4), None, "d has an agent");
    // One that came back is not the first any more.
    routes.add("c", candidate(4));
    routes.remove("c", Serial(4));
    assert_eq!(routes.vacancies(&of(&["e"]), 4), Some(ids(&routes, &["a"])));
}

/// A request may be on its way with it.
#[test]
fn the_name_of_a_route_that_was_forgotten_is_never_another_ones() {
    let mut routes = routes(&["a"]);
    let old = routes.lookup("a").unwrap();
    routes.remove("a", Serial(0));
    assert!(routes.forget(old).is_empty());
    assert_eq!(found(&routes, "a"), None);
    routes.add("b", candidate(1));
    let new = routes.lookup("b").unwrap();
    assert_eq!(routes.iter().count(), 1, "it has the other one's place");
    assert!(routes.get(old).is_none() && old != new);
    assert!(routes.forget(old).is_empty());
    assert_eq!(found(&routes, "b"), Some("b"), "what is forgotten is not forgotten again");
}

#[test]
fn another_service_of_a_host_is_told_once() {
    let mut routes = routes(&["a", "b"]);
    assert_eq!(routes.note_service("a", "shop"), None);
    assert_eq!(routes.note_service("a", ""), None, "no name is not another one");
    assert_eq!(routes.note_service("new", "bakery"), None);
    assert_eq!(routes.note_service("a", "bakery").as_deref(), Some("shop"));
    assert_eq!(routes.note_service("a", "bakery"), None);
    routes.remove("b", Serial(1));
    assert_eq!(routes.note_service("b", "bakery"), None, "the other one is gone");
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
        routes.add("*", of_agent(index, agent));
    }
    let id = routes.lookup("shop").unwrap();
    let order = |routes: &Routes| {
        let candidates = &routes.get(id).unwrap().candidates;
        candidates.iter().map(|one| one.serial.0).collect::<Vec<_>>()
    };
    assert_eq!(order(&routes), [0, 2, 5, 1, 4, 3]);
    routes.remove("*", Serial(0));
    routes.add("*", of_agent(6, 0));
    assert_eq!(order(&routes), [2, 5, 6, 1, 4, 3]);
}

#[test]
fn this_machine_is_an_address_or_localhost() {
    for host in [
        "localhost",
        "LOCALHOST:80",
        "127.0.0.1",
        "127.8.9.1:80",
        "[::1]",
        "[::1]:80",
        "Localhost.:80",
    ] {
        assert!(is_loopback(host), "{host}");
    }
    for host in ["", "localhost.example", "127.0.0.1.example", "10.0.0.1", "[::2]:80", "[::1"] {
        assert!(!is_loopback(host), "{host}");
    }
}

#[test]
fn routes_with_an_agent_are_counted() {
    let mut routes = routes(&["a.example", "b.example", "*.c.example"]);
    routes.learn("d.example", &"shop".into());
    assert_eq!(routes.served(), 3);
    routes.remove("b.example", Serial(1));
    routes.remove("b.example", Serial(1));
    assert_eq!(routes.served(), 2);
    routes.add("b.example", candidate(1));
    routes.add("d.example", candidate(4));
    let (id, _) = routes.of_pattern("a.example").unwrap();
    routes.forget(id);
    let count = routes.iter().filter(|route| !route.candidates.is_empty()).count();
    assert_eq!((routes.served(), count), (3, 3));
}
