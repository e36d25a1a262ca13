//! Several agents for one host.

use std::collections::BTreeMap;

use crate::peers::caller::{get, read_response, request};
use crate::peers::process::{Server, agent, bare_agent};
use crate::peers::service::Service;
use crate::peers::wire::Wire;

#[test]
fn agents_of_one_host_share_its_requests() {
    let server = Server::start(&[]);
    let services = ["a", "b", "c"].map(Service::start);
    let agents = [0, 1, 2].map(|index| agent(server.tunnels, &services[index], &[]));
    server.wait_available(3);
    // One at a time: of several at once, an agent that the system lets wait rightly gets fewer.
    (0..300).for_each(|_| assert_eq!(server.get("/").status, 200));
    let counts = services.each_ref().map(|service| service.requests().len());
    assert_eq!(counts.iter().sum::<usize>(), 300);
    assert!(counts.iter().all(|count| *count >= 30), "{counts:?}");
    drop(agents);
}

#[test]
fn the_agent_with_fewer_requests_under_way_gets_the_next_one() {
    let server = Server::start(&[]);
    let (slow, quick) = (Service::start("slow"), Service::start("quick"));
    let _slow = agent(server.tunnels, &slow, &[]);
    server.wait_available(1);
    let mut held: Vec<_> = (0..20)
        .map(|_| {
            let mut wire = Wire::connect(server.traffic);
            wire.send(request("GET", "/hold", ""));
            wire
        })
        .collect();
    slow.wait_held(20);
    let _quick = agent(server.tunnels, &quick, &[]);
    server.wait_available(2);
    for _ in 0..20 {
        assert!(get(server.traffic, "/").text().starts_with("quick"));
    }
    slow.release();
    assert!(held.iter_mut().all(|wire| read_response(wire).unwrap().status == 200));
}

#[test]
fn an_agent_that_keeps_failing_gets_requests_only_now_and_then() {
    let server = Server::start(&[]);
    let (broken, sound) = (Service::start("broken"), Service::start("sound"));
    // It believes in its service, which is gone.
    let believing = ["--health-check-fall", "100"];
    let _believing = agent(server.tunnels, &broken, &believing);
    let _sound = agent(server.tunnels, &sound, &[]);
    server.wait_available(2);
    drop(broken);
    let mut outcomes = BTreeMap::new();
    for _ in 0..100 {
        *outcomes.entry(get(server.traffic, "/").status).or_insert(0) += 1;
    }
    assert_eq!(outcomes, BTreeMap::from([(200, 100)]));
    assert!(server.metric("mesh_ejections_total", "") >= 1);
    // Five failures in a row eject it; the rest never tried it.
    assert!(server.metric("mesh_retries_total", "") <= 10);
}

#[test]
fn hosts_are_matched_from_the_most_to_the_least_specific() {
    let server = Server::start(&[]);
    let patterns = ["shop.example.com", "*.example.com", "*.eu.example.com", "*"];
    let services = patterns.map(Service::start);
    let agents = [0, 1, 2, 3].map(|index| {
        let (ingress, local) = (format!("ws://{}", server.tunnels), services[index].url());
        bare_agent(&ingress, &local, patterns[index], &[])
    });
    server.wait_available(4);
    let cases = [
        ("shop.example.com", 0),
        ("SHOP.Example.Com.:8443", 0),
        ("other.example.com", 1),
        ("a.eu.example.com", 2),
        ("example.org", 3),
    ];
    for (host, expected) in cases {
        let bytes =
            format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host: a.eu.example.com\r\n\r\n");
        let answer = crate::peers::caller::ask(server.traffic, bytes).text();
        assert!(answer.starts_with(&format!("{}: ", patterns[expected])), "{host}: {answer}");
    }
    drop(agents);
}
