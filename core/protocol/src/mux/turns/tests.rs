use super::{AHEAD_BYTES_MAX, Queues, StreamId, Turns};

/// Queues with these streams in them.
fn queues(fresh: &[u32], bulk: &[u32]) -> Queues {
    let mut queues = Queues::default();
    let all = fresh.iter().map(|id| (*id, true)).chain(bulk.iter().map(|id| (*id, false)));
    all.for_each(|(id, is_fresh)| queues.push(StreamId(id), is_fresh, 8, |_| true));
    queues
}

fn pop(queues: &mut Queues, turns: Turns) -> Option<u32> {
    queues.pop(turns).map(StreamId::number)
}

#[test]
fn bulk_is_owed_a_turn_for_what_went_ahead_of_it() {
    for turns in [Turns::All, Turns::FreshOnly] {
        let mut queues = queues(&[1, 3, 5], &[2, 4]);
        assert_eq!(pop(&mut queues, turns), Some(1), "{turns:?}");
        queues.note_turn(AHEAD_BYTES_MAX - 1);
        assert_eq!(pop(&mut queues, turns), Some(3), "{turns:?}");
        queues.note_turn(1);
        assert_eq!(pop(&mut queues, turns), Some(2), "{turns:?}");
        // What bulk itself sends is ahead of nobody.
        queues.note_turn(AHEAD_BYTES_MAX);
        assert_eq!(pop(&mut queues, turns), Some(5), "{turns:?}");
    }
}

#[test]
fn bulk_has_what_it_is_owed_where_nobody_else_has_a_turn() {
    let mut queues = queues(&[1], &[2, 4]);
    assert_eq!(pop(&mut queues, Turns::OwedOnly), None);
    queues.note_ahead(AHEAD_BYTES_MAX);
    assert_eq!(pop(&mut queues, Turns::OwedOnly), Some(2));
    queues.note_turn(1);
    assert_eq!(pop(&mut queues, Turns::OwedOnly), Some(1));
    queues.note_turn(1);
    assert_eq!(pop(&mut queues, Turns::OwedOnly), None);
    assert_eq!(pop(&mut queues, Turns::All), Some(4));
}

#[test]
fn both_are_owed_for_what_went_before_all_data() {
    let mut queues = queues(&[1, 3, 5], &[2, 4, 6]);
    queues.note_ahead(AHEAD_BYTES_MAX - 1);
    assert_eq!(pop(&mut queues, Turns::OwedOnly), None);
    queues.note_ahead(1 + AHEAD_BYTES_MAX);
    let mut had = Vec::new();
    while let Some(stream) = pop(&mut queues, Turns::OwedOnly) {
        queues.note_turn(1);
        had.push(stream);
    }
    had.sort_unstable();
    assert_eq!(had, [1, 2, 3, 4], "twice as much is two turns each");
}

#[test]
fn a_turn_in_which_nothing_went_leaves_what_is_owed() {
    let mut queues = queues(&[], &[2, 4]);
    queues.note_ahead(AHEAD_BYTES_MAX);
    assert_eq!(pop(&mut queues, Turns::OwedOnly), Some(2));
    queues.note_turn(0);
    assert_eq!(pop(&mut queues, Turns::OwedOnly), Some(4));
}

#[test]
fn nothing_is_owed_to_streams_that_come_later() {
    let mut queues = queues(&[1, 3], &[]);
    queues.note_ahead(AHEAD_BYTES_MAX);
    assert_eq!(pop(&mut queues, Turns::All), Some(1));
    queues.push(StreamId(2), false, 8, |_| true);
    assert_eq!(pop(&mut queues, Turns::All), Some(3));
    assert_eq!(pop(&mut queues, Turns::FreshOnly), None);
    assert_eq!(pop(&mut queues, Turns::All), Some(2));
    assert_eq!(pop(&mut queues, Turns::All), None);
}
