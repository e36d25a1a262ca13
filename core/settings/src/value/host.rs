//! Host names: patterns that an agent registers, and what an ingress calls itself.

use std::net::IpAddr;

/// `*`, `*.suffix` or a DNS name; in lower case and without the dot at its end.
///
/// # Errors
/// It is none of these; the sentence says which part is too much.
pub fn host_pattern(text: &str) -> Result<String, String> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    let pattern = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let name = pattern.strip_prefix("*.").unwrap_or(&pattern);
    if is_name(name) {
        return Ok(pattern);
    }
    Err(format!("{text:?} is not a host name; {}", hint(name)))
}

/// What agents dial, and an ingress calls itself: a name or an address.
///
/// # Errors
/// It is neither, or a pattern.
pub fn server_id(text: &str) -> Result<String, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    if text.contains('*') {
        return Err(format!("{text:?} must be one name; give for example mesh.example.com"));
    }
    host_pattern(text).map_err(|_| {
        format!(
            "{text:?} is neither a host name nor an address; give it without scheme, port and \
             path, for example mesh.example.com"
        )
    })
}

/// What would be right, guessed from what is wrong.
fn hint(name: &str) -> &'static str {
    if name.contains("://") {
        "give it without the scheme, for example shop.example.com"
    } else if name.starts_with(['"', '\'']) {
        "give it without the quotes, for example shop.example.com"
    } else if name.contains('/') {
        "give it without a path, for example shop.example.com"
    } else if name.contains('*') {
        "a star stands alone or as the first label, as in *.example.com"
    } else if let Some((_, port)) = name.split_once(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        "give it without the port: a host is served on every port"
    } else if !name.is_ascii() {
        "give it in its ASCII form, which begins with xn--"
    } else {
        "give for example shop.example.com, *.example.com or *"
    }
}

/// Whether the text is a DNS name, or an IPv4 address. Underscores are no host name letters by the
/// book (RFC 1123 2.1), and containers are named with them all the same.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= HOST_BYTES_MAX && text.split('.').all(is_label)
}

/// RFC 1035 2.3.4, without the root label.
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

fn is_label(label: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
