//! Authorities, certificates and keys, in files that are gone at the end of the test.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::wire::Wire;

/// A folder of a test's own.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(ip: IpAddr) -> Self {
        let folder = std::env::temp_dir().join(format!("mesh-e2e-{ip}"));
        // Addresses come again, after so many runs.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Puts a file there in one step, so that nobody ever sees half of it.
    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let (new, file) = (self.path("new"), self.path(name));
        std::fs::write(&new, content).unwrap();
        std::fs::rename(&new, Path::new(&file)).unwrap();
        file
    }

    /// Puts a pipe there that gives this to its first reader, and has nothing for others.
    pub(crate) fn pipe(&self, name: &str, content: impl AsRef<[u8]> + Send + 'static) -> String {
        let pipe = self.path(name);
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let writer = pipe.clone();
        // Opening it waits for the reader.
        std::thread::spawn(move || std::fs::write(writer, content));
        pipe
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Somebody who vouches for names.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate of an authority, and its key.
#[derive(Debug)]
pub(crate) struct Papers {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// For these names and addresses, for ever.
    pub(crate) fn issue(&self, names: &[&str]) -> Papers {
        self.issue_until(names, 2099)
    }

    /// For these names and addresses, up to the beginning of that year.
    pub(crate) fn issue_until(&self, names: &[&str], year: i32) -> Papers {
        let key = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Papers { certificate, key: key.serialize_pem() }
    }

    /// A caller that trusts this authority, and speaks this version.
    pub(crate) fn connect(
        &self,
        address: SocketAddr,
        version: &'static SupportedProtocolVersion,
    ) -> Wire {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::from(address.ip());
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        Wire::connect_with(session, address)
    }
}

/// The certificate that the server showed on this connection, in PEM's form.
pub(crate) fn is_shown(wire: &Wire, papers: &Papers) -> bool {
    let own = CertificateDer::from_pem_slice(papers.certificate.as_bytes()).unwrap();
    wire.session().peer_certificates().is_some_and(|chain| chain[0] == own)
}
