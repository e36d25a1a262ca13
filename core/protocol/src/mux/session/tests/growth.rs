//! Windows that grow on long paths.

use std::time::{Duration, Instant};

use super::{BYTES, LIMITS, feed, now, owners, sent};
use crate::mux::session::{Limits, Session, Side};
use crate::mux::{Flags, FrameKind, ResetCode, StreamId};

/// An acceptor whose windows may grow, with one stream for each owner.
fn growing(streams: usize, growth: u32, round_trip: u64) -> Session {
    let limits = Limits { streams: 4, recv_window: 1000, growth, ..LIMITS };
    let mut acceptor = Session::new(Side::Acceptor, limits);
    acceptor.note_round_trip(Duration::from_millis(round_trip));
    for (index, owner) in owners(streams).into_iter().enumerate() {
        let stream = u32::try_from(2 * index + 1).unwrap();
        feed(&mut acceptor, (FrameKind::Request, Flags::NONE, stream, b"")).unwrap();
        acceptor.adopt(StreamId(stream), owner);
    }
    acceptor
}

/// So many bytes of a stream arrive and leave for their destination; the credit that returns.
fn pass(session: &mut Session, stream: u32, count: usize, at: Instant) -> u32 {
    feed(session, (FrameKind::Data, Flags::NONE, stream, &BYTES[..count])).unwrap();
    session.release(StreamId(stream), count, at);
    sent(session)
        .iter()
        .map(|(_, _, credit)| u32::from_be_bytes(credit[..].try_into().unwrap()))
        .sum()
}

#[test]
fn a_window_of_which_half_is_used_up_within_two_round_trips_doubles() {
    let begin = now();
    let at = |millis| begin + Duration::from_millis(millis);
    let mut session = growing(1, 5000, 50);
    assert_eq!(pass(&mut session, 1, 1, at(0)), 0);
    assert_eq!(pass(&mut session, 1, 499, at(101)), 500, "slow enough for this window");
    assert_eq!(pass(&mut session, 1, 500, at(201)), 500 + 1000);
    assert_eq!(pass(&mut session, 1, 999, at(231)), 0, "half of the new window is more");
    assert_eq!(pass(&mut session, 1, 1, at(232)), 1000 + 2000);
    assert_eq!(pass(&mut session, 1, 2000, at(263)), 2000 + 2000, "as far as growth goes");
    assert_eq!(pass(&mut session, 1, 3000, at(294)), 3000, "and no further");
}

#[test]
fn a_window_becomes_as_many_times_as_large_as_halves_of_it_come_in_a_round_trip() {
    let begin = now();
    let at = |millis| begin + Duration::from_millis(millis);
    let mut session = growing(1, 100_000, 50);
    assert_eq!(pass(&mut session, 1, 100, at(0)), 0);
    assert_eq!(pass(&mut session, 1, 400, at(12)), 500 + 3000, "from the first bytes on");
    assert_eq!(pass(&mut session, 1, 2000, at(28)), 2000 + 8000);
    assert_eq!(pass(&mut session, 1, 6000, at(68)), 6000 + 12_000, "twice at least");
}

#[test]
fn a_window_becomes_32_times_as_large_and_more_than_doubles_by_half_the_budget_at_most() {
    let begin = now();
    let at = |micros| begin + Duration::from_micros(micros);
    for (growth, more) in
        [(1_000_000, 31_000), (62_000, 31_000), (40_000, 20_000), (1500, 1000), (500, 500)]
    {
        let mut session = growing(1, growth, 50);
        assert_eq!(pass(&mut session, 1, 100, at(0)), 0);
        assert_eq!(pass(&mut session, 1, 400, at(900)), 500 + more, "{growth}");
    }
    let mut session = growing(1, 1_000_000, 50);
    assert_eq!(pass(&mut session, 1, 100, at(0)), 0);
    assert_eq!(pass(&mut session, 1, 400, at(0)), 500 + 31_000, "in no time at all");
}

#[test]
fn streams_share_what_windows_may_grow_by_and_give_it_back() {
    let begin = now();
    let mut session = growing(3, 1500, 100);
    let at = |turn: u64| begin + Duration::from_millis(40 * turn);
    for stream in [1, 3, 5] {
        assert_eq!(pass(&mut session, stream, 1, begin), 0);
    }
    for (turn, stream, credit) in [(1, 1, 1500), (2, 3, 1000), (3, 5, 500)] {
        assert_eq!(pass(&mut session, stream, 499, at(turn)), credit, "stream {stream}");
    }
    session.forget(StreamId(1));
    assert_eq!(pass(&mut session, 5, 500, at(4)), 500 + 1000, "what a finished one had is free");
}

/// A stream that has grown and ends while so many bytes of it wait, and another one that might grow.
fn ended_with(waiting: usize) -> (Session, Instant) {
    let begin = now();
    let mut session = growing(2, 1000, 100);
    assert_eq!(pass(&mut session, 1, 500, begin), 500 + 1000);
    feed(&mut session, (FrameKind::Data, Flags::END, 1, &BYTES[..waiting])).unwrap();
    session.forget(StreamId(1));
    (session, begin)
}

#[test]
fn growth_comes_back_when_what_came_by_it_has_left() {
    let (mut session, begin) = ended_with(1800);
    let grown = session.claim_growth(StreamId(1)).unwrap();
    assert_eq!(pass(&mut session, 3, 500, begin), 500 + 200, "800 of them are more than a window");
    assert!(session.claim_growth(StreamId(1)).is_none());
    session.give_back(grown);
    assert_eq!(pass(&mut session, 3, 600, begin), 600 + 800);
    let (mut session, begin) = ended_with(1000);
    assert!(session.claim_growth(StreamId(1)).is_none(), "no more than anybody may have wait");
    assert_eq!(pass(&mut session, 3, 500, begin), 500 + 1000);
}

#[test]
fn growth_is_claimed_though_the_other_direction_goes_on() {
    let begin = now();
    let mut session = growing(2, 1000, 100);
    assert_eq!(pass(&mut session, 1, 500, begin), 500 + 1000);
    assert!(session.claim_growth(StreamId(1)).is_none(), "more may come");
    feed(&mut session, (FrameKind::Data, Flags::END, 1, &BYTES[..1800])).unwrap();
    let grown = session.claim_growth(StreamId(1)).unwrap();
    assert_eq!(grown.get(), 800);
    assert!(session.claim_growth(StreamId(1)).is_none(), "once");
    session.release(StreamId(1), 1000, begin);
    session.end(StreamId(1));
    sent(&mut session);
    assert_eq!((session.len(), session.claim_growth(StreamId(1))), (1, None));
    assert_eq!(pass(&mut session, 3, 500, begin), 500 + 200);
    session.give_back(grown);
    assert_eq!(pass(&mut session, 3, 600, begin), 600 + 800);
}

#[test]
fn a_reset_gives_all_growth_back() {
    let begin = now();
    let mut session = growing(2, 1000, 100);
    assert_eq!(pass(&mut session, 1, 500, begin), 500 + 1000);
    feed(&mut session, (FrameKind::Data, Flags::NONE, 1, &BYTES[..1800])).unwrap();
    feed(&mut session, (FrameKind::Reset, Flags::NONE, 1, &[0, 1])).unwrap();
    assert_eq!(pass(&mut session, 3, 500, begin), 500 + 1000);
}

#[test]
fn growth_is_claimed_for_what_a_stream_brought_that_breaks_off() {
    for breaks_off in [
        |session: &mut Session| {
            feed(session, (FrameKind::Reset, Flags::NONE, 1, &[0, 1])).unwrap();
        },
        |session: &mut Session| session.reset(StreamId(1), ResetCode::Cancel, ""),
    ] {
        let begin = now();
        let mut session = growing(2, 1000, 100);
        assert_eq!(pass(&mut session, 1, 500, begin), 500 + 1000);
        feed(&mut session, (FrameKind::Data, Flags::NONE, 1, &BYTES[..1800])).unwrap();
        breaks_off(&mut session);
        let grown = session.claim_growth(StreamId(1)).unwrap();
        sent(&mut session);
        assert_eq!(pass(&mut session, 3, 500, begin), 500 + 200);
        session.give_back(grown);
        assert_eq!(pass(&mut session, 3, 600, begin), 600 + 800);
    }
}

#[test]
fn growth_that_nobody_keeps_comes_back() {
    let (mut session, begin) = ended_with(1800);
    session.forget(StreamId(3));
    assert!(session.claim_growth(StreamId(1)).is_none(), "another stream has ended since");
    feed(&mut session, (FrameKind::Request, Flags::NONE, 5, b"")).unwrap();
    session.adopt(StreamId(5), owners(1)[0]);
    assert_eq!(pass(&mut session, 5, 500, begin), 500 + 1000);
}

#[test]
fn the_first_half_of_a_window_counts_though_it_comes_at_once() {
    let mut session = growing(1, 1 << 20, 300);
    assert_eq!(pass(&mut session, 1, 600, now()), 600 + 31 * 1000);
}

#[test]
fn half_a_window_shows_though_the_rest_of_it_is_worth_no_credit() {
    let (window, begin) = (1 << 20, now());
    let limits = Limits { recv_window: window, growth: 1 << 28, ..LIMITS };
    let mut session = Session::new(Side::Acceptor, limits);
    session.note_round_trip(Duration::from_millis(300));
    feed(&mut session, (FrameKind::Request, Flags::NONE, 1, b"")).unwrap();
    session.adopt(StreamId(1), owners(1)[0]);
    let returned: u32 = (0..52).map(|_| pass(&mut session, 1, 10_000, begin)).sum();
    assert_eq!(returned, 420_000);
    let credit = pass(&mut session, 1, 10_000, begin + Duration::from_millis(10));
    assert_eq!(credit, 110_000 + 29 * window, "less than a run of eight frames");
}

#[test]
fn half_a_window_in_no_time_doubles_it_where_a_round_trip_is_short() {
    let mut session = growing(1, 1 << 20, 0);
    session.note_round_trip(Duration::from_micros(900));
    assert_eq!(pass(&mut session, 1, 500, now()), 500 + 1000);
}

#[test]
fn a_window_doubles_where_half_of_it_comes_in_2_ms_however_short_the_path() {
    for (took, grows) in [(1900, true), (2100, false)] {
        let mut session = growing(1, 1 << 20, 0);
        session.note_round_trip(Duration::from_micros(50));
        let begin = now();
        assert_eq!(pass(&mut session, 1, 1, begin), 0);
        let credit = pass(&mut session, 1, 499, begin + Duration::from_micros(took));
        assert_eq!(credit, 500 + if grows { 1000 } else { 0 }, "{took} us");
    }
}

#[test]
fn windows_on_a_short_path_do_not_become_larger_than_it_needs() {
    for (round_trip, grows) in [(900, false), (1100, true)] {
        let window = 1 << 20;
        let limits = Limits { recv_window: window, growth: 8 << 20, ..LIMITS };
        let mut session = Session::new(Side::Acceptor, limits);
        session.note_round_trip(Duration::from_micros(round_trip));
        feed(&mut session, (FrameKind::Request, Flags::NONE, 1, b"")).unwrap();
        session.adopt(StreamId(1), owners(1)[0]);
        let (begin, mut returned) = (now(), 0);
        for _ in 0..window / 8192 {
            returned += pass(&mut session, 1, 8192, begin);
        }
        assert_eq!(returned > window, grows, "{round_trip} us");
    }
}

#[test]
fn windows_stay_as_they_are_before_the_round_trip_is_known_or_without_growth() {
    let begin = now();
    let limits = Limits { recv_window: 1000, growth: 5000, ..LIMITS };
    let mut unknown = Session::new(Side::Acceptor, limits);
    feed(&mut unknown, (FrameKind::Request, Flags::NONE, 1, b"")).unwrap();
    for mut session in [unknown, growing(1, 0, 100)] {
        for _ in 0..4 {
            assert_eq!(pass(&mut session, 1, 500, begin), 500);
        }
    }
}
