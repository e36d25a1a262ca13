use super::Identity;
use crate::StsFailure;
use crate::tests::{error_xml, identity_xml, session_xml};

fn check(xml: &str) {
    let found = Identity::parse(xml.as_bytes());
    assert!(matches!(found, Err(StsFailure::Unexpected(_))), "{xml}: {found:?}");
}

/// The good answer with one piece of it changed.
fn with(from: &str, to: &str) -> String {
    let good = identity_xml();
    assert!(good.contains(from), "{from}");
    good.replacen(from, to, 1)
}

const ARN: &str = "arn:aws:sts::123456789012:assumed-role/mesh-agent/0123";

#[test]
fn an_identity_is_read() {
    let identity = Identity::parse(identity_xml().as_bytes()).unwrap();
    assert_eq!(identity.arn, ARN);
    assert_eq!(identity.account, "123456789012");
    assert_eq!(identity.user_id, "AROAEXAMPLE:0123");
    let declared = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", identity_xml());
    assert_eq!(Identity::parse(declared.as_bytes()).unwrap(), identity);
    let bare = with(
        "<ResponseMetadata>\n    <RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>\n  </ResponseMetadata>",
        "",
    );
    assert_eq!(Identity::parse(bare.as_bytes()).unwrap(), identity);
}

#[test]
fn a_comment_cannot_split_a_value() {
    check(&with(ARN, "arn:aws:iam::123456789012:role/admin<!-- -->-not"));
    check(&with(ARN, &format!("{ARN}<!---->")));
    check(&with(ARN, &format!("<![CDATA[{ARN}]]>")));
    check(&with(ARN, &format!("<?x?>{ARN}")));
    check(&with(ARN, &format!("<b>{ARN}</b>")));
    check(&with(ARN, &format!("{ARN}<b/>")));
}

#[test]
fn entities_of_ones_own_are_refused() {
    let document = with(ARN, "&a;");
    check(&document);
    check(&format!("<!DOCTYPE a [<!ENTITY a \"{ARN}\">]>{document}"));
    check(&format!("<!DOCTYPE a SYSTEM \"file:///etc/passwd\">{}", identity_xml()));
    let lol = "<!DOCTYPE a [<!ENTITY a \"aaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>";
    check(&format!("{lol}{}", with(ARN, "&b;")));
}

#[test]
fn another_namespace_is_another_document() {
    let namespace = "https://sts.amazonaws.com/doc/2011-06-15/";
    check(&with(namespace, "https://sts.amazonaws.com/doc/2011-06-16/"));
    check(&with(&format!(" xmlns=\"{namespace}\""), ""));
    check(&with("<Arn>", "<Arn xmlns=\"urn:x\">"));
    check(&with("<GetCallerIdentityResult>", "<GetCallerIdentityResult xmlns=\"urn:x\">"));
}

#[test]
fn what_is_there_twice_is_not_there() {
    check(&with("<Arn>", "<Arn>arn:aws:iam::123456789012:role/admin</Arn><Arn>"));
    check(&with("<Account>", "<Account>123456789012</Account><Account>"));
    let result = "<GetCallerIdentityResult><Arn>a</Arn></GetCallerIdentityResult>";
    check(&with("<ResponseMetadata>", &format!("{result}<ResponseMetadata>")));
    let foreign = "<x:Arn xmlns:x=\"urn:x\">arn:aws:iam::123456789012:role/admin</x:Arn>";
    check(&with("<Arn>", &format!("{foreign}<Arn>")));
}

#[test]
fn only_the_expected_elements_are_there() {
    check(&with("<Arn>", "<Other>x</Other><Arn>"));
    check(&with("<ResponseMetadata>", "<Other/><ResponseMetadata>"));
    check(&with("<Arn>", "x<Arn>"));
    check(&with("<Account>123456789012</Account>", ""));
    check(&with("<Arn>", "<Arn id=\"1\">"));
}

#[test]
fn a_response_inside_another_document_is_none() {
    check(&format!("<x>{}</x>", identity_xml()));
    check(
        &with("<Arn>", "<GetCallerIdentityResult><Arn>")
            .replace("</Account>", "</Account></GetCallerIdentityResult>"),
    );
    check(&error_xml("AccessDenied"));
    check(&session_xml("AssumeRole", "A"));
    check(&format!("{0}{0}", identity_xml()));
}

#[test]
fn values_are_what_they_should_be() {
    check(&with("<Account>123456789012", "<Account>12345678901"));
    check(&with("<Account>123456789012", "<Account>123456789013"));
    check(&with("<Account>123456789012", "<Account> 123456789012"));
    check(&with(ARN, ""));
    check(&with(ARN, " "));
    check(&with(ARN, "arn:aws:ecs:eu-central-1:123456789012:task/shop/0123"));
    check(&with(ARN, &format!("{ARN}\n")));
    check(&with("AROAEXAMPLE", "AROA EXAMPLE"));
    check(&with("AROAEXAMPLE", &"A".repeat(300)));
}

#[test]
fn any_beginning_and_any_noise_is_refused() {
    let good = identity_xml();
    for end in 0..good.trim_end().len() {
        check(&good[..end]);
    }
    check("{\"GetCallerIdentityResponse\":{}}");
    check("<html>503</html>");
    check("\u{0}");
    assert!(Identity::parse(b"\xff\xfe<").is_err());
    check(&"<a>".repeat(20_000));
}
