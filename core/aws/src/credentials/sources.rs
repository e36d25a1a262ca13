//! The sources in their order; the first that is configured decides.

use std::time::{Duration, SystemTime};

use super::container::Container;
use super::{answer, profile, variables, web_identity};
use crate::file::Look;
use crate::http::{Client, Limits};
use crate::instance::{Instance, InstanceError};
use crate::{
    Credentials, CredentialsError, Endpoint, Environment, RegionError, Regions, SetupError, Source,
};

/// What the sources need: where to look, and with what to ask.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) environment: Environment,
    /// For STS, which turns one kind of credentials into another.
    pub(super) client: Client,
    pub(super) container: Container,
    pub(super) instance: Instance,
    /// For the STS that is asked.
    pub(super) regions: Regions,
}

/// Credentials, and the files that they depend on: those that they are from, and those that would
/// come first if there were any in them.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) credentials: Credentials,
    pub(super) looks: Vec<Look>,
}

/// What a source has.
pub(super) enum Found {
    Credentials(Loaded),
    /// It is not configured: part of a sentence.
    Absent(String),
    /// The same, by files that may say otherwise later, or that are just being written.
    AbsentIn(Vec<Look>, String),
}

const ORDER: [Source; 5] = [
    Source::Environment,
    Source::Profile,
    Source::WebIdentity,
    Source::Container,
    Source::Instance,
];

/// STS answers in well under a second; it may be on another continent.
const STS_LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    total: Duration::from_secs(10),
    answer_bytes_max: 64 * 1024,
};

impl Sources {
    pub(super) fn new(environment: &Environment) -> Result<Self, SetupError> {
        Ok(Self {
            environment: environment.clone(),
            client: Client::new(environment, STS_LIMITS)?,
            container: Container::new(environment)?,
            instance: Instance::new(environment),
            regions: Regions::new(environment),
        })
    }

    pub(super) fn load(&self, now: SystemTime) -> Result<Loaded, CredentialsError> {
        let (mut absent, mut watched) = (Vec::new(), Vec::new());
        for source in ORDER {
            let found = self
                .ask(source, now)
                .map_err(|complaint| CredentialsError::Broken { source, complaint })?;
            match found {
                Found::Credentials(mut loaded) if loaded.credentials.is_valid(now) => {
                    loaded.looks.append(&mut watched);
                    return Ok(loaded);
                }
                Found::Credentials(_) => return Err(CredentialsError::Expired(source)),
                Found::Absent(why) => absent.push(why),
                Found::AbsentIn(mut looks, why) => {
                    watched.append(&mut looks);
                    absent.push(why);
                }
            }
        }
        Err(CredentialsError::NotFound(format!(
            "there are no AWS credentials: {}",
            absent.join("; ")
        )))
    }

    /// What one source has, or a complaint about it.
    pub(super) fn ask(&self, source: Source, now: SystemTime) -> Result<Found, String> {
        match source {
            Source::Environment => variables::credentials(&self.environment),
            Source::Profile => profile::credentials(self, now),
            Source::WebIdentity => web_identity::credentials(self, now),
            Source::Container => self.container.credentials(),
            Source::Instance => match self.instance.credentials() {
                Ok(json) => answer::credentials(&json, Source::Instance).map(Found::from),
                Err(InstanceError::Absent(why)) => Ok(Found::Absent(why)),
                Err(InstanceError::Broken(complaint)) => Err(complaint),
            },
        }
    }

    /// STS in the region that this process is in, or the global endpoint where that is not known:
    /// its sessions are worth nothing in other partitions and in regions that one opts into.
    pub(super) fn sts(&self) -> Result<Endpoint, String> {
        let region = match self.regions.find() {
            Ok(region) => Some(region),
            Err(RegionError::NotFound(_)) => None,
            Err(error @ RegionError::Broken(_)) => return Err(error.to_string()),
        };
        Endpoint::sts(&self.environment, region.as_ref(), None).map_err(|error| error.to_string())
    }
}

impl Loaded {
    pub(super) fn is_outdated(&self) -> bool {
        self.looks.iter().any(Look::is_outdated)
    }
}

impl From<Credentials> for Found {
    fn from(credentials: Credentials) -> Self {
        Self::Credentials(Loaded { credentials, looks: Vec::new() })
    }
}

#[cfg(test)]
pub(super) mod tests;
