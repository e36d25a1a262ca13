//! The service's settings, all from environment variables.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::color;

#[cfg(test)]
mod tests;

const DEFAULT_NAME: &str = "test-app";
const DEFAULT_COLOR: &str = "blue";
const DEFAULT_PORT: u16 = 3000;
const DOWNSTREAM_PREFIX: &str = "DOWNSTREAM_";

/// The only variables that the service ever shows. None of them holds a secret; names that might
/// (credentials, tokens, URLs, which can carry passwords) must never be added.
const SHOWN: [&str; 14] = [
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_REGION",
    "BIND",
    "COLOR",
    "ECS_CLUSTER",
    "ECS_SERVICE",
    "ECS_TASK_FAMILY",
    "HOSTNAME",
    "LANG",
    "PORT",
    "SERVICE_NAME",
    "SERVICE_VERSION",
    "TZ",
];

/// The service's settings.
///
/// | Variable | Meaning | Default |
/// |---|---|---|
/// | `PORT` | TCP port; 0 lets the system choose | 3000 |
/// | `BIND` | IP address to listen on | 0.0.0.0 |
/// | `SERVICE_NAME` | what the service calls itself | test-app |
/// | `SERVICE_VERSION` | the version it reports | the crate's |
/// | `COLOR` | accent of the page: CSS colour name or `#rgb`, `#rrggbb` | blue |
/// | `DOWNSTREAM_X` | URL that `/downstream/x` calls | `http://x/api/info` |
///
/// An empty variable counts as absent.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) color: String,
    /// By the variable's name without its prefix.
    pub(crate) downstreams: BTreeMap<String, String>,
    /// The variables that may be shown.
    pub(crate) environment: BTreeMap<&'static str, String>,
    /// What was wrong but could be put right.
    pub(crate) warnings: Vec<String>,
}

impl Config {
    /// Reads the settings from the process's environment.
    ///
    /// # Errors
    ///
    /// One sentence about the setting with which the service cannot start.
    pub fn from_env() -> Result<Self, String> {
        Self::from_variables(std::env::vars_os().map(|(name, value)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        }))
    }

    /// Reads the settings from the given variables.
    ///
    /// # Errors
    ///
    /// One sentence about the setting with which the service cannot start.
    pub fn from_variables(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, String> {
        let variables: BTreeMap<String, String> =
            variables.into_iter().filter(|(_, value)| !value.trim().is_empty()).collect();
        let get = |name: &str| variables.get(name).map(String::as_str);
        let mut warnings = Vec::new();
        Ok(Self {
            listen: listen_address(get("BIND"), get("PORT"))?,
            name: label(get("SERVICE_NAME").unwrap_or(DEFAULT_NAME)),
            version: label(get("SERVICE_VERSION").unwrap_or(env!("CARGO_PKG_VERSION"))),
            color: accent(get("COLOR"), &mut warnings),
            downstreams: variables
                .iter()
                .filter_map(|(name, url)| Some((name.strip_prefix(DOWNSTREAM_PREFIX)?, url)))
                .map(|(service, url)| (service.to_owned(), url.clone()))
                .collect(),
            environment: SHOWN
                .into_iter()
                .filter_map(|name| Some((name, variables.get(name)?.clone())))
                .collect(),
            warnings,
        })
    }

    /// The URL under which `/downstream/{service}` finds `service`.
    pub(crate) fn downstream_url(&self, service: &str) -> String {
        let variable: String = service
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        match self.downstreams.get(&variable) {
            Some(url) => url.clone(),
            None => format!("http://{service}/api/info"),
        }
    }
}

fn listen_address(bind: Option<&str>, port: Option<&str>) -> Result<SocketAddr, String> {
    let ip = match bind {
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Some(text) => text
            .trim()
            .parse()
            .map_err(|_| format!("BIND must be an IP address such as 0.0.0.0, not {text:?}."))?,
    };
    let port = match port {
        None => DEFAULT_PORT,
        Some(text) => text
            .trim()
            .parse()
            .map_err(|_| format!("PORT must be a whole number from 0 to 65535, not {text:?}."))?,
    };
    Ok(SocketAddr::new(ip, port))
}

fn accent(color: Option<&str>, warnings: &mut Vec<String>) -> String {
    let Some(text) = color else {
        return DEFAULT_COLOR.to_owned();
    };
    color::parse(text).unwrap_or_else(|| {
        warnings.push(format!(
            "COLOR must be a CSS colour name or #rgb or #rrggbb, not {text:?}; \
             {DEFAULT_COLOR} is used instead."
        ));
        DEFAULT_COLOR.to_owned()
    })
}

/// `text` without characters that a header field cannot carry.
fn label(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).collect()
}
