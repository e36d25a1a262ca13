//! One request with its response, from a stream to the local service and back.

use std::time::Instant;

use mesh_protocol::http1::forward;
use mesh_protocol::http1::{self, BodyLength, ClientConn, Eof, Received, Storage};
use mesh_protocol::mux::{Flags, Outbound, Sender, Session, StreamId};
use mesh_protocol::{Buf, Duplex};

use crate::tunnel::TunnelId;
use crate::upstream::{FAST_RX_MAX, FAST_STREAMS_MAX, RX_MAX};

/// An exchange in progress.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The one that brought it.
    pub(crate) tunnel: TunnelId,
    pub(crate) stream: StreamId,
    /// When its request went to the service.
    pub(crate) since: Instant,
    /// When a byte last moved in either direction.
    pub(crate) moved: Instant,
    pub(crate) phase: Phase,
    /// Whether the service has said anything, be it an interim response.
    pub(crate) is_answered: bool,
    /// On a new connection, until the service has said anything: when a kept one is to give way to it.
    pub(crate) make_room_at: Option<Instant>,
    /// Whether one gave way since the service was quick with others and may have had no place for this.
    pub(crate) was_placed: bool,
    /// The request head, for sending it again: on a kept connection that the service closed just
    /// as the request came, when repeating the request does no harm.
    pub(crate) replay: Option<Buf>,
}

/// Interim heads of one turn, in bytes: as much as a frame of DATA.
const INTERIM_BYTES_MAX: usize = 16 * 1024;

/// How far an exchange is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No final response head yet.
    Waiting,
    /// The response head went, its body is on its way.
    Responding,
    /// After 101: raw bytes both ways.
    Upgraded,
}

/// What a turn left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// Nothing that could be sent now.
    Over,
    /// More that can be sent now.
    Again,
    /// The response is complete.
    Complete,
}

impl Exchange {
    /// Sends what there is of the response, up to a run of DATA: a turn of its stream. The bytes go from
    /// the service's `rx` straight to the tunnel.
    pub(crate) fn pump(
        &mut self,
        http: &mut ClientConn,
        io: &mut Duplex,
        session: &mut Session,
        out: &mut Outbound<'_>,
        now: Instant,
    ) -> Result<Pumped, http1::Error> {
        let are_few = session.len() <= FAST_STREAMS_MAX;
        let Some(mut sender) = session.sender(self.stream) else { return Ok(Pumped::Over) };
        if sender.has_ended() {
            return Ok(Pumped::Over);
        }
        let before = io.rx.len();
        while self.phase == Phase::Waiting && before - io.rx.len() < INTERIM_BYTES_MAX {
            if !self.pump_head(http, io, &mut sender, out)? {
                return Ok(Pumped::Over);
            }
        }
        if !sender.has_ended() {
            match self.phase {
                Phase::Waiting => {}
                Phase::Responding => pump_body(http, io, &mut sender, out)?,
                Phase::Upgraded => pump_raw(io, &mut sender, out),
            }
        }
        if io.rx.len() != before {
            self.moved = now;
        }
        if are_few && before >= RX_MAX {
            io.rx_limit = FAST_RX_MAX;
        }
        if sender.has_ended() {
            let is_over = self.phase != Phase::Upgraded;
            return Ok(if is_over { Pumped::Complete } else { Pumped::Over });
        }
        let has_more = !io.rx.is_empty() || io.rx_eof;
        let again = sender.room() > 0 && has_more && io.rx.len() != before;
        Ok(if again { Pumped::Again } else { Pumped::Over })
    }

    /// Sends one response head; false when none is complete yet.
    fn pump_head(
        &mut self,
        http: &mut ClientConn,
        io: &mut Duplex,
        sender: &mut Sender<'_>,
        out: &mut Outbound<'_>,
    ) -> Result<bool, http1::Error> {
        let mut storage = Storage::new();
        let Some(head) = http.read_head(io.rx.as_slice(), &mut storage)? else {
            return if io.rx_eof { Err(http1::Error::Truncated) } else { Ok(false) };
        };
        let flags = match http.receive(&head)? {
            Received::Interim => Flags::INTERIM,
            Received::Upgraded => {
                self.phase = Phase::Upgraded;
                Flags::UPGRADE
            }
            Received::Final(body) => {
                self.phase = Phase::Responding;
                let is_empty = matches!(body, BodyLength::Empty | BodyLength::Sized(0));
                Flags::NONE.with_if(Flags::END, is_empty)
            }
        };
        sender.head(flags, out, |out| forward::response(&head, out));
        let length = head.bytes.len();
        io.rx.consume(length);
        self.is_answered = true;
        self.make_room_at = None;
        Ok(true)
    }

    /// Whether the request may be sent once more.
    pub(crate) const fn can_be_repeated(&self) -> bool {
        self.replay.is_some() && !self.is_answered
    }
}

fn pump_body(
    http: &mut ClientConn,
    io: &mut Duplex,
    sender: &mut Sender<'_>,
    out: &mut Outbound<'_>,
) -> Result<(), http1::Error> {
    let eof = if io.rx_eof { Eof::Reached } else { Eof::Open };
    let decoded = http.gather(io.rx.as_mut_slice(), sender.turn_room(out), eof)?;
    let used = decoded.used;
    if let Some(trailers) = decoded.end.filter(|trailers| !trailers.is_empty()) {
        if !decoded.data.is_empty() {
            sender.data(decoded.data, Flags::NONE, out);
        }
        sender.end(trailers, out);
    } else {
        let data = decoded.data_begin..decoded.data_begin + decoded.data.len();
        let is_last = decoded.end.is_some();
        if !data.is_empty() {
            let bytes = &mut io.rx.as_mut_slice()[data];
            sender.data_in_place(bytes, Flags::NONE.with_if(Flags::END, is_last), out);
        }
        if is_last {
            sender.end(&[], out);
        }
    }
    io.rx.consume(used);
    Ok(())
}

fn pump_raw(io: &mut Duplex, sender: &mut Sender<'_>, out: &mut Outbound<'_>) {
    let count = io.rx.len().min(sender.turn_room(out));
    if count > 0 {
        sender.data_in_place(&mut io.rx.as_mut_slice()[..count], Flags::NONE, out);
        io.rx.consume(count);
    }
    if io.rx_eof && io.rx.is_empty() {
        sender.end(&[], out);
    }
}

#[cfg(test)]
mod tests;
