use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use super::ending::{FLUSH_TIMEOUT, LINGER_MAX, LINGER_TIMEOUT};
use super::{Driver, Filled, Flushed, Parcel, Readiness, Terms, Transport, Unread};
use crate::{
    App, Awaited, Buf, CloseReason, Closing, Command, ConnId, Connection, Conns, Context, Duplex,
    Event, ListenerId, Outgoing, Patience, Rng, Security, Target, Traffic, WorkerId,
};

mod behind;
mod breaks;
mod connecting;
mod deadlines;
mod ending;
mod handshakes;
mod lending;
mod moving;
mod passing;
mod random;
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

    fn peek(&mut self) -> Unread {
        match self.incoming.front() {
            Some(Incoming::Bytes(_)) => Unread::Bytes,
            Some(Incoming::Eof | Incoming::Cut | Incoming::Reset) => Unread::End,
            Some(Incoming::Handshake | Incoming::HandshakeHeard) | None => Unread::Nothing,
        }
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
