//! Threads for work that blocks, which the loop never does.
//!
//! A job is a closure; what it returns goes wherever its poster sends it, usually back to the
//! loop by [`crate::Handle`]. The queue is bounded: when it is full, the loop hears so at once
//! instead of promising what nobody has time for.

use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread;

/// Runs jobs in the order in which they came, a few at a time. The threads begin with the first
/// job and end with this value, each after the job it is at.
pub(crate) struct Offload {
    threads: usize,
    jobs: Option<SyncSender<Box<dyn FnOnce() + Send>>>,
}

/// Jobs waiting for a thread.
const QUEUE_JOBS_MAX: usize = 256;

impl Offload {
    /// So many jobs may block at once, on an answer that never comes for example, before others
    /// have to wait.
    pub(crate) const fn new(threads: usize) -> Self {
        Self { threads, jobs: None }
    }

    /// Has `work` done on a helper thread and `deliver` take what comes of it, there.
    ///
    /// # Errors
    /// Too many jobs are waiting, or there can be no threads.
    pub(crate) fn submit<R>(
        &mut self,
        work: impl FnOnce() -> R + Send + 'static,
        deliver: impl FnOnce(R) + Send + 'static,
    ) -> io::Result<()> {
        let jobs =
            if let Some(jobs) = &self.jobs { jobs } else { self.jobs.insert(start(self.threads)?) };
        jobs.try_send(Box::new(move || deliver(work())))
            .map_err(|_| io::Error::new(io::ErrorKind::ResourceBusy, "too many jobs are waiting"))
    }
}

fn start(threads: usize) -> io::Result<SyncSender<Box<dyn FnOnce() + Send>>> {
    let (sender, receiver) = mpsc::sync_channel(QUEUE_JOBS_MAX);
    let receiver = Arc::new(Mutex::new(receiver));
    for number in 1..=threads {
        let receiver = Arc::clone(&receiver);
        thread::Builder::new()
            .name(format!("offload {number}"))
            .spawn(move || work_off(&receiver))?;
    }
    Ok(sender)
}

fn work_off(jobs: &Mutex<Receiver<Box<dyn FnOnce() + Send>>>) {
    loop {
        // The lock is released before the job runs; the thread that holds it waits for all.
        let job = jobs.lock().map(|jobs| jobs.recv());
        let Ok(Ok(job)) = job else { return };
        job();
    }
}

#[cfg(test)]
mod tests;
