//! Listening sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpStream};
use std::time::Instant;

use mesh_protocol::ListenerId;
use mesh_reactor::{ClientTls, Signals, listen};

use crate::probe::{Heard, PATIENCE, Probe, Rule, Running, connect};

#[test]
fn an_address_in_use_is_an_error() {
    let first = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let error = listen(first.local_addr().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[test]
fn any_address_of_ipv6_is_any_address_of_ipv4_too() {
    let Ok(socket) = listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))) else {
        eprintln!("skipped: there is no IPv6 here");
        return;
    };
    let port = socket.local_addr().unwrap().port();
    connect(SocketAddr::from(([127, 0, 0, 1], port)));
    connect(SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
}

#[test]
fn nobody_blocks_on_an_empty_listener() {
    let socket = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let error = socket.accept().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_listener_that_is_closed_takes_in_who_waits_and_refuses_who_comes_later() {
    let (mut probe, heard) = Probe::new(Rule::Echo);
    probe.closes_at_drain = Some(ListenerId(0));
    let server = Running::start((probe, heard), ClientTls::web_roots(), Signals::Ignore);
    let mut early: Vec<_> = (0..300).map(|_| server.connect()).collect();
    server.handle.drain();
    while server.next() != Heard::Drain {}
    let began = Instant::now();
    // The kernel still completes handshakes while the loop is on its way to close the socket.
    while let Ok(late) = TcpStream::connect(server.address) {
        drop(late);
        assert!(began.elapsed() < PATIENCE, "it is still open");
    }
    for stream in &mut early {
        stream.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
    }
}
