use super::{HostPattern, service_label};
use crate::routes::{self, Candidate, Place};
use crate::tunnel::tests::tunnel_id;
use crate::tunnel::{AgentId, Serial};

fn pattern(text: &str) -> HostPattern {
    HostPattern::parse(text).unwrap()
}

#[test]
fn a_claim_is_covered_when_all_its_names_are() {
    let cases = [
        ("*", "a.example.com", true),
        ("*", "*.example.com", true),
        ("*", "*", true),
        ("*", "10.0.0.1", true),
        ("*.example.com", "a.example.com", true),
        ("*.example.com", "a.b.example.com", true),
        ("*.example.com", "*.example.com", true),
        ("*.example.com", "*.a.example.com", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", "*.com", false),
        ("*.example.com", "*", false),
        ("*.example.com", "evilexample.com", false),
        ("*.example.com", "a.example.com.evil.com", false),
        ("*.example.com", "*.evilexample.com", false),
        ("shop.example.com", "shop.example.com", true),
        ("shop.example.com", "a.shop.example.com", false),
        ("shop.example.com", "*.example.com", false),
        ("shop.example.com", "*.shop.example.com", false),
        ("SHOP.Example.Com.", "shop.example.com", true),
        ("*.0.0.1", "10.0.0.1", false),
        ("10.0.0.1", "10.0.0.1", true),
    ];
    for (rule, claim, expected) in cases {
        assert_eq!(pattern(rule).covers(claim, None), expected, "{rule} over {claim}");
        assert_eq!(pattern(rule).may_cover(claim), expected, "{rule} over {claim}");
    }
}

/// What [`routes::Routes::lookup`] would bring to a claim, the rule must match too.
#[test]
fn what_is_covered_is_never_more_than_the_rule() {
    let names = ["x", "a.x", "b.a.x", "c.b.a.x", "y", "a.y", "ax", "10.0.0.1"];
    let claims = ["*", "*.x", "*.a.x", "*.y", "x", "a.x", "b.a.x", "10.0.0.1", "*.0.0.1"];
    let served = |pattern: &str, name: &str| {
        let mut routes = routes::Routes::default();
        let candidate = Candidate {
            serial: Serial(0),
            agent: AgentId(Serial(0)),
            service: "".into(),
            place: Place::Here(tunnel_id(0)),
        };
        routes.add(pattern, candidate);
        routes.lookup(name).is_some()
    };
    for rule in claims {
        for claim in claims {
            let all = names.iter().all(|name| !served(claim, name) || served(rule, name));
            if pattern(rule).covers(claim, None) && rule != "*" {
                assert!(all, "{rule} covers {claim}");
            }
        }
    }
}

#[test]
fn the_service_is_put_in_as_a_label() {
    let cases = [
        ("{service}.example.com", "orders", "orders.example.com", true),
        ("{service}.example.com", "Orders", "orders.example.com", true),
        ("{service}.example.com", "orders", "payments.example.com", false),
        ("{service}.example.com", "orders", "*.example.com", false),
        ("{service}.example.com", "orders", "a.orders.example.com", false),
        ("*.{service}.example.com", "orders", "a.orders.example.com", true),
        ("*.{service}.example.com", "orders", "a.payments.example.com", false),
        ("*.{service}.example.com", "orders", "*.orders.example.com", true),
        ("*.{service}.example.com", "orders", "orders.example.com", false),
        ("api-{service}-v2.example.com", "orders", "api-orders-v2.example.com", true),
        ("{Service}.Example.com", "orders", "orders.example.com", true),
        ("{service}.example.com", "my_orders", "my_orders.example.com", false),
        ("{service}.example.com", "a.b", "a.b.example.com", false),
        ("{service}.example.com", "*", "*.example.com", false),
        ("{service}.example.com", "", "example.com", false),
        ("{service}.example.com", "-a", "-a.example.com", false),
        ("{service}", "localhost", "localhost", true),
    ];
    for (rule, service, claim, expected) in cases {
        let pattern = pattern(rule);
        assert!(pattern.needs_service());
        assert!(!pattern.covers(claim, None));
        assert_eq!(pattern.covers(claim, Some(service)), expected, "{rule}, {service}: {claim}");
        assert!(!expected || pattern.may_cover(claim), "{rule} may cover {claim}");
    }
    assert!(!pattern("{service}.example.com").may_cover("*.example.com"));
    assert!(!pattern("{service}.example.com").may_cover("a.b.example.com"));
    assert!(!pattern("{service}.example.com").may_cover("a.example.org"));
}

#[test]
fn a_service_whose_name_makes_the_label_too_long_covers_nothing() {
    let long = "s".repeat(63);
    let claim = format!("api-{long}.example.com");
    assert!(!pattern("api-{service}.example.com").covers(&claim, Some(&long)));
    assert_eq!(service_label(&"s".repeat(64)), None);
}

#[test]
fn what_is_no_host_is_refused() {
    let long = format!("{}.example.com", "a".repeat(64));
    let cases = [
        "",
        ".",
        "..",
        "a..b",
        "a.*.b",
        "**",
        "a*",
        "https://a",
        "a:80",
        "a/b",
        "b\u{fc}cher.example",
        "{cluster}.example.com",
        "{service",
        "a b",
        "a\r\nb",
        "[::1]",
        &long,
    ];
    for text in cases {
        let error = HostPattern::parse(text).unwrap_err();
        assert!(error.contains("is not a host name; give for example"), "{error}");
    }
    let error = HostPattern::parse("{service}.{service}.x").unwrap_err();
    assert!(error.contains("more than once"), "{error}");
}
