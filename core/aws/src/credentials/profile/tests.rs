use crate::credentials::sources::tests::load;
use crate::tests::{Folder, Reply, SECRET, Server, error_xml, session_xml};
use crate::{Credentials, Environment, Source};

/// What the profile `AWS_PROFILE` in such files gives, with STS at `sts`.
fn with_sts(
    config: &str,
    credentials: &str,
    sts: &str,
    more: &[(&str, &str)],
) -> Result<Credentials, String> {
    let folder = Folder::new();
    folder.file(".aws/config", config);
    folder.file(".aws/credentials", credentials);
    folder.file("token", "token");
    let config = config.replace("~", folder.name());
    folder.file(".aws/config", &config);
    let variables = [
        ("HOME", folder.name()),
        ("AWS_PROFILE", "shop"),
        ("AWS_ENDPOINT_URL_STS", sts),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let environment: Environment = variables.into_iter().chain(more.iter().copied()).collect();
    load(&environment).map(|loaded| loaded.credentials).map_err(|error| error.to_string())
}

fn of(config: &str, credentials: &str) -> Result<Credentials, String> {
    with_sts(config, credentials, "http://127.0.0.1:1", &[])
}

const ROLE: &str = "role_arn = arn:aws:iam::123456789012:role/x\n";
const KEYS: &str = "aws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = s\n";

#[test]
fn keys_are_taken_from_either_file() {
    let text = "aws_access_key_id = A\naws_secret_access_key = s+/=\naws_session_token = t==\n";
    for found in [of("", &format!("[shop]\n{text}")), of(&format!("[profile shop]\n{text}"), "")] {
        let found = found.unwrap();
        assert_eq!(found.access_key_id(), "A");
        assert_eq!(found.secret_access_key, "s+/=");
        assert_eq!(found.session_token.as_deref(), Some("t=="));
        assert_eq!(found.expires(), None);
        assert_eq!(found.source(), Source::Profile);
    }
}

#[test]
fn an_end_that_somebody_wrote_beside_the_keys_counts() {
    let ending = |end: &str| of("", &format!("[shop]\n{KEYS}aws_expiration = {end}\n"));
    assert!(ending("2026-01-01T06:00:00Z").unwrap().expires().is_some());
    assert!(ending("2025-12-31T06:00:00Z").unwrap_err().contains("by this host's clock"));
    assert!(ending("soon").unwrap_err().contains("aws_expiration of the profile shop"));
}

#[test]
fn a_profile_without_credentials_is_no_source() {
    let sentence = of("[profile shop]\nregion = eu-central-1\n", "").unwrap_err();
    assert!(sentence.contains("the profile shop has neither keys nor a role"), "{sentence}");
    assert!(sentence.starts_with("there are no AWS credentials"), "{sentence}");
}

#[test]
fn a_role_is_assumed_with_another_profile() {
    let server = Server::script(vec![Reply::ok(session_xml("AssumeRole", "ASIAROLE"))]);
    let config = format!(
        "[profile shop]\n{ROLE}source_profile = base\nrole_session_name = me\n\
         external_id = a b\nduration_seconds = 900\nregion = eu-west-1\n"
    );
    let found = with_sts(&config, &format!("[base]\n{KEYS}"), &server.url(), &[]).unwrap();
    assert_eq!((found.access_key_id(), found.source()), ("ASIAROLE", Source::Profile));
    let asked = &server.asked()[0];
    assert_eq!(
        asked.body,
        "Action=AssumeRole&Version=2011-06-15\
         &RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fx&RoleSessionName=me\
         &ExternalId=a%20b&DurationSeconds=900"
    );
    let authorization = asked.header("authorization").unwrap();
    let scope = "Credential=AKIDEXAMPLE/20260101/eu-west-1/sts/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date,";
    assert!(authorization.contains(scope), "{authorization}");
}

#[test]
fn a_profile_may_be_its_own_source() {
    let server = Server::script(vec![Reply::ok(session_xml("AssumeRole", "ASIAROLE"))]);
    let config = format!("[profile shop]\n{ROLE}source_profile = shop\n");
    let found = with_sts(&config, &format!("[shop]\n{KEYS}"), &server.url(), &[]);
    assert_eq!(found.unwrap().access_key_id(), "ASIAROLE");
}

#[test]
fn roles_lead_to_roles() {
    let server = Server::script(vec![
        Reply::ok(session_xml("AssumeRole", "ASIAFIRST")),
        Reply::ok(session_xml("AssumeRole", "ASIASECOND")),
    ]);
    let config = format!(
        "[profile shop]\n{ROLE}source_profile = middle\n\
         [profile middle]\n{ROLE}source_profile = base\n"
    );
    let found = with_sts(&config, &format!("[base]\n{KEYS}"), &server.url(), &[]);
    assert_eq!(found.unwrap().access_key_id(), "ASIASECOND");
    let second = server.asked()[1].clone();
    assert!(second.header("authorization").unwrap().contains("Credential=ASIAFIRST/"));
    assert_eq!(second.header("x-amz-security-token"), Some("to/ken=="));
}

#[test]
fn a_role_is_assumed_with_what_is_there_already() {
    let server = Server::script(vec![Reply::ok(session_xml("AssumeRole", "ASIAROLE"))]);
    let endpoint = Server::script(vec![Reply::ok(format!(
        "{{\"AccessKeyId\":\"ASIACONTAINER\",\"SecretAccessKey\":\"{SECRET}\",\"Token\":\"t\"}}"
    ))]);
    let config = format!("[profile shop]\n{ROLE}credential_source = EcsContainer\n");
    let url = endpoint.url();
    let more = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str())];
    assert!(with_sts(&config, "", &server.url(), &more).is_ok());
    let authorization = server.asked()[0].header("authorization").unwrap().to_owned();
    assert!(authorization.contains("Credential=ASIACONTAINER/"), "{authorization}");
    let sentence = with_sts(&config, "", &server.url(), &[]).unwrap_err();
    assert!(sentence.contains("credential_source of the profile shop: AWS_CONTAINER"));
    for source in ["Environment", "Ec2InstanceMetadata", "Somewhere"] {
        let config = format!("[profile shop]\n{ROLE}credential_source = {source}\n");
        let sentence = of(&config, "").unwrap_err();
        assert!(sentence.contains("credential_source of the profile shop"), "{sentence}");
    }
}

#[test]
fn a_role_is_assumed_for_a_token() {
    let answer = session_xml("AssumeRoleWithWebIdentity", "ASIAWEB");
    let server = Server::script(vec![Reply::ok(answer)]);
    let config = format!("[profile shop]\n{ROLE}web_identity_token_file = ~/token\n");
    let found = with_sts(&config, "", &server.url(), &[]).unwrap();
    assert_eq!((found.access_key_id(), found.source()), ("ASIAWEB", Source::Profile));
    assert!(server.asked()[0].body.ends_with("WebIdentityToken=token"));
}

#[test]
fn a_profile_that_makes_no_sense_is_named() {
    let check = |config: &str, credentials: &str, expected: &str| {
        let sentence = of(config, credentials).unwrap_err();
        assert!(sentence.contains(expected), "{sentence}");
    };
    check("", "", "AWS_PROFILE names shop, and there is no such profile");
    check("", "[shop]\naws_access_key_id = A\n", "the profile shop lacks");
    check("", "[shop]\naws_access_key_id = A\naws_secret_access_key = s t\n", "characters");
    check("", &format!("[shop]\n{ROLE}"), "role_arn without source_profile");
    let both = format!("[shop]\n{ROLE}source_profile = a\ncredential_source = Environment\n");
    check("", &both, "both source_profile and credential_source");
    let nowhere = format!("[shop]\n{ROLE}source_profile = nobody\n");
    check("", &nowhere, "source_profile of the profile shop names nobody");
    let circle = format!("[shop]\n{ROLE}source_profile = a\n[a]\n{ROLE}source_profile = shop\n");
    check("", &circle, "leads to itself");
    check("[profile shop]\ncredential_process = x\n", "", "credential_process, which is not");
    check("[profile shop]\nsso_session = x\n", "", "sso_session, which is not supported");
    check("[profile shop", "", "line 1 begins with [");
}

#[test]
fn a_refused_role_is_named() {
    let server = Server::script(vec![Reply::Answer(403, error_xml("AccessDenied"))]);
    let config = format!("[profile shop]\n{ROLE}source_profile = base\n");
    let sentence = with_sts(&config, &format!("[base]\n{KEYS}"), &server.url(), &[]).unwrap_err();
    assert_eq!(
        sentence,
        "AWS credentials (profile): the profile shop: arn:aws:iam::123456789012:role/x: \
         STS refuses with AccessDenied (403): why"
    );
}
