use super::{Endpoint, EndpointError, Partition};
use crate::tests::environment;
use crate::{Environment, Region};

fn region(name: &str) -> Region {
    Region::parse(name).unwrap()
}

fn sts(environment: &Environment, name: &str) -> String {
    Endpoint::sts(environment, Some(&region(name)), None).unwrap().host
}

fn ecs(environment: &Environment, name: &str) -> String {
    Endpoint::ecs(environment, &region(name), None).unwrap().host
}

#[test]
fn services_have_a_host_in_each_region() {
    let plain = environment([]);
    assert_eq!(sts(&plain, "eu-central-1"), "sts.eu-central-1.amazonaws.com");
    assert_eq!(sts(&plain, "cn-north-1"), "sts.cn-north-1.amazonaws.com.cn");
    assert_eq!(sts(&plain, "us-gov-west-1"), "sts.us-gov-west-1.amazonaws.com");
    assert_eq!(ecs(&plain, "eu-central-1"), "ecs.eu-central-1.amazonaws.com");
    assert_eq!(ecs(&plain, "cn-northwest-1"), "ecs.cn-northwest-1.amazonaws.com.cn");
}

#[test]
fn validated_cryptography_has_hosts_of_its_own() {
    let fips = environment([("AWS_USE_FIPS_ENDPOINT", "TRUE")]);
    assert_eq!(sts(&fips, "us-east-2"), "sts-fips.us-east-2.amazonaws.com");
    assert_eq!(sts(&fips, "us-gov-west-1"), "sts.us-gov-west-1.amazonaws.com");
    assert_eq!(ecs(&fips, "us-gov-west-1"), "ecs-fips.us-gov-west-1.amazonaws.com");
    let nowhere = Endpoint::sts(&fips, None, None).unwrap();
    assert_eq!(nowhere.host, "sts-fips.us-east-1.amazonaws.com");
}

#[test]
fn without_a_region_sts_is_global() {
    let endpoint = Endpoint::sts(&environment([]), None, None).unwrap();
    assert_eq!(endpoint.url, "https://sts.amazonaws.com");
    assert_eq!(endpoint.host, "sts.amazonaws.com");
    assert_eq!(endpoint.region, region("us-east-1"));
}

#[test]
fn what_is_more_specific_overrides() {
    let all = environment([
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566"),
        ("AWS_ENDPOINT_URL_STS", "https://sts.example.com/"),
    ]);
    let home = region("eu-central-1");
    let sts = |url| Endpoint::sts(&all, Some(&home), url).unwrap().url;
    assert_eq!(sts(Some("http://localhost:1")), "http://localhost:1");
    assert_eq!(sts(None), "https://sts.example.com");
    let ecs = Endpoint::ecs(&all, &home, None).unwrap();
    assert_eq!(ecs.url, "http://127.0.0.1:4566");
    assert_eq!(ecs.host, "127.0.0.1:4566");
    assert_eq!(ecs.region, home);
    let ignoring = environment([
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566"),
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
    ]);
    let ecs = Endpoint::ecs(&ignoring, &home, None).unwrap();
    assert_eq!(ecs.url, "https://ecs.eu-central-1.amazonaws.com");
}

#[test]
fn a_port_that_goes_without_saying_is_not_said() {
    let at = |url| Endpoint::at(url, region("eu-central-1"), "test").unwrap().host;
    assert_eq!(at("https://a.example:443"), "a.example");
    assert_eq!(at("http://a.example:80/"), "a.example");
    assert_eq!(at("http://a.example:443"), "a.example:443");
    assert_eq!(at("http://[::1]:8080"), "[::1]:8080");
}

#[test]
fn what_is_no_address_is_named() {
    for url in [
        "",
        "sts.example.com",
        "ftp://a.example",
        "https://",
        "https://a.example/path",
        "https://a.example?x",
        "https://a.example#x",
        "https://user@a.example",
        "https://a.example:port",
        "https://a b",
    ] {
        let variables = environment([("AWS_ENDPOINT_URL_ECS", url), ("AWS_ENDPOINT_URL", url)]);
        let found = Endpoint::ecs(&variables, &region("eu-central-1"), Some(url));
        let Err(EndpointError::Malformed(sentence)) = found else {
            panic!("{url}");
        };
        assert!(sentence.starts_with("endpoint: "), "{sentence}");
    }
    let variables = environment([("AWS_ENDPOINT_URL_ECS", "x")]);
    let error = Endpoint::ecs(&variables, &region("eu-central-1"), None).unwrap_err();
    assert!(error.to_string().starts_with("AWS_ENDPOINT_URL_ECS: \"x\" is not an address"));
}

#[test]
fn a_password_in_an_address_is_not_repeated() {
    for url in [
        "https://user:geheim@a.example",
        "user:geheim@a.example",
        "https://user:geheim/x@a.example",
        "https://a.example/?key=geheim@",
        "https://user:geheim@a b",
    ] {
        for name in ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"] {
            let error = Endpoint::sts(&environment([(name, url)]), None, None).unwrap_err();
            let sentence = format!("{name}: a user name or password in a URL is not supported; ");
            assert!(error.to_string().starts_with(&sentence), "{error}");
            assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
        }
    }
}

#[test]
fn partitions_are_told_by_the_region() {
    let of = |name| Partition::of(&region(name)).map(Partition::name);
    assert_eq!(of("eu-central-1"), Some("aws"));
    assert_eq!(of("cn-north-1"), Some("aws-cn"));
    assert_eq!(of("us-gov-east-1"), Some("aws-us-gov"));
    assert_eq!(of("us-iso-east-1"), None);
    assert_eq!(of("eusc-de-east-1"), None);
    let isolated = Endpoint::ecs(&environment([]), &region("us-isob-east-1"), None);
    assert_eq!(isolated, Err(EndpointError::UnknownPartition(region("us-isob-east-1"))));
}
