use mesh_protocol::control::TokenProof;
use mesh_protocol::proof::Binding;

use super::{Claim, Decision, Method, Policy, Requirement};
use crate::identity::{
    Account, ArnPattern, AwsPrincipal, ClusterPattern, EcsFacts, EcsRefusal, HostPattern,
    LaunchType, Pattern, Principal, Rule, Separators, Tokens, Who,
};

const SESSION: &str = "arn:aws:sts::123456789012:assumed-role/mesh-agent/0123456789abcdef";

fn agent() -> Principal {
    Principal::Aws(AwsPrincipal::parse(SESSION, "123456789012").unwrap())
}

fn token(name: &str) -> Principal {
    Principal::Token { name: name.to_owned() }
}

fn certificate(names: &[&str]) -> Principal {
    Principal::Certificate { names: names.iter().map(|&name| name.to_owned()).collect() }
}

fn role(text: &str) -> Who {
    Who::Arn(ArnPattern::parse(&format!("arn:aws:iam::123456789012:role/{text}")).unwrap())
}

fn rule(who: Who, hosts: &[&str]) -> Rule {
    let hosts = hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect();
    Rule { hosts, ..Rule::any_host(who) }
}

fn policy(rules: Vec<Rule>) -> Policy {
    for rule in &rules {
        rule.check().unwrap();
    }
    Policy::new(rules, Vec::new(), Tokens::default())
}

fn cluster(text: &str) -> ClusterPattern {
    ClusterPattern::parse(text).unwrap()
}

fn facts(cluster: &str, service: Option<&str>, launch_type: LaunchType) -> EcsFacts {
    EcsFacts {
        cluster_arn: format!("arn:aws:ecs:eu-central-1:123456789012:cluster/{cluster}"),
        cluster_name: cluster.to_owned(),
        service: service.map(str::to_owned),
        unproved: None,
        launch_type: Some(launch_type),
    }
}

fn owned(hosts: &[&str]) -> Vec<String> {
    hosts.iter().map(|&host| host.to_owned()).collect()
}

fn claim(hosts: &[String]) -> Claim<'_> {
    // What the agent says of itself would fit every rule here, and must not matter.
    Claim { hosts, service: "orders", cluster: "production", task: None, container_instance: None }
}

fn decide(policy: &Policy, principal: &Principal, hosts: &[&str]) -> Decision {
    policy.decide(principal, &claim(&owned(hosts)))
}

fn decide_with(
    policy: &Policy,
    principal: &Principal,
    hosts: &[&str],
    facts: &EcsFacts,
) -> Decision {
    policy.decide_with(principal, &claim(&owned(hosts)), facts)
}

fn denied(sentence: &str) -> Decision {
    Decision::Denied(sentence.to_owned())
}

#[test]
fn nothing_is_allowed_by_default() {
    let empty = policy(Vec::new());
    let expected = format!("{SESSION} may not register a.x: no rule is about this identity");
    assert_eq!(decide(&empty, &agent(), &["a.x"]), denied(&expected));
    let expected = "token edge-1 may not register a.x: no rule is about this identity";
    assert_eq!(decide(&empty, &token("edge-1"), &["a.x"]), denied(expected));
    assert_eq!(empty.methods(), []);
}

#[test]
fn no_host_at_all_is_nothing_to_grant() {
    let policy = policy(vec![rule(role("*"), &["*"])]);
    let expected = denied(&format!("{SESSION} asks for no host"));
    assert_eq!(decide(&policy, &agent(), &[]), expected);
    let facts = facts("production", None, LaunchType::Ec2);
    assert_eq!(decide_with(&policy, &agent(), &[], &facts), expected);
}

#[test]
fn every_host_needs_some_rule_of_the_principal() {
    let policy = policy(vec![
        rule(role("mesh-*"), &["shop.example.com"]),
        rule(role("mesh-agent"), &["*.blog.example.com", "blog.example.com"]),
        rule(role("other"), &["*"]),
        rule(Who::Token(Pattern::new("*")), &["*"]),
    ]);
    let granted: [&[&str]; 4] = [
        &["shop.example.com"],
        &["shop.example.com", "blog.example.com"],
        &["*.blog.example.com", "a.b.blog.example.com"],
        &["blog.example.com", "shop.example.com", "x.blog.example.com"],
    ];
    for hosts in granted {
        assert_eq!(decide(&policy, &agent(), hosts), Decision::Granted, "{hosts:?}");
    }
    let refused: [(&[&str], &str); 6] = [
        (&["shop.example.org"], "shop.example.org"),
        (&["shop.example.com", "pay.example.com", "bank.example.com"], "pay.example.com"),
        (&["*.example.com"], "*.example.com"),
        (&["*"], "*"),
        (&["a.shop.example.com"], "a.shop.example.com"),
        (&["Shop.example.com"], "Shop.example.com"),
    ];
    for (hosts, first) in refused {
        let expected = format!("{SESSION} may not register {first}: no rule for it");
        assert_eq!(decide(&policy, &agent(), hosts), denied(&expected));
    }
}

#[test]
fn an_account_is_every_identity_of_it() {
    let account = |text: &str| Who::Account(Account::parse(text).unwrap());
    let policy = policy(vec![
        rule(account("123456789012"), &["a.x"]),
        rule(account("210987654321"), &["b.x"]),
    ]);
    assert_eq!(decide(&policy, &agent(), &["a.x"]), Decision::Granted);
    let user = AwsPrincipal::parse("arn:aws:iam::210987654321:user/u", "210987654321").unwrap();
    assert_eq!(decide(&policy, &Principal::Aws(user), &["b.x"]), Decision::Granted);
    let expected = format!("{SESSION} may not register b.x: no rule for it");
    assert_eq!(decide(&policy, &agent(), &["b.x"]), denied(&expected));
    assert_eq!(policy.methods(), [Method::Iam]);
}

#[test]
fn what_only_ecs_knows_is_asked_and_never_taken_from_the_agent() {
    let place = Rule { cluster: Some(cluster("production")), ..rule(role("*"), &["a.x"]) };
    let service = Rule { service: Some(Pattern::new("orders")), ..rule(role("*"), &["b.x"]) };
    let launch = Rule { launch_type: Some(LaunchType::External), ..rule(role("*"), &["c.x"]) };
    let label = rule(role("*"), &["{service}.svc.x"]);
    let plain = rule(role("*"), &["d.x"]);
    let policy = policy(vec![place, service, launch, label, plain]);
    let needs = Decision::NeedsEcs;
    let cases: [(&[&str], Decision); 7] = [
        (&["a.x"], needs(Requirement::Place)),
        (&["b.x"], needs(Requirement::Service)),
        (&["c.x"], needs(Requirement::Place)),
        (&["orders.svc.x"], needs(Requirement::Service)),
        (&["a.x", "orders.svc.x", "d.x"], needs(Requirement::Service)),
        (&["a.x", "c.x", "d.x"], needs(Requirement::Place)),
        (&["d.x"], Decision::Granted),
    ];
    for (hosts, expected) in cases {
        assert_eq!(decide(&policy, &agent(), hosts), expected, "{hosts:?}");
    }
    for host in ["e.x", "*.svc.x", "a.b.svc.x"] {
        let expected = format!("{SESSION} may not register {host}: no rule for it");
        assert_eq!(decide(&policy, &agent(), &["a.x", host]), denied(&expected));
    }
    let good = facts("production", Some("orders"), LaunchType::External);
    let all = ["a.x", "b.x", "c.x", "d.x", "orders.svc.x"];
    assert_eq!(decide_with(&policy, &agent(), &all, &good), Decision::Granted);
    let other = facts("test", Some("payments"), LaunchType::Ec2);
    for host in ["a.x", "b.x", "c.x", "orders.svc.x"] {
        let expected = format!(
            "{SESSION} may not register {host}: no rule for it accepts cluster test, service \
             payments, launch type EC2"
        );
        assert_eq!(decide_with(&policy, &agent(), &["d.x", host], &other), denied(&expected));
    }
    let expected = format!("{SESSION} may not register e.x: no rule for it");
    assert_eq!(decide_with(&policy, &agent(), &["e.x"], &good), denied(&expected));
}

/// Systems Manager gives all hosts of an activation one role, and each a session of its own.
#[test]
fn hosts_that_share_a_role_are_told_apart_by_their_sessions() {
    let session = |id: &str| format!("arn:aws:sts::123456789012:assumed-role/anywhere-host/{id}");
    let own_rule = |id: &str, host: &str| Rule {
        cluster: Some(cluster("production")),
        launch_type: Some(LaunchType::External),
        ..rule(Who::Arn(ArnPattern::parse(&session(id)).unwrap()), &[host])
    };
    let policy = policy(vec![own_rule("mi-17", "shop-17.x"), own_rule("mi-18", "shop-18.x")]);
    let facts = facts("production", None, LaunchType::External);
    for (id, host, is_its_own) in [
        ("mi-17", "shop-17.x", true),
        ("mi-17", "shop-18.x", false),
        ("mi-18", "shop-18.x", true),
        ("mi-19", "shop-17.x", false),
    ] {
        let agent = Principal::Aws(AwsPrincipal::parse(&session(id), "123456789012").unwrap());
        let decision = decide_with(&policy, &agent, &[host], &facts);
        assert_eq!(decision == Decision::Granted, is_its_own, "{id}, {host}: {decision:?}");
    }
}

#[test]
fn a_rule_without_conditions_is_enough_where_there_is_one() {
    let strict = Rule { cluster: Some(cluster("production")), ..rule(role("*"), &["*.x"]) };
    let policy = policy(vec![strict, rule(role("mesh-agent"), &["a.x"])]);
    assert_eq!(decide(&policy, &agent(), &["a.x"]), Decision::Granted);
    assert_eq!(decide(&policy, &agent(), &["b.x"]), Decision::NeedsEcs(Requirement::Place));
    let test = facts("test", None, LaunchType::Ec2);
    assert_eq!(decide_with(&policy, &agent(), &["a.x"], &test), Decision::Granted);
}

#[test]
fn what_a_rule_gives_by_place_another_that_asks_for_a_service_does_not_take() {
    let place = || Rule { cluster: Some(cluster("production")), ..rule(role("*"), &["legacy.x"]) };
    let services = [
        Rule { service: Some(Pattern::new("*")), ..place() },
        Rule { hosts: rule(role("*"), &["{service}.x"]).hosts, ..place() },
    ];
    let refusal =
        EcsRefusal::NotOfService { task: "TASK".to_owned(), service: "legacy".to_owned() };
    let known = facts("production", None, LaunchType::External);
    let pretender = EcsFacts { unproved: Some(refusal), ..known };
    for service in services {
        let both = policy(vec![service.clone(), place()]);
        let needs = Decision::NeedsEcs(Requirement::Service);
        assert_eq!(decide(&both, &agent(), &["legacy.x"]), needs);
        assert_eq!(decide_with(&both, &agent(), &["legacy.x"], &pretender), Decision::Granted);
        let alone = policy(vec![service]);
        let expected = format!(
            "{} may not register legacy.x: no rule for it accepts cluster production, launch type \
             EXTERNAL; TASK was not started by a deployment of the service legacy",
            agent()
        );
        let expected = denied(&expected);
        assert_eq!(decide_with(&alone, &agent(), &["legacy.x"], &pretender), expected);
    }
}

#[test]
fn conditions_of_two_rules_do_not_add_up() {
    let one = Rule { cluster: Some(cluster("production")), ..rule(role("*"), &["a.x"]) };
    let two = Rule { service: Some(Pattern::new("orders")), ..rule(role("*"), &["b.x"]) };
    let policy = policy(vec![one, two]);
    let facts = facts("production", Some("payments"), LaunchType::Ec2);
    assert_eq!(decide_with(&policy, &agent(), &["a.x"], &facts), Decision::Granted);
    assert!(matches!(decide_with(&policy, &agent(), &["b.x"], &facts), Decision::Denied(_)));
}

#[test]
fn allowed_clusters_hold_for_every_aws_identity_and_nobody_else() {
    let rules =
        vec![rule(role("*"), &["*"]), rule(Who::Token(Pattern::new("edge-*")), &["edge.x"])];
    let policy = Policy::new(rules, vec![cluster("prod-*"), cluster("live")], Tokens::default());
    assert_eq!(decide(&policy, &agent(), &["a.x"]), Decision::NeedsEcs(Requirement::Place));
    for name in ["prod-eu", "live"] {
        let facts = facts(name, None, LaunchType::Ec2);
        assert_eq!(decide_with(&policy, &agent(), &["a.x"], &facts), Decision::Granted);
    }
    let expected = format!(
        "{SESSION} may not register a.x: no rule for it accepts cluster test, launch type EC2"
    );
    let test = facts("test", None, LaunchType::Ec2);
    assert_eq!(decide_with(&policy, &agent(), &["a.x"], &test), denied(&expected));
    assert_eq!(decide(&policy, &token("edge-1"), &["edge.x"]), Decision::Granted);
    assert_eq!(decide_with(&policy, &token("edge-1"), &["edge.x"], &test), Decision::Granted);
}

#[test]
fn a_service_that_is_no_label_is_refused_with_the_reason() {
    let policy = policy(vec![rule(role("*"), &["{service}.x"])]);
    let facts = facts("production", Some("my_orders"), LaunchType::Ec2);
    let expected = format!(
        "{SESSION} may not register orders.x: no rule for it accepts cluster production, service \
         my_orders, launch type EC2; \"my_orders\" cannot be part of a host name"
    );
    assert_eq!(decide_with(&policy, &agent(), &["orders.x"], &facts), denied(&expected));
    let expected = format!("{SESSION} may not register my_orders.x: no rule for it");
    assert_eq!(decide(&policy, &agent(), &["my_orders.x"]), denied(&expected));
}

#[test]
fn rules_that_ask_ecs_never_apply_to_tokens_and_certificates() {
    let strict = |who| Rule { cluster: Some(cluster("*")), ..rule(who, &["*"]) };
    let any = || Pattern::new("*");
    let rules = vec![strict(Who::Token(any())), strict(Who::Certificate(any()))];
    let policy = Policy::new(rules, Vec::new(), Tokens::default());
    let facts = facts("production", Some("orders"), LaunchType::Ec2);
    for principal in [token("edge"), certificate(&["edge"])] {
        assert!(matches!(decide_with(&policy, &principal, &["a.x"], &facts), Decision::Denied(_)));
    }
}

#[test]
fn a_token_may_register_its_own_hosts_and_what_rules_add() {
    let mut tokens = Tokens::default();
    let text = "edge-1 0123456789abcdef0123456789abcdef edge.x,*.edge.x\n\
                edge-2 fedcba9876543210fedcba9876543210\n";
    tokens.add("tokens", text, Separators::Lines).unwrap();
    let rules = vec![
        rule(Who::Token(Pattern::new("edge-*")), &["shared.x"]),
        rule(Who::Token(Pattern::new("edge-2")), &["two.x"]),
    ];
    let policy = Policy::new(rules, Vec::new(), tokens.clone());
    assert_eq!(policy.methods(), [Method::Token]);
    let (one, two) = (token("edge-1"), token("edge-2"));
    assert_eq!(decide(&policy, &one, &["edge.x", "*.edge.x", "shared.x"]), Decision::Granted);
    assert_eq!(decide(&policy, &two, &["two.x", "shared.x"]), Decision::Granted);
    let expected = "token edge-2 may not register edge.x: no rule for it";
    assert_eq!(decide(&policy, &two, &["edge.x"]), denied(expected));
    let expected = "token edge-1 may not register two.x: no rule for it";
    assert_eq!(decide(&policy, &one, &["two.x"]), denied(expected));
    let alone = Policy::new(Vec::new(), Vec::new(), tokens);
    let expected = "token edge-1 may not register a.x: no rule for it";
    assert_eq!(decide(&alone, &one, &["a.x"]), denied(expected), "its line is its rule");
    let expected = "token edge-2 may not register a.x: no rule is about this identity";
    assert_eq!(decide(&alone, &two, &["a.x"]), denied(expected));
}

#[test]
fn a_certificate_may_register_its_names_unless_there_are_rules() {
    let policy = policy(vec![rule(role("*"), &["*"])]);
    let owner = certificate(&["a.x", "B.x", "*.wild.x", "*"]);
    let granted = ["a.x", "b.x", "one.wild.x"];
    assert_eq!(decide(&policy, &owner, &granted), Decision::Granted);
    for host in ["c.x", "wild.x", "two.one.wild.x", "*.wild.x", "*.a.x", "*", "localhost"] {
        let expected = format!(
            "certificate of a.x, B.x, *.wild.x, * may not register {host}: it is not among the \
             names of the certificate"
        );
        assert_eq!(decide(&policy, &owner, &["a.x", host]), denied(&expected));
    }
    let rules = vec![rule(Who::Certificate(Pattern::new("*.edge.x")), &["*.shop.x"])];
    let policy = self::policy(rules);
    let edge = certificate(&["a.edge.x", "b.x"]);
    assert_eq!(decide(&policy, &edge, &["*.shop.x"]), Decision::Granted);
    let expected = "certificate of a.edge.x, b.x may not register b.x: no rule for it";
    assert_eq!(decide(&policy, &edge, &["b.x"]), denied(expected));
    let expected = "certificate of b.x may not register b.x: no rule is about this identity";
    assert_eq!(decide(&policy, &certificate(&["b.x"]), &["b.x"]), denied(expected));
}

#[test]
fn the_holder_of_a_token_is_known_by_its_name() {
    let mut tokens = Tokens::default();
    tokens.add("t", "edge-1 0123456789abcdef0123456789abcdef", Separators::Lines).unwrap();
    let policy = Policy::new(Vec::new(), Vec::new(), tokens);
    let (nonce, hello) = ("0a".repeat(16), "cd".repeat(32));
    let binding = Binding { server_id: "mesh.example.com", nonce: &nonce, hello: &hello };
    let mut proof = TokenProof {
        id: "e64956a99c4dbb74".to_owned(),
        mac: "385338a791f7a03377117efc814b2d7b47e238c996bd1baf21cfa3b6c72dc20f".to_owned(),
    };
    assert_eq!(policy.holder(&proof, &binding), Some(token("edge-1")));
    proof.mac.replace_range(..1, "4");
    assert_eq!(policy.holder(&proof, &binding), None);
}

#[test]
fn ecs_is_asked_whatever_one_of_the_hosts_needs() {
    let by_service = Rule { service: Some(Pattern::new("orders")), ..rule(role("*"), &["a.x"]) };
    let by_cluster = Rule { cluster: Some(cluster("production")), ..rule(role("*"), &["b.x"]) };
    let policy = policy(vec![by_service, by_cluster]);
    for hosts in [["a.x", "b.x"], ["b.x", "a.x"]] {
        let needs = Decision::NeedsEcs(Requirement::Service);
        assert_eq!(decide(&policy, &agent(), &hosts), needs, "{hosts:?}");
    }
}
