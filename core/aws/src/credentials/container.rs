//! The endpoint that ECS and EKS give their containers.
//!
//! Its address is in a variable: a path on the link's own 169.254.170.2, or a whole URL. Since the
//! answer is a secret and the question may carry one, plain HTTP is for addresses that only this
//! machine and its link can have; the rules are those of botocore.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::Uri;

use super::answer;
use super::sources::Found;
use crate::file::read_text;
use crate::http::{Client, Limits};
use crate::{Environment, SetupError, Source};

/// Where the endpoint is and how it is asked.
#[derive(Debug)]
pub(super) struct Container {
    environment: Environment,
    /// For what is on this machine or its link, and so never behind a proxy.
    near: Client,
    /// For `https`.
    internet: Client,
    /// What a path is on, without a `/` at the end.
    base: String,
    /// Between two tries.
    pause: Duration,
}

const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";

/// The ECS agent, as its containers see it.
const BASE: &str = "http://169.254.170.2";
/// It is on this machine; two seconds are what AWS's tools wait.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(2),
    total: Duration::from_secs(2),
    answer_bytes_max: 64 * 1024,
};
/// The ECS agent answers 503 for a moment after its own start.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(300);

impl Container {
    pub(super) fn new(environment: &Environment) -> Result<Self, SetupError> {
        Self::at(BASE, environment, LIMITS, PAUSE)
    }

    pub(super) fn at(
        base: &str,
        environment: &Environment,
        limits: Limits,
        pause: Duration,
    ) -> Result<Self, SetupError> {
        let (near, internet) = (Client::local(limits), Client::new(environment, limits)?);
        let (environment, base) = (environment.clone(), base.to_owned());
        Ok(Self { environment, near, internet, base, pause })
    }

    pub(super) fn credentials(&self) -> Result<Found, String> {
        let (variable, url) = match (self.environment.get(RELATIVE), self.environment.get(FULL)) {
            // Without the slash, a path such as `@host` would become the name of a host.
            (Some(path), _) if !path.starts_with('/') => {
                return Err(format!("{RELATIVE} does not begin with /"));
            }
            (Some(path), _) => (RELATIVE, format!("{}{path}", self.base)),
            (None, Some(url)) => (FULL, permitted(url)?),
            (None, None) => {
                return Ok(Found::Absent(format!("{RELATIVE} and {FULL} are not set")));
            }
        };
        let token = self.token()?;
        let mut headers = vec![("accept", "application/json")];
        headers.extend(token.as_deref().map(|token| ("authorization", token)));
        let body = self
            .ask(&url, &headers)
            .map_err(|complaint| format!("the endpoint in {variable} gives none: {complaint}"))?;
        answer::credentials(&body, Source::Container)
            .map(Found::from)
            .map_err(|complaint| format!("the endpoint in {variable}: {complaint}"))
    }

    fn ask(&self, url: &str, headers: &[(&str, &str)]) -> Result<Vec<u8>, String> {
        let is_near = url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http:"));
        let client = if is_near { &self.near } else { &self.internet };
        let mut complaint = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                thread::sleep(self.pause);
            }
            match client.get(url, headers) {
                Ok(answer) if answer.status == 200 => return Ok(answer.body),
                Ok(answer) => {
                    complaint = refusal(answer.status, &answer.body);
                    if answer.status < 500 {
                        break;
                    }
                }
                Err(error) => {
                    complaint = error.to_string();
                    if !error.is_transient() {
                        break;
                    }
                }
            }
        }
        Err(complaint)
    }

    /// What the endpoint wants to see, to the letter. The file is read each time: it is rotated.
    fn token(&self) -> Result<Option<String>, String> {
        let (place, token) = if let Some(path) = self.environment.get(TOKEN_FILE) {
            let text = read_text(path.as_ref())
                .map_err(|reason| format!("{TOKEN_FILE}: cannot read {path}: {reason}"))?;
            (TOKEN_FILE, text)
        } else if let Some(token) = self.environment.verbatim(TOKEN) {
            (TOKEN, token.to_owned())
        } else {
            return Ok(None);
        };
        if token.contains(['\r', '\n']) {
            return Err(format!("{place}: the token has a line break, which no header may have"));
        }
        let is_visible = !token.is_empty() && token.bytes().all(|it| (b' '..=b'~').contains(&it));
        if is_visible {
            Ok(Some(token))
        } else {
            Err(format!("{place}: the token is not a header's value"))
        }
    }
}

/// The URL, if credentials may be asked for there.
fn permitted(url: &str) -> Result<String, String> {
    let uri: Uri = url.parse().map_err(|_| format!("{FULL} is not a URL"))?;
    let host = uri.host().unwrap_or_default();
    // What stands before an @ looks like a host to people and is none.
    if host.is_empty() || url.contains('@') {
        return Err(format!("{FULL} is not a URL with a host"));
    }
    match uri.scheme_str() {
        Some("https") => Ok(url.to_owned()),
        Some("http") if is_near(host) => Ok(url.to_owned()),
        Some("http") => Err(format!(
            "{FULL}: plain http is for this machine, 169.254.170.2, 169.254.170.23 and \
             fd00:ec2::23; take https for {host}"
        )),
        Some(_) | None => Err(format!("{FULL} is neither http nor https")),
    }
}

/// Whether plain HTTP to the host stays on this machine or its link.
fn is_near(host: &str) -> bool {
    const NEIGHBOURS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let Ok(address) = literal.parse::<IpAddr>() else {
        return false;
    };
    address.is_loopback() || NEIGHBOURS.iter().any(|it| it.parse() == Ok(address))
}

/// What the endpoint says against it: its own message where it has one.
fn refusal(status: u16, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let message = serde_json::from_slice(body).map_or_else(
        |_| String::new(),
        |refusal: Refusal| {
            let visible = refusal.message.chars().filter(|letter| !letter.is_control());
            format!(" ({})", visible.take(200).collect::<String>())
        },
    );
    format!("it answers {status}{message}")
}

#[cfg(test)]
mod tests;
