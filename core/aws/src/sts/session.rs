//! Sessions of roles: one kind of credentials made into another.

use std::time::{SystemTime, UNIX_EPOCH};

use super::FORM;
use super::failure;
use super::identity::NAMESPACE;
use crate::http::Client;
use crate::sign::{self, Scope, Unsigned};
use crate::{Credentials, Endpoint, Source, StsFailure, timestamp, xml};

/// The role and how its session is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Role<'a> {
    pub(crate) arn: &'a str,
    /// `mesh-` and the time where nobody chose one.
    pub(crate) session_name: Option<&'a str>,
    pub(crate) external_id: Option<&'a str>,
    /// In seconds; STS knows what is too long.
    pub(crate) duration_s: Option<&'a str>,
}

/// Assumes the role with the rights of `base`.
pub(crate) fn assume(
    client: &Client,
    endpoint: &Endpoint,
    base: &Credentials,
    role: &Role<'_>,
    source: Source,
    now: SystemTime,
) -> Result<Credentials, StsFailure> {
    let body = question("AssumeRole", role, None, now);
    let headers = [("content-type", FORM), ("host", endpoint.host.as_str())];
    let url = format!("{}/", endpoint.url);
    let request = Unsigned { method: "POST", url: &url, headers: &headers, body: body.as_bytes() };
    let scope = Scope { region: endpoint.region.as_str(), service: "sts", now };
    let signature = sign::sign(base, scope, request)
        .map_err(|error| StsFailure::Unexpected(error.to_string()))?;
    let signed = signature.with(&headers);
    let answer = failure::post(client, &url, &signed, &body, base.session_token.as_deref())?;
    credentials(&answer, "AssumeRole", source)
}

/// Assumes the role for the token, which is all that STS wants to see: nothing is signed.
pub(crate) fn assume_with_web_identity(
    client: &Client,
    endpoint: &Endpoint,
    role: &Role<'_>,
    token: &str,
    source: Source,
    now: SystemTime,
) -> Result<Credentials, StsFailure> {
    let body = question("AssumeRoleWithWebIdentity", role, Some(token), now);
    let url = format!("{}/", endpoint.url);
    let headers = [("content-type", FORM), ("host", endpoint.host.as_str())];
    let answer = failure::post(client, &url, &headers, &body, Some(token))?;
    credentials(&answer, "AssumeRoleWithWebIdentity", source)
}

fn question(action: &str, role: &Role<'_>, token: Option<&str>, now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let chosen = format!("mesh-{seconds}");
    let parameters = [
        ("RoleArn", Some(role.arn)),
        ("RoleSessionName", Some(role.session_name.unwrap_or(&chosen))),
        ("ExternalId", role.external_id),
        ("DurationSeconds", role.duration_s),
        ("WebIdentityToken", token),
    ];
    let mut body = format!("Action={action}&Version=2011-06-15");
    for (name, value) in parameters {
        if let Some(value) = value {
            body.push('&');
            body.push_str(name);
            body.push('=');
            escape(value, &mut body);
        }
    }
    body
}

/// RFC 3986 2.3: what is not unreserved is escaped.
fn escape(value: &str, body: &mut String) {
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                body.push(char::from(byte));
            }
            _ => body.push_str(&format!("%{byte:02X}")),
        }
    }
}

fn credentials(body: &[u8], action: &str, source: Source) -> Result<Credentials, StsFailure> {
    read(body, action, source).ok_or_else(|| {
        StsFailure::Unexpected("STS answers with something other than credentials".to_owned())
    })
}

fn read(body: &[u8], action: &str, source: Source) -> Option<Credentials> {
    let document = xml::parse(std::str::from_utf8(body).ok()?)?;
    let root = document.root_element();
    let (response, result) = (format!("{action}Response"), format!("{action}Result"));
    if !root.has_tag_name((NAMESPACE, response.as_str())) {
        return None;
    }
    let result = xml::only(root, NAMESPACE, &result)?;
    let inside = xml::only(result, NAMESPACE, "Credentials")?;
    let value = |name| xml::only(inside, NAMESPACE, name).and_then(xml::text);
    let expires = timestamp::parse(value("Expiration")?)?;
    Credentials::new(
        value("AccessKeyId")?,
        value("SecretAccessKey")?,
        Some(value("SessionToken")?),
        Some(expires),
        source,
    )
}

#[cfg(test)]
mod tests;
