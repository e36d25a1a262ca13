//! The thread that writes the lines. Whatever goes wrong with them is a warning in the normal log.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::{Names, Queue};
use crate::reason;

pub(super) struct Writer<O, W> {
    names: Names,
    out: O,
    warn: W,
    queue: Arc<Queue>,
    /// Whether a part of a line was written last, so that the next one would hang on to it.
    is_torn: bool,
    /// Whether the last attempt failed: there is more to come of that, and a warning told of it.
    is_failing: bool,
    complained: RateLimit,
    reported: RateLimit,
}

/// Lines that are there already are written together, so much at a time.
const BATCH_BYTES: usize = 64 * 1024;

impl<O: Write, W: FnMut(&str)> Writer<O, W> {
    pub(super) const fn new(names: Names, out: O, warn: W, queue: Arc<Queue>) -> Self {
        let complained = RateLimit { every: Duration::from_secs(60), last: None };
        // A writer that is just too slow loses some lines all the time.
        let reported = RateLimit { every: Duration::from_secs(1), last: None };
        Self { names, out, warn, queue, is_torn: false, is_failing: false, complained, reported }
    }

    /// Writes until nobody can send lines any more and all of them are out.
    pub(super) fn run(mut self, lines: &Receiver<String>) {
        let mut batch = String::new();
        let queue = Arc::clone(&self.queue);
        while let Some(first) = self.first(lines).map(|line| queue.taken(line)) {
            batch.clear();
            if self.is_torn {
                batch.push('\n');
            }
            batch.push_str(&first);
            while batch.len() < BATCH_BYTES
                && let Ok(next) = lines.try_recv().map(|line| queue.taken(line))
            {
                batch.push_str(&next);
            }
            let written = self.write(batch.as_bytes());
            self.is_failing = written.is_err();
            match written {
                Ok(()) if self.reported.is_due() => self.report(),
                Ok(()) => {}
                Err(error) => self.complain(&error),
            }
        }
        self.report();
    }

    /// The next line, whenever it comes; `None` when none can come any more. Should none come for a
    /// while, what was lost before is told meanwhile.
    fn first(&mut self, lines: &Receiver<String>) -> Option<String> {
        if self.is_failing || !self.queue.has_lost() {
            return lines.recv().ok();
        }
        match lines.recv_timeout(self.reported.left()) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                self.report();
                lines.recv().ok()
            }
        }
    }

    fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        let mut rest = batch;
        while !rest.is_empty() {
            let written = match self.out.write(rest) {
                Ok(0) => Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                written => written,
            };
            let count = written.inspect_err(|_| {
                // A line that lacks nothing but its end is not lost.
                let missing = rest.strip_prefix(b"\n").unwrap_or(rest);
                let lines = missing.iter().filter(|byte| **byte == b'\n').count();
                self.queue.lose(lines as u64);
            })?;
            let (written, unwritten) = rest.split_at(count);
            self.is_torn = !written.ends_with(b"\n");
            rest = unwritten;
        }
        Ok(())
    }

    fn complain(&mut self, error: &io::Error) {
        if self.complained.is_due() {
            self.complained.done();
            let Names { log, place } = &self.names;
            (self.warn)(&format!("{log}: write to {place}: {}", reason(error)));
        }
    }

    /// Says how many lines are missing, if any are.
    fn report(&mut self) {
        let lost = self.queue.take_lost();
        if lost > 0 {
            self.reported.done();
            (self.warn)(&format!("{}: {lost} lines were dropped", self.names.log));
        }
    }
}

/// Something that is not said again at once.
struct RateLimit {
    every: Duration,
    last: Option<Instant>,
}

impl RateLimit {
    fn is_due(&self) -> bool {
        self.last.is_none_or(|last| last.elapsed() >= self.every)
    }

    /// How long it is until then.
    fn left(&self) -> Duration {
        self.last.map_or(Duration::ZERO, |last| self.every.saturating_sub(last.elapsed()))
    }

    fn done(&mut self) {
        self.last = Some(Instant::now());
    }
}
