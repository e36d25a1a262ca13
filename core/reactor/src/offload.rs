//! Threads for work that blocks, which the loop never does.
//!
//! A job is a closure; what it returns goes wherever its poster sends it, usually back to the
//! loop by [`crate::Handle`]. The queue is bounded: when it is full, the loop hears so at once
//! instead of promising what nobody has time for.

use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread;

/// Runs jobs in the order in which they came, a few at a time. Threads end with this value, each after the
/// job it is at.
pub(crate) struct Offload {
    threads: usize,
    threads_max: usize,
    /// Of each thread.
    stack_bytes: usize,
    sender: SyncSender<Job>,
    receiver: Arc<Mutex<Receiver<Job>>>,
}

type Job = Box<dyn FnOnce() + Send>;

/// Only what is used of it takes memory.
const STACK_BYTES: usize = 2 * 1024 * 1024;
/// Jobs waiting for a thread.
const QUEUE_JOBS_MAX: usize = 256;

impl Offload {
    /// So many jobs may block at once, on an answer that never comes for example, before others
    /// have to wait.
    pub(crate) fn new(threads_max: usize) -> Self {
        let (sender, receiver) = mpsc::sync_channel(QUEUE_JOBS_MAX);
        let receiver = Arc::new(Mutex::new(receiver));
        Self { threads: 0, threads_max, stack_bytes: STACK_BYTES, sender, receiver }
    }

    /// Has `work` done on a helper thread and `deliver` take what comes of it, there. Each of the first
    /// jobs brings a thread.
    ///
    /// # Errors
    /// Too many jobs are waiting, or there can be no threads.
    pub(crate) fn submit<R>(
        &mut self,
        work: impl FnOnce() -> R + Send + 'static,
        deliver: impl FnOnce(R) + Send + 'static,
    ) -> io::Result<()> {
        self.grow(self.threads)?;
        self.enqueue(work, deliver)
    }

    /// As [`Self::submit`], with the threads that are there.
    ///
    /// # Errors
    /// Too many jobs are waiting.
    pub(crate) fn enqueue<R>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
        deliver: impl FnOnce(R) + Send + 'static,
    ) -> io::Result<()> {
        self.sender
            .try_send(Box::new(move || deliver(work())))
            .map_err(|_| io::Error::new(io::ErrorKind::ResourceBusy, "too many jobs are waiting"))
    }

    #[cfg(test)]
    pub(crate) const fn threads(&self) -> usize {
        self.threads
    }

    /// Threads of a size that no system has room for.
    #[cfg(test)]
    pub(crate) const fn ask_for_too_much(&mut self, too_much: bool) {
        self.stack_bytes = if too_much { usize::MAX / 4 } else { STACK_BYTES };
    }

    /// Begins one more thread, up to the limit, if so many are `busy` that none is free. Where the system
    /// gives no more of them, those that are there do the work.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn grow(&mut self, busy: usize) -> io::Result<()> {
        if busy < self.threads || self.threads == self.threads_max {
            return Ok(());
        }
        let receiver = Arc::clone(&self.receiver);
        let name = format!("offload {}", self.threads + 1);
        let thread = thread::Builder::new().name(name).stack_size(self.stack_bytes);
        match thread.spawn(move || run_jobs(&receiver)) {
            Ok(_) => self.threads += 1,
            Err(error) if self.threads == 0 => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }
}

fn run_jobs(jobs: &Mutex<Receiver<Job>>) {
    loop {
        // The lock is released before the job runs; the thread that holds it waits for all.
        let job = jobs.lock().map(|jobs| jobs.recv());
        let Ok(Ok(job)) = job else { return };
        job();
    }
}

#[cfg(test)]
mod tests;
