//! Connections that break, and what is still heard of their peers.

use super::*;

#[test]
fn a_broken_write_still_delivers_what_arrived_but_no_end() {
    let mut world = World::new();
    let conn = world.accept(Rule::Swallow);
    world.peer(conn).write_error = Some(ErrorKind::BrokenPipe);
    world.connection(conn).io.tx.extend(b"request");
    world.peer(conn).incoming.push_back(bytes("half an answ"));
    world.peer(conn).incoming.push_back(Incoming::Eof);
    world.driver.settle();
    assert_eq!(world.driver.app().got[&1], b"half an answ");
    assert_eq!(world.heard(), [Heard::Progress(1), Heard::Closed(1, "failed")]);
    assert_eq!(world.driver.app().ended, [0_u16; 0], "the half must not be taken for the whole");
}

#[test]
fn a_reset_is_told_after_the_bytes_before_it() {
    let mut world = World::new();
    let conn = world.accept(Rule::Echo);
    world.receive(conn, bytes("abc"), READABLE);
    world.receive(conn, Incoming::Reset, HANGUP);
    world.driver.settle();
    assert_eq!(world.heard(), [Heard::Progress(1), Heard::Closed(1, "failed")]);
    assert_eq!(world.driver.app().got[&1], b"abc");
}

/// Where nothing is read any more, only the kernel's word tells.
#[test]
fn a_break_after_the_end_of_the_peer_is_heeded() {
    let mut world = World::new();
    let conn = world.accept(Rule::Swallow);
    world.driver.app_mut().heard_out.push(conn);
    world.receive(conn, Incoming::Eof, HANGUP);
    world.driver.settle();
    assert_eq!(world.heard(), [Heard::Progress(1)]);
    world.peer(conn).failure = Some(ErrorKind::BrokenPipe);
    world.driver.latch(conn, HANGUP);
    world.driver.settle();
    assert_eq!(world.heard(), [], "a peer may end its direction and stay");
    world.driver.latch(conn, FAILURE);
    world.driver.settle();
    assert_eq!(world.heard(), [Heard::Closed(1, "failed")]);
}

#[test]
fn a_break_waits_until_the_peer_is_heard_out() {
    for eof in [false, true] {
        let mut world = World::new();
        let conn = world.accept(Rule::Keep);
        // As many as there is room for.
        world.receive(conn, Incoming::Bytes(vec![b'x'; 100_000]), READABLE);
        if eof {
            world.connection(conn).io.rx_limit += 1;
            world.receive(conn, Incoming::Eof, HANGUP);
        }
        world.driver.settle();
        world.peer(conn).failure = Some(ErrorKind::ConnectionReset);
        world.driver.latch(conn, FAILURE);
        world.driver.settle();
        assert!(!world.heard().contains(&Heard::Closed(1, "failed")), "eof: {eof}");
        world.driver.app_mut().heard_out.push(conn);
        world.driver.app_mut().conns.touch(conn);
        world.driver.settle();
        assert_eq!(world.heard(), [Heard::Closed(1, "failed")], "eof: {eof}");
    }
}

/// Nobody makes room in a full queue for a peer that cannot be answered.
#[test]
fn a_break_that_a_write_finds_waits_for_the_same() {
    let mut world = World::new();
    let conn = world.accept(Rule::Keep);
    world.receive(conn, Incoming::Bytes(vec![b'x'; 200_000]), READABLE);
    world.driver.settle();
    world.heard();
    world.peer(conn).write_error = Some(ErrorKind::BrokenPipe);
    world.connection(conn).io.tx.extend(b"answer");
    world.driver.settle();
    assert!(!world.heard().contains(&Heard::Closed(1, "failed")));
    world.driver.app_mut().heard_out.push(conn);
    world.driver.app_mut().conns.touch(conn);
    world.driver.settle();
    assert_eq!(world.heard(), [Heard::Closed(1, "failed")]);
}

#[test]
fn a_break_after_our_end_is_heeded_where_the_peer_has_not_ended() {
    for eof in [false, true] {
        let mut world = World::new();
        let conn = world.accept(Rule::Keep);
        world.driver.app_mut().heard_out.push(conn);
        world.receive(conn, Incoming::Bytes(vec![b'x'; 100_000]), READABLE);
        if eof {
            world.connection(conn).io.rx_limit += 1;
            world.receive(conn, Incoming::Eof, HANGUP);
        }
        world.connection(conn).io.close(Closing::Write);
        world.driver.settle();
        world.heard();
        world.peer(conn).failure = Some(ErrorKind::ConnectionReset);
        world.driver.latch(conn, FAILURE);
        world.driver.settle();
        let expected = if eof { vec![] } else { vec![Heard::Closed(1, "failed")] };
        assert_eq!(world.heard(), expected, "eof: {eof}");
    }
}

#[test]
fn a_broken_connection_stays_until_the_last_words_of_its_peer_are_passed_on() {
    for write_error in [None, Some(ErrorKind::BrokenPipe)] {
        let mut world = World::new();
        let conn = world.accept(Rule::Keep);
        world.driver.app_mut().last_words.push(conn);
        world.peer(conn).write_error = write_error;
        world.connection(conn).io.tx.extend(b"what nobody reads");
        world.connection(conn).io.close(Closing::Write);
        world.receive(conn, bytes("bye"), READABLE);
        world.receive(conn, Incoming::Reset, FAILURE);
        world.driver.settle();
        assert_eq!(world.heard(), [Heard::Progress(1)], "{write_error:?}");
        assert_eq!(world.connection(conn).io.rx.as_slice(), b"bye");
        world.driver.app_mut().last_words.clear();
        world.driver.app_mut().conns.touch(conn);
        world.driver.settle();
        assert_eq!(world.heard(), [Heard::Closed(1, "failed")], "{write_error:?}");
    }
}

#[test]
fn an_end_without_a_goodbye_is_one_where_nobody_knows_what_is_carried() {
    for is_opaque in [false, true] {
        let mut world = World::new();
        let conn = world.accept(Rule::Swallow);
        world.connection(conn).io.is_opaque = is_opaque;
        world.receive(conn, bytes("bye"), READABLE);
        world.receive(conn, Incoming::Cut, HANGUP);
        world.driver.settle();
        assert_eq!(world.driver.app().got[&1], b"bye");
        assert_eq!(world.driver.app().ended.contains(&1), is_opaque);
        assert_eq!(world.heard().contains(&Heard::Closed(1, "failed")), !is_opaque);
    }
}

/// It would answer what nobody asks any more.
#[test]
fn nothing_is_made_of_what_came_with_a_break_of_who_is_heard_out() {
    for write_error in [None, Some(ErrorKind::BrokenPipe)] {
        let mut world = World::new();
        let conn = world.accept(Rule::Echo);
        world.driver.app_mut().heard_out.push(conn);
        world.peer(conn).write_error = write_error;
        world.connection(conn).io.tx.extend(b"answer");
        world.receive(conn, bytes("another question"), READABLE);
        world.receive(conn, Incoming::Reset, FAILURE);
        world.driver.settle();
        assert_eq!(world.heard(), [Heard::Closed(1, "failed")], "{write_error:?}");
    }
}

#[test]
fn what_was_not_read_of_a_peer_goes_with_the_decision_to_close() {
    let mut world = World::new();
    let conn = world.accept(Rule::Keep);
    world.receive(conn, Incoming::Bytes(vec![b'x'; 60_000]), READABLE);
    world.driver.settle();
    assert_eq!(world.connection(conn).io.rx.len(), 60_000);
    world.connection(conn).io.close(Closing::AfterFlush);
    world.driver.settle();
    assert_eq!(world.connection(conn).io.rx.len(), 0);
}
