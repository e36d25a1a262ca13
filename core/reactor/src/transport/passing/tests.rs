use std::io::Read;
use std::thread;

use mesh_protocol::{Buf, Flushed, PIECES_MAX, Transport};

use super::consume_written;
use crate::transport::Socket;
use crate::transport::tests::{Events, pair, pattern, read_all, sealed_pair};

#[test]
fn what_was_not_written_is_queued_wherever_the_kernel_stopped() {
    let pieces: [&[u8]; 4] = [b"ab", b"", b"c", b"defg"];
    for queued in ["", "123"] {
        let whole = [queued, "abcdefg"].concat();
        for written in 0..=whole.len() {
            let mut tx = Buf::new();
            tx.extend(queued.as_bytes());
            consume_written(written, &mut tx, &pieces);
            assert_eq!(tx.as_slice(), &whole.as_bytes()[written..]);
            assert_eq!(tx.taken(), written as u64, "what was sent counts");
        }
    }
}

#[test]
fn little_goes_at_once_and_leaves_nothing() {
    let (mut near, mut far) = pair();
    let mut tx = Buf::new();
    tx.extend(b"head ");
    let mut pieces: [&[u8]; PIECES_MAX] = [&[]; _];
    pieces[..5].copy_from_slice(&[b"a", b"b", b"", b"c", b"d"]);
    assert_eq!(near.flush_with(&mut tx, &pieces).unwrap(), Flushed::All(9));
    assert!(tx.is_empty());
    let mut got = [0; 9];
    far.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"head abcd");
}

#[test]
fn more_than_the_kernel_takes_arrives_whole() {
    let (mut near, far) = pair();
    let sent = pattern(64 << 20);
    let mut tx = Buf::new();
    tx.extend(&sent[..10]);
    let (first, second) = sent[10..].split_at(1000);
    let flushed = near.flush_with(&mut tx, &[first, second]).unwrap();
    let Flushed::Blocked(count) = flushed else { panic!("64 MiB had room: {flushed:?}") };
    assert_eq!(tx.as_slice(), &sent[count..]);
    let reader = thread::spawn(move || read_all(far));
    let mut events = Events::of(&mut near.stream);
    while let Flushed::Blocked(_) = near.flush(&mut tx, super::Then::More).unwrap() {
        events.wait();
    }
    drop(near);
    assert!(reader.join().unwrap() == sent);
}

#[test]
fn a_peer_that_is_gone_is_an_error() {
    let (mut near, far) = pair();
    near.stream.shutdown(std::net::Shutdown::Write).unwrap();
    drop(far);
    assert!(near.flush_with(&mut Buf::new(), &[b"x"]).is_err());
}

#[test]
fn what_passes_before_and_after_a_handshake_arrives_in_order() {
    let (mut near, reader) = sealed_pair(read_all);
    let (sent, mut tx, mut rx) = (pattern(40 << 20), Buf::new(), Buf::new());
    let mut scratch = [0; 4096];
    let mut events = Events::of(&mut near.stream);
    let (early, late) = sent.split_at(1000);
    tx.extend(&early[..10]);
    let flushed = near.flush_with(&mut tx, &[&early[10..]]).unwrap();
    assert_eq!((flushed, tx.as_slice()), (Flushed::All(0), early), "nothing is sealed yet");
    while near.filter.is_handshaking() {
        events.wait();
        near.fill(&mut rx, 1, &mut scratch).unwrap();
        near.flush(&mut tx, super::Then::More).unwrap();
    }
    for pieces in late.chunks(100_000) {
        let (first, second) = pieces.split_at(pieces.len() / 3);
        let (before, queued) = (tx.taken(), tx.len());
        let mut flushed = near.flush_with(&mut tx, &[first, second]).unwrap();
        let sealed = tx.taken() - before;
        assert_eq!(
            tx.len() as u64,
            (queued + pieces.len()) as u64 - sealed,
            "what was sealed counts"
        );
        if let Flushed::All(count) = flushed {
            assert!(count > pieces.len() && tx.is_empty(), "everything left, sealed");
        }
        while let Flushed::Blocked(_) = flushed {
            events.wait();
            flushed = near.flush(&mut tx, super::Then::More).unwrap();
        }
    }
    let mut near = Socket::Tls(near);
    while let Flushed::Blocked(_) = near.finish().unwrap() {
        events.wait();
    }
    assert!(reader.join().unwrap() == sent);
}
