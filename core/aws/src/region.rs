//! Which region this process is in.
//!
//! Asked in this order: `AWS_REGION`, `AWS_DEFAULT_REGION`, `region` of the profile, the ECS task's
//! own ARN, and the instance metadata service. The task comes in between, where AWS's tools know
//! nothing of it, because ECS tells a task its region in no other way than that on hosts of one's own.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Environment;
use crate::instance::{Instance, InstanceError};
use crate::metadata;
use crate::profiles::Profiles;

/// The name of a region, such as `eu-central-1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Region(String);

/// Finds the region once and remembers it. Safe to share between threads.
#[derive(Debug)]
pub struct Regions {
    environment: Environment,
    instance: Instance,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Unknown,
    Found(Region),
    /// Nobody who was asked knew one; they are asked again from then on.
    Missing(String, Instant),
}

/// Why there is no region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegionError {
    /// Something names a region that is none, or cannot be read: a sentence that names it.
    Broken(String),
    /// Nothing names a region: a sentence that says where was looked.
    NotFound(String),
}

/// What variables and the profile say.
enum Configured {
    Region(Region),
    /// The profile names none: part of a sentence.
    Absent(String),
}

/// Where packets to the instance metadata service are lost, as they are in many networks outside of
/// AWS, each look-up takes two seconds, and one thread waits for the other. An agent with many tunnels
/// proves itself on all of them at once, and the ingress does not wait for long. A host whose network
/// comes up after the agent is not kept from its region for long either.
const MISSING_FOR: Duration = Duration::from_secs(60);

impl Region {
    /// Takes a region's name: words of lower-case letters and at last a number, joined by `-`.
    /// Whether AWS has such a region is not known here.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (words, number) = name.rsplit_once('-')?;
        let is_word = |word: &str| {
            (2..=16).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase())
        };
        let is_region = (1..=2).contains(&number.len())
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && (2..=3).contains(&words.split('-').count())
            && words.split('-').all(is_word);
        is_region.then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the global endpoint of STS lives, and what is signed for it.
    pub(crate) fn us_east_1() -> Self {
        Self("us-east-1".to_owned())
    }
}

impl Regions {
    /// Looks where `environment` points to.
    #[must_use]
    pub fn new(environment: &Environment) -> Self {
        Self::with(environment, Instance::new(environment))
    }

    pub(crate) fn with(environment: &Environment, instance: Instance) -> Self {
        Self { environment: environment.clone(), instance, state: Mutex::new(State::Unknown) }
    }

    /// The region. Blocks for up to some seconds until it is known, and not at all afterwards. Where
    /// nobody knows one, that holds for a minute; variables and profiles are looked at each time.
    ///
    /// # Errors
    /// Nothing names a region, or what names one is broken.
    pub fn find(&self) -> Result<Region, RegionError> {
        self.find_at(Instant::now())
    }

    fn find_at(&self, now: Instant) -> Result<Region, RegionError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Found(region) = &*state {
            return Ok(region.clone());
        }
        let found = match (configured(&self.environment)?, &*state) {
            (Configured::Region(region), _) => Ok(region),
            (Configured::Absent(_), State::Missing(why, until)) if now < *until => {
                return Err(RegionError::NotFound(why.clone()));
            }
            (Configured::Absent(why), State::Unknown | State::Found(_) | State::Missing(..)) => {
                self.ask(&why)
            }
        };
        match &found {
            Ok(region) => *state = State::Found(region.clone()),
            Err(RegionError::NotFound(why)) => {
                *state = State::Missing(why.clone(), now + MISSING_FOR);
            }
            Err(RegionError::Broken(_)) => {}
        }
        found
    }

    fn ask(&self, profile: &str) -> Result<Region, RegionError> {
        if let Some(task) = metadata::task(&self.environment) {
            let task = task.map_err(|error| RegionError::Broken(error.to_string()))?;
            return named("the task's ARN", task.region());
        }
        let instance = match self.instance.region() {
            Ok(name) => return named("the instance metadata service", name.trim()),
            Err(InstanceError::Absent(instance)) => instance,
            Err(InstanceError::Broken(complaint)) if self.instance.is_named() => {
                return Err(RegionError::Broken(complaint));
            }
            // Other clouds have something else at that address.
            Err(InstanceError::Broken(complaint)) => complaint,
        };
        Err(RegionError::NotFound(format!(
            "the AWS region is not known: AWS_REGION is not set, {profile}, this is no ECS task, \
             and {instance}; set AWS_REGION"
        )))
    }
}

/// The region that variables or the profile name, without asking anybody.
fn configured(environment: &Environment) -> Result<Configured, RegionError> {
    for variable in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        if let Some(name) = environment.get(variable) {
            return named(variable, name).map(Configured::Region);
        }
    }
    let profiles = Profiles::read(environment).map_err(RegionError::Broken)?;
    let Some(name) = profiles.chosen().and_then(|profile| profile.get("region")) else {
        return Ok(Configured::Absent(profiles.explain("the profile names none")));
    };
    named(&format!("region of the profile {}", profiles.choice.name), name).map(Configured::Region)
}

fn named(place: &str, name: &str) -> Result<Region, RegionError> {
    Region::parse(name).ok_or_else(|| {
        let shown: String = name.chars().filter(|letter| !letter.is_control()).take(64).collect();
        RegionError::Broken(format!("{place}: \"{shown}\" is not a region; eu-central-1 is one"))
    })
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RegionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(sentence) | Self::NotFound(sentence) => f.write_str(sentence),
        }
    }
}

impl std::error::Error for RegionError {}

#[cfg(test)]
mod tests;
