//! The environment as a value: the process's own, or one that a test made up.

use std::collections::BTreeMap;
use std::fmt;

/// What every variable of ours begins with.
const PREFIX: &str = "MESH_";

/// What Linux calls a machine that nobody gave a name.
const NAMELESS: &str = "(none)";

/// Environment variables. An empty variable counts as absent.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process. Bytes that are no text become `U+FFFD`, which only names
    /// for people and paths accept; a path has no such file then.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            })
            .collect()
    }

    /// The variable's value.
    #[must_use]
    pub fn get(&self, variable: &str) -> Option<&str> {
        self.0.get(variable).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// The names of the variables that are meant for this program.
    pub fn own(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str).filter(|name| name.starts_with(PREFIX))
    }

    /// The variable of a setting: `request-timeout` has `MESH_REQUEST_TIMEOUT`.
    #[must_use]
    pub fn variable(setting: &str) -> String {
        let mut variable = PREFIX.to_owned();
        variable.extend(setting.chars().map(|c| match c {
            '-' => '_',
            other => other.to_ascii_uppercase(),
        }));
        variable
    }
}

/// Only names: there are secrets among the values.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Environment").field(&self.own().collect::<Vec<_>>()).finish()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// What this machine, or this container, calls itself. The kernel is asked, which needs no `/proc`.
#[must_use]
pub fn machine_name() -> String {
    let system = rustix::system::uname();
    let name = system.nodename().to_str().ok().filter(|name| *name != NAMELESS);
    name.map(str::to_owned)
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unnamed".to_owned())
}

#[cfg(test)]
mod tests;
