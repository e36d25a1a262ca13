//! What settings have to say: whom to blame, what was strange, and how they came out.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;

use super::Settings;
use crate::logging::{self, AccessLog, Rules, journal};
use crate::{Error, Origin, output, reason, report};

impl Settings {
    /// Where the setting is from, as the culprit of a sentence.
    #[must_use]
    pub fn culprit(&self, name: &'static str) -> String {
        let origin = self.origin(name);
        if *origin == Origin::Default {
            return format!("--{name} (by default)");
        }
        origin.to_string()
    }

    /// An error about a socket that cannot be had; `port` is the setting of its port.
    #[must_use]
    pub fn cannot_listen(
        &self,
        wanted: SocketAddr,
        port: &'static str,
        error: &io::Error,
    ) -> Error {
        // Of an address that this machine does not have, no other port can be had either.
        let is_foreign = error.kind() == io::ErrorKind::AddrNotAvailable;
        let culprit = if is_foreign { "bind" } else { port };
        let origin = match self.origin(culprit) {
            Origin::Default => format!("--{culprit}"),
            origin @ (Origin::Flag(_) | Origin::Variable(_) | Origin::File { .. }) => {
                origin.to_string()
            }
        };
        let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
        let reason = if is_foreign {
            "this machine has no such address".to_owned()
        } else if is_denied && wanted.port() < 1024 {
            "permission denied; ports below 1024 need CAP_NET_BIND_SERVICE".to_owned()
        } else {
            reason(error)
        };
        Error::new(format!("listen on {wanted} ({origin}): {reason}"))
    }

    /// An error that blames this setting.
    #[must_use]
    pub fn blame(&self, name: &'static str, reason: &str) -> Error {
        Error::new(format!("{}: {reason}", self.culprit(name)))
    }

    /// An error about two settings that do not go together; the one that somebody set is blamed.
    /// `reason` ends where the name of the other one follows.
    #[must_use]
    pub fn clash(&self, one: &'static str, two: &'static str, reason: &str) -> Error {
        let (blamed, other) =
            if *self.origin(one) == Origin::Default { (two, one) } else { (one, two) };
        let other = self.culprit(other);
        self.blame(blamed, &format!("{reason} {other}; change one of them"))
    }

    /// Something to be logged once logging works.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// What is to be logged.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Begins to log, first of all what was strange in the settings.
    pub fn start_log(&self, rules: &Rules) {
        self.start_logs(rules, None);
    }

    /// Begins to log as [`Self::start_log`] does, with an access log beside it.
    pub fn start_logs(&self, rules: &Rules, access: Option<&AccessLog>) {
        logging::init(rules, access);
        for warning in &self.warnings {
            log::warn!("{warning}");
        }
    }

    /// Logs that the system does not allow for as much as this setting does: a warning if somebody asked
    /// for it.
    pub fn tell_lowered(&self, name: &'static str, to: impl Display, why: &str) {
        let level = if self.is_set(name) { log::Level::Warn } else { log::Level::Info };
        log::log!(level, "{}: {to} at most, because {why}", self.culprit(name));
    }

    /// Says what was strange in the settings on standard error, where there is no log: before the
    /// error of a start that failed, too, which is often because of it.
    pub fn complain(&self) {
        let priority = if journal::is_behind(io::stderr()) { "<4>" } else { "" };
        for warning in &self.warnings {
            output::complain(&format!("{priority}warning: {}", logging::printable(warning)));
        }
    }

    /// What `--check` does instead of starting: the settings to standard output, what was strange
    /// in them to standard error.
    pub fn show(&self) {
        self.complain();
        output::say(&self.report());
    }

    /// Every setting that was read, as a file that would set the same, origins as comments.
    #[must_use]
    pub fn report(&self) -> String {
        report::report(&self.effective)
    }
}
