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

/// What AWS says of a request that it refuses.
pub(crate) struct Complaint {
    /// A word that [`is_code`].
    pub(crate) code: String,
    /// As it was sent, which is more than may be shown: see [`explanation`].
    pub(crate) message: String,
}

const MESSAGE_CHARS_MAX: usize = 500;

/// `Code` and `Message` in `<ErrorResponse><Error>`, in whatever namespace: they are only words.
/// Around the `Error` there may be `Errors`, as some services and stand-ins have it.
pub(crate) fn complaint(body: &[u8]) -> Option<Complaint> {
    let document = xml::parse(std::str::from_utf8(body).ok()?)?;
    let root = document.root_element();
    if !is_named(root, "ErrorResponse") {
        return None;
    }
    let around = only(root, "Errors").unwrap_or(root);
    let error = only(around, "Error")?;
    let code = xml::text(only(error, "Code")?)?;
    let message = only(error, "Message").and_then(xml::text).unwrap_or_default();
    is_code(code).then(|| Complaint { code: code.to_owned(), message: message.to_owned() })
}

/// What of AWS's message may be shown: its first line, at most 500 characters. Where a signature
/// does not fit, the lines below show what should have been signed, the session's token included.
/// A line that repeats `token`, with which the request was made, or its signature is left out too.
pub(crate) fn explanation(message: &str, token: Option<&str>) -> String {
    let line = message.trim().lines().next().unwrap_or_default();
    if line.contains("Signature=") || token.is_some_and(|token| line.contains(token)) {
        return String::new();
    }
    line.chars().filter(|letter| !letter.is_control()).take(MESSAGE_CHARS_MAX).collect()
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

/// Whether the code means that the credentials are good no more: their time is over, or AWS does not know
/// them, as after their role was deleted. Where they came from there may be others.
pub(crate) fn ends_credentials(code: &str) -> bool {
    matches!(
        code,
        "ExpiredToken"
            | "ExpiredTokenException"
            | "InvalidClientTokenId"
            | "InvalidToken"
            | "TokenRefreshRequired"
            | "UnrecognizedClientException"
    )
}

#[cfg(test)]
mod tests;
