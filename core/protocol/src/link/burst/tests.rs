use super::{BYTES_MIN, Burst, FRESH_BYTES};
use crate::batch::TAKEN_MIN;
use crate::mux::Turns;
use crate::mux::frame::{DATA_BYTES_FULL, RUN_FRAMES, RUN_FRAMES_MAX};
use crate::ws::Role;

/// One that is filled, behind so many bytes.
fn fill(burst: &mut Burst, queued: usize) {
    burst.begin(queued);
    let full = queued.max(burst.0.size());
    burst.end(full);
}

fn grown(role: Role) -> Burst {
    let mut burst = Burst::new(role);
    for _ in 0..20 * TAKEN_MIN {
        fill(&mut burst, 0);
    }
    burst
}

#[test]
fn what_the_kernel_takes_at_once_becomes_more_up_to_a_run() {
    let mut burst = Burst::new(Role::Client);
    for _ in 0..=TAKEN_MIN {
        assert_eq!(burst.0.size(), BYTES_MIN);
        fill(&mut burst, 0);
    }
    assert_eq!(burst.0.size(), 2 * BYTES_MIN);
    for (role, frames) in [(Role::Client, RUN_FRAMES_MAX), (Role::Server, RUN_FRAMES)] {
        assert_eq!(grown(role).0.size(), frames * DATA_BYTES_FULL);
        assert_eq!(grown(role).frames(), frames);
    }
}

#[test]
fn what_is_left_of_one_makes_the_next_ones_small() {
    let mut burst = grown(Role::Client);
    fill(&mut burst, 1);
    assert_eq!(burst.0.size(), BYTES_MIN);
    // A slow path takes one, and leaves the next.
    for _ in 0..20 {
        fill(&mut burst, 0);
        fill(&mut burst, 1);
        assert_eq!(burst.0.size(), BYTES_MIN);
    }
}

#[test]
fn those_that_are_not_full_say_nothing() {
    let mut burst = Burst::new(Role::Client);
    for _ in 0..20 * TAKEN_MIN {
        burst.begin(0);
        let short = burst.0.size() - 1;
        burst.end(short);
    }
    assert_eq!(burst.0.size(), BYTES_MIN);
}

#[test]
fn streams_that_have_sent_little_have_turns_behind_a_full_one() {
    for burst in [Burst::new(Role::Client), grown(Role::Client)] {
        assert_eq!(burst.turns(burst.0.size() - 1), Turns::All);
        assert_eq!(burst.turns(burst.0.size()), Turns::FreshOnly);
        assert_eq!(burst.turns(burst.0.size() + FRESH_BYTES), Turns::OwedOnly);
    }
}
