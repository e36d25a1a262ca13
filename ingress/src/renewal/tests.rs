use std::time::Duration;

use mesh_protocol::Rng;

use crate::config::IdentityChecks;
use crate::identity::Principal;
use crate::tunnel::Tunnel;
use crate::tunnel::tests::{origin, tunnel};

/// When its agent is asked for another proof, and when the tunnel ends.
fn proof_times(lifetime: u64, grace: u64) -> (u64, u64) {
    let start = origin();
    let (lifetime, grace) = (Duration::from_secs(lifetime), Duration::from_secs(grace));
    let checks = IdentityChecks { lifetime, grace, ..IdentityChecks::default() };
    let mut tunnel = tunnel(1, start);
    tunnel.standing.principal = Some(Principal::Token { name: "edge".to_owned() });
    let after = |tunnel: &Tunnel| (tunnel.renewal_due(&checks).unwrap() - start).as_secs();
    let asked = after(&tunnel);
    tunnel.was_told_to_move = true;
    (asked, after(&tunnel))
}

/// An agent of a service with many ingresses finds the same one by chance alone, so that it gets more
/// time where there is more.
#[test]
fn another_proof_is_asked_for_while_the_old_one_is_good_for_some_time() {
    let (minute, hour) = (60, 3600);
    let grace = 15 * minute;
    assert_eq!(proof_times(minute, grace), (30, minute));
    assert_eq!(proof_times(hour, grace), (55 * minute, hour));
    assert_eq!(proof_times(12 * hour, grace), (11 * hour + 30 * minute, 12 * hour));
}

/// The agent would leave the tunnel before that grace is over.
#[test]
fn another_proof_is_asked_for_no_earlier_than_an_hour_before_the_end_of_the_grace() {
    let (minute, month) = (60, 30 * 24 * 3600);
    for grace in [0, 5, 15, 27] {
        let (asked, end) = proof_times(month, grace * minute);
        let renewing = end - asked;
        let whole = renewing + renewing / 10 + grace * minute;
        assert!((59 * minute..=60 * minute).contains(&whole), "{renewing} for {grace}");
    }
    assert_eq!(proof_times(month, 24 * 3600), (month - 30 * minute, month));
}

#[test]
fn agents_that_came_together_are_asked_for_another_proof_one_after_the_other() {
    let (start, mut rng) = (origin(), Rng::from_seed(7));
    for (lifetime, earliest, latest) in [(60, 27, 30), (43_200, 41_220, 41_400)] {
        let checks =
            IdentityChecks { lifetime: Duration::from_secs(lifetime), ..IdentityChecks::default() };
        let drawn = (0..100).map(|_| {
            let mut tunnel = tunnel(1, start);
            tunnel.standing.principal = Some(Principal::Token { name: "edge".to_owned() });
            tunnel.spread_renewal(&checks, &mut rng);
            tunnel.renewal_due(&checks).unwrap() - start
        });
        let drawn: Vec<_> = drawn.collect();
        let (first, last) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
        let (earliest, latest) = (Duration::from_secs(earliest), Duration::from_secs(latest));
        assert!((earliest..=latest).contains(first) && (earliest..=latest).contains(last));
        assert!(*last - *first > (latest - earliest) / 2, "{first:?} to {last:?}");
    }
}

#[test]
fn what_was_not_proved_does_not_get_old() {
    let start = origin();
    assert_eq!(tunnel(1, start).renewal_due(&IdentityChecks::default()), None);
}
