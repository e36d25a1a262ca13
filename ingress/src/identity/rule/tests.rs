use super::{ClusterPattern, LaunchType, Rule, Who};
use crate::identity::{
    Account, ArnPattern, AwsPrincipal, EcsFacts, HostPattern, Pattern, Principal,
};

fn rule(who: Who) -> Rule {
    Rule::any_host(who)
}

fn aws() -> Who {
    Who::Arn(ArnPattern::parse("arn:aws:iam::123456789012:role/agent").unwrap())
}

fn facts(cluster: &str, service: Option<&str>, launch_type: Option<LaunchType>) -> EcsFacts {
    EcsFacts {
        cluster_arn: format!("arn:aws:ecs:eu-central-1:123456789012:cluster/{cluster}"),
        cluster_name: cluster.to_owned(),
        service: service.map(str::to_owned),
        unproved: None,
        launch_type,
    }
}

#[test]
fn a_cluster_is_meant_by_its_name_or_its_arn() {
    let arn = "arn:aws:ecs:eu-central-1:123456789012:cluster/production";
    let cases = [
        ("production", true),
        ("prod*", true),
        ("*", true),
        ("Production", false),
        ("prod", false),
        ("arn:aws:ecs:eu-central-1:123456789012:cluster/production", true),
        ("arn:aws:ecs:eu-*:123456789012:cluster/prod*", true),
        ("arn:aws:ecs:*:*:cluster/production", true),
        ("arn:aws:ecs:us-east-1:123456789012:cluster/production", false),
        ("arn:aws:ecs:eu-central-1:210987654321:cluster/production", false),
        ("arn:aws-cn:ecs:eu-central-1:123456789012:cluster/production", false),
    ];
    for (text, expected) in cases {
        let pattern = ClusterPattern::parse(text).unwrap();
        assert_eq!(pattern.matches(arn), expected, "{text}");
        assert_eq!(pattern.to_string(), text);
    }
    let elsewhere = "arn:aws:ecs:us-east-1:123456789012:cluster/production";
    let named = ClusterPattern::parse("production").unwrap();
    assert!(named.matches(elsewhere), "a name is that of a cluster in any region");
    let any = ClusterPattern::parse("*").unwrap();
    assert!(!any.matches("production"), "a name alone is no fact");
    assert!(!any.matches("arn:aws:ecs:eu-central-1:123456789012:task/production"));
}

#[test]
fn what_is_no_cluster_is_refused() {
    let long = "c".repeat(256);
    let cases = [
        "",
        "a b",
        "a/b",
        "a:b",
        "arn:aws:ecs:eu-central-1:123456789012:cluster/",
        "arn:aws:ecs:eu-central-1:123456789012:cluster/a/b",
        "arn:aws:ecs:eu-central-1:123456789012:service/a",
        "arn:aws:ecs:eu-central-1:1:cluster/a",
        "arn:aws:ecs::123456789012:cluster/a",
        "arn:*:ecs:eu-central-1:123456789012:cluster/a",
        "arn:aws:iam:eu-central-1:123456789012:cluster/a",
        "cl\u{fc}ster",
        &long,
    ];
    for text in cases {
        let error = ClusterPattern::parse(text).unwrap_err();
        assert!(error.contains("is not a cluster; give its name"), "{error}");
    }
}

#[test]
fn launch_types_are_those_of_ecs() {
    for name in ["EXTERNAL", "EC2", "FARGATE", "MANAGED_INSTANCES"] {
        assert_eq!(LaunchType::parse(name).unwrap().to_string(), name);
        assert_eq!(LaunchType::parse(&name.to_lowercase()).unwrap().as_str(), name);
    }
    assert_eq!(LaunchType::of_ecs("external"), None, "ECS writes capitals");
    let error = LaunchType::parse("ANYWHERE").unwrap_err();
    assert!(error.contains("give EXTERNAL, EC2, FARGATE or MANAGED_INSTANCES"), "{error}");
}

#[test]
fn a_rule_is_about_its_own_kind_of_principal_only() {
    let arn = "arn:aws:sts::123456789012:assumed-role/agent/session";
    let principals = [
        Principal::Aws(AwsPrincipal::parse(arn, "123456789012").unwrap()),
        Principal::Token { name: "edge-1".to_owned() },
        Principal::Certificate { names: vec!["x".to_owned(), "edge-1".to_owned()] },
    ];
    let any = || Pattern::new("*");
    let cases = [
        (aws(), [true, false, false]),
        (Who::Account(Account::parse("123456789012").unwrap()), [true, false, false]),
        (Who::Account(Account::parse("210987654321").unwrap()), [false, false, false]),
        (Who::Token(any()), [false, true, false]),
        (Who::Token(Pattern::new("edge-1")), [false, true, false]),
        (Who::Token(Pattern::new(arn)), [false, false, false]),
        (Who::Certificate(any()), [false, false, true]),
        (Who::Certificate(Pattern::new("edge-*")), [false, false, true]),
        (Who::Certificate(Pattern::new("edge-2")), [false, false, false]),
    ];
    for (who, expected) in cases {
        let matched = principals.each_ref().map(|principal| who.matches(principal));
        assert_eq!(matched, expected, "{who:?}");
    }
    let nameless = Principal::Certificate { names: Vec::new() };
    assert!(!Who::Certificate(any()).matches(&nameless), "a certificate without names is nobody");
}

#[test]
fn ecs_is_asked_only_about_aws_identities() {
    let with = |change: fn(&mut Rule)| {
        [Who::Token(Pattern::new("*")), Who::Certificate(Pattern::new("*")), aws()].map(|who| {
            let mut rule = rule(who);
            change(&mut rule);
            rule.check().map_err(|error| error.field)
        })
    };
    assert_eq!(with(|_| {}), [Ok(()); 3]);
    assert_eq!(with(|rule| rule.hosts.clear()), [Err("hosts"); 3]);
    let cluster = with(|rule| rule.cluster = Some(ClusterPattern::parse("a").unwrap()));
    assert_eq!(cluster, [Err("cluster"), Err("cluster"), Ok(())]);
    let service = with(|rule| rule.service = Some(Pattern::new("a")));
    assert_eq!(service, [Err("service"), Err("service"), Ok(())]);
    let launch_type = with(|rule| rule.launch_type = Some(LaunchType::Ec2));
    assert_eq!(launch_type, [Err("launch-type"), Err("launch-type"), Ok(())]);
    let host = with(|rule| rule.hosts.push(HostPattern::parse("{service}.x").unwrap()));
    assert_eq!(host, [Err("hosts"), Err("hosts"), Ok(())]);
    let error = Rule { launch_type: Some(LaunchType::Ec2), ..rule(Who::Token(Pattern::new("a"))) };
    let reason = error.check().unwrap_err().reason;
    assert_eq!(reason, "a token says nothing about ECS; only rules for AWS identities can");
}

#[test]
fn all_conditions_of_a_rule_must_hold() {
    let mut rule = rule(aws());
    assert!(!rule.needs_ecs());
    rule.cluster = Some(ClusterPattern::parse("prod*").unwrap());
    assert!(rule.needs_ecs() && !rule.needs_service());
    assert!(rule.accepts(&facts("production", None, None)));
    assert!(!rule.accepts(&facts("test", None, None)));
    rule.service = Some(Pattern::new("orders-*"));
    assert!(rule.needs_service());
    assert!(!rule.accepts(&facts("production", None, None)), "no service is not any service");
    assert!(rule.accepts(&facts("production", Some("orders-eu"), None)));
    assert!(!rule.accepts(&facts("production", Some("payments"), None)));
    rule.launch_type = Some(LaunchType::External);
    assert!(!rule.accepts(&facts("production", Some("orders-eu"), None)));
    assert!(!rule.accepts(&facts("production", Some("orders-eu"), Some(LaunchType::Ec2))));
    assert!(rule.accepts(&facts("production", Some("orders-eu"), Some(LaunchType::External))));
}
