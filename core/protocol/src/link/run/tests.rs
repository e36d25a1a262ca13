//! Runs are the same bytes as the frames that they are made of, whatever is between those.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::link::{Error, Link, Liveness};
use crate::mux::frame::{
    self, DATA_BYTES_FULL as FULL, DATA_BYTES_MAX, RUN_FRAMES, RUN_FRAMES_MAX,
};
use crate::mux::{
    self, Event, Flags, Frame, FrameKind, Limits, Outbound, Session, Side, StreamId, Turn,
};
use crate::outlet::{Outlet, PASSING_BYTES_MIN, Sockets};
use crate::ws::{self, Kind, Role, Writer};
use crate::{Buf, ConnId, Conns, Context, Duplex, Rng};

const WINDOW: u32 = 1 << 20;

fn origin() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "an origin for made-up time")]
    Instant::now()
}

/// Both ends of a tunnel with two streams, whose responses have begun.
struct Pair {
    ingress: Link,
    agent: Link,
    owners: [ConnId; 2],
}

impl Pair {
    fn new(now: Instant) -> Self {
        let link = |side, role| {
            let limits = Limits {
                streams: 10,
                send_window: WINDOW,
                recv_window: WINDOW,
                pending_bytes: 1 << 20,
                growth: 0,
            };
            let session = Session::new(side, limits);
            Link::new(role, session, Duration::from_secs(15), now)
        };
        let mut ingress = link(Side::Opener, Role::Server);
        let mut agent = link(Side::Acceptor, Role::Client);
        let mut conns = Conns::new();
        let owners = [(); 2].map(|()| conns.insert(Duplex::new(1), ()));
        let (mut tx, mut rng) = (Buf::new(), Rng::from_seed(1));
        for owner in owners {
            ingress.session.open(owner, Flags::NONE, |_| {}).unwrap();
        }
        ingress.transmit(&mut tx, &mut rng, |_, _, _, _| Turn::Over);
        while let Some(event) = agent.poll_event(&mut tx, now).unwrap() {
            let Event::Opened { stream, .. } = event else { panic!("{event:?}") };
            agent.session.adopt(stream, owners[stream.number() as usize / 2]);
        }
        for number in [1, 3] {
            let mut sender = agent.session.sender(StreamId(number)).unwrap();
            let mut out = Outbound::new(Role::Client, &mut tx, &mut rng);
            sender.head(Flags::NONE, &mut out, |_| {});
            out.finish();
        }
        while ingress.poll_event(&mut tx, now).unwrap().is_some() {}
        Self { ingress, agent, owners }
    }

    /// The end that hears what this one says.
    const fn hears(&mut self, role: Role) -> &mut Link {
        match role {
            Role::Server => &mut self.agent,
            Role::Client => &mut self.ingress,
        }
    }
}

/// One frame of a made-up tunnel.
#[derive(Debug, Clone)]
struct Made {
    kind: FrameKind,
    flags: Flags,
    stream: u32,
    payload: Vec<u8>,
}

fn made(kind: FrameKind, stream: u32, payload: &[u8]) -> Made {
    Made { kind, flags: Flags::NONE, stream, payload: payload.to_vec() }
}

fn data(stream: u32, length: usize, rng: &mut Rng) -> Made {
    let payload: Vec<u8> = (0..length).map(|_| rng.bits().to_le_bytes()[0]).collect();
    made(FrameKind::Data, stream, &payload)
}

fn message(role: Role, frames: &[Made], tx: &mut Buf) {
    let writer = Writer::begin(role, tx);
    for made in frames {
        let stream = StreamId(made.stream);
        frame::write(made.kind, made.flags, stream, tx, |tx| tx.extend(&made.payload));
    }
    writer.finish(tx, &mut Rng::from_seed(7));
}

/// How a tunnel is read.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Runs,
    Events,
}

/// What came of a tunnel.
#[derive(Debug, Default, PartialEq, Eq)]
struct Got {
    bytes: BTreeMap<ConnId, Vec<u8>>,
    ended: Vec<ConnId>,
    others: Vec<String>,
    /// Why the tunnel ended.
    end: Option<Error>,
    /// The lengths of the pieces of each run.
    runs: Vec<Vec<usize>>,
}

impl Got {
    /// Everything that comes of the bytes when they arrive in parts of that size.
    fn of(link: &mut Link, wire: &[u8], part: usize, by: By, now: Instant) -> Self {
        let (mut got, mut rx) = (Self::default(), Buf::new());
        for part in wire.chunks(part) {
            rx.extend(part);
            if let Err(error) = got.read(link, &mut rx, by, now) {
                got.end = Some(error);
                break;
            }
        }
        got
    }

    fn read(&mut self, link: &mut Link, rx: &mut Buf, by: By, now: Instant) -> Result<(), Error> {
        loop {
            if by == By::Runs
                && let Some(run) = link.poll_run(rx, now)?
            {
                self.runs.push(run.pieces().iter().map(|piece| piece.len()).collect());
                self.bytes.entry(run.owner).or_default().extend(run.pieces().concat());
                continue;
            }
            match link.poll_event(rx, now)? {
                None => return Ok(()),
                Some(Event::Handled) => {}
                Some(Event::Data { owner, bytes, end }) => {
                    self.bytes.entry(owner).or_default().extend(bytes);
                    self.ended.extend(end.map(|_| owner));
                }
                Some(event) => self.others.push(format!("{event:?}")),
            }
        }
    }
}

#[test]
fn a_run_is_much_data_of_one_stream_and_nothing_else() {
    let mut rng = Rng::from_seed(1);
    let (one, other) = (data(1, FULL, &mut rng), data(3, FULL, &mut rng));
    let last = Made { flags: Flags::END, ..one.clone() };
    let small = data(1, PASSING_BYTES_MIN - 1, &mut rng);
    let window = made(FrameKind::Window, 1, &[0, 0, 0, 1]);
    let cases: &[(&[&Made], &[&[usize]])] = &[
        (&[&one], &[&[FULL]]),
        (&[&one; 2], &[&[FULL; 2]]),
        (&[&one; RUN_FRAMES_MAX + 1], &[&[FULL; RUN_FRAMES_MAX], &[FULL]]),
        (&[&one, &other, &other], &[&[FULL], &[FULL; 2]]),
        (&[&small], &[]),
        (&[&one, &small, &one], &[&[FULL], &[FULL]]),
        (&[&one, &window, &one], &[&[FULL], &[FULL]]),
        (&[&one, &last], &[&[FULL]]),
    ];
    for (frames, expected) in cases {
        let frames: Vec<Made> = frames.iter().copied().cloned().collect();
        // Each in a message of its own, and all in one.
        for each in [1, 4] {
            for role in [Role::Server, Role::Client] {
                let mut tx = Buf::new();
                frames.chunks(each).for_each(|frames| message(role, frames, &mut tx));
                let now = origin();
                let mut pair = Pair::new(now);
                let got = Got::of(pair.hears(role), tx.as_slice(), usize::MAX, By::Runs, now);
                assert_eq!(
                    (got.runs, got.end),
                    (expected.iter().map(|run| run.to_vec()).collect(), None)
                );
                let of_one = |made: &&Made| made.kind == FrameKind::Data && made.stream == 1;
                let sent = frames.iter().filter(of_one).map(|made| made.payload.as_slice());
                assert!(got.bytes[&pair.owners[0]] == sent.collect::<Vec<_>>().concat());
            }
        }
    }
}

#[test]
fn what_is_before_a_mistake_is_told_first() {
    let mut rng = Rng::from_seed(1);
    let (good, bad) = (data(1, FULL, &mut rng), data(1, DATA_BYTES_MAX + 1, &mut rng));
    let mut tx = Buf::new();
    message(Role::Server, std::slice::from_ref(&good), &mut tx);
    message(Role::Server, &[bad], &mut tx);
    let now = origin();
    let mut pair = Pair::new(now);
    let got = Got::of(&mut pair.agent, tx.as_slice(), usize::MAX, By::Runs, now);
    assert!(got.bytes.get(&pair.owners[0]) == Some(&good.payload));
    assert_eq!(got.end, Some(Error::Session(mux::Error::DataTooLong)));
}

#[test]
fn a_run_is_a_sign_of_life() {
    let (start, interval) = (origin(), Duration::from_secs(15));
    let mut link = Pair::new(start).ingress;
    let (mut rx, mut rng) = (Buf::new(), Rng::from_seed(1));
    message(Role::Client, &[data(1, FULL, &mut rng)], &mut rx);
    assert_eq!(link.handle_timeout(start), Liveness::Alive);
    let heard = start + interval;
    assert!(link.poll_run(&mut rx, heard).unwrap().is_some());
    assert_eq!(link.handle_timeout(heard), Liveness::Alive, "asked once more");
    assert_eq!(link.handle_timeout(heard + interval), Liveness::Alive);
    assert_eq!(link.handle_timeout(heard + 2 * interval), Liveness::Dead);
}

/// All that may come through a tunnel, and some of what may not.
fn mixture(role: Role, seed: u64) -> Buf {
    let (mut rng, mut tx) = (Rng::from_seed(seed), Buf::new());
    let is_faulty = seed.is_multiple_of(4);
    for _ in 0..12 {
        let stream = if rng.bits().is_multiple_of(3) { 3 } else { 1 };
        let frame = match rng.bits() % 16 {
            0 => Made { flags: Flags::END, ..data(stream, 9000, &mut rng) },
            1 => made(FrameKind::Trailers, stream, b"a: b\r\n"),
            2 => made(FrameKind::Reset, stream, b"\0\x01enough"),
            3 => made(FrameKind::Echo, 0, &[1; 8]),
            4 if is_faulty => data(stream, DATA_BYTES_MAX + 1, &mut rng),
            5 if is_faulty => data(9, FULL, &mut rng),
            6 => data(stream, 100, &mut rng),
            _ => data(stream, FULL, &mut rng),
        };
        match rng.bits() % 8 {
            0 => ws::frame::write_control(role, Kind::Ping, b"?", &mut tx, &mut rng),
            1 => message(role, &[], &mut tx),
            2 => message(role, &[frame.clone(), data(stream, 10, &mut rng)], &mut tx),
            _ => {}
        }
        message(role, &[frame], &mut tx);
    }
    if seed.is_multiple_of(3) {
        ws::frame::write_control(role, Kind::Close, &1001_u16.to_be_bytes(), &mut tx, &mut rng);
    }
    tx
}

#[test]
fn runs_and_events_say_the_same_wherever_the_bytes_are_split() {
    let mut runs = 0;
    for seed in 0..120 {
        let role = if seed % 2 == 0 { Role::Server } else { Role::Client };
        let (tx, now) = (mixture(role, seed), origin());
        let read = |part, by| Got::of(Pair::new(now).hears(role), tx.as_slice(), part, by, now);
        let mut expected = read(usize::MAX, By::Events);
        for part in [100, 7001, FULL + 20, 65_536, usize::MAX] {
            let got = read(part, By::Runs);
            runs += got.runs.len();
            expected.runs.clone_from(&got.runs);
            assert!(got == expected, "seed {seed}, parts of {part}");
        }
    }
    assert!(runs > 1000, "{runs}");
}

/// A socket that takes some bytes.
struct Sink {
    room: usize,
    taken: Vec<u8>,
    calls: usize,
}

impl Sink {
    const fn new(room: usize) -> Self {
        Self { room, taken: Vec::new(), calls: 0 }
    }
}

impl Sockets for Sink {
    fn send(&mut self, _: ConnId, tx: &mut Buf, pieces: &[&[u8]]) {
        self.calls += 1;
        pieces.iter().for_each(|piece| tx.extend(piece));
        let count = tx.len().min(self.room);
        self.room -= count;
        self.taken.extend(&tx.as_slice()[..count]);
        tx.consume(count);
    }

    fn has_unread(&self, _: ConnId) -> bool {
        false
    }

    fn has_unread_by_now(&mut self, _: ConnId) -> bool {
        false
    }
}

/// What an ingress transmits in these turns, by way of `tx` or past it.
fn transmit(turns: &[(usize, Flags)], sink: Option<&mut Sink>) -> Buf {
    let now = origin();
    let mut link = Pair::new(now).ingress;
    link.session.send(FrameKind::Drain, b"");
    link.session.mark_ready(StreamId(1));
    let mut turns = turns.iter();
    let turn = |session: &mut Session, stream, _, out: &mut Outbound<'_>| {
        let Some(&(length, flags)) = turns.next() else { return Turn::Over };
        let mut sender = session.sender(stream).unwrap();
        let bytes: Vec<u8> = (0..length).map(|at| (at % 251).to_le_bytes()[0]).collect();
        sender.data(&bytes[..length.min(sender.turn_room(out))], flags, out);
        Turn::Again
    };
    let (mut tx, mut rng) = (Buf::new(), Rng::from_seed(1));
    let Some(sockets) = sink else {
        link.transmit(&mut tx, &mut rng, turn);
        return tx;
    };
    let mut commands = VecDeque::new();
    let mut cx = Context { now, rng: &mut rng, commands: &mut commands, sockets };
    let conn = Conns::new().insert(Duplex::new(1), ());
    link.transmit_to(conn, &mut tx, &mut cx, turn);
    tx
}

/// The frames in an ingress's bytes: kind, flags, stream and payload.
fn frames(wire: Vec<u8>) -> Vec<(FrameKind, Flags, u32, Vec<u8>)> {
    frames_for(Role::Client, wire)
}

/// The same in bytes for that end.
fn frames_for(role: Role, mut wire: Vec<u8>) -> Vec<(FrameKind, Flags, u32, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some(message) = ws::frame::parse(role, &mut wire).unwrap() {
        let mut rest = &wire[message.payload.clone()];
        while let Ok((used, Some(frame))) = frame::parse(rest) {
            frames.push((frame.kind, frame.flags, frame.stream.number(), frame.payload.to_vec()));
            rest = &rest[used..];
        }
        assert!(rest.is_empty(), "half a frame");
        wire.drain(..message.payload.end);
    }
    assert!(wire.is_empty(), "half a message");
    frames
}

#[test]
fn a_turn_brings_two_frames_past_the_queue_and_by_way_of_it() {
    let turns = [(5 * FULL, Flags::NONE)];
    let lengths = |wire: &[u8]| {
        let data = frames(wire.to_vec()).into_iter().filter(|frame| frame.0 == FrameKind::Data);
        data.map(|frame| frame.3.len()).collect::<Vec<_>>()
    };
    assert_eq!(lengths(transmit(&turns, None).as_slice()), [FULL; 2]);
    let mut sink = Sink::new(usize::MAX);
    assert!(transmit(&turns, Some(&mut sink)).is_empty());
    assert_eq!((lengths(&sink.taken), sink.calls), (vec![FULL; 2], 1));
}

#[test]
fn a_tunnel_that_takes_everything_at_once_gets_runs_of_many_frames() {
    let pair = Pair::new(origin());
    for (mut link, frames) in [(pair.ingress, RUN_FRAMES), (pair.agent, RUN_FRAMES_MAX)] {
        let credit = u32::to_be_bytes(1 << 24);
        let (kind, flags, stream) = (FrameKind::Window, Flags::NONE, StreamId(1));
        link.session.handle(Frame { kind, flags, stream, payload: &credit }).unwrap();
        let mut longest = 0;
        for _ in 0..20 {
            // It waits for nobody, so it says nothing of the path.
            link.pong = Some(b"ping".to_vec());
            link.session.mark_ready(StreamId(1));
            let (mut tx, mut rng, mut turns) = (Buf::new(), Rng::from_seed(1), 0);
            link.transmit(&mut tx, &mut rng, |session, stream, _, out| {
                turns += 1;
                let mut sender = session.sender(stream).unwrap();
                sender.data(&[7; FULL], Flags::NONE, out);
                Turn::Again
            });
            longest = longest.max(turns);
        }
        assert_eq!(longest, frames);
    }
}

#[test]
fn much_data_goes_past_the_queue_as_it_would_go_through_it() {
    for length in [0, 1, PASSING_BYTES_MIN - 1, PASSING_BYTES_MIN, FULL, FULL + 1, 2 * FULL] {
        let is_much = length >= PASSING_BYTES_MIN;
        for flags in [Flags::NONE, Flags::END] {
            let turns = [(100, Flags::NONE), (length, flags)];
            let expected = frames(transmit(&turns, None).as_slice().to_vec());
            for room in [0, 1, 13, 20, 9000, FULL + 26, usize::MAX] {
                let mut sink = Sink::new(room);
                let tx = transmit(&turns, Some(&mut sink));
                let whole = [sink.taken.as_slice(), tx.as_slice()].concat();
                assert!(frames(whole) == expected, "{length} {flags:?} {room}");
                assert_eq!(sink.calls, usize::from(is_much));
                assert_eq!(sink.taken.is_empty(), !is_much || room == 0);
            }
        }
    }
}

#[test]
fn what_went_past_the_queue_counts_as_if_it_waited() {
    for room in [usize::MAX, 40_000, 0] {
        let mut sink = Sink::new(room);
        let tx = transmit(&[(FULL, Flags::NONE); 20], Some(&mut sink));
        let count = sink.taken.len() + tx.len();
        assert!((2 * FULL..3 * FULL).contains(&count), "{count} with {room}");
    }
}

/// What an agent has on its tunnel when it sent a little and then spent so many bytes.
fn spend(length: usize, flags: Flags, sink: Option<&mut Sink>) -> Buf {
    let mut session = Pair::new(origin()).agent.session;
    let (mut tx, mut rng) = (Buf::new(), Rng::from_seed(1));
    let conn = Conns::new().insert(Duplex::new(1), ());
    let outlet = sink.map(|sockets| Outlet::new(conn, sockets));
    let mut out = Outbound::new(Role::Client, &mut tx, &mut rng);
    out = out.by_way_of(outlet).with_turns_of(RUN_FRAMES_MAX);
    let mut sender = session.sender(StreamId(1)).unwrap();
    sender.data(b"a little", Flags::NONE, &mut out);
    let mut bytes: Vec<u8> = (0..length).map(|at| (at % 251).to_le_bytes()[0]).collect();
    sender.data_in_place(&mut bytes, flags, &mut out);
    assert_eq!(sender.has_ended(), flags == Flags::END);
    out.finish();
    tx
}

#[test]
fn what_is_spent_goes_past_the_queue_masked_as_it_would_go_through_it() {
    for length in [1, 4 * FULL - 1, 4 * FULL, 4 * FULL + 1, 5 * FULL, RUN_FRAMES_MAX * FULL] {
        let is_much = length >= 4 * FULL;
        for flags in [Flags::NONE, Flags::END] {
            let expected = frames_for(Role::Server, spend(length, flags, None).as_slice().to_vec());
            for room in [0, 1, 13, 40, 9000, FULL + 26, usize::MAX] {
                let mut sink = Sink::new(room);
                let tx = spend(length, flags, Some(&mut sink));
                let whole = [sink.taken.as_slice(), tx.as_slice()].concat();
                assert!(frames_for(Role::Server, whole) == expected, "{length} {flags:?} {room}");
                assert_eq!(sink.calls, usize::from(is_much));
                assert_eq!(sink.taken.is_empty(), !is_much || room == 0);
            }
        }
    }
}
