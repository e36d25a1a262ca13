//! What the local service did wrong, for the log: each caller who suffers from it is told by a
//! status alone, and whoever runs the service looks here.
//!
//! A service that fails each request would fill the log, so one line stands for many.

use std::fmt;
use std::time::{Duration, Instant};

/// How an alert of TLS begins: what whoever speaks TLS answers to plain HTTP.
pub(crate) const TLS_ALERT: [u8; 2] = [21, 3];

/// What is wrong with a service that answers with an alert of TLS.
pub(crate) const SPEAKS_TLS: &str = "it speaks TLS; only http:// services are supported";

/// What is wrong with a service that is the ingress of this very agent.
pub(crate) const IS_INGRESS: &str =
    "it is the ingress of this agent; --local-endpoint has to be the service's own address";

/// Between two lines.
const PAUSE: Duration = Duration::from_secs(10);

/// Faults of the service, and what of them was said.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    logged: Option<Instant>,
    unlogged: u64,
}

impl Faults {
    /// How many faults since the last line nobody heard of, if this one deserves a line.
    fn note(&mut self, now: Instant) -> Option<u64> {
        if self.logged.is_some_and(|said| now < said + PAUSE) {
            self.unlogged += 1;
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.unlogged))
    }

    /// Logs a fault: with a warning, unless there was one a moment ago.
    pub(crate) fn log(&mut self, fault: &dyn fmt::Display, now: Instant) {
        match self.note(now) {
            Some(0) => log::warn!("the local service failed a request: {fault}"),
            Some(more) => log::warn!(
                "the local service failed a request: {fault}; and {more} more since the last such line"
            ),
            None => log::debug!("the local service failed a request: {fault}"),
        }
    }
}

#[cfg(test)]
mod tests;
