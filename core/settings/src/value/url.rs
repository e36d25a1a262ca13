//! URLs of services: scheme, host, port and path, and nothing else.

use std::net::Ipv6Addr;

use super::host::is_name;

/// A URL taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// In lower case.
    pub scheme: String,
    /// A DNS name or an address literal without brackets, in lower case.
    pub host: String,
    /// The port, if one is given.
    pub port: Option<u16>,
    /// The path, `/` if none is given.
    pub path: String,
}

/// A URL with one of these schemes; the example completes the error sentence.
///
/// # Errors
/// It is no such URL, or has parts that mean nothing here: user, query, fragment.
pub fn url(text: &str, schemes: &[&str], example: &str) -> Result<Url, String> {
    let wrong = |what: &str| Err(wrong_url(text, what, example));
    let Some((scheme, rest)) = text.split_once("://") else {
        return wrong("is not a URL");
    };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    if authority.contains('@') {
        return wrong("has a user");
    }
    let scheme = scheme.to_ascii_lowercase();
    if !schemes.contains(&scheme.as_str()) {
        return wrong(&format!("must begin with {}://", schemes.join(":// or ")));
    }
    if path.contains(['?', '#']) {
        return wrong("must end with its path");
    }
    let path = if path.is_empty() { "/" } else { path };
    let Ok(path) = super::path(path) else {
        return wrong("has characters that a URL cannot have, to be encoded as in %20");
    };
    let (host, port) = authority_parts(authority).map_err(|what| wrong_url(text, what, example))?;
    Ok(Url { scheme, host, port, path })
}

/// The complaint about a URL: what is wrong with it, and how one looks. With an `@` in it there may be
/// a password in it, wherever the URL goes wrong, and a log must not show that.
#[must_use]
pub fn wrong_url(text: &str, what: &str, example: &str) -> String {
    if text.contains('@') {
        return format!(
            "a user name or password in a URL is not supported; give for example {example}"
        );
    }
    format!("{text:?} {what}; give for example {example}")
}

/// Host and port, or what is wrong with them.
fn authority_parts(authority: &str) -> Result<(String, Option<u16>), &'static str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest
            .split_once(']')
            .filter(|(address, _)| address.parse::<Ipv6Addr>().is_ok())
            .ok_or("has no valid IPv6 address in brackets such as [::1]")?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let host = host.to_ascii_lowercase();
    let bracketed = authority.starts_with('[');
    if !bracketed && !is_name(host.strip_suffix('.').unwrap_or(&host)) {
        return Err("has no valid host name");
    }
    if port.is_empty() {
        return Ok((host, None));
    }
    port.strip_prefix(':')
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse::<u16>().ok())
        .filter(|number| *number != 0)
        .map(|number| (host, Some(number)))
        .ok_or("must have a port from 1 to 65535")
}
