use crate::identity::Principal;
use crate::tunnel::tests::{origin, tunnel};

use super::{acceptance, asked_for};

/// Behind a load balancer all agents are from its address.
#[test]
fn the_log_names_the_machine_of_an_agent() {
    let mut tunnel = tunnel(1, origin());
    tunnel.hello.instance = "host\"7\u{202e}-4711".to_owned();
    let line = acceptance(&tunnel);
    assert!(line.starts_with("tunnel 1: agent from 127.0.0.1:1 registered demo.local, "), "{line}");
    assert!(line.ends_with(r#", instance "host\"7\u{202e}-4711", healthy"#), "{line}");
    tunnel.standing.principal = Some(Principal::Token { name: "edge".to_owned() });
    let line = acceptance(&tunnel);
    assert!(line.contains(" registered demo.local as token edge (by token), service "), "{line}");
}

#[test]
fn few_hosts_are_named_of_those_that_a_stranger_asked_for() {
    let hosts: Vec<_> = (0..64).map(|number| format!("h{number}.{}", "x".repeat(240))).collect();
    let line = asked_for(&hosts, None);
    assert!(
        line.starts_with(", who asked for \"h0.xx") && line.ends_with("\" and 61 more"),
        "{line}"
    );
    assert!(line.contains("h2.") && !line.contains("h3.") && line.len() < 1000, "{line}");
    assert_eq!(asked_for(&hosts[..2], None).matches(".x").count(), 2);
    assert_eq!(asked_for(&[], None), "");
    let known = Principal::Token { name: "edge".to_owned() };
    assert!(asked_for(&hosts, Some(&known)).contains("h63."), "whom an operator may know");
}
