//! Proofs of an AWS identity, and the request to STS that checks one.
//!
//! The agent signs a `GetCallerIdentity` request and tells us the signature and what it cannot be
//! checked without. It sends no URL, no header and no body. The request is put together here, of
//! those few fields and of our own server id, nonce and HELLO digest, and goes to a host of our
//! list: whatever the agent did, STS is asked exactly this and by exactly us.

use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use mesh_protocol::control::IamProof;
use mesh_protocol::proof::{
    Binding, HELLO_HEADER, NONCE_HEADER, SERVER_ID_HEADER, STS_BODY, STS_CONTENT_TYPE,
};

use super::sts_hosts;

/// A POST to `https://HOST/`. The worker adds nothing to it that is signed, follows no redirect,
/// and takes the answer only from this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StsRequest {
    /// The host, and where an endpoint is configured perhaps a port.
    pub host: String,
    /// All headers that STS has to see, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: &'static str,
}

/// Session tokens are opaque and have no documented limit; a kilobyte or two is usual.
const SECURITY_TOKEN_BYTES_MAX: usize = 8 * 1024;

/// How far the clocks of agent and ingress may be apart. STS would take requests within fifteen
/// minutes of their date; less of it is less time for whoever got hold of a proof.
pub const DATE_WINDOW: Duration = Duration::from_secs(5 * 60);

/// The request to STS that checks a proof. `override_host` is the host, perhaps with a port, of a
/// configured endpoint, for which any region will do, and the keys of a stand-in for AWS.
///
/// # Errors
/// A field is not what it can be; half a sentence without the field's content, which may be
/// anything.
pub fn sts_request(
    proof: &IamProof,
    binding: &Binding<'_>,
    override_host: Option<&str>,
) -> Result<StsRequest, String> {
    check_host(proof, override_host)?;
    check_key(proof, override_host)?;
    if unix_seconds(&proof.date).is_none() {
        return Err("the proof has no valid date".to_owned());
    }
    if !HEXLOWER.decode(proof.signature.as_bytes()).is_ok_and(|mac| mac.len() == 32) {
        return Err("the proof has no valid signature".to_owned());
    }
    let token = proof.security_token.as_deref();
    if token.is_some_and(|token| !is_security_token(token)) {
        return Err("the proof has no valid security token".to_owned());
    }
    let mut headers = vec![
        ("content-type", STS_CONTENT_TYPE.to_owned()),
        ("host", proof.host.clone()),
        ("x-amz-date", proof.date.clone()),
    ];
    headers.extend(token.map(|token| ("x-amz-security-token", token.to_owned())));
    headers.push((HELLO_HEADER, binding.hello.to_owned()));
    headers.push((NONCE_HEADER, binding.nonce.to_owned()));
    headers.push((SERVER_ID_HEADER, binding.server_id.to_owned()));
    // Everything that is there is signed, so nothing in it can be another's.
    let signed: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let (day, _) = proof.date.split_at(8);
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{day}/{}/sts/aws4_request, SignedHeaders={}, \
         Signature={}",
        proof.access_key_id,
        proof.region,
        signed.join(";"),
        proof.signature,
    );
    headers.push(("authorization", authorization));
    Ok(StsRequest { host: proof.host.clone(), headers, body: STS_BODY })
}

fn check_host(proof: &IamProof, override_host: Option<&str>) -> Result<(), String> {
    let IamProof { host, region, .. } = proof;
    if is_configured(host, override_host) {
        let is_region_byte =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=32).contains(&region.len()) || !region.bytes().all(is_region_byte) {
            return Err("the proof has no valid region".to_owned());
        }
        return Ok(());
    }
    let Some(expected) = sts_hosts::region_of(host) else {
        return Err("the proof is not for a host of STS that this ingress knows".to_owned());
    };
    if region != expected {
        return Err(format!("the proof for {host} is not signed for the region {expected}"));
    }
    Ok(())
}

/// AWS makes its keys of capitals and digits. Stand-ins take what agents take, such as `test`.
fn check_key(proof: &IamProof, override_host: Option<&str>) -> Result<(), String> {
    let IamProof { host, access_key_id: key, .. } = proof;
    let is_key = if is_configured(host, override_host) {
        (1..=128).contains(&key.len())
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    } else {
        (16..=128).contains(&key.len())
            && key.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    if is_key { Ok(()) } else { Err("the proof has no valid access key id".to_owned()) }
}

fn is_configured(host: &str, override_host: Option<&str>) -> bool {
    override_host.is_some_and(|known| known.eq_ignore_ascii_case(host))
}

/// The letters of Base64 in both its forms.
fn is_security_token(token: &str) -> bool {
    let is_token_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_');
    (1..=SECURITY_TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(is_token_byte)
}

/// Looks whether a proof was made lately by a clock that agrees with ours. STS looks too, so asking
/// it would be pointless.
///
/// # Errors
/// The clocks are further apart than `window`; half a sentence that says by how much.
pub fn check_date(date: &str, now: SystemTime, window: Duration) -> Result<(), String> {
    let Some(signed) = unix_seconds(date) else {
        return Err("the proof has no valid date".to_owned());
    };
    let signed = SystemTime::UNIX_EPOCH + Duration::from_secs(signed);
    let (apart, direction) = match now.duration_since(signed) {
        Ok(behind) => (behind, "behind"),
        Err(error) => (error.duration(), "ahead of"),
    };
    if apart <= window {
        return Ok(());
    }
    Err(format!(
        "the agent's clock is {} s {direction} the ingress's, and {} s are allowed; synchronise \
         the time on both, for example with chrony or systemd-timesyncd",
        apart.as_secs(),
        window.as_secs(),
    ))
}

/// Seconds since 1970 of a time `YYYYMMDDTHHMMSSZ` that the calendar has.
fn unix_seconds(date: &str) -> Option<u64> {
    let date: &[u8; 16] = date.as_bytes().try_into().ok()?;
    if date[8] != b'T' || date[15] != b'Z' {
        return None;
    }
    let year = number(&date[..4])?;
    let [month, day] = [number(&date[4..6])?, number(&date[6..8])?];
    let [hour, minute, second] =
        [number(&date[9..11])?, number(&date[11..13])?, number(&date[13..15])?];
    let is_time = hour < 24 && minute < 60 && second < 60;
    if year < 1970 || !(1..=12).contains(&month) || !is_time {
        return None;
    }
    if !(1..=days_in(month, year)).contains(&day) {
        return None;
    }
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    let days_before_year = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969);
    let days_before_month: u64 = (1..month).map(|month| days_in(month, year)).sum();
    let days = days_before_year + days_before_month + day - 1;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

const fn days_in(month: u64, year: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Only plain digits: no sign, and no digits of other scripts.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests;
