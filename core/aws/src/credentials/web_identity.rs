//! A token of somebody else's making, which STS turns into credentials: roles for service accounts.

use std::time::SystemTime;

use super::sources::{Found, Sources};
use crate::Credentials;
use crate::Source;
use crate::file::read_text;
use crate::sts::session::{self, Role};

const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";

pub(super) fn credentials(sources: &Sources, now: SystemTime) -> Result<Found, String> {
    let environment = &sources.environment;
    let Some(path) = environment.get(TOKEN_FILE) else {
        return Ok(Found::Absent(format!("{TOKEN_FILE} is not set")));
    };
    let arn = environment
        .get("AWS_ROLE_ARN")
        .ok_or_else(|| format!("{TOKEN_FILE} is set and AWS_ROLE_ARN is not"))?;
    let session_name = environment.get("AWS_ROLE_SESSION_NAME");
    let role = Role { arn, session_name, external_id: None, duration_s: None };
    exchange(sources, &role, TOKEN_FILE, path, Source::WebIdentity, now).map(Found::from)
}

/// The credentials that STS gives for the token in the file at `path`, which `place` names. The
/// file is read each time: its token lives shorter than this process.
pub(super) fn exchange(
    sources: &Sources,
    role: &Role<'_>,
    place: &str,
    path: &str,
    source: Source,
    now: SystemTime,
) -> Result<Credentials, String> {
    let token = read_text(path.as_ref())
        .map_err(|reason| format!("{place}: cannot read {path}: {reason}"))?;
    let token = token.trim();
    if token.is_empty() {
        return Err(format!("{place}: {path} is empty"));
    }
    session::assume_with_web_identity(&sources.client, &sources.sts()?, role, token, source, now)
        .map_err(|failure| format!("{}: {failure}", role.arn))
}

#[cfg(test)]
mod tests;
