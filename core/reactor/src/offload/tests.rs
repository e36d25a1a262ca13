use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::{Offload, QUEUE_JOBS_MAX};

const THREADS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn what_a_job_returns_is_delivered() {
    let mut offload = Offload::new(THREADS);
    let (sender, receiver) = mpsc::channel();
    for number in 0..100 {
        let sender = sender.clone();
        offload.submit(move || number * 2, move |twice| sender.send(twice).unwrap()).unwrap();
    }
    let mut results: Vec<i32> =
        (0..100).map(|_| receiver.recv_timeout(PATIENCE).unwrap()).collect();
    results.sort_unstable();
    assert!(results.into_iter().eq((0..100).map(|number| number * 2)));
}

#[test]
fn a_full_queue_refuses_and_recovers() {
    let mut offload = Offload::new(THREADS);
    let (unblock, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let (sender, receiver) = mpsc::channel();
    let mut accepted = 0;
    let error = loop {
        let (gate, sender) = (Arc::clone(&gate), sender.clone());
        let job = move || {
            // Each job ends when the gate opens for good.
            let _ = gate.lock().unwrap().recv();
        };
        match offload.submit(job, move |()| sender.send(()).unwrap()) {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted <= QUEUE_JOBS_MAX + THREADS);
    };
    assert!(error.to_string().contains("too many"), "{error}");
    drop(unblock);
    for _ in 0..accepted {
        receiver.recv_timeout(PATIENCE).unwrap();
    }
    offload.submit(|| (), |()| ()).unwrap();
}

#[test]
fn jobs_bring_their_threads_up_to_the_limit() {
    let mut offload = Offload::new(THREADS);
    let counts = (0..2 * THREADS).map(|_| {
        offload.submit(|| (), |()| ()).unwrap();
        offload.threads
    });
    assert_eq!(counts.collect::<Vec<_>>(), [1, 2, 3, 4, 4, 4, 4, 4]);
}
