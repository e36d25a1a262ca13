use super::read;
use crate::Source;
use crate::tests::session_xml;

fn check(xml: &str) {
    assert!(read(xml.as_bytes(), "AssumeRole", Source::Profile).is_none(), "{xml}");
}

fn with(from: &str, to: &str) -> String {
    let good = session_xml("AssumeRole", "ASIAROLE");
    assert!(good.contains(from), "{from}");
    good.replacen(from, to, 1)
}

#[test]
fn a_session_has_all_its_parts() {
    let good = session_xml("AssumeRole", "ASIAROLE");
    let found = read(good.as_bytes(), "AssumeRole", Source::Profile).unwrap();
    assert_eq!(found.access_key_id(), "ASIAROLE");
    assert!(found.expires().is_some());
    check(&with("<AccessKeyId>ASIAROLE</AccessKeyId>", ""));
    check(&with("<SessionToken>to/ken==</SessionToken>", ""));
    check(&with("<SessionToken>to/ken==</SessionToken>", "<SessionToken/>"));
    check(&with("<Expiration>2026-01-01T06:00:00Z</Expiration>", ""));
    check(&with("2026-01-01T06:00:00Z", "soon"));
    check(&with("ASIAROLE", "ASIA ROLE"));
    check(&with("<AccessKeyId>", "<AccessKeyId>A</AccessKeyId><AccessKeyId>"));
    check(&with("ASIAROLE", "ASIA<!-- -->ROLE"));
    check(&with("https://sts.amazonaws.com/doc/2011-06-15/", "urn:x"));
    check(&session_xml("AssumeRoleWithWebIdentity", "ASIAROLE"));
    check("");
}
