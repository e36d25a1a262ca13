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
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(format!("{text:?} is not a URL; give for example {example}"));
    };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    // Before anything that quotes the text: a log must not show a password.
    if authority.contains('@') {
        return Err(format!(
            "a user name or password in a URL is not supported; give for example {example}"
        ));
    }
    let scheme = scheme.to_ascii_lowercase();
    if !schemes.contains(&scheme.as_str()) {
        let wanted = schemes.join(":// or ");
        return Err(format!("{text:?} must begin with {wanted}://; give for example {example}"));
    }
    if path.contains(['?', '#']) {
        return Err(format!("{text:?} must end with its path; give for example {example}"));
    }
    let path = if path.is_empty() { "/" } else { path };
    let path = super::path(path)?;
    let (host, port) = authority_parts(text, authority, example)?;
    Ok(Url { scheme, host, port, path })
}

fn authority_parts(
    text: &str,
    authority: &str,
    example: &str,
) -> Result<(String, Option<u16>), String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest
            .split_once(']')
            .filter(|(address, _)| address.parse::<Ipv6Addr>().is_ok())
            .ok_or_else(|| {
                format!("{text:?} has no valid IPv6 address in brackets; give for example [::1]")
            })?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let host = host.to_ascii_lowercase();
    let bracketed = authority.starts_with('[');
    if !bracketed && !is_name(host.strip_suffix('.').unwrap_or(&host)) {
        return Err(format!("{text:?} has no valid host name; give for example {example}"));
    }
    if port.is_empty() {
        return Ok((host, None));
    }
    let number = port
        .strip_prefix(':')
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse::<u16>().ok())
        .filter(|number| *number != 0);
    match number {
        Some(number) => Ok((host, Some(number))),
        None => Err(format!("{text:?} must have a port from 1 to 65535")),
    }
}
