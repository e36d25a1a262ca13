use std::time::{Duration, Instant};

use super::{Error, Goodbye, Link, Liveness};
use crate::mux::frame::{self, DATA_BYTES_FULL, HEADER_BYTES};
use crate::mux::{self, Flags, FrameKind, Limits, Session, Side, StreamId, Turn, Turns};
use crate::ws::{self, Kind, Role, Writer};
use crate::{Buf, ConnId, Conns, Duplex, Rng};

mod echo;
mod goodbye;

const INTERVAL: Duration = Duration::from_secs(15);
const WINDOW: u32 = 1 << 20;
const LIMITS: Limits = Limits {
    streams: 10_000,
    send_window: WINDOW,
    recv_window: WINDOW,
    pending_bytes: WINDOW as usize,
    growth: 0,
};

/// The agent's end, which accepts, or the ingress's, which opens.
fn link(side: Side, now: Instant) -> Link {
    let role = match side {
        Side::Opener => Role::Server,
        Side::Acceptor => Role::Client,
    };
    let limits = Limits { streams: 10, pending_bytes: 64 * 1024, ..LIMITS };
    Link::new(role, Session::new(side, limits), INTERVAL, now)
}

fn origin() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "an origin for made-up time")]
    Instant::now()
}

/// One binary message of frames, as the ingress sends it.
fn message(frames: &[(FrameKind, u32, &[u8])], tx: &mut Buf) {
    let writer = Writer::begin(Role::Server, tx);
    for (kind, stream, payload) in frames {
        frame::write(*kind, Flags::NONE, StreamId(*stream), tx, |tx| tx.extend(payload));
    }
    writer.finish(tx, &mut Rng::from_seed(1));
}

fn control(kind: Kind, payload: &[u8], tx: &mut Buf) {
    ws::frame::write_control(Role::Server, kind, payload, tx, &mut Rng::from_seed(1));
}

/// What an agent's link makes of the bytes: its events, and why it ends.
fn receive(link: &mut Link, rx: &mut Buf, now: Instant) -> (Vec<String>, Option<Error>) {
    let mut events = Vec::new();
    loop {
        match link.poll_event(rx, now) {
            Ok(Some(event)) => events.push(format!("{event:?}")),
            Ok(None) => return (events, None),
            Err(error) => return (events, Some(error)),
        }
    }
}

/// The messages that a link sends now: their kinds and payloads.
fn sent(link: &mut Link, role: Role) -> Vec<(Kind, Vec<u8>)> {
    let mut tx = Buf::new();
    link.transmit(&mut tx, &mut Rng::from_seed(1), |_, _, _, _| Turn::Over);
    messages(tx, role)
}

fn messages(mut tx: Buf, role: Role) -> Vec<(Kind, Vec<u8>)> {
    let mut messages = Vec::new();
    while let Some(message) = ws::frame::parse(role, tx.as_mut_slice()).unwrap() {
        messages.push((message.kind, tx.as_slice()[message.payload.clone()].to_vec()));
        tx.consume(message.payload.end);
    }
    assert!(tx.is_empty(), "half a message");
    messages
}

/// All that a peer may send, once.
fn conversation() -> Buf {
    let mut tx = Buf::new();
    control(Kind::Ping, b"first", &mut tx);
    message(&[(FrameKind::Welcome, 0, b"{}")], &mut tx);
    message(&[], &mut tx);
    message(
        &[
            (FrameKind::Request, 1, b"GET"),
            (FrameKind::Echo, 0, &[9; 8]),
            (FrameKind::Data, 1, &[7; 200]),
            (FrameKind::Window, 1, &[0, 0, 0, 1]),
        ],
        &mut tx,
    );
    control(Kind::Pong, b"", &mut tx);
    message(&[(FrameKind::Reset, 1, b"\0\x01enough"), (FrameKind::Drain, 0, b"")], &mut tx);
    control(Kind::Close, &1001_u16.to_be_bytes(), &mut tx);
    tx
}

#[test]
fn events_are_the_same_wherever_the_bytes_are_split() {
    let whole = conversation();
    let now = origin();
    let expected = receive(&mut link(Side::Acceptor, now), &mut conversation(), now);
    assert_eq!(expected.0.len(), 10, "{expected:?}");
    assert_eq!(expected.1, Some(closed(1001, "")));
    for split in 0..=whole.len() {
        // Two parts, and then pieces of that many bytes.
        for parts in [vec![split, whole.len() - split], vec![split.max(1); whole.len()]] {
            let (mut link, mut rx, mut at) = (link(Side::Acceptor, now), Buf::new(), 0);
            let (mut events, mut end) = (Vec::new(), None);
            for part in parts {
                let part = part.min(whole.len() - at);
                rx.extend(&whole.as_slice()[at..at + part]);
                at += part;
                if end.is_none() {
                    let (more, error) = receive(&mut link, &mut rx, now);
                    events.extend(more);
                    end = error;
                }
            }
            assert_eq!((events, end), expected, "{split}");
        }
    }
}

#[test]
fn small_frames_share_a_message_and_a_full_data_frame_fills_one() {
    const FULL: usize = DATA_BYTES_FULL + HEADER_BYTES;
    const SMALL: usize = 100 + HEADER_BYTES;
    // Payloads of frames before DATA, of DATA frames, and of the messages they become.
    let cases: &[(&[usize], &[usize], &[usize])] = &[
        (&[], &[], &[]),
        (&[100; 3], &[], &[3 * SMALL]),
        (&[100], &[100, 100], &[3 * SMALL]),
        (&[], &[DATA_BYTES_FULL; 2], &[FULL; 2]),
        (&[], &[100, DATA_BYTES_FULL, 100], &[SMALL + FULL, SMALL]),
        (&[30_000, 100], &[], &[30_000 + HEADER_BYTES, SMALL]),
        (&[100, 30_000], &[], &[SMALL + 30_000 + HEADER_BYTES]),
    ];
    for (side, peer) in [(Side::Opener, Role::Client), (Side::Acceptor, Role::Server)] {
        for (before, after, expected) in cases {
            let mut link = link(side, origin());
            let mut rx = Buf::new();
            let stream = StreamId(1);
            match side {
                Side::Opener => {
                    let owner = Conns::new().insert(Duplex::new(1), ());
                    link.session.open(owner, Flags::NONE, |_| {}).unwrap();
                }
                Side::Acceptor => {
                    message(&[(FrameKind::Request, 1, b"")], &mut rx);
                    receive(&mut link, &mut rx, origin());
                    let owner = Conns::new().insert(Duplex::new(1), ());
                    link.session.adopt(stream, owner);
                }
            }
            sent(&mut link, peer);
            for length in *before {
                link.session.send(FrameKind::Hello, &vec![1; *length]);
            }
            let (mut tx, mut rng) = (Buf::new(), Rng::from_seed(3));
            let mut lengths = after.iter();
            link.session.mark_ready(stream);
            link.transmit(&mut tx, &mut rng, |session, stream, _, out| {
                let Some(length) = lengths.next() else { return Turn::Over };
                let mut sender = session.sender(stream).unwrap();
                sender.data(&vec![2; *length], Flags::NONE, out);
                Turn::Again
            });
            let lengths: Vec<usize> =
                messages(tx, peer).iter().map(|(_, payload)| payload.len()).collect();
            assert_eq!(lengths, *expected, "{side:?} {before:?} {after:?}");
        }
    }
}

fn closed(code: u16, reason: &str) -> Error {
    Error::Closed(Some(Goodbye { code, reason: reason.to_owned() }))
}

/// A frame about the connection, as bytes.
fn about_connection(kind: FrameKind, payload: &[u8]) -> Vec<u8> {
    let mut out = Buf::new();
    frame::write(kind, Flags::NONE, StreamId::CONNECTION, &mut out, |out| out.extend(payload));
    out.as_slice().to_vec()
}

#[test]
fn frames_wait_in_the_session_while_too_much_waits_to_leave() {
    let mut link = link(Side::Opener, origin());
    let (mut tx, mut rng) = (Buf::new(), Rng::from_seed(1));
    let owner = Conns::new().insert(Duplex::new(1), ());
    let full = (1..).find(|queued| link.burst.turns(*queued) == Turns::OwedOnly).unwrap();
    tx.extend(&vec![0; full]);
    link.session.open(owner, Flags::END, |out| out.extend(b"GET")).unwrap();
    link.transmit(&mut tx, &mut rng, |_, _, _, _| Turn::Over);
    assert_eq!(tx.len(), full);
    assert!(link.has_output() && link.is_unsent(StreamId(1), &tx));
    tx.consume(1);
    link.transmit(&mut tx, &mut rng, |_, _, _, _| Turn::Over);
    assert!(tx.len() > full && !link.has_output());
    link.session.send(FrameKind::Drain, b"");
    link.close(1001, "");
    link.transmit(&mut tx, &mut rng, |_, _, _, _| Turn::Over);
    assert!(!link.has_output(), "whoever leaves says everything");
}

/// Has small answers, or requests, fill a path by themselves while a download waits; the DATA that it
/// sent by the time so many bytes of 16 KiB have left.
fn download_beside(small: impl Fn(&mut Link, ConnId), rounds: usize) -> u64 {
    let session = Session::new(Side::Opener, LIMITS);
    let mut link = Link::new(Role::Server, session, INTERVAL, origin());
    let (mut tx, mut rng) = (Buf::new(), Rng::from_seed(1));
    let owner = Conns::new().insert(Duplex::new(1), ());
    let download = link.session.open(owner, Flags::NONE, |_| {}).unwrap();
    let mut sent = 0;
    for _ in 0..rounds {
        link.session.mark_ready(download);
        while tx.len() < 64 * 1024 {
            small(&mut link, owner);
            link.transmit(&mut tx, &mut rng, |session, stream, _, out| {
                let mut sender = session.sender(stream).unwrap();
                if stream == download {
                    sent += DATA_BYTES_FULL as u64;
                    sender.data(&[0; DATA_BYTES_FULL], Flags::NONE, out);
                    return Turn::Again;
                }
                sender.data(&[0; DATA_BYTES_FULL], Flags::END, out);
                Turn::Over
            });
        }
        tx.consume(16 * 1024);
    }
    sent
}

#[test]
fn small_messages_that_fill_the_path_leave_a_download_its_share() {
    let answers = |link: &mut Link, owner| {
        for _ in 0..4 {
            let answer = link.session.open(owner, Flags::NONE, |_| {}).unwrap();
            link.session.mark_ready(answer);
        }
    };
    let requests = |link: &mut Link, owner| {
        let head = [0; 16 * 1024];
        (0..4).for_each(|_| {
            link.session.open(owner, Flags::END, |out| out.extend(&head)).unwrap();
        });
    };
    for small in [&answers as &dyn Fn(&mut Link, ConnId), &requests] {
        let sent = download_beside(small, 40);
        // A frame for each five of the forty, but for what waits still and what it began with.
        assert!(sent >= 6 * DATA_BYTES_FULL as u64, "{sent} bytes");
    }
}

/// More heads wait than one call writes, and the last of these requests have bodies.
#[test]
fn no_data_is_ahead_of_its_own_request() {
    for (free, queued) in [(0, 0), (150, 0), (0, 100_000), (0, 60_000)] {
        let session = |side| Session::new(side, LIMITS);
        let mut opener = Link::new(Role::Server, session(Side::Opener), INTERVAL, origin());
        let mut acceptor = Link::new(Role::Client, session(Side::Acceptor), INTERVAL, origin());
        let (mut tx, mut rng) = (Buf::new(), Rng::from_seed(1));
        let owner = Conns::new().insert(Duplex::new(1), ());
        let head = [b'x'; 700];
        let mut posts = Vec::new();
        for number in 0..300 {
            let has_body = number >= 299 - free;
            let flags = Flags::NONE.with_if(Flags::END, !has_body);
            let stream = opener.session.open(owner, flags, |out| out.extend(&head)).unwrap();
            if has_body {
                opener.session.mark_ready(stream);
                posts.push(stream);
            }
        }
        let mut blocked = vec![0; queued];
        tx.extend(&blocked);
        let mut sent = Vec::new();
        for _ in 0..10 {
            opener.transmit(&mut tx, &mut rng, |session, stream, _, out| {
                session.sender(stream).unwrap().data(&[7; 10], Flags::END, out);
                sent.push(stream);
                Turn::Over
            });
            // What the socket had not taken leaves first.
            tx.consume(std::mem::take(&mut blocked).len());
            let (events, end) = receive(&mut acceptor, &mut tx, origin());
            assert_eq!(end, None, "{} events", events.len());
        }
        assert_eq!(sent, posts, "each has its turn, in order");
    }
}

#[test]
fn a_request_is_unsent_until_its_first_byte_leaves() {
    let mut link = link(Side::Opener, origin());
    let (mut tx, mut rng) = (Buf::new(), Rng::from_seed(1));
    let mut conns = Conns::new();
    let mut open = |link: &mut Link| {
        let owner = conns.insert(Duplex::new(1), ());
        link.session.open(owner, Flags::END, |out| out.extend(b"GET")).unwrap()
    };
    let unsent =
        |link: &Link, tx: &Buf| [1, 3, 5, 7].map(|stream| link.is_unsent(StreamId(stream), tx));
    tx.extend(b"upgrade");
    open(&mut link);
    open(&mut link);
    assert_eq!(unsent(&link, &tx), [true; 4], "nothing was written");
    link.transmit(&mut tx, &mut rng, |_, _, _, _| Turn::Over);
    let batch = tx.len() - 7;
    tx.consume(7);
    assert_eq!(unsent(&link, &tx), [true; 4], "only what came before has left");
    open(&mut link);
    link.transmit(&mut tx, &mut rng, |_, _, _, _| Turn::Over);
    assert_eq!(unsent(&link, &tx), [true; 4], "nor did a later batch change that");
    open(&mut link);
    tx.consume(1);
    assert_eq!(unsent(&link, &tx), [false, false, true, true], "one byte has left");
    tx.consume(batch - 1);
    assert_eq!(unsent(&link, &tx), [false, false, true, true], "one message has left");
    tx.consume(1);
    assert_eq!(unsent(&link, &tx), [false, false, false, true]);
    link.transmit(&mut tx, &mut rng, |_, _, _, _| Turn::Over);
    assert_eq!(unsent(&link, &tx), [false, false, false, true]);
    tx.discard();
    assert_eq!(unsent(&link, &tx), [false, false, false, true], "discarded is not sent");
}

#[test]
fn requests_that_may_go_elsewhere_do_not_leave_any_more() {
    let mut link = link(Side::Opener, origin());
    let (mut tx, mut rng) = (Buf::new(), Rng::from_seed(1));
    let mut conns = Conns::new();
    let mut open = |link: &mut Link| {
        let owner = conns.insert(Duplex::new(1), ());
        link.session.open(owner, Flags::NONE, |out| out.extend(b"POST")).unwrap()
    };
    open(&mut link);
    link.transmit(&mut tx, &mut rng, |_, _, _, _| Turn::Over);
    let batch = tx.len();
    tx.consume(1);
    let (queued, waiting) = (open(&mut link), StreamId(5));
    link.transmit(&mut tx, &mut rng, |_, _, _, _| Turn::Over);
    assert_eq!(open(&mut link), waiting);
    link.session.mark_ready(waiting);
    link.session.send(FrameKind::Refused, b"{}");
    link.give_up(1008, "", &mut tx);
    link.transmit(&mut tx, &mut rng, |_, _, _, _| panic!("nobody sends DATA any more"));
    assert!(!link.is_unsent(StreamId(1), &tx));
    assert!(link.is_unsent(queued, &tx) && link.is_unsent(waiting, &tx));
    tx.consume(batch - 1);
    let refused = about_connection(FrameKind::Refused, b"{}");
    let close = 1008_u16.to_be_bytes().to_vec();
    assert_eq!(messages(tx, Role::Client), [(Kind::Binary, refused), (Kind::Close, close)]);
}

#[test]
fn requests_that_left_are_forgotten() {
    let mut link = link(Side::Opener, origin());
    let (mut tx, mut rng) = (Buf::new(), Rng::from_seed(1));
    let owner = Conns::new().insert(Duplex::new(1), ());
    for _ in 0..10 {
        let stream = link.session.open(owner, Flags::NONE, |tx| tx.extend(b"GET")).unwrap();
        link.transmit(&mut tx, &mut rng, |_, _, _, _| Turn::Over);
        tx.consume(tx.len());
        assert!(!link.is_unsent(stream, &tx));
        assert!(link.batches.len() <= 2, "{} batches", link.batches.len());
        link.session.reset(stream, mux::ResetCode::Cancel, "");
    }
}

#[test]
fn no_bytes_make_a_link_panic() {
    let whole = conversation();
    let now = origin();
    let mut rng = Rng::from_seed(4);
    let mut below = |bound: usize| usize::try_from(rng.below(bound as u64)).unwrap();
    for _ in 0..20_000 {
        let mut bytes = whole.as_slice().to_vec();
        for _ in 0..=below(4) {
            let at = below(bytes.len());
            match below(4) {
                0 => bytes[at] ^= 1 << below(8),
                1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][below(5)],
                2 => drop(bytes.drain(at..bytes.len().min(at + 1 + below(20)))),
                _ => bytes.insert(at, bytes[below(bytes.len())]),
            }
            if bytes.is_empty() {
                break;
            }
        }
        let (mut link, mut rx) = (link(Side::Acceptor, now), Buf::new());
        for part in bytes.chunks(1 + below(300)) {
            rx.extend(part);
            if receive(&mut link, &mut rx, now).1.is_some() {
                break;
            }
            let owner = Conns::new().insert(Duplex::new(1), ());
            link.session.adopt(StreamId(1), owner);
            sent(&mut link, Role::Server);
        }
    }
}
