use super::*;

#[expect(clippy::disallowed_methods, reason = "any instant does; these tests compare")]
fn origin() -> Instant {
    Instant::now()
}

#[test]
fn the_first_fault_deserves_a_line_and_the_next_ones_are_counted_until_the_pause_is_over() {
    let (mut faults, now) = (Faults::default(), origin());
    assert_eq!(faults.note(now), Some(0));
    assert_eq!(faults.note(now), None);
    assert_eq!(faults.note(now + PAUSE - Duration::from_millis(1)), None);
    assert_eq!(faults.note(now + PAUSE), Some(2));
    assert_eq!(faults.note(now + PAUSE), None);
    assert_eq!(faults.note(now + 3 * PAUSE), Some(1));
    assert_eq!(faults.note(now + 4 * PAUSE), Some(0));
}
