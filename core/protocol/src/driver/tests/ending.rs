//! Connections that end, in good order or by a reset.

use super::*;

#[test]
fn an_answered_connection_discards_until_the_peer_closes() {
    let mut world = World::new();
    let conn = world.accept(Rule::AnswerAndClose);
    world.receive(conn, bytes("request"), READABLE);
    world.driver.settle();
    world.receive(conn, Incoming::Bytes(vec![0; 500_000]), READABLE);
    world.driver.settle();
    while world.driver.has_work() {
        world.driver.settle();
    }
    assert!(world.peer(conn).incoming.is_empty(), "read and thrown away");
    world.receive(conn, Incoming::Eof, HANGUP);
    world.driver.settle();
    assert_eq!(
        world.acts(),
        [Act::WroteLast(1, b"answer".to_vec()), Act::Finished(1), Act::Dropped(1)]
    );
    assert_eq!(world.heard(), [Heard::Progress(1), Heard::Closed(1, "finished")]);
}

#[test]
fn a_peer_that_never_closes_is_left_behind_without_a_reset() {
    let mut world = World::new();
    let conn = world.accept(Rule::AnswerAndClose);
    world.receive(conn, bytes("request"), READABLE);
    world.driver.settle();
    world.acts();
    world.pass(LINGER_TIMEOUT - Duration::from_millis(1));
    assert_eq!(world.acts(), []);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.acts(), [Act::Dropped(1)], "a reset could destroy the answer in the kernel");
    assert_eq!(world.heard().last(), Some(&Heard::Closed(1, "finished")));
}

/// Who sends an upload and looks for the answer when it is done.
#[test]
fn a_peer_that_still_sends_is_heard_out_for_a_while() {
    let mut world = World::new();
    let conn = world.accept(Rule::AnswerAndClose);
    world.receive(conn, bytes("request"), READABLE);
    world.driver.settle();
    world.acts();
    let step = LINGER_TIMEOUT - Duration::from_millis(1);
    let mut waited = Duration::ZERO;
    while world.acts().is_empty() {
        world.receive(conn, bytes("still sending"), READABLE);
        world.driver.settle();
        world.pass(step);
        waited += step;
    }
    assert!(waited >= LINGER_MAX && waited < LINGER_MAX + step, "{waited:?}");
    assert_eq!(world.heard().last(), Some(&Heard::Closed(1, "finished")));
}

#[test]
fn an_end_that_the_peer_announced_is_not_waited_for() {
    let mut world = World::new();
    let conn = world.accept(Rule::AnswerAndClose);
    world.peer(conn).room = 3;
    world.connection(conn).io.tx.extend(b"answer");
    world.connection(conn).io.close(Closing::Agreed);
    world.driver.latch(conn, BOTH);
    world.driver.settle();
    assert_eq!(world.acts(), [Act::WroteLast(1, b"ans".to_vec())], "not before all has left");
    world.peer(conn).room = 100;
    world.driver.latch(conn, WRITABLE);
    world.driver.settle();
    let ended = [Act::WroteLast(1, b"wer".to_vec()), Act::Finished(1), Act::Dropped(1)];
    assert_eq!(world.acts(), ended);
    assert_eq!(world.heard(), [Heard::Closed(1, "finished")]);
}

#[test]
fn a_closing_connection_is_reset_when_its_peer_takes_nothing() {
    let mut world = World::new();
    let conn = world.accept(Rule::AnswerAndClose);
    world.peer(conn).room = 3;
    world.receive(conn, bytes("request"), READABLE);
    world.driver.settle();
    let almost = FLUSH_TIMEOUT - Duration::from_secs(1);
    world.pass(almost);
    world.peer(conn).room = 1;
    world.driver.latch(conn, WRITABLE);
    world.driver.settle();
    world.pass(almost);
    world.receive(conn, bytes("still talking, never listening"), READABLE);
    world.driver.settle();
    let wrote = |text: &str| Act::WroteLast(1, text.as_bytes().to_vec());
    assert_eq!(world.acts(), [wrote("ans"), wrote("w")]);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.acts(), [Act::Reset(1), Act::Dropped(1)]);
    assert_eq!(world.heard().last(), Some(&Heard::Closed(1, "aborted")));
}

#[test]
fn an_abort_is_a_reset_at_once() {
    let mut world = World::new();
    let conn = world.accept(Rule::Keep);
    world.connection(conn).io.tx.extend(b"never to be sent");
    world.peer(conn).room = 0;
    world.driver.settle();
    world.connection(conn).io.close(Closing::Abort);
    world.driver.settle();
    assert_eq!(world.acts(), [Act::Reset(1), Act::Dropped(1)]);
    assert_eq!(world.heard(), [Heard::Closed(1, "aborted")]);
}

#[test]
fn what_is_there_before_an_abort_does_not_wait_for_an_end() {
    let mut world = World::new();
    let conn = world.accept(Rule::Keep);
    world.connection(conn).io.tx.extend(b"a part");
    world.connection(conn).io.close(Closing::Abort);
    world.driver.latch(conn, BOTH);
    world.driver.settle();
    let expected = [Act::Wrote(1, b"a part".to_vec()), Act::Reset(1), Act::Dropped(1)];
    assert_eq!(world.acts(), expected);
}

#[test]
fn half_a_close_leaves_the_other_half_open() {
    let mut world = World::new();
    let conn = world.accept(Rule::Swallow);
    world.connection(conn).io.tx.extend(b"request");
    world.connection(conn).io.close(Closing::Write);
    world.driver.settle();
    let wrote = Act::WroteLast(1, b"request".to_vec());
    assert_eq!(world.acts(), [wrote, Act::Finished(1)]);
    world.pass(Duration::from_secs(3600));
    world.receive(conn, bytes("a late answer"), READABLE);
    world.driver.settle();
    assert_eq!(world.driver.app().got[&1], b"a late answer");
    world.receive(conn, Incoming::Eof, HANGUP);
    world.driver.settle();
    assert_eq!(world.heard().last(), Some(&Heard::Closed(1, "finished")));
}

#[test]
fn what_was_to_leave_when_all_ends_is_reset() {
    let mut world = World::new();
    let [whole, cut, framed] = [0; 3].map(|_| world.accept(Rule::Keep));
    world.driver.app_mut().framed.push(framed);
    for conn in [cut, framed] {
        world.peer(conn).room = 3;
    }
    for conn in [whole, cut, framed] {
        world.connection(conn).io.tx.extend(b"answer");
        world.driver.latch(conn, BOTH);
    }
    world.driver.settle();
    world.acts();
    let World { driver, acts, .. } = world;
    drop(driver.into_app());
    assert_eq!(
        acts.try_iter().collect::<Vec<_>>(),
        [Act::Reset(2), Act::Dropped(1), Act::Dropped(2), Act::Dropped(3)]
    );
}
