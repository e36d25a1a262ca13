//! How a client reads, and which request an answer belongs to.

use std::io::ErrorKind;
use std::time::Instant;

use super::response::Progress;
use super::{HttpClient, Outcome, QUEUE_MAX, Reading, Response};
use crate::peers::message::Body;
use crate::peers::{PeerIo, Received, SocketState};

impl HttpClient {
    /// Reads what it cares to read, and what that means.
    pub(super) fn receive(&mut self, io: &mut PeerIo<'_>) {
        while let Some(line) = &mut self.line {
            let max = match self.reading {
                Reading::Never => return,
                Reading::UpTo(bytes) if self.received_total >= bytes => return,
                Reading::UpTo(_) | Reading::Eager => QUEUE_MAX,
                Reading::Slow(bytes, _) => bytes,
            };
            if let Some(at) = self.next_read
                && at > io.now
            {
                return io.wake_at(at);
            }
            let received = io.read(line.socket, max, &mut line.rx);
            match received {
                Received::Nothing => return,
                Received::Bytes(count) => {
                    self.received_total += count as u64;
                    if let Reading::Slow(_, every) = self.reading {
                        self.next_read = Some(io.now + every);
                    }
                    self.parse(io);
                }
                Received::Eof => self.ended(io, None),
                Received::Failed(error) => self.ended(io, Some(error)),
            }
        }
    }

    /// Takes whole answers off what was received.
    fn parse(&mut self, io: &mut PeerIo<'_>) {
        while let Some(line) = &mut self.line
            && !line.rx.is_empty()
        {
            let Some((index, response)) = self.responses.iter_mut().enumerate().find(pending)
            else {
                self.excess.append(&mut line.rx);
                return;
            };
            response.began_at.get_or_insert(io.now);
            let to_head = self.requests[index].is_head();
            let progress = response.advance(&mut line.body, &mut line.rx, to_head);
            match progress {
                Ok(Progress::Partial) => return,
                Ok(Progress::Release) => line.released = line.sending == index,
                Ok(Progress::Whole) => self.complete(index, io.now),
                Ok(Progress::Last) => {
                    self.complete(index, io.now);
                    self.hang_up(io);
                }
                Err(why) => {
                    self.settle(index, Outcome::Malformed(why), io.now);
                    self.hang_up(io);
                }
            }
        }
    }

    fn complete(&mut self, index: usize, now: Instant) {
        self.settle(index, Outcome::Complete, now);
        if let Some(line) = &mut self.line {
            line.body = None;
            line.answered += 1;
        }
    }

    pub(super) fn settle(&mut self, index: usize, outcome: Outcome, now: Instant) {
        let response = &mut self.responses[index];
        response.outcome = outcome;
        response.ended_at = Some(now);
    }

    /// The connection ended from the other side, cleanly or with an error.
    fn ended(&mut self, io: &mut PeerIo<'_>, error: Option<ErrorKind>) {
        let Some(line) = &self.line else { return };
        let refused = matches!(io.state(line.socket), SocketState::Refused(_));
        if refused && !self.is_asking() {
            self.responses.push(Response::new(io.now, false));
        }
        let whole = line.body.as_ref().is_some_and(Body::ends_with_connection);
        let first = self.settled_in_order();
        for index in first..self.responses.len() {
            let begun = self.responses[index].began_at.is_some();
            let outcome = match error {
                Some(error) if refused => Outcome::Refused(error),
                Some(error) => Outcome::Failed(error),
                None if index == first && whole => Outcome::Complete,
                None if begun => Outcome::Truncated,
                None => Outcome::NoAnswer,
            };
            self.settle(index, outcome, io.now);
        }
        self.hang_up(io);
    }
}

fn pending(entry: &(usize, &mut Response)) -> bool {
    entry.1.outcome == Outcome::Pending
}
