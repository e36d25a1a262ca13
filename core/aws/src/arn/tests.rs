use super::Arn;

#[test]
fn an_arn_has_its_parts() {
    let arn = Arn::parse("arn:aws-cn:ecs:cn-north-1:123456789012:task/shop/0123:4").unwrap();
    assert_eq!(arn.partition, "aws-cn");
    assert_eq!(arn.service, "ecs");
    assert_eq!(arn.region, "cn-north-1");
    assert_eq!(arn.account, "123456789012");
    assert_eq!(arn.resource, "task/shop/0123:4");
    assert!(Arn::parse("arn:aws:iam::123456789012:root").is_some());
}

#[test]
fn what_is_no_arn_is_refused() {
    for text in [
        "",
        "arn",
        "arn:aws:iam::123456789012:",
        "arn:aws:iam::12345678901:root",
        "arn:aws:iam::12345678901x:root",
        "arn::iam::123456789012:root",
        "arn:aws:::123456789012:root",
        "ARN:aws:iam::123456789012:root",
        "arn:aws:iam::123456789012:user/a b",
        "arn:aws:iam::123456789012:user/ä",
        "arn:aws:iam::123456789012:user/\u{0}",
        "arn:AWS:iam::123456789012:root",
    ] {
        assert_eq!(Arn::parse(text), None, "{text}");
    }
    let long = format!("arn:aws:iam::123456789012:user/{}", "a".repeat(2048));
    assert_eq!(Arn::parse(&long), None);
}
