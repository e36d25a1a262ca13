//! How a client takes its leave, in good manners or bad.

use super::{Afterwards, HttpClient, Outcome, Vanish};
use crate::peers::PeerIo;

impl HttpClient {
    /// How many more bytes the client is to send at the most.
    pub(super) fn sending_limit(&self) -> usize {
        let Some(
            Vanish::CloseAfterSending(limit)
            | Vanish::ResetAfterSending(limit)
            | Vanish::FinishAfterSending(limit)
            | Vanish::StallAfterSending(limit),
        ) = self.vanish
        else {
            return usize::MAX;
        };
        usize::try_from(limit - self.sent_total).unwrap_or(usize::MAX)
    }

    pub(super) fn leave_after_sending(&mut self, io: &mut PeerIo<'_>) {
        let (Some(vanish), Some(line)) = (self.vanish, &self.line) else {
            return;
        };
        if self.sending_limit() > 0 || io.unsent(line.socket) > 0 {
            return;
        }
        match vanish {
            Vanish::CloseAfterSending(_) | Vanish::ResetAfterSending(_) => self.disappear(io),
            Vanish::FinishAfterSending(_) => io.finish(line.socket),
            Vanish::StallAfterSending(_)
            | Vanish::CloseAfterReceiving(_)
            | Vanish::ResetAfterReceiving(_) => {}
        }
    }

    pub(super) fn leave_after_receiving(&mut self, io: &mut PeerIo<'_>) {
        let Some(Vanish::CloseAfterReceiving(limit) | Vanish::ResetAfterReceiving(limit)) =
            self.vanish
        else {
            return;
        };
        if self.received_total >= limit {
            self.disappear(io);
        }
    }

    fn disappear(&mut self, io: &mut PeerIo<'_>) {
        let resets = matches!(
            self.vanish,
            Some(Vanish::ResetAfterSending(_) | Vanish::ResetAfterReceiving(_))
        );
        if resets && let Some(line) = &self.line {
            io.reset(line.socket);
        }
        for index in self.settled_in_order()..self.responses.len() {
            self.settle(index, Outcome::Abandoned, io.now);
        }
        self.hang_up(io);
        self.gone = true;
    }

    /// Says goodbye where nothing more is to be said.
    pub(super) fn part(&mut self, io: &mut PeerIo<'_>) {
        let Some(line) = &self.line else {
            // Whoever has used up what it was to send does not come back.
            self.gone |= self.sending_limit() == 0;
            return;
        };
        let mute = io.is_mute(line.socket);
        if let Some(last) = self.responses.last()
            && last.status() == 101
            && last.outcome == Outcome::Pending
            && last.body.len() >= self.requests[self.responses.len() - 1].held.len()
        {
            return io.finish(line.socket);
        }
        if self.is_asking() {
            return;
        }
        if self.responses.len() < self.requests.len() {
            if mute {
                self.hang_up(io);
                self.gone |= self.sending_limit() == 0;
            }
        } else if self.afterwards == Afterwards::Leave {
            io.finish(line.socket);
        }
    }
}
