//! The environment as a value: the process's own, or one that a test made up.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use ureq::{Agent, Proxy, ProxyProtocol};

use crate::{SetupError, http};

/// Environment variables, and the way from this machine to the internet. An empty variable counts as
/// absent.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    proxy: Option<Proxy>,
    /// Made when it is first wanted, and then for all copies.
    internet: Arc<OnceLock<Result<Agent, SetupError>>>,
}

impl Environment {
    /// Those variables of this process that AWS's tools look at: `AWS_*`, `ECS_*` and `HOME`.
    /// Bytes that are no text become `U+FFFD`, which nothing here accepts.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            })
            .filter(|(name, _)| {
                name.starts_with("AWS_") || name.starts_with("ECS_") || name == "HOME"
            })
            .collect()
    }

    /// The same where services on the internet are reached through an HTTP proxy, which is told
    /// `user:password` if it wants to know who asks. What is on this machine is reached without it.
    ///
    /// # Panics
    /// The host is no host.
    #[must_use]
    pub fn through(self, host: &str, port: u16, credentials: Option<&str>) -> Self {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let proxy = Proxy::builder(ProxyProtocol::Http).host(&host).port(port);
        let proxy = match credentials.and_then(|credentials| credentials.split_once(':')) {
            Some((user, password)) => proxy.username(user).password(password),
            None => proxy,
        };
        let proxy = proxy.build().expect("whoever read the host has checked it");
        Self { variables: self.variables, proxy: Some(proxy), internet: Arc::default() }
    }

    /// The way to services on the internet.
    pub(crate) fn proxy(&self) -> Option<Proxy> {
        self.proxy.clone()
    }

    /// What asks services on the internet.
    ///
    /// # Errors
    /// See [`http::internet`].
    pub(crate) fn internet(&self) -> Result<Agent, SetupError> {
        self.internet.get_or_init(|| http::internet(self)).clone()
    }

    /// The variable's value without the white space around it.
    #[must_use]
    pub fn get(&self, variable: &str) -> Option<&str> {
        self.verbatim(variable).map(str::trim).filter(|value| !value.is_empty())
    }

    /// The variable's value to the letter.
    pub(crate) fn verbatim(&self, variable: &str) -> Option<&str> {
        self.variables.get(variable).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether the variable says `true`; AWS's tools take it in any case, and nothing else.
    pub(crate) fn is_true(&self, variable: &str) -> bool {
        self.get(variable).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The path as a variable names it: `~/` in front is the home folder, as AWS's tools take it.
    pub(crate) fn expand(&self, path: &str) -> PathBuf {
        let below = path.strip_prefix("~/").and_then(|path| {
            // An absolute path would take the place of the folder.
            self.below_home(path.trim_start_matches('/'))
        });
        below.unwrap_or_else(|| PathBuf::from(path))
    }

    /// A file below the home folder.
    pub(crate) fn below_home(&self, path: &str) -> Option<PathBuf> {
        self.get("HOME").map(|home| PathBuf::from(home).join(path))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let pairs = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self { variables: pairs.collect(), ..Self::default() }
    }
}

/// Names only: among the values are secret keys.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}
