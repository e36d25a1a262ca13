//! AWS's words for what went wrong, and what they mean to us.

use roxmltree::{ExpandedName, Node};

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

/// The `Code` in `<ErrorResponse><Error><Code>`, in whatever namespace: it is only a word.
pub(crate) fn error_code(body: &[u8]) -> Option<String> {
    let document = xml::parse(std::str::from_utf8(body).ok()?)?;
    let named = |node: Node<'_, '_>, name: &str| node.has_tag_name(name_in(node, name));
    let root = document.root_element();
    if !named(root, "ErrorResponse") {
        return None;
    }
    let error = xml::elements(root)?.into_iter().find(|node| named(*node, "Error"))?;
    let mut codes = xml::elements(error)?.into_iter().filter(|node| named(*node, "Code"));
    let code = xml::text(codes.next()?)?;
    (codes.next().is_none() && is_code(code)).then(|| code.to_owned())
}

fn name_in<'a>(node: Node<'a, '_>, name: &'a str) -> ExpandedName<'a, 'a> {
    node.tag_name().namespace().map_or_else(|| name.into(), |namespace| (namespace, name).into())
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
