use std::fs;

use crate::credentials::sources::tests::load;
use crate::tests::{Folder, Reply, Server, environment, error_xml, explained_xml, session_xml};
use crate::{Environment, Source, timestamp};

const ROLE: (&str, &str) = ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/mesh agent");

const REGION: (&str, &str) = ("AWS_REGION", "eu-central-1");

fn good() -> Reply {
    Reply::ok(session_xml("AssumeRoleWithWebIdentity", "ASIAWEB"))
}

fn variables(sts: &str, file: &str) -> Environment {
    environment([
        ROLE,
        REGION,
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file),
        ("AWS_ENDPOINT_URL_STS", sts),
    ])
}

#[test]
fn the_token_of_the_file_is_exchanged_unsigned() {
    let server = Server::script(vec![good()]);
    let folder = Folder::new();
    let file = folder.file("token", "head.pay+load.sign\n");
    let variables = variables(&server.url(), file.to_str().unwrap());
    let found = load(&variables).unwrap().credentials;
    assert_eq!(found.source(), Source::WebIdentity);
    assert_eq!(found.access_key_id(), "ASIAWEB");
    assert_eq!(found.session_token.as_deref(), Some("to/ken=="));
    assert_eq!(found.expires(), timestamp::parse("2026-01-01T06:00:00Z"));
    let asked = &server.asked()[0];
    assert_eq!(asked.line, "POST / HTTP/1.1");
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(
        asked.body,
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15\
         &RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fmesh%20agent\
         &RoleSessionName=mesh-1767225600&WebIdentityToken=head.pay%2Bload.sign"
    );
    fs::write(&file, "rotated").unwrap();
    load(&variables).unwrap();
    assert!(server.asked()[1].body.ends_with("WebIdentityToken=rotated"));
}

#[test]
fn the_session_may_have_a_name() {
    let server = Server::script(vec![good()]);
    let folder = Folder::new();
    let file = folder.file("token", "t");
    let url = server.url();
    let variables = environment([
        ROLE,
        REGION,
        ("AWS_ROLE_SESSION_NAME", "edge-1"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_str().unwrap()),
        ("AWS_ENDPOINT_URL_STS", &url),
    ]);
    load(&variables).unwrap();
    assert!(server.asked()[0].body.contains("&RoleSessionName=edge-1&"));
}

#[test]
fn what_goes_wrong_is_named_without_the_token() {
    let folder = Folder::new();
    let file = folder.file("token", "hush");
    let file = file.to_str().unwrap();
    let check = |reply: Reply, expected: &str| {
        let server = Server::script(vec![reply]);
        let sentence = load(&variables(&server.url(), file)).unwrap_err().to_string();
        assert!(sentence.contains(expected), "{sentence}");
        assert!(!sentence.contains("hush"), "{sentence}");
    };
    check(Reply::Answer(400, error_xml("InvalidIdentityToken")), "InvalidIdentityToken (400)");
    let echo = explained_xml("ValidationError", "Value 'hush' is no token");
    check(Reply::Answer(400, echo), "ValidationError (400)");
    check(Reply::Answer(500, String::new()), "answers 500");
    check(Reply::Hangup, "STS at ");
    check(Reply::ok("{}"), "other than credentials");
    check(Reply::ok(session_xml("AssumeRole", "A")), "other than credentials");
    check(Reply::Answer(302, String::new()), "a redirect");
    let empty = folder.file("empty", " \n");
    let sentence = load(&variables("http://localhost", empty.to_str().unwrap())).unwrap_err();
    assert!(sentence.to_string().ends_with("is empty"), "{sentence}");
}
