//! Signature Version 4 in headers: aws-sigv4 with the time as an argument.

use std::fmt;
use std::time::SystemTime;

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4;

use crate::Credentials;

/// What a signature is good for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
    /// The time that the request says it is sent at.
    pub(crate) now: SystemTime,
}

/// A request about to be sent.
#[derive(Clone, Copy)]
pub(crate) struct Unsigned<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    /// All of them are signed. Where there is no `host` among them, the URL's is.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
}

/// What makes a request a signed one.
pub(crate) struct Signature {
    /// `authorization`, `x-amz-date` and, for temporary credentials, `x-amz-security-token`.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The value of `x-amz-date`: `20260101T000000Z`.
    pub(crate) date: String,
    /// 64 lower-case hexadecimal digits.
    pub(crate) signature: String,
}

/// The request cannot be signed: its URL or a header is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsignable;

pub(crate) fn sign(
    credentials: &Credentials,
    scope: Scope<'_>,
    request: Unsigned<'_>,
) -> Result<Signature, Unsignable> {
    let identity = aws_credential_types::Credentials::new(
        credentials.access_key_id.as_str(),
        credentials.secret_access_key.as_str(),
        credentials.session_token.clone(),
        None,
        "mesh",
    )
    .into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(scope.now)
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| Unsignable)?
        .into();
    let url: ureq::http::Uri = request.url.parse().map_err(|_| Unsignable)?;
    // Without a host aws-sigv4 panics.
    if url.host().is_none_or(str::is_empty) {
        return Err(Unsignable);
    }
    let signable = SignableRequest::new(
        request.method,
        request.url,
        request.headers.iter().copied(),
        SignableBody::Bytes(request.body),
    )
    .map_err(|_| Unsignable)?;
    let (instructions, signature) =
        aws_sigv4::http_request::sign(signable, &parameters).map_err(|_| Unsignable)?.into_parts();
    let (headers, _) = instructions.into_parts();
    let headers: Vec<_> =
        headers.iter().map(|header| (header.name(), header.value().to_owned())).collect();
    let date = headers
        .iter()
        .find(|(name, _)| *name == "x-amz-date")
        .map(|(_, value)| value.clone())
        .ok_or(Unsignable)?;
    Ok(Signature { headers, date, signature })
}

impl Signature {
    /// The headers of the request together with those of the signature.
    pub(crate) fn with<'a>(&'a self, headers: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let own = self.headers.iter().map(|(name, value)| (*name, value.as_str()));
        headers.iter().copied().chain(own).collect()
    }
}

impl fmt::Display for Unsignable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request cannot be signed: its address or a header is malformed")
    }
}

impl std::error::Error for Unsignable {}

#[cfg(test)]
mod tests;
