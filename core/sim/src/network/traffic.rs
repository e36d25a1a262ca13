//! How bytes, FIN and RST go through a link, with the manners of TCP on Linux.

use std::io::{self, ErrorKind};
use std::time::Instant;

use mesh_protocol::{Readiness, Unread};

use super::readiness::{BROKEN, FINISHED, READABLE};
use super::{Happening, Network};
use crate::draw;
use crate::link::{EndId, Link, Pipe, Side};
use crate::trace::Mark;

/// What a read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Got {
    /// This many bytes, at least one.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// FIN.
    Eof,
}

impl Network {
    /// Writes as much as there is room for. Whoever is turned away hears when there is room again.
    pub(crate) fn write(&mut self, id: EndId, bytes: &[u8]) -> io::Result<usize> {
        let now = self.now;
        let short = draw::one_in(&mut self.rng, 64);
        let Some(link) = self.links[id.link as usize].as_deref_mut() else {
            return Err(ErrorKind::BrokenPipe.into());
        };
        let Link { config, ends, pipes, .. } = link;
        let end = &mut ends[id.side as usize];
        if let Some(error) = end.error.take() {
            return Err(error.into());
        }
        let pipe = &mut pipes[id.side as usize];
        if end.broken || pipe.fin_sent || !end.open {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let mut count = pipe.space().min(bytes.len());
        if short && count > 1 {
            count = draw::size(&mut self.rng, count - 1);
        }
        if count > 0 {
            pipe.send(&bytes[..count], config, now, &mut self.rng);
            self.movements += 1;
        }
        if count < bytes.len() {
            // Like a kernel, wait for a good part of the buffer before waking the writer.
            let room = draw::size(&mut self.rng, pipe.capacity / 3);
            if pipe.space() >= room {
                let at = now + config.latency;
                self.schedule(at, Happening::Space(id));
            } else {
                pipe.blocked = Some(room);
            }
        }
        if count > 0 {
            self.mark(Mark::Sent { end: id, bytes: count });
        }
        self.plan_delivery(id.other());
        Ok(count)
    }

    /// Reads what has arrived: `take` is given it in at most two pieces.
    pub(crate) fn read(
        &mut self,
        id: EndId,
        max: usize,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<Got> {
        let Some(link) = self.links[id.link as usize].as_deref_mut() else {
            return Err(ErrorKind::NotConnected.into());
        };
        let end = &mut link.ends[id.side as usize];
        let pipe = &mut link.pipes[id.side.other() as usize];
        let count = pipe.arrived.min(max);
        if count == 0 && pipe.arrived == 0 {
            if pipe.fin_arrived {
                return Ok(Got::Eof);
            }
            return match end.error.take() {
                Some(error) => Err(error.into()),
                // The error is reported once; whoever asks again is told that nothing follows.
                None if end.broken => Ok(Got::Eof),
                None => Ok(Got::Nothing),
            };
        }
        let (front, back) = pipe.bytes.as_slices();
        let first = front.len().min(count);
        take(&front[..first]);
        if first < count {
            take(&back[..count - first]);
        }
        pipe.bytes.drain(..count);
        pipe.arrived -= count;
        self.movements += 1;
        self.give_room(id.other());
        Ok(Got::Bytes(count))
    }

    /// What has arrived that was not read.
    pub(crate) fn peek(&self, id: EndId) -> Unread {
        let Some(link) = self.link(id.link) else { return Unread::End };
        let pipe = &link.pipes[id.side.other() as usize];
        match pipe.arrived {
            1.. => Unread::Bytes,
            0 if pipe.fin_arrived || link.ends[id.side as usize].broken => Unread::End,
            0 => Unread::Nothing,
        }
    }

    /// What the end broke of, which is said once (SO_ERROR).
    pub(crate) fn take_error(&mut self, id: EndId) -> Option<io::Error> {
        let end = self.end_mut(id)?;
        end.error.take().map(io::Error::from)
    }

    /// The end hears soon that it can write.
    pub(crate) fn nudge(&mut self, id: EndId) {
        self.schedule(self.now, Happening::Space(id));
    }

    /// Whether nothing stands behind what has arrived so far: neither FIN nor an error.
    pub(crate) fn goes_on(&self, id: EndId) -> bool {
        self.link(id.link).is_some_and(|link| {
            !link.ends[id.side as usize].broken && !link.pipes[id.side.other() as usize].fin_arrived
        })
    }

    /// Ends the sending direction.
    pub(crate) fn finish(&mut self, id: EndId) -> io::Result<()> {
        let now = self.now;
        let Some(link) = self.link_mut(id.link) else {
            return Err(ErrorKind::NotConnected.into());
        };
        let end = &mut link.ends[id.side as usize];
        if end.broken {
            return Err(end.error.take().unwrap_or(ErrorKind::NotConnected).into());
        }
        let pipe = &mut link.pipes[id.side as usize];
        if !pipe.fin_sent {
            pipe.send_fin(&link.config, now);
            self.movements += 1;
            self.plan_delivery(id.other());
        }
        Ok(())
    }

    /// The coming close is a reset.
    pub(crate) fn make_abortive(&mut self, id: EndId) {
        if let Some(end) = self.end_mut(id) {
            end.abortive = true;
        }
    }

    /// The owner gives the end up. Unread bytes turn the goodbye into a reset.
    pub(crate) fn close(&mut self, id: EndId) {
        let Some(link) = self.link_mut(id.link) else {
            return;
        };
        let end = &mut link.ends[id.side as usize];
        if !std::mem::replace(&mut end.open, false) {
            return;
        }
        let (abortive, broken) = (end.abortive, end.broken);
        let incoming = &mut link.pipes[id.side.other() as usize];
        let unread = incoming.arrived > 0;
        incoming.drop_arrived();
        self.movements += 1;
        self.mark(Mark::Closed { end: id });
        if broken {
            // The other side knows.
        } else if abortive || unread {
            self.send_rst(id.other());
        } else {
            // Fails only on a link that is gone, and then nobody is left to be told.
            let _ = self.finish(id);
        }
        self.bury(id.link);
    }

    /// Sends a reset to an end; what travels there before it may be lost.
    fn send_rst(&mut self, to: EndId) {
        let now = self.now;
        let overtakes = draw::one_in(&mut self.rng, 2);
        let Some(link) = self.link_mut(to.link) else {
            return;
        };
        let pipe = &mut link.pipes[to.side.other() as usize];
        if pipe.black {
            return;
        }
        let mut at = now + link.config.latency;
        if overtakes {
            pipe.drop_travelling();
        } else {
            at = at.max(pipe.last_at());
        }
        pipe.fin_sent = true;
        self.schedule(at, Happening::Rst(to));
    }

    /// What an end's other side wrote arrives.
    pub(super) fn deliver(&mut self, id: EndId, at: Instant) {
        let now = self.now;
        let Some(link) = self.link_mut(id.link) else {
            return;
        };
        let reader = &link.ends[id.side as usize];
        let (open, broken) = (reader.open, reader.broken);
        let pipe = &mut link.pipes[id.side.other() as usize];
        if pipe.scheduled != Some(at) {
            return;
        }
        pipe.scheduled = None;
        let (mut bytes, mut fin) = (0, false);
        let mut struck = None;
        while struck.is_none()
            && let Some(len) = pipe.poll_segment(now)
        {
            bytes += len;
            fin |= len == 0;
            pipe.fin_arrived |= len == 0;
            struck = pipe.poll_fault();
        }
        if bytes > 0 {
            self.mark(Mark::Arrived { end: id, bytes });
        }
        if !open || broken {
            self.turn_away(id, bytes);
        } else {
            self.announce(id, bytes, fin);
        }
        if let Some(fault) = struck {
            self.strike(id.link, id.side.other(), fault);
        }
        self.plan_delivery(id);
        self.bury(id.link);
    }

    fn announce(&mut self, id: EndId, bytes: usize, fin: bool) {
        let mut readiness = Readiness::default();
        if bytes > 0 {
            readiness.note(READABLE);
        }
        if fin {
            readiness.note(FINISHED);
            self.mark(Mark::Finished { end: id });
        }
        if readiness.readable {
            self.raise(id, readiness);
        }
    }

    /// Bytes for a closed end: its kernel answers them with a reset.
    fn turn_away(&mut self, id: EndId, bytes: usize) {
        if let Some(link) = self.link_mut(id.link) {
            link.pipes[id.side.other() as usize].drop_arrived();
        }
        if bytes > 0 {
            self.send_rst(id.other());
        }
    }

    pub(super) fn handle_rst(&mut self, id: EndId) {
        let loses_arrived = draw::one_in(&mut self.rng, 4);
        let Some(link) = self.link_mut(id.link) else {
            return;
        };
        let end = &mut link.ends[id.side as usize];
        if std::mem::replace(&mut end.broken, true) {
            return;
        }
        let [incoming, outgoing] = pair(&mut link.pipes, id);
        end.error = Some(if incoming.fin_arrived {
            ErrorKind::BrokenPipe
        } else {
            ErrorKind::ConnectionReset
        });
        incoming.drop_travelling();
        if loses_arrived {
            incoming.drop_arrived();
        }
        outgoing.drop_travelling();
        outgoing.blocked = None;
        self.mark(Mark::Reset { end: id });
        self.raise(id, BROKEN);
        self.bury(id.link);
    }

    /// Room came free for what this end writes: if it waits for that, it will hear.
    pub(super) fn give_room(&mut self, writer: EndId) {
        let now = self.now;
        let Some(link) = self.link_mut(writer.link) else {
            return;
        };
        let at = now + link.config.latency;
        let pipe = &mut link.pipes[writer.side as usize];
        let space = pipe.space();
        if pipe.blocked.take_if(|room| space >= *room).is_some() {
            self.schedule(at, Happening::Space(writer));
        }
    }

    /// Puts the next arrival at an end on the agenda.
    pub(super) fn plan_delivery(&mut self, to: EndId) {
        let now = self.now;
        let Some(link) = self.link_mut(to.link) else {
            return;
        };
        let pipe = &mut link.pipes[to.side.other() as usize];
        let Some(at) = pipe.next_at().map(|at| at.max(now)) else {
            pipe.scheduled = None;
            return;
        };
        if pipe.scheduled != Some(at) {
            pipe.scheduled = Some(at);
            self.schedule(at, Happening::Deliver(to));
        }
    }

    /// Forgets a link that nobody holds and on which nothing travels.
    fn bury(&mut self, link: u32) {
        let Some(gone) = self.link(link) else { return };
        if gone.ends.iter().all(|end| !end.open) {
            self.links[link as usize] = None;
        }
    }
}

fn pair(pipes: &mut [Pipe; 2], id: EndId) -> [&mut Pipe; 2] {
    let [dialer, listener] = pipes;
    match id.side {
        Side::Dialer => [listener, dialer],
        Side::Listener => [dialer, listener],
    }
}
