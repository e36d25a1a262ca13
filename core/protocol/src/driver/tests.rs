use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use super::ending::{FLUSH_TIMEOUT, LINGER_MAX, LINGER_TIMEOUT};
use super::{Driver, Filled, Flushed, Parcel, Readiness, Terms, Transport};
use crate::{
    App, Awaited, Buf, CloseReason, Closing, Command, ConnId, Connection, Conns, Context, Duplex,
    Event, ListenerId, Outgoing, Patience, Rng, Security, Target, Traffic, WorkerId,
};

mod behind;
mod lending;
mod passing;
mod watching;

const READABLE: Readiness =
    Readiness { readable: true, writable: false, closed: false, failed: false };
const WRITABLE: Readiness =
    Readiness { readable: false, writable: true, closed: false, failed: false };
const BOTH: Readiness = Readiness { readable: true, writable: true, closed: false, failed: false };
const HANGUP: Readiness = Readiness { readable: true, writable: true, closed: true, failed: false };

const FAILURE: Readiness = Readiness { readable: true, writable: true, closed: true, failed: true };

/// What a peer does, in the order in which it is read.
enum Incoming {
    Bytes(Vec<u8>),
    /// Nothing for the application, but the transport itself has something to answer.
    Handshake,
    /// Its last words are the peer's.
    HandshakeHeard,
    Eof,
    /// The same without the goodbye of TLS.
    Cut,
    Reset,
}

/// What was done to a transport.
#[derive(Debug, PartialEq, Eq)]
enum Act {
    Wrote(u16, Vec<u8>),
    /// The same from where the bytes lay.
    Passed(u16, Vec<u8>),
    /// The same, with the end to follow at once.
    WroteLast(u16, Vec<u8>),
    Finished(u16),
    Reset(u16),
    Dropped(u16),
    Waits(u16, Patience),
}

/// A peer made of lists. The port it "connects from" names it.
struct Scripted {
    name: u16,
    incoming: VecDeque<Incoming>,
    /// Bytes that the peer still takes.
    room: usize,
    write_error: Option<ErrorKind>,
    /// What the kernel knows, and no call has told.
    failure: Option<ErrorKind>,
    handshaking: bool,
    pending: bool,
    /// Bytes that it may take until it is worn.
    wear: usize,
    acts: Sender<Act>,
}

impl Transport for Scripted {
    fn fill(&mut self, rx: &mut Buf, max: usize, _: &mut [u8]) -> io::Result<Filled> {
        assert!(max > 0, "a read of nothing looks like the end");
        match self.incoming.pop_front() {
            None => Ok(Filled::Blocked(0)),
            Some(Incoming::Bytes(mut bytes)) => {
                let rest = bytes.split_off(bytes.len().min(max));
                if !rest.is_empty() {
                    self.incoming.push_front(Incoming::Bytes(rest));
                }
                rx.extend(&bytes);
                Ok(match bytes.len() {
                    count if count < max => Filled::Short(count),
                    count => Filled::More(count),
                })
            }
            Some(Incoming::Handshake) => {
                self.handshaking = false;
                self.pending = true;
                Ok(Filled::Blocked(0))
            }
            Some(Incoming::HandshakeHeard) => {
                self.handshaking = false;
                Ok(Filled::Blocked(0))
            }
            Some(Incoming::Eof) => {
                self.incoming.push_front(Incoming::Eof);
                Ok(Filled::Eof)
            }
            Some(Incoming::Cut) => Err(ErrorKind::UnexpectedEof.into()),
            Some(Incoming::Reset) => Err(ErrorKind::ConnectionReset.into()),
        }
    }

    fn flush(&mut self, tx: &mut Buf) -> io::Result<Flushed> {
        self.write(tx, Act::Wrote)
    }

    fn flush_last(&mut self, tx: &mut Buf) -> io::Result<Flushed> {
        self.write(tx, Act::WroteLast)
    }

    fn flush_with(&mut self, tx: &mut Buf, pieces: &[&[u8]]) -> io::Result<Flushed> {
        pieces.iter().for_each(|piece| tx.extend(piece));
        self.write(tx, Act::Passed)
    }

    fn has_pending(&self) -> bool {
        self.pending
    }

    fn finish(&mut self) -> io::Result<Flushed> {
        let _ = self.acts.send(Act::Finished(self.name));
        Ok(Flushed::All(0))
    }

    fn has_unread(&mut self) -> bool {
        matches!(self.incoming.front(), Some(Incoming::Bytes(_)))
    }

    fn set_patience(&mut self, patience: Patience) {
        let _ = self.acts.send(Act::Waits(self.name, patience));
    }

    fn reset(&mut self) {
        let _ = self.acts.send(Act::Reset(self.name));
    }

    fn take_error(&mut self) -> Option<io::Error> {
        self.failure.take().map(io::Error::from)
    }

    fn is_handshaking(&self) -> bool {
        self.handshaking
    }

    fn needs_replacing(&self) -> bool {
        self.wear == 0
    }

    fn peer_names(&self) -> Option<Box<[String]>> {
        assert!(!self.handshaking, "asked when the handshake is over");
        Some(Box::new([format!("{}.test", self.name)]))
    }
}

impl Scripted {
    fn write(&mut self, tx: &mut Buf, act: fn(u16, Vec<u8>) -> Act) -> io::Result<Flushed> {
        if let Some(kind) = self.write_error {
            return Err(kind.into());
        }
        if self.pending {
            self.pending = false;
            let _ = self.acts.send(Act::Wrote(self.name, b"<handshake>".to_vec()));
        }
        if self.handshaking {
            return Ok(Flushed::All(0));
        }
        let count = tx.len().min(self.room);
        if count > 0 {
            let bytes = tx.as_slice()[..count].to_vec();
            let _ = self.acts.send(act(self.name, bytes));
        }
        self.room -= count;
        self.wear = self.wear.saturating_sub(count);
        tx.consume(count);
        if tx.is_empty() { Ok(Flushed::All(count)) } else { Ok(Flushed::Blocked(count)) }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        let _ = self.acts.send(Act::Dropped(self.name));
    }
}

/// What the application heard, with a connection's name for its id.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    Connected(u16),
    Progress(u16),
    Deadline(u16),
    Closed(u16, &'static str),
    Adopted(u16),
    Message(u32),
    Tick,
    Drain,
}

/// What the application does with what arrives.
#[derive(Clone, Copy)]
enum Rule {
    Keep,
    Swallow,
    Echo,
    Forward(ConnId),
    /// What arrives at last is what another one waits for: its deadline is over.
    Relieve(ConnId),
    /// Takes so many bytes in each turn.
    Nibble(usize),
    /// Answers the first bytes and ends.
    AnswerAndClose,
}

struct Recorder {
    conns: Conns<Rule>,
    names: HashMap<ConnId, u16>,
    rule: Option<Rule>,
    deadlines: HashMap<ConnId, Instant>,
    own_deadline: Option<Instant>,
    heard: Vec<Heard>,
    got: HashMap<u16, Vec<u8>>,
    ended: Vec<u16>,
    outgoing: VecDeque<(WorkerId, Outgoing<u32>)>,
    /// What goes when the next deadline passes.
    outgoing_then: VecDeque<(WorkerId, Outgoing<u32>)>,
    /// What is sent past the queue of whoever is served, piece by piece.
    passing: VecDeque<Vec<u8>>,
    /// Who waits for nothing from its peer.
    serving: Vec<ConnId>,
    /// Whose parts tell of their own ends.
    framed: Vec<ConnId>,
    /// Of whose peers nothing more is to be made.
    heard_out: Vec<ConnId>,
    /// Of whose peers something is still to be passed on.
    last_words: Vec<ConnId>,
}

impl App for Recorder {
    type Conn = Rule;
    type Job = Infallible;
    type Answer = Infallible;
    type Message = u32;

    fn conns(&mut self) -> &mut Conns<Rule> {
        &mut self.conns
    }

    fn accept(&mut self, _: ListenerId, peer: SocketAddr, _: &mut Context<'_>) -> Option<ConnId> {
        let conn = self.conns.insert(Duplex::new(100_000), self.rule?);
        self.names.insert(conn, peer.port());
        Some(conn)
    }

    fn handle(&mut self, event: Event, cx: &mut Context<'_>) {
        let heard = match event {
            Event::Connected { conn } => Heard::Connected(self.names[&conn]),
            Event::Progress { conn } => {
                self.advance(conn, cx);
                Heard::Progress(self.names[&conn])
            }
            Event::Deadline { conn } => {
                self.deadlines.remove(&conn);
                self.outgoing.append(&mut self.outgoing_then);
                Heard::Deadline(self.names[&conn])
            }
            Event::Closed { conn, reason } => {
                assert!(self.conns.get(conn).is_some(), "freed after the event");
                Heard::Closed(self.names[&conn], word(&reason))
            }
            Event::Adopted { conn } => {
                // A name of the test's own, by which the peer is known here.
                let name = self.names.get(&conn).copied().unwrap_or_default();
                self.names.insert(conn, name);
                self.advance(conn, cx);
                Heard::Adopted(name)
            }
            Event::Tick => {
                self.own_deadline = None;
                Heard::Tick
            }
            Event::Drain => Heard::Drain,
        };
        self.heard.push(heard);
    }

    fn poll_outgoing(&mut self) -> Option<(WorkerId, Outgoing<u32>)> {
        self.outgoing.pop_front()
    }

    fn handle_message(&mut self, _: WorkerId, message: u32, _: &mut Context<'_>) {
        self.heard.push(Heard::Message(message));
    }

    fn transmit(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let Some(piece) = self.passing.pop_front() else { return };
        if let Some(connection) = self.conns.get_served(conn) {
            cx.send(conn, &mut connection.io.tx, &[&piece]);
        }
    }

    fn awaits_peer(&self, conn: ConnId) -> bool {
        !self.serving.contains(&conn)
    }

    fn is_heard_out(&self, conn: ConnId) -> bool {
        self.heard_out.contains(&conn)
    }

    fn has_last_words(&self, conn: ConnId) -> bool {
        self.last_words.contains(&conn)
    }

    fn is_framed(&self, conn: ConnId) -> bool {
        self.framed.contains(&conn)
    }

    fn conn_deadline(&self, conn: ConnId) -> Option<Instant> {
        self.deadlines.get(&conn).copied()
    }

    fn deadline(&self) -> Option<Instant> {
        self.own_deadline
    }
}

impl Recorder {
    fn advance(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let connection = self.conns.get_mut(conn).unwrap();
        let (rule, name) = (connection.state, self.names[&conn]);
        if connection.io.rx_eof && !self.ended.contains(&name) {
            self.ended.push(name);
        }
        if matches!(rule, Rule::Keep) {
            return;
        }
        let most = if let Rule::Nibble(most) = rule { most } else { usize::MAX };
        let bytes: Vec<_> = connection.io.rx.as_slice().iter().take(most).copied().collect();
        connection.io.rx.consume(bytes.len());
        connection.io.is_behind = !connection.io.rx.is_empty();
        self.got.entry(name).or_default().extend(&bytes);
        match rule {
            Rule::Keep | Rule::Swallow | Rule::Nibble(_) => {}
            Rule::Echo => {
                cx.send(conn, &mut connection.io.tx, &[&bytes]);
                if connection.io.rx_eof {
                    connection.io.close(Closing::Write);
                }
            }
            Rule::Forward(to) => {
                if let Some(connection) = self.conns.get_mut(to) {
                    cx.send(to, &mut connection.io.tx, &[&bytes]);
                }
            }
            Rule::Relieve(whom) => {
                if bytes.ends_with(b"!") {
                    self.deadlines.remove(&whom);
                }
            }
            Rule::AnswerAndClose => {
                connection.io.tx.extend(b"answer");
                connection.io.close(Closing::AfterFlush);
            }
        }
    }
}

fn word(reason: &CloseReason) -> &'static str {
    match reason {
        CloseReason::Finished => "finished",
        CloseReason::Aborted => "aborted",
        CloseReason::ConnectFailed(_) => "connect failed",
        CloseReason::Failed(_) => "failed",
    }
}

/// A driver, its clock and the record of what was done to the transports.
struct World {
    driver: Driver<Recorder, Scripted>,
    now: Instant,
    acts: Receiver<Act>,
    sender: Sender<Act>,
    names: u16,
}

impl World {
    fn new() -> Self {
        let app = Recorder {
            conns: Conns::new(),
            names: HashMap::new(),
            rule: Some(Rule::Echo),
            deadlines: HashMap::new(),
            own_deadline: None,
            heard: Vec::new(),
            got: HashMap::new(),
            ended: Vec::new(),
            outgoing: VecDeque::new(),
            outgoing_then: VecDeque::new(),
            passing: VecDeque::new(),
            serving: Vec::new(),
            framed: Vec::new(),
            heard_out: Vec::new(),
            last_words: Vec::new(),
        };
        #[expect(clippy::disallowed_methods, reason = "an origin for made-up time")]
        let now = Instant::now();
        let (sender, acts) = mpsc::channel();
        Self { driver: Driver::new(app, Rng::from_seed(1), now), now, acts, sender, names: 0 }
    }

    fn transport(&mut self) -> Scripted {
        self.names += 1;
        Scripted {
            name: self.names,
            incoming: VecDeque::new(),
            room: usize::MAX,
            write_error: None,
            failure: None,
            handshaking: false,
            pending: false,
            wear: usize::MAX,
            acts: self.sender.clone(),
        }
    }

    /// A new accepted connection under this rule, with its first writable edge.
    fn accept(&mut self, rule: Rule) -> ConnId {
        self.driver.app_mut().rule = Some(rule);
        let transport = self.transport();
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, transport.name));
        let conn = self.driver.accepted(ListenerId(0), peer, transport);
        let conn = conn.expect("the rule accepts");
        self.driver.latch(conn, WRITABLE);
        self.driver.settle();
        conn
    }

    /// A slot whose connection is being made.
    fn dial(&mut self) -> ConnId {
        let app = self.driver.app_mut();
        let conn = app.conns.insert(Duplex::new(1000), Rule::Echo);
        self.names += 1;
        app.names.insert(conn, self.names);
        self.driver.settle();
        conn
    }

    fn connection(&mut self, conn: ConnId) -> &mut Connection<Rule> {
        self.driver.app_mut().conns.get_mut(conn).unwrap()
    }

    fn peer(&mut self, conn: ConnId) -> &mut Scripted {
        self.driver.transport_mut(conn).unwrap()
    }

    fn receive(&mut self, conn: ConnId, incoming: Incoming, readiness: Readiness) {
        self.peer(conn).incoming.push_back(incoming);
        self.driver.latch(conn, readiness);
    }

    /// Whom the kernel is to tell of from now on.
    fn watch(&mut self) -> Vec<ConnId> {
        let mut unwatched = Vec::new();
        self.driver.take_unwatched(&mut unwatched);
        unwatched
    }

    /// Lets time pass, deadlines fire, and everything run.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.driver.begin_turn(self.now);
        self.driver.fire();
        self.driver.settle();
    }

    fn heard(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.driver.app_mut().heard)
    }

    fn acts(&self) -> Vec<Act> {
        self.acts.try_iter().collect()
    }
}

fn bytes(text: &str) -> Incoming {
    Incoming::Bytes(text.as_bytes().to_vec())
}

fn target() -> Target {
    Target {
        host: "service".to_owned(),
        port: 80,
        security: Security::Plain,
        traffic: Traffic::Single,
        via: None,
    }
}

#[test]
fn what_arrives_is_told_once_and_the_answer_leaves() {
    let mut world = World::new();
    let conn = world.accept(Rule::Echo);
    world.receive(conn, bytes("hello"), READABLE);
    world.driver.settle();
    assert_eq!(world.acts(), [Act::Wrote(1, b"hello".to_vec())]);
    assert_eq!(
        world.heard(),
        [Heard::Progress(1), Heard::Progress(1)],
        "one for the bytes that came, one for those that left"
    );
    assert!(!world.driver.has_work());
}

#[test]
fn nothing_is_told_when_nothing_moved() {
    let mut world = World::new();
    let conn = world.accept(Rule::Echo);
    for readiness in [READABLE, WRITABLE, BOTH] {
        world.driver.latch(conn, readiness);
        world.driver.settle();
    }
    world.connection(conn);
    world.driver.settle();
    assert_eq!(world.heard(), []);
}

#[test]
fn a_transport_is_told_of_patience_when_it_changes() {
    let mut world = World::new();
    let conn = world.accept(Rule::Keep);
    let wants = [Patience::Long, Patience::Short, Patience::Short, Patience::Long];
    for patience in wants {
        world.connection(conn).io.patience = patience;
        world.driver.settle();
    }
    assert_eq!(world.acts(), [Patience::Short, Patience::Long].map(|one| Act::Waits(1, one)));
    world.connection(conn).io.patience = Patience::Short;
    world.connection(conn).io.tx.extend(b"x");
    world.driver.settle();
    let expected = [Act::Waits(1, Patience::Short), Act::Wrote(1, b"x".to_vec())];
    assert_eq!(world.acts(), expected, "told before the bytes leave");
}

#[test]
fn connections_are_served_in_the_order_in_which_they_became_ready() {
    let mut world = World::new();
    let conns: Vec<_> = (0..5).map(|_| world.accept(Rule::Keep)).collect();
    for index in [3, 0, 4, 1, 2] {
        world.receive(conns[index], bytes("x"), READABLE);
    }
    world.driver.settle();
    let order = [4, 1, 5, 2, 3].map(Heard::Progress);
    assert_eq!(world.heard(), order);
}

#[test]
fn a_touched_connection_is_written_once_for_all_that_were_ready() {
    let mut world = World::new();
    let tunnel = world.accept(Rule::Keep);
    let downstreams: Vec<_> = (0..20).map(|_| world.accept(Rule::Forward(tunnel))).collect();
    for downstream in downstreams {
        world.receive(downstream, bytes("r"), READABLE);
    }
    world.driver.settle();
    assert_eq!(world.acts(), [Act::Wrote(1, vec![b'r'; 20])]);
}

#[test]
fn a_loud_connection_lets_the_others_have_their_turn() {
    let mut world = World::new();
    let loud = world.accept(Rule::Echo);
    let quiet = world.accept(Rule::Keep);
    world.receive(loud, Incoming::Bytes(vec![0; 200_000]), READABLE);
    world.receive(quiet, bytes("x"), READABLE);
    world.driver.settle();
    let heard = world.heard();
    assert_eq!(heard[..2], [Heard::Progress(1), Heard::Progress(2)]);
    assert_eq!(world.driver.app().got[&1].len(), 200_000);
}

#[test]
fn reading_stops_at_the_limit_and_goes_on_when_the_application_consumed() {
    let mut world = World::new();
    let conn = world.accept(Rule::Keep);
    world.receive(conn, Incoming::Bytes(vec![7; 250_000]), READABLE);
    world.driver.settle();
    assert_eq!(world.connection(conn).io.rx.len(), 100_000);
    world.driver.settle();
    assert_eq!(world.connection(conn).io.rx.len(), 100_000);
    world.connection(conn).io.rx.consume(60_000);
    world.driver.settle();
    assert_eq!(world.connection(conn).io.rx.len(), 100_000);
    assert!(!world.driver.has_work());
}

#[test]
fn a_short_read_does_not_hide_an_end_that_came_with_it() {
    let mut world = World::new();
    let conn = world.accept(Rule::Echo);
    world.receive(conn, bytes("last words"), READABLE);
    world.receive(conn, Incoming::Eof, HANGUP);
    world.driver.settle();
    let wrote = Act::WroteLast(1, b"last words".to_vec());
    assert_eq!(
        world.acts(),
        [wrote, Act::Finished(1), Act::Dropped(1)],
        "both sides have finished"
    );
    assert_eq!(world.heard().last(), Some(&Heard::Closed(1, "finished")));
}

#[test]
fn a_broken_write_still_delivers_what_arrived_but_no_end() {
    let mut world = World::new();
    let conn = world.accept(Rule::Swallow);
    world.peer(conn).write_error = Some(ErrorKind::BrokenPipe);
    world.connection(conn).io.tx.extend(b"request");
    world.peer(conn).incoming.push_back(bytes("half an answ"));
    world.peer(conn).incoming.push_back(Incoming::Eof);
    world.driver.settle();
    assert_eq!(world.driver.app().got[&1], b"half an answ");
    assert_eq!(world.heard(), [Heard::Progress(1), Heard::Closed(1, "failed")]);
    assert_eq!(world.driver.app().ended, [0_u16; 0], "the half must not be taken for the whole");
}

#[test]
fn a_reset_is_told_after_the_bytes_before_it() {
    let mut world = World::new();
    let conn = world.accept(Rule::Echo);
    world.receive(conn, bytes("abc"), READABLE);
    world.receive(conn, Incoming::Reset, HANGUP);
    world.driver.settle();
    assert_eq!(world.heard(), [Heard::Progress(1), Heard::Closed(1, "failed")]);
    assert_eq!(world.driver.app().got[&1], b"abc");
}

/// Where nothing is read any more, only the kernel's word tells.
#[test]
fn a_break_after_the_end_of_the_peer_is_heeded() {
    let mut world = World::new();
    let conn = world.accept(Rule::Swallow);
    world.driver.app_mut().heard_out.push(conn);
    world.receive(conn, Incoming::Eof, HANGUP);
    world.driver.settle();
    assert_eq!(world.heard(), [Heard::Progress(1)]);
    world.peer(conn).failure = Some(ErrorKind::BrokenPipe);
    world.driver.latch(conn, HANGUP);
    world.driver.settle();
    assert_eq!(world.heard(), [], "a peer may end its direction and stay");
    world.driver.latch(conn, FAILURE);
    world.driver.settle();
    assert_eq!(world.heard(), [Heard::Closed(1, "failed")]);
}

#[test]
fn a_break_waits_until_the_peer_is_heard_out() {
    for eof in [false, true] {
        let mut world = World::new();
        let conn = world.accept(Rule::Keep);
        // As many as there is room for.
        world.receive(conn, Incoming::Bytes(vec![b'x'; 100_000]), READABLE);
        if eof {
            world.connection(conn).io.rx_limit += 1;
            world.receive(conn, Incoming::Eof, HANGUP);
        }
        world.driver.settle();
        world.peer(conn).failure = Some(ErrorKind::ConnectionReset);
        world.driver.latch(conn, FAILURE);
        world.driver.settle();
        assert!(!world.heard().contains(&Heard::Closed(1, "failed")), "eof: {eof}");
        world.driver.app_mut().heard_out.push(conn);
        world.driver.app_mut().conns.touch(conn);
        world.driver.settle();
        assert_eq!(world.heard(), [Heard::Closed(1, "failed")], "eof: {eof}");
    }
}

/// Nobody makes room in a full queue for a peer that cannot be answered.
#[test]
fn a_break_that_a_write_finds_waits_for_the_same() {
    let mut world = World::new();
    let conn = world.accept(Rule::Keep);
    world.receive(conn, Incoming::Bytes(vec![b'x'; 200_000]), READABLE);
    world.driver.settle();
    world.heard();
    world.peer(conn).write_error = Some(ErrorKind::BrokenPipe);
    world.connection(conn).io.tx.extend(b"answer");
    world.driver.settle();
    assert!(!world.heard().contains(&Heard::Closed(1, "failed")));
    world.driver.app_mut().heard_out.push(conn);
    world.driver.app_mut().conns.touch(conn);
    world.driver.settle();
    assert_eq!(world.heard(), [Heard::Closed(1, "failed")]);
}

#[test]
fn a_break_after_our_end_is_heeded_where_the_peer_has_not_ended() {
    for eof in [false, true] {
        let mut world = World::new();
        let conn = world.accept(Rule::Keep);
        world.driver.app_mut().heard_out.push(conn);
        world.receive(conn, Incoming::Bytes(vec![b'x'; 100_000]), READABLE);
        if eof {
            world.connection(conn).io.rx_limit += 1;
            world.receive(conn, Incoming::Eof, HANGUP);
        }
        world.connection(conn).io.close(Closing::Write);
        world.driver.settle();
        world.heard();
        world.peer(conn).failure = Some(ErrorKind::ConnectionReset);
        world.driver.latch(conn, FAILURE);
        world.driver.settle();
        let expected = if eof { vec![] } else { vec![Heard::Closed(1, "failed")] };
        assert_eq!(world.heard(), expected, "eof: {eof}");
    }
}

#[test]
fn a_broken_connection_stays_until_the_last_words_of_its_peer_are_passed_on() {
    for write_error in [None, Some(ErrorKind::BrokenPipe)] {
        let mut world = World::new();
        let conn = world.accept(Rule::Keep);
        world.driver.app_mut().last_words.push(conn);
        world.peer(conn).write_error = write_error;
        world.connection(conn).io.tx.extend(b"what nobody reads");
        world.connection(conn).io.close(Closing::Write);
        world.receive(conn, bytes("bye"), READABLE);
        world.receive(conn, Incoming::Reset, FAILURE);
        world.driver.settle();
        assert_eq!(world.heard(), [Heard::Progress(1)], "{write_error:?}");
        assert_eq!(world.connection(conn).io.rx.as_slice(), b"bye");
        world.driver.app_mut().last_words.clear();
        world.driver.app_mut().conns.touch(conn);
        world.driver.settle();
        assert_eq!(world.heard(), [Heard::Closed(1, "failed")], "{write_error:?}");
    }
}

#[test]
fn an_end_without_a_goodbye_is_one_where_nobody_knows_what_is_carried() {
    for is_opaque in [false, true] {
        let mut world = World::new();
        let conn = world.accept(Rule::Swallow);
        world.connection(conn).io.is_opaque = is_opaque;
        world.receive(conn, bytes("bye"), READABLE);
        world.receive(conn, Incoming::Cut, HANGUP);
        world.driver.settle();
        assert_eq!(world.driver.app().got[&1], b"bye");
        assert_eq!(world.driver.app().ended.contains(&1), is_opaque);
        assert_eq!(world.heard().contains(&Heard::Closed(1, "failed")), !is_opaque);
    }
}

/// It would answer what nobody asks any more.
#[test]
fn nothing_is_made_of_what_came_with_a_break_of_who_is_heard_out() {
    for write_error in [None, Some(ErrorKind::BrokenPipe)] {
        let mut world = World::new();
        let conn = world.accept(Rule::Echo);
        world.driver.app_mut().heard_out.push(conn);
        world.peer(conn).write_error = write_error;
        world.connection(conn).io.tx.extend(b"answer");
        world.receive(conn, bytes("another question"), READABLE);
        world.receive(conn, Incoming::Reset, FAILURE);
        world.driver.settle();
        assert_eq!(world.heard(), [Heard::Closed(1, "failed")], "{write_error:?}");
    }
}

#[test]
fn what_was_not_read_of_a_peer_goes_with_the_decision_to_close() {
    let mut world = World::new();
    let conn = world.accept(Rule::Keep);
    world.receive(conn, Incoming::Bytes(vec![b'x'; 60_000]), READABLE);
    world.driver.settle();
    assert_eq!(world.connection(conn).io.rx.len(), 60_000);
    world.connection(conn).io.close(Closing::AfterFlush);
    world.driver.settle();
    assert_eq!(world.connection(conn).io.rx.len(), 0);
}

#[test]
fn an_answered_connection_discards_until_the_peer_closes() {
    let mut world = World::new();
    let conn = world.accept(Rule::AnswerAndClose);
    world.receive(conn, bytes("request"), READABLE);
    world.driver.settle();
    world.receive(conn, Incoming::Bytes(vec![0; 500_000]), READABLE);
    world.driver.settle();
    while world.driver.has_work() {
        world.driver.settle();
    }
    assert!(world.peer(conn).incoming.is_empty(), "read and thrown away");
    world.receive(conn, Incoming::Eof, HANGUP);
    world.driver.settle();
    assert_eq!(
        world.acts(),
        [Act::WroteLast(1, b"answer".to_vec()), Act::Finished(1), Act::Dropped(1)]
    );
    assert_eq!(world.heard(), [Heard::Progress(1), Heard::Closed(1, "finished")]);
}

#[test]
fn a_peer_that_never_closes_is_left_behind_without_a_reset() {
    let mut world = World::new();
    let conn = world.accept(Rule::AnswerAndClose);
    world.receive(conn, bytes("request"), READABLE);
    world.driver.settle();
    world.acts();
    world.pass(LINGER_TIMEOUT - Duration::from_millis(1));
    assert_eq!(world.acts(), []);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.acts(), [Act::Dropped(1)], "a reset could destroy the answer in the kernel");
    assert_eq!(world.heard().last(), Some(&Heard::Closed(1, "finished")));
}

/// Who sends an upload and looks for the answer when it is done.
#[test]
fn a_peer_that_still_sends_is_heard_out_for_a_while() {
    let mut world = World::new();
    let conn = world.accept(Rule::AnswerAndClose);
    world.receive(conn, bytes("request"), READABLE);
    world.driver.settle();
    world.acts();
    let step = LINGER_TIMEOUT - Duration::from_millis(1);
    let mut waited = Duration::ZERO;
    while world.acts().is_empty() {
        world.receive(conn, bytes("still sending"), READABLE);
        world.driver.settle();
        world.pass(step);
        waited += step;
    }
    assert!(waited >= LINGER_MAX && waited < LINGER_MAX + step, "{waited:?}");
    assert_eq!(world.heard().last(), Some(&Heard::Closed(1, "finished")));
}

#[test]
fn an_end_that_the_peer_announced_is_not_waited_for() {
    let mut world = World::new();
    let conn = world.accept(Rule::AnswerAndClose);
    world.peer(conn).room = 3;
    world.connection(conn).io.tx.extend(b"answer");
    world.connection(conn).io.close(Closing::Agreed);
    world.driver.latch(conn, BOTH);
    world.driver.settle();
    assert_eq!(world.acts(), [Act::WroteLast(1, b"ans".to_vec())], "not before all has left");
    world.peer(conn).room = 100;
    world.driver.latch(conn, WRITABLE);
    world.driver.settle();
    let ended = [Act::WroteLast(1, b"wer".to_vec()), Act::Finished(1), Act::Dropped(1)];
    assert_eq!(world.acts(), ended);
    assert_eq!(world.heard(), [Heard::Closed(1, "finished")]);
}

#[test]
fn a_closing_connection_is_reset_when_its_peer_takes_nothing() {
    let mut world = World::new();
    let conn = world.accept(Rule::AnswerAndClose);
    world.peer(conn).room = 3;
    world.receive(conn, bytes("request"), READABLE);
    world.driver.settle();
    let almost = FLUSH_TIMEOUT - Duration::from_secs(1);
    world.pass(almost);
    world.peer(conn).room = 1;
    world.driver.latch(conn, WRITABLE);
    world.driver.settle();
    world.pass(almost);
    world.receive(conn, bytes("still talking, never listening"), READABLE);
    world.driver.settle();
    let wrote = |text: &str| Act::WroteLast(1, text.as_bytes().to_vec());
    assert_eq!(world.acts(), [wrote("ans"), wrote("w")]);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.acts(), [Act::Reset(1), Act::Dropped(1)]);
    assert_eq!(world.heard().last(), Some(&Heard::Closed(1, "aborted")));
}

#[test]
fn an_abort_is_a_reset_at_once() {
    let mut world = World::new();
    let conn = world.accept(Rule::Keep);
    world.connection(conn).io.tx.extend(b"never to be sent");
    world.peer(conn).room = 0;
    world.driver.settle();
    world.connection(conn).io.close(Closing::Abort);
    world.driver.settle();
    assert_eq!(world.acts(), [Act::Reset(1), Act::Dropped(1)]);
    assert_eq!(world.heard(), [Heard::Closed(1, "aborted")]);
}

#[test]
fn what_is_there_before_an_abort_does_not_wait_for_an_end() {
    let mut world = World::new();
    let conn = world.accept(Rule::Keep);
    world.connection(conn).io.tx.extend(b"a part");
    world.connection(conn).io.close(Closing::Abort);
    world.driver.latch(conn, BOTH);
    world.driver.settle();
    let expected = [Act::Wrote(1, b"a part".to_vec()), Act::Reset(1), Act::Dropped(1)];
    assert_eq!(world.acts(), expected);
}

#[test]
fn half_a_close_leaves_the_other_half_open() {
    let mut world = World::new();
    let conn = world.accept(Rule::Swallow);
    world.connection(conn).io.tx.extend(b"request");
    world.connection(conn).io.close(Closing::Write);
    world.driver.settle();
    let wrote = Act::WroteLast(1, b"request".to_vec());
    assert_eq!(world.acts(), [wrote, Act::Finished(1)]);
    world.pass(Duration::from_secs(3600));
    world.receive(conn, bytes("a late answer"), READABLE);
    world.driver.settle();
    assert_eq!(world.driver.app().got[&1], b"a late answer");
    world.receive(conn, Incoming::Eof, HANGUP);
    world.driver.settle();
    assert_eq!(world.heard().last(), Some(&Heard::Closed(1, "finished")));
}

#[test]
fn who_is_not_taken_in_is_reset() {
    let mut world = World::new();
    let transport = world.transport();
    world.driver.app_mut().rule = None;
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let conn = world.driver.accepted(ListenerId(0), peer, transport);
    assert_eq!(conn, None);
    assert_eq!(world.acts(), [Act::Reset(1), Act::Dropped(1)]);
}

#[test]
fn a_connection_that_was_asked_for_comes_or_fails() {
    let mut world = World::new();
    let (first, second) = (world.dial(), world.dial());
    world.driver.connect_failed(first, ErrorKind::TimedOut.into());
    let transport = world.transport();
    world.driver.connected(second, transport);
    world.driver.settle();
    assert_eq!(world.heard(), [Heard::Closed(1, "connect failed"), Heard::Connected(2)]);
}

#[test]
fn a_connection_that_is_being_made_has_its_deadline() {
    let mut world = World::new();
    let conn = world.dial();
    let due = world.now + Duration::from_secs(5);
    world.driver.app_mut().deadlines.insert(conn, due);
    world.connection(conn);
    world.driver.settle();
    assert_eq!(world.driver.next_deadline(), Some(due));
    world.pass(Duration::from_secs(5));
    assert_eq!(world.heard(), [Heard::Deadline(1)]);
    world.connection(conn).io.close(Closing::AfterFlush);
    world.driver.settle();
    assert_eq!(world.heard(), [Heard::Closed(1, "aborted")]);
}

#[test]
fn stale_names_are_ignored() {
    let mut world = World::new();
    let old = world.dial();
    world.driver.connect_failed(old, ErrorKind::TimedOut.into());
    let new = world.dial();
    assert_eq!(old.index(), new.index(), "the slot is used again");
    world.heard();
    world.driver.latch(old, HANGUP);
    world.driver.connect_failed(old, ErrorKind::TimedOut.into());
    let transport = world.transport();
    world.driver.connected(old, transport);
    world.driver.settle();
    assert_eq!(world.heard(), []);
    assert_eq!(world.acts(), [Act::Dropped(3)]);
    assert!(world.driver.transport_mut(old).is_none());
    assert!(world.driver.transport_mut(new).is_none());
}

#[test]
fn a_second_connect_of_one_slot_is_dropped() {
    let mut world = World::new();
    let conn = world.dial();
    for _ in 0..2 {
        let transport = world.transport();
        world.driver.connected(conn, transport);
    }
    world.driver.connect_failed(conn, ErrorKind::TimedOut.into());
    assert_eq!(world.heard(), [Heard::Connected(1)]);
    assert_eq!(world.acts(), [Act::Dropped(3)]);
}

#[test]
fn a_deadline_that_moved_later_costs_no_event() {
    let mut world = World::new();
    let conn = world.accept(Rule::Keep);
    let second = Duration::from_secs(1);
    for _ in 0..10 {
        let due = world.now + 2 * second;
        world.driver.app_mut().deadlines.insert(conn, due);
        world.connection(conn);
        world.driver.settle();
        world.pass(second);
    }
    assert_eq!(world.heard(), []);
    world.pass(second);
    assert_eq!(world.heard(), [Heard::Deadline(1)]);
    world.pass(60 * second);
    assert_eq!(world.heard(), []);
}

#[test]
fn what_came_while_the_process_slept_is_heard_before_its_deadline() {
    let mut world = World::new();
    let conn = world.accept(Rule::Keep);
    world.driver.settle();
    let due = world.now + Duration::from_secs(1);
    world.driver.app_mut().deadlines.insert(conn, due);
    world.connection(conn);
    world.driver.settle();
    world.receive(conn, bytes("in time"), READABLE);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.heard(), [Heard::Progress(1), Heard::Deadline(1)]);
    world.driver.app_mut().deadlines.insert(conn, world.now + Duration::from_secs(1));
    world.connection(conn);
    world.driver.settle();
    world.receive(conn, Incoming::Eof, HANGUP);
    world.pass(Duration::from_secs(5));
    let heard = world.heard();
    assert_eq!(heard.first(), Some(&Heard::Progress(1)), "{heard:?}");
}

#[test]
fn what_was_taken_while_the_process_slept_counts_before_the_deadline() {
    let mut world = World::new();
    let conn = world.accept(Rule::Keep);
    world.peer(conn).room = 3;
    world.connection(conn).io.tx.extend(b"answer");
    world.driver.latch(conn, BOTH);
    world.driver.settle();
    let due = world.now + Duration::from_secs(1);
    world.driver.app_mut().deadlines.insert(conn, due);
    world.connection(conn);
    world.driver.settle();
    world.heard();
    world.peer(conn).room = 100;
    world.driver.latch(conn, WRITABLE);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.heard(), [Heard::Progress(1), Heard::Deadline(1)]);
}

/// As an answer does, which comes on a tunnel, and behind whatever else that brings.
#[test]
fn what_came_before_a_deadline_is_noticed_counts_for_whoever_waits_for_it() {
    for (late, ahead) in [(1, 0), (40, 0), (100, 0), (4000, 0), (4000, 10_000_000)] {
        let mut world = World::new();
        let waiting = world.accept(Rule::Keep);
        let tunnel = world.accept(Rule::Relieve(waiting));
        let due = world.now + Duration::from_secs(1);
        world.driver.app_mut().deadlines.insert(waiting, due);
        world.connection(waiting);
        world.driver.settle();
        let answer = [vec![b'.'; ahead], b"in time!".to_vec()].concat();
        world.receive(tunnel, Incoming::Bytes(answer), READABLE);
        world.pass(Duration::from_millis(1000 + late));
        while world.driver.has_work() {
            world.pass(Duration::ZERO);
        }
        let others = world.heard().into_iter().filter(|heard| *heard != Heard::Progress(2));
        assert_eq!(others.collect::<Vec<_>>(), [], "{late} ms, {ahead} bytes ahead");
    }
}

#[test]
fn what_was_to_leave_when_all_ends_is_reset() {
    let mut world = World::new();
    let [whole, cut, framed] = [0; 3].map(|_| world.accept(Rule::Keep));
    world.driver.app_mut().framed.push(framed);
    for conn in [cut, framed] {
        world.peer(conn).room = 3;
    }
    for conn in [whole, cut, framed] {
        world.connection(conn).io.tx.extend(b"answer");
        world.driver.latch(conn, BOTH);
    }
    world.driver.settle();
    world.acts();
    let World { driver, acts, .. } = world;
    drop(driver.into_app());
    assert_eq!(
        acts.try_iter().collect::<Vec<_>>(),
        [Act::Reset(2), Act::Dropped(1), Act::Dropped(2), Act::Dropped(3)]
    );
}

#[test]
fn the_applications_own_deadline_is_a_tick() {
    let mut world = World::new();
    let due = world.now + Duration::from_secs(3);
    world.driver.app_mut().own_deadline = Some(due);
    assert_eq!(world.driver.next_deadline(), Some(due));
    world.pass(Duration::from_secs(2));
    assert_eq!(world.heard(), []);
    world.pass(Duration::from_secs(1));
    world.pass(Duration::from_secs(9));
    assert_eq!(world.heard(), [Heard::Tick]);
    world.driver.drain();
    assert_eq!(world.heard(), [Heard::Drain]);
}

#[test]
fn a_connection_that_is_being_made_waits_for_its_peer_unless_the_shell_knows_better() {
    let mut world = World::new();
    let conn = world.dial();
    world.driver.commands.push_back(Command::Connect { conn, target: target() });
    assert!(world.driver.poll_command().is_some());
    assert_eq!(world.connection(conn).io.awaits, Some(Awaited::Peer));
    world.driver.handle_awaited(conn, Some(Awaited::Address));
    assert_eq!(world.connection(conn).io.awaits, Some(Awaited::Address));
    let transport = world.transport();
    world.driver.connected(conn, transport);
    assert_eq!(world.connection(conn).io.awaits, None);
}

#[test]
fn the_shell_hears_of_a_connection_that_ends_before_it_is_made() {
    let mut world = World::new();
    let conn = world.dial();
    world.connection(conn).io.close(Closing::Abort);
    world.driver.settle();
    assert_eq!(world.driver.poll_command(), Some(Command::Forget { conn }));
    assert_eq!(world.driver.poll_command(), None);
    let conn = world.dial();
    let transport = world.transport();
    world.driver.connected(conn, transport);
    world.connection(conn).io.close(Closing::Abort);
    world.driver.settle();
    assert_eq!(world.driver.poll_command(), None, "that one was made");
}

#[test]
fn the_end_of_a_handshake_and_the_names_are_there_before_the_first_byte() {
    let mut world = World::new();
    world.driver.app_mut().rule = Some(Rule::Keep);
    let mut transport = world.transport();
    transport.handshaking = true;
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, transport.name));
    let conn = world.driver.accepted(ListenerId(0), peer, transport).unwrap();
    world.driver.settle();
    assert!(world.connection(conn).io.is_handshaking);
    assert_eq!(world.connection(conn).io.peer_names, None);
    world.receive(conn, Incoming::Handshake, READABLE);
    world.driver.settle();
    assert!(!world.connection(conn).io.is_handshaking);
    assert_eq!(world.connection(conn).io.peer_names.as_deref(), Some(&["1.test".to_owned()][..]));
    assert!(world.heard().is_empty(), "no byte of the application moved");
    let plain = world.accept(Rule::Keep);
    world.receive(plain, Incoming::Bytes(b"plain".to_vec()), READABLE);
    world.driver.settle();
    assert_eq!(world.connection(plain).io.peer_names, None, "nobody is asked without a handshake");
}

#[test]
fn an_application_knows_that_a_connection_is_worn_when_it_hears_of_what_left() {
    let mut world = World::new();
    let conn = world.accept(Rule::Keep);
    world.peer(conn).wear = 3;
    for (bytes, needs_replacing) in [(b"ab", false), (b"cd", true)] {
        world.connection(conn).io.tx.extend(bytes);
        world.driver.settle();
        assert_eq!(world.heard(), [Heard::Progress(1)]);
        assert_eq!(world.connection(conn).io.needs_replacing, needs_replacing);
    }
}

#[test]
fn what_waits_for_a_handshake_leaves_even_if_the_peer_has_its_last_word() {
    let mut world = World::new();
    let conn = world.dial();
    world.connection(conn).io.tx.extend(b"request");
    let mut transport = world.transport();
    transport.handshaking = true;
    world.driver.connected(conn, transport);
    world.driver.latch(conn, WRITABLE);
    world.driver.settle();
    assert_eq!(world.acts(), []);
    world.receive(conn, Incoming::HandshakeHeard, READABLE);
    world.driver.settle();
    assert_eq!(world.acts(), [Act::Wrote(2, b"request".to_vec())]);
}

#[test]
fn reading_may_give_the_transport_something_to_say() {
    let mut world = World::new();
    let conn = world.accept(Rule::Keep);
    world.peer(conn).handshaking = true;
    world.connection(conn).io.tx.extend(b"request");
    world.driver.settle();
    assert!(!world.driver.has_work(), "waiting for the peer is no work");
    assert_eq!(world.acts(), []);
    world.receive(conn, Incoming::Handshake, READABLE);
    world.driver.settle();
    assert_eq!(
        world.acts(),
        [Act::Wrote(1, b"<handshake>".to_vec()), Act::Wrote(1, b"request".to_vec())]
    );
}

#[test]
fn commands_come_out_in_order() {
    let mut world = World::new();
    let conn = world.dial();
    let driver = &mut world.driver;
    let mut cx =
        super::context(&mut driver.rng, &mut driver.commands, &mut driver.sockets, world.now);
    cx.connect(conn, target());
    cx.exit();
    let connect = Command::Connect { conn, target: target() };
    assert_eq!(world.driver.poll_command(), Some(connect));
    assert_eq!(world.driver.poll_command(), Some(Command::Exit));
    assert_eq!(world.driver.poll_command(), None);
}

/// Whatever peers and application do, each connection ends once, in time, and nothing is left.
#[test]
fn every_connection_is_closed_exactly_once() {
    for seed in 0..200 {
        let mut world = World::new();
        let mut rng = Rng::from_seed(seed);
        let mut conns = Vec::new();
        for _ in 0..300 {
            if conns.len() < 3 || rng.below(10) == 0 {
                conns.push(random_connection(&mut world, &mut rng));
            }
            let pick = usize::try_from(rng.below(conns.len() as u64)).unwrap();
            disturb(&mut world, conns[pick], &mut rng);
            if rng.below(3) == 0 {
                world.driver.settle();
            }
            if rng.below(8) == 0 {
                world.pass(Duration::from_millis(rng.below(3000)));
            }
        }
        for &conn in &conns {
            if let Some(connection) = world.driver.app_mut().conns.get_mut(conn) {
                connection.io.close(Closing::AfterFlush);
            }
        }
        for _ in 0..=(FLUSH_TIMEOUT + LINGER_MAX).as_secs() {
            world.pass(Duration::from_secs(1));
        }
        let mut closed: Vec<_> = world
            .heard()
            .into_iter()
            .filter_map(|heard| match heard {
                Heard::Closed(name, _) => Some(name),
                Heard::Connected(_)
                | Heard::Progress(_)
                | Heard::Deadline(_)
                | Heard::Tick
                | Heard::Adopted(_)
                | Heard::Message(_)
                | Heard::Drain => None,
            })
            .collect();
        closed.sort_unstable();
        let mut all: Vec<_> = world.driver.app().names.values().copied().collect();
        all.sort_unstable();
        assert_eq!(closed, all, "seed {seed}");
        assert!(world.driver.app().conns.is_empty(), "seed {seed}");
        assert!(!world.driver.has_work(), "seed {seed}");
        assert!(world.driver.sockets.iter().all(Option::is_none), "seed {seed}");
    }
}

fn random_connection(world: &mut World, rng: &mut Rng) -> ConnId {
    match rng.below(4) {
        0 => world.dial(),
        1 => world.accept(Rule::AnswerAndClose),
        2 => world.accept(Rule::Keep),
        _ => world.accept(Rule::Echo),
    }
}

/// One thing that a peer, the kernel or the application may do at any time.
fn disturb(world: &mut World, conn: ConnId, rng: &mut Rng) {
    let incoming = match rng.below(16) {
        0 => Incoming::Eof,
        1 => Incoming::Reset,
        2 => Incoming::Handshake,
        _ => Incoming::Bytes(vec![1; usize::try_from(1 + rng.below(5000)).unwrap()]),
    };
    match rng.below(12) {
        0..3 => {
            if let Some(peer) = world.driver.transport_mut(conn) {
                peer.incoming.push_back(incoming);
            }
            world.driver.latch(conn, READABLE);
        }
        3 => world.driver.latch(conn, HANGUP),
        4 => world.driver.latch(conn, WRITABLE),
        5 => {
            if let Some(peer) = world.driver.transport_mut(conn) {
                peer.room = usize::try_from(rng.below(10_000)).unwrap();
            }
        }
        6 => {
            if let Some(connection) = world.driver.app_mut().conns.get_mut(conn) {
                connection.io.tx.extend(&[2; 3000]);
                connection.io.rx.clear();
            }
        }
        7 => {
            if let Some(connection) = world.driver.app_mut().conns.get_mut(conn) {
                use Closing::{Abort, AfterFlush, Agreed, Discard, Write};
                let how = [Write, AfterFlush, Agreed, Discard, Abort];
                connection.io.close(how[usize::try_from(rng.below(5)).unwrap()]);
            }
        }
        8 => world.driver.connect_failed(conn, ErrorKind::TimedOut.into()),
        9 => {
            let mut transport = world.transport();
            transport.handshaking = rng.below(2) == 0;
            world.driver.connected(conn, transport);
            world.driver.latch(conn, BOTH);
        }
        10 => {
            let due = world.now + Duration::from_millis(rng.below(4000));
            world.driver.app_mut().deadlines.insert(conn, due);
            world.driver.app_mut().conns.touch(conn);
        }
        _ => {
            if let Some(peer) = world.driver.transport_mut(conn) {
                peer.write_error = Some(ErrorKind::BrokenPipe);
            }
        }
    }
}

/// The other worker of a test that moves connections.
const OTHER: WorkerId = WorkerId(1);

impl World {
    /// Has the application send the connection to another worker at its next turn.
    fn send(&mut self, conn: ConnId) {
        let app = self.driver.app_mut();
        app.outgoing.push_back((OTHER, Outgoing::Connection(conn)));
        self.driver.settle();
    }

    /// The parcels that wait, taken in by another worker in order.
    fn deliver(&mut self, there: &mut Self) -> Vec<ConnId> {
        let mut conns = Vec::new();
        while let Some((to, parcel)) = self.driver.poll_parcel() {
            assert_eq!(to, OTHER);
            match parcel {
                Parcel::Message(message) => {
                    there.driver.handle_message(WorkerId::FIRST, message);
                }
                Parcel::Connection(mut moved) => {
                    let name = moved.transport_mut().name;
                    let conn = there.driver.adopt(WorkerId::FIRST, moved);
                    there.driver.app_mut().names.insert(conn, name);
                    there.driver.adopted(conn);
                    conns.push(conn);
                }
                Parcel::Ready(_) | Parcel::Released(_) => panic!("nothing is lent"),
            }
        }
        there.driver.settle();
        conns
    }
}

#[test]
fn a_connection_moves_with_everything_that_is_under_way() {
    let (mut here, mut there) = (World::new(), World::new());
    let conn = here.accept(Rule::Keep);
    here.peer(conn).room = 2;
    here.connection(conn).io.tx.extend(b"answer");
    here.receive(conn, bytes("question"), READABLE);
    here.driver.settle();
    // More came that nobody has read, and the kernel's edge for it was told here.
    here.receive(conn, bytes(" and more"), READABLE);
    here.send(conn);
    assert!(here.driver.app_mut().conns.get(conn).is_none(), "its name means nothing here");
    assert!(here.driver.app_mut().conns.is_empty() && !here.driver.has_work());
    let heard = here.heard();
    assert!(!heard.iter().any(|heard| matches!(heard, Heard::Closed(..))), "{heard:?}");
    here.driver.latch(conn, HANGUP);
    here.pass(Duration::from_secs(100));
    assert_eq!(here.heard(), [], "late news of it means nothing");

    there.driver.app_mut().rule = Some(Rule::Keep);
    let conns = here.deliver(&mut there);
    let [conn] = conns[..] else { panic!("one connection") };
    assert_eq!(there.heard()[0], Heard::Adopted(1));
    assert_eq!(there.connection(conn).io.rx.as_slice(), b"question and more");
    assert_eq!(there.connection(conn).io.tx.as_slice(), b"swer");
    there.peer(conn).room = 100;
    there.driver.latch(conn, WRITABLE);
    there.driver.settle();
    let acts = here.acts();
    assert_eq!(acts, [Act::Wrote(1, b"an".to_vec()), Act::Wrote(1, b"swer".to_vec())]);
}

#[test]
fn what_a_transport_was_told_of_patience_is_known_at_its_new_place() {
    let (mut here, mut there) = (World::new(), World::new());
    let conn = here.accept(Rule::Keep);
    here.connection(conn).io.patience = Patience::Short;
    here.driver.settle();
    here.send(conn);
    let conns = here.deliver(&mut there);
    there.connection(conns[0]).io.patience = Patience::Long;
    there.driver.settle();
    assert_eq!(here.acts(), [Patience::Short, Patience::Long].map(|one| Act::Waits(1, one)));
}

#[test]
fn a_connection_that_has_ended_in_part_ends_at_its_new_place() {
    let (mut here, mut there) = (World::new(), World::new());
    let conn = here.accept(Rule::Keep);
    here.receive(conn, bytes("x"), READABLE);
    here.receive(conn, Incoming::Eof, HANGUP);
    here.driver.settle();
    here.send(conn);
    let conns = here.deliver(&mut there);
    assert!(there.connection(conns[0]).io.rx_eof);
    there.connection(conns[0]).io.rx.clear();
    there.connection(conns[0]).io.close(Closing::AfterFlush);
    there.driver.settle();
    assert_eq!(there.heard().last(), Some(&Heard::Closed(1, "finished")));
    assert_eq!(here.heard().last(), Some(&Heard::Progress(1)));
    assert_eq!(here.acts(), [Act::Finished(1), Act::Dropped(1)], "one end, at one place");
}

#[test]
fn what_is_closing_or_not_yet_made_stays() {
    let mut here = World::new();
    let dialled = here.dial();
    here.send(dialled);
    let closing = here.accept(Rule::Keep);
    here.connection(closing).io.close(Closing::AfterFlush);
    here.send(closing);
    here.send(closing);
    assert!(here.driver.poll_parcel().is_none());
    assert!(here.driver.app().conns.get(dialled).is_some());
    here.receive(closing, Incoming::Eof, HANGUP);
    here.driver.settle();
    assert_eq!(here.heard(), [Heard::Closed(2, "finished")]);
}

#[test]
fn a_connection_that_moves_in_the_middle_of_its_deadline_is_not_served_any_more() {
    let mut here = World::new();
    let conn = here.accept(Rule::Keep);
    let other = here.accept(Rule::Keep);
    let due = here.now + Duration::from_secs(1);
    for conn in [conn, other] {
        here.driver.app_mut().deadlines.insert(conn, due);
        here.connection(conn);
    }
    here.driver.settle();
    here.driver.app_mut().outgoing_then.extend([
        (OTHER, Outgoing::Message(7)),
        (OTHER, Outgoing::Connection(conn)),
        (OTHER, Outgoing::Connection(other)),
    ]);
    here.pass(Duration::from_secs(1));
    assert_eq!(here.heard(), [Heard::Deadline(1)], "both left after the first event");
    let mut there = World::new();
    assert_eq!(here.deliver(&mut there).len(), 2);
    assert_eq!(there.heard(), [Heard::Message(7), Heard::Adopted(1), Heard::Adopted(2)]);
}
