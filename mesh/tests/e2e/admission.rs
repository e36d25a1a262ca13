//! Who may register, and what an operator reads when something is not as it should be.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Socket, Type};

use crate::peers::balancer::{Balancer, Choice, Target};
use crate::peers::caller::{HOST, request, try_ask};
use crate::peers::missing::miss;
use crate::peers::place::own_address;
use crate::peers::process::{Server, agent, bare_agent, mesh};
use crate::peers::service::Service;
use crate::peers::wire::{Wire, wait_until};

/// An address of this machine that is no loopback address; nothing, and a sentence, where it has none.
fn outside_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent; the kernel only chooses the source address.
    let found = socket.connect("198.51.100.1:9").and_then(|()| socket.local_addr());
    let outside = found.ok().map(|address| address.ip()).filter(|address| !address.is_loopback());
    outside.or_else(|| miss("this machine has no address but loopback"))
}

#[test]
fn without_authentication_only_agents_of_this_machine_are_accepted() {
    let Some(outside) = outside_address() else { return };
    let (server, service) = (Server::start(&["--bind", "0.0.0.0"]), Service::start("a"));
    server.process.expect_log("NO AUTHENTICATION IS CONFIGURED", 1);
    let at = SocketAddr::new(outside, server.tunnels.port());
    let refused = agent(at, &service, &[]);
    refused.wait_log("the ingress refused this agent");
    let reason = "no authentication is configured at the ingress, so it accepts agents from \
                  loopback addresses only";
    refused.wait_log(reason);
    server.process.wait_log(&format!("refused the agent from {outside}"));
    assert!(server.metric("mesh_registrations_refused_total", "") >= 1);
    assert_eq!(server.metric("mesh_tunnels", ""), 0);
    let _accepted = agent(server.tunnels, &service, &[]);
    server.wait_available(1);
}

/// A socket that listens on IPv6 and IPv4 says an address of the latter in the form of the former.
#[test]
fn an_agent_over_ipv4_has_an_address_of_ipv4_wherever_the_ingress_listens() {
    if TcpListener::bind("[::]:0").is_err() {
        return;
    }
    let (server, service) = (Server::start(&["--bind", "::"]), Service::start("a"));
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, server.tunnels.port()));
    let _agent = agent(at, &service, &[]);
    server.process.wait_log("agent from 127.0.0.1:");
}

#[test]
fn with_skip_iam_validation_agents_are_accepted_from_everywhere_and_warned_about() {
    let Some(outside) = outside_address() else { return };
    let words = ["--bind", "0.0.0.0", "--skip-iam-validation"];
    let (server, service) = (Server::start(&words), Service::start("a"));
    let at = SocketAddr::new(outside, server.tunnels.port());
    let _agent = agent(at, &service, &["--skip-iam-validation"]);
    server.wait_available(1);
    assert_eq!(server.get("/").status, 200);
    server.process.expect_log("without any authentication", 1);
    let page = server.page("/debug/services").text();
    assert!(page.contains(&outside.to_string()), "{page}");
    // Pages about the inside are for this machine alone.
    let from_outside = SocketAddr::new(outside, server.traffic.port());
    let response = try_ask(from_outside, request("GET", "/debug/services", "")).unwrap();
    assert!(response.text().starts_with("a: GET /debug/services"), "{response:?}");
}

#[test]
fn an_agent_names_the_ingress_that_it_cannot_reach_and_why() {
    let service = Service::start("a");
    let closed = Service::start("closed").address;
    let cases = [
        (
            format!("ws://{closed}"),
            format!("no tunnel to {closed}: cannot connect: {closed}: Connection refused"),
        ),
        (
            "ws://no-such-host.invalid:1".to_owned(),
            "no tunnel to no-such-host.invalid:1: cannot connect: no-such-host.invalid:1: "
                .to_owned(),
        ),
    ];
    for (url, expected) in cases {
        let agent = bare_agent(&url, &service.url(), HOST, &[]);
        agent.wait_log(&expected);
        agent.wait_log("connecting again in");
        assert_eq!(agent.log_count("panicked"), 0);
    }
}

#[test]
fn an_agent_names_the_service_that_it_cannot_reach_and_why() {
    let server = Server::start(&[]);
    let ingress = format!("ws://{}", server.tunnels);
    let closed = Service::start("closed").address;
    let cases = [
        (
            closed.to_string(),
            format!("the local service is unhealthy: cannot connect: {closed}: Connection refused"),
        ),
        (
            "no-such-host.invalid:1".to_owned(),
            "the local service is unhealthy: cannot connect: no-such-host.invalid:1: ".to_owned(),
        ),
    ];
    for (local, expected) in cases {
        let agent = bare_agent(&ingress, &format!("http://{local}"), HOST, &[]);
        agent.wait_log(&expected);
        server.wait_metric("mesh_tunnels", 1);
        let page = server.page("/debug/services");
        assert!(page.text().contains("cannot connect"), "{}", page.text());
        assert_eq!(server.get("/").verdict(), (503, "no_healthy_agent"));
        drop(agent);
        server.wait_metric("mesh_tunnels", 0);
    }
}

#[test]
fn a_service_that_takes_no_connection_is_told_from_one_that_does_not_answer() {
    let mute = TcpListener::bind(own_address()).unwrap();
    // With its queue full, the kernel answers nobody who comes.
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&own_address().into()).unwrap();
    full.listen(0).unwrap();
    let full_address = full.local_addr().unwrap().as_socket().unwrap();
    let _first = Wire::connect(full_address);
    let cases = [(mute.local_addr().unwrap(), "no answer"), (full_address, "no connection")];
    for (local, expected) in cases {
        let (ingress, local) = (format!("ws://{local}"), format!("http://{local}"));
        let agent = bare_agent(&ingress, &local, HOST, &["--health-check-timeout", "0.3"]);
        agent.wait_log(&format!("the local service is unhealthy: {expected} within 300ms"));
    }
}

#[test]
fn an_agent_with_more_hosts_than_it_can_name_says_so() {
    let (server, service) = (Server::start(&["--max-hosts", "3000"]), Service::start("a"));
    let hosts: Vec<String> =
        (0..2_000).map(|number| format!("tenant-{number}.example.com")).collect();
    let agent = agent(server.tunnels, &service, &["--host", &hosts.join(",")]);
    agent.wait_log("of which 2001 hosts are the most, and an ingress takes 32768: give some of");
    agent.wait_log("too many hosts; connecting again in");
    assert_eq!(server.process.log_count("refused the agent"), 0);
}

#[test]
fn a_life_is_one_line_each_and_a_request_is_none() {
    let (server, mut first, service) = mesh(&[], &[]);
    for _ in 0..50 {
        assert_eq!(server.get("/").status, 200);
    }
    first.signal("TERM");
    first.wait_exit();
    server.wait_metric("mesh_tunnels", 0);
    let _second = agent(server.tunnels, &service, &[]);
    server.wait_available(1);
    let texts = [
        "registered",
        "tunnel 1 (demo.local): the agent is draining",
        "tunnel 1 (demo.local): ended after",
    ];
    for (text, count) in texts.into_iter().zip([2, 1, 1]) {
        server.process.expect_log(text, count);
    }
    let log = server.process.log();
    assert!(log.lines().count() <= 14, "{log}");
    let log = first.log();
    assert!(log.lines().count() <= 9, "{log}");
}

/// Each ingress counts its tunnels from 1, and behind a load balancer both have the same address.
#[test]
fn the_logs_tell_the_tunnels_to_two_ingresses_apart() {
    let service = Service::start("a");
    let [mut first, second] = [(); 2].map(|()| Server::start(&[]));
    let targets =
        [&first, &second].map(|server| Target { address: server.tunnels, health: server.health });
    let balancer = Balancer::start_by(Choice::InTurn, "/health", &targets);
    let agent = agent(balancer.address, &service, &["--tunnels", "2"]);
    let names = [&first, &second].map(|server| {
        server.wait_available(1);
        server.process.wait_log("known to agents as ");
        let log = server.process.log();
        let (_, name) = log.split_once("known to agents as ").expect(&log);
        name.lines().next().unwrap().to_owned()
    });
    for name in &names {
        agent.expect_log(&format!(" as session 1 of {name} ("), 1);
    }
    first.process.signal("KILL");
    first.process.wait_exit();
    agent.wait_log(&format!(", session 1 of {}, was lost: ", names[0]));
}

#[test]
fn no_log_at_any_level_holds_what_callers_and_services_keep_secret() {
    let (server, agent, service) = mesh(&["--log-level", "trace"], &["--log-level", "trace"]);
    let secrets = format!(
        "POST /login?token=SECRET HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer SECRET\r\n\
         Cookie: session=SECRET\r\nX-Amz-Security-Token: SECRET\r\nContent-Length: 6\r\n\r\nSECRET"
    );
    assert_eq!(try_ask(server.traffic, &secrets).unwrap().status, 200);
    let malformed = secrets.replace("Content-Length: 6", "Content-Length: SECRET");
    assert_eq!(try_ask(server.traffic, &malformed).unwrap().status, 400);
    drop(service);
    wait_until("the service counts as down", || server.get("/").status == 503);
    assert_eq!(try_ask(server.traffic, &secrets).unwrap().status, 503);
    for log in [server.process.log(), agent.log()] {
        assert!(!log.contains("SECRET"), "{log}");
    }
}
