use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use mesh_protocol::{Buf, Flushed, PIECES_MAX};

use super::{Plain, settle};

/// Both ends of a connection; ours never blocks.
fn pair() -> (Plain, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    near.set_nonblocking(true).unwrap();
    (Plain { stream: mio::net::TcpStream::from_std(near) }, far)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

#[test]
fn what_was_not_written_is_queued_wherever_the_kernel_stopped() {
    let pieces: [&[u8]; 4] = [b"ab", b"", b"c", b"defg"];
    for queued in ["", "123"] {
        let whole = [queued, "abcdefg"].concat();
        for written in 0..=whole.len() {
            let mut tx = Buf::new();
            tx.extend(queued.as_bytes());
            settle(written, &mut tx, &pieces);
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
    let pieces: [&[u8]; PIECES_MAX] = [b"a", b"b", b"", b"c", b"d", b""];
    assert_eq!(near.flush_with(&mut tx, &pieces).unwrap(), Flushed::All(9));
    assert!(tx.is_empty());
    let mut got = [0; 9];
    far.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"head abcd");
}

#[test]
fn more_than_the_kernel_takes_arrives_whole() {
    let (mut near, mut far) = pair();
    let sent = pattern(64 << 20);
    let mut tx = Buf::new();
    tx.extend(&sent[..10]);
    let (first, second) = sent[10..].split_at(1000);
    let flushed = near.flush_with(&mut tx, &[first, second]).unwrap();
    let Flushed::Blocked(count) = flushed else { panic!("64 MiB had room: {flushed:?}") };
    assert_eq!(tx.as_slice(), &sent[count..]);
    let reader = thread::spawn(move || {
        let mut got = Vec::new();
        far.read_to_end(&mut got).unwrap();
        got
    });
    let mut poll = mio::Poll::new().unwrap();
    super::super::register(&mut near.stream, poll.registry(), mio::Token(0)).unwrap();
    let mut events = mio::Events::with_capacity(1);
    while let Flushed::Blocked(_) = near.flush(&mut tx, super::Then::More).unwrap() {
        poll.poll(&mut events, None).unwrap();
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
