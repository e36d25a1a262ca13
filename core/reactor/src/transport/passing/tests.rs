use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use mesh_protocol::{Buf, Flushed, PIECES_MAX, Transport};
use mio::event::Source;
use rcgen::KeyPair;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Plain, settle};
use crate::ClientTls;
use crate::transport::{Socket, Tls};

/// Both ends of a connection; ours never blocks.
fn pair() -> (Plain, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    near.set_nonblocking(true).unwrap();
    (Plain { stream: mio::net::TcpStream::from_std(near) }, far)
}

/// Everything that comes until the other end says that nothing follows.
fn reads_all(mut far: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut got = Vec::new();
        far.read_to_end(&mut got).unwrap();
        got
    })
}

/// What the kernel says of our end.
struct Events {
    poll: mio::Poll,
    events: mio::Events,
}

impl Events {
    fn of(stream: &mut mio::net::TcpStream) -> Self {
        let poll = mio::Poll::new().unwrap();
        let both = mio::Interest::READABLE | mio::Interest::WRITABLE;
        stream.register(poll.registry(), mio::Token(0), both).unwrap();
        Self { poll, events: mio::Events::with_capacity(1) }
    }

    fn wait(&mut self) {
        self.poll.poll(&mut self.events, None).unwrap();
    }
}

/// Our end of a connection with TLS that nobody has spoken on yet, and what the other end reads.
fn sealed_pair() -> (Box<Tls>, JoinHandle<Vec<u8>>) {
    let (near, far) = pair();
    let key = KeyPair::generate().unwrap();
    let names = vec!["mesh.test".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let session = ServerConnection::new(Arc::new(config)).unwrap();
    let trust = ClientTls::with_ca_file(certificate.pem().as_bytes()).unwrap();
    let socket = Socket::tls(near.stream, trust.session("mesh.test").unwrap());
    let Socket::Tls(near) = socket else { panic!("asked for TLS") };
    (near, reads_all(StreamOwned::new(session, far)))
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
    let reader = reads_all(far);
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
    let (mut near, reader) = sealed_pair();
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
        let (Flushed::All(count) | Flushed::Blocked(count)) = flushed;
        assert_eq!(tx.taken(), before + count as u64, "what was sealed counts");
        assert_eq!(tx.len(), queued + pieces.len() - count);
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
