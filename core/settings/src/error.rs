//! What keeps a program from starting, as one sentence for the operator.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::Settings;

/// One sentence: the culprit, what was found, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    sentence: String,
    fault: Fault,
}

/// What an error is about, which decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The command line makes no sense, whatever the world around it is like.
    Misuse,
    /// The program cannot start or go on as things are.
    Failure,
}

impl Error {
    /// An error that reads like this.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), fault: Fault::Failure }
    }

    /// A command line that makes no sense.
    pub fn misuse(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), fault: Fault::Misuse }
    }

    /// A socket that cannot be had; `port` is the setting of its port.
    #[must_use]
    pub fn cannot_listen(
        settings: &Settings,
        port: &'static str,
        wanted: SocketAddr,
        error: &io::Error,
    ) -> Self {
        // Of an address that this machine does not have, no other port can be had either.
        let is_foreign = error.kind() == io::ErrorKind::AddrNotAvailable;
        let name = if is_foreign { "bind" } else { port };
        let culprit =
            if settings.is_set(name) { settings.culprit(name) } else { format!("--{name}") };
        Self::new(format!("listen on {wanted} ({culprit}): {}", reason(error)))
    }

    pub(crate) const fn fault(&self) -> Fault {
        self.fault
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Error {}

/// The operating system's words for a failure, fit for the end of a sentence: no error number and
/// no capital letter.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Flags;

    #[test]
    fn a_socket_that_cannot_be_had_names_what_has_to_change() {
        let wanted = SocketAddr::from(([192, 0, 2, 1], 8080));
        let sentence = |variables: &[(&str, &str)], kind: io::ErrorKind| {
            let flags = ["config", "log-level", "alb-port", "bind"];
            let flags = flags.iter().fold(Flags::new(), |flags, name| flags.one(name, None));
            let environment = variables.iter().copied().collect();
            let mut settings = Settings::load(flags.switch("verbose", false), environment).unwrap();
            settings.number("alb-port", 8080_u16, 0..=65_535).unwrap();
            Error::cannot_listen(&settings, "alb-port", wanted, &kind.into()).to_string()
        };
        let in_use = sentence(&[], io::ErrorKind::AddrInUse);
        assert!(in_use.starts_with("listen on 192.0.2.1:8080 (--alb-port): "), "{in_use}");
        let by_variable = sentence(&[("MESH_ALB_PORT", "8080")], io::ErrorKind::AddrInUse);
        assert!(by_variable.contains(" (MESH_ALB_PORT): "), "{by_variable}");
        let foreign = sentence(&[], io::ErrorKind::AddrNotAvailable);
        assert!(foreign.starts_with("listen on 192.0.2.1:8080 (--bind): "), "{foreign}");
    }
}
