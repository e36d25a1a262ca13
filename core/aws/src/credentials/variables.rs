//! Keys in the environment. They never change while the process runs, and say nothing of their end.

use super::sources::Found;
use crate::{Credentials, Environment, Source};

pub(super) fn credentials(environment: &Environment) -> Result<Found, String> {
    let id = environment.get("AWS_ACCESS_KEY_ID");
    let secret = environment.get("AWS_SECRET_ACCESS_KEY");
    match (id, secret) {
        (None, None) => Ok(Found::Absent("AWS_ACCESS_KEY_ID is not set".to_owned())),
        (Some(_), None) => {
            Err("AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not".to_owned())
        }
        (None, Some(_)) => {
            Err("AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not".to_owned())
        }
        (Some(id), Some(secret)) => {
            let token = environment.get("AWS_SESSION_TOKEN");
            Credentials::new(id, secret, token, None, Source::Environment)
                .map(Found::from)
                .ok_or_else(|| {
                    "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or AWS_SESSION_TOKEN has characters \
                     that no key has"
                        .to_owned()
                })
        }
    }
}

#[cfg(test)]
mod tests;
