//! TLS to a server that is not ours.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use mesh_protocol::{Security, Target, Traffic};
use mesh_reactor::{CaError, ClientTls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{
    DEFAULT_VERSIONS, HandshakeKind, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion,
};

use crate::probe::{Heard, PATIENCE, Rule, Running, pattern};

/// An authority, and a server for `localhost` that it vouches for.
struct Authority {
    pem: String,
    config: Arc<ServerConfig>,
}

impl Authority {
    fn new() -> Self {
        Self::speaking(DEFAULT_VERSIONS)
    }

    /// One whose server speaks no other versions of TLS.
    fn speaking(versions: &[&'static SupportedProtocolVersion]) -> Self {
        let authority_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { pem, config: Arc::new(config) }
    }

    fn trusted(&self) -> ClientTls {
        ClientTls::with_ca_file(self.pem.as_bytes()).unwrap()
    }

    /// Serves one connection on a thread of its own.
    fn serve(&self, serve: fn(StreamOwned<ServerConnection, TcpStream>)) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let config = Arc::clone(&self.config);
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let session = ServerConnection::new(config).unwrap();
            serve(StreamOwned::new(session, stream));
        });
        address
    }
}

fn secure(host: &str, address: SocketAddr) -> Target {
    Target {
        host: host.to_owned(),
        port: address.port(),
        security: Security::Tls,
        traffic: Traffic::Multiplexed,
        via: None,
    }
}

fn echo(mut stream: StreamOwned<ServerConnection, TcpStream>) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => stream.write_all(&bytes[..count]).unwrap(),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    stream.conn.send_close_notify();
    stream.flush().unwrap();
}

/// Fails the handshake and waits for the client to go.
fn be_refused(mut stream: StreamOwned<ServerConnection, TcpStream>) {
    let error = stream.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    assert!(error.to_string().contains("alert"), "{error}");
}

#[test]
fn ten_megabytes_come_back_in_order() {
    let authority = Authority::new();
    let address = authority.serve(echo);
    let bytes = pattern(10 << 20);
    let rule = Rule::Ask(bytes.clone());
    let client = Running::dial_trusting(secure("localhost", address), rule, authority.trusted());
    assert_eq!(client.next(), Heard::Connected);
    assert!(client.received() == bytes);
    assert_eq!(client.closed(), "finished");
}

#[test]
fn what_waits_for_the_handshake_leaves_after_it_with_either_version() {
    for version in [&TLS12, &TLS13] {
        let authority = Authority::speaking(&[version]);
        let address = authority.serve(echo);
        let (target, rule) = (secure("localhost", address), Rule::Ask(b"hello".to_vec()));
        let client = Running::dial_trusting(target, rule, authority.trusted());
        assert_eq!(client.next(), Heard::Connected);
        assert_eq!(client.received(), b"hello");
        assert_eq!(client.closed(), "finished");
    }
}

#[test]
fn a_server_that_is_known_has_to_show_its_certificate_again() {
    for version in [&TLS12, &TLS13] {
        let authority = Authority::speaking(&[version]);
        let trusted = authority.trusted();
        for _ in 0..2 {
            let address = authority.serve(|mut stream| {
                // Tickets of TLS 1.3 are before the first byte that comes back.
                let mut asked = [0; 5];
                stream.read_exact(&mut asked).unwrap();
                assert_eq!(stream.conn.handshake_kind(), Some(HandshakeKind::Full));
                stream.write_all(&asked).unwrap();
                echo(stream);
            });
            let (target, rule) = (secure("localhost", address), Rule::Ask(b"hello".to_vec()));
            let client = Running::dial_trusting(target, rule, trusted.clone());
            assert_eq!(client.next(), Heard::Connected);
            assert_eq!(client.received(), b"hello");
            assert_eq!(client.closed(), "finished");
        }
    }
}

#[test]
fn what_the_server_says_first_is_heard() {
    let authority = Authority::new();
    let address = authority.serve(|mut stream| {
        stream.write_all(b"greeting").unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"answer");
    });
    let rule = Rule::Speak(b"answer".to_vec());
    let client = Running::dial_trusting(secure("localhost", address), rule, authority.trusted());
    assert_eq!(client.received(), b"greeting");
    assert_eq!(client.closed(), "finished");
}

#[test]
fn an_unknown_authority_is_refused_in_words() {
    let authority = Authority::new();
    let address = authority.serve(be_refused);
    let client = Running::dial(secure("localhost", address), Rule::Ask(vec![1]));
    let reason = client.closed();
    assert!(reason.contains("UnknownIssuer"), "{reason}");
}

#[test]
fn another_authority_than_the_private_one_is_refused() {
    let address = Authority::new().serve(be_refused);
    let tls = Authority::new().trusted();
    let client = Running::dial_trusting(secure("localhost", address), Rule::Ask(vec![1]), tls);
    let reason = client.closed();
    assert!(reason.contains("invalid peer certificate"), "{reason}");
}

#[test]
fn a_wrong_name_is_refused_in_words() {
    let authority = Authority::new();
    let address = authority.serve(be_refused);
    let target = secure("127.0.0.1", address);
    let client = Running::dial_trusting(target, Rule::Ask(vec![1]), authority.trusted());
    let reason = client.closed();
    assert!(reason.contains("not valid for name"), "{reason}");
}

#[test]
fn an_end_without_a_goodbye_is_an_error() {
    let authority = Authority::new();
    let address = authority.serve(|mut stream| {
        stream.read_exact(&mut [0; 400]).unwrap();
        stream.write_all(b"half an answ").unwrap();
    });
    let rule = Rule::Ask(vec![1; 400]);
    let client = Running::dial_trusting(secure("localhost", address), rule, authority.trusted());
    let reason = client.closed();
    assert!(reason.contains("middle of the TLS session"), "{reason}");
}

#[test]
fn a_server_without_tls_is_refused_in_words() {
    let server = Running::serve(Rule::Echo);
    let client = Running::dial(secure("localhost", server.address), Rule::Ask(vec![1]));
    let reason = client.closed();
    assert!(!reason.contains("finished"), "{reason}");
}

#[test]
fn a_file_without_certificates_is_refused_in_words() {
    let word = |pem: &str| ClientTls::with_ca_file(pem.as_bytes()).unwrap_err();
    assert!(matches!(word(""), CaError::NoCertificate));
    assert!(matches!(word("no certificate"), CaError::NoCertificate));
    let key = KeyPair::generate().unwrap().serialize_pem();
    assert!(matches!(word(&key), CaError::NoCertificate));
    assert!(word(&key).to_string().contains("no certificate"));
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    assert!(matches!(word(cut), CaError::Malformed(_)));
    let wrong = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(word(wrong), CaError::Unusable(_)));
}
