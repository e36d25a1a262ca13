//! Credentials that stay fresh: one answer for all threads, renewed before it expires.
//!
//! ```text
//!   empty -- get --> held -- 5 minutes before the end, or a file changed --> asked anew
//!                     ^                                       |        |
//!                     |-- new ones ---------------------------'        |
//!                     '-- none, and the old are valid: quiet for 30 s -'
//! ```

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::sources::{Loaded, Sources};
use crate::{Credentials, CredentialsError, Environment, SetupError};

/// Finds credentials and keeps them fresh. Safe to share between threads; while one of them asks
/// a source, the others wait for its answer.
///
/// Sources are asked in the order of the AWS SDK for Rust: environment, profile, web identity,
/// container endpoint, instance metadata. (The SDK for Go 2 and that for Java look at web identity
/// before the profile. It matters only where both are configured.) The first that is configured
/// decides; if it is broken, the chain ends there.
///
/// Files are looked at on each [`Chain::get`] and read again when they changed, since programs
/// such as the SSM agent rotate keys in them without saying when they expire.
#[derive(Debug)]
pub struct Chain {
    sources: Sources,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Empty,
    Held(Held),
}

#[derive(Debug)]
struct Held {
    loaded: Loaded,
    /// Until then no source is asked again.
    quiet_until: Option<SystemTime>,
    refresh: Refresh,
}

/// How the last attempt to find newer ones went; a series of failures is logged once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refresh {
    Succeeded,
    Failed,
}

/// After a refresh that brought nothing new, so that a source in trouble is not asked by each
/// request. Short against the five minutes that are left then.
const QUIET: Duration = Duration::from_secs(30);

impl Chain {
    /// A chain that looks where `environment` points to. Nothing is asked yet.
    ///
    /// # Errors
    /// `AWS_CA_BUNDLE` names no readable list of certificates.
    pub fn new(environment: &Environment) -> Result<Self, SetupError> {
        Ok(Self::with_sources(Sources::new(environment)?))
    }

    pub(super) const fn with_sources(sources: Sources) -> Self {
        Self { sources, state: Mutex::new(State::Empty) }
    }

    /// Credentials that are valid at `now`. Blocks for as long as a source takes when there are none
    /// or when they are about to expire: up to some seconds, and up to ten for each role that is
    /// assumed, of which a profile may name five in a row.
    ///
    /// # Errors
    /// Nothing is configured, or what is configured gives none. While older ones are still valid,
    /// those are given instead, and the error is logged.
    pub fn get(&self, now: SystemTime) -> Result<Credentials, CredentialsError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Held(held) = &*state
            && held.is_good(now)
        {
            return Ok(held.loaded.credentials.clone());
        }
        match (self.sources.load(now), &mut *state) {
            (Ok(loaded), state) => {
                let held = Held::new(loaded, now);
                let credentials = held.loaded.credentials.clone();
                *state = State::Held(held);
                Ok(credentials)
            }
            (Err(error), State::Held(held)) if held.loaded.credentials.is_valid(now) => {
                if held.refresh == Refresh::Succeeded {
                    log::warn!("{error}; the older ones are used while they are valid");
                }
                held.refresh = Refresh::Failed;
                held.quiet_until = Some(now + QUIET);
                Ok(held.loaded.credentials.clone())
            }
            (Err(error), state) => {
                *state = State::Empty;
                Err(error)
            }
        }
    }

    /// Forgets what is held, so that the next [`Chain::get`] asks the sources: for when AWS says
    /// that the credentials are good no more, or somebody who asked it.
    pub fn forget(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Empty;
    }
}

impl Held {
    fn new(loaded: Loaded, now: SystemTime) -> Self {
        // A source may hand out what is about to expire, and has nothing newer for a while.
        let quiet_until = loaded.credentials.is_due(now).then(|| now + QUIET);
        Self { loaded, quiet_until, refresh: Refresh::Succeeded }
    }

    fn is_good(&self, now: SystemTime) -> bool {
        let credentials = &self.loaded.credentials;
        credentials.is_valid(now)
            && (self.is_quiet(now) || !credentials.is_due(now) && !self.loaded.is_outdated())
    }

    /// A clock that was set back does not make the quiet longer.
    fn is_quiet(&self, now: SystemTime) -> bool {
        self.quiet_until.is_some_and(|until| now < until && until <= now + QUIET)
    }
}

#[cfg(test)]
mod tests;
