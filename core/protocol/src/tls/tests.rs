use std::io::{self, IoSlice, Write};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuiteCommon, ClientConfig, ClientConnection, RootCertStore, ServerConfig,
    ServerConnection, SupportedCipherSuite, SupportedProtocolVersion, Tls12CipherSuite,
    Tls13CipherSuite,
};

use super::{SEAL_BYTES_MAX, SEAL_BYTES_MIN, TlsFilter};
use crate::batch::TAKEN_MIN;
use crate::mux::frame::{HEADER_BYTES, RUN_BYTES, RUN_FRAMES};
use crate::ws::frame::BINARY_HEADER_BYTES;
use crate::{Buf, Rng};

/// An authority, and a certificate of it for `mesh.test`.
struct Identity {
    authority: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Identity {
    fn new() -> Self {
        let authority_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["mesh.test".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        Self {
            authority: authority.der().clone(),
            certificate: certificate.der().clone(),
            key: key.serialize_der(),
        }
    }

    fn server(&self) -> TlsFilter {
        let key = PrivateKeyDer::try_from(self.key.clone()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .unwrap();
        TlsFilter::new(ServerConnection::new(Arc::new(config)).unwrap())
    }

    fn client(&self, version: &'static SupportedProtocolVersion, host: &str) -> TlsFilter {
        self.client_with(ring::default_provider(), version, host)
    }

    fn client_with(
        &self,
        provider: CryptoProvider,
        version: &'static SupportedProtocolVersion,
        host: &str,
    ) -> TlsFilter {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        TlsFilter::new(ClientConnection::new(Arc::new(config), name).unwrap())
    }
}

/// One end with its queues.
struct End {
    filter: TlsFilter,
    rx: Buf,
    tx: Buf,
}

/// Two ends and a link between them that chops.
struct Pair {
    client: End,
    server: End,
    rng: Rng,
    chunk_bytes_max: u64,
}

impl Pair {
    fn new(version: &'static SupportedProtocolVersion, chunk_bytes_max: u64) -> Self {
        let identity = Identity::new();
        let end = |filter| End { filter, rx: Buf::new(), tx: Buf::new() };
        Self {
            client: end(identity.client(version, "mesh.test")),
            server: end(identity.server()),
            rng: Rng::from_seed(chunk_bytes_max),
            chunk_bytes_max,
        }
    }

    /// Moves bytes until neither end has anything to say.
    fn drive(&mut self) {
        loop {
            let (client, server) = (&mut self.client, &mut self.server);
            let size = usize::try_from(1 + self.rng.below(self.chunk_bytes_max)).unwrap();
            let there = carry(client, server, size);
            let back = carry(server, client, size);
            if there + back == 0 {
                return;
            }
        }
    }
}

/// Takes so many bytes, and then would block.
struct Wire {
    bytes: Vec<u8>,
    left: usize,
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.left);
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.bytes.extend(&bytes[..count]);
        self.left -= count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// At most `size` bytes of the ciphertext that there is.
fn outgoing(filter: &mut TlsFilter, size: usize) -> Vec<u8> {
    let mut wire = Wire { bytes: Vec::new(), left: size };
    while filter.has_outgoing() {
        let before = wire.bytes.len();
        match filter.write_to(&mut wire) {
            Ok(count) => assert_eq!(wire.bytes.len(), before + count),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                break;
            }
        }
    }
    wire.bytes
}

fn seal(filter: &mut TlsFilter, tx: &mut Buf) -> usize {
    let count = filter.seal(&[IoSlice::new(tx.as_slice())]);
    tx.consume(count);
    count
}

/// Hands at most `size` bytes of ciphertext over; how many there were.
fn carry(from: &mut End, to: &mut End, size: usize) -> usize {
    if !from.filter.has_outgoing() {
        seal(&mut from.filter, &mut from.tx);
    }
    let ciphertext = outgoing(&mut from.filter, size);
    let before = to.rx.len();
    let count = to.filter.handle_ciphertext(&ciphertext, &mut to.rx).unwrap();
    assert_eq!(to.rx.len() - before, count);
    ciphertext.len()
}

#[test]
fn bytes_pass_both_ways_however_the_link_chops() {
    for version in [&TLS12, &TLS13] {
        for chunk_bytes_max in [1, 7, 1000, 100_000] {
            let mut pair = Pair::new(version, chunk_bytes_max);
            let request = b"a request ".repeat(300);
            let answer = b"an answer ".repeat(20_000);
            pair.client.tx.extend(&request);
            pair.drive();
            assert_eq!(pair.server.rx.as_slice(), request);
            pair.server.tx.extend(&answer);
            pair.drive();
            assert_eq!(pair.client.rx.as_slice(), answer);
            assert!(!pair.client.filter.is_handshaking());
        }
    }
}

#[test]
fn nothing_leaves_before_the_handshake_is_over() {
    let mut pair = Pair::new(&TLS13, 100_000);
    let End { filter, tx, .. } = &mut pair.client;
    tx.extend(b"secret");
    assert_eq!(seal(filter, tx), 0);
    assert!(!outgoing(filter, 100_000).is_empty(), "the client speaks first");
    assert_eq!(seal(filter, tx), 0);
    assert!(!filter.has_outgoing());
    assert_eq!(tx.len(), 6);
}

/// A client whose server took whatever was sealed until as much is sealed at once as ever.
fn swift() -> Pair {
    let mut pair = Pair::new(&TLS13, 1_000_000);
    pair.drive();
    while pair.client.filter.batch.size() < SEAL_BYTES_MAX {
        pair.client.tx.extend(&vec![1; SEAL_BYTES_MAX]);
        pair.drive();
    }
    pair.server.rx.clear();
    pair
}

#[test]
fn no_more_is_sealed_than_can_be_overtaken() {
    let End { mut filter, mut tx, .. } = swift().client;
    tx.extend(&vec![1; 10 * SEAL_BYTES_MAX]);
    assert_eq!(seal(&mut filter, &mut tx), SEAL_BYTES_MAX);
    assert_eq!(seal(&mut filter, &mut tx), 0, "the first batch has not left");
    assert_eq!(tx.len(), 9 * SEAL_BYTES_MAX);
    assert!(outgoing(&mut filter, 1_000_000).len() < SEAL_BYTES_MAX + 1024);
}

#[test]
fn more_is_sealed_at_once_where_it_is_taken_at_once_again_and_again() {
    let mut pair = Pair::new(&TLS13, 100_000);
    pair.drive();
    let End { filter, tx, .. } = &mut pair.client;
    let mut size = SEAL_BYTES_MIN;
    while size < SEAL_BYTES_MAX {
        for _ in 0..TAKEN_MIN {
            tx.extend(&vec![1; 2 * size]);
            assert_eq!(seal(filter, tx), size);
            assert!(outgoing(filter, 1_000_000).len() > size);
            // Little says nothing of what would become of much.
            tx.clear();
            tx.extend(b"little");
            assert_eq!(seal(filter, tx), 6);
            outgoing(filter, 1000);
        }
        size *= 2;
    }
    tx.extend(&vec![1; 2 * SEAL_BYTES_MAX]);
    assert_eq!(seal(filter, tx), SEAL_BYTES_MAX);
}

#[test]
fn little_is_sealed_after_a_peer_left_something() {
    for taken in [0, 1, SEAL_BYTES_MAX] {
        let End { mut filter, mut tx, .. } = swift().client;
        tx.extend(&vec![1; 2 * SEAL_BYTES_MAX]);
        assert_eq!(seal(&mut filter, &mut tx), SEAL_BYTES_MAX);
        assert_eq!(outgoing(&mut filter, taken).len(), taken);
        outgoing(&mut filter, 1_000_000);
        for _ in 0..TAKEN_MIN {
            assert_eq!(seal(&mut filter, &mut tx), SEAL_BYTES_MIN, "{taken} were taken");
            outgoing(&mut filter, 1_000_000);
        }
    }
}

#[test]
fn a_run_of_data_is_sealed_at_once() {
    let mut filter = swift().client.filter;
    let run = vec![1; RUN_FRAMES * (HEADER_BYTES + BINARY_HEADER_BYTES) + RUN_BYTES];
    assert_eq!(filter.seal(&[IoSlice::new(&run)]), run.len());
}

#[test]
fn slices_are_sealed_as_if_they_were_one() {
    let mut pair = swift();
    let pieces = [vec![1; 80_000], Vec::new(), vec![2; 80_000]];
    let slices = pieces.each_ref().map(|piece| IoSlice::new(piece));
    assert_eq!(pair.client.filter.seal(&slices), SEAL_BYTES_MAX);
    pair.drive();
    assert_eq!(pair.server.rx.as_slice(), &pieces.concat()[..SEAL_BYTES_MAX]);
}

#[test]
fn an_end_is_told_and_what_follows_it_is_ignored() {
    for version in [&TLS12, &TLS13] {
        let mut pair = Pair::new(version, 100_000);
        pair.client.tx.extend(b"the last bytes");
        pair.drive();
        pair.client.filter.finish();
        pair.client.filter.finish();
        assert!(!pair.server.filter.has_ended());
        let mut ciphertext = outgoing(&mut pair.client.filter, 100_000);
        ciphertext.extend(b"rubbish");
        let count = pair.server.filter.handle_ciphertext(&ciphertext, &mut pair.server.rx);
        assert_eq!(count.unwrap(), 0);
        assert!(pair.server.filter.has_ended());
        assert_eq!(pair.server.rx.as_slice(), b"the last bytes");
    }
}

#[test]
fn the_other_direction_stays_open_after_an_end() {
    let mut pair = Pair::new(&TLS13, 1000);
    pair.drive();
    pair.client.filter.finish();
    pair.drive();
    assert!(pair.server.filter.has_ended());
    pair.server.tx.extend(b"a late answer");
    pair.drive();
    assert_eq!(pair.client.rx.as_slice(), b"a late answer");
}

#[test]
fn a_wrong_name_is_refused_and_the_server_hears_why() {
    let identity = Identity::new();
    let mut client = identity.client(&TLS13, "other.test");
    let mut server = identity.server();
    let mut rx = Buf::new();
    let hello = outgoing(&mut client, 100_000);
    server.handle_ciphertext(&hello, &mut rx).unwrap();
    let answer = outgoing(&mut server, 100_000);
    let error = client.handle_ciphertext(&answer, &mut rx).unwrap_err();
    assert!(error.to_string().contains("other.test"), "{error}");
    let alert = outgoing(&mut client, 100_000);
    let error = server.handle_ciphertext(&alert, &mut rx).unwrap_err();
    assert!(error.to_string().contains("alert"), "{error}");
}

#[test]
fn an_unknown_authority_is_refused() {
    let mut client = Identity::new().client(&TLS13, "mesh.test");
    let mut server = Identity::new().server();
    let mut rx = Buf::new();
    let hello = outgoing(&mut client, 100_000);
    server.handle_ciphertext(&hello, &mut rx).unwrap();
    let answer = outgoing(&mut server, 100_000);
    let error = client.handle_ciphertext(&answer, &mut rx);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
}

#[test]
fn plain_http_is_an_error_and_no_plaintext() {
    let mut server = Identity::new().server();
    let mut rx = Buf::new();
    let outcome = server.handle_ciphertext(b"GET / HTTP/1.1\r\n\r\n", &mut rx);
    assert!(outcome.is_err());
    assert!(rx.is_empty());
}

#[test]
fn a_changed_byte_is_an_error_after_the_bytes_before_it() {
    let mut pair = Pair::new(&TLS13, 100_000);
    pair.drive();
    let End { filter, tx, .. } = &mut pair.client;
    tx.extend(b"good");
    seal(filter, tx);
    tx.extend(b"evil");
    seal(filter, tx);
    let mut ciphertext = outgoing(filter, 100_000);
    *ciphertext.last_mut().unwrap() ^= 1;
    let End { filter, rx, .. } = &mut pair.server;
    assert!(filter.handle_ciphertext(&ciphertext, rx).is_err());
    assert_eq!(rx.as_slice(), b"good");
    assert!(!filter.has_ended(), "a broken session has no clean end");
}

/// Suites whose keys are good for so many records.
fn frail(records: u64) -> CryptoProvider {
    let mut provider = ring::default_provider();
    for suite in &mut provider.cipher_suites {
        let common = |common: &CipherSuiteCommon| CipherSuiteCommon {
            suite: common.suite,
            hash_provider: common.hash_provider,
            confidentiality_limit: records,
        };
        *suite = match *suite {
            SupportedCipherSuite::Tls12(suite) => {
                let suite = Tls12CipherSuite { common: common(&suite.common), ..*suite };
                SupportedCipherSuite::Tls12(Box::leak(Box::new(suite)))
            }
            SupportedCipherSuite::Tls13(suite) => {
                let suite = Tls13CipherSuite { common: common(&suite.common), ..*suite };
                SupportedCipherSuite::Tls13(Box::leak(Box::new(suite)))
            }
        };
    }
    provider
}

/// A client with keys for so many records.
fn frail_pair(version: &'static SupportedProtocolVersion, records: u64) -> Pair {
    let mut pair = Pair::new(version, 1_000_000);
    let identity = Identity::new();
    pair.client.filter = identity.client_with(frail(records), version, "mesh.test");
    pair.server.filter = identity.server();
    pair.drive();
    pair
}

#[test]
fn a_session_that_cannot_renew_its_keys_says_so_when_half_of_them_is_used() {
    let mut pair = frail_pair(&TLS12, 100);
    for _ in 0..50 {
        assert!(!pair.client.filter.needs_replacing());
        pair.client.tx.extend(b"one record");
        pair.drive();
    }
    assert!(pair.client.filter.needs_replacing());
    assert!(!pair.server.filter.needs_replacing(), "what it seals is counted");
    // The longest batches, to which others may have grown.
    let mut pair = frail_pair(&TLS12, 100);
    pair.client.tx.extend(&vec![1; 49 * 16 * 1024]);
    pair.drive();
    assert!(!pair.client.filter.needs_replacing());
    pair.client.tx.extend(b"one more");
    pair.drive();
    assert!(pair.client.filter.needs_replacing());
}

#[test]
fn nothing_is_taken_that_would_not_be_sealed() {
    let mut pair = frail_pair(&TLS12, 100);
    let bytes = vec![1; 200 * 16 * 1024];
    pair.client.tx.extend(&bytes);
    pair.drive();
    assert!(pair.client.filter.is_spent());
    assert!(!pair.server.filter.has_ended());
    let (arrived, left) = (pair.server.rx.len(), pair.client.tx.len());
    assert_eq!(arrived + left, bytes.len());
}

#[test]
fn a_session_that_renews_its_keys_never_wears() {
    let mut pair = frail_pair(&TLS13, 100);
    let bytes = vec![1; 200 * 16 * 1024];
    pair.client.tx.extend(&bytes);
    pair.drive();
    assert_eq!(pair.server.rx.len(), bytes.len());
    assert!(!pair.client.filter.needs_replacing());
}
