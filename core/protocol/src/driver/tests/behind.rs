//! Applications that leave some of what came for their next turn, and deadlines that wait for it.

use std::time::Duration;

use super::super::{ASLEEP_TURNS_MAX, PASSES_MAX};
use super::{FAILURE, HANGUP, Heard, Incoming, READABLE, Rule, World, bytes};

#[test]
fn what_was_left_is_told_of_again_after_the_others() {
    let mut world = World::new();
    let slow = world.accept(Rule::Nibble(10));
    let quick = world.accept(Rule::Swallow);
    world.receive(slow, Incoming::Bytes(vec![0; 25]), READABLE);
    world.receive(quick, bytes("x"), READABLE);
    world.driver.settle();
    assert_eq!(world.heard(), [1, 2, 1, 1].map(Heard::Progress));
    assert!(!world.driver.has_work());
    assert_eq!(world.driver.app().got[&1].len(), 25);
}

#[test]
fn nothing_is_read_for_whom_is_behind() {
    let mut world = World::new();
    let slow = world.accept(Rule::Nibble(1));
    world.receive(slow, Incoming::Bytes(vec![0; 100_000]), READABLE);
    world.receive(slow, bytes("rest"), READABLE);
    world.driver.settle();
    assert_eq!(world.driver.app().got[&1].len(), PASSES_MAX);
    assert_eq!(world.connection(slow).io.rx.len(), 100_000 - PASSES_MAX);
    assert!(world.driver.has_work());
}

#[test]
fn a_connection_that_broke_ends_when_all_that_came_was_taken() {
    for (last, readiness) in [(Incoming::Eof, HANGUP), (Incoming::Reset, FAILURE)] {
        let mut world = World::new();
        let slow = world.accept(Rule::Nibble(10));
        world.receive(slow, Incoming::Bytes(vec![0; 25]), READABLE);
        world.receive(slow, last, readiness);
        world.driver.settle();
        assert_eq!(world.driver.app().got[&1].len(), 25);
        assert!(!world.driver.has_work());
    }
}

/// An hour of frames lies in the way of a deadline that is noticed late: the shell looks at the others
/// meanwhile, and the deadline comes in the end.
#[test]
fn a_late_deadline_waits_for_what_came_before_it_and_the_others_do_not() {
    let mut world = World::new();
    let endless = world.accept(Rule::Nibble(1));
    let other = world.accept(Rule::Swallow);
    let due = world.now + Duration::from_secs(1);
    world.driver.app_mut().deadlines.insert(other, due);
    world.connection(other);
    world.driver.settle();
    world.receive(endless, Incoming::Bytes(vec![0; 100_000]), READABLE);
    world.pass(Duration::from_millis(1060));
    let before = world.heard().len();
    assert!(before <= 2 * PASSES_MAX, "{before} events before the shell looks again");
    world.receive(other, bytes("x"), READABLE);
    world.pass(Duration::from_millis(1));
    let heard = world.heard();
    assert!(heard[..2].contains(&Heard::Progress(2)), "{heard:?}");
    assert!(!heard.contains(&Heard::Deadline(2)));
    for _ in 2..ASLEEP_TURNS_MAX {
        world.pass(Duration::from_millis(1));
    }
    assert!(!world.heard().contains(&Heard::Deadline(2)));
    world.pass(Duration::from_millis(1));
    assert!(world.heard().contains(&Heard::Deadline(2)));
    assert!(world.driver.has_work());
}
