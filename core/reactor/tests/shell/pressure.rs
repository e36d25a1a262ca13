//! Peers that send too much or read too little cost a bounded amount and harm nobody else.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::probe::{Heard, PATIENCE, RX_LIMIT, Rule, Running, pattern};

/// What both kernels may hold of one direction: the defaults of `tcp_rmem` and `tcp_wmem` grow to
/// 6 and 4 MiB, and some systems allow more.
const KERNEL_BYTES_MAX: usize = 40 << 20;

#[test]
fn a_peer_that_sends_without_end_is_stopped() {
    let server = Running::serve(Rule::Keep);
    let mut stream = server.connect();
    // A full kernel shows as a write that times out, and so does a server that gets no processor.
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let piece = vec![0; 64 * 1024];
    let (due, mut sent, mut held) = (Instant::now() + PATIENCE, 0, 0);
    while held < RX_LIMIT {
        assert!(Instant::now() < due, "only {held} bytes were read");
        while let Ok(count) = stream.write(&piece) {
            sent += count;
            assert!(sent <= KERNEL_BYTES_MAX, "nobody stopped us");
        }
        let heard = server.heard.try_iter().filter_map(|heard| match heard {
            Heard::Holding(held) => Some(held),
            Heard::Accepted
            | Heard::Connected
            | Heard::Received(_)
            | Heard::Deadline(_)
            | Heard::Closed(_)
            | Heard::Tick
            | Heard::Adopted(_)
            | Heard::Told(..)
            | Heard::Drain => None,
        });
        held = heard.fold(held, usize::max);
    }
    assert_eq!(held, RX_LIMIT);
}

#[test]
fn a_peer_that_does_not_read_harms_nobody() {
    let server = Running::serve(Rule::Echo);
    let mut deaf = server.connect();
    deaf.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let piece = vec![0; 64 * 1024];
    let mut sent = 0;
    while let Ok(count) = deaf.write(&piece) {
        sent += count;
    }
    let mut stream = server.connect();
    for round in 0..100 {
        let bytes = pattern(1000 + round);
        stream.write_all(&bytes).unwrap();
        let mut answer = vec![0; bytes.len()];
        stream.read_exact(&mut answer).unwrap();
        assert!(answer == bytes);
    }
    // Once it listens, it gets everything: nothing was lost and no edge was missed.
    deaf.read_exact(&mut vec![1; sent]).unwrap();
}
