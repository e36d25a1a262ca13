//! What STS answers.

use super::SECRET;

/// To `AssumeRole` and its like, until 06:00 of the day.
pub(crate) fn session_xml(action: &str, id: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n\
         <{action}Result><AssumedRoleUser><Arn>a</Arn><AssumedRoleId>b</AssumedRoleId>\
         </AssumedRoleUser><Credentials><AccessKeyId>{id}</AccessKeyId>\
         <SecretAccessKey>{SECRET}</SecretAccessKey><SessionToken>to/ken==</SessionToken>\
         <Expiration>2026-01-01T06:00:00Z</Expiration></Credentials>\
         <PackedPolicySize>6</PackedPolicySize></{action}Result>\
         <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{action}Response>"
    )
}

/// To `GetCallerIdentity`.
pub(crate) fn identity_xml() -> String {
    "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  \
     <GetCallerIdentityResult>\n    \
     <Arn>arn:aws:sts::123456789012:assumed-role/mesh-agent/0123</Arn>\n    \
     <UserId>AROAEXAMPLE:0123</UserId>\n    <Account>123456789012</Account>\n  \
     </GetCallerIdentityResult>\n  <ResponseMetadata>\n    \
     <RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>\n  </ResponseMetadata>\n\
     </GetCallerIdentityResponse>\n"
        .to_owned()
}

pub(crate) fn error_xml(code: &str) -> String {
    explained_xml(code, "why")
}

pub(crate) fn explained_xml(code: &str, message: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    \
         <Type>Sender</Type>\n    <Code>{code}</Code>\n    <Message>{message}</Message>\n  </Error>\n  \
         <RequestId>r</RequestId>\n</ErrorResponse>\n"
    )
}
