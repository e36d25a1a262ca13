//! Who somebody is, as STS says it.

use crate::StsFailure;
use crate::arn::{Arn, is_account};
use crate::xml;

/// Who signed a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Such as `arn:aws:sts::123456789012:assumed-role/mesh-agent/0123…`.
    pub arn: String,
    /// Twelve digits; the same as in the ARN.
    pub account: String,
    /// The unique id, such as `AROA…:SESSION`. Unlike a name it is never used again.
    pub user_id: String,
}

pub(super) const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
/// A session name has at most 64 characters, an id about 21.
const USER_ID_BYTES_MAX: usize = 256;

impl Identity {
    /// Reads the answer to `GetCallerIdentity`: exactly its elements, each once, and plain text in
    /// them. Whatever else is in there might make another reader see another identity.
    ///
    /// # Errors
    /// [`StsFailure::Unexpected`] for any other document.
    pub(super) fn parse(body: &[u8]) -> Result<Self, StsFailure> {
        Self::read(body).ok_or_else(|| {
            StsFailure::Unexpected("STS answers with something other than an identity".to_owned())
        })
    }

    fn read(body: &[u8]) -> Option<Self> {
        let document = xml::parse(std::str::from_utf8(body).ok()?)?;
        let root = document.root_element();
        if !root.has_tag_name((NAMESPACE, "GetCallerIdentityResponse")) {
            return None;
        }
        let mut outer = xml::elements(root)?.into_iter();
        let result = xml::only(root, NAMESPACE, "GetCallerIdentityResult")?;
        if !outer.all(|node| node == result || node.has_tag_name((NAMESPACE, "ResponseMetadata"))) {
            return None;
        }
        if xml::elements(result)?.len() != 3 {
            return None;
        }
        let value = |name| xml::only(result, NAMESPACE, name).and_then(xml::text);
        let (arn, user_id, account) = (value("Arn")?, value("UserId")?, value("Account")?);
        let parts = Arn::parse(arn)?;
        let is_sane = is_account(account)
            && parts.account == account
            && matches!(parts.service, "iam" | "sts")
            && user_id.len() <= USER_ID_BYTES_MAX
            && user_id.bytes().all(|byte| byte.is_ascii_graphic());
        is_sane.then(|| Self {
            arn: arn.to_owned(),
            account: account.to_owned(),
            user_id: user_id.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests;
