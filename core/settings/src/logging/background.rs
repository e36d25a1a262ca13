//! Lines that a thread of its own writes, so that neither a slow disk nor a reader that sleeps ever
//! stalls whoever logs. When too many lines wait, or too long ones, new ones are dropped and counted.

mod writer;

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use self::writer::Writer;

/// The thread. When it is dropped, what waits is written first, if that takes no longer than a second.
#[derive(Debug)]
pub(super) struct Background {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
    /// Disconnected when the thread has written everything.
    ended: Receiver<()>,
}

/// Where whoever logs puts lines.
#[derive(Debug)]
pub(super) struct Queue {
    /// Nothing once the log is being closed. The channel takes memory for what waits in it, where a
    /// bounded one would have it all from the start.
    sender: Mutex<Option<Sender<String>>>,
    /// Invariant: the lines in the channel, at most [`LINES_MAX`].
    waiting: AtomicUsize,
    /// Invariant: the bytes of those lines, at most [`BYTES_MAX`].
    bytes: AtomicUsize,
    /// Lines that nobody will read and that are not reported yet.
    lost: AtomicU64,
}

/// Lines that wait. At a thousand requests per second a disk may hang for four seconds.
pub(super) const LINES_MAX: usize = 4096;
/// Bytes of those lines. As many as that are of 1 KiB; but what peers say is in them, and they choose how
/// long it is.
pub(super) const BYTES_MAX: usize = 4 * 1024 * 1024;

/// For what waits, at the end: whoever stops us does not wait for long.
pub(super) const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// What a log is called, and where it goes, in warnings about it.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) log: &'static str,
    pub(super) place: String,
}

impl Background {
    /// Begins to write to `out`; `warn` hears of what goes wrong with that.
    pub(super) fn start(
        names: Names,
        out: impl Write + Send + 'static,
        warn: impl FnMut(&str) + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, lines) = channel();
        let queue = Arc::new(Queue {
            sender: Mutex::new(Some(sender)),
            waiting: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
        });
        let (alive, ended) = channel();
        let thread = thread::Builder::new().name(names.log.to_owned());
        let writer = Writer::new(names, out, warn, Arc::clone(&queue));
        let thread = thread.spawn(move || {
            writer.run(&lines);
            drop(alive);
        })?;
        Ok(Self { queue, thread: Some(thread), ended })
    }

    pub(super) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.queue.close();
        // Nothing is ever sent: it either ends in time or is left behind in a write.
        let waited = self.ended.recv_timeout(FLUSH_TIMEOUT);
        if waited == Err(RecvTimeoutError::Disconnected)
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

impl Queue {
    /// Hands a line to the thread, or drops it.
    pub(super) fn put(&self, line: String) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = &*sender else { return };
        // Whoever else puts lines has to wait for the lock.
        let is_full = self.waiting.load(Ordering::Relaxed) >= LINES_MAX
            || self.bytes.load(Ordering::Relaxed) + line.len() > BYTES_MAX;
        if !is_full {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(line.len(), Ordering::Relaxed);
        }
        if is_full || sender.send(line).is_err() {
            self.lose(1);
        }
    }

    /// A line came out of the channel.
    fn taken(&self, line: String) -> String {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(line.len(), Ordering::Relaxed);
        line
    }

    fn lose(&self, lines: u64) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }

    /// Whether lines were lost since they were last counted.
    fn has_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed) > 0
    }

    /// How many lines were lost since the last call.
    fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }

    fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
