use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::{AT_ONCE, Jobs, RETRY};
use crate::Handle;

const PATIENCE: Duration = Duration::from_secs(30);

/// Waits as a loop does: until the waker says that there is something to look at.
fn wait_answer<J: Send + 'static, A: Send + 'static>(poll: &mut Poll, jobs: &mut Jobs<J, A>) -> A {
    let (mut events, due) = (Events::with_capacity(8), Instant::now() + PATIENCE);
    loop {
        if let Some(answer) = jobs.poll_answer() {
            return answer;
        }
        assert!(Instant::now() < due, "an answer in time");
        poll.poll(&mut events, Some(PATIENCE)).unwrap();
    }
}

#[test]
fn jobs_are_done_elsewhere_and_their_answers_wake_the_loop() {
    let mut poll = Poll::new().unwrap();
    let (handle, _letters) = Handle::new(poll.registry(), Token(0)).unwrap();
    let here = std::thread::current().id();
    let mut jobs = Jobs::new(move |job: u32| (job * 2, std::thread::current().id()), &handle);
    jobs.start(21, Instant::now());
    let (answer, thread) = wait_answer(&mut poll, &mut jobs);
    assert_eq!(answer, 42);
    assert_ne!(thread, here);
}

#[test]
fn jobs_one_after_the_other_share_a_thread() {
    let mut poll = Poll::new().unwrap();
    let (handle, _letters) = Handle::new(poll.registry(), Token(0)).unwrap();
    let mut jobs = Jobs::new(|job: u32| job, &handle);
    for job in 0..3 {
        jobs.start(job, Instant::now());
        assert_eq!(wait_answer(&mut poll, &mut jobs), job);
    }
    assert_eq!(jobs.offload.threads(), 1);
}

#[test]
fn no_more_jobs_are_taken_than_can_be_done() {
    let mut poll = Poll::new().unwrap();
    let (handle, _letters) = Handle::new(poll.registry(), Token(0)).unwrap();
    let (release, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let mut jobs = Jobs::new(
        move |job: usize| {
            gate.lock().unwrap().recv().unwrap();
            job
        },
        &handle,
    );
    let mut started = 0;
    while jobs.has_room() {
        jobs.start(started, Instant::now());
        started += 1;
    }
    assert_eq!(started, AT_ONCE);
    assert_eq!(jobs.offload.threads(), AT_ONCE);
    // What somebody else tells frees nobody.
    jobs.mailbox().tell(1000);
    assert_eq!(wait_answer(&mut poll, &mut jobs), 1000);
    assert!(!jobs.has_room());
    release.send(()).unwrap();
    wait_answer(&mut poll, &mut jobs);
    assert!(jobs.has_room());
    drop(release);
}

#[test]
fn a_job_waits_for_a_thread_and_asks_for_it_each_second() {
    let mut poll = Poll::new().unwrap();
    let (handle, _letters) = Handle::new(poll.registry(), Token(0)).unwrap();
    let mut jobs = Jobs::new(|job: u32| job * 2, &handle);
    let now = Instant::now();
    jobs.offload.ask_for_too_much(true);
    jobs.start(21, now);
    assert!(!jobs.has_room(), "one waits");
    assert_eq!(jobs.deadline(), Some(now + RETRY));
    jobs.start_kept(now + RETRY);
    assert_eq!(jobs.deadline(), Some(now + 2 * RETRY));
    jobs.offload.ask_for_too_much(false);
    jobs.start_kept(now + RETRY);
    assert!(!jobs.has_room(), "not before its time");
    jobs.start_kept(now + 2 * RETRY);
    assert_eq!((jobs.deadline(), jobs.has_room()), (None, true));
    assert_eq!(wait_answer(&mut poll, &mut jobs), 42);
}
