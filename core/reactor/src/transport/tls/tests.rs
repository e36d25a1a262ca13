use std::io::{Read, Write};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use mesh_protocol::tls::TlsFilter;
use mesh_protocol::{Buf, Filled, Flushed};
use rustls::crypto::ring;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::version::TLS12;
use rustls::{
    CertificateError, CipherSuiteCommon, ClientConfig, ClientConnection, RootCertStore,
    SupportedCipherSuite, Tls12CipherSuite,
};
use socket2::SockRef;

use super::{Then, Tls, explain};
use crate::transport::tests::{Events, pattern, read_all, sealed_pair, sealed_pair_by};

/// Reads and writes until both ends agree.
fn shake_hands(near: &mut Tls, events: &mut Events) {
    let (mut rx, mut scratch) = (Buf::new(), [0; 4096]);
    while near.filter.is_handshaking() {
        let flushed = near.flush(&mut Buf::new(), Then::More).unwrap();
        assert_eq!(flushed, Flushed::All(0), "a handshake is nobody's bytes");
        events.wait();
        near.fill(&mut rx, 1, &mut scratch).unwrap();
    }
    near.flush(&mut Buf::new(), Then::More).unwrap();
    assert!(rx.is_empty());
}

#[test]
fn no_more_is_read_than_there_is_room_for_and_a_record() {
    const ROOM: usize = 64 * 1024;
    let (told, hears) = mpsc::channel::<()>();
    let (mut near, far) = sealed_pair(move |mut far| {
        far.write_all(&pattern(1 << 20)).unwrap();
        far.flush().unwrap();
        hears.recv().unwrap_err();
    });
    SockRef::from(&near.stream).set_recv_buffer_size(4 * ROOM).unwrap();
    let mut events = Events::of(&mut near.stream);
    shake_hands(&mut near, &mut events);
    let mut scratch = vec![0; 2 * ROOM];
    // The kernel has more than twice of what there is room for.
    while near.stream.peek(&mut vec![0; 3 * ROOM]).unwrap_or(0) < 3 * ROOM / 2 {
        events.wait();
    }
    let mut rx = Buf::new();
    let filled = near.fill(&mut rx, ROOM, &mut scratch).unwrap();
    assert_eq!(filled, Filled::More(rx.len()));
    assert!(rx.len() > ROOM - super::CIPHERTEXT_BYTES_MIN, "{}", rx.len());
    assert!(rx.len() < ROOM + 20 * 1024, "{}", rx.len());
    let mut got = 0;
    let sent = pattern(1 << 20);
    loop {
        assert_eq!(rx.as_slice(), &sent[got..got + rx.len()]);
        got += rx.len();
        if got == sent.len() {
            break;
        }
        rx.clear();
        while near.fill(&mut rx, ROOM, &mut scratch).unwrap() == Filled::Blocked(0) {
            events.wait();
        }
    }
    drop(told);
    far.join().unwrap();
}

#[test]
fn what_came_before_a_mistake_is_read_first() {
    let (told, hears) = mpsc::channel::<()>();
    let (mut near, far) = sealed_pair(move |mut far| {
        far.conn.complete_io(&mut far.sock).unwrap();
        far.conn.writer().write_all(b"good").unwrap();
        let mut sent = Vec::new();
        far.conn.write_tls(&mut sent).unwrap();
        // With it comes a record that nobody sealed.
        sent.extend(b"\x17\x03\x03\x00\x20these 32 bytes have got no seal.");
        far.sock.write_all(&sent).unwrap();
        hears.recv().unwrap_err();
    });
    let mut events = Events::of(&mut near.stream);
    shake_hands(&mut near, &mut events);
    let (mut rx, mut scratch) = (Buf::new(), [0; 4096]);
    while near.fill(&mut rx, 4096, &mut scratch).unwrap() == Filled::Blocked(0) {
        events.wait();
    }
    assert_eq!(rx.as_slice(), b"good");
    // The peer stays, and the kernel has nothing more to say.
    assert!(near.fill(&mut rx, 4096, &mut scratch).is_err());
    drop((near, told));
    far.join().unwrap();
}

#[test]
fn what_was_sealed_before_counts_when_it_leaves() {
    let (may_read, waits) = mpsc::channel();
    let (mut near, far) = sealed_pair(move |mut far| {
        far.read_exact(&mut [0]).unwrap();
        waits.recv().unwrap();
        read_all(far)
    });
    let mut events = Events::of(&mut near.stream);
    shake_hands(&mut near, &mut events);
    let (mut tx, mut sent) = (Buf::new(), 0);
    let blocked = loop {
        tx.extend(&[1; 10_000]);
        sent += tx.len();
        match near.flush(&mut tx, Then::More).unwrap() {
            Flushed::All(count) => assert!(count > 10_000, "{count}"),
            Flushed::Blocked(count) => break count,
        }
    };
    assert!(tx.is_empty() && near.filter.has_outgoing() && blocked < 11_000, "{blocked}");
    may_read.send(()).unwrap();
    loop {
        events.wait();
        match near.flush(&mut tx, Then::More).unwrap() {
            Flushed::Blocked(0) => {}
            Flushed::All(count) | Flushed::Blocked(count) => break assert!(count > 0),
        }
    }
    near.filter.finish();
    while let Flushed::Blocked(_) = near.flush(&mut tx, Then::More).unwrap() {
        events.wait();
    }
    assert_eq!(far.join().unwrap().len(), sent - 1);
}

/// A client whose keys are good for so many records.
fn frail(certificate: &rcgen::Certificate, records: u64) -> TlsFilter {
    let mut provider = ring::default_provider();
    for suite in &mut provider.cipher_suites {
        if let SupportedCipherSuite::Tls12(strong) = *suite {
            let common = CipherSuiteCommon {
                suite: strong.common.suite,
                hash_provider: strong.common.hash_provider,
                confidentiality_limit: records,
            };
            let frail = Tls12CipherSuite { common, ..*strong };
            *suite = SupportedCipherSuite::Tls12(Box::leak(Box::new(frail)));
        }
    }
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("mesh.test").unwrap();
    TlsFilter::new(ClientConnection::new(Arc::new(config), name).unwrap())
}

#[test]
fn what_no_key_is_left_for_breaks_the_connection() {
    let (mut near, far) = sealed_pair_by(
        |certificate| frail(certificate, 100),
        |mut far| {
            let mut got = Vec::new();
            (far.read_to_end(&mut got).is_ok(), got.len())
        },
    );
    let mut events = Events::of(&mut near.stream);
    shake_hands(&mut near, &mut events);
    let mut tx = Buf::new();
    let whole = pattern(200 * 16 * 1024);
    tx.extend(&whole);
    while let Ok(flushed) = near.flush(&mut tx, Then::More) {
        assert!(!tx.is_empty(), "there are keys for half of it");
        match flushed {
            Flushed::All(count) => assert!(count > 0, "it would wait for ever"),
            Flushed::Blocked(_) => events.wait(),
        }
    }
    let left = tx.len();
    drop(near);
    assert_eq!(far.join().unwrap(), (false, whole.len() - left), "its end is no clean one");
}

/// The peer is well, and has no reason to end what the driver waits for.
#[test]
fn what_no_key_is_left_for_ends_reading_too_while_the_peer_stays() {
    let (told, hears) = mpsc::channel::<()>();
    let (mut near, far) = sealed_pair_by(
        |certificate| frail(certificate, 100),
        move |mut far| {
            let _ = std::io::copy(&mut far, &mut std::io::sink());
            hears.recv().unwrap_err();
        },
    );
    let mut events = Events::of(&mut near.stream);
    shake_hands(&mut near, &mut events);
    let mut tx = Buf::new();
    tx.extend(&pattern(200 * 16 * 1024));
    let error = loop {
        match near.flush(&mut tx, Then::More) {
            Ok(Flushed::All(_)) => {}
            Ok(Flushed::Blocked(_)) => events.wait(),
            Err(error) => break error,
        }
    };
    let (mut rx, mut scratch) = (Buf::new(), [0; 4096]);
    let filled = near.fill(&mut rx, 4096, &mut scratch);
    assert_eq!(filled.unwrap_err().to_string(), error.to_string());
    drop((near, told));
    far.join().unwrap();
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_in_the_same_words_at_any_time() {
    let at = |second| UnixTime::since_unix_epoch(Duration::from_secs(second));
    let say = |error: CertificateError| explain(error.into()).to_string();
    for time in [200, 201].map(at) {
        let error = say(CertificateError::ExpiredContext { time, not_after: at(100) });
        assert_eq!(error, "the certificate of the peer has expired by the clock of this machine");
        let error = say(CertificateError::NotValidYetContext { time, not_before: at(300) });
        assert_eq!(
            error,
            "the certificate of the peer is not valid yet by the clock of this machine"
        );
    }
    let error = say(CertificateError::UnknownIssuer);
    assert_eq!(error, "invalid peer certificate: UnknownIssuer");
}
