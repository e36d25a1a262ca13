//! Bytes go in and come out the same.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

use crate::probe::{Heard, Rule, Running, pattern, target};

#[test]
fn a_message_comes_back_at_once() {
    let server = Running::serve(Rule::Echo);
    let mut stream = server.connect();
    for round in 0..100 {
        let message = format!("message {round}");
        stream.write_all(message.as_bytes()).unwrap();
        let mut answer = vec![0; message.len()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, message.as_bytes());
    }
}

#[test]
fn ten_megabytes_come_back_in_order() {
    let server = Running::serve(Rule::Echo);
    let stream = server.connect();
    let bytes = pattern(10 << 20);
    thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(&bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let mut answer = Vec::new();
        (&stream).read_to_end(&mut answer).unwrap();
        assert!(answer == bytes, "{} bytes came back", answer.len());
    });
    assert_eq!(server.closed(), "finished");
}

#[test]
fn two_reactors_talk() {
    let server = Running::serve(Rule::Echo);
    let bytes = pattern(3 << 20);
    let target = target("127.0.0.1", server.address.port());
    let client = Running::dial(target, Rule::Ask(bytes.clone()));
    assert_eq!(client.next(), Heard::Connected);
    assert!(client.received() == bytes);
    assert_eq!(client.closed(), "finished");
    assert_eq!(server.closed(), "finished");
}

/// The FIN often comes with the last bytes in one event; a reader that takes a short read for
/// "nothing more" never hears of it.
#[test]
fn an_end_that_comes_with_the_bytes_is_not_lost() {
    let server = Running::serve(Rule::Echo);
    for round in 0..1000 {
        let mut stream = server.connect();
        let bytes = pattern(1 + round * 7);
        stream.write_all(&bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer == bytes, "round {round}");
        assert_eq!(server.closed(), "finished");
    }
}

#[test]
fn four_thousand_connections_are_served() {
    let server = Running::serve(Rule::Echo);
    // Both ends of each connection are in this process, beside the other tests.
    let count = 4000.min((descriptors_max() - 1000) / 2);
    let mut streams: Vec<_> = (0..count).map(|_| server.connect()).collect();
    for round in 0..3 {
        for (index, stream) in streams.iter_mut().enumerate() {
            let message = format!("{round} of {index}");
            stream.write_all(message.as_bytes()).unwrap();
        }
        for (index, stream) in streams.iter_mut().enumerate() {
            let message = format!("{round} of {index}");
            let mut answer = vec![0; message.len()];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer, message.as_bytes());
        }
    }
    drop(streams);
    for _ in 0..count {
        assert_eq!(server.closed(), "finished");
    }
}

/// The soft limit of open files. Below a usable one the test shrinks, down to ten connections.
fn descriptors_max() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3));
    soft.and_then(|soft| soft.parse().ok()).unwrap_or(1024).max(1020)
}
