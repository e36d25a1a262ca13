//! Who we are when somebody connects with TLS, and whom we let in.

use std::sync::Arc;

use mesh_protocol::tls::TlsFilter;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::Ticketer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ServerConfig, ServerConnection};

use crate::ciphers;
use crate::client_tls::authorities;
use crate::current::Current;
use crate::{CaError, TlsIdentity};

/// The server side of TLS: TLS 1.2 and 1.3, ALPN `http/1.1`. Clones share one configuration, which
/// can be replaced at any time.
#[derive(Debug, Clone)]
pub struct ServerTls {
    current: Current<ServerConfig>,
    /// Behind a pointer that only the constructors take, so that a program without a server, the
    /// small agent, comes out without rustls's server.
    open: fn(Arc<ServerConfig>) -> Result<TlsFilter, rustls::Error>,
}

impl ServerTls {
    /// Lets everybody in and shows this certificate.
    ///
    /// Sessions are resumed by tickets that only we can read, so that those who come back cost
    /// neither a signature nor memory.
    #[must_use]
    pub fn new(identity: &TlsIdentity) -> Self {
        let provider = Arc::new(ciphers::provider());
        let verifier = WebPkiClientVerifier::no_client_auth();
        let mut config = config(identity, provider, verifier);
        // Without randomness for its keys there are no tickets, and nothing else is lost.
        if let Ok(ticketer) = Ticketer::new() {
            config.ticketer = ticketer;
        }
        Self { current: Current::new(config), open }
    }

    /// Lets only those in who have a certificate of these authorities, in PEM, for clients.
    ///
    /// Nothing is resumed. A resumed session takes the certificate from the ticket without looking
    /// at it again, for hours after it has expired; and agents connect rarely.
    ///
    /// # Errors
    /// When the text holds no certificate, or one that cannot be an authority.
    pub fn with_client_ca(identity: &TlsIdentity, pem: &[u8]) -> Result<Self, CaError> {
        let provider = Arc::new(ciphers::provider());
        let roots = Arc::new(authorities(pem)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
        // All that a verifier without revocation lists can lack is authorities.
        let verifier = verifier.build().map_err(|_| CaError::NoCertificate)?;
        let mut config = config(identity, provider, verifier);
        config.send_tls13_tickets = 0;
        Ok(Self { current: Current::new(config), open })
    }

    /// Does from now on for whoever connects what `other` does. Connections go on as they are; old
    /// tickets are worth nothing any more.
    pub fn replace(&self, other: &Self) {
        self.current.replace(&other.current);
    }

    /// Our end of a new session.
    pub(crate) fn session(&self) -> Result<TlsFilter, rustls::Error> {
        (self.open)(self.current.get())
    }
}

fn open(config: Arc<ServerConfig>) -> Result<TlsFilter, rustls::Error> {
    ServerConnection::new(config).map(TlsFilter::new)
}

fn config(
    identity: &TlsIdentity,
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn rustls::server::danger::ClientCertVerifier>,
) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring serves TLS 1.2 and 1.3")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(identity.resolver());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config
}
