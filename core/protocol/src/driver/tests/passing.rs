//! Bytes that go past a connection's queue.

use super::*;
use crate::outlet::{PASSING_BYTES_MIN, Sockets};

/// Two connections, of which the first one forwards to the second.
fn pair(world: &mut World) -> (ConnId, ConnId) {
    let to = world.accept(Rule::Swallow);
    let from = world.accept(Rule::Forward(to));
    world.heard();
    (from, to)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

#[test]
fn much_leaves_from_where_it_lies_and_little_is_queued() {
    for (length, act) in [
        (PASSING_BYTES_MIN - 1, Act::Wrote as fn(u16, Vec<u8>) -> Act),
        (PASSING_BYTES_MIN, Act::Passed),
    ] {
        let mut world = World::new();
        let (from, to) = pair(&mut world);
        world.receive(from, Incoming::Bytes(pattern(length)), READABLE);
        world.driver.settle();
        assert_eq!(world.acts(), [act(1, pattern(length))], "{length}");
        assert_eq!(world.heard(), [Heard::Progress(2), Heard::Progress(1)], "both moved");
        assert!(world.connection(to).io.tx.is_empty());
    }
}

#[test]
fn who_answers_itself_hears_of_it() {
    let mut world = World::new();
    let conn = world.accept(Rule::Echo);
    world.receive(conn, Incoming::Bytes(pattern(9000)), READABLE);
    world.driver.settle();
    assert_eq!(world.acts(), [Act::Passed(1, pattern(9000))]);
    assert_eq!(world.heard(), [Heard::Progress(1), Heard::Progress(1)]);
}

#[test]
fn what_has_no_room_is_queued_behind_what_was_there() {
    let mut world = World::new();
    let (from, to) = pair(&mut world);
    world.peer(to).room = 10_000;
    world.connection(to).io.tx.extend(b"head");
    let sent = pattern(20_000);
    world.receive(from, Incoming::Bytes(sent.clone()), READABLE);
    // Only the one that forwards has its turn before the socket is full.
    world.driver.serve(from);
    let expected: Vec<u8> = [b"head", &sent[..]].concat();
    assert_eq!(world.acts(), [Act::Passed(1, expected[..10_000].to_vec())]);
    assert_eq!(world.connection(to).io.tx.as_slice(), &expected[10_000..]);
    world.receive(from, Incoming::Bytes(sent.clone()), READABLE);
    world.driver.settle();
    assert_eq!(world.acts(), [], "no write before the kernel says that there is room");
    assert_eq!(world.heard(), [Heard::Progress(2), Heard::Progress(2), Heard::Progress(1)]);
    world.peer(to).room = usize::MAX;
    world.driver.latch(to, WRITABLE);
    world.driver.settle();
    let rest = [&expected[10_000..], &sent].concat();
    assert_eq!(world.acts(), [Act::Wrote(1, rest)]);
    assert_eq!(world.heard(), [Heard::Progress(1)]);
}

#[test]
fn who_cannot_be_written_to_gets_it_later() {
    let mut world = World::new();
    let (from, to) = pair(&mut world);
    world.peer(to).handshaking = true;
    world.receive(from, Incoming::Bytes(pattern(9000)), READABLE);
    world.driver.settle();
    assert_eq!(world.connection(to).io.tx.as_slice(), pattern(9000), "the handshake comes first");

    let coming = world.dial();
    world.connection(from).state = Rule::Forward(coming);
    world.receive(from, Incoming::Bytes(pattern(9000)), READABLE);
    world.driver.settle();
    assert_eq!(world.connection(coming).io.tx.as_slice(), pattern(9000), "it is being made");
    assert_eq!(world.acts(), []);
}

#[test]
fn a_connection_that_breaks_by_it_ends_as_ever() {
    let mut world = World::new();
    let (from, to) = pair(&mut world);
    world.peer(to).write_error = Some(ErrorKind::BrokenPipe);
    world.receive(to, bytes("last words"), Readiness::default());
    world.receive(to, Incoming::Eof, Readiness::default());
    world.receive(from, Incoming::Bytes(pattern(9000)), READABLE);
    world.driver.settle();
    assert_eq!(
        world.heard(),
        [Heard::Progress(2), Heard::Progress(1), Heard::Closed(1, "failed")],
        "what the peer said is read before the end"
    );
    assert_eq!(world.driver.app().got[&1], b"last words");
}

/// Nobody may take it for what has left.
#[test]
fn what_a_broken_connection_does_not_take_waits_for_its_end() {
    let mut world = World::new();
    let (_, to) = pair(&mut world);
    world.driver.settle();
    world.peer(to).write_error = Some(ErrorKind::BrokenPipe);
    let (mut tx, much) = (Buf::new(), pattern(9000));
    world.driver.sockets.send(to, &mut tx, &[&much]);
    assert_eq!(tx.as_slice(), much);
}

#[test]
fn who_sends_much_has_as_many_rounds_as_anybody() {
    let mut world = World::new();
    let conn = world.accept(Rule::Swallow);
    world.driver.app_mut().passing.extend((0..6).map(|_| pattern(9000)));
    world.connection(conn);
    world.driver.collect();
    world.driver.serve(conn);
    assert_eq!(world.acts().len(), 4, "the next connection has its turn");
    assert!(world.driver.has_work());
    assert_eq!(world.heard(), [Heard::Progress(1)]);
    world.driver.settle();
    assert_eq!(world.acts().len(), 2);
    assert_eq!(world.heard(), [Heard::Progress(1)]);
}

#[test]
fn what_waits_in_the_kernel_waits_with_the_patience_that_it_was_given() {
    let mut world = World::new();
    let (from, to) = pair(&mut world);
    world.connection(to).io.patience = Patience::Short;
    world.driver.settle();
    world.connection(to).io.patience = Patience::Long;
    world.peer(to).room = 4096;
    world.receive(from, Incoming::Bytes(pattern(9000)), READABLE);
    // As when a request and its body come together, on a connection that another one used before.
    world.driver.serve(from);
    world.driver.settle();
    let acts = world.acts();
    assert_eq!(acts[0], Act::Waits(1, Patience::Short));
    assert!(acts.contains(&Act::Waits(1, Patience::Long)), "{acts:?}");
}

#[test]
fn there_is_something_to_read_until_the_kernel_has_no_more() {
    let mut world = World::new();
    let conn = world.accept(Rule::Swallow);
    let has_unread = |world: &World| world.driver.sockets.has_unread(conn);
    assert!(!has_unread(&world), "nothing came");
    world.receive(conn, bytes("hello"), READABLE);
    assert!(has_unread(&world), "the kernel said so, and nobody has read yet");
    world.driver.settle();
    assert!(!has_unread(&world), "all of it is read");
    world.receive(conn, Incoming::Eof, READABLE);
    assert!(has_unread(&world), "the end is to be read too");
    world.driver.settle();
    assert!(!has_unread(&world), "nothing comes after the end");
}

#[test]
fn the_kernel_may_know_more_than_it_said() {
    for (comes, is_something) in [
        (bytes("hello"), true),
        (Incoming::Eof, true),
        (Incoming::Reset, true),
        (Incoming::Handshake, false),
    ] {
        let mut world = World::new();
        let conn = world.accept(Rule::Swallow);
        assert!(!world.driver.sockets.has_unread_by_now(conn), "nothing came");
        world.peer(conn).incoming.push_back(comes);
        assert!(!world.driver.sockets.has_unread(conn), "it has not said so");
        assert_eq!(world.driver.sockets.has_unread_by_now(conn), is_something);
    }
}
