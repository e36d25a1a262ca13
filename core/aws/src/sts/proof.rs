//! The signature over "who am I?" that proves who an agent is.

use std::fmt;
use std::time::SystemTime;

use crate::sign::{self, Scope, Unsigned};
use crate::{Credentials, Unsignable};

/// What is signed, apart from the credentials' own part and the time.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    /// The host of STS, which is part of what is signed.
    pub host: &'a str,
    /// The region of that host.
    pub region: &'a str,
    /// The type of the body.
    pub content_type: &'a str,
    /// The question to STS.
    pub body: &'a str,
    /// Headers that bind the signature to its purpose, names in lower case.
    pub binding: &'a [(&'a str, &'a str)],
}

/// Everything that whoever knows the [`Statement`] needs in order to send the request.
///
/// It can be used by whoever has it until STS finds it too old, which is after 15 minutes; what
/// narrows that down is the binding.
#[derive(Clone, PartialEq, Eq)]
pub struct Proof {
    /// The host of STS.
    pub host: String,
    /// Its region.
    pub region: String,
    /// The public part of the key.
    pub access_key_id: String,
    /// When it was signed, as in `x-amz-date`: `20260101T000000Z`.
    pub date: String,
    /// The session's token, of temporary credentials. STS wants to see it in the request.
    pub security_token: Option<String>,
    /// 64 lower-case hexadecimal digits.
    pub signature: String,
}

/// Signs the POST of the statement to `https://HOST/`, with these headers and no others, all of
/// them signed: `content-type`, `host`, `x-amz-date`, `x-amz-security-token` if there is one, and
/// the binding.
///
/// # Errors
/// The host or a header is malformed.
pub fn prove(
    credentials: &Credentials,
    statement: Statement<'_>,
    now: SystemTime,
) -> Result<Proof, Unsignable> {
    let Statement { host, region, content_type, body, binding } = statement;
    // Otherwise the URL would be signed for another host than the header.
    let is_host = host.bytes().all(|it| it.is_ascii_alphanumeric() || b".-:[]".contains(&it));
    if !is_host {
        return Err(Unsignable);
    }
    let mut headers = vec![("content-type", content_type), ("host", host)];
    headers.extend(binding);
    let url = format!("https://{host}/");
    let request = Unsigned { method: "POST", url: &url, headers: &headers, body: body.as_bytes() };
    let signature = sign::sign(credentials, Scope { region, service: "sts", now }, request)?;
    Ok(Proof {
        host: host.to_owned(),
        region: region.to_owned(),
        access_key_id: credentials.access_key_id.clone(),
        date: signature.date,
        security_token: credentials.session_token.clone(),
        signature: signature.signature,
    })
}

/// Without the token and the signature.
impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof")
            .field("host", &self.host)
            .field("region", &self.region)
            .field("access_key_id", &self.access_key_id)
            .field("date", &self.date)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
