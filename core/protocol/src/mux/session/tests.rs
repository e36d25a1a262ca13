mod growth;
mod pair;

use std::time::Instant;

use super::{Event, Head, Limits, OpenError, Session, Side, Turns};
use crate::mux::frame::{DATA_BYTES_FULL, DATA_BYTES_MAX, RUN_BYTES};
use crate::mux::{Error, Flags, Frame, FrameKind, Outbound, ResetCode, Sender, StreamId};
use crate::ws::Role;
use crate::{Buf, ConnId, Conns, Duplex, Rng};

const WINDOW: u32 = 100;
const PENDING_BYTES: usize = 1000;
const BYTES: &[u8] = &[7; DATA_BYTES_MAX + 1];

/// Kind, flags, stream and payload of a received frame.
type Received = (FrameKind, Flags, u32, &'static [u8]);

const INTERIM_END: Flags = Flags::INTERIM.with(Flags::END);

fn owners(count: usize) -> Vec<ConnId> {
    let mut conns = Conns::new();
    (0..count).map(|_| conns.insert(Duplex::new(1), ())).collect()
}

#[expect(clippy::disallowed_methods, reason = "an origin for made-up time")]
fn now() -> Instant {
    Instant::now()
}

/// One stream, on which the peer has not said how much it takes.
const LIMITS: Limits = Limits {
    streams: 1,
    send_window: 0,
    recv_window: WINDOW,
    pending_bytes: PENDING_BYTES,
    growth: 0,
};

fn session(side: Side, streams: u32) -> Session {
    Session::new(side, Limits { streams, send_window: WINDOW, ..LIMITS })
}

fn feed(
    session: &mut Session,
    (kind, flags, stream, payload): Received,
) -> Result<Event<'static>, Error> {
    session.handle(Frame { kind, flags, stream: StreamId(stream), payload })
}

/// Streams 1 and 3 are open, 5 was and is over, 7 comes next.
fn busy(side: Side) -> Session {
    let mut session = session(side, 4);
    for (owner, stream) in owners(3).into_iter().zip([1, 3, 5]) {
        match side {
            Side::Opener => {
                let opened = session.open(owner, Flags::NONE, |_| {});
                assert_eq!(opened, Ok(StreamId(stream)));
            }
            Side::Acceptor => {
                feed(&mut session, (FrameKind::Request, Flags::NONE, stream, b"")).unwrap();
                session.adopt(StreamId(stream), owner);
            }
        }
    }
    session.reset(StreamId(5), ResetCode::Cancel, "");
    sent(&mut session);
    session
}

/// What the session sends now: kind, stream and payload of each frame.
fn sent(session: &mut Session) -> Vec<(FrameKind, u32, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut rest = session.pending.as_slice();
    while let Ok((used, Some(frame))) = crate::mux::frame::parse(rest) {
        frames.push((frame.kind, frame.stream.number(), frame.payload.to_vec()));
        rest = &rest[used..];
    }
    assert!(rest.is_empty());
    let (mut tx, mut rng) = (Buf::new(), Rng::from_seed(1));
    let mut out = Outbound::new(Role::Server, &mut tx, &mut rng);
    session.transmit(usize::MAX, &mut out);
    out.finish();
    frames
}

/// Sends with a stream's sender into the void, and settles as every caller does.
fn send(session: &mut Session, stream: u32, act: impl FnOnce(Sender<'_>, &mut Outbound<'_>)) {
    let (mut tx, mut rng) = (Buf::new(), Rng::from_seed(1));
    let mut out = Outbound::new(Role::Server, &mut tx, &mut rng);
    act(session.sender(StreamId(stream)).unwrap(), &mut out);
    out.finish();
    session.forget_if_over(StreamId(stream));
}

#[test]
fn breaches_end_the_tunnel() {
    use FrameKind::{Data, Echo, Hello, Request, Reset, Response, Trailers, Window};
    use Side::{Acceptor, Opener};
    const NONE: Flags = Flags::NONE;
    const END: Flags = Flags::END;
    let cases: &[(Side, &[Received], Error)] = &[
        // Credit.
        (Acceptor, &[(Data, NONE, 1, &[0; 101])], Error::WindowExceeded),
        (Acceptor, &[(Data, END, 1, &[0; 101])], Error::WindowExceeded),
        (Acceptor, &[(Data, NONE, 1, &[0; 60]), (Data, NONE, 1, &[0; 41])], Error::WindowExceeded),
        (Acceptor, &[(Data, NONE, 1, BYTES)], Error::DataTooLong),
        (Acceptor, &[(Data, NONE, 5, BYTES)], Error::DataTooLong),
        (Opener, &[(Window, NONE, 1, &[255; 4])], Error::WindowOverflow),
        (Opener, &[(Window, NONE, 1, &[0; 3])], Error::MalformedFrame),
        (Opener, &[(Window, NONE, 1, &[0; 5])], Error::MalformedFrame),
        // After the end.
        (Acceptor, &[(Data, END, 1, b""), (Data, NONE, 1, b"x")], Error::AfterEnd),
        (Acceptor, &[(Data, END, 1, b"x"), (Data, END, 1, b"")], Error::AfterEnd),
        (Acceptor, &[(Trailers, NONE, 1, b""), (Data, NONE, 1, b"")], Error::AfterEnd),
        (Acceptor, &[(Data, END, 1, b""), (Trailers, NONE, 1, b"")], Error::AfterEnd),
        (Acceptor, &[(Request, END, 7, b""), (Data, NONE, 7, b"x")], Error::AfterEnd),
        (Opener, &[(Response, END, 1, b""), (Data, NONE, 1, b"x")], Error::AfterEnd),
        // Responses.
        (Opener, &[(Data, NONE, 1, b"x")], Error::OutOfOrder),
        (Opener, &[(Trailers, NONE, 1, b"")], Error::OutOfOrder),
        (Opener, &[(Response, Flags::INTERIM, 1, b""), (Data, NONE, 1, b"x")], Error::OutOfOrder),
        (Opener, &[(Response, NONE, 1, b""), (Response, NONE, 1, b"")], Error::OutOfOrder),
        (
            Opener,
            &[(Response, NONE, 1, b""), (Response, Flags::INTERIM, 1, b"")],
            Error::OutOfOrder,
        ),
        (Opener, &[(Response, END, 1, b""), (Response, NONE, 1, b"")], Error::OutOfOrder),
        (Opener, &[(Response, INTERIM_END, 1, b"")], Error::OutOfOrder),
        (Acceptor, &[(Response, NONE, 1, b"")], Error::OutOfOrder),
        // Identifiers.
        (Acceptor, &[(Request, NONE, 3, b"")], Error::BadStreamId),
        (Acceptor, &[(Request, NONE, 5, b"")], Error::BadStreamId),
        (Acceptor, &[(Request, NONE, 8, b"")], Error::BadStreamId),
        (Acceptor, &[(Request, NONE, 0, b"")], Error::BadStreamId),
        (Acceptor, &[(Request, NONE, u32::MAX, b"")], Error::BadStreamId),
        (Acceptor, &[(Request, NONE, 11, b""), (Request, NONE, 9, b"")], Error::BadStreamId),
        (Opener, &[(Request, NONE, 7, b"")], Error::BadStreamId),
        (Opener, &[(Request, NONE, 8, b"")], Error::BadStreamId),
        (Opener, &[(Hello, NONE, 1, b"")], Error::BadStreamId),
        (Opener, &[(Echo, NONE, 1, &[0; 8])], Error::BadStreamId),
        // RESET.
        (Opener, &[(Reset, NONE, 1, b"")], Error::MalformedFrame),
        (Opener, &[(Reset, NONE, 1, b"\0")], Error::MalformedFrame),
        (Opener, &[(Reset, NONE, 5, b"\0")], Error::MalformedFrame),
    ];
    for (side, frames, error) in cases {
        let mut session = busy(*side);
        let (last, before) = frames.split_last().unwrap();
        for frame in before {
            let event = feed(&mut session, *frame);
            assert!(event.is_ok(), "{side:?} {frame:?} {event:?}");
        }
        assert_eq!(feed(&mut session, *last), Err(*error), "{side:?} {frames:?}");
    }
}

#[test]
fn frames_for_finished_streams_are_dropped_and_for_never_opened_ones_end_the_tunnel() {
    use FrameKind::{Data, Reset, Response, Trailers, Window};
    let cases: &[(Side, FrameKind, &'static [u8])] = &[
        (Side::Opener, Response, b""),
        (Side::Opener, Data, &BYTES[..200]),
        (Side::Opener, Trailers, b""),
        (Side::Opener, Window, &[255; 4]),
        (Side::Opener, Reset, &[0, 1]),
        (Side::Acceptor, Data, &BYTES[..200]),
        (Side::Acceptor, Trailers, b""),
        (Side::Acceptor, Window, &[255; 4]),
        (Side::Acceptor, Reset, &[0, 1]),
    ];
    for (side, kind, payload) in cases {
        let mut session = busy(*side);
        for _ in 0..2 {
            let event = feed(&mut session, (*kind, Flags::END, 5, payload));
            assert_eq!(event, Ok(Event::Handled), "{side:?} {kind:?}");
        }
        assert_eq!(sent(&mut session), [], "nothing is answered");
        for stream in [0, 2, 7, u32::MAX] {
            let event = feed(&mut session, (*kind, Flags::NONE, stream, payload));
            assert_eq!(event, Err(Error::UnknownStream), "{side:?} {kind:?} {stream}");
        }
    }
}

#[test]
fn frames_say_what_they_mean() {
    use FrameKind::{Data, Drain, Request, Reset, Response, Trailers};
    use Side::{Acceptor, Opener};
    const NONE: Flags = Flags::NONE;
    let owner = owners(1)[0];
    let response = |bytes, flags| Event::Response { owner, head: Head { bytes, flags } };
    let cases: &[(Side, &[Received], Event<'static>)] = &[
        (
            Acceptor,
            &[(Request, Flags::UPGRADE, 7, b"head")],
            Event::Opened {
                stream: StreamId(7),
                head: Head { bytes: b"head", flags: Flags::UPGRADE },
            },
        ),
        (Opener, &[(Response, Flags::INTERIM, 1, b"100")], response(b"100", Flags::INTERIM)),
        (
            Opener,
            &[(Response, Flags::INTERIM, 1, b"100"), (Response, Flags::INTERIM, 1, b"103")],
            response(b"103", Flags::INTERIM),
        ),
        (
            Opener,
            &[(Response, Flags::INTERIM, 1, b"100"), (Response, Flags::END, 1, b"204")],
            response(b"204", Flags::END),
        ),
        (Opener, &[(Response, Flags::UPGRADE, 1, b"101")], response(b"101", Flags::UPGRADE)),
        (
            Opener,
            &[(Response, NONE, 1, b""), (Data, NONE, 1, b"x")],
            Event::Data { owner, bytes: b"x", end: None },
        ),
        (
            Opener,
            &[(Response, NONE, 1, b""), (Data, Flags::END, 1, b"x")],
            Event::Data { owner, bytes: b"x", end: Some(b"") },
        ),
        (
            Acceptor,
            &[(Data, NONE, 1, &[0; 100]), (Trailers, NONE, 1, b"a: b")],
            Event::Data { owner, bytes: b"", end: Some(b"a: b") },
        ),
        (
            Acceptor,
            &[(Reset, NONE, 1, b"\0\x05slow")],
            Event::Reset { owner, code: ResetCode::Timeout, text: "slow" },
        ),
        (
            Opener,
            &[(Reset, NONE, 1, b"\x01\0\xff")],
            Event::Reset { owner, code: ResetCode::Unknown(256), text: "(not UTF-8)" },
        ),
        (Opener, &[(Drain, NONE, 0, b"")], Event::Connection { kind: Drain, payload: b"" }),
    ];
    for (side, frames, expected) in cases {
        let mut session = busy(*side);
        let events: Vec<_> = frames.iter().map(|frame| feed(&mut session, *frame)).collect();
        let last = events.last().unwrap().as_ref();
        assert_eq!(last, Ok(expected), "{side:?} {frames:?}");
    }
}

#[test]
fn little_is_kept_of_the_words_of_a_reset() {
    let mut opener = busy(Side::Opener);
    let event = feed(&mut opener, (FrameKind::Reset, Flags::NONE, 1, &BYTES[..1000]));
    let Ok(Event::Reset { text, .. }) = event else { panic!("{event:?}") };
    assert_eq!(text.as_bytes(), &BYTES[..256]);
}

#[test]
fn a_stream_is_over_when_both_directions_ended_in_either_order() {
    use FrameKind::{Data, Response, Trailers};
    /// How our own direction ends.
    #[derive(Debug, Clone, Copy)]
    enum Ours {
        Head,
        Data,
        Nothing,
        Trailers,
    }
    let theirs: [&[Received]; 3] = [
        &[(Response, Flags::END, 1, b"")],
        &[(Response, Flags::NONE, 1, b""), (Data, Flags::END, 1, b"x")],
        &[(Response, Flags::NONE, 1, b""), (Trailers, Flags::NONE, 1, b"a: b")],
    ];
    for frames in theirs {
        for ours in [Ours::Head, Ours::Data, Ours::Nothing, Ours::Trailers] {
            for is_ours_first in [true, false] {
                let mut opener = session(Side::Opener, 1);
                let flags = Flags::NONE.with_if(Flags::END, matches!(ours, Ours::Head));
                opener.open(owners(1)[0], flags, |_| {}).unwrap();
                let end = |opener: &mut Session| match ours {
                    Ours::Head => {}
                    Ours::Data => send(opener, 1, |mut s, out| s.data(b"x", Flags::END, out)),
                    Ours::Nothing => send(opener, 1, |mut s, out| s.end(b"", out)),
                    Ours::Trailers => send(opener, 1, |mut s, out| s.end(b"a: b", out)),
                };
                if is_ours_first {
                    end(&mut opener);
                }
                for frame in frames {
                    assert_eq!(opener.len(), 1, "{ours:?} {frames:?}");
                    feed(&mut opener, *frame).unwrap();
                }
                if !is_ours_first && !matches!(ours, Ours::Head) {
                    assert_eq!(opener.len(), 1, "{ours:?} {frames:?}");
                    end(&mut opener);
                }
                assert!(opener.is_empty(), "{ours:?} {frames:?}");
            }
        }
    }
}

#[test]
fn a_stream_too_many_is_refused_by_the_acceptor() {
    let mut acceptor = session(Side::Acceptor, 2);
    for (stream, expected) in [(1, 1), (3, 2), (5, 2), (7, 2)] {
        feed(&mut acceptor, (FrameKind::Request, Flags::END, stream, b"")).unwrap();
        assert_eq!(acceptor.len(), expected, "{stream}");
    }
    let refused = [&[0, 6], &b"too many streams"[..]].concat();
    let expected = [5, 7].map(|stream| (FrameKind::Reset, stream, refused.clone()));
    assert_eq!(sent(&mut acceptor), expected);
    acceptor.reset(StreamId(1), ResetCode::Cancel, "");
    let event = feed(&mut acceptor, (FrameKind::Request, Flags::END, 9, b""));
    assert!(matches!(event, Ok(Event::Opened { .. })), "there is room again");
}

#[test]
fn a_stream_too_many_is_not_opened() {
    let owner = owners(1)[0];
    let mut opener = session(Side::Opener, 2);
    assert_eq!(opener.open(owner, Flags::NONE, |_| {}), Ok(StreamId(1)));
    assert!(opener.has_room());
    opener.agree(1, WINDOW);
    assert!(!opener.has_room());
    let unwritten = |_: &mut Buf| panic!("nothing is written");
    assert_eq!(opener.open(owner, Flags::NONE, unwritten), Err(OpenError::TooManyStreams));
    opener.forget(StreamId(1));
    assert_eq!(opener.open(owner, Flags::NONE, |_| {}), Ok(StreamId(3)));
}

#[test]
fn agreed_limits_are_the_smaller_number_of_streams_and_the_peers_window() {
    for (ours, theirs, opened) in [(2, 5, 2), (5, 2, 2), (3, 3, 3), (3, 0, 0)] {
        let mut opener = session(Side::Opener, ours);
        opener.agree(theirs, 12_345);
        let owner = owners(1)[0];
        let count = (0..9).filter(|_| opener.open(owner, Flags::NONE, |_| {}).is_ok()).count();
        assert_eq!(count, opened, "{ours} {theirs}");
        let rooms = [1, 3, 5].map(|id| opener.sender(StreamId(id)).map(|s| s.room()));
        assert!(rooms.into_iter().flatten().all(|room| room == 12_345));
    }
}

#[test]
fn nothing_is_opened_while_too_much_waits_to_be_sent() {
    let owner = owners(1)[0];
    let mut opener = session(Side::Opener, 1000);
    let count = (0..)
        .take_while(|_| opener.open(owner, Flags::NONE, |out| out.extend(&[b'x'; 91])).is_ok());
    assert_eq!(count.count(), PENDING_BYTES / 100);
    assert!(!opener.has_room());
    assert_eq!(opener.open(owner, Flags::NONE, |_| {}), Err(OpenError::Congested));
    assert_eq!(opener.len(), 10);
    let streams: Vec<u32> = sent(&mut opener).iter().map(|(_, stream, _)| *stream).collect();
    assert_eq!(streams, [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
    assert_eq!(opener.open(owner, Flags::NONE, |_| {}), Ok(StreamId(21)), "none was skipped");
}

#[test]
fn identifiers_run_out_after_a_warning() {
    let owner = owners(1)[0];
    let mut opener = session(Side::Opener, 10);
    assert!(!opener.needs_replacing());
    opener.next = super::opening::REPLACE_BELOW;
    assert!(!opener.needs_replacing());
    opener.open(owner, Flags::NONE, |_| {}).unwrap();
    assert!(opener.needs_replacing());
    opener.next = u32::MAX - 2;
    assert!(opener.has_room());
    assert_eq!(opener.open(owner, Flags::NONE, |_| {}), Ok(StreamId(u32::MAX - 2)));
    assert!(!opener.has_room(), "requests go elsewhere");
    for _ in 0..2 {
        assert_eq!(opener.open(owner, Flags::NONE, |_| {}), Err(OpenError::Exhausted));
    }
    assert_eq!(opener.len(), 2);
}

#[test]
fn a_peer_that_does_not_read_refusals_ends_its_tunnel() {
    let mut acceptor = session(Side::Acceptor, 0);
    let mut next = (1..).step_by(2);
    let mut flood = |acceptor: &mut Session| {
        feed(acceptor, (FrameKind::Request, Flags::NONE, next.next().unwrap(), b""))
    };
    for _ in 0..1000 {
        assert_eq!(flood(&mut acceptor), Ok(Event::Handled));
        sent(&mut acceptor);
    }
    let error = (0..1000).find_map(|_| flood(&mut acceptor).err());
    assert_eq!(error, Some(Error::NotReading));
    assert!(acceptor.pending.len() < PENDING_BYTES + 100);
}

#[test]
fn a_peer_that_goes_on_without_reading_its_credit_ends_its_tunnel() {
    let mut opener = busy(Side::Opener);
    feed(&mut opener, (FrameKind::Response, Flags::NONE, 1, b"")).unwrap();
    let mut answer = || {
        feed(&mut opener, (FrameKind::Data, Flags::NONE, 1, &BYTES[..50]))?;
        opener.release(StreamId(1), 50, now());
        Ok(())
    };
    let error = (0..1000).find_map(|_| answer().err());
    assert_eq!(error, Some(Error::NotReading));
    let notices = 4 * 128;
    assert!(opener.pending.len() < PENDING_BYTES + notices + 100, "{}", opener.pending.len());
}

#[test]
fn a_peer_that_reads_late_is_waited_for() {
    const STEPS: usize = 8;
    const HEAD_BYTES: usize = 64 * 1024;
    let recv_window = u32::try_from(STEPS * RUN_BYTES).unwrap();
    let limits = Limits { streams: 3, send_window: WINDOW, recv_window, ..LIMITS };
    let mut opener = Session::new(Side::Opener, limits);
    let owner = owners(1)[0];
    opener.open(owner, Flags::NONE, |_| {}).unwrap();
    opener.open(owner, Flags::NONE, |_| {}).unwrap();
    // Callers come and go until no more of them are let in.
    while opener.pending.len() + 40 < PENDING_BYTES {
        let id = opener.open(owner, Flags::NONE, |_| {}).unwrap();
        opener.reset(id, ResetCode::Cancel, "");
    }
    let last = opener.open(owner, Flags::NONE, |out| out.extend(&[b'x'; HEAD_BYTES])).unwrap();
    assert_eq!(opener.open(owner, Flags::NONE, |_| {}), Err(OpenError::TooManyStreams));
    for id in [1, 3, last.number()] {
        feed(&mut opener, (FrameKind::Response, Flags::NONE, id, b"")).unwrap();
        for _ in 0..STEPS * RUN_BYTES / DATA_BYTES_FULL {
            feed(&mut opener, (FrameKind::Data, Flags::NONE, id, &BYTES[..DATA_BYTES_FULL]))
                .unwrap();
            opener.release(StreamId(id), DATA_BYTES_FULL, now());
        }
        opener.reset(StreamId(id), ResetCode::Timeout, "late");
    }
    assert!(opener.pending.len() > PENDING_BYTES + HEAD_BYTES + 3 * STEPS * 13);
    let event = feed(&mut opener, (FrameKind::Drain, Flags::NONE, 0, b""));
    assert!(event.is_ok(), "{event:?} with {} bytes", opener.pending.len());
    let windows = sent(&mut opener).into_iter().filter(|(kind, ..)| *kind == FrameKind::Window);
    assert_eq!(windows.count(), 3 * STEPS);
}

#[test]
fn streams_that_are_over_leave_nothing_behind() {
    let owner = owners(1)[0];
    let mut acceptor = session(Side::Acceptor, 3);
    for stream in (1..20_001).step_by(2) {
        feed(&mut acceptor, (FrameKind::Request, Flags::NONE, stream, b"")).unwrap();
        acceptor.adopt(StreamId(stream), owner);
        acceptor.streams.get_mut(&StreamId(stream)).unwrap().send.sent =
            u64::from(stream % 4) << 20;
        feed(&mut acceptor, (FrameKind::Window, Flags::NONE, stream, &[0, 0, 0, 1])).unwrap();
        feed(&mut acceptor, (FrameKind::Reset, Flags::NONE, stream, &[0, 1])).unwrap();
        assert!(acceptor.queues.len() < 100, "{} turns for no stream", acceptor.queues.len());
    }
    assert!(acceptor.is_empty() && !acceptor.has_pending());
    assert_eq!(acceptor.poll_ready(Turns::All), None);
    assert!(!acceptor.has_ready());
}

#[test]
fn adopting_names_the_owner_and_a_stream_without_one_has_no_turns() {
    let ids = owners(2);
    let mut acceptor = session(Side::Acceptor, 3);
    feed(&mut acceptor, (FrameKind::Request, Flags::NONE, 1, b"")).unwrap();
    acceptor.mark_ready(StreamId(1));
    assert_eq!(acceptor.poll_ready(Turns::All), None);
    assert_eq!(acceptor.owners().count(), 0);
    for owner in ids.iter().copied() {
        acceptor.adopt(StreamId(1), owner);
        assert_eq!(acceptor.owners().collect::<Vec<_>>(), [(StreamId(1), owner)]);
        acceptor.mark_ready(StreamId(1));
        assert_eq!(acceptor.poll_ready(Turns::All), Some((StreamId(1), owner)));
    }
    acceptor.adopt(StreamId(3), ids[0]);
    assert_eq!(acceptor.len(), 1, "adopting opens nothing");
}

#[test]
fn a_connection_that_is_gone_ends_its_direction_once() {
    for side in [Side::Opener, Side::Acceptor] {
        let mut session = busy(side);
        session.end(StreamId(1));
        session.end(StreamId(1));
        session.end(StreamId(5));
        assert_eq!(sent(&mut session), [(FrameKind::Data, 1, vec![])]);
        assert_eq!(session.len(), 2, "the other direction goes on");
        if side == Side::Opener {
            feed(&mut session, (FrameKind::Response, Flags::UPGRADE, 1, b"")).unwrap();
        }
        feed(&mut session, (FrameKind::Data, Flags::END, 1, b"")).unwrap();
        assert_eq!(session.len(), 1, "both directions have ended");
    }
}

#[test]
fn a_reset_is_told_once_and_forgetting_is_not_told() {
    let mut opener = busy(Side::Opener);
    opener.reset(StreamId(1), ResetCode::Cancel, "left");
    opener.reset(StreamId(1), ResetCode::Cancel, "again");
    opener.forget(StreamId(3));
    opener.reset(StreamId(3), ResetCode::Cancel, "forgotten");
    opener.reset(StreamId(99), ResetCode::Cancel, "never opened");
    assert_eq!(sent(&mut opener), [(FrameKind::Reset, 1, b"\0\x01left".to_vec())]);
    assert!(opener.is_empty());
    assert!(opener.sender(StreamId(1)).is_none() && opener.sender(StreamId(3)).is_none());
    opener.release(StreamId(1), 1, now());
    opener.mark_ready(StreamId(3));
    assert!(!opener.has_pending() && !opener.has_ready());
}

#[test]
#[expect(clippy::type_complexity, reason = "a row of the table")]
fn credit_is_returned_in_steps_of_half_a_window() {
    // The window, what arrives and is released in which pieces, and what each returns.
    let cases: &[(u32, usize, &[(usize, u32)])] = &[
        (100, 100, &[(49, 0), (1, 50), (50, 50)]),
        (100, 100, &[(100, 100)]),
        (100, 100, &[(99, 99), (1, 0)]),
        (1, 1, &[(1, 1)]),
        (3, 3, &[(1, 1), (1, 1), (1, 1)]),
        (5, 5, &[(1, 0), (1, 2), (1, 0), (2, 3)]),
        (100, 60, &[(0, 0), (60, 60), (0, 0)]),
        (1, 1, &[(0, 0), (1, 1), (0, 0)]),
    ];
    for (window, arrived, releases) in cases {
        for is_ended in [false, true] {
            let limits = Limits { recv_window: *window, ..LIMITS };
            let mut acceptor = Session::new(Side::Acceptor, limits);
            feed(&mut acceptor, (FrameKind::Request, Flags::NONE, 1, b"")).unwrap();
            acceptor.adopt(StreamId(1), owners(1)[0]);
            let flags = Flags::NONE.with_if(Flags::END, is_ended);
            feed(&mut acceptor, (FrameKind::Data, flags, 1, &BYTES[..*arrived])).unwrap();
            for (count, credit) in *releases {
                acceptor.release(StreamId(1), *count, now());
                let expected = (!is_ended && *credit > 0)
                    .then(|| (FrameKind::Window, 1, credit.to_be_bytes().to_vec()));
                assert_eq!(sent(&mut acceptor), Vec::from_iter(expected), "{window} {releases:?}");
            }
        }
    }
}

#[test]
fn credit_of_a_large_window_is_returned_in_full_frames_an_eighth_of_it_at_once() {
    const KIB: usize = 1024;
    const FULL: usize = DATA_BYTES_FULL;
    let steps = [(32, FULL), (64, 2 * FULL), (256, 8 * FULL), (512, 8 * FULL), (1024, 8 * FULL)];
    for (window, step) in steps.into_iter().chain([(16, 8 * KIB), (8192, 64 * FULL)]) {
        let window = window * KIB;
        let limits = Limits { recv_window: u32::try_from(window).unwrap(), ..LIMITS };
        let mut acceptor = Session::new(Side::Acceptor, limits);
        feed(&mut acceptor, (FrameKind::Request, Flags::NONE, 1, b"")).unwrap();
        acceptor.adopt(StreamId(1), owners(1)[0]);
        for _ in 0..window / (16 * KIB) {
            feed(&mut acceptor, (FrameKind::Data, Flags::NONE, 1, &BYTES[..16 * 1024])).unwrap();
        }
        for _ in 0..window / step {
            acceptor.release(StreamId(1), step - 1, now());
            assert_eq!(sent(&mut acceptor), [], "{window}");
            acceptor.release(StreamId(1), 1, now());
            let credit = u32::try_from(step).unwrap().to_be_bytes().to_vec();
            assert_eq!(sent(&mut acceptor), [(FrameKind::Window, 1, credit)]);
        }
    }
}

/// An opener with three streams, of which those in `bulk` have sent much.
fn queues(bulk: &[u32]) -> Session {
    let limits = Limits { streams: 3, send_window: 1 << 30, ..LIMITS };
    let mut opener = Session::new(Side::Opener, limits);
    for owner in owners(3) {
        opener.open(owner, Flags::NONE, |_| {}).unwrap();
    }
    sent(&mut opener);
    for stream in bulk {
        for _ in 0..2 {
            let bytes = &BYTES[..DATA_BYTES_FULL];
            send(&mut opener, *stream, |mut sender, out| sender.data(bytes, Flags::NONE, out));
        }
    }
    opener
}

fn turn(opener: &mut Session, turns: Turns) -> Option<u32> {
    opener.poll_ready(turns).map(|(stream, _)| stream.number())
}

#[test]
#[expect(clippy::type_complexity, reason = "a row of the table")]
fn fresh_streams_go_before_bulk_ones() {
    let cases: &[(&[u32], &[u32], Turns, &[u32])] = &[
        (&[], &[1, 3, 5], Turns::All, &[1, 3, 5]),
        (&[], &[5, 1, 3], Turns::FreshOnly, &[5, 1, 3]),
        (&[1], &[1, 3, 5], Turns::All, &[3, 5, 1]),
        (&[1], &[1, 3, 5], Turns::FreshOnly, &[3, 5]),
        (&[1, 5], &[5, 1, 3], Turns::All, &[3, 5, 1]),
        (&[1, 3, 5], &[5, 1, 3], Turns::All, &[5, 1, 3]),
        (&[1, 3, 5], &[5, 1, 3], Turns::FreshOnly, &[]),
        (&[1], &[1, 1, 3, 3], Turns::All, &[3, 1]),
    ];
    for (bulk, ready, turns, expected) in cases {
        let mut opener = queues(bulk);
        for stream in *ready {
            opener.mark_ready(StreamId(*stream));
        }
        let got: Vec<u32> = std::iter::from_fn(|| turn(&mut opener, *turns)).collect();
        assert_eq!(got, *expected, "{bulk:?} {ready:?} {turns:?}");
    }
}

#[test]
fn interim_heads_count_as_what_a_stream_has_sent() {
    const HEAD: &[u8] = &[b'h'; 1024];
    for (flags, expected) in [(Flags::INTERIM, [3, 1]), (Flags::NONE, [1, 3])] {
        let mut acceptor = session(Side::Acceptor, 3);
        for (owner, stream) in owners(2).into_iter().zip([1, 3]) {
            feed(&mut acceptor, (FrameKind::Request, Flags::NONE, stream, b"")).unwrap();
            acceptor.adopt(StreamId(stream), owner);
        }
        for _ in 0..32 {
            send(&mut acceptor, 1, |mut sender, out| sender.head(flags, out, |tx| tx.extend(HEAD)));
        }
        for stream in [1, 3] {
            acceptor.mark_ready(StreamId(stream));
        }
        let got: Vec<u32> = std::iter::from_fn(|| turn(&mut acceptor, Turns::All)).collect();
        assert_eq!(got, expected, "{flags:?}");
    }
}

#[test]
fn bulk_streams_take_turns() {
    let mut opener = queues(&[1, 3, 5]);
    for stream in [3, 5, 1] {
        opener.mark_ready(StreamId(stream));
    }
    for expected in [3, 5, 1, 3, 5, 1] {
        assert_eq!(turn(&mut opener, Turns::All), Some(expected));
        opener.mark_ready(StreamId(expected));
    }
}

#[test]
fn a_direction_that_ended_has_no_turns() {
    for is_queued_before in [true, false] {
        let mut opener = queues(&[]);
        if is_queued_before {
            opener.mark_ready(StreamId(1));
        }
        send(&mut opener, 1, |mut sender, out| sender.end(b"", out));
        send(&mut opener, 1, |mut sender, out| sender.end(b"", out));
        opener.mark_ready(StreamId(1));
        feed(&mut opener, (FrameKind::Window, Flags::NONE, 1, &[0, 0, 0, 9])).unwrap();
        assert_eq!(turn(&mut opener, Turns::All), None, "{is_queued_before}");
        assert_eq!(opener.len(), 3);
    }
}

#[test]
fn credit_gives_a_turn_and_bounds_one_frame() {
    const FULL: usize = DATA_BYTES_FULL;
    for (credit, room) in [(0, 0), (5, 5), (16_320, FULL), (16_321, FULL), (1 << 30, FULL)] {
        let mut opener = Session::new(Side::Opener, LIMITS);
        opener.open(owners(1)[0], Flags::NONE, |_| {}).unwrap();
        sent(&mut opener);
        let frame = u32::to_be_bytes(credit);
        let window = Frame {
            kind: FrameKind::Window,
            flags: Flags::NONE,
            stream: StreamId(1),
            payload: &frame,
        };
        opener.handle(window).unwrap();
        assert_eq!(turn(&mut opener, Turns::All), Some(1));
        assert_eq!(opener.sender(StreamId(1)).unwrap().room(), room);
    }
}
