//! The instance metadata service of EC2, in its second version only.
//!
//! Each question needs a token, which is asked for with PUT and without which nothing is told: that
//! keeps requests that somebody smuggles through a proxy from reading credentials. A host that is
//! not at AWS has no such service, so the waits are short.

use std::time::Duration;

use crate::Environment;
use crate::http::{Answer, Client, HttpError, Limits};

/// Where the service is, if it may be asked.
#[derive(Debug)]
pub(crate) struct Instance {
    state: State,
    /// Whether the environment says where it is.
    is_named: bool,
    client: Client,
}

#[derive(Debug)]
enum State {
    /// At this address, without a `/` at the end.
    Asked(String),
    /// `AWS_EC2_METADATA_DISABLED` is `true`.
    SwitchedOff,
    /// `AWS_EC2_METADATA_SERVICE_ENDPOINT` is none.
    Malformed,
}

/// Why there is no answer. Both are parts of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InstanceError {
    /// There is no service, or it knows nothing of that kind.
    Absent(String),
    /// There is one and it gives no usable answer.
    Broken(String),
}

const ADDRESS: &str = "http://169.254.169.254";
/// The service is on this very machine; a second each is what AWS's tools wait.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(1),
    total: Duration::from_secs(1),
    answer_bytes_max: 64 * 1024,
};
/// One lost packet must not cost the credentials.
const TRIES: u32 = 2;
/// In seconds, six hours. Each look asks for a new token, so the length does not matter.
const TOKEN_TTL: (&str, &str) = ("x-aws-ec2-metadata-token-ttl-seconds", "21600");
const TOKEN: &str = "x-aws-ec2-metadata-token";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

impl Instance {
    pub(crate) fn new(environment: &Environment) -> Self {
        Self::within(environment, LIMITS)
    }

    pub(crate) fn within(environment: &Environment, limits: Limits) -> Self {
        let named = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let endpoint = named.unwrap_or(ADDRESS);
        let is_address = endpoint.starts_with("http://") || endpoint.starts_with("https://");
        let state = if environment.is_true("AWS_EC2_METADATA_DISABLED") {
            State::SwitchedOff
        } else if is_address && !endpoint.contains(['?', '#', '@']) {
            State::Asked(endpoint.trim_end_matches('/').to_owned())
        } else {
            State::Malformed
        };
        Self { state, is_named: named.is_some(), client: Client::local(limits) }
    }

    /// Whether somebody said where the service is, who then wants to hear what is wrong with it.
    pub(crate) const fn is_named(&self) -> bool {
        self.is_named
    }

    /// The JSON of the credentials of the instance's role.
    pub(crate) fn credentials(&self) -> Result<Vec<u8>, InstanceError> {
        let token = self.token()?;
        let role = self
            .text(&token, ROLES)?
            .ok_or_else(|| InstanceError::Absent("the EC2 instance has no role".to_owned()))?;
        // A list, of which there has only ever been one.
        let role = role.lines().next().unwrap_or_default().trim();
        let is_name = !role.is_empty()
            && role.bytes().all(|it| it.is_ascii_alphanumeric() || b"+=,.@_-".contains(&it));
        if !is_name {
            return Err(broken("names no role"));
        }
        let answer = self.get(&token, &format!("{ROLES}{role}"))?;
        match answer.status {
            200 => Ok(answer.body),
            status => Err(broken(&format!("answers {status} when asked for credentials"))),
        }
    }

    /// The region that the instance is in.
    pub(crate) fn region(&self) -> Result<String, InstanceError> {
        let token = self.token()?;
        self.text(&token, "/latest/meta-data/placement/region")?
            .ok_or_else(|| InstanceError::Absent("the EC2 instance knows no region".to_owned()))
    }

    fn token(&self) -> Result<String, InstanceError> {
        let url = match &self.state {
            State::Asked(address) => format!("{address}/latest/api/token"),
            State::SwitchedOff => {
                let why = "AWS_EC2_METADATA_DISABLED switches the instance metadata service off";
                return Err(InstanceError::Absent(why.to_owned()));
            }
            State::Malformed => {
                let why = "AWS_EC2_METADATA_SERVICE_ENDPOINT is not an address";
                return Err(InstanceError::Broken(why.to_owned()));
            }
        };
        let answer =
            twice(|| self.client.put(&url, &[TOKEN_TTL])).map_err(|error| match error {
                // Nobody there is what a machine outside of EC2 says.
                HttpError::Connection(_) | HttpError::Timeout(_) => InstanceError::Absent(format!(
                    "the instance metadata service does not answer ({error}; from a container it \
                 takes a hop limit of 2)"
                )),
                HttpError::Tls(_)
                | HttpError::TooLarge(_)
                | HttpError::NotHttp
                | HttpError::Unsendable => broken(&format!("gives no token: {error}")),
            })?;
        let token = String::from_utf8(answer.body).unwrap_or_default();
        let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        match answer.status {
            200 if is_token => Ok(token),
            200 => Err(broken("gives no token")),
            status => Err(broken(&format!("answers {status} when asked for a token"))),
        }
    }

    /// The text at `path`, or `None` where there is nothing.
    fn text(&self, token: &str, path: &str) -> Result<Option<String>, InstanceError> {
        let answer = self.get(token, path)?;
        match answer.status {
            200 => String::from_utf8(answer.body).map(Some).map_err(|_| broken("sends no text")),
            404 => Ok(None),
            status => Err(broken(&format!("answers {status} to a question with a token"))),
        }
    }

    fn get(&self, token: &str, path: &str) -> Result<Answer, InstanceError> {
        let State::Asked(address) = &self.state else {
            return Err(broken("is not asked"));
        };
        let url = format!("{address}{path}");
        twice(|| self.client.get(&url, &[(TOKEN, token)]))
            .map_err(|error| broken(&format!("stops answering: {error}")))
    }
}

/// The first answer that is not the service's own trouble, or the last one.
fn twice(ask: impl Fn() -> Result<Answer, HttpError>) -> Result<Answer, HttpError> {
    let mut answer = ask();
    for _ in 1..TRIES {
        match &answer {
            Ok(it) if it.status < 500 => break,
            Err(error) if !error.is_transient() => break,
            Ok(_) | Err(_) => answer = ask(),
        }
    }
    answer
}

fn broken(what: &str) -> InstanceError {
    InstanceError::Broken(format!("the instance metadata service {what}"))
}

#[cfg(test)]
mod tests;
