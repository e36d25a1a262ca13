//! Wakes the loop at a time of which the kernel is seldom told.
//!
//! A loop that sleeps until its next deadline would have the kernel start and stop a timer for
//! each sleep, though the deadline hardly ever comes before something else does. Here the timer
//! goes on: it is set anew only for what is due earlier than it would go off, and when it has.
//! What went off for a deadline that is no more costs one turn.

use std::time::{Duration, Instant};

use mio::{Registry, Token};

/// The earliest time that the loop has to wake, as the kernel knows it.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// None where the kernel has none for us, as in a sandbox that forbids it: the loop then sleeps for
    /// so long.
    timer: Option<timer::Timer>,
    /// When it goes off; none where it is not set.
    due: Option<Instant>,
}

impl Alarm {
    pub(crate) fn new(registry: &Registry, token: Token) -> Self {
        Self { timer: timer::Timer::new(registry, token).ok(), due: None }
    }

    /// Has the loop woken when `due` has come, and says how long it may sleep: without end where
    /// the timer wakes it.
    pub(crate) fn set(&mut self, due: Instant, now: Instant) -> Option<Duration> {
        let sleep = due.saturating_duration_since(now);
        if self.due.is_none_or(|set| due < set || set <= now) {
            self.due = Some(due);
            self.timer = self.timer.take().filter(|timer| timer.set(sleep).is_ok());
        }
        if self.timer.is_some() { None } else { Some(sleep) }
    }

    /// The kernel said so, which it does once, and perhaps before the loop looks at the clock.
    pub(crate) const fn went_off(&mut self) {
        self.due = None;
    }
}

#[cfg(any(target_os = "android", target_os = "linux"))]
mod timer {
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::time::Duration;

    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    /// `timerfd_create(2)`. Nobody reads how often it went off: an edge is told for each time.
    #[derive(Debug)]
    pub(super) struct Timer(OwnedFd);

    impl Timer {
        pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Self(timer))
        }

        pub(super) fn set(&self, sleep: Duration) -> io::Result<()> {
            // Nothing at all would stop it.
            let sleep = sleep.max(Duration::from_nanos(1));
            let once = Timespec { tv_sec: 0, tv_nsec: 0 };
            let sleep = Timespec::try_from(sleep).map_err(io::Error::other)?;
            let spec = Itimerspec { it_interval: once, it_value: sleep };
            timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &spec)?;
            Ok(())
        }
    }
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
mod timer {
    use std::io;
    use std::time::Duration;

    use mio::{Registry, Token};

    /// Other systems have no such timer.
    #[derive(Debug)]
    pub(super) enum Timer {}

    impl Timer {
        pub(super) fn new(_: &Registry, _: Token) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) fn set(&self, _: Duration) -> io::Result<()> {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests;
