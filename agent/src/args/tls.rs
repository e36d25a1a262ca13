//! What TLS needs from files: authorities to trust, and a certificate to show.
//!
//! A server shows one as well, so `mesh server` reads its own by [`read_identity`].

use std::path::PathBuf;
use std::time::Duration;

use log::warn;
use mesh_protocol::Security;
use mesh_reactor::{ClientTls, IdentityPart, TlsIdentity, Validity, Watched};
use mesh_settings::{Error, NamedFile, Settings};

/// The files of an agent's TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The only authorities to trust; without it, those of the web.
    pub authorities: Option<NamedFile>,
    /// A certificate and its key, to be shown to the ingress.
    pub identity: Option<[NamedFile; 2]>,
}

/// An agent's TLS, and the files that it is made of.
pub(crate) struct Tls {
    pub(crate) client: ClientTls,
    /// `None` when it is made of none, or they cannot be read again.
    pub(crate) watched: Option<Watched>,
}

impl TlsFiles {
    /// Reads which files there are; `security` is that of the ingress endpoint.
    pub(crate) fn read(settings: &mut Settings, security: Security) -> Result<Self, Error> {
        let authorities = settings.file("ca-file")?;
        if authorities.is_some() && security == Security::Plain {
            let culprit = settings.culprit("ca-file");
            settings.warn(format!(
                "{culprit}: it has no effect: the ingress endpoint is ws:// and not wss://"
            ));
        }
        let identity = identity_files(settings, ["client-cert", "client-key"])?;
        if identity.is_some() && security == Security::Plain {
            return Err(settings.clash(
                "client-cert",
                "ingress-endpoint",
                "a certificate can be shown only with wss://, and not with ws:// as in",
            ));
        }
        Ok(Self { authorities, identity })
    }

    fn all(&self) -> impl Iterator<Item = &NamedFile> {
        self.authorities.iter().chain(self.identity.iter().flatten())
    }

    fn load(&self) -> Result<(ClientTls, Option<String>), Error> {
        let client = match &self.authorities {
            None => ClientTls::web_roots(),
            Some(file) => {
                ClientTls::with_ca_file(&file.read_bytes()?).map_err(|error| file.blame(error))?
            }
        };
        let Some(files) = &self.identity else {
            return Ok((client, None));
        };
        let identity = read_identity(files)?;
        Ok((client.offering(&identity), expiry_warning(&identity, &files[0])))
    }
}

impl Tls {
    /// Reads the files; warnings may come with them.
    pub(crate) fn open(files: &TlsFiles) -> Result<(Self, Vec<String>), Error> {
        let all: Vec<_> = files.all().cloned().collect();
        let watched = watched(&all);
        let (client, warning) = files.load()?;
        let warnings = warning.into_iter().chain(NamedFile::held_back(&all)).collect();
        let identity = files.identity.clone();
        let remind = move || {
            identity.as_ref().and_then(expires_soon).inspect(|warning| warn!("{warning}"));
        };
        let (used, files) = (client.clone(), files.clone());
        let reload = move || {
            let (client, warning) = files.load().map_err(|error| error.to_string())?;
            used.replace(&client);
            warning.inspect(|warning| warn!("{warning}"));
            Ok(())
        };
        let watched = watched.map(|watched| watched.reloading(reload).reminding(remind));
        Ok((Self { client, watched }, warnings))
    }
}

/// The files that TLS is made of, as they are now, if there are any, and if they can be read again:
/// a pipe cannot, and to open it would hold up whoever reads the other files.
#[must_use]
pub fn watched(files: &[NamedFile]) -> Option<Watched> {
    if files.is_empty() || !files.iter().all(NamedFile::can_be_read_again) {
        return None;
    }
    let names: Vec<_> = files.iter().map(NamedFile::path).collect();
    let paths = names.iter().map(PathBuf::from).collect();
    Some(Watched::new(format!("TLS from {}", names.join(", ")), paths))
}

/// The files of a certificate and its key, which go together; `names` are those of their settings.
///
/// # Errors
/// One of them is missing.
pub fn identity_files(
    settings: &mut Settings,
    names: [&'static str; 2],
) -> Result<Option<[NamedFile; 2]>, Error> {
    let [certificate, key] = names;
    match (settings.file(certificate)?, settings.file(key)?) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some([certificate, key])),
        (Some(_), None) => Err(settings.blame(
            certificate,
            &format!("the private key of the certificate is missing; give its file with --{key}"),
        )),
        (None, Some(_)) => Err(settings.blame(
            key,
            &format!("the certificate of the key is missing; give its file with --{certificate}"),
        )),
    }
}

/// Reads a certificate and its key.
///
/// # Errors
/// One of the files cannot be read or is of no use, or they do not belong together.
pub fn read_identity(files: &[NamedFile; 2]) -> Result<TlsIdentity, Error> {
    let [certificate, key] = files;
    let texts = (certificate.read_bytes()?, key.read_bytes()?);
    TlsIdentity::from_pem(&texts.0, &texts.1).map_err(|error| match error.part() {
        IdentityPart::Certificates => certificate.blame(error),
        IdentityPart::Key => key.blame(error),
    })
}

/// The warning of [`expiry_warning`] about a certificate as it is in its file now. That it cannot be read is
/// told by whoever reloads it.
#[must_use]
pub fn expires_soon(files: &[NamedFile; 2]) -> Option<String> {
    expiry_warning(&read_identity(files).ok()?, &files[0])
}

/// A warning when a certificate is not good any more, or not for long.
#[must_use]
pub fn expiry_warning(identity: &TlsIdentity, file: &NamedFile) -> Option<String> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let state = match identity.validity() {
        Validity::Good => return None,
        Validity::Ending(left) if left < DAY => "expires within a day".to_owned(),
        Validity::Ending(left) => format!("expires in {} days", left.as_secs() / DAY.as_secs()),
        Validity::Expired => "has expired".to_owned(),
        Validity::NotYetValid => "is not valid yet by the clock of this machine".to_owned(),
    };
    Some(format!("{}: the certificate in {} {state}", file.culprit(), file.path()))
}
