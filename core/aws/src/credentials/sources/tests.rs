use std::time::Duration;

use super::super::container::Container;
use super::{Loaded, Sources};
use crate::http::Client;
use crate::instance::Instance;
use crate::tests::{
    Folder, PATIENT, Reply, SECRET, Server, environment, now, refused, session_xml,
};
use crate::{CredentialsError, Environment, Regions, Source};

/// Sources that ask without hurry and without pauses.
pub(in crate::credentials) fn sources(environment: &Environment) -> Sources {
    Sources {
        environment: environment.clone(),
        client: Client::new(environment, PATIENT).unwrap(),
        container: Container::at("", environment, PATIENT, Duration::ZERO).unwrap(),
        instance: Instance::within(environment, PATIENT),
        regions: Regions::with(environment, Instance::within(environment, PATIENT)),
    }
}

pub(in crate::credentials) fn load(environment: &Environment) -> Result<Loaded, CredentialsError> {
    sources(environment).load(now())
}

fn json(id: &str, expiration: &str) -> String {
    format!(
        "{{\"AccessKeyId\":\"{id}\",\"SecretAccessKey\":\"{SECRET}\",\"Token\":\"t\",\
         \"Expiration\":\"{expiration}\"}}"
    )
}

const LATER: &str = "2026-01-01T06:00:00Z";

#[test]
fn the_first_source_that_is_configured_decides() {
    let folder = Folder::new();
    let keys = "[default]\naws_access_key_id = PROFILE\naws_secret_access_key = s\n";
    let keys = folder.file("credentials", keys);
    let token = folder.file("token", "token");
    let sts = Server::script(vec![Reply::ok(session_xml("AssumeRoleWithWebIdentity", "WEB"))]);
    let container = Server::script(vec![Reply::ok(json("CONTAINER", LATER))]);
    let instance = Server::script(["t", "mesh", &json("INSTANCE", LATER)].map(Reply::ok).to_vec());
    let (sts, container, instance) = (sts.url(), container.url(), instance.url());
    let general: [(&str, &str); 3] = [
        ("AWS_ENDPOINT_URL_STS", &sts),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/x"),
        ("AWS_REGION", "eu-central-1"),
    ];
    let ordered: [(&str, &[(&str, &str)]); 5] = [
        ("VARIABLE", &[("AWS_ACCESS_KEY_ID", "VARIABLE"), ("AWS_SECRET_ACCESS_KEY", "s")]),
        ("PROFILE", &[("AWS_SHARED_CREDENTIALS_FILE", keys.to_str().unwrap())]),
        ("WEB", &[("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap())]),
        ("CONTAINER", &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container)]),
        ("INSTANCE", &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &instance)]),
    ];
    let expected = super::ORDER;
    for (from, source) in expected.into_iter().enumerate() {
        let variables = ordered[from..].iter().flat_map(|(_, variables)| *variables).copied();
        let loaded = load(&variables.chain(general).collect()).unwrap();
        assert_eq!(loaded.credentials.access_key_id(), ordered[from].0);
        assert_eq!(loaded.credentials.source(), source);
    }
}

#[test]
fn a_broken_source_ends_the_chain_and_is_named() {
    let keys = [("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    let container = Server::script(vec![Reply::ok(json("CONTAINER", LATER))]);
    let url = container.url();
    let below = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str());
    let check = |variables: Environment, source: Source, words: &str| {
        let error = load(&variables).unwrap_err();
        let sentence = error.to_string();
        let expected = matches!(error, CredentialsError::Broken { source: it, .. } if it == source);
        assert!(expected, "{sentence}");
        assert!(sentence.contains(words), "{sentence}");
    };
    check(environment([keys[0], below]), Source::Environment, "AWS_SECRET_ACCESS_KEY is not");
    check(environment([("AWS_PROFILE", "shop"), below]), Source::Profile, "AWS_PROFILE names shop");
    let web = ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token");
    check(environment([web, below]), Source::WebIdentity, "AWS_ROLE_ARN is not");
    let role = ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/x");
    check(environment([web, role, below]), Source::WebIdentity, "cannot read /nowhere/token");
    let far = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/");
    check(environment([far]), Source::Container, "take https for example.com");
    assert_eq!(container.asked().len(), 0);
}

#[test]
fn a_home_folder_of_somebody_else_keeps_nobody_from_other_sources() {
    let folder = Folder::new();
    // Root may enter every folder: what is none stands for one that may not be entered.
    let home = folder.file("home", "");
    let home = ("HOME", home.to_str().unwrap());
    let container = Server::script(vec![Reply::ok(json("CONTAINER", LATER))]);
    let url = container.url();
    let loaded = load(&environment([home, ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)])).unwrap();
    assert_eq!(loaded.credentials.access_key_id(), "CONTAINER");
    let nothing = environment([home, ("AWS_EC2_METADATA_DISABLED", "true")]);
    let sentence = load(&nothing).unwrap_err().to_string();
    let expected = format!("there is no profile default (cannot read {}/.aws/config: ", home.1);
    assert!(sentence.contains(&expected), "{sentence}");
}

#[test]
fn when_nothing_is_configured_the_sentence_says_where_was_looked() {
    let url = refused();
    let nothing = environment([("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)]);
    let Err(CredentialsError::NotFound(sentence)) = load(&nothing) else {
        panic!("nothing is configured");
    };
    for place in [
        "AWS_ACCESS_KEY_ID is not set",
        "no profile default",
        "AWS_WEB_IDENTITY_TOKEN_FILE is not set",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and AWS_CONTAINER_CREDENTIALS_FULL_URI are not set",
        "the instance metadata service does not answer",
    ] {
        assert!(sentence.contains(place), "{sentence}");
    }
    assert_eq!(sentence.lines().count(), 1);
}

#[test]
fn what_has_expired_is_not_given() {
    let server = Server::script(vec![Reply::ok(json("CONTAINER", "2026-01-01T00:00:00Z"))]);
    let url = server.url();
    let found = load(&environment([("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)]));
    assert_eq!(found.map(|_| ()), Err(CredentialsError::Expired(Source::Container)));
}

#[test]
fn roles_are_assumed_where_the_region_is_or_else_globally() {
    let host = |environment: &Environment| sources(environment).sts().unwrap().host;
    let nowhere = environment([("AWS_EC2_METADATA_DISABLED", "true")]);
    assert_eq!(host(&nowhere), "sts.amazonaws.com");
    // Sessions of the global endpoint are worth nothing in China and in regions that one opts into.
    let instance = Server::script(vec![Reply::ok("token"), Reply::ok("cn-north-1")]);
    let instance = environment([("AWS_EC2_METADATA_SERVICE_ENDPOINT", &instance.url())]);
    assert_eq!(host(&instance), "sts.cn-north-1.amazonaws.com.cn");
    let here = environment([("AWS_REGION", "eu-central-1")]);
    assert_eq!(host(&here), "sts.eu-central-1.amazonaws.com");
    let nonsense = environment([("AWS_REGION", "here")]);
    assert!(sources(&nonsense).sts().unwrap_err().contains("AWS_REGION"));
}
