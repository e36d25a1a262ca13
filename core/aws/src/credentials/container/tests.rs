use std::fs;
use std::time::Duration;

use super::{Container, permitted};
use crate::credentials::sources::Found;
use crate::tests::{Folder, IMPATIENT, PATIENT, Reply, SECRET, Server, environment, refused};
use crate::{Credentials, Environment};

const PATH: &str = "/v2/credentials/0123";

fn keys() -> Reply {
    Reply::ok(format!(
        "{{\"AccessKeyId\":\"ASIAEXAMPLE\",\"SecretAccessKey\":\"{SECRET}\",\"Token\":\"t\",\
         \"Expiration\":\"2026-01-01T06:00:00Z\"}}"
    ))
}

fn at(base: &str, environment: &Environment) -> Result<Found, String> {
    Container::at(base, environment, PATIENT, Duration::ZERO).unwrap().credentials()
}

/// What comes of asking for a path on the server.
fn relative(server: &Server) -> Result<Credentials, String> {
    let variables = environment([("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", PATH)]);
    at(&server.url(), &variables).map(credentials)
}

fn credentials(found: Found) -> Credentials {
    match found {
        Found::Credentials(loaded) => loaded.credentials,
        Found::Absent(why) | Found::AbsentIn(_, why) => panic!("{why}"),
    }
}

#[test]
fn a_path_is_on_the_link() {
    let server = Server::script(vec![keys()]);
    assert_eq!(relative(&server).unwrap().access_key_id(), "ASIAEXAMPLE");
    let asked = &server.asked()[0];
    assert_eq!(asked.line, format!("GET {PATH} HTTP/1.1"));
    assert_eq!(asked.header("authorization"), None);
    assert!(matches!(at("", &environment([])), Ok(Found::Absent(_))));
    for path in ["@evil.example/x", "evil", ".example.com/x", ":80/x"] {
        let variables = environment([("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", path)]);
        let complaint = at("http://169.254.170.2", &variables).err().unwrap();
        assert!(complaint.ends_with("does not begin with /"), "{complaint}");
    }
}

#[test]
fn a_neighbour_is_not_asked_through_a_proxy() {
    let (server, proxy) = (Server::script(vec![keys(), keys()]), Server::script(vec![]));
    let (host, port) = proxy.address();
    let full = format!("{}{PATH}", server.url());
    for variable in [
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", PATH),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", full.as_str()),
    ] {
        let through = environment([variable]).through(&host, port, None);
        assert_eq!(
            at(&server.url(), &through).map(credentials).unwrap().access_key_id(),
            "ASIAEXAMPLE"
        );
    }
    assert!(proxy.asked().is_empty());
}

#[test]
fn the_path_counts_more_than_the_url() {
    let server = Server::script(vec![keys()]);
    let variables = environment([
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", PATH),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil.example/"),
    ]);
    assert!(at(&server.url(), &variables).is_ok());
}

#[test]
fn plain_http_is_for_neighbours() {
    for url in [
        "http://127.0.0.1:8080/creds",
        "http://127.1.2.3/",
        "http://localhost/creds?x=y",
        "http://LOCALHOST/",
        "http://[::1]:80/creds",
        "http://169.254.170.2/v2",
        "http://169.254.170.23/v1/credentials",
        "http://[fd00:ec2::23]/v1/credentials",
        "https://credentials.example.com/",
        "HTTP://127.0.0.1/",
    ] {
        assert!(permitted(url).is_ok(), "{url}");
    }
    for url in [
        "http://169.254.170.3/",
        "http://169.254.169.254/",
        "http://10.0.0.1/",
        "http://example.com/",
        "http://localhost.example.com/",
        "http://127.0.0.1.example.com/",
        "http://127.0.0.1@example.com/",
        "https://127.0.0.1@example.com/",
        "http://[fd00:ec2::24]/",
        "http://2130706433/",
        "http://[::ffff:10.0.0.1]/",
        "ftp://127.0.0.1/",
        "/v2/credentials",
        "localhost",
        "http://",
        "http:///x",
    ] {
        assert!(permitted(url).is_err(), "{url}");
    }
}

#[test]
fn the_token_is_sent_to_the_letter_and_its_file_first() {
    let server = Server::script(vec![keys()]);
    let url = server.url();
    let folder = Folder::new();
    let file = folder.file("token", "Bearer of/file==");
    let full = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str());
    let plain = ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic of variable");
    let named = ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.to_str().unwrap());
    let sent = |variables: &Environment| {
        credentials(at("", variables).unwrap());
        server.asked().last().unwrap().header("authorization").map(str::to_owned)
    };
    assert_eq!(sent(&environment([full])), None);
    assert_eq!(sent(&environment([full, plain])).as_deref(), Some("Basic of variable"));
    let both = environment([full, plain, named]);
    assert_eq!(sent(&both).as_deref(), Some("Bearer of/file=="));
    fs::write(&file, "rotated").unwrap();
    assert_eq!(sent(&both).as_deref(), Some("rotated"));
}

#[test]
fn a_token_that_is_no_header_is_refused_and_not_shown() {
    let server = Server::script(vec![keys()]);
    let url = server.url();
    let folder = Folder::new();
    let complaint = |text: &str| {
        let file = folder.file("token", text);
        let variables = environment([
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.to_str().unwrap()),
        ]);
        at("", &variables).err().unwrap()
    };
    for token in ["hush\r\nx: y", "hush\n", "hush\r", "", "hush\u{0}", "hüsh"] {
        let complaint = complaint(token);
        assert!(complaint.starts_with("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: the token"));
        assert!(!complaint.contains("hush") && !complaint.contains("hüsh"), "{complaint}");
    }
    let variables = environment([
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\r\nb: c"),
    ]);
    assert!(at("", &variables).is_err());
    let gone = environment([
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nowhere/token"),
    ]);
    let complaint = at("", &gone).err().unwrap();
    assert!(complaint.contains("cannot read /nowhere/token: no such file"), "{complaint}");
    assert_eq!(server.asked().len(), 0);
}

#[test]
fn trouble_that_passes_is_waited_for() {
    let starting = Reply::Answer(
        503,
        "{\"code\":\"CredentialsUninitialized\",\"message\":\"not ready\",\"HTTPErrorCode\":503}"
            .to_owned(),
    );
    let server = Server::script(vec![starting.clone(), Reply::Hangup, keys()]);
    assert!(relative(&server).is_ok());
    let server = Server::script(vec![starting]);
    let complaint = relative(&server).unwrap_err();
    assert!(complaint.ends_with("it answers 503 (not ready)"), "{complaint}");
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn a_refusal_is_final() {
    for status in [400, 401, 403, 404, 302] {
        let server = Server::script(vec![Reply::Answer(status, "no JSON".to_owned())]);
        let complaint = relative(&server).unwrap_err();
        assert!(complaint.ends_with(&format!("it answers {status}")), "{complaint}");
        assert_eq!(server.asked().len(), 1);
    }
}

#[test]
fn a_message_is_shown_without_what_a_terminal_obeys() {
    let body = format!("{{\"message\":\"\\u001b[2J{}\"}}", "x".repeat(300));
    let server = Server::script(vec![Reply::Answer(400, body)]);
    let complaint = relative(&server).unwrap_err();
    assert!(!complaint.contains('\u{1b}'));
    assert!(complaint.len() < 320, "{complaint}");
}

#[test]
fn nobody_there_is_a_complaint() {
    let variables = environment([("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", PATH)]);
    let complaint = at(&refused(), &variables).err().unwrap();
    assert_eq!(
        complaint,
        "the endpoint in AWS_CONTAINER_CREDENTIALS_RELATIVE_URI gives none: connection refused"
    );
    let server = Server::script(vec![Reply::Silence]);
    let silent = Container::at(&server.url(), &variables, IMPATIENT, Duration::ZERO).unwrap();
    let complaint = silent.credentials().err().unwrap();
    assert!(complaint.ends_with("no answer within 0.3 s"), "{complaint}");
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn an_answer_that_is_too_large_or_no_credentials_is_refused() {
    let large = Server::script(vec![Reply::ok(" ".repeat(5000))]);
    assert!(relative(&large).unwrap_err().contains("larger than 4096 bytes"));
    assert_eq!(large.asked().len(), 1);
    let other = Server::script(vec![Reply::ok("{}")]);
    assert!(relative(&other).unwrap_err().contains("lacks AccessKeyId"));
}
