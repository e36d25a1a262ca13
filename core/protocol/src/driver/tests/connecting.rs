//! Connections that come or are asked for, and names that are not theirs any more.

use super::*;

#[test]
fn who_is_not_taken_in_is_reset() {
    let mut world = World::new();
    let transport = world.transport();
    world.driver.app_mut().rule = None;
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let conn = world.driver.accepted(ListenerId(0), peer, transport);
    assert_eq!(conn, None);
    assert_eq!(world.acts(), [Act::Reset(1), Act::Dropped(1)]);
}

#[test]
fn a_connection_that_was_asked_for_comes_or_fails() {
    let mut world = World::new();
    let (first, second) = (world.dial(), world.dial());
    world.driver.connect_failed(first, ErrorKind::TimedOut.into());
    let transport = world.transport();
    world.driver.connected(second, transport);
    world.driver.settle();
    assert_eq!(world.heard(), [Heard::Closed(1, "connect failed"), Heard::Connected(2)]);
}

#[test]
fn a_connection_that_is_being_made_has_its_deadline() {
    let mut world = World::new();
    let conn = world.dial();
    let due = world.now + Duration::from_secs(5);
    world.driver.app_mut().deadlines.insert(conn, due);
    world.connection(conn);
    world.driver.settle();
    assert_eq!(world.driver.next_deadline(), Some(due));
    world.pass(Duration::from_secs(5));
    assert_eq!(world.heard(), [Heard::Deadline(1)]);
    world.connection(conn).io.close(Closing::AfterFlush);
    world.driver.settle();
    assert_eq!(world.heard(), [Heard::Closed(1, "aborted")]);
}

#[test]
fn stale_names_are_ignored() {
    let mut world = World::new();
    let old = world.dial();
    world.driver.connect_failed(old, ErrorKind::TimedOut.into());
    let new = world.dial();
    assert_eq!(old.index(), new.index(), "the slot is used again");
    world.heard();
    world.driver.latch(old, HANGUP);
    world.driver.connect_failed(old, ErrorKind::TimedOut.into());
    let transport = world.transport();
    world.driver.connected(old, transport);
    world.driver.settle();
    assert_eq!(world.heard(), []);
    assert_eq!(world.acts(), [Act::Dropped(3)]);
    assert!(world.driver.transport_mut(old).is_none());
    assert!(world.driver.transport_mut(new).is_none());
}

#[test]
fn a_second_connect_of_one_slot_is_dropped() {
    let mut world = World::new();
    let conn = world.dial();
    for _ in 0..2 {
        let transport = world.transport();
        world.driver.connected(conn, transport);
    }
    world.driver.connect_failed(conn, ErrorKind::TimedOut.into());
    assert_eq!(world.heard(), [Heard::Connected(1)]);
    assert_eq!(world.acts(), [Act::Dropped(3)]);
}

#[test]
fn a_connection_that_is_being_made_waits_for_its_peer_unless_the_shell_knows_better() {
    let mut world = World::new();
    let conn = world.dial();
    world.driver.commands.push_back(Command::Connect { conn, target: target() });
    assert!(world.driver.poll_command().is_some());
    assert_eq!(world.connection(conn).io.awaits, Some(Awaited::Peer));
    world.driver.handle_awaited(conn, Some(Awaited::Address));
    assert_eq!(world.connection(conn).io.awaits, Some(Awaited::Address));
    let transport = world.transport();
    world.driver.connected(conn, transport);
    assert_eq!(world.connection(conn).io.awaits, None);
}

#[test]
fn the_shell_hears_of_a_connection_that_ends_before_it_is_made() {
    let mut world = World::new();
    let conn = world.dial();
    world.connection(conn).io.close(Closing::Abort);
    world.driver.settle();
    assert_eq!(world.driver.poll_command(), Some(Command::Forget { conn }));
    assert_eq!(world.driver.poll_command(), None);
    let conn = world.dial();
    let transport = world.transport();
    world.driver.connected(conn, transport);
    world.connection(conn).io.close(Closing::Abort);
    world.driver.settle();
    assert_eq!(world.driver.poll_command(), None, "that one was made");
}
