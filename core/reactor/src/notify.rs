//! What a service manager is told of this process: the protocol of `sd_notify(3)`, spoken without
//! its library.
//!
//! Messages are datagrams of lines to the socket that `NOTIFY_SOCKET` names. The loop itself sends
//! them, the signs of life among them, so that a loop that hangs falls silent and is started anew.
//!
//! ```text
//!   READY=1 -----------------> STOPPING=1      once each, when the loop runs and when it drains
//!      STATUS=... STATUS=...                   when the application's words change
//!   WATCHDOG=1   WATCHDOG=1   WATCHDOG=1       twice per WATCHDOG_USEC
//! ```
//!
//! Whoever started us without such a socket is told nothing.

use std::fmt::Write;
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use log::warn;

/// A service manager, and what it knows of us.
#[derive(Debug)]
pub struct ServiceManager {
    socket: UnixDatagram,
    address: SocketAddr,
    known: Option<Phase>,
    /// The application's words that the manager has.
    status: String,
    /// The application's words that the manager should have.
    wanted: String,
    status_due: Option<Instant>,
    watchdog: Option<Watchdog>,
    /// When to try again what could not be sent.
    retry: Option<Instant>,
    /// The wait before that, which is longer each time.
    pause: Duration,
    has_complained: bool,
}

/// Signs of life that are wanted.
#[derive(Debug)]
struct Watchdog {
    every: Duration,
    /// None before the first, which is due at once.
    due: Option<Instant>,
}

/// How far the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Ready,
    Stopping,
}

/// A manager that is busy empties its socket soon.
const RETRY: Duration = Duration::from_millis(100);
/// The longest wait for one that is not there. One that comes back looks for signs of life that are as
/// far apart, or further.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Between two STATUS, of which a thousand agents that register would cause as many.
const STATUS_PAUSE: Duration = Duration::from_secs(1);

impl ServiceManager {
    /// The manager that these variables name; none without `NOTIFY_SOCKET`. One that cannot be
    /// reached is warned about: the process is of use without it.
    pub fn find<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let name = variable("NOTIFY_SOCKET")?;
        Self::named(name, variable)
            .inspect_err(|error| warn!("no service manager at {name:?} (NOTIFY_SOCKET): {error}"))
            .ok()
    }

    fn named<'a>(name: &str, variable: impl Fn(&str) -> Option<&'a str>) -> io::Result<Self> {
        let address = address(name)?;
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let is_for_us =
            variable("WATCHDOG_PID").is_none_or(|pid| pid.parse() == Ok(std::process::id()));
        let limit = variable("WATCHDOG_USEC")
            .and_then(|limit| limit.parse().ok())
            .filter(|limit| *limit > 0 && is_for_us);
        Ok(Self {
            socket,
            address,
            known: None,
            status: String::new(),
            wanted: String::new(),
            status_due: None,
            watchdog: limit
                .map(|limit| Watchdog { every: Duration::from_micros(limit) / 2, due: None }),
            retry: None,
            pause: RETRY,
            has_complained: false,
        })
    }

    /// Sends what the manager does not know yet and what is due. `status` writes the application's
    /// words; `lives` says whether all of the process does, and is asked when a sign of it is due.
    pub(crate) fn tell(
        &mut self,
        phase: Phase,
        status: impl FnOnce(&mut String),
        lives: impl FnOnce() -> bool,
        now: Instant,
    ) {
        self.wanted.clear();
        status(&mut self.wanted);
        if self.retry.is_some_and(|retry| now < retry) {
            return;
        }
        self.retry = None;
        let is_news = self.known != Some(phase);
        let has_words =
            self.wanted != self.status && (is_news || self.status_due.is_none_or(|due| due <= now));
        let mut is_due = self.watchdog.as_ref().is_some_and(|watchdog| watchdog.is_due(now));
        if let Some(watchdog) = self.watchdog.as_mut().filter(|_| is_due)
            && !lives()
        {
            // Silence is what the manager is to hear, until that is over.
            watchdog.due = Some(now + RETRY);
            is_due = false;
        }
        if !is_news && !has_words && !is_due {
            return;
        }
        let mut message = String::new();
        if is_news {
            message.push_str(match phase {
                Phase::Ready => "READY=1\n",
                Phase::Stopping => "STOPPING=1\n",
            });
        }
        if has_words {
            let _ = writeln!(message, "STATUS={}", self.wanted);
        }
        if is_due {
            message.push_str("WATCHDOG=1\n");
        }
        if let Err(error) = self.socket.send_to_addr(message.as_bytes(), &self.address) {
            return self.failed(&error, now);
        }
        self.known = Some(phase);
        self.pause = RETRY;
        if has_words {
            self.status.clone_from(&self.wanted);
            self.status_due = Some(now + STATUS_PAUSE);
        }
        if let Some(watchdog) = self.watchdog.as_mut().filter(|_| is_due) {
            watchdog.due = Some(now + watchdog.every);
        }
    }

    /// When [`Self::tell`] has something to send although nothing happened.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let words = self.status_due.filter(|_| self.wanted != self.status);
        let watchdog = self.watchdog.as_ref().and_then(|watchdog| watchdog.due);
        // What failed was due already; nothing else can be sent before it.
        self.retry.or_else(|| words.into_iter().chain(watchdog).min())
    }

    fn failed(&mut self, error: &io::Error, now: Instant) {
        if error.kind() == ErrorKind::WouldBlock {
            self.pause = RETRY;
        } else if !self.has_complained {
            self.has_complained = true;
            warn!("cannot tell the service manager how this process is: {error}");
        }
        self.retry = Some(now + self.pause);
        self.pause = (self.pause * 2).min(self.pause_max());
    }

    /// Where the manager watches, one that is back misses no sign of life for longer than it bears.
    fn pause_max(&self) -> Duration {
        self.watchdog.as_ref().map_or(RETRY_MAX, |watchdog| watchdog.every.clamp(RETRY, RETRY_MAX))
    }
}

impl Watchdog {
    fn is_due(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now)
    }
}

/// A path, or behind an `@` a name that is in no file system.
fn address(name: &str) -> io::Result<SocketAddr> {
    match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None if name.starts_with('/') => SocketAddr::from_pathname(name),
        None => {
            Err(io::Error::new(ErrorKind::Unsupported, "neither a path nor a name behind an @"))
        }
    }
}

#[cfg(test)]
mod tests;
