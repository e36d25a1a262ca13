//! Deadlines, and what came before they are noticed.

use super::*;

#[test]
fn a_deadline_that_moved_later_costs_no_event() {
    let mut world = World::new();
    let conn = world.accept(Rule::Keep);
    let second = Duration::from_secs(1);
    for _ in 0..10 {
        let due = world.now + 2 * second;
        world.driver.app_mut().deadlines.insert(conn, due);
        world.connection(conn);
        world.driver.settle();
        world.pass(second);
    }
    assert_eq!(world.heard(), []);
    world.pass(second);
    assert_eq!(world.heard(), [Heard::Deadline(1)]);
    world.pass(60 * second);
    assert_eq!(world.heard(), []);
}

#[test]
fn what_came_while_the_process_slept_is_heard_before_its_deadline() {
    let mut world = World::new();
    let conn = world.accept(Rule::Keep);
    world.driver.settle();
    let due = world.now + Duration::from_secs(1);
    world.driver.app_mut().deadlines.insert(conn, due);
    world.connection(conn);
    world.driver.settle();
    world.receive(conn, bytes("in time"), READABLE);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.heard(), [Heard::Progress(1), Heard::Deadline(1)]);
    world.driver.app_mut().deadlines.insert(conn, world.now + Duration::from_secs(1));
    world.connection(conn);
    world.driver.settle();
    world.receive(conn, Incoming::Eof, HANGUP);
    world.pass(Duration::from_secs(5));
    let heard = world.heard();
    assert_eq!(heard.first(), Some(&Heard::Progress(1)), "{heard:?}");
}

#[test]
fn what_was_taken_while_the_process_slept_counts_before_the_deadline() {
    let mut world = World::new();
    let conn = world.accept(Rule::Keep);
    world.peer(conn).room = 3;
    world.connection(conn).io.tx.extend(b"answer");
    world.driver.latch(conn, BOTH);
    world.driver.settle();
    let due = world.now + Duration::from_secs(1);
    world.driver.app_mut().deadlines.insert(conn, due);
    world.connection(conn);
    world.driver.settle();
    world.heard();
    world.peer(conn).room = 100;
    world.driver.latch(conn, WRITABLE);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.heard(), [Heard::Progress(1), Heard::Deadline(1)]);
}

/// As an answer does, which comes on a tunnel, and behind whatever else that brings.
#[test]
fn what_came_before_a_deadline_is_noticed_counts_for_whoever_waits_for_it() {
    for (late, ahead) in [(1, 0), (40, 0), (100, 0), (4000, 0), (4000, 10_000_000)] {
        let mut world = World::new();
        let waiting = world.accept(Rule::Keep);
        let tunnel = world.accept(Rule::Relieve(waiting));
        let due = world.now + Duration::from_secs(1);
        world.driver.app_mut().deadlines.insert(waiting, due);
        world.connection(waiting);
        world.driver.settle();
        let answer = [vec![b'.'; ahead], b"in time!".to_vec()].concat();
        world.receive(tunnel, Incoming::Bytes(answer), READABLE);
        world.pass(Duration::from_millis(1000 + late));
        while world.driver.has_work() {
            world.pass(Duration::ZERO);
        }
        let others = world.heard().into_iter().filter(|heard| *heard != Heard::Progress(2));
        assert_eq!(others.collect::<Vec<_>>(), [], "{late} ms, {ahead} bytes ahead");
    }
}

#[test]
fn the_applications_own_deadline_is_a_tick() {
    let mut world = World::new();
    let due = world.now + Duration::from_secs(3);
    world.driver.app_mut().own_deadline = Some(due);
    assert_eq!(world.driver.next_deadline(), Some(due));
    world.pass(Duration::from_secs(2));
    assert_eq!(world.heard(), []);
    world.pass(Duration::from_secs(1));
    world.pass(Duration::from_secs(9));
    assert_eq!(world.heard(), [Heard::Tick]);
    world.driver.drain();
    assert_eq!(world.heard(), [Heard::Drain]);
}
