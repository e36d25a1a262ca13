//! The ways in which a connection ends.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use crate::probe::{Heard, Rule, Running, pattern};

fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

#[test]
fn a_reset_of_an_idle_connection_is_heard() {
    let server = Running::serve(Rule::Echo);
    let stream = server.connect();
    assert_eq!(server.next(), Heard::Accepted);
    reset(stream);
    let reason = server.closed();
    assert!(reason.contains("reset"), "{reason}");
}

#[test]
fn a_reset_while_writing_is_heard() {
    let server = Running::serve(Rule::Source);
    let mut stream = server.connect();
    stream.read_exact(&mut vec![0; 1_000_000]).unwrap();
    reset(stream);
    let reason = server.closed();
    assert!(reason.contains("reset") || reason.contains("Broken pipe"), "{reason}");
}

#[test]
fn a_reset_while_blocked_on_writing_is_heard() {
    let server = Running::serve(Rule::Answer(64 << 20));
    let mut stream = server.connect();
    stream.write_all(b"request").unwrap();
    stream.read_exact(&mut [0; 10]).unwrap();
    reset(stream);
    let reason = server.closed();
    assert!(reason.contains("reset") || reason.contains("Broken pipe"), "{reason}");
}

#[test]
fn the_peer_may_finish_first_and_still_read() {
    let server = Running::serve(Rule::Echo);
    let mut stream = server.connect();
    stream.write_all(b"request").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "request");
    assert_eq!(server.closed(), "finished");
}

#[test]
fn we_may_finish_first_and_still_read() {
    let server = Running::serve(Rule::Speak(b"greeting".to_vec()));
    let mut stream = server.connect();
    let mut greeting = String::new();
    stream.read_to_string(&mut greeting).unwrap();
    assert_eq!(greeting, "greeting");
    let late = pattern(3 << 20);
    stream.write_all(&late).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(server.received() == late);
    assert_eq!(server.closed(), "finished");
}

/// Closing a socket with unread bytes resets it, and the reset overtakes the answer.
#[test]
fn a_big_answer_arrives_although_the_request_was_not_read() {
    let server = Running::serve(Rule::Answer(8 << 20));
    let mut stream = server.connect();
    stream.write_all(&pattern(2 << 20)).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.len(), 8 << 20);
    drop(stream);
    assert_eq!(server.closed(), "finished");
}

#[test]
fn an_answer_in_the_kernel_survives_our_giving_up_on_the_peer() {
    let server = Running::serve(Rule::Answer(100_000));
    let mut stream = server.connect();
    stream.write_all(b"request").unwrap();
    assert_eq!(server.closed(), "finished");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.len(), 100_000);
}

#[test]
fn an_abort_is_a_reset_for_the_peer() {
    let server = Running::serve(Rule::Abort);
    let mut stream = server.connect();
    stream.write_all(b"x").unwrap();
    let error = stream.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(server.closed(), "aborted");
}
