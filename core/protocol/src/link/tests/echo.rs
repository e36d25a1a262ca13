//! Signs of life, and what they say of the path.

use super::*;

#[test]
fn pings_and_echoes_are_answered_once_however_many_come() {
    for count in [0_u64, 1, 2, 10_000] {
        let now = origin();
        let mut link = link(Side::Acceptor, now);
        for number in 0..count {
            let mut rx = Buf::new();
            control(Kind::Ping, &number.to_le_bytes(), &mut rx);
            message(&[(FrameKind::Echo, 0, &number.to_be_bytes())], &mut rx);
            assert_eq!(receive(&mut link, &mut rx, now).1, None);
        }
        assert_eq!(link.has_output(), count > 0);
        let expected = count.checked_sub(1).map(|last| {
            let reply = about_connection(FrameKind::EchoReply, &last.to_be_bytes());
            [(Kind::Pong, last.to_le_bytes().to_vec()), (Kind::Binary, reply)]
        });
        assert_eq!(sent(&mut link, Role::Server), expected.map_or(Vec::new(), Vec::from));
        assert!(!link.has_output());
        assert_eq!(sent(&mut link, Role::Server), []);
    }
}

#[test]
fn echoes_have_eight_bytes_and_belong_to_the_connection() {
    let malformed = || Error::Session(mux::Error::MalformedFrame);
    let bad_stream = || Error::Session(mux::Error::BadStreamId);
    for kind in [FrameKind::Echo, FrameKind::EchoReply] {
        let cases: [(u32, &[u8], Option<Error>); 5] = [
            (0, &[0; 8], None),
            (0, &[], Some(malformed())),
            (0, &[0; 7], Some(malformed())),
            (0, &[0; 9], Some(malformed())),
            (1, &[0; 8], Some(bad_stream())),
        ];
        for (stream, payload, error) in cases {
            let mut rx = Buf::new();
            message(&[(kind, stream, payload)], &mut rx);
            let mut link = link(Side::Acceptor, origin());
            assert_eq!(receive(&mut link, &mut rx, origin()).1, error, "{kind:?} {payload:?}");
        }
    }
}

#[test]
#[expect(clippy::type_complexity, reason = "a row of the table")]
fn a_peer_is_gone_after_two_intervals_without_a_frame() {
    let frame: &dyn Fn(&mut Buf) = &|tx| message(&[(FrameKind::Drain, 0, b"")], tx);
    let unknown: &dyn Fn(&mut Buf) = &|tx| {
        let writer = Writer::begin(Role::Server, tx);
        tx.extend(&[0, 0, 0, 0x80, 0, 0, 0, 0, 0]);
        writer.finish(tx, &mut Rng::from_seed(1));
    };
    let half: &dyn Fn(&mut Buf) = &|tx| {
        message(&[(FrameKind::Drain, 0, b"")], tx);
        tx.truncate(tx.len() - 1);
    };
    let cases: &[(&str, &dyn Fn(&mut Buf), bool)] = &[
        ("nothing", &|_| {}, false),
        ("a frame", frame, true),
        ("a frame that is ignored", unknown, true),
        ("half a frame", half, false),
        ("a pong", &|tx| control(Kind::Pong, b"", tx), false),
        ("a ping", &|tx| control(Kind::Ping, b"", tx), false),
        ("a message without frames", &|tx| message(&[], tx), false),
    ];
    for (name, write, is_sign) in cases {
        let start = origin();
        let mut link = link(Side::Acceptor, start);
        let heard = start + INTERVAL;
        let mut rx = Buf::new();
        write(&mut rx);
        assert_eq!(receive(&mut link, &mut rx, heard).1, None);
        let gone = if *is_sign { heard } else { start } + 2 * INTERVAL;
        for (now, alive) in [
            (start, Liveness::Alive),
            (start + INTERVAL, Liveness::Alive),
            (gone - Duration::from_nanos(1), Liveness::Alive),
            (gone, Liveness::Dead),
            (gone + INTERVAL, Liveness::Dead),
        ] {
            assert_eq!(link.handle_timeout(now), alive, "{name} {:?}", now - start);
        }
        assert!(link.deadline() <= gone, "{name}");
    }
}

#[test]
fn following_the_deadlines_sends_one_echo_an_interval_until_the_peer_is_gone() {
    let start = origin();
    let mut link = link(Side::Acceptor, start);
    let mut echoes = Vec::new();
    let mut now = link.deadline();
    while link.handle_timeout(now) == Liveness::Alive {
        echoes.extend(sent(&mut link, Role::Server).iter().map(|_| now - start));
        assert!(link.deadline() > now, "time goes on");
        now = link.deadline();
    }
    assert_eq!(echoes, [Duration::ZERO, INTERVAL]);
    assert_eq!(now, start + 2 * INTERVAL);
}

#[test]
fn only_the_answer_to_the_last_echo_measures_the_round_trip() {
    let start = origin();
    let later = |millis| start + Duration::from_millis(millis);
    let mut link = link(Side::Acceptor, start);
    let answer = |link: &mut Link, number: u64, now| {
        let mut rx = Buf::new();
        message(&[(FrameKind::EchoReply, 0, &number.to_be_bytes())], &mut rx);
        assert_eq!(receive(link, &mut rx, now).1, None);
        (link.is_answered(), link.round_trip().map(|trip| trip.as_millis()))
    };
    assert_eq!(answer(&mut link, 1, start), (true, None), "nothing was asked");
    link.ask(start);
    let echo = about_connection(FrameKind::Echo, &1_u64.to_be_bytes());
    assert_eq!(sent(&mut link, Role::Server), [(Kind::Binary, echo)]);
    assert_eq!(answer(&mut link, 2, later(10)), (false, None));
    assert_eq!(answer(&mut link, 1, later(20)), (true, Some(20)));
    assert_eq!(answer(&mut link, 1, later(30)), (true, Some(20)), "an answer counts once");
    link.ask(later(100));
    link.ask(later(200));
    assert_eq!(answer(&mut link, 2, later(250)), (false, Some(20)));
    assert_eq!(answer(&mut link, 3, later(260)), (true, Some(60)));
}

#[test]
fn a_path_longer_than_the_interval_is_measured_too() {
    let start = origin();
    let mut link = link(Side::Acceptor, start);
    let path = INTERVAL * 8 / 5;
    let answer = |link: &mut Link, number: u64, now| {
        let mut rx = Buf::new();
        message(&[(FrameKind::EchoReply, 0, &number.to_be_bytes())], &mut rx);
        receive(link, &mut rx, now);
        link.is_answered()
    };
    for sent in 0..2 {
        assert_eq!(link.handle_timeout(start + INTERVAL * sent), Liveness::Alive);
    }
    assert!(answer(&mut link, 1, start + path));
    assert_eq!(link.round_trip(), Some(path));
    // Who leaves wants an answer to this one.
    assert_eq!(link.handle_timeout(start + INTERVAL * 2), Liveness::Alive);
    link.ask(start + INTERVAL * 2);
    assert!(!answer(&mut link, 3, start + INTERVAL * 3));
    assert_eq!(link.handle_timeout(start + INTERVAL * 3), Liveness::Alive);
    assert!(!answer(&mut link, 6, start + INTERVAL * 3), "nobody asked that");
    assert!(answer(&mut link, 5, start + INTERVAL * 4), "the last of two");
}

#[test]
fn what_queues_add_to_a_round_trip_is_believed_an_eighth_at_a_time() {
    let start = origin();
    let mut link = link(Side::Acceptor, start);
    let mut now = start;
    let mut measure = |millis| {
        link.ask(now);
        now += Duration::from_millis(millis);
        let number = link.echo.count.to_be_bytes();
        let mut rx = Buf::new();
        message(&[(FrameKind::EchoReply, 0, &number)], &mut rx);
        assert_eq!(receive(&mut link, &mut rx, now).1, None);
        assert_eq!(link.round_trip(), Some(Duration::from_millis(millis)));
        link.echo.path.map(|path| path.as_millis())
    };
    let paths = [(40, 40), (900, 45), (900, 50), (52, 52), (8, 8), (9, 9), (8, 8)];
    for (measured, believed) in paths {
        assert_eq!(measure(measured), Some(believed), "after {measured} ms");
    }
}

#[test]
fn a_process_that_was_asleep_asks_before_it_gives_up() {
    let start = origin();
    let mut link = link(Side::Acceptor, start);
    assert_eq!(link.handle_timeout(start), Liveness::Alive);
    let mut rx = Buf::new();
    message(&[(FrameKind::Drain, 0, b"")], &mut rx);
    assert_eq!(receive(&mut link, &mut rx, start).1, None);
    let woken = start + 100 * INTERVAL;
    assert_eq!(link.handle_timeout(woken), Liveness::Alive);
    let in_time = woken + INTERVAL - Duration::from_nanos(1);
    assert_eq!(link.handle_timeout(in_time), Liveness::Alive, "the answer may be under way");
    assert_eq!(link.handle_timeout(woken + INTERVAL), Liveness::Dead, "asked, and not answered");
}
