//! A tunnel as both ends see it: WebSocket messages of frames, a session, and signs of life.
//!
//! Liveness is our own ECHO, because a WebSocket pong may come from an intermediary. Each side
//! sends one every interval, which also keeps load balancers from cutting a silent tunnel, and
//! takes any whole frame as a sign of life. Two silent intervals mean the peer is gone.

mod burst;
mod echo;
mod goodbye;
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
use echo::Echo;
pub use goodbye::Goodbye;
pub use run::Run;

/// Unread bytes of a tunnel: the longest message twice. With less than one it would never be whole.
pub const RX_BYTES_MAX: usize = 2 * ws::frame::MESSAGE_BYTES_MAX;

/// Events of a tunnel before others have their turn. What is read at once is hardly more if it is heads of
/// requests, and it may be more than ten times as much in frames of a byte.
pub const EVENTS_MAX: usize = 2048;

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
    /// The payload of a close frame.
    close: Option<Vec<u8>>,
    /// Where requests begin in the stream of sent bytes, for those that may not have left. Positions and
    /// streams grow.
    batches: VecDeque<Written>,
    burst: Burst,
    echo: Echo,
}

/// Requests that were written at once.
#[derive(Debug, Clone, Copy)]
struct Written {
    /// The first stream.
    first: u32,
    /// Where its request begins.
    position: u64,
}

/// Why a tunnel cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The peer broke WebSocket.
    WebSocket(ws::Error),
    /// The peer broke `mesh.v1`.
    Session(mux::Error),
    /// The peer said goodbye, perhaps with a status code and a reason.
    Closed(Option<Goodbye>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WebSocket(error) => error.fmt(f),
            Self::Session(error) => error.fmt(f),
            Self::Closed(Some(goodbye)) => goodbye.fmt(f),
            Self::Closed(None) => f.write_str("closed by the peer"),
        }
    }
}

impl std::error::Error for Error {}

/// Whether the peer is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// Nothing yet, or an echo that waits to be transmitted.
    Alive,
    /// The peer has been silent for two intervals.
    Dead,
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
            echo: Echo::new(echo_interval, now),
        }
    }

    /// The next event in `rx`, even if only that a message brought none. Its bytes are consumed by the next
    /// call.
    ///
    /// # Errors
    /// The tunnel cannot go on.
    pub fn poll_event<'m>(
        &mut self,
        rx: &'m mut Buf,
        now: Instant,
    ) -> Result<Option<Event<'m>>, Error> {
        rx.consume(std::mem::take(&mut self.used));
        if self.message_left == 0 {
            if !self.next_message(rx)? {
                return Ok(None);
            }
            if self.message_left == 0 {
                return Ok(Some(Event::Handled));
            }
        }
        let message = &rx.as_slice()[..self.message_left];
        let (used, frame) = frame::parse(message).map_err(Error::Session)?;
        self.used = used;
        self.message_left -= used;
        self.echo.heard(now);
        let Some(frame) = frame else { return Ok(Some(Event::Handled)) };
        let is_echo = matches!(frame.kind, FrameKind::Echo | FrameKind::EchoReply);
        if !is_echo || frame.stream != StreamId::CONNECTION {
            return self.session.handle(frame).map(Some).map_err(Error::Session);
        }
        let number = echo_number(frame.payload)?;
        if frame.kind == FrameKind::Echo {
            self.echo_reply = Some(number);
        } else {
            self.echo.answered(u64::from_be_bytes(number), now);
            if let Some(path) = self.echo.path {
                self.session.note_round_trip(path);
            }
        }
        Ok(Some(Event::Handled))
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
    /// [`Sender::turn_room`](mux::Sender::turn_room) of the stream that it is given, from the connection that the
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

    /// As [`Self::transmit`]; much DATA goes past `tx`, straight to the socket of the tunnel's
    /// connection.
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

    /// As [`Self::transmit`] where there are no streams yet.
    pub fn transmit_control(&mut self, tx: &mut Buf, rng: &mut Rng) {
        self.write(tx, rng, None, |_, _, _, _| Turn::Over);
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
        let taken = tx.taken();
        let batch = Written { first: self.session.unwritten(), position: tx.added() };
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
                Turn::Over => self.session.forget_if_over(stream),
            }
        }
        self.session.end_turns();
        self.burst.end(out.queued());
        out.finish();
        if let Some(payload) = self.close.take() {
            ws::frame::write_control(self.role, ws::Kind::Close, &payload, tx, rng);
        }
    }

    /// Whether the request of a stream that we opened certainly never left this process, of whose
    /// stream of bytes `tx` holds the rest.
    #[must_use]
    pub fn is_unsent(&self, stream: StreamId, tx: &Buf) -> bool {
        let unsent = self.first_unsent(tx);
        stream.number() >= unsent.map_or_else(|| self.session.unwritten(), |batch| batch.first)
    }

    /// The first batch of requests of which nothing has left.
    fn first_unsent(&self, tx: &Buf) -> Option<&Written> {
        self.batches.iter().find(|batch| batch.position >= tx.taken())
    }

    /// Notes the requests that were just written, if there were any, and forgets those before what was
    /// taken.
    fn note_batch(&mut self, taken: u64, batch: Written) {
        while self.batches.front().is_some_and(|batch| batch.position < taken) {
            self.batches.pop_front();
        }
        if self.session.unwritten() > batch.first {
            self.batches.push_back(batch);
        }
    }

    /// Says goodbye with a WebSocket status code (RFC 6455 7.4.1) at the next transmit, and why: whoever
    /// reads the other end's log would else look for the reason there.
    pub fn close(&mut self, code: u16, why: &str) {
        self.close = Some(goodbye::payload(code, why));
    }

    /// Says goodbye as [`Self::close`] does, and gives all streams up. Requests that never left
    /// this process may now go elsewhere, so what `tx` holds of them must not leave after all, nor
    /// what is behind it.
    pub fn give_up(&mut self, code: u16, why: &str, tx: &mut Buf) {
        if let Some(Written { position, .. }) = self.first_unsent(tx) {
            tx.truncate(usize::try_from(position - tx.taken()).unwrap_or(usize::MAX));
        }
        self.session.drop_stream_output();
        self.close(code, why);
    }

    /// When [`Self::handle_timeout`] is to be called.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        let next_at = self.echo.next_at;
        self.echo.dead_at().map_or(next_at, |dead_at| dead_at.min(next_at))
    }

    /// Sends an echo if one is due, and says whether the peer is still there.
    pub fn handle_timeout(&mut self, now: Instant) -> Liveness {
        if self.echo.dead_at().is_some_and(|dead_at| dead_at <= now) {
            return Liveness::Dead;
        }
        if now >= self.echo.next_at {
            let number = self.echo.remind(now);
            self.send_echo(number);
        }
        Liveness::Alive
    }

    /// Sends an echo now. Once it [is answered](Self::is_answered), the peer has seen everything
    /// that was sent before.
    pub fn ask(&mut self, now: Instant) {
        let number = self.echo.ask(now);
        self.send_echo(number);
    }

    fn send_echo(&mut self, number: u64) {
        self.session.send(FrameKind::Echo, &number.to_be_bytes());
    }

    /// Whether the last echo was answered.
    #[must_use]
    pub const fn is_answered(&self) -> bool {
        self.echo.is_answered()
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
            ws::Kind::Close => return Err(Error::Closed(Goodbye::read(payload))),
        }
        rx.consume(message.payload.end);
        Ok(true)
    }
}

fn echo_number(payload: &[u8]) -> Result<[u8; 8], Error> {
    payload.try_into().map_err(|_| Error::Session(mux::Error::MalformedFrame))
}

#[cfg(test)]
mod tests;
