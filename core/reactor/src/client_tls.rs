//! Whom we trust when we connect with TLS, and who we are then.

use std::fmt;
use std::sync::Arc;

use mesh_protocol::tls::TlsFilter;
use rustls::client::Resumption;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::TlsIdentity;
use crate::ciphers;
use crate::current::Current;
use crate::pem::IN_PEM;

/// The client side of TLS: trusted authorities, TLS 1.2 and 1.3, ALPN `http/1.1`. Clones share one
/// configuration, which can be replaced at any time.
#[derive(Debug, Clone)]
pub struct ClientTls {
    current: Current<ClientConfig>,
}

/// Why a file of authorities cannot be used.
#[derive(Debug)]
pub enum CaError {
    /// The text is not PEM.
    Malformed(pem::Error),
    /// The PEM holds no certificate.
    NoCertificate,
    /// One of the certificates cannot be trusted as an authority.
    Unusable(rustls::Error),
}

impl ClientTls {
    /// Trusts the authorities that browsers trust, as compiled in.
    #[must_use]
    pub fn web_roots() -> Self {
        Self::trusting(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    /// Trusts the certificates in this PEM text, and nobody else.
    ///
    /// # Errors
    /// When the text holds no certificate, or one that cannot be an authority.
    pub fn with_ca_file(pem: &[u8]) -> Result<Self, CaError> {
        authorities(pem).map(Self::trusting)
    }

    /// Shows this certificate to servers that ask for one.
    #[must_use]
    pub fn offering(self, identity: &TlsIdentity) -> Self {
        let mut config = ClientConfig::clone(&self.current.get());
        config.client_auth_cert_resolver = identity.resolver();
        Self { current: Current::new(config) }
    }

    /// Does from now on for new connections what `other` does. Connections go on as they are.
    pub fn replace(&self, other: &Self) {
        self.current.replace(&other.current);
    }

    /// A session with `host`, which has to prove that it is called that.
    pub(crate) fn session(&self, host: &str) -> Result<TlsFilter, SessionError> {
        let name = ServerName::try_from(host.to_owned()).map_err(SessionError::Name)?;
        let session = ClientConnection::new(self.current.get(), name);
        Ok(TlsFilter::new(session.map_err(SessionError::Session)?))
    }

    /// Nothing is resumed. A resumed session does not look at the server's certificate, and brings
    /// the ticket for the next one: whoever goes on like that never sees that it has expired. And
    /// agents connect rarely.
    fn trusting(roots: RootCertStore) -> Self {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ciphers::provider()))
            .with_safe_default_protocol_versions()
            .expect("ring serves TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Self { current: Current::new(config) }
    }
}

/// The authorities in this PEM text.
pub(crate) fn authorities(pem: &[u8]) -> Result<RootCertStore, CaError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(CaError::Malformed)?;
        roots.add(certificate).map_err(CaError::Unusable)?;
    }
    if roots.is_empty() {
        return Err(CaError::NoCertificate);
    }
    Ok(roots)
}

/// Why no session can be begun.
#[derive(Debug)]
pub(crate) enum SessionError {
    Name(InvalidDnsNameError),
    Session(rustls::Error),
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => write!(f, "no certificate can have this name: {error}"),
            Self::Session(error) => write!(f, "TLS: {error}"),
        }
    }
}

impl fmt::Display for CaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "not a PEM file: {}", crate::pem::describe(error)),
            Self::NoCertificate => write!(f, "the file holds no certificate{IN_PEM}"),
            Self::Unusable(error) => write!(f, "a certificate cannot be used: {error}"),
        }
    }
}

impl std::error::Error for CaError {}
