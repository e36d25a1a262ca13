//! The JSON in which ECS, EKS and EC2 hand out credentials.

use serde::Deserialize;

use crate::{Credentials, Source, timestamp};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    /// Of EC2 only: `Success`.
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    access_key_id: Option<String>,
    #[serde(default)]
    secret_access_key: Option<String>,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    expiration: Option<String>,
}

/// The credentials in `json`. The complaint quotes nothing of it.
pub(super) fn credentials(json: &[u8], source: Source) -> Result<Credentials, String> {
    let answer: Answer = serde_json::from_slice(json)
        .map_err(|_| "the answer is not the JSON of credentials".to_owned())?;
    if answer.code.as_deref().is_some_and(|code| code != "Success") {
        return Err("the answer says that there are no credentials".to_owned());
    }
    let (Some(id), Some(secret), Some(token)) =
        (&answer.access_key_id, &answer.secret_access_key, &answer.token)
    else {
        return Err("the answer lacks AccessKeyId, SecretAccessKey or Token".to_owned());
    };
    let expires = match &answer.expiration {
        Some(text) => Some(
            timestamp::parse(text)
                .ok_or_else(|| "the answer's Expiration is not a point in time".to_owned())?,
        ),
        None => None,
    };
    Credentials::new(id, secret, Some(token), expires, source)
        .ok_or_else(|| "the answer holds characters that no key has".to_owned())
}

#[cfg(test)]
mod tests;
