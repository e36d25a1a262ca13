//! Handshakes, and what else the transport has to say by itself.

use super::*;

#[test]
fn the_end_of_a_handshake_and_the_names_are_there_before_the_first_byte() {
    let mut world = World::new();
    world.driver.app_mut().rule = Some(Rule::Keep);
    let mut transport = world.transport();
    transport.handshaking = true;
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, transport.name));
    let conn = world.driver.accepted(ListenerId(0), peer, transport).unwrap();
    world.driver.settle();
    assert!(world.connection(conn).io.is_handshaking);
    assert_eq!(world.connection(conn).io.peer_names, None);
    world.receive(conn, Incoming::Handshake, READABLE);
    world.driver.settle();
    assert!(!world.connection(conn).io.is_handshaking);
    assert_eq!(world.connection(conn).io.peer_names.as_deref(), Some(&["1.test".to_owned()][..]));
    assert!(world.heard().is_empty(), "no byte of the application moved");
    let plain = world.accept(Rule::Keep);
    world.receive(plain, Incoming::Bytes(b"plain".to_vec()), READABLE);
    world.driver.settle();
    assert_eq!(world.connection(plain).io.peer_names, None, "nobody is asked without a handshake");
}

#[test]
fn an_application_knows_that_a_connection_is_worn_when_it_hears_of_what_left() {
    let mut world = World::new();
    let conn = world.accept(Rule::Keep);
    world.peer(conn).wear = 3;
    for (bytes, needs_replacing) in [(b"ab", false), (b"cd", true)] {
        world.connection(conn).io.tx.extend(bytes);
        world.driver.settle();
        assert_eq!(world.heard(), [Heard::Progress(1)]);
        assert_eq!(world.connection(conn).io.needs_replacing, needs_replacing);
    }
}

#[test]
fn what_waits_for_a_handshake_leaves_even_if_the_peer_has_its_last_word() {
    let mut world = World::new();
    let conn = world.dial();
    world.connection(conn).io.tx.extend(b"request");
    let mut transport = world.transport();
    transport.handshaking = true;
    world.driver.connected(conn, transport);
    world.driver.latch(conn, WRITABLE);
    world.driver.settle();
    assert_eq!(world.acts(), []);
    world.receive(conn, Incoming::HandshakeHeard, READABLE);
    world.driver.settle();
    assert_eq!(world.acts(), [Act::Wrote(2, b"request".to_vec())]);
}

#[test]
fn reading_may_give_the_transport_something_to_say() {
    let mut world = World::new();
    let conn = world.accept(Rule::Keep);
    world.peer(conn).handshaking = true;
    world.connection(conn).io.tx.extend(b"request");
    world.driver.settle();
    assert!(!world.driver.has_work(), "waiting for the peer is no work");
    assert_eq!(world.acts(), []);
    world.receive(conn, Incoming::Handshake, READABLE);
    world.driver.settle();
    assert_eq!(
        world.acts(),
        [Act::Wrote(1, b"<handshake>".to_vec()), Act::Wrote(1, b"request".to_vec())]
    );
}
