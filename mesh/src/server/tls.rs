//! The server's own TLS: a certificate to show, and whom to take for an agent.

use log::warn;
use mesh_agent::args::{expires_soon, expiry_warning, identity_files, read_identity, watched};
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
    /// Which ports speak it.
    pub(crate) ports: TlsPorts,
}

/// The ports that speak TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsPorts {
    Both,
    /// That for requests alone.
    Alb,
    /// That for agents alone: a load balancer ends the callers' TLS.
    Websocket,
}

/// TLS on the ports that speak it.
pub(crate) struct Tls {
    pub(crate) traffic: Option<ServerTls>,
    pub(crate) tunnels: Option<ServerTls>,
    /// Whether agents have to show certificates.
    pub(crate) asks_for_certificates: bool,
    /// What replaces both when the files change, if they can be read again.
    pub(crate) watched: Option<Watched>,
}

/// What the files hold.
struct Loaded {
    traffic: ServerTls,
    tunnels: ServerTls,
    warning: Option<String>,
}

/// The setting that says which ports speak TLS.
const TLS_PORTS: &str = "tls-ports";

impl TlsPorts {
    pub(crate) const fn include_traffic(self) -> bool {
        match self {
            Self::Both | Self::Alb => true,
            Self::Websocket => false,
        }
    }

    const fn include_tunnels(self) -> bool {
        match self {
            Self::Both | Self::Websocket => true,
            Self::Alb => false,
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "both" => Ok(Self::Both),
            "alb" => Ok(Self::Alb),
            "websocket" => Ok(Self::Websocket),
            _ => Err(format!("{text:?} names no ports; give both, alb or websocket")),
        }
    }

    fn show(&self) -> String {
        let word = match self {
            Self::Both => "both",
            Self::Alb => "alb",
            Self::Websocket => "websocket",
        };
        word.to_owned()
    }
}

impl TlsFiles {
    /// Reads which files there are; `None` is a server without TLS.
    pub(crate) fn read(settings: &mut Settings) -> Result<Option<Self>, Error> {
        let identity = identity_files(settings, ["tls-cert", "tls-key"])?;
        let client_ca = settings.file("client-ca-file")?;
        let ports = settings.parsed(TLS_PORTS, TlsPorts::Both, TlsPorts::parse, TlsPorts::show)?;
        if ports != TlsPorts::Both && identity.is_none() {
            return Err(settings.blame(
                TLS_PORTS,
                "no port speaks TLS without a certificate; give --tls-cert and --tls-key too",
            ));
        }
        if client_ca.is_some() && ports == TlsPorts::Alb {
            return Err(settings.clash(
                "client-ca-file",
                TLS_PORTS,
                "agents show certificates on the WebSocket port, which speaks no TLS because of",
            ));
        }
        if client_ca.is_some() && identity.is_none() {
            return Err(settings.blame(
                "client-ca-file",
                "agents can show certificates only with TLS; give --tls-cert and --tls-key too",
            ));
        }
        Ok(identity.map(|identity| Self { identity, client_ca, ports }))
    }

    fn load(&self) -> Result<Loaded, Error> {
        let identity = read_identity(&self.identity)?;
        let traffic = ServerTls::new(&identity);
        let tunnels = match &self.client_ca {
            None => traffic.clone(),
            Some(file) => ServerTls::with_client_ca(&identity, &file.read_bytes()?)
                .map_err(|error| file.blame(error))?,
        };
        Ok(Loaded { traffic, tunnels, warning: expiry_warning(&identity, &self.identity[0]) })
    }
}

impl Tls {
    /// Reads the files; warnings may come with them.
    pub(crate) fn open(files: TlsFiles) -> Result<(Self, Vec<String>), Error> {
        let all: Vec<_> = files.identity.iter().chain(&files.client_ca).cloned().collect();
        let watched = watched(&all);
        let Loaded { traffic, tunnels, warning } = files.load()?;
        let warnings = warning.into_iter().chain(NamedFile::held_back(&all)).collect();
        let used = (traffic.clone(), tunnels.clone());
        let (ports, asks_for_certificates) = (files.ports, files.client_ca.is_some());
        let identity = files.identity.clone();
        let remind = move || {
            expires_soon(&identity).inspect(|warning| warn!(target: LOG, "{warning}"));
        };
        let reload = move || {
            let loaded = files.load().map_err(|error| error.to_string())?;
            used.0.replace(&loaded.traffic);
            used.1.replace(&loaded.tunnels);
            loaded.warning.inspect(|warning| warn!(target: LOG, "{warning}"));
            Ok(())
        };
        let watched = watched.map(|watched| watched.reloading(reload).reminding(remind));
        let traffic = ports.include_traffic().then_some(traffic);
        let tunnels = ports.include_tunnels().then_some(tunnels);
        Ok((Self { traffic, tunnels, asks_for_certificates, watched }, warnings))
    }
}
