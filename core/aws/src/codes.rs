//! AWS's words for what went wrong, and what they mean to us.

use roxmltree::Node;

use crate::xml;

/// Whether the code means that one should come again later.
pub(crate) fn is_throttling(code: &str) -> bool {
    matches!(
        code,
        "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "BandwidthLimitExceeded"
            | "LimitExceededException"
            | "SlowDown"
            | "ServiceUnavailable"
            | "InternalFailure"
    )
}

/// The `Code` in `<ErrorResponse><Error>`, in whatever namespace: it is only a word. Around the
/// `Error` there may be `Errors`, as some services and stand-ins have it.
pub(crate) fn error_code(body: &[u8]) -> Option<String> {
    let document = xml::parse(std::str::from_utf8(body).ok()?)?;
    let root = document.root_element();
    if !is_named(root, "ErrorResponse") {
        return None;
    }
    let around = only(root, "Errors").unwrap_or(root);
    let code = xml::text(only(only(around, "Error")?, "Code")?)?;
    is_code(code).then(|| code.to_owned())
}

fn only<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    let mut named = xml::elements(node)?.into_iter().filter(|child| is_named(*child, name));
    named.next().filter(|_| named.next().is_none())
}

fn is_named(node: Node<'_, '_>, name: &str) -> bool {
    node.tag_name().name() == name
}

/// Fit to be logged and counted.
pub(crate) fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
}

/// Whether the code means that the credentials' time is over.
pub(crate) fn is_expiry(code: &str) -> bool {
    matches!(code, "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired")
}

#[cfg(test)]
mod tests;
