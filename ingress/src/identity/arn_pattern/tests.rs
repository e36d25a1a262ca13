use super::{Account, ArnPattern};
use crate::identity::AwsPrincipal;

fn matches(pattern: &str, arn: &str) -> bool {
    let account = arn.split(':').nth(4).unwrap();
    let principal = AwsPrincipal::parse(arn, account).unwrap();
    ArnPattern::parse(pattern).unwrap().matches(&principal)
}

#[test]
fn a_role_is_meant_however_it_is_written() {
    let agent = "arn:aws:sts::123456789012:assumed-role/mesh-agent/0123456789abcdef";
    let cases = [
        ("arn:aws:iam::123456789012:role/mesh-agent", true),
        ("arn:aws:iam::123456789012:role/mesh-*", true),
        ("arn:aws:iam::123456789012:role/*-agent", true),
        ("arn:aws:iam::123456789012:role/m*h-*t", true),
        ("arn:aws:iam::123456789012:role/*", true),
        ("arn:aws:iam::123456789012:role/team/a/mesh-agent", true),
        ("arn:aws:iam::123456789012:role/*/mesh-*", true),
        ("arn:aws:sts::123456789012:assumed-role/mesh-agent", true),
        ("arn:aws:sts::123456789012:assumed-role/mesh-*", true),
        ("arn:aws:sts::123456789012:assumed-role/mesh-agent/*", true),
        ("arn:aws:sts::123456789012:assumed-role/mesh-agent/0123*", true),
        ("arn:aws:sts::123456789012:assumed-role/*/*", true),
        ("arn:aws:sts::123456789012:assumed-role/mesh-agent/mi-*", false),
        ("arn:aws:iam::123456789012:role/mesh", false),
        ("arn:aws:iam::123456789012:role/mesh-agents", false),
        ("arn:aws:iam::123456789012:role/Mesh-Agent", false),
        ("arn:aws:iam::210987654321:role/mesh-agent", false),
        ("arn:aws-cn:iam::123456789012:role/mesh-agent", false),
        ("arn:aws:iam::123456789012:user/mesh-agent", false),
        ("arn:aws:iam::123456789012:user/*", false),
        ("arn:aws:iam::123456789012:root", false),
        ("arn:aws:sts::123456789012:federated-user/*", false),
    ];
    for (pattern, expected) in cases {
        assert_eq!(matches(pattern, agent), expected, "{pattern}");
    }
}

#[test]
fn users_roots_and_federated_users_are_meant_exactly() {
    let cases = [
        ("iam::123456789012:user/alice", "iam::123456789012:user/alice", true),
        ("iam::123456789012:user/a*", "iam::123456789012:user/alice", true),
        ("iam::123456789012:user/*", "iam::123456789012:user/team/alice", false),
        ("iam::123456789012:user/team/*", "iam::123456789012:user/team/alice", true),
        ("iam::123456789012:user/team/*", "iam::123456789012:user/team/sub/alice", false),
        ("iam::123456789012:user/*/*", "iam::123456789012:user/team/alice", true),
        ("iam::123456789012:user/alice", "iam::123456789012:user/team/alice", false),
        ("iam::123456789012:root", "iam::123456789012:root", true),
        ("iam::123456789012:user/root", "iam::123456789012:root", false),
        ("sts::123456789012:federated-user/b*", "sts::123456789012:federated-user/bob", true),
        ("iam::123456789012:role/bob", "sts::123456789012:federated-user/bob", false),
    ];
    for (pattern, arn, expected) in cases {
        let (pattern, arn) = (format!("arn:aws:{pattern}"), format!("arn:aws:{arn}"));
        assert_eq!(matches(&pattern, &arn), expected, "{pattern} on {arn}");
    }
}

#[test]
fn patterns_that_admit_strangers_are_refused_with_the_reason() {
    let cases = [
        "*",
        "**",
        "arn:aws:iam::*:role/mesh-agent",
        "arn:aws:iam::12345678901*:role/mesh-agent",
        "arn:aws:sts::*:assumed-role/mesh-agent/*",
    ];
    for text in cases {
        let error = ArnPattern::parse(text).unwrap_err();
        assert!(error.contains("anybody with an AWS account of their own"), "{error}");
    }
    for text in ["*", "12345678901*", "aws:*"] {
        let error = Account::parse(text).unwrap_err();
        assert!(error.contains("anybody with an AWS account of their own"), "{error}");
    }
}

#[test]
fn a_path_with_nothing_behind_it_is_refused_with_the_reason() {
    for role in ["team/*", "team/sub/**", "*/*"] {
        let text = format!("arn:aws:iam::123456789012:role/{role}");
        let error = ArnPattern::parse(&text).unwrap_err();
        assert!(error.contains("STS does not tell the path of a role"), "{error}");
    }
}

#[test]
fn what_is_no_pattern_is_refused_with_an_example() {
    let long = "a".repeat(2049);
    let cases = [
        ("", "is not the ARN of a role or user; give for example"),
        ("mesh-agent", "is not the ARN"),
        ("arn:aws:iam::123456789012", "is not the ARN"),
        ("arn:aws:iam::123456789012:", "has \"\" where a name belongs"),
        ("arn:aws:iam::123456789012:*", "is not the ARN"),
        ("arn:aws:iam::123456789012:role", "is not the ARN"),
        ("arn:aws:iam::123456789012:role*", "is not the ARN"),
        ("arn:aws:iam::123456789012:role/", "has \"\" where a name belongs"),
        ("arn:aws:iam::123456789012:role//a", "has \"\" where a name belongs"),
        ("arn:aws:iam::123456789012:role/a?", "has \"a?\" where a name belongs"),
        ("arn:aws:iam::123456789012:role/a b", "has \"a b\" where a name belongs"),
        ("arn:aws:iam::123456789012:role/a:b", "is not the ARN"),
        ("arn:aws:iam:eu-west-1:123456789012:role/a", "is not the ARN"),
        ("arn:aws:iam::123456789012:group/a", "is not the ARN"),
        ("arn:aws:sts::123456789012:role/a", "is not the ARN"),
        ("arn:aws:sts::123456789012:assumed-role/a/b/c", "is not the ARN"),
        ("arn:aws:ecs::123456789012:task/a/b", "is not the ARN"),
        ("arn:*:iam::123456789012:role/a", "must name its partition"),
        ("arn:AWS:iam::123456789012:role/a", "must name its partition"),
        ("arn:aws:iam::1:role/a", "must have an account of 12 digits"),
        ("arn:aws:iam:::role/a", "must have an account of 12 digits"),
        ("arn:aws:iam::\u{661}23456789012:role/a", "must have an account of 12 digits"),
        (&long, "an ARN of 2049 bytes is too long"),
    ];
    for (text, expected) in cases {
        let error = ArnPattern::parse(text).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn an_account_is_one_of_its_partition() {
    let root = |partition: &str| {
        AwsPrincipal::parse(&format!("arn:{partition}:iam::123456789012:root"), "123456789012")
            .unwrap()
    };
    let account = Account::parse("123456789012").unwrap();
    assert!(account.matches(&root("aws")));
    assert!(!account.matches(&root("aws-cn")));
    let account = Account::parse("aws-cn:123456789012").unwrap();
    assert!(!account.matches(&root("aws")));
    assert!(account.matches(&root("aws-cn")));
    assert!(!Account::parse("210987654321").unwrap().matches(&root("aws")));
    for text in [
        "",
        "12345678901",
        "1234567890123",
        "123 456789012",
        ":123456789012",
        "x:1",
        "\u{661}23456789012",
    ] {
        assert!(Account::parse(text).unwrap_err().contains("is not an account"), "{text}");
    }
}
