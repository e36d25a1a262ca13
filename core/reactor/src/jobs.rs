//! An application's blocking work, done on threads beside the loop.
//!
//! ```text
//!   App::poll_job ---> Jobs::start ---> do_job, on a helper thread
//!        ^ only while a thread is free       |
//!   App::handle_answer <--- Mailbox <--------'
//! ```
//!
//! Nothing waits in here: a job is taken only when a thread is free for it, so the queue is the
//! application's, which knows which jobs are still wanted.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use mio::Waker;

use crate::Handle;
use crate::offload::Offload;

/// Does the application's jobs, on whatever thread.
pub(crate) type DoJob<J, A> = dyn Fn(J) -> A + Send + Sync;

/// Jobs at once. Each mostly waits for an answer from the network.
const AT_ONCE: usize = 16;
/// Jobs at once of each worker but the first: they have few, and their threads add up.
const AT_ONCE_PER_WORKER: usize = 2;

/// Until a thread is asked for again.
const RETRY: Duration = Duration::from_secs(1);

/// The jobs under way, and what came of others.
pub(crate) struct Jobs<J, A> {
    do_job: Arc<DoJob<J, A>>,
    offload: Offload,
    at_once: usize,
    under_way: usize,
    /// A job for which there was no thread yet, and when that is tried again.
    kept: Option<(J, Instant)>,
    mailbox: Mailbox<A>,
    answers: Receiver<(Source, A)>,
}

/// Tells a running application something from any thread, as if it were the answer to a job.
#[derive(Debug)]
pub struct Mailbox<A> {
    sender: Sender<(Source, A)>,
    waker: Arc<Waker>,
}

/// Who has an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A thread that is free again.
    Helper,
    /// Another part of the program.
    Other,
}

impl<J: Send + 'static, A: Send + 'static> Jobs<J, A> {
    pub(crate) fn new(do_job: impl Fn(J) -> A + Send + Sync + 'static, handle: &Handle) -> Self {
        Self::with(Arc::new(do_job), handle, AT_ONCE)
    }

    /// Does the jobs of another worker's application, on fewer threads.
    pub(crate) fn for_worker(&self, handle: &Handle) -> Self {
        Self::with(Arc::clone(&self.do_job), handle, AT_ONCE_PER_WORKER)
    }

    fn with(do_job: Arc<DoJob<J, A>>, handle: &Handle, at_once: usize) -> Self {
        let (sender, answers) = mpsc::channel();
        Self {
            do_job,
            offload: Offload::new(at_once),
            at_once,
            under_way: 0,
            kept: None,
            mailbox: Mailbox { sender, waker: handle.waker() },
            answers,
        }
    }

    /// Whether somebody is free.
    pub(crate) const fn has_room(&self) -> bool {
        self.under_way < self.at_once && self.kept.is_none()
    }

    /// Has a job done, now or as soon as the system gives a thread for it.
    pub(crate) fn start(&mut self, job: J, now: Instant) {
        if let Err(error) = self.offload.grow(self.under_way) {
            log::error!("cannot start a thread for a blocking job: {error}; trying again");
            self.kept = Some((job, now + RETRY));
        } else {
            self.hand_over(job);
        }
    }

    /// Tries once more, with the job that was kept.
    pub(crate) fn start_kept(&mut self, now: Instant) {
        if self.deadline().is_none_or(|due| due > now) {
            return;
        }
        let is_possible = self.offload.grow(self.under_way).is_ok();
        match self.kept.take() {
            Some((job, _)) if is_possible => self.hand_over(job),
            kept => self.kept = kept.map(|(job, _)| (job, now + RETRY)),
        }
    }

    /// When [`Self::start_kept`] is to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.kept.as_ref().map(|(_, due)| *due)
    }

    fn hand_over(&mut self, job: J) {
        let (do_job, mailbox) = (Arc::clone(&self.do_job), self.mailbox.clone());
        self.offload
            .enqueue(move || do_job(job), move |answer| mailbox.post(Source::Helper, answer))
            .expect("the queue holds as many as there may be at once");
        self.under_way += 1;
    }

    /// The next answer.
    pub(crate) fn poll_answer(&mut self) -> Option<A> {
        let (source, answer) = self.answers.try_recv().ok()?;
        if source == Source::Helper {
            self.under_way -= 1;
        }
        Some(answer)
    }

    pub(crate) fn mailbox(&self) -> Mailbox<A> {
        self.mailbox.clone()
    }
}

impl<A> Mailbox<A> {
    /// Tells it. Once the reactor has ended, nothing happens.
    pub fn tell(&self, answer: A) {
        self.post(Source::Other, answer);
    }

    fn post(&self, source: Source, answer: A) {
        if self.sender.send((source, answer)).is_ok() {
            let _ = self.waker.wake();
        }
    }
}

impl<A> Clone for Mailbox<A> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), waker: Arc::clone(&self.waker) }
    }
}

#[cfg(test)]
mod tests;
