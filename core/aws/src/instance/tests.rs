use super::{Instance, InstanceError};
use crate::tests::{IMPATIENT, PATIENT, Reply, Server, environment, refused};

const KEYS: &str = "{\"Code\":\"Success\"}";

fn at(url: &str) -> Instance {
    Instance::within(&environment([("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)]), PATIENT)
}

/// The service as it is documented: nothing without a token.
fn service() -> Server {
    Server::start(|asked, _| {
        let has_ttl = asked.header("x-aws-ec2-metadata-token-ttl-seconds") == Some("21600");
        let has_token = asked.header("x-aws-ec2-metadata-token") == Some("the-token==");
        match asked.line.as_str() {
            "PUT /latest/api/token HTTP/1.1" if has_ttl => Reply::ok("the-token=="),
            _ if !has_token => Reply::Answer(401, String::new()),
            "GET /latest/meta-data/iam/security-credentials/ HTTP/1.1" => Reply::ok("mesh\n"),
            "GET /latest/meta-data/iam/security-credentials/mesh HTTP/1.1" => Reply::ok(KEYS),
            "GET /latest/meta-data/placement/region HTTP/1.1" => Reply::ok("eu-central-1"),
            _ => Reply::Answer(404, String::new()),
        }
    })
}

fn complaint(replies: Vec<Reply>) -> String {
    let server = Server::script(replies);
    match at(&server.url()).credentials() {
        Err(InstanceError::Broken(complaint)) => complaint,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_question_carries_a_token() {
    let server = service();
    let instance = at(&format!("{}/", server.url()));
    assert_eq!(instance.credentials().unwrap(), KEYS.as_bytes());
    assert_eq!(instance.region().unwrap(), "eu-central-1");
    assert_eq!(server.asked().len(), 5);
    assert_eq!(server.asked()[0].header("content-length"), Some("0"));
}

#[test]
fn the_first_version_of_the_service_is_not_used() {
    let server = Server::start(|asked, _| match asked.line.starts_with("PUT") {
        true => Reply::Answer(404, String::new()),
        false => Reply::ok("mesh"),
    });
    let found = at(&server.url()).credentials();
    assert!(matches!(found, Err(InstanceError::Broken(_))), "{found:?}");
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn an_instance_without_a_role_has_no_credentials() {
    let server = Server::script(vec![Reply::ok("t"), Reply::Answer(404, String::new())]);
    let found = at(&server.url()).credentials();
    assert_eq!(found, Err(InstanceError::Absent("the EC2 instance has no role".to_owned())));
}

#[test]
fn nobody_there_is_no_mistake() {
    let Err(InstanceError::Absent(why)) = at(&refused()).credentials() else {
        panic!("nobody listens");
    };
    assert!(why.starts_with("the instance metadata service does not answer"), "{why}");
    let server = Server::script(vec![Reply::Silence]);
    let variables = environment([("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.url())]);
    let silent = Instance::within(&variables, IMPATIENT).credentials();
    assert!(matches!(silent, Err(InstanceError::Absent(_))), "{silent:?}");
}

#[test]
fn a_lost_answer_is_asked_for_once_more() {
    let script = |losses: usize| {
        let mut replies = vec![Reply::Hangup; losses];
        replies.extend(["t", "mesh", KEYS].map(Reply::ok));
        Server::script(replies)
    };
    assert!(at(&script(1).url()).credentials().is_ok());
    assert!(at(&script(2).url()).credentials().is_err());
    let trouble = Server::script(vec![
        Reply::ok("t"),
        Reply::Answer(500, String::new()),
        Reply::ok("mesh"),
        Reply::ok(KEYS),
    ]);
    assert!(at(&trouble.url()).credentials().is_ok());
}

#[test]
fn what_makes_no_sense_is_named() {
    let forbidden = Reply::Answer(403, String::new());
    assert!(complaint(vec![forbidden.clone()]).ends_with("answers 403 when asked for a token"));
    assert!(complaint(vec![Reply::ok("a b")]).ends_with("gives no token"));
    assert!(complaint(vec![Reply::ok("")]).ends_with("gives no token"));
    assert!(complaint(vec![Reply::ok("t"), forbidden.clone()]).contains("answers 403"));
    assert!(complaint(vec![Reply::ok("t"), Reply::ok("../x")]).ends_with("names no role"));
    assert!(complaint(vec![Reply::ok("t"), Reply::ok("")]).ends_with("names no role"));
    let refusal = complaint(vec![Reply::ok("t"), Reply::ok("mesh"), forbidden]);
    assert!(refusal.ends_with("answers 403 when asked for credentials"));
    let redirect = complaint(vec![Reply::ok("t"), Reply::Answer(302, String::new())]);
    assert!(redirect.contains("answers 302"));
    let large = complaint(vec![Reply::ok("t"), Reply::ok("x".repeat(5000))]);
    assert!(large.contains("larger than 4096 bytes"), "{large}");
}

#[test]
fn it_can_be_switched_off() {
    let off = environment([("AWS_EC2_METADATA_DISABLED", "True")]);
    let found = Instance::new(&off).credentials();
    assert!(matches!(found, Err(InstanceError::Absent(why)) if why.contains("DISABLED")));
}

#[test]
fn an_endpoint_that_is_no_address_is_named() {
    for url in ["169.254.169.254", "ftp://x", "http://user@x"] {
        let found = at(url).credentials();
        assert!(matches!(found, Err(InstanceError::Broken(why)) if why.contains("ENDPOINT")));
    }
}
