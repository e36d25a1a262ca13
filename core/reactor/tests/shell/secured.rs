//! TLS for those who connect to us.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;

use mesh_protocol::{Security, Target, Traffic};
use mesh_reactor::{ClientTls, ServerTls, Signals, TlsIdentity};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

use crate::probe::{Heard, Probe, Rule, Running, connect, pattern};

/// An authority.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate of an authority, and its key.
struct Certificate {
    pem: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        Self::called("authority")
    }

    fn called(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Verifiers look authorities up by their names.
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, name: &str, last_year: i32) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(last_year, 1, 1);
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Certificate { pem, key: key.serialize_pem() }
    }
}

impl Certificate {
    fn identity(&self) -> TlsIdentity {
        TlsIdentity::from_pem(self.pem.as_bytes(), self.key.as_bytes()).unwrap()
    }
}

/// Serves whoever connects by this rule.
fn serve(rule: Rule, tls: ServerTls) -> Running {
    Running::start_with(Probe::new(rule), ClientTls::web_roots(), Signals::Ignore, Some(tls))
}

/// What a caller has: whom it trusts, and who it is.
fn client(
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
    own: Option<&Certificate>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => config.with_no_client_auth(),
        Some(own) => {
            let chain = vec![CertificateDer::from_pem_slice(own.pem.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

fn call(at: SocketAddr, config: &Arc<ClientConfig>) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("mesh.test").unwrap();
    let session = ClientConnection::new(Arc::clone(config), name).unwrap();
    StreamOwned::new(session, connect(at))
}

/// Says something, and hears it again.
fn exchange(stream: &mut StreamOwned<ClientConnection, TcpStream>) -> std::io::Result<()> {
    stream.write_all(b"hello")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    assert_eq!(&answer, b"hello");
    Ok(())
}

/// The first certificate that the server showed.
fn shown(stream: &StreamOwned<ClientConnection, TcpStream>) -> CertificateDer<'static> {
    stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
}

#[test]
fn megabytes_pass_both_ways_with_either_version() {
    let authority = Authority::new();
    let server = serve(Rule::Echo, ServerTls::new(&authority.issue("mesh.test", 2099).identity()));
    for version in [&TLS12, &TLS13] {
        let mut stream = call(server.address, &client(&authority, version, None));
        exchange(&mut stream).unwrap();
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        let bytes = pattern(3 << 20);
        let mut answer = vec![0; bytes.len()];
        for (sent, got) in bytes.chunks(50_000).zip(answer.chunks_mut(50_000)) {
            stream.write_all(sent).unwrap();
            stream.read_exact(got).unwrap();
        }
        assert!(answer == bytes);
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the server says goodbye as well");
        stream.sock.shutdown(Shutdown::Write).unwrap();
        assert_eq!(server.closed(), "finished");
    }
}

#[test]
fn a_session_moves_with_its_keys() {
    let authority = Authority::new();
    let tls = ServerTls::new(&authority.issue("mesh.test", 2099).identity());
    for version in [&TLS12, &TLS13] {
        let rule = Rule::Pass(2, Box::new(Rule::Pass(1, Box::new(Rule::Echo))));
        let server = Running::three(Probe::new(rule), Some(tls.clone()), None);
        let mut stream = call(server.address, &client(&authority, version, None));
        for _ in 0..10 {
            exchange(&mut stream).unwrap();
        }
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the server says goodbye as well");
        stream.sock.shutdown(Shutdown::Write).unwrap();
        assert_eq!(server.closed(), "finished");
    }
}

#[test]
fn two_reactors_talk() {
    let authority = Authority::new();
    let tls = ServerTls::new(&authority.issue("localhost", 2099).identity());
    let server = serve(Rule::Echo, tls);
    let bytes = pattern(3 << 20);
    let target = Target {
        host: "localhost".to_owned(),
        port: server.address.port(),
        security: Security::Tls,
        traffic: Traffic::Multiplexed,
        via: None,
    };
    let trust = ClientTls::with_ca_file(authority.pem.as_bytes()).unwrap();
    let client = Running::dial_trusting(target, Rule::Ask(bytes.clone()), trust);
    assert!(client.received() == bytes);
    assert_eq!(client.closed(), "finished");
}

#[test]
fn who_comes_back_is_known_until_the_certificate_is_replaced() {
    let authority = Authority::new();
    let (old, new) = (authority.issue("mesh.test", 2098), authority.issue("mesh.test", 2099));
    let tls = ServerTls::new(&old.identity());
    let server = serve(Rule::Echo, tls.clone());
    for version in [&TLS12, &TLS13] {
        tls.replace(&ServerTls::new(&old.identity()));
        let config = client(&authority, version, None);
        let mut first = call(server.address, &config);
        exchange(&mut first).unwrap();
        assert_eq!(first.conn.handshake_kind(), Some(HandshakeKind::Full));
        let mut second = call(server.address, &config);
        exchange(&mut second).unwrap();
        assert_eq!(second.conn.handshake_kind(), Some(HandshakeKind::Resumed));
        let before = shown(&first);
        tls.replace(&ServerTls::new(&new.identity()));
        let mut third = call(server.address, &config);
        exchange(&mut third).unwrap();
        assert_eq!(third.conn.handshake_kind(), Some(HandshakeKind::Full));
        assert_ne!(shown(&third), before);
        exchange(&mut first).expect("the old connection goes on");
    }
}

#[test]
fn a_required_certificate_is_looked_at_each_time_and_its_names_are_heard() {
    let (authority, agents) = (Authority::new(), Authority::called("agents"));
    let identity = authority.issue("mesh.test", 2099).identity();
    let tls = ServerTls::with_client_ca(&identity, agents.pem.as_bytes()).unwrap();
    let server = serve(Rule::Keep, tls);
    let own = agents.issue("Edge.Example.com", 2099);
    for version in [&TLS12, &TLS13] {
        let config = client(&authority, version, Some(&own));
        for _ in 0..2 {
            let mut stream = call(server.address, &config);
            stream.write_all(b"x").unwrap();
            stream.flush().unwrap();
            while server.next() != Heard::Holding(1) {}
            assert_eq!(stream.conn.handshake_kind(), Some(HandshakeKind::Full));
            drop(stream);
            server.closed();
        }
    }
    let names = server.stop().names;
    assert_eq!(names, vec![Some(vec!["edge.example.com".to_owned()]); 4]);
}

#[test]
fn without_a_good_certificate_nobody_gets_in_and_hears_why() {
    let (authority, agents) = (Authority::new(), Authority::called("agents"));
    let identity = authority.issue("mesh.test", 2099).identity();
    let tls = ServerTls::with_client_ca(&identity, agents.pem.as_bytes()).unwrap();
    let server = serve(Rule::Echo, tls);
    let foreign = authority.issue("edge.example.com", 2099);
    let expired = agents.issue("edge.example.com", 2020);
    let cases = [
        (None, "CertificateRequired", "sent no certificates"),
        (Some(&foreign), "UnknownCA", "UnknownIssuer"),
        (Some(&expired), "CertificateExpired", "expired"),
    ];
    for (own, alert, reason) in cases {
        let mut stream = call(server.address, &client(&authority, &TLS13, own));
        let error = exchange(&mut stream).unwrap_err().to_string();
        assert!(error.contains(alert), "{error}");
        let closed = server.closed();
        assert!(closed.contains(reason), "{closed}");
    }
}

#[test]
fn http_without_tls_ends_in_peace() {
    let identity = Authority::new().issue("mesh.test", 2099).identity();
    let server = serve(Rule::Echo, ServerTls::new(&identity));
    let mut stream = server.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: mesh.test\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer[..3], [21, 3, 3], "an alert and nothing else");
    assert_eq!(answer.len(), 7);
    assert_eq!(server.closed(), "the peer does not speak TLS");
}

/// The hello of a client that knows nothing newer than TLS 1.1.
const OLD_HELLO: [u8; 50] = [
    22, 3, 1, 0, 45, // a handshake record
    1, 0, 0, 41, 3, 2, // ClientHello, TLS 1.1
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
    27, 28, 29, 30, 31, 32, // random
    0,  // no session
    0, 2, 0, 0x2f, // TLS_RSA_WITH_AES_128_CBC_SHA
    1, 0, // no compression
];

#[test]
fn versions_that_are_too_old_are_refused() {
    let identity = Authority::new().issue("mesh.test", 2099).identity();
    let server = serve(Rule::Echo, ServerTls::new(&identity));
    let mut stream = server.connect();
    stream.write_all(&OLD_HELLO).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.len(), 7, "nothing but an alert: {answer:?}");
    let (alert, fatal) = (21, 2);
    assert_eq!((answer[0], answer[5]), (alert, fatal));
    assert!(server.closed().contains("incompatible"), "a reason");
}

#[test]
fn an_end_without_a_goodbye_is_an_error_in_either_phase() {
    let authority = Authority::new();
    let server = serve(Rule::Echo, ServerTls::new(&authority.issue("mesh.test", 2099).identity()));
    drop(server.connect());
    assert!(server.closed().contains("middle of the TLS session"));
    let mut stream = call(server.address, &client(&authority, &TLS13, None));
    exchange(&mut stream).unwrap();
    drop(stream);
    let reason = server.closed();
    assert!(reason.contains("middle of the TLS session") || reason.contains("reset"), "{reason}");
}

#[test]
fn a_reset_within_the_handshake_is_one() {
    let authority = Authority::new();
    let server = serve(Rule::Abort, ServerTls::new(&authority.issue("mesh.test", 2099).identity()));
    let mut stream = call(server.address, &client(&authority, &TLS13, None));
    let error = exchange(&mut stream).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    assert_eq!(server.closed(), "aborted");
}

#[test]
fn a_hundred_handshakes_at_once_do_not_wait_for_one_that_stalls() {
    let authority = Authority::new();
    let server = serve(Rule::Echo, ServerTls::new(&authority.issue("mesh.test", 2099).identity()));
    let stalled: Vec<_> = (0..50).map(|_| connect(server.address)).collect();
    let config = client(&authority, &TLS13, None);
    let address = server.address;
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| exchange(&mut call(address, &config)).unwrap());
        }
    });
    drop(stalled);
}
