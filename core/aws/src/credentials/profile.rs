//! What the profile says: keys, or a role and how to get it.
//!
//! ```text
//! keys                                          these
//! role_arn + web_identity_token_file            the role, for a token
//! role_arn + source_profile                     the role, with what the other profile says
//! role_arn + credential_source                  the role, with what the environment, the container
//!                                               endpoint or the instance gives
//! ```
//!
//! Programs that make credentials (`credential_process`), sign-on in a browser and one-time codes
//! are not supported, and a profile that asks for them is refused.

use std::time::SystemTime;

use super::sources::{Found, Loaded, Sources};
use super::web_identity;
use crate::profiles::{Origin, Profile, Profiles};
use crate::sts::session::{self, Role};
use crate::{Credentials, Source, timestamp};

/// A chain of roles longer than this is a mistake; AWS's own tools warn of the second.
const DEPTH_MAX: usize = 5;

const UNSUPPORTED: [&str; 5] =
    ["credential_process", "sso_session", "sso_start_url", "login_session", "mfa_serial"];

pub(super) fn credentials(sources: &Sources, now: SystemTime) -> Result<Found, String> {
    let profiles = Profiles::read(&sources.environment)?;
    let name = &profiles.choice.name;
    match (profiles.chosen(), profiles.choice.origin) {
        (None, Origin::Variable) => {
            let why = format!("AWS_PROFILE names {name}, and there is no such profile");
            Err(profiles.explain(&why))
        }
        (None, Origin::Default) => {
            let why = profiles.explain("there is no profile default");
            Ok(Found::AbsentIn(profiles.looks, why))
        }
        // A profile that only names a region is none for this purpose.
        (Some(profile), _) if !has_credentials(profile) => {
            let why = profiles.explain(&format!("the profile {name} has neither keys nor a role"));
            Ok(Found::AbsentIn(profiles.looks, why))
        }
        (Some(_), _) => {
            let walk = Walk { sources, profiles: &profiles, now };
            let credentials = walk.resolve(name, &mut Vec::new())?;
            Ok(Found::Credentials(Loaded { credentials, looks: profiles.looks }))
        }
    }
}

fn has_credentials(profile: &Profile) -> bool {
    ["aws_access_key_id", "aws_secret_access_key", "role_arn"]
        .iter()
        .chain(&UNSUPPORTED)
        .any(|setting| profile.get(setting).is_some())
}

/// From profile to profile.
struct Walk<'a> {
    sources: &'a Sources,
    profiles: &'a Profiles,
    now: SystemTime,
}

impl<'a> Walk<'a> {
    /// The credentials of the profile `name`; `visited` are those that led to it.
    fn resolve(&self, name: &'a str, visited: &mut Vec<&'a str>) -> Result<Credentials, String> {
        let profile = self.profiles.get(name).ok_or_else(|| {
            let from = visited.last().copied().unwrap_or_default();
            format!(
                "source_profile of the profile {from} names {name}, and there is no such profile"
            )
        })?;
        let has_keys = profile.get("aws_access_key_id").is_some();
        // Where a role is built on a profile, that profile's keys come before its own role: so a
        // profile may name itself as its source.
        let is_source = !visited.is_empty();
        if let Some(setting) = UNSUPPORTED.iter().find(|it| profile.get(it).is_some())
            && !has_keys
        {
            return Err(format!("the profile {name} uses {setting}, which is not supported"));
        }
        match profile.get("role_arn") {
            Some(arn) if !(is_source && has_keys) => {
                if visited.contains(&name) || visited.len() >= DEPTH_MAX {
                    return Err(format!("the profile {name} leads to itself by source_profile"));
                }
                visited.push(name);
                self.assume(name, profile, arn, visited)
            }
            Some(_) | None => keys(name, profile),
        }
    }

    fn assume(
        &self,
        name: &'a str,
        profile: &'a Profile,
        arn: &str,
        visited: &mut Vec<&'a str>,
    ) -> Result<Credentials, String> {
        let role = Role {
            arn,
            session_name: profile.get("role_session_name"),
            external_id: profile.get("external_id"),
            duration_s: profile.get("duration_seconds"),
        };
        if let Some(path) = profile.get("web_identity_token_file") {
            let place = format!("web_identity_token_file of the profile {name}");
            return web_identity::exchange(
                self.sources,
                &role,
                &place,
                path,
                Source::Profile,
                self.now,
            );
        }
        let base = match (profile.get("source_profile"), profile.get("credential_source")) {
            (Some(source), None) => self.resolve(source, visited)?,
            (None, Some(source)) => self.named_source(name, source)?,
            (Some(_), Some(_)) => {
                return Err(format!(
                    "the profile {name} has both source_profile and credential_source"
                ));
            }
            (None, None) => {
                return Err(format!(
                    "the profile {name} has role_arn without source_profile, credential_source \
                     or web_identity_token_file"
                ));
            }
        };
        let endpoint = self.sources.sts()?;
        session::assume(&self.sources.client, &endpoint, &base, &role, Source::Profile, self.now)
            .map_err(|failure| format!("the profile {name}: {arn}: {failure}"))
    }

    fn named_source(&self, profile: &str, source: &str) -> Result<Credentials, String> {
        let place = format!("credential_source of the profile {profile}");
        let source = match source {
            "Environment" => Source::Environment,
            "EcsContainer" => Source::Container,
            "Ec2InstanceMetadata" => Source::Instance,
            _ => {
                return Err(format!(
                    "{place} is none of Environment, EcsContainer and Ec2InstanceMetadata"
                ));
            }
        };
        match self.sources.ask(source, self.now) {
            Ok(Found::Credentials(loaded)) => Ok(loaded.credentials),
            Ok(Found::Absent(why) | Found::AbsentIn(_, why)) => Err(format!("{place}: {why}")),
            Err(complaint) => Err(format!("{place}: {complaint}")),
        }
    }
}

fn keys(name: &str, profile: &Profile) -> Result<Credentials, String> {
    let (Some(id), Some(secret)) =
        (profile.get("aws_access_key_id"), profile.get("aws_secret_access_key"))
    else {
        return Err(format!("the profile {name} lacks aws_access_key_id or aws_secret_access_key"));
    };
    // Not a setting of AWS's tools; programs that write the file for others leave it there.
    let expires = match profile.get("aws_expiration") {
        Some(text) => Some(timestamp::parse(text).ok_or_else(|| {
            format!("aws_expiration of the profile {name} is not a point in time")
        })?),
        None => None,
    };
    Credentials::new(id, secret, profile.get("aws_session_token"), expires, Source::Profile)
        .ok_or_else(|| format!("the keys of the profile {name} have characters that no key has"))
}

#[cfg(test)]
mod tests;
