use std::time::{Duration, Instant};

use mesh_protocol::Duplex;
use mesh_protocol::mux::frame::{RUN_BYTES, RUN_BYTES_MAX};

use super::{Ahead, BUDGET_BYTES, Budget, FAST, SLOW, TAKEN_MIN};

#[expect(clippy::disallowed_methods, reason = "an origin for made-up time")]
fn origin() -> Instant {
    Instant::now()
}

/// Reads as much as may be read, which goes on after so long.
fn pass(ahead: &mut Ahead, io: &mut Duplex, budget: &mut Budget, waits: Duration) {
    let now = origin();
    io.rx.extend(&vec![0; io.rx_room()]);
    ahead.note_read(io, now);
    io.rx.consume(io.rx.len() - 1);
    ahead.note_sent(io, budget, now);
    io.rx.clear();
    ahead.note_sent(io, budget, now + waits);
}

fn grown(budget: &mut Budget) -> (Ahead, Duplex) {
    let (mut ahead, mut io) = (Ahead::default(), Duplex::new(RUN_BYTES));
    for _ in 0..3 * TAKEN_MIN {
        pass(&mut ahead, &mut io, budget, FAST);
    }
    (ahead, io)
}

#[test]
fn what_goes_on_at_once_is_read_further_ahead() {
    let mut budget = Budget::new();
    let (mut ahead, mut io) = (Ahead::default(), Duplex::new(RUN_BYTES));
    for (rounds, limit) in [(1, RUN_BYTES_MAX), (8, RUN_BYTES_MAX)] {
        for _ in 0..rounds * TAKEN_MIN - 1 {
            pass(&mut ahead, &mut io, &mut budget, FAST);
            assert!(io.rx_limit < limit || rounds > 1);
        }
        pass(&mut ahead, &mut io, &mut budget, FAST);
        assert_eq!(io.rx_limit, limit);
    }
    assert_eq!(budget.0, BUDGET_BYTES - (RUN_BYTES_MAX - RUN_BYTES));
}

#[test]
fn reads_that_are_not_full_or_wait_a_little_say_nothing_for_it() {
    let mut budget = Budget::new();
    let (mut ahead, mut io) = (Ahead::default(), Duplex::new(RUN_BYTES));
    for round in 0..20 * TAKEN_MIN {
        let is_slow = round % TAKEN_MIN == 0;
        pass(&mut ahead, &mut io, &mut budget, if is_slow { 2 * FAST } else { FAST });
        io.rx.extend(&[0; 1000]);
        ahead.note_read(&io, origin());
        io.rx.clear();
        ahead.note_sent(&mut io, &mut budget, origin());
    }
    assert_eq!(io.rx_limit, RUN_BYTES);
    assert!(budget.is_whole());
}

#[test]
fn bytes_that_wait_for_long_give_it_back() {
    let mut budget = Budget::new();
    let (mut ahead, mut io) = grown(&mut budget);
    pass(&mut ahead, &mut io, &mut budget, SLOW);
    assert_eq!(io.rx_limit, RUN_BYTES);
    assert!(budget.is_whole());
}

/// What leaves of it little by little makes room, into which more is read at once.
#[test]
fn bytes_that_go_on_slowly_give_it_back_little_by_little() {
    let mut budget = Budget::new();
    let (mut ahead, mut io) = grown(&mut budget);
    let mut now = origin();
    for _ in 0..100 {
        io.rx.extend(&vec![0; io.rx_room()]);
        ahead.note_read(&io, now);
        now += SLOW;
        io.rx.consume(10_000);
        ahead.note_sent(&mut io, &mut budget, now);
        assert!(io.rx.len() <= io.rx_limit);
    }
    assert_eq!(io.rx_limit, RUN_BYTES);
    assert!(budget.is_whole());
}

#[test]
fn all_together_have_no_more_than_the_budget() {
    let mut budget = Budget::new();
    let mut all: Vec<_> = (0..10).map(|_| grown(&mut budget)).collect();
    let limits: Vec<_> = all.iter().map(|(_, io)| io.rx_limit).collect();
    assert_eq!(limits[..8], [RUN_BYTES_MAX; 8]);
    assert_eq!(limits[8..], [RUN_BYTES; 2]);
    for (ahead, io) in &mut all {
        ahead.give_back(io, &mut budget);
        ahead.give_back(io, &mut budget);
        assert_eq!(io.rx_limit, RUN_BYTES);
    }
    assert!(budget.is_whole());
}
