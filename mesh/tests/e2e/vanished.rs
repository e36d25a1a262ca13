//! A service that vanishes: nothing ends its connections, packets to its address go nowhere, and
//! its name leads to another address, as when a container is killed and started anew.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::peers::caller::{HOST, ask, read_response, request};
use crate::peers::network::Network;
use crate::peers::process::{Process, Server};
use crate::peers::service::Service;
use crate::peers::wire::Wire;

/// Addresses that can be taken away: what is sent to them goes to a machine that throws it away.
const NETWORK: Network = Network {
    script: r#"
        set -e
        mount --bind "$HOSTS" /etc/hosts
        ip link set lo up
        ip address add 10.9.0.9/32 dev lo
        ip link add lost0 type veth peer name lost1
        ip link set lost0 up
        ip link set lost1 up
        ip route add 10.9.0.0/24 dev lost0 src 10.9.0.9
        for address in 10.9.0.1 10.9.0.2; do
            ip route add local "$address" dev lo src 10.9.0.9
            ip neighbour add "$address" dev lost0 lladdr 02:00:00:00:00:01 nud permanent
        done
        exec "$@"
    "#,
};
const FIRST: &str = "10.9.0.1";
const SECOND: &str = "10.9.0.2";
const PORT: u16 = 3000;

/// Long enough to be sure that nobody is there, and much less than callers wait.
const SOON: Duration = Duration::from_secs(5);

/// A mesh before a service that is found by its name.
struct Stage {
    server: Server,
    agent: Process,
    service: Service,
}

impl Stage {
    fn start() -> Self {
        name(FIRST);
        let service = start_service("first", FIRST);
        let server = Server::start(&[]);
        let ingress = format!("ws://{}", server.tunnels);
        let local = format!("http://service.test:{PORT}");
        // Nobody but the callers finds out.
        let words = ["--host", HOST, "--health-check-interval", "600", "--log-level", "debug"];
        let fixed = ["client", "--ingress-endpoint", &ingress, "--local-endpoint", &local];
        let agent = Process::start(&[&fixed[..], &words].concat());
        server.wait_available(1);
        Self { server, agent, service }
    }

    /// Takes the service away and starts another one elsewhere.
    fn move_service(&self) -> Service {
        ip(&["route", "delete", "local", FIRST, "dev", "lo"]);
        let second = start_service("second", SECOND);
        name(SECOND);
        second
    }
}

impl Drop for Stage {
    /// Whoever waits for an answer of the first service gets one: its threads end.
    fn drop(&mut self) {
        let words = ["route", "replace", "local", FIRST, "dev", "lo", "src", "10.9.0.9"];
        let _ = Command::new("ip").args(words).status();
    }
}

fn ip(words: &[&str]) {
    assert!(Command::new("ip").args(words).status().unwrap().success(), "ip {words:?}");
}

/// Where the name of the service leads from now on.
fn name(address: &str) {
    std::fs::write("/etc/hosts", format!("{address} service.test\n")).unwrap();
}

fn start_service(name: &str, address: &str) -> Service {
    Service::start_at(name, SocketAddr::new(address.parse().unwrap(), PORT))
}

#[test]
fn a_request_on_a_kept_connection_to_nowhere_is_served_elsewhere() {
    NETWORK.inside(|| {
        let stage = Stage::start();
        assert!(stage.server.get("/").text().starts_with("first: "));
        let second = stage.move_service();
        let asked_at = Instant::now();
        let response = stage.server.get("/");
        assert_eq!(response.verdict(), (200, "none"), "after {:?}", asked_at.elapsed());
        assert!(response.text().starts_with("second: "), "{}", response.text());
        assert!(asked_at.elapsed() < SOON, "{:?}", asked_at.elapsed());
        assert_eq!(second.requests().len(), 1);
    });
}

#[test]
fn a_new_connection_does_not_go_where_a_name_led_before() {
    NETWORK.inside(|| {
        // Looked up a moment ago, for the health check.
        let stage = Stage::start();
        let _second = stage.move_service();
        let asked_at = Instant::now();
        let response = ask(stage.server.traffic, request("POST", "/", "body"));
        assert_eq!(response.verdict(), (200, "none"), "after {:?}", asked_at.elapsed());
        assert!(response.text().starts_with("second: "), "{}", response.text());
        assert!(asked_at.elapsed() < SOON, "{:?}", asked_at.elapsed());
    });
}

#[test]
fn one_kept_connection_to_nowhere_tells_of_the_others() {
    NETWORK.inside(|| {
        let stage = Stage::start();
        let mut wires = [(); 4].map(|()| Wire::connect(stage.server.traffic));
        let mut ask_at_once = |service: &Service| {
            for wire in &mut wires {
                wire.send(request("GET", "/hold", ""));
            }
            service.wait_held(wires.len());
            service.release();
            for wire in &mut wires {
                assert_eq!(read_response(wire).unwrap().status, 200);
            }
        };
        ask_at_once(&stage.service);
        let second = stage.move_service();
        let asked_at = Instant::now();
        assert!(stage.server.get("/").text().starts_with("second: "));
        // Each needs a connection of its own, and there were as many.
        ask_at_once(&second);
        assert!(asked_at.elapsed() < SOON, "{:?}", asked_at.elapsed());
        assert_eq!(second.requests().len(), 5);
        assert_eq!(stage.agent.log_count("broke a kept connection"), 1, "{}", stage.agent.log());
    });
}
