//! Two links joined by byte streams, and random steps that must keep every promise.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::{Event, Limits, OpenError, Session, Side, Turn};
use super::owners;
use crate::mux::frame::DATA_BYTES_MAX;
use crate::mux::{Flags, Outbound, ResetCode, Sender, StreamId};
use crate::ws::Role;
use crate::{Buf, ConnId, Link, Rng};

/// Two links joined by byte streams, and what each stream is to carry.
struct Pair {
    rng: Rng,
    now: Instant,
    ends: [End; 2],
    owners: Vec<ConnId>,
    streams: BTreeMap<u32, Carried>,
    content: Vec<u8>,
    /// The acceptor takes fewer streams than the opener opens.
    may_refuse: bool,
}

struct End {
    link: Link,
    rx: Buf,
    tx: Buf,
    window: u32,
    /// What the windows may grow by together.
    growth: u32,
    streams_max: usize,
}

struct Carried {
    /// What the opener sends, and what the acceptor does.
    flows: [Flow; 2],
    /// The service answers: the acceptor may send.
    is_answering: bool,
    /// Somebody reset the stream, or it was refused: its bytes need not arrive.
    is_cut: bool,
}

/// One direction of a stream.
struct Flow {
    total: usize,
    has_head: bool,
    sent: usize,
    arrived: usize,
    released: usize,
    trailers: &'static [u8],
    has_end: bool,
}

const PAIR_PENDING_BYTES: usize = 2000;
const TRAILERS: &[u8] = b"a: b\r\n";

impl Flow {
    fn new(window: u32, rng: &mut Rng) -> Self {
        // A window of a few bytes would make many bytes take for ever.
        let most = [0, 300, 300, 60_000][below(rng, 4)].min(window as usize * 100);
        Self {
            total: below(rng, most + 1),
            has_head: false,
            sent: 0,
            arrived: 0,
            released: 0,
            trailers: [b"", TRAILERS][below(rng, 2)],
            has_end: false,
        }
    }

    /// One turn; whether there is more to send.
    fn pump(
        &mut self,
        mut sender: Sender<'_>,
        content: &[u8],
        out: &mut Outbound<'_>,
        rng: &mut Rng,
    ) -> bool {
        if !self.has_head {
            if below(rng, 3) == 0 {
                sender.head(Flags::INTERIM, out, |tx| tx.extend(b"100"));
                return true;
            }
            self.has_head = true;
            let is_all = self.total == 0 && self.trailers.is_empty();
            sender.head(Flags::NONE.with_if(Flags::END, is_all), out, |tx| tx.extend(b"200"));
            return !is_all;
        }
        let left = self.total - self.sent;
        let count = left.min(sender.room()).min(1 + below(rng, 20_000));
        let is_last = count == left && self.trailers.is_empty() && below(rng, 2) == 0;
        if is_last || count > 0 {
            let bytes = &content[self.sent % CYCLE..][..count];
            sender.data(bytes, Flags::NONE.with_if(Flags::END, is_last), out);
            self.sent += count;
        }
        if self.sent == self.total {
            sender.end(self.trailers, out);
        }
        !sender.has_ended() && sender.room() > 0
    }

    fn arrive(&mut self, bytes: &[u8], content: &[u8], end: Option<&[u8]>, window: u32) {
        assert!(!self.has_end, "something after the end");
        assert!(bytes == &content[self.arrived % CYCLE..][..bytes.len()], "other bytes");
        self.arrived += bytes.len();
        assert!(self.arrived - self.released <= window as usize, "more than a window");
        if let Some(trailers) = end {
            assert_eq!(trailers, self.trailers);
            assert_eq!(self.arrived, self.total, "the end before the last byte");
            self.has_end = true;
        }
    }
}

/// The bodies repeat with a period that divides no frame.
const CYCLE: usize = 251;

/// What a direction carries, for a position of at most one cycle to begin at.
fn content(bytes: &[u8], stream: u32, direction: usize) -> &[u8] {
    &bytes[(stream as usize * 7 + direction * 100) % CYCLE..]
}

fn below(rng: &mut Rng, bound: usize) -> usize {
    usize::try_from(rng.below(bound as u64)).unwrap()
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::from_seed(seed);
        #[expect(clippy::disallowed_methods, reason = "an origin for made-up time")]
        let now = Instant::now();
        let windows = [(); 2].map(|()| {
            let most = [4, 500, 70_000][below(&mut rng, 3)];
            1 + rng.below(most)
        });
        let [ours, theirs] = windows.map(|window| u32::try_from(window).unwrap());
        let growth = [0, 100, 100_000][below(&mut rng, 3)];
        let round_trip = [0, 3, 1000].map(Duration::from_millis)[below(&mut rng, 3)];
        let end = |side, role, streams, send_window, recv_window| {
            let pending_bytes = PAIR_PENDING_BYTES;
            let limits = Limits { streams, send_window: 1, recv_window, pending_bytes, growth };
            let mut session = Session::new(side, limits);
            session.note_round_trip(round_trip);
            let mut link = Link::new(role, session, Duration::from_secs(15), now);
            link.session.agree(streams, send_window);
            let streams_max = streams as usize;
            End { link, rx: Buf::new(), tx: Buf::new(), window: recv_window, growth, streams_max }
        };
        let allowed = 1 + u32::try_from(rng.below(12)).unwrap();
        // An acceptor that allows fewer streams than it said refuses some.
        let accepted = allowed.saturating_sub(u32::from(rng.below(4) == 0)).max(1);
        let ends = [
            end(Side::Opener, Role::Server, allowed, theirs, ours),
            end(Side::Acceptor, Role::Client, accepted, ours, theirs),
        ];
        let content = (0..=250).cycle().take(2 * CYCLE + DATA_BYTES_MAX).collect();
        let may_refuse = accepted < allowed;
        Self { may_refuse, rng, now, ends, owners: owners(60), streams: BTreeMap::new(), content }
    }

    fn step(&mut self) {
        let at = below(&mut self.rng, 2);
        self.now += Duration::from_millis(self.rng.below(3));
        match below(&mut self.rng, 40) {
            0..8 => self.open(),
            8..18 => self.transmit(at),
            18..30 => {
                let most = [20, 3000, 100_000][below(&mut self.rng, 3)];
                self.carry(at, most);
            }
            30..36 => self.release_some(at),
            36..39 => self.answer_one(),
            _ => self.reset_one(at),
        }
        self.check();
    }

    fn open(&mut self) {
        let Some(owner) = self.owners.get(self.streams.len()).copied() else {
            return;
        };
        let windows = [self.ends[1].window, self.ends[0].window];
        let [mut request, response] = windows.map(|window| Flow::new(window, &mut self.rng));
        request.has_head = true;
        let is_all = request.total == 0 && request.trailers.is_empty();
        let flags = Flags::NONE.with_if(Flags::END, is_all);
        let End { link, streams_max, .. } = &mut self.ends[0];
        match link.session.open(owner, flags, |out| out.extend(b"GET")) {
            Ok(stream) => {
                link.session.mark_ready(stream);
                let carried =
                    Carried { flows: [request, response], is_answering: false, is_cut: false };
                self.streams.insert(stream.number(), carried);
            }
            Err(OpenError::TooManyStreams) => assert_eq!(link.session.len(), *streams_max),
            Err(OpenError::Congested) => {
                assert!(link.session.pending.len() >= PAIR_PENDING_BYTES);
            }
            Err(OpenError::Exhausted) => unreachable!(),
        }
    }

    /// What a shell does with a writable tunnel.
    fn transmit(&mut self, at: usize) {
        let End { link, tx, .. } = &mut self.ends[at];
        if tx.len() > 64 * 1024 {
            return;
        }
        let mut mask = Rng::from_seed(self.rng.bits());
        link.transmit(tx, &mut mask, |session, stream, owner, out| {
            assert_eq!(self.owners[stream.number() as usize / 2], owner);
            let carried = self.streams.get_mut(&stream.number()).unwrap();
            if at == 1 && !carried.is_answering {
                return Turn::Over;
            }
            let content = content(&self.content, stream.number(), at);
            let sender = session.sender(stream).unwrap();
            match carried.flows[at].pump(sender, content, out, &mut self.rng) {
                true => Turn::Again,
                false => Turn::Over,
            }
        });
    }

    /// Moves bytes from the end `at` to the other one, which acts on them.
    fn carry(&mut self, at: usize, most: usize) {
        let [opener, acceptor] = &mut self.ends;
        let (from, to) = if at == 0 { (opener, acceptor) } else { (acceptor, opener) };
        let count = from.tx.len().min(1 + below(&mut self.rng, most));
        to.rx.extend(&from.tx.as_slice()[..count]);
        from.tx.consume(count);
        while let Some(event) = to.link.poll_event(&mut to.rx, self.now).unwrap() {
            match event {
                Event::Opened { stream, head } => {
                    assert_eq!(head.bytes, b"GET");
                    let owner = self.owners[stream.number() as usize / 2];
                    to.link.session.adopt(stream, owner);
                    let carried = self.streams.get_mut(&stream.number()).unwrap();
                    if carried.is_answering {
                        to.link.session.mark_ready(stream);
                    }
                    if head.flags.has(Flags::END) {
                        carried.flows[at].arrive(
                            b"",
                            &self.content,
                            Some(b""),
                            to.window + to.growth,
                        );
                    }
                }
                Event::Response { owner, head } => {
                    let is_interim = head.flags.has(Flags::INTERIM);
                    assert_eq!(head.bytes, if is_interim { b"100" } else { b"200" });
                    if head.flags.has(Flags::END) {
                        let carried = self.streams.get_mut(&number(owner)).unwrap();
                        carried.flows[at].arrive(
                            b"",
                            &self.content,
                            Some(b""),
                            to.window + to.growth,
                        );
                    }
                }
                Event::Data { owner, bytes, end } => {
                    let stream = number(owner);
                    let content = content(&self.content, stream, at);
                    let flow = &mut self.streams.get_mut(&stream).unwrap().flows[at];
                    flow.arrive(bytes, content, end, to.window + to.growth);
                }
                Event::Reset { owner, code, .. } => {
                    let carried = self.streams.get_mut(&number(owner)).unwrap();
                    let is_refused = code == ResetCode::Refused && at == 1 && self.may_refuse;
                    assert!(carried.is_cut || is_refused, "nobody reset {owner:?}");
                    carried.is_cut = true;
                }
                Event::Handled => {}
                Event::Connection { kind, .. } => panic!("{kind:?}"),
            }
        }
    }

    /// Bytes leave the end `at` for their destination.
    fn release_some(&mut self, at: usize) {
        let Some(stream) = self.any_stream() else {
            return;
        };
        let flow = &mut self.streams.get_mut(&stream).unwrap().flows[1 - at];
        let session = &mut self.ends[at].link.session;
        let count = below(&mut self.rng, flow.arrived - flow.released + 1);
        flow.released += count;
        session.release(StreamId(stream), count, self.now);
    }

    fn answer_one(&mut self) {
        let Some(stream) = self.any_stream() else {
            return;
        };
        self.streams.get_mut(&stream).unwrap().is_answering = true;
        self.ends[1].link.session.mark_ready(StreamId(stream));
    }

    fn reset_one(&mut self, at: usize) {
        let Some(stream) = self.any_stream() else {
            return;
        };
        let session = &mut self.ends[at].link.session;
        if session.sender(StreamId(stream)).is_some() {
            session.reset(StreamId(stream), ResetCode::Cancel, "enough");
            self.streams.get_mut(&stream).unwrap().is_cut = true;
        }
    }

    fn any_stream(&mut self) -> Option<u32> {
        let count = self.streams.len();
        (count > 0).then(|| u32::try_from(below(&mut self.rng, count)).unwrap() * 2 + 1)
    }

    /// What holds after each step.
    fn check(&self) {
        for (at, end) in self.ends.iter().enumerate() {
            let session = &end.link.session;
            assert!(session.len() <= end.streams_max);
            // Each stream may add a few small frames to the heads.
            assert!(session.pending.len() <= PAIR_PENDING_BYTES + 60 * 80);
            for (id, stream) in &session.streams {
                let flow = &self.streams[&id.number()].flows[1 - at];
                let undelivered = u32::try_from(flow.arrived - flow.released).unwrap();
                let recv = &stream.recv;
                assert_eq!(recv.allowed + recv.unreturned + undelivered, recv.window, "{id:?}");
                if let Some(peer) = self.ends[1 - at].link.session.streams.get(id) {
                    assert!(peer.send.credit <= recv.allowed, "credit from nowhere");
                }
            }
            let grown: u32 =
                session.streams.values().map(|stream| stream.recv.window - end.window).sum();
            let total = grown + session.unclaimed.bytes + session.growth.left;
            assert_eq!(total, end.growth, "growth is lost or made up");
            let queued = session.queues.len();
            assert!(queued <= 4 * self.streams.len() + 64, "{queued} turns");
        }
    }

    /// Lets everything end, and checks that it does.
    fn finish(&mut self) {
        for _ in 0..100_000 {
            if self.ends.iter().all(|end| end.tx.is_empty() && !end.link.has_output())
                && self.ends.iter().all(|end| end.link.session.is_empty())
            {
                break;
            }
            for carried in self.streams.iter_mut().filter(|(_, carried)| !carried.is_answering) {
                carried.1.is_answering = true;
                self.ends[1].link.session.mark_ready(StreamId(*carried.0));
            }
            for at in [0, 1] {
                self.transmit(at);
                self.carry(at, 1_000_000);
            }
            for (stream, carried) in &mut self.streams {
                for at in [0, 1] {
                    let flow = &mut carried.flows[1 - at];
                    let count = flow.arrived - std::mem::replace(&mut flow.released, flow.arrived);
                    self.ends[at].link.session.release(StreamId(*stream), count, self.now);
                }
            }
            self.check();
        }
        for end in &self.ends {
            assert!(end.link.session.is_empty(), "stuck: {:?}", end.link.session.streams);
            assert!(end.rx.is_empty() && end.tx.is_empty());
        }
        for (stream, carried) in self.streams.iter().filter(|(_, carried)| !carried.is_cut) {
            for flow in &carried.flows {
                assert!(flow.has_end && flow.arrived == flow.total, "{stream} is incomplete");
            }
        }
    }
}

/// The stream of an owner: the harness gives owners in the order of streams.
fn number(owner: ConnId) -> u32 {
    u32::try_from(owner.index()).unwrap() * 2 + 1
}

#[test]
fn whatever_the_order_of_steps_all_bytes_arrive_and_no_window_is_exceeded() {
    for seed in 0..300 {
        let mut pair = Pair::new(seed);
        for _ in 0..pair.rng.below(400) {
            pair.step();
        }
        pair.finish();
    }
}
