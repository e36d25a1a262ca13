//! Connections that we make.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

use crate::probe::{Heard, Rule, Running, target};

/// A port on which nobody listens, and what keeps it from others meanwhile.
fn closed_port() -> (u16, Socket) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    (socket.local_addr().unwrap().as_socket().unwrap().port(), socket)
}

#[test]
fn a_refused_connection_names_host_and_port() {
    let (port, _socket) = closed_port();
    let client = Running::dial(target("127.0.0.1", port), Rule::Echo);
    let reason = client.closed();
    assert!(
        reason.contains(&format!("127.0.0.1:{port}")) && reason.contains("refused"),
        "{reason}"
    );
}

#[test]
fn a_name_that_does_not_exist_is_told_by_name() {
    let client = Running::dial(target("nothing.invalid", 80), Rule::Echo);
    let reason = client.closed();
    assert!(reason.contains("nothing.invalid:80"), "{reason}");
}

#[test]
fn localhost_is_found() {
    let server = Running::serve(Rule::Echo);
    let port = server.address.port();
    let client = Running::dial(target("localhost", port), Rule::Ask(b"hi".to_vec()));
    assert_eq!(client.received(), b"hi");
}

/// The machine's own name usually stands in `/etc/hosts`; where it does not, or means an address
/// other than the loopback's, there is nothing to connect to, but a reason is told.
#[test]
fn a_name_is_looked_up_on_another_thread() {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let server = Running::serve(Rule::Echo);
    let port = server.address.port();
    let client = Running::dial(target(name.trim(), port), Rule::Ask(b"hi".to_vec()));
    let heard = client.next();
    if let Heard::Closed(reason) = heard {
        assert!(reason.contains(name.trim()), "{reason}");
        return;
    }
    assert_eq!(heard, Heard::Connected);
    assert_eq!(client.received(), b"hi");
}

#[test]
fn the_second_address_is_used_when_the_first_refuses() {
    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        eprintln!("skipped: there is no IPv6 here");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let client = Running::dial(target("localhost", port), Rule::Swallow);
    let (_stream, peer) = listener.accept().unwrap();
    assert!(matches!(peer, SocketAddr::V6(_)));
    assert_eq!(client.next(), Heard::Connected);
}

#[test]
fn a_connection_that_failed_at_once_does_not_keep_the_loop_busy() {
    let client = Running::dial(target("not a name", 80), Rule::Echo);
    let reason = client.closed();
    assert!(reason.contains("not a name:80"), "{reason}");
    client.stop();
}

/// There are more of them than a driver serves before the shell has its turn.
#[test]
fn nobody_sees_connections_that_are_not_wanted_any_more() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let target = target("127.0.0.1", listener.local_addr().unwrap().port());
    let more = 100;
    let client = Running::dial(target.clone(), Rule::Regret(target, more));
    for _ in 0..=more {
        client.closed();
    }
    client.stop();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}
