//! The access log: whole lines to a file or to standard output.
//!
//! A thread of its own writes them, so that neither a slow disk nor a reader that sleeps ever
//! stalls whoever logs. When too many lines wait, new ones are dropped and counted.

mod writer;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use self::writer::Writer;
use super::line::timestamp;

/// The target of the lines; `--log-level` does not matter for it.
pub(super) const TARGET: &str = "access";

/// What a line looks like, and so how the time gets in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The time, a space, and the text.
    Text,
    /// A JSON object, the time as its first member.
    Json,
}

/// An open access log. When it is dropped, what waits is written first, if that takes no longer
/// than a second.
#[derive(Debug)]
pub struct AccessLog {
    sink: Sink,
    thread: Option<JoinHandle<()>>,
    /// Disconnected when the thread has written everything.
    ended: Receiver<()>,
}

/// Where a logger puts lines.
#[derive(Debug, Clone)]
pub(super) struct Sink {
    form: Form,
    queue: Arc<Queue>,
}

#[derive(Debug)]
struct Queue {
    /// Nothing once the log is being closed.
    sender: Mutex<Option<SyncSender<String>>>,
    /// Lines that nobody will read and that are not reported yet.
    lost: AtomicU64,
}

/// Lines that wait. At a thousand requests per second a disk may hang for four seconds.
const LINES_MAX: usize = 4096;

/// For what waits, at the end: whoever stops us does not wait for long.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

impl AccessLog {
    /// An access log that appends to this file, or else goes to standard output.
    ///
    /// # Errors
    /// The file cannot be opened for writing, or no thread can be started.
    pub fn open(form: Form, file: Option<&Path>) -> io::Result<Self> {
        let (name, out) = match file {
            Some(path) => {
                let out = OpenOptions::new().create(true).append(true).open(path)?;
                (path.display().to_string(), out)
            }
            // Not through `io::stdout`, whose lock would be held while a reader sleeps.
            None => {
                let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
                ("standard output".to_owned(), out)
            }
        };
        Self::start(form, name, out, |warning| log::warn!(target: "mesh", "{warning}"))
    }

    fn start(
        form: Form,
        name: String,
        out: impl Write + Send + 'static,
        warn: impl FnMut(&str) + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, lines) = sync_channel(LINES_MAX);
        let queue = Arc::new(Queue { sender: Mutex::new(Some(sender)), lost: AtomicU64::new(0) });
        let sink = Sink { form, queue };
        let (alive, ended) = channel();
        let writer = Writer::new(name, out, warn, Arc::clone(&sink.queue));
        let thread = thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            writer.run(&lines);
            drop(alive);
        })?;
        Ok(Self { sink, thread: Some(thread), ended })
    }

    pub(super) fn sink(&self) -> Sink {
        self.sink.clone()
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.sink.queue.close();
        // Nothing is ever sent: it either ends in time or is left behind in a write.
        let waited = self.ended.recv_timeout(FLUSH_TIMEOUT);
        if waited == Err(RecvTimeoutError::Disconnected)
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

impl Sink {
    /// Adds the time to a line and hands it to the thread, or drops it.
    pub(super) fn put(&self, now: SystemTime, message: &fmt::Arguments<'_>) {
        let time = timestamp(now);
        let line = match self.form {
            Form::Text => format!("{time} {message}\n"),
            Form::Json => {
                let object = message.to_string();
                let members = object.strip_prefix('{').unwrap_or(&object);
                format!("{{\"time\":\"{time}\",{members}\n")
            }
        };
        self.queue.put(line);
    }
}

impl Queue {
    fn put(&self, line: String) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*sender
            && sender.try_send(line).is_err()
        {
            self.lose(1);
        }
    }

    fn lose(&self, lines: u64) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }

    /// How many lines were lost since the last call.
    fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }

    fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[cfg(test)]
mod tests;
