use std::time::{Duration, Instant};

use mesh_protocol::WorkerId;

use super::{Ledger, Serial};

#[expect(clippy::disallowed_methods, reason = "an origin for made-up time")]
fn origin() -> Instant {
    Instant::now()
}

/// A tunnel that has got to this ingress.
fn arrived(ledger: &mut Ledger, ingress: &[u8], now: Instant) -> (Serial, u32) {
    let serial = ledger.open(now);
    let lane = ledger.arrived(serial, ingress.to_vec());
    (serial, lane)
}

#[test]
fn tunnels_to_one_ingress_are_numbered_and_leave_their_place_to_the_next() {
    let now = origin();
    let mut ledger = Ledger::default();
    ledger.open(now);
    let (first, lane) = arrived(&mut ledger, b"a", now);
    assert_eq!(lane, 0);
    let (second, lane) = arrived(&mut ledger, b"a", now);
    assert_eq!(lane, 1);
    assert_eq!(arrived(&mut ledger, b"b", now).1, 0, "another process");
    assert_eq!(ledger.lasting_to(b"a").count(), 2);
    ledger.close(first);
    let (third, lane) = arrived(&mut ledger, b"a", now);
    assert_eq!(lane, 0);
    assert_eq!(ledger.moves(second, now), Some(now));
    assert_eq!(ledger.lasting_to(b"a").collect::<Vec<_>>(), [0]);
    assert_eq!(arrived(&mut ledger, b"a", now).1, 1);
    assert!(ledger.has(third) && ledger.has(second) && !ledger.has(first));
}

#[test]
fn tunnels_to_one_ingress_go_to_different_workers() {
    let now = origin();
    let mut ledger = Ledger::default();
    let mut placed = Vec::new();
    for ingress in [b"a", b"b", b"a", b"b", b"a"] {
        let (serial, _) = arrived(&mut ledger, ingress, now);
        placed.push((serial, ledger.welcome(serial, 3, now)));
    }
    let workers: Vec<_> = placed.iter().map(|(_, worker)| worker.0).collect();
    assert_eq!(workers, [0, 1, 2, 0, 1]);
    // The one that comes for another goes where that is.
    ledger.moves(placed[2].0, now);
    let (serial, lane) = arrived(&mut ledger, b"a", now);
    assert_eq!((ledger.welcome(serial, 3, now), lane), (WorkerId(2), 1));
    assert_eq!(ledger.serving(), 5);
    assert_eq!(ledger.at(WorkerId(2)).len(), 2);
}

#[test]
fn a_tunnel_that_ended_is_forgotten() {
    let (now, mut ledger) = (origin(), Ledger::default());
    let serial = ledger.open(now);
    let later = now + Duration::from_secs(1);
    assert_eq!(ledger.serving(), 0);
    assert_eq!(ledger.welcome(serial, 1, later), WorkerId::FIRST);
    assert_eq!(ledger.serving(), 1);
    assert_eq!(ledger.close(serial).unwrap().welcomed, Some(later));
    assert!(ledger.close(serial).is_none());
    assert!(ledger.is_empty());
}

#[test]
fn the_one_that_has_been_moving_for_longest_is_left_behind() {
    let (now, mut ledger) = (origin(), Ledger::default());
    let serials = [(); 4].map(|()| ledger.open(now));
    assert_eq!(ledger.leave_behind(0), None);
    let worker = ledger.welcome(serials[2], 2, now);
    for (after, serial) in [(1, serials[2]), (2, serials[0]), (3, serials[3])] {
        ledger.moves(serial, now + Duration::from_secs(after));
    }
    assert_eq!(ledger.leave_behind(3), None);
    assert_eq!(ledger.leave_behind(2), Some((serials[2], worker)));
    assert_eq!(ledger.leave_behind(2), None, "it is about to end");
    assert_eq!(ledger.leave_behind(1), Some((serials[0], WorkerId::FIRST)));
}

/// Its ingress may have no other one, if that knows the new token no more than the last.
#[test]
fn one_that_serves_on_is_left_behind_last() {
    let (now, mut ledger) = (origin(), Ledger::default());
    let serials = [(); 2].map(|()| ledger.open(now));
    for serial in serials {
        ledger.welcome(serial, 1, now);
    }
    ledger.renews(serials[0], now + Duration::from_secs(1));
    ledger.moves(serials[1], now + Duration::from_secs(2));
    assert_eq!(ledger.leave_behind(1), Some((serials[1], WorkerId::FIRST)));
    assert_eq!(ledger.leave_behind(0), Some((serials[0], WorkerId::FIRST)));
}

#[test]
fn a_tunnel_comes_in_the_place_of_the_one_of_its_lane_at_the_same_ingress() {
    let (now, mut ledger) = (origin(), Ledger::default());
    let (first, _) = arrived(&mut ledger, b"a", now);
    let (second, _) = arrived(&mut ledger, b"a", now);
    let (stranger, _) = arrived(&mut ledger, b"", now);
    let worker = ledger.welcome(first, 2, now);
    for serial in [first, second, stranger] {
        ledger.moves(serial, now);
    }
    let (elsewhere, _) = arrived(&mut ledger, b"b", now);
    let (nameless, _) = arrived(&mut ledger, b"", now);
    assert_eq!(ledger.replaced_by(elsewhere, 9), []);
    assert_eq!(ledger.replaced_by(nameless, 9), [], "it may be another process");
    let (third, _) = arrived(&mut ledger, b"a", now);
    assert_eq!(ledger.replaced_by(third, 9), [(first, worker)]);
    assert_eq!(ledger.replaced_by(third, 9), [], "it was told");
}

#[test]
fn what_serves_until_all_others_are_there_counts_until_then() {
    let (now, mut ledger) = (origin(), Ledger::default());
    let welcome = |ledger: &mut Ledger, ingress: &[u8]| {
        let (serial, _) = arrived(ledger, ingress, now);
        ledger.welcome(serial, 1, now);
        serial
    };
    let old = [&b"a"[..], b"b", b""].map(|ingress| welcome(&mut ledger, ingress));
    for serial in old {
        ledger.renews(serial, now);
    }
    assert_eq!((ledger.serving(), ledger.lasting()), (3, vec![]));
    let first = welcome(&mut ledger, b"b");
    assert_eq!(ledger.replaced_by(first, 3), [(old[1], WorkerId::FIRST)]);
    assert_eq!(ledger.serving(), 3);
    let second = welcome(&mut ledger, b"c");
    assert_eq!(ledger.replaced_by(second, 3), [], "it may come in any place");
    // This one is to end whatever comes.
    ledger.moves(old[0], now);
    assert_eq!((ledger.serving(), ledger.lasting()), (3, vec![first, second]));
    let third = welcome(&mut ledger, b"d");
    assert_eq!(ledger.replaced_by(third, 3), [(old[2], WorkerId::FIRST)]);
    assert_eq!(ledger.serving(), 3);
}

#[test]
fn an_ingress_waits_for_another_tunnel_for_an_hour_at_the_most() {
    let (now, mut ledger) = (origin(), Ledger::default());
    let serial = ledger.open(now);
    ledger.welcome(serial, 1, now);
    assert!(!ledger.is_awaited(now));
    ledger.moves(serial, now);
    assert!(ledger.is_awaited(now + Duration::from_secs(3599)));
    assert!(!ledger.is_awaited(now + Duration::from_secs(3600)));
    ledger.close(serial);
    assert!(!ledger.is_awaited(now));
}

#[test]
fn nobody_waits_for_another_tunnel_once_as_many_came_as_were_asked_for() {
    let (now, mut ledger) = (origin(), Ledger::default());
    let after = |seconds| now + Duration::from_secs(seconds);
    let (first, _) = arrived(&mut ledger, b"a", now);
    let (second, _) = arrived(&mut ledger, b"b", now);
    for serial in [first, second] {
        ledger.welcome(serial, 1, now);
        ledger.moves(serial, after(10));
    }
    let (third, _) = arrived(&mut ledger, b"a", after(11));
    assert!(ledger.is_awaited(after(11)), "it is only on its way");
    ledger.welcome(third, 1, after(12));
    assert!(ledger.is_awaited(after(12)), "two were asked for");
    let (fourth, _) = arrived(&mut ledger, b"b", after(13));
    ledger.welcome(fourth, 1, after(13));
    assert!(!ledger.is_awaited(after(13)), "the old ones are still there");
    ledger.moves(third, after(20));
    assert!(ledger.is_awaited(after(20)), "asked for once more");
    let (fifth, _) = arrived(&mut ledger, b"a", after(21));
    ledger.welcome(fifth, 1, after(21));
    assert!(!ledger.is_awaited(after(21)));
}

#[test]
fn what_came_for_another_reason_is_not_what_an_ingress_waits_for() {
    let (now, mut ledger) = (origin(), Ledger::default());
    let after = |seconds| now + Duration::from_secs(seconds);
    let [first, second] = [&b"a"[..], b"b"].map(|ingress| {
        let (serial, _) = arrived(&mut ledger, ingress, now);
        ledger.welcome(serial, 1, now);
        serial
    });
    ledger.moves(first, after(10));
    let (third, _) = arrived(&mut ledger, b"a", after(12));
    ledger.welcome(third, 1, after(12));
    assert_eq!(ledger.replaced_by(third, 9).len(), 1);
    // One that was lost came back.
    let (back, _) = arrived(&mut ledger, b"c", after(31));
    ledger.welcome(back, 1, after(31));
    ledger.moves(second, after(100));
    assert!(ledger.is_awaited(after(100)));
}

#[test]
fn those_that_are_left_are_named_and_those_that_were_lost_are_not() {
    let (now, mut ledger) = (origin(), Ledger::default());
    let welcome = |ledger: &mut Ledger, session: &str| {
        let (serial, _) = arrived(ledger, b"a", now);
        let predecessors = ledger.predecessors(serial);
        ledger.welcome(serial, 1, now);
        ledger.name(serial, session);
        (serial, predecessors)
    };
    let (first, predecessors) = welcome(&mut ledger, "1");
    assert!(predecessors.is_empty());
    let (_, predecessors) = welcome(&mut ledger, "2");
    assert!(predecessors.is_empty(), "it has another lane");
    ledger.moves(first, now);
    let (third, predecessors) = welcome(&mut ledger, "3");
    assert_eq!(predecessors, ["1"]);
    ledger.close(third);
    let (fourth, predecessors) = welcome(&mut ledger, &"4".repeat(65));
    assert_eq!(predecessors, ["1"], "the third one was lost");
    ledger.moves(fourth, now);
    assert_eq!(welcome(&mut ledger, "5").1, ["1", ""], "too long to be said again");
}

/// Each ingress counts its sessions from 1.
#[test]
fn the_log_tells_the_first_session_at_one_ingress_from_that_at_another() {
    let (now, mut ledger) = (origin(), Ledger::default());
    let mut told = |ingress: &[u8], session: &str| {
        let (serial, _) = arrived(&mut ledger, ingress, now);
        ledger.name(serial, session);
        ledger.close(serial).unwrap().to_string()
    };
    assert_eq!(told(b"0123456789abcdef", "1"), "session 1 of ingress 0123456789abcdef");
    assert_eq!(told(b"fedcba9876543210", "1"), "session 1 of ingress fedcba9876543210");
    assert_eq!(told(b"", "1"), "session 1", "it did not say which it is");
    assert_eq!(told(b"a", ""), "session ? of ingress a");
    assert_eq!(told(b"a\x1b[2J\xff", "1"), r"session 1 of ingress a\x1b[2J\xff");
    assert_eq!(told(&[b'a'; 9000], "1").len(), "session 1 of ingress ".len() + 64);
}
