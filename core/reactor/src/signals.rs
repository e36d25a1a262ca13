//! SIGTERM and SIGINT, as bytes on a socket that the loop polls, and signals that end nothing.
//!
//! A process with id 1, as in a container, has no default action for signals: without a handler
//! SIGTERM is lost and the orchestrator kills after its grace period.

use std::io::{self, Read};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::{flag, low_level};

/// Whether a reactor listens to the process's signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signals {
    /// SIGTERM and SIGINT ask the application to leave; SIGHUP is ignored, unless a
    /// [`crate::Watch`] hears it. For the one reactor that is the process.
    Handle,
    /// For reactors beside others in one process: demos and tests.
    Ignore,
}

/// What signals do while there is no reactor yet: SIGTERM and SIGINT end the process, which has nothing
/// to finish, and SIGHUP does nothing. That goes with this value: keep it until the reactor is there.
#[derive(Debug)]
pub struct EarlySignals {
    handlers: Vec<SigId>,
}

/// The handlers; they go with this value.
#[derive(Debug)]
pub(crate) struct SignalPipe {
    receiver: UnixStream,
    handlers: Vec<SigId>,
}

impl EarlySignals {
    /// From here on.
    ///
    /// # Errors
    /// The kernel refuses a signal handler.
    pub fn install() -> io::Result<Self> {
        let mut early = Self { handlers: Vec::new() };
        for signal in [SIGTERM, SIGINT] {
            let always = Arc::new(AtomicBool::new(true));
            early.handlers.push(flag::register_conditional_shutdown(signal, 0, always)?);
        }
        early.handlers.push(flag::register(SIGHUP, Arc::new(AtomicBool::new(false)))?);
        Ok(early)
    }
}

impl Drop for EarlySignals {
    fn drop(&mut self) {
        unregister(&mut self.handlers);
    }
}

impl SignalPipe {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let (sender, receiver) = StdUnixStream::pair()?;
        receiver.set_nonblocking(true)?;
        let mut pipe = Self { receiver: UnixStream::from_std(receiver), handlers: Vec::new() };
        registry.register(&mut pipe.receiver, token, Interest::READABLE)?;
        for signal in [SIGTERM, SIGINT] {
            let handler = low_level::pipe::register(signal, sender.try_clone()?)?;
            pipe.handlers.push(handler);
        }
        // The end of a terminal session ends interactive programs, not this one.
        let ignored = Arc::new(AtomicBool::new(false));
        pipe.handlers.push(flag::register(SIGHUP, Arc::clone(&ignored))?);
        // A file that may not grow any more is an error of the write, as a full disk is.
        pipe.handlers.push(flag::register(SIGXFSZ, ignored)?);
        Ok(pipe)
    }

    /// How often the operator asked since the last time.
    pub(crate) fn take(&mut self) -> usize {
        let mut asked = 0;
        let mut bytes = [0; 16];
        loop {
            match self.receiver.read(&mut bytes) {
                Ok(0) => return asked,
                Ok(count) => asked += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return asked,
            }
        }
    }
}

impl Drop for SignalPipe {
    fn drop(&mut self) {
        unregister(&mut self.handlers);
    }
}

fn unregister(handlers: &mut Vec<SigId>) {
    for handler in handlers.drain(..) {
        low_level::unregister(handler);
    }
}
