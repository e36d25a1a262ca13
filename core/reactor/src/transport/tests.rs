//! The options of sockets; and connections for the tests of what is read and written.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mesh_protocol::Traffic;
use mesh_protocol::tls::TlsFilter;
use mio::event::Source;
use rcgen::KeyPair;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

use super::{Plain, Socket, Tls, UNSENT_BYTES_MAX, set_options};
use crate::ClientTls;

/// Both ends of a connection; ours never blocks.
pub(super) fn pair() -> (Plain, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    near.set_nonblocking(true).unwrap();
    (Plain { stream: mio::net::TcpStream::from_std(near) }, far)
}

/// Everything that comes until the other end says that nothing follows.
pub(super) fn read_all(mut far: impl Read) -> Vec<u8> {
    let mut got = Vec::new();
    far.read_to_end(&mut got).unwrap();
    got
}

/// What the kernel says of our end.
pub(super) struct Events {
    poll: mio::Poll,
    events: mio::Events,
}

impl Events {
    pub(super) fn of(stream: &mut mio::net::TcpStream) -> Self {
        let poll = mio::Poll::new().unwrap();
        let both = mio::Interest::READABLE | mio::Interest::WRITABLE;
        stream.register(poll.registry(), mio::Token(0), both).unwrap();
        Self { poll, events: mio::Events::with_capacity(1) }
    }

    /// Waits for news, which has to come: nothing else would end a test that waits in vain.
    pub(super) fn wait(&mut self) {
        self.poll.poll(&mut self.events, Some(Duration::from_secs(60))).unwrap();
        assert!(!self.events.is_empty(), "the kernel has had nothing to say for a minute");
    }
}

/// The other end of a connection with TLS.
pub(super) type Sealed = StreamOwned<ServerConnection, TcpStream>;

/// Our end of a connection with TLS that nobody has spoken on yet; what the other end does runs beside.
pub(super) fn sealed_pair<T: Send + 'static>(
    far_does: impl FnOnce(Sealed) -> T + Send + 'static,
) -> (Box<Tls>, JoinHandle<T>) {
    let session = |certificate: &rcgen::Certificate| {
        let trust = ClientTls::with_ca_file(certificate.pem().as_bytes()).unwrap();
        trust.session("mesh.test").unwrap()
    };
    sealed_pair_by(session, far_does)
}

/// The same, where our end is a session of this kind, which trusts that certificate.
pub(super) fn sealed_pair_by<T: Send + 'static>(
    near_is: impl FnOnce(&rcgen::Certificate) -> TlsFilter,
    far_does: impl FnOnce(Sealed) -> T + Send + 'static,
) -> (Box<Tls>, JoinHandle<T>) {
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
    let socket = Socket::tls(near.stream, near_is(&certificate));
    let Socket::Tls(near) = socket else { panic!("asked for TLS") };
    (near, thread::spawn(move || far_does(StreamOwned::new(session, far))))
}

pub(super) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// Whether a vanished peer is noticed, and what may wait in the kernel before anything overtakes it.
struct Options {
    keepalive: Option<(Duration, Duration, u32)>,
    unsent_bytes_max: u32,
}

fn options(stream: &mio::net::TcpStream) -> Options {
    let socket = SockRef::from(stream);
    let is_on = socket.keepalive().unwrap();
    let keepalive = is_on.then(|| {
        let (time, interval) = (socket.tcp_keepalive_time(), socket.tcp_keepalive_interval());
        (time.unwrap(), interval.unwrap(), socket.tcp_keepalive_retries().unwrap())
    });
    Options { keepalive, unsent_bytes_max: socket.tcp_notsent_lowat().unwrap() }
}

/// After half a minute of silence, and then three times in half a minute.
const IN_A_MINUTE: Option<(Duration, Duration, u32)> =
    Some((Duration::from_secs(30), Duration::from_secs(10), 3));

#[test]
fn a_connection_that_we_made_notices_within_a_minute_that_its_peer_has_vanished() {
    for (traffic, limits_unsent) in [(Traffic::Single, false), (Traffic::Multiplexed, true)] {
        let (near, _far) = pair();
        let before = options(&near.stream);
        assert_eq!(before.keepalive, None);
        set_options(&SockRef::from(&near.stream), traffic);
        let after = options(&near.stream);
        assert_eq!(after.keepalive, IN_A_MINUTE, "{traffic:?}");
        let unsent = if limits_unsent { UNSENT_BYTES_MAX } else { before.unsent_bytes_max };
        assert_eq!(after.unsent_bytes_max, unsent, "{traffic:?}");
        assert!(near.stream.nodelay().unwrap(), "{traffic:?}");
    }
}

#[test]
fn so_does_one_that_came() {
    for (traffic, limits_unsent) in [(Traffic::Single, false), (Traffic::Multiplexed, true)] {
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        let listener = mio::net::TcpListener::bind(any).unwrap();
        set_options(&SockRef::from(&listener), traffic);
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let default = SockRef::from(&far).tcp_notsent_lowat().unwrap();
        let (near, _) = listener.accept().unwrap();
        let accepted = options(&near);
        assert_eq!(accepted.keepalive, IN_A_MINUTE, "{traffic:?}");
        let unsent = if limits_unsent { UNSENT_BYTES_MAX } else { default };
        assert_eq!(accepted.unsent_bytes_max, unsent, "{traffic:?}");
        assert!(near.nodelay().unwrap(), "{traffic:?}");
    }
}
