//! One request with its response, from the caller's connection into a stream and back.

use std::sync::Arc;
use std::time::Instant;

use mesh_protocol::heads::HEAD_BYTES_MAX;
use mesh_protocol::http1::{self, ServerConn};
use mesh_protocol::mux::{Flags, Outbound, Sender, Session, StreamId, Turn};
use mesh_protocol::{Buf, Duplex};

use crate::balance::Tried;
use crate::routes::RouteId;
use crate::tunnel::{AgentId, Serial, TunnelId};

/// An exchange in progress.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) route: RouteId,
    pub(crate) tunnel: TunnelId,
    pub(crate) serial: Serial,
    /// Whose tunnel it is.
    pub(crate) agent: AgentId,
    /// The service that its agent named.
    pub(crate) service: Arc<str>,
    pub(crate) stream: StreamId,
    /// When the request head was complete.
    pub(crate) since: Instant,
    /// When a byte last moved in either direction.
    pub(crate) moved: Instant,
    pub(crate) replay: Replay,
    pub(crate) phase: Phase,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    /// What its caller has sent of the body ends within a chunk's size or the like.
    pub(crate) is_starved: bool,
}

/// How far an exchange is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No response head yet.
    Waiting,
    /// The response head went to the caller, the body is on its way.
    Responding { status: u16 },
    /// After 101: raw bytes both ways.
    Upgraded,
}

/// What is needed to hand the same request to another agent.
#[derive(Debug)]
pub(crate) struct Replay {
    /// The rewritten request head, and behind it the body bytes sent so far, while they are few.
    bytes: Buf,
    /// Where the head ends.
    head: usize,
    pub(crate) flags: Flags,
    body: Kept,
    /// Body bytes that are kept at the most.
    body_max: usize,
    /// How many of the kept body bytes the present agent got.
    resent: usize,
    /// The trailers that the body ended with; its decoder tells of them once.
    trailers: Vec<u8>,
    pub(crate) is_idempotent: bool,
    /// Who was tried before, and failed.
    pub(crate) tried: Option<Tried>,
}

/// What is kept of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    All,
    /// Nothing is repeated any more, but the present agent lacks some of these.
    Rest,
    /// It was too much, or it is of no use any more.
    Nothing,
}

/// Body bytes kept for a second agent: the default window of one. It gets more only when its service has
/// taken some of them, and no service refuses what it took.
const REPLAY_BYTES_MAX: usize = 256 * 1024;
/// Bytes that wait for a caller besides a window of its answer. Where windows are small, no more is kept of
/// a request than may wait of its answer later (docs/operations.md, "Memory").
pub(crate) const BESIDES_WINDOW: usize = 32 * 1024;

impl Replay {
    /// A request with this head, whose answer has a window of so many bytes.
    pub(crate) fn new(head: Buf, flags: Flags, is_idempotent: bool, window: u32) -> Self {
        Self {
            head: head.len(),
            bytes: head,
            flags,
            body: Kept::All,
            body_max: REPLAY_BYTES_MAX.min(window as usize + BESIDES_WINDOW),
            resent: 0,
            trailers: Vec::new(),
            is_idempotent,
            tried: None,
        }
    }

    /// The rewritten request head.
    pub(crate) fn head(&self) -> &[u8] {
        &self.bytes.as_slice()[..self.head]
    }

    /// The memory, for another request.
    pub(crate) fn into_memory(self) -> Buf {
        self.bytes
    }

    /// Whether the request can be given to another agent. One that never reached a service can
    /// whatever its method; one that may have, only if repeating it does no harm and no body was
    /// consumed.
    pub(crate) const fn is_possible(&self, reached: Reached) -> bool {
        match (self.body, reached) {
            _ if self.tried.is_some() => false,
            (Kept::Nothing | Kept::Rest, _) | (Kept::All, Reached::Certainly) => false,
            (Kept::All, Reached::CertainlyNot) => true,
            (Kept::All, Reached::Perhaps) => self.is_idempotent && self.kept() == 0,
        }
    }

    /// Another agent gets the request from its beginning.
    pub(crate) fn restart(&mut self, tried: Tried) {
        self.tried = Some(tried);
        self.resent = 0;
    }

    /// The request is answered: nothing is repeated any more. A second agent may have begun its
    /// answer before it got all that the first one had.
    pub(crate) fn forget(&mut self) {
        if self.has_unsent() {
            self.body = Kept::Rest;
        } else {
            self.body = Kept::Nothing;
            self.bytes.truncate(self.head);
            if self.bytes.capacity() > HEAD_BYTES_MAX {
                // An answer may take hours, and the head is all that is still of use.
                let mut head = Buf::new();
                head.extend(self.head());
                self.bytes = head;
            }
        }
    }

    /// The present agent got so many more of the kept bytes.
    fn note_resent(&mut self, count: usize) {
        self.resent += count;
        if self.body == Kept::Rest {
            self.forget();
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.body != Kept::All {
            return;
        }
        if self.kept() + bytes.len() > self.body_max {
            return self.forget();
        }
        self.bytes.extend(bytes);
        self.resent = self.kept();
    }

    /// Body bytes that are kept.
    const fn kept(&self) -> usize {
        self.bytes.len() - self.head
    }

    /// Whether the present agent lacks kept bytes.
    fn has_unsent(&self) -> bool {
        !self.unsent().is_empty()
    }

    /// Kept bytes that the present agent did not get yet.
    fn unsent(&self) -> &[u8] {
        match self.body {
            Kept::All | Kept::Rest => &self.bytes.as_slice()[self.head + self.resent..],
            Kept::Nothing => &[],
        }
    }
}

/// Whether a request reached a service before it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// It never left, or the agent said so.
    CertainlyNot,
    /// It left, and then nothing was heard.
    Perhaps,
    /// It did, or repeating it would only fail again.
    Certainly,
}

impl Exchange {
    /// Sends some DATA of the request: a turn of its stream. The bytes go from the caller's `rx` straight
    /// into the tunnel's `tx`.
    pub(crate) fn pump(
        &mut self,
        http: &mut ServerConn,
        io: &mut Duplex,
        session: &mut Session,
        out: &mut Outbound<'_>,
        now: Instant,
    ) -> Result<Turn, http1::Error> {
        let Some(mut sender) = session.sender(self.stream) else { return Ok(Turn::Over) };
        if sender.has_ended() {
            return Ok(Turn::Over);
        }
        let before = (io.rx.len(), self.replay.resent);
        if self.replay.has_unsent() {
            self.pump_again(&mut sender, out);
        } else if self.phase == Phase::Upgraded {
            self.pump_raw(io, &mut sender, out);
        } else if self.replay.flags.has(Flags::UPGRADE) && http.has_request_ended() {
            // This direction goes on after the 101, if one comes.
            return Ok(Turn::Over);
        } else {
            self.pump_body(http, io, &mut sender, out)?;
        }
        if io.rx.len() != before.0 {
            self.moved = now;
        }
        // A repeated body may end with bytes that were read long ago.
        let must_end = self.phase != Phase::Upgraded && http.has_request_ended();
        let has_more = !io.rx.is_empty() || self.replay.has_unsent() || must_end;
        // Half a chunk's size gives nothing: its next turn comes with the next bytes.
        let has_moved = before != (io.rx.len(), self.replay.resent);
        let again = has_moved && has_more && !sender.has_ended() && sender.room() > 0;
        Ok(if again { Turn::Again } else { Turn::Over })
    }

    /// What came behind a 101.
    fn pump_raw(&mut self, io: &mut Duplex, sender: &mut Sender<'_>, out: &mut Outbound<'_>) {
        let count = io.rx.len().min(sender.turn_room(out));
        if count > 0 {
            sender.data(&io.rx.as_slice()[..count], Flags::NONE, out);
            io.rx.consume(count);
            self.request_bytes += count as u64;
        }
        if io.rx_eof && io.rx.is_empty() {
            sender.end(&[], out);
        }
    }

    /// What another agent was sent of the body before.
    fn pump_again(&mut self, sender: &mut Sender<'_>, out: &mut Outbound<'_>) {
        let unsent = self.replay.unsent();
        let count = unsent.len().min(sender.turn_room(out));
        if count > 0 {
            sender.data(&unsent[..count], Flags::NONE, out);
            self.replay.note_resent(count);
        }
    }

    fn pump_body(
        &mut self,
        http: &mut ServerConn,
        io: &mut Duplex,
        sender: &mut Sender<'_>,
        out: &mut Outbound<'_>,
    ) -> Result<(), http1::Error> {
        let room = sender.turn_room(out);
        let decoded = http.gather(io.rx.as_mut_slice(), room)?;
        if let Some(trailers) = decoded.end.filter(|trailers| !trailers.is_empty()) {
            trailers.clone_into(&mut self.replay.trailers);
        }
        let has_ended = decoded.end.is_some();
        // Of one that asks for an upgrade, more may follow.
        let ends = has_ended && !self.replay.flags.has(Flags::UPGRADE);
        let is_last = ends && self.replay.trailers.is_empty();
        if !decoded.data.is_empty() {
            sender.data(decoded.data, Flags::NONE.with_if(Flags::END, is_last), out);
        }
        if ends {
            sender.end(&self.replay.trailers, out);
        }
        self.request_bytes += decoded.data.len() as u64;
        self.replay.keep(decoded.data);
        let used = decoded.used;
        io.rx.consume(used);
        self.is_starved = used == 0 && room > 0 && !has_ended;
        if io.rx_eof && self.is_starved {
            // Half a chunk's size or the like, of a caller that left: nobody waits for the rest.
            io.rx.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
