//! The server's own TLS: a certificate to show, and whom to take for an agent.

use std::path::PathBuf;

use log::warn;
use mesh_agent::args::{end_of, identity_files, read_identity};
use mesh_reactor::{ServerTls, Watched};
use mesh_settings::{Error, NamedFile, Settings};

use super::LOG;

/// The files that TLS is made of.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    /// The certificate and its key.
    identity: [NamedFile; 2],
    /// Authorities of agents' certificates.
    client_ca: Option<NamedFile>,
}

/// TLS on the ports that speak it.
pub(crate) struct Tls {
    pub(crate) traffic: ServerTls,
    pub(crate) tunnels: ServerTls,
    /// What replaces both when the files change.
    pub(crate) watched: Watched,
}

/// What the files hold.
struct Loaded {
    traffic: ServerTls,
    tunnels: ServerTls,
    warning: Option<String>,
}

impl TlsFiles {
    /// Reads which files there are; `None` is a server without TLS.
    pub(crate) fn read(settings: &mut Settings) -> Result<Option<Self>, Error> {
        let identity = identity_files(settings, ["tls-cert", "tls-key"])?;
        let client_ca = settings.file("client-ca-file")?;
        if client_ca.is_some() && identity.is_none() {
            return Err(settings.blame(
                "client-ca-file",
                "agents can show certificates only with TLS; give --tls-cert and --tls-key too",
            ));
        }
        Ok(identity.map(|identity| Self { identity, client_ca }))
    }

    fn load(&self) -> Result<Loaded, Error> {
        let identity = read_identity(&self.identity)?;
        let traffic = ServerTls::new(&identity);
        let tunnels = match &self.client_ca {
            None => traffic.clone(),
            Some(file) => ServerTls::with_client_ca(&identity, file.read()?.as_bytes())
                .map_err(|error| file.blame(error))?,
        };
        Ok(Loaded { traffic, tunnels, warning: end_of(&identity, &self.identity[0]) })
    }
}

impl Tls {
    /// Reads the files; a warning may come with them.
    pub(crate) fn open(files: TlsFiles) -> Result<(Self, Option<String>), Error> {
        let all = || files.identity.iter().chain(&files.client_ca).map(NamedFile::path);
        let names: Vec<_> = all().collect();
        let what = format!("TLS from {}", names.join(", "));
        let watched = Watched::new(what, all().map(PathBuf::from).collect());
        let Loaded { traffic, tunnels, warning } = files.load()?;
        let used = (traffic.clone(), tunnels.clone());
        let watched = watched.reloading(move || {
            let loaded = files.load().map_err(|error| error.to_string())?;
            used.0.replace(&loaded.traffic);
            used.1.replace(&loaded.tunnels);
            loaded.warning.inspect(|warning| warn!(target: LOG, "{warning}"));
            Ok(())
        });
        Ok((Self { traffic, tunnels, watched }, warning))
    }
}
