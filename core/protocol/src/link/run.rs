//! Much DATA of one stream in a row, told at once: its bytes then leave in one write, from where they
//! lie.

use std::ops::Range;
use std::time::Instant;

use super::{Error, Link};
use crate::http1::BODY_PIECES_MAX;
use crate::mux::frame::RUN_FRAMES_MAX;
use crate::mux::{Event, Flags, Frame, FrameKind, StreamId, frame};
use crate::outlet::PASSING_BYTES_MIN;
use crate::{Buf, ConnId, ws};

const _: () = assert!(RUN_FRAMES_MAX <= BODY_PIECES_MAX);

/// Body bytes of a stream from several frames.
#[derive(Debug)]
pub struct Run<'m> {
    /// Whose.
    pub owner: ConnId,
    pieces: [&'m [u8]; RUN_FRAMES_MAX],
    count: usize,
}

impl Run<'_> {
    /// The bytes, frame by frame.
    #[must_use]
    pub fn pieces(&self) -> &[&[u8]] {
        &self.pieces[..self.count]
    }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    /// The stream and its owner.
    stream: Option<(StreamId, ConnId)>,
    ranges: [Range<usize>; RUN_FRAMES_MAX],
    count: usize,
}

impl Link {
    /// The next bytes in `rx` if they are much DATA, with those that follow of the same stream, but
    /// not its end; they are consumed by the next call. Where there is no such run, what there is
    /// comes from [`Self::poll_event`].
    ///
    /// # Errors
    /// The tunnel cannot go on.
    #[inline]
    pub fn poll_run<'m>(
        &mut self,
        rx: &'m mut Buf,
        now: Instant,
    ) -> Result<Option<Run<'m>>, Error> {
        if rx.len() - self.used < PASSING_BYTES_MIN {
            return Ok(None);
        }
        self.find_run(rx, now)
    }

    fn find_run<'m>(&mut self, rx: &'m mut Buf, now: Instant) -> Result<Option<Run<'m>>, Error> {
        rx.consume(std::mem::take(&mut self.used));
        let mut found = Found::default();
        while found.count < RUN_FRAMES_MAX && self.enter_message(rx) {
            let begin = self.used;
            let Some((used, frame)) = much_data(&rx.as_slice()[begin..][..self.message_left])
            else {
                break;
            };
            if found.stream.is_some_and(|(stream, _)| stream != frame.stream) {
                break;
            }
            let stream = frame.stream;
            let event = match self.session.handle(frame) {
                Ok(event) => event,
                // A mistake is found once more when what is before it was taken.
                Err(_) if found.count > 0 => break,
                Err(error) => return Err(Error::Session(error)),
            };
            self.used += used;
            self.message_left -= used;
            self.echo.heard(now);
            if let Event::Data { owner, bytes, .. } = event {
                found.stream = Some((stream, owner));
                found.ranges[found.count] = begin + used - bytes.len()..begin + used;
                found.count += 1;
            }
        }
        let Some((_, owner)) = found.stream else { return Ok(None) };
        let (rx, count) = (rx.as_slice(), found.count);
        let pieces = found.ranges.map(|range| &rx[range]);
        Ok(Some(Run { owner, pieces, count }))
    }

    /// Goes to the payload of the next message unless it is inside one; false when that is not
    /// there yet, or for [`Self::poll_event`] to see.
    fn enter_message(&mut self, rx: &mut Buf) -> bool {
        if self.message_left > 0 {
            return true;
        }
        let rest = &mut rx.as_mut_slice()[self.used..];
        if rest.first() != Some(&ws::frame::BINARY) {
            return false;
        }
        // A mistake is for that to find, too, and an empty message to count.
        let Ok(Some(message)) = ws::frame::parse(self.role, rest) else { return false };
        if message.payload.is_empty() {
            return false;
        }
        self.used += message.payload.start;
        self.message_left = message.payload.len();
        true
    }
}

/// The first frame of a message if it is much DATA, and the bytes that it takes.
fn much_data(message: &[u8]) -> Option<(usize, Frame<'_>)> {
    let (used, frame) = frame::parse(message).ok()?;
    let frame = frame?;
    let is_much = frame.kind == FrameKind::Data
        && !frame.flags.has(Flags::END)
        && frame.payload.len() >= PASSING_BYTES_MIN;
    is_much.then_some((used, frame))
}

#[cfg(test)]
mod tests;
