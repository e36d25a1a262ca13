use std::sync::Arc;

use mesh_protocol::control::Hello;

use crate::config::Config;
use crate::ingress::Ingress;
use crate::metrics::Hosts;
use crate::routes::{Candidate, Place};
use crate::tunnel::tests::{origin, tunnel, tunnel_id};
use crate::tunnel::{AgentId, Serial};

/// The first of two workers, which knows two hosts at the most.
fn first() -> Ingress {
    let mut config = Config::default();
    config.limits.hosts = 2;
    Ingress::workers(&config, origin(), 2).remove(0)
}

fn hello(hosts: &[&str], service: &str) -> Hello {
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    Hello { hosts, service: service.to_owned(), ..tunnel(1, origin()).hello }
}

/// An agent registers, if there is room.
fn register(ingress: &mut Ingress, serial: u64, hello: &Hello) -> bool {
    if !ingress.make_room(hello) {
        return false;
    }
    let service: Arc<str> = hello.service.as_str().into();
    ingress.learn_hosts(&hello.hosts, &service);
    for host in &hello.hosts {
        let (serial, place) = (Serial(serial), Place::Here(tunnel_id(0)));
        let candidate =
            Candidate { serial, agent: AgentId(serial), service: service.clone(), place };
        ingress.routes.add(host, candidate);
    }
    true
}

#[test]
fn an_agent_is_taken_only_with_all_of_its_hosts() {
    let mut ingress = first();
    assert!(register(&mut ingress, 1, &hello(&["a"], "shop")));
    assert!(!register(&mut ingress, 2, &hello(&["b", "c"], "shop")));
    assert!(register(&mut ingress, 2, &hello(&["a", "b"], "shop")));
    assert!(!register(&mut ingress, 3, &hello(&["c"], "shop")));
    ingress.routes.remove("b", Serial(2));
    assert!(ingress.outgoing.is_empty(), "nothing was given up");
    assert!(register(&mut ingress, 3, &hello(&["c"], "shop")));
    assert!(ingress.routes.lookup("b").is_none());
    assert_eq!(ingress.outgoing.len(), 1, "the other worker hears of it");
}

/// A full house, whose first host has nobody any more.
fn crowded(ingress: &mut Ingress) -> Vec<String> {
    ingress.config.limits.hosts = 10_000;
    let hosts: Vec<_> = (0..Hosts::MAX).map(|number| format!("h{number}")).collect();
    for (serial, host) in (0..).zip(&hosts) {
        assert!(register(ingress, serial, &hello(&[host], "shop")));
    }
    assert_eq!(ingress.metrics.hosts.free(), 0);
    hosts
}

#[test]
fn counters_of_a_host_without_agents_go_to_a_new_one() {
    let mut ingress = first();
    let hosts = crowded(&mut ingress);
    let counts = |ingress: &Ingress, host: &str, service: &str| {
        let (route, _) = ingress.routes.of_pattern(host).expect("known");
        ingress.metrics.hosts.has(route, service)
    };
    assert!(register(&mut ingress, 1_000, &hello(&["late"], "shop")));
    assert!(!counts(&ingress, "late", "shop"), "all others are in use");
    ingress.routes.remove(&hosts[7], Serial(7));
    ingress.routes.remove(&hosts[3], Serial(3));
    assert!(register(&mut ingress, 1_001, &hello(&["late"], "shop")));
    assert!(counts(&ingress, "late", "shop"));
    assert!(!counts(&ingress, &hosts[7], "shop"), "it is without an agent for longest");
    assert!(counts(&ingress, &hosts[3], "shop"));
    // A service that is there no more, although its host is.
    ingress.routes.remove(&hosts[0], Serial(0));
    assert!(register(&mut ingress, 1_002, &hello(&[&hosts[0]], "bakery")));
    assert!(!counts(&ingress, &hosts[3], "shop"));
    assert!(counts(&ingress, &hosts[0], "bakery") && counts(&ingress, &hosts[0], "shop"));
    assert!(register(&mut ingress, 1_003, &hello(&["later"], "shop")));
    assert!(counts(&ingress, "later", "shop") && !counts(&ingress, &hosts[0], "shop"));
}
