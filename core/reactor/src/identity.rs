//! Who we are: a chain of certificates and the private key of the first of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::InconsistentKeys;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use webpki::{EndEntityCert, KeyUsage};

use crate::pem::IN_PEM;

/// A certificate that we can prove to be ours, with the chain up to an authority.
#[derive(Debug, Clone)]
pub struct TlsIdentity {
    key: Arc<CertifiedKey>,
}

/// Why two files do not make an identity.
#[derive(Debug)]
pub enum IdentityError {
    /// The certificates' file is broken PEM.
    MalformedCertificate(pem::Error),
    /// The certificates' file holds none.
    NoCertificate,
    /// The first certificate cannot be understood.
    UnusableCertificate(rustls::Error),
    /// The key's file is broken PEM.
    MalformedKey(pem::Error),
    /// The key's file holds none.
    NoKey,
    /// The key is locked with a password, for which there is nobody to ask.
    EncryptedKey,
    /// The key is of a kind that is not supported.
    UnusableKey(rustls::Error),
    /// The key belongs to another certificate.
    Mismatch,
}

/// One of the two files of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityPart {
    /// The certificates.
    Certificates,
    /// The private key.
    Key,
}

/// Whether a certificate is good by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// For some time to come.
    Good,
    /// For no longer than this.
    Ending(Duration),
    /// No longer.
    Expired,
    /// Not yet.
    NotYetValid,
}

/// Before the end of a certificate that nobody has renewed by then, somebody should know. Those
/// who renew by a machine do so a month before.
const ENDING: Duration = Duration::from_secs(14 * 24 * 3600);

impl TlsIdentity {
    /// Takes a PEM chain, our own certificate first, and the PEM of its private key: PKCS #8,
    /// PKCS #1 or SEC 1; RSA, ECDSA or Ed25519.
    ///
    /// # Errors
    /// Either text is of no use, or they do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(IdentityError::MalformedCertificate)?;
        let first = chain.first().ok_or(IdentityError::NoCertificate)?;
        rustls::server::ParsedCertificate::try_from(first)
            .map_err(IdentityError::UnusableCertificate)?;
        let key = read_key(key)?;
        let mismatch = rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch);
        let key =
            CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| {
                if error == mismatch {
                    return IdentityError::Mismatch;
                }
                IdentityError::UnusableKey(error)
            })?;
        Ok(Self { key: Arc::new(key) })
    }

    /// Whether the certificate is good by the clock of this machine. We do not refuse one that is
    /// not: the peer's clock decides, and its answer is plainer than our silence.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity_at(UnixTime::now())
    }

    fn validity_at(&self, now: UnixTime) -> Validity {
        let soon = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()) + ENDING);
        match self.fault_at(now) {
            Some(webpki::Error::CertExpired { .. }) => return Validity::Expired,
            Some(webpki::Error::CertNotValidYet { .. }) => return Validity::NotYetValid,
            Some(_) | None => {}
        }
        match self.fault_at(soon) {
            Some(webpki::Error::CertExpired { not_after, .. }) => {
                let left = not_after.as_secs().saturating_sub(now.as_secs());
                Validity::Ending(Duration::from_secs(left))
            }
            Some(_) | None => Validity::Good,
        }
    }

    /// What a verifier that trusts nobody says: it looks at the dates first.
    fn fault_at(&self, time: UnixTime) -> Option<webpki::Error> {
        let certificate = EndEntityCert::try_from(self.key.cert.first()?).ok()?;
        let usage = KeyUsage::server_auth();
        certificate.verify_for_usage(&[], &[], &[], time, usage, None, None).err()
    }

    pub(crate) fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(Arc::clone(&self.key)))
    }
}

fn read_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, IdentityError> {
    /// How both ways of locking a key with a password begin: the label of PKCS #8 (RFC 7468 11)
    /// and the header line of the older form (RFC 1421 4.6.1.1).
    const LOCKED: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];
    if LOCKED.iter().any(|mark| text.windows(mark.len()).any(|window| window == *mark)) {
        return Err(IdentityError::EncryptedKey);
    }
    PrivateKeyDer::pem_slice_iter(text)
        .next()
        .ok_or(IdentityError::NoKey)?
        .map_err(IdentityError::MalformedKey)
}

/// The DNS names in a certificate, patterns among them, in lower case.
pub(crate) fn dns_names(certificate: &[u8]) -> Box<[String]> {
    let der = CertificateDer::from(certificate);
    // One that was verified can be read.
    let Ok(certificate) = EndEntityCert::try_from(&der) else { return Box::new([]) };
    certificate.valid_dns_names().map(str::to_ascii_lowercase).collect()
}

impl IdentityError {
    /// Which of the two files is to blame.
    #[must_use]
    pub const fn part(&self) -> IdentityPart {
        match self {
            Self::MalformedCertificate(_) | Self::NoCertificate | Self::UnusableCertificate(_) => {
                IdentityPart::Certificates
            }
            Self::MalformedKey(_)
            | Self::NoKey
            | Self::EncryptedKey
            | Self::UnusableKey(_)
            | Self::Mismatch => IdentityPart::Key,
        }
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MalformedCertificate(error) | Self::MalformedKey(error) => {
                write!(f, "not a PEM file: {}", crate::pem::describe(error))
            }
            Self::NoCertificate => write!(f, "the file holds no certificate{IN_PEM}"),
            Self::UnusableCertificate(error) => {
                write!(f, "the certificate cannot be used: {error}")
            }
            Self::NoKey => write!(f, "the file holds no private key{IN_PEM}"),
            Self::EncryptedKey => f.write_str(
                "the private key is locked with a password; unlock it, for example with openssl \
                 pkey",
            ),
            Self::UnusableKey(rustls::Error::General(error)) => {
                write!(f, "the private key cannot be used: {error}")
            }
            Self::UnusableKey(error) => write!(f, "the private key cannot be used: {error}"),
            Self::Mismatch => f.write_str("the private key belongs to another certificate"),
        }
    }
}

impl std::error::Error for IdentityError {}

#[cfg(test)]
mod tests;
