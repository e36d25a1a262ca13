//! Names of things at AWS: `arn:aws:ecs:eu-central-1:123456789012:task/shop/0123…`.

/// The parts of an ARN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arn<'a> {
    pub(crate) partition: &'a str,
    pub(crate) service: &'a str,
    pub(crate) region: &'a str,
    pub(crate) account: &'a str,
    pub(crate) resource: &'a str,
}

/// The longest that AWS's own interfaces take.
const ARN_BYTES_MAX: usize = 2048;

impl<'a> Arn<'a> {
    /// The parts of `text`, or `None` where it is no ARN in an account.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        if text.len() > ARN_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut parts = text.splitn(6, ':');
        let is_arn = parts.next()? == "arn";
        let arn = Self {
            partition: parts.next()?,
            service: parts.next()?,
            region: parts.next()?,
            account: parts.next()?,
            resource: parts.next()?,
        };
        let is_whole = is_arn
            && is_name(arn.partition)
            && is_name(arn.service)
            && (arn.region.is_empty() || is_name(arn.region))
            && is_account(arn.account)
            && !arn.resource.is_empty();
        is_whole.then_some(arn)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Whether this is the number of an account.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
