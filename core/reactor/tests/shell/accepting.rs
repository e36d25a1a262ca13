//! Listening sockets.

use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddr};

use mesh_reactor::listen;

use crate::probe::connect;

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
