//! Agents that reach their ingress through an HTTP proxy.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use crate::harness::binaries;
use crate::peers::balancer::pipe;
use crate::peers::caller::HOST;
use crate::peers::place::own_address;
use crate::peers::process::{Process, Server};
use crate::peers::service::Service;
use crate::tls::Front;

/// A name that leads somewhere for the proxy only.
const INGRESS: &str = "ingress.invalid";
/// `user:secret` (RFC 7617).
const AUTHORIZATION: &str = "Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n";

/// A proxy that lets those through who know the secret, to the one place that it knows.
fn proxy(ingress: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(own_address()).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for caller in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(caller, ingress));
        }
    });
    address
}

fn serve(mut caller: TcpStream, ingress: SocketAddr) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(caller.read(&mut byte), Ok(1)) {
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let is_for_ingress = head.starts_with(&format!("CONNECT {INGRESS}:443 HTTP/1.1\r\n"));
    let answer = match (head.contains(AUTHORIZATION), is_for_ingress) {
        (false, _) => "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 4\r\n\r\nwho?",
        (true, false) => "HTTP/1.1 403 Forbidden\r\n\r\n",
        (true, true) => "HTTP/1.1 200 Connection established\r\n\r\n",
    };
    if caller.write_all(answer.as_bytes()).is_ok() && answer.contains(" 200 ") {
        let served = TcpStream::connect(ingress).unwrap();
        pipe(&caller, &served);
        pipe(&served, &caller);
    }
}

fn agent(proxy: SocketAddr, service: &Service, words: &[&str]) -> Process {
    let mut command = Command::new(binaries::MESH);
    command.args(["client", "--host", HOST, "--local-endpoint", &service.url()]);
    command.args(["--proxy", &format!("http://{proxy}"), "--reconnect-min", "0.05"]);
    command.env("MESH_PROXY_CREDENTIALS", "user:secret");
    Process::spawn(command.args(words))
}

#[test]
fn an_agent_reaches_its_ingress_through_a_proxy_that_wants_to_know_it() {
    let (server, service) = (Server::start(&[]), Service::start("a"));
    let proxy = proxy(server.tunnels);
    let endpoint = format!("ws://{INGRESS}:443");
    let agent = agent(proxy, &service, &["--ingress-endpoint", &endpoint]);
    server.wait_available(1);
    assert_eq!(server.get("/").status, 200);
    agent.wait_log(&format!("through the ingress at {INGRESS}:443 and the proxy {proxy}"));
    assert!(!agent.log().contains("secret"), "{}", agent.log());
}

#[test]
fn the_ingress_beyond_a_proxy_has_to_prove_its_name() {
    let (server, service) = (Server::start(&[]), Service::start("a"));
    let front = Front::start(Some(INGRESS), server.tunnels);
    let proxy = proxy(front.address);
    let endpoint = ["--ingress-endpoint", &format!("wss://{INGRESS}")];
    let stranger = agent(proxy, &service, &endpoint);
    stranger.wait_log("UnknownIssuer");
    let ca_file = front.certificate.to_str().unwrap();
    let _agent = agent(proxy, &service, &[&endpoint[..], &["--ca-file", ca_file]].concat());
    server.wait_available(1);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_proxy_that_refuses_is_named_in_the_log() {
    let (server, service) = (Server::start(&[]), Service::start("a"));
    let proxy = proxy(server.tunnels);
    let elsewhere = agent(proxy, &service, &["--ingress-endpoint", "ws://other.invalid:443"]);
    elsewhere.wait_log(&format!("the proxy {proxy}: it answered 403"));
    let mut command = Command::new(binaries::MESH);
    command.args(["client", "--host", HOST, "--proxy", &format!("http://{proxy}")]);
    let anonymous = Process::spawn(&mut command);
    let complaint = format!("the proxy {proxy}: it answered 407: it wants (other) credentials");
    anonymous.wait_log(&complaint);
}

#[test]
fn a_proxy_that_says_nothing_is_told_from_an_address_where_nobody_is() {
    let silent = TcpListener::bind(own_address()).unwrap();
    let service = Service::start("a");
    let agent = agent(
        silent.local_addr().unwrap(),
        &service,
        &["--ingress-endpoint", "ws://ingress.invalid:443", "--connect-timeout", "0.3"],
    );
    agent.wait_log(&format!("no tunnel to {INGRESS}:443: no answer from the proxy within 300ms"));
}
