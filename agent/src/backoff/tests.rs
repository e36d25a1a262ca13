use std::time::{Duration, Instant};

use mesh_protocol::Rng;

use super::Backoff;

const SECOND: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_methods, reason = "an origin for made-up time")]
fn origin() -> Instant {
    Instant::now()
}

#[test]
fn waits_double_up_to_the_last_bound_and_are_spread_below_it() {
    let now = origin();
    let mut longest = [Duration::ZERO; 8];
    for seed in 0..500 {
        let mut rng = Rng::from_seed(seed);
        let mut backoff = Backoff::new(SECOND, 30 * SECOND, 60 * SECOND);
        for longest in &mut longest {
            *longest = backoff.next(None, now, &mut rng).max(*longest);
        }
    }
    for (attempt, bound) in [1, 2, 4, 8, 16, 30, 30, 30].into_iter().enumerate() {
        let bound = bound * SECOND;
        assert!(longest[attempt] < bound, "{attempt}: {:?}", longest[attempt]);
        assert!(longest[attempt] > bound * 9 / 10, "{attempt}: {:?}", longest[attempt]);
    }
}

#[test]
fn only_a_tunnel_that_lived_long_starts_the_waits_anew() {
    let now = origin();
    let mut rng = Rng::from_seed(1);
    let mut backoff = Backoff::new(SECOND, 30 * SECOND, 60 * SECOND);
    for _ in 0..10 {
        backoff.next(Some(now), now + 59 * SECOND, &mut rng);
    }
    assert_eq!(backoff.attempts, 10);
    backoff.next(Some(now), now + 60 * SECOND, &mut rng);
    assert_eq!(backoff.attempts, 1);
}

#[test]
fn a_search_that_somebody_waits_for_goes_on_without_long_waits() {
    let (mut longest, mut rng) = (Duration::ZERO, Rng::from_seed(1));
    let mut backoff = Backoff::new(SECOND, 32 * SECOND, 60 * SECOND);
    for _ in 0..500 {
        longest = backoff.next_of_search(&mut rng).max(longest);
    }
    assert!(longest > 3 * SECOND && longest < 4 * SECOND, "{longest:?}");
    let mut patient = Backoff::new(20 * SECOND, 32 * SECOND, 60 * SECOND);
    let waits = (0..500).map(|_| patient.next_of_search(&mut rng));
    assert!(waits.max() > Some(18 * SECOND), "no less than the first wait");
}

#[test]
fn what_failed_while_the_ingress_left_is_forgiven_and_nothing_else() {
    let now = origin();
    let mut rng = Rng::from_seed(1);
    let mut backoff = Backoff::new(SECOND, 30 * SECOND, 60 * SECOND);
    for flap in 0..4 {
        let begun = Some(now);
        backoff.next_of_move(begun, now + SECOND, &mut rng);
        for _ in 0..5 {
            backoff.next(None, now, &mut rng);
        }
        backoff.forgive_move();
        assert_eq!(backoff.attempts, flap, "what was there before the move");
        backoff.next(None, now, &mut rng);
    }
    // The tunnel of the move was there, and lost: that is another matter.
    backoff.next_of_move(Some(now), now + SECOND, &mut rng);
    backoff.next(Some(now), now + SECOND, &mut rng);
    backoff.forgive_move();
    assert_eq!(backoff.attempts, 6);
    // Of a move of one that lived long nothing is left.
    backoff.next_of_move(Some(now), now + 60 * SECOND, &mut rng);
    backoff.next(None, now, &mut rng);
    backoff.forgive_move();
    assert_eq!(backoff.attempts, 0);
}
