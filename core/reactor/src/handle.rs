//! Letters from other threads to the loop, and the handle by which they are sent.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use mio::{Registry, Token, Waker};

use crate::resolve::Resolution;

/// Reaches a running [`crate::Reactor`] from any thread. Once the reactor has ended, nothing
/// happens.
#[derive(Debug, Clone)]
pub struct Handle {
    sender: Sender<Letter>,
    waker: Arc<Waker>,
}

/// What other threads tell the loop.
#[derive(Debug)]
pub(crate) enum Letter {
    Drain,
    Stop,
    Resolved(Resolution),
}

impl Handle {
    /// Asks the application to leave, as SIGTERM does: it hears `Event::Drain`.
    pub fn drain(&self) {
        self.post(Letter::Drain);
    }

    /// Ends the loop at the end of its turn. All connections close as they are.
    pub fn stop(&self) {
        self.post(Letter::Stop);
    }

    /// The sending and the receiving end of a new mailbox.
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<(Self, Receiver<Letter>)> {
        let (sender, receiver) = mpsc::channel();
        let waker = Arc::new(Waker::new(registry, token)?);
        Ok((Self { sender, waker }, receiver))
    }

    /// A waker of the same loop, for what is no letter.
    pub(crate) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Both steps may fail only when the loop is gone, and then nobody wants the letter.
    pub(crate) fn post(&self, letter: Letter) {
        if self.sender.send(letter).is_ok() {
            let _ = self.waker.wake();
        }
    }
}
