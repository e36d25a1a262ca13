//! STS by a script: good answers, bad ones, and forged ones.

use std::sync::Mutex;
use std::time::Duration;

use super::server::{Fake, Reply};

const KIND: &str = "text/xml";

/// An STS that gives these answers one after the other, whatever it is asked, and the last of them
/// from then on.
pub(crate) fn scripted(replies: Vec<Reply>) -> Fake {
    let left = Mutex::new(replies.into_iter().peekable());
    let last = Mutex::new(Reply::Close);
    Fake::start(move |_| {
        let mut last = last.lock().unwrap();
        if let Some(next) = left.lock().unwrap().next() {
            *last = next;
        }
        last.clone()
    })
}

/// What STS says of whoever has this ARN.
pub(crate) fn identity(arn: &str) -> Reply {
    Reply::new(200, KIND, &identity_xml(arn))
}

/// The same as text.
pub(crate) fn identity_xml(arn: &str) -> String {
    let account = arn.split(':').nth(4).unwrap_or_default();
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  \
         <GetCallerIdentityResult>\n    <Arn>{arn}</Arn>\n    \
         <UserId>AROAEXAMPLE:session</UserId>\n    <Account>{account}</Account>\n  \
         </GetCallerIdentityResult>\n  <ResponseMetadata>\n    \
         <RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>\n  </ResponseMetadata>\n\
         </GetCallerIdentityResponse>\n"
    )
}

/// A refusal, such as 403 `SignatureDoesNotMatch`, 403 `InvalidClientTokenId`, 403 `ExpiredToken`,
/// 400 `Throttling`, 503 `ServiceUnavailable`.
pub(crate) fn refusal(status: u16, code: &str, message: &str) -> Reply {
    let xml = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    \
         <Type>Sender</Type>\n    <Code>{code}</Code>\n    <Message>{message}</Message>\n  \
         </Error>\n  <RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>\n\
         </ErrorResponse>\n"
    );
    Reply::new(status, KIND, &xml)
}

/// Asked too often.
pub(crate) fn throttle() -> Reply {
    refusal(503, "Throttling", "Rate exceeded")
}

/// Something broke over there.
pub(crate) fn broken() -> Reply {
    refusal(500, "InternalFailure", "The request processing has failed")
}

/// "Ask over there", where a good answer may wait.
pub(crate) fn redirect(url: &str) -> Reply {
    Reply::with_headers(307, &[("location", url)], "")
}

/// What a captive portal or a proxy says.
pub(crate) fn page(arn: &str) -> Reply {
    let xml = identity_xml(arn);
    Reply::new(200, "text/html", &format!("<!doctype html><title>Sign in</title>\n{xml}"))
}

/// A good answer of which a byte comes at a time.
pub(crate) fn slow(arn: &str, pause: Duration) -> Reply {
    let xml = identity_xml(arn);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", xml.len());
    Reply::Drip((head + &xml).into_bytes(), pause)
}

/// A good answer with a comment of that size before its end.
pub(crate) fn large(arn: &str, bytes: usize) -> Reply {
    let xml = identity_xml(arn).replace("</GetCallerIdentityResponse>", "");
    let padding = "x".repeat(bytes);
    Reply::new(200, KIND, &format!("{xml}<!--{padding}-->\n</GetCallerIdentityResponse>\n"))
}

/// A good answer that never ends.
pub(crate) fn endless(arn: &str) -> Reply {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {KIND}\r\n\r\n");
    let xml = identity_xml(arn).replace("</GetCallerIdentityResponse>", "");
    Reply::Endless((head + &xml).into_bytes(), vec![b' '; 16 * 1024])
}

/// A good answer that the connection's end cuts off in the middle of its ARN.
pub(crate) fn torn(arn: &str) -> Reply {
    let xml = identity_xml(arn);
    let at = xml.find("</Arn>").unwrap() - 1;
    let length = xml.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {KIND}\r\ncontent-length: {length}\r\n");
    Reply::Last(format!("{head}\r\n{}", &xml[..at]).into_bytes())
}

/// Answers in which somebody without this identity has got its ARN written: values that the asker
/// chooses, in answers to actions that anybody may ask for, and XML that parsers read differently.
pub(crate) fn forgeries(arn: &str) -> Vec<(&'static str, Reply)> {
    let inner = identity_xml(arn);
    let mine = identity_xml("arn:aws:iam::666666666666:user/mallory");
    let escaped = inner.replace('<', "&lt;").replace('>', "&gt;");
    let assumed = |token: &str| {
        format!(
            "<AssumeRoleWithWebIdentityResponse \
             xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <AssumeRoleWithWebIdentityResult><SubjectFromWebIdentityToken>{token}\
             </SubjectFromWebIdentityToken></AssumeRoleWithWebIdentityResult>\
             </AssumeRoleWithWebIdentityResponse>"
        )
    };
    let result = &inner[inner.find("<GetCallerIdentityResult>").unwrap()..];
    let result = &result[..result.find("<ResponseMetadata>").unwrap()];
    let twice = mine.replace("<ResponseMetadata>", &format!("{result}<ResponseMetadata>"));
    let arns = mine.replace("<UserId>", &format!("<Arn>{arn}</Arn><UserId>"));
    let nested = mine.replace("AROAEXAMPLE:session", &inner);
    let entity = format!(
        "<!DOCTYPE r [<!ENTITY e \"{arn}\">]>{}",
        mine.replace("arn:aws:iam::666666666666:user/mallory", "&e;")
    );
    let forged = [
        ("the answer to another action around it", assumed(&inner)),
        ("escaped in the answer to another action", assumed(&escaped)),
        ("as CDATA in the answer to another action", assumed(&format!("<![CDATA[{inner}]]>"))),
        (
            "in a comment before the answer to another action",
            format!("<!--{inner}-->{}", assumed("x")),
        ),
        ("a second result", twice),
        ("a second ARN", arns),
        ("within another value", nested),
        ("behind the end", format!("{mine}{inner}")),
        ("an entity", entity),
        ("a bare ARN", format!("<Arn>{arn}</Arn>")),
        ("a refusal around it", format!("<ErrorResponse><Error>{inner}</Error></ErrorResponse>")),
    ];
    forged.map(|(name, xml)| (name, Reply::new(200, KIND, &xml))).into()
}
