//! Texts to values. Every parser answers a mistake with the second half of a sentence, what was
//! found and what would be right; whoever knows the culprit puts it in front.

mod host;
mod number;
mod time;
mod url;

pub use host::{host_pattern, server_id};
pub use number::{number, show_size, size};
pub use time::{duration, seconds, show_seconds};
pub use url::{Url, url, wrong_url};

use std::net::IpAddr;

use log::LevelFilter;

/// `true` or `false`, or one of their everyday names.
///
/// # Errors
/// It is neither.
pub fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// An IP address to listen on.
///
/// # Errors
/// It is none, such as a name.
pub fn address(text: &str) -> Result<IpAddr, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| {
        format!("{text:?} is not an IP address; give for example 0.0.0.0, 127.0.0.1 or ::")
    })
}

/// How much is logged.
///
/// # Errors
/// There is no such level.
pub fn level(text: &str) -> Result<LevelFilter, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is not a log level; give off, error, warn, info, debug or trace")
    })
}

/// An absolute path of a URL, such as `/health`.
///
/// # Errors
/// It does not begin with a slash, or has characters that a request line cannot carry.
pub fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("{text:?} must begin with a slash; give for example /health"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('#') {
        return Err(format!(
            "{text:?} has characters that a URL cannot have; encode them as in %20"
        ));
    }
    Ok(text.to_owned())
}

/// A name for people and metrics: any text on one line, of at most 255 bytes.
///
/// # Errors
/// It is longer, or has control characters.
pub fn label(text: &str) -> Result<String, String> {
    if text.len() > LABEL_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(format!(
            "{text:?} is not a name; give at most {LABEL_BYTES_MAX} bytes without control \
             characters"
        ));
    }
    Ok(text.to_owned())
}

/// The longest name that ECS has.
const LABEL_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests;
