//! A tunnel as both ends see it: WebSocket messages of frames, a session, and signs of life.
//!
//! Liveness is our own ECHO, because a WebSocket pong may come from an intermediary. Each side
//! sends one every interval, which also keeps load balancers from cutting a silent tunnel, and
//! takes any whole frame as a sign of life. Two silent intervals mean the peer is gone.

mod burst;
mod run;

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use crate::mux::frame::RUN_FRAMES_MAX;
use crate::mux::{self, Event, FrameKind, Outbound, Session, StreamId, Turn, Turns, frame};
use crate::ws::{self, Role};

use crate::outlet::Outlet;
use crate::{Buf, ConnId, Context, Rng};
use burst::Burst;
pub use run::Run;

/// Unread bytes of a tunnel: the longest message twice. With less than one it would never be whole.
pub const RX_BYTES_MAX: usize = 2 * ws::frame::MESSAGE_BYTES_MAX;

/// Bytes of frames that go before DATA, of one call: DATA is owed its share behind them.
const FRAMES_BYTES: usize = 64 * 1024;

/// One end of a tunnel, from the upgrade on.
#[derive(Debug)]
pub struct Link {
    /// The streams.
    pub session: Session,
    role: Role,
    /// Bytes at the front of `rx` that the last event borrowed.
    used: usize,
    /// Bytes of the present message that follow those.
    message_left: usize,
    pong: Option<Vec<u8>>,
    /// An echo to be returned. Only the last one counts: a peer cannot make answers pile up.
    echo_reply: Option<[u8; 8]>,
    close: Option<u16>,
    /// Where requests begin in the stream of sent bytes, for those that may not have left: the
    /// first stream of a batch and its position. Positions and streams grow.
    batches: VecDeque<(u32, u64)>,
    burst: Burst,
    echo: Echo,
}

/// When which sign of life is due.
#[derive(Debug)]
struct Echo {
    interval: Duration,
    next_at: Instant,
    heard_at: Instant,
    /// When the first echo was sent since the peer was last heard.
    unheard_since: Option<Instant>,
    /// When the echo that is not yet answered was asked for, and its number.
    asked: Option<(u64, Instant)>,
    count: u64,
    round_trip: Option<Duration>,
    /// The same without what queues on the way add to it.
    path: Option<Duration>,
}

/// Why a tunnel cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The peer broke WebSocket.
    WebSocket(ws::Error),
    /// The peer broke `mesh.v1`.
    Session(mux::Error),
    /// The peer said goodbye, with this WebSocket status code if it gave one.
    Closed(Option<u16>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WebSocket(error) => error.fmt(f),
            Self::Session(error) => error.fmt(f),
            Self::Closed(Some(code)) => write!(f, "closed by the peer with code {code}"),
            Self::Closed(None) => f.write_str("closed by the peer"),
        }
    }
}

impl std::error::Error for Error {}

/// What a silent interval asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alive {
    /// Nothing yet, or an echo that waits to be transmitted.
    Yes,
    /// The peer has been silent for two intervals.
    No,
}

impl Link {
    /// A link whose upgrade is just done.
    #[must_use]
    pub const fn new(role: Role, session: Session, echo_interval: Duration, now: Instant) -> Self {
        Self {
            session,
            role,
            used: 0,
            message_left: 0,
            pong: None,
            echo_reply: None,
            close: None,
            batches: VecDeque::new(),
            burst: Burst::new(role),
            echo: Echo {
                interval: echo_interval,
                next_at: now,
                heard_at: now,
                unheard_since: None,
                asked: None,
                count: 0,
                round_trip: None,
                path: None,
            },
        }
    }

    /// The next event in `rx`. Its bytes are consumed by the next call.
    ///
    /// # Errors
    /// The tunnel cannot go on.
    pub fn poll_event<'m>(
        &mut self,
        rx: &'m mut Buf,
        now: Instant,
    ) -> Result<Option<Event<'m>>, Error> {
        rx.consume(std::mem::take(&mut self.used));
        while self.message_left == 0 {
            if !self.next_message(rx)? {
                return Ok(None);
            }
        }
        let message = &rx.as_slice()[..self.message_left];
        let (used, frame) = frame::parse(message).map_err(Error::Session)?;
        self.used = used;
        self.message_left -= used;
        self.heard(now);
        let Some(frame) = frame else { return Ok(Some(Event::Handled)) };
        let is_echo = matches!(frame.kind, FrameKind::Echo | FrameKind::EchoReply);
        if !is_echo || frame.stream != StreamId::CONNECTION {
            return self.session.handle(frame).map(Some).map_err(Error::Session);
        }
        let number = echo_number(frame.payload)?;
        if frame.kind == FrameKind::Echo {
            self.echo_reply = Some(number);
        } else {
            self.echo.answered(number, now);
            if let Some(path) = self.echo.path {
                self.session.note_round_trip(path);
            }
        }
        Ok(Some(Event::Handled))
    }

    const fn heard(&mut self, now: Instant) {
        self.echo.heard_at = now;
        self.echo.unheard_since = None;
    }

    /// Whether [`Self::transmit`] is worth calling.
    #[must_use]
    pub fn has_output(&self) -> bool {
        self.session.has_pending()
            || self.session.has_ready()
            || self.pong.is_some()
            || self.echo_reply.is_some()
            || self.close.is_some()
    }

    /// Writes what can be sent now: frames that wait, then DATA by turns. `turn` sends no more than
    /// [`Sender::run`](mux::Sender::run) of the stream that it is given, from the connection that the
    /// stream carries: one DATA frame, or a few where the path takes them.
    ///
    /// What is queued in `tx` is ahead of everything that comes later, so it is kept short: that
    /// bounds how long a small answer waits behind bulk. Bulk is owed turns for what went ahead of it,
    /// frames that wait among that, however much is queued.
    pub fn transmit(
        &mut self,
        tx: &mut Buf,
        rng: &mut Rng,
        turn: impl FnMut(&mut Session, StreamId, ConnId, &mut Outbound<'_>) -> Turn,
    ) {
        self.write(tx, rng, None, turn);
    }

    /// The same, with the way past `tx` that leads to the tunnel's own connection.
    pub fn transmit_to(
        &mut self,
        conn: ConnId,
        tx: &mut Buf,
        cx: &mut Context<'_>,
        turn: impl FnMut(&mut Session, StreamId, ConnId, &mut Outbound<'_>) -> Turn,
    ) {
        let outlet = Outlet::new(conn, cx.sockets);
        self.write(tx, cx.rng, Some(outlet), turn);
    }

    fn write(
        &mut self,
        tx: &mut Buf,
        rng: &mut Rng,
        mut outlet: Option<Outlet<'_>>,
        mut turn: impl FnMut(&mut Session, StreamId, ConnId, &mut Outbound<'_>) -> Turn,
    ) {
        self.burst.begin(tx.len());
        if let Some(payload) = self.pong.take() {
            ws::frame::write_control(self.role, ws::Kind::Pong, &payload, tx, rng);
        }
        if let Some(number) = self.echo_reply.take() {
            self.session.send(FrameKind::EchoReply, &number);
        }
        // Request heads need no credit. They wait in the session, which opens no stream while too
        // many do: in `tx` they would pile up, however slowly it drains.
        let most = if self.close.is_some() { usize::MAX } else { FRAMES_BYTES };
        let has_room = self.burst.turns(tx.len()) != Turns::OwedOnly || self.close.is_some();
        let (taken, batch) = (tx.taken(), (self.session.unwritten(), tx.added()));
        let outlet = outlet.as_mut().map(Outlet::reborrow);
        let mut out =
            Outbound::new(self.role, tx, rng).by_way_of(outlet).with_turns_of(self.burst.frames());
        if has_room && self.session.has_pending() {
            self.session.transmit(most, &mut out);
            self.note_batch(taken, batch);
        }
        while let Some((stream, owner)) = self.session.poll_ready(self.burst.turns(out.queued())) {
            let before = out.queued();
            // Several turns in a row while there is room: the bytes then leave the far end in one write
            // and not in several. Others wait no longer for it, since the room is the same.
            let mut left = turn(&mut self.session, stream, owner, &mut out);
            for _ in 1..RUN_FRAMES_MAX {
                if left == Turn::Over || self.burst.turns(out.queued()) != Turns::All {
                    break;
                }
                left = turn(&mut self.session, stream, owner, &mut out);
            }
            self.session.note_turn(out.queued() - before);
            match left {
                Turn::Again => self.session.mark_ready(stream),
                Turn::Over => self.session.settle(stream),
            }
        }
        self.session.end_turns();
        self.burst.end(out.queued());
        out.finish();
        if let Some(code) = self.close.take() {
            let code = code.to_be_bytes();
            ws::frame::write_control(self.role, ws::Kind::Close, &code, tx, rng);
        }
    }

    /// Whether the request of a stream that we opened certainly never left this process, of whose
    /// stream of bytes `tx` holds the rest.
    #[must_use]
    pub fn is_unsent(&self, stream: StreamId, tx: &Buf) -> bool {
        let unsent = self.batches.iter().find(|(_, position)| *position >= tx.taken());
        stream.number() >= unsent.map_or_else(|| self.session.unwritten(), |(first, _)| *first)
    }

    /// Notes the requests that were just written, if there were any, and forgets those before what was
    /// taken.
    fn note_batch(&mut self, taken: u64, batch: (u32, u64)) {
        while self.batches.front().is_some_and(|(_, position)| *position < taken) {
            self.batches.pop_front();
        }
        if self.session.unwritten() > batch.0 {
            self.batches.push_back(batch);
        }
    }

    /// Says goodbye with a WebSocket status code (RFC 6455 7.4.1) at the next transmit.
    pub const fn close(&mut self, code: u16) {
        self.close = Some(code);
    }

    /// The same where all streams are given up. Requests that never left this process may now go
    /// elsewhere, so what `tx` holds of them must not leave after all, nor what is behind it.
    pub fn give_up(&mut self, code: u16, tx: &mut Buf) {
        let unsent = self.batches.iter().find(|(_, position)| *position >= tx.taken());
        if let Some((_, position)) = unsent {
            tx.truncate(usize::try_from(position - tx.taken()).unwrap_or(usize::MAX));
        }
        self.session.hush();
        self.close(code);
    }

    /// When [`Self::handle_timeout`] is to be called.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        let next_at = self.echo.next_at;
        self.echo.dead_at().map_or(next_at, |dead_at| dead_at.min(next_at))
    }

    /// Sends an echo if one is due, and says whether the peer is still there.
    pub fn handle_timeout(&mut self, now: Instant) -> Alive {
        let echo = &mut self.echo;
        if echo.dead_at().is_some_and(|dead_at| dead_at <= now) {
            return Alive::No;
        }
        if now >= echo.next_at {
            // What is not yet answered still is to be, on a path longer than the interval.
            let asked = echo.asked;
            self.ask(now);
            self.echo.asked = asked.or(self.echo.asked);
        }
        Alive::Yes
    }

    /// Sends an echo now. Once it [is answered](Self::is_answered), the peer has seen everything
    /// that was sent before.
    pub fn ask(&mut self, now: Instant) {
        let echo = &mut self.echo;
        echo.count += 1;
        echo.asked = Some((echo.count, now));
        echo.unheard_since.get_or_insert(now);
        echo.next_at = now + echo.interval;
        let number = echo.count.to_be_bytes();
        self.session.send(FrameKind::Echo, &number);
    }

    /// Whether the last echo was answered.
    #[must_use]
    pub const fn is_answered(&self) -> bool {
        self.echo.asked.is_none()
    }

    /// How long the last answered echo took.
    #[must_use]
    pub const fn round_trip(&self) -> Option<Duration> {
        self.echo.round_trip
    }

    /// Goes to the payload of the next message; false when it is not yet there.
    fn next_message(&mut self, rx: &mut Buf) -> Result<bool, Error> {
        let parsed = ws::frame::parse(self.role, rx.as_mut_slice()).map_err(Error::WebSocket)?;
        let Some(message) = parsed else { return Ok(false) };
        let payload = &rx.as_slice()[message.payload.clone()];
        match message.kind {
            ws::Kind::Binary => {
                rx.consume(message.payload.start);
                self.message_left = message.payload.len();
                return Ok(true);
            }
            ws::Kind::Ping => self.pong = Some(payload.to_vec()),
            ws::Kind::Pong => {}
            ws::Kind::Close => {
                let code = payload.split_first_chunk::<2>();
                return Err(Error::Closed(code.map(|(code, _)| u16::from_be_bytes(*code))));
            }
        }
        rx.consume(message.payload.end);
        Ok(true)
    }
}

impl Echo {
    /// When the peer counts as gone: two silent intervals, in the second of which it was asked. A
    /// process that was itself asleep for long asks first.
    fn dead_at(&self) -> Option<Instant> {
        let asked_at = self.unheard_since?;
        Some((asked_at + self.interval).max(self.heard_at + 2 * self.interval))
    }

    fn answered(&mut self, number: [u8; 8], now: Instant) {
        // Of several the peer may answer the last one alone.
        let answers = self.asked.map(|(asked, _)| asked..=self.count);
        let is_one = answers.is_some_and(|these| these.contains(&u64::from_be_bytes(number)));
        if let Some((_, asked_at)) = self.asked.take_if(|_| is_one) {
            let round_trip = now.saturating_duration_since(asked_at);
            self.round_trip = Some(round_trip);
            // The least is the path's own. One that has become longer is believed little by little:
            // windows that grow by what their own queues add would grow without end.
            let at_most = self.path.map_or(round_trip, |path| path + path / 8);
            self.path = Some(round_trip.min(at_most));
        }
    }
}

fn echo_number(payload: &[u8]) -> Result<[u8; 8], Error> {
    payload.try_into().map_err(|_| Error::Session(mux::Error::MalformedFrame))
}

#[cfg(test)]
mod tests;
