use super::{AwsPrincipal, Principal};

const ACCOUNT: &str = "123456789012";

fn parse(arn: &str) -> Result<AwsPrincipal, String> {
    AwsPrincipal::parse(arn, ACCOUNT)
}

#[test]
fn the_identities_that_sts_tells_are_understood() {
    let cases = [
        ("arn:aws:sts::123456789012:assumed-role/mesh-agent/0123abcd", "mesh-agent", "0123abcd"),
        ("arn:aws-cn:sts::123456789012:assumed-role/a/mi-0123", "a", "mi-0123"),
        ("arn:aws-us-gov:sts::123456789012:assumed-role/A_b+=,.@-1/x@y", "A_b+=,.@-1", "x@y"),
    ];
    for (arn, role, session) in cases {
        let principal = parse(arn).unwrap();
        assert_eq!(principal.role(), Some(role));
        assert_eq!(principal.session(), Some(session));
        assert_eq!(principal.account(), ACCOUNT);
        assert_eq!(principal.to_string(), arn);
    }
    let others = [
        "arn:aws:iam::123456789012:user/alice",
        "arn:aws:iam::123456789012:user/division/sub/alice",
        "arn:aws:iam::123456789012:root",
        "arn:aws:sts::123456789012:federated-user/bob",
    ];
    for arn in others {
        let principal = parse(arn).unwrap();
        assert_eq!((principal.role(), principal.session()), (None, None), "{arn}");
        assert_eq!(principal.to_string(), arn);
    }
    assert_eq!(parse(cases[1].0).unwrap().partition(), "aws-cn");
}

#[test]
fn what_is_no_identity_is_refused() {
    let long = format!("arn:aws:sts::123456789012:assumed-role/{}/session", "r".repeat(65));
    let huge = format!("arn:aws:iam::123456789012:user/{}/alice", "p".repeat(2048));
    let cases = [
        "",
        "arn",
        "arn:aws:sts::123456789012:assumed-role/role",
        "arn:aws:sts::123456789012:assumed-role/role/",
        "arn:aws:sts::123456789012:assumed-role//session",
        "arn:aws:sts::123456789012:assumed-role/role/s",
        "arn:aws:sts::123456789012:assumed-role/role/session/more",
        "arn:aws:sts::123456789012:assumed-role/path/role/session",
        "arn:aws:sts::123456789012:assumed-role/role/ses:sion",
        "arn:aws:sts::123456789012:assumed-role/role/session:",
        "arn:aws:sts::123456789012::assumed-role/role/session",
        "arn:aws:sts:eu-central-1:123456789012:assumed-role/role/session",
        "arn:aws:sts::123456789012:assumed-role/ro*le/session",
        "arn:aws:sts::123456789012:assumed-role/role/ses sion",
        "arn:aws:sts::123456789012:assumed-role/role/session\r\n",
        "arn:aws:sts::123456789012:assumed-role/r\u{f6}le/session",
        "arn:aws:iam::123456789012:assumed-role/role/session",
        "arn:aws:iam::123456789012:role/role",
        "arn:aws:sts::123456789012:user/alice",
        "arn:aws:iam::123456789012:user/",
        "arn:aws:iam::123456789012:user//alice",
        "arn:aws:iam::123456789012:user",
        "arn:aws:iam::123456789012:root/x",
        "arn:aws:sts::123456789012:federated-user/bob/x",
        "ARN:aws:sts::123456789012:assumed-role/role/session",
        "arn:AWS:sts::123456789012:assumed-role/role/session",
        "arn:*:sts::123456789012:assumed-role/role/session",
        "arn::sts::123456789012:assumed-role/role/session",
        " arn:aws:sts::123456789012:assumed-role/role/session",
        &long,
        &huge,
    ];
    for arn in cases {
        let error = parse(arn).unwrap_err();
        assert!(error.contains("is not an identity"), "{error}");
    }
}

#[test]
fn the_account_must_be_the_one_that_sts_names() {
    let arn = "arn:aws:iam::123456789012:root";
    let error = AwsPrincipal::parse(arn, "210987654321").unwrap_err();
    assert!(error.contains("is not of the account \"210987654321\""), "{error}");
    for account in ["12345678901", "1234567890123", "", "*", "\u{661}23456789012", "12345678901a"] {
        let arn = format!("arn:aws:iam::{account}:root");
        assert!(AwsPrincipal::parse(&arn, account).is_err(), "{arn}");
    }
}

#[test]
fn principals_are_named_in_sentences() {
    let certificate = |names: &[&str]| Principal::Certificate {
        names: names.iter().map(|&name| name.to_owned()).collect(),
    };
    assert_eq!(Principal::Token { name: "edge-1".to_owned() }.to_string(), "token edge-1");
    assert_eq!(certificate(&["a.b", "c.d"]).to_string(), "certificate of a.b, c.d");
    assert_eq!(certificate(&[]).to_string(), "a certificate without names");
}
