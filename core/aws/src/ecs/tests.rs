use serde::Deserialize;
use serde_json::json;

use super::{Ecs, EcsFailure};
use crate::http::Client;
use crate::tests::{
    IMPATIENT, PATIENT, Reply, SECRET, Server, environment, error_xml, now, refused,
};
use crate::{Chain, CredentialsError, Endpoint, Region};

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Answer {
    tasks: Vec<String>,
}

fn chain() -> Chain {
    let variables = environment([
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_SESSION_TOKEN", "tok/en+1=="),
    ]);
    Chain::new(&variables).unwrap()
}

fn ecs(url: &str) -> Ecs {
    let region = Region::parse("eu-central-1").unwrap();
    let endpoint = Endpoint::at(url, region, "test").unwrap();
    Ecs { client: Client::local(PATIENT), endpoint }
}

fn describe(ecs: &Ecs, chain: &Chain) -> Result<Answer, EcsFailure> {
    let body = json!({"cluster": "shop", "tasks": ["0123456789abcdef0123456789abcdef"]});
    ecs.call(chain, "DescribeTasks", &body, now())
}

fn failure(reply: Reply) -> EcsFailure {
    let server = Server::script(vec![reply]);
    describe(&ecs(&server.url()), &chain()).unwrap_err()
}

fn refusal(status: u16, code: &str) -> EcsFailure {
    failure(Reply::Answer(status, format!("{{\"__type\":\"{code}\",\"message\":\"why\"}}")))
}

/// The signature is botocore's: core/aws/tests/with_botocore.py prints it as
/// `ecs-describe-tasks`. The host is part of it, so the request goes to a server in its name.
#[test]
fn botocore_signs_alike() {
    let server = Server::script(vec![Reply::ok("{\"tasks\":[\"a\"],\"failures\":[]}")]);
    let mut ecs = ecs(&server.url());
    ecs.endpoint.host = "ecs.eu-central-1.amazonaws.com".to_owned();
    assert_eq!(describe(&ecs, &chain()), Ok(Answer { tasks: vec!["a".to_owned()] }));
    let asked = &server.asked()[0];
    assert_eq!(asked.line, "POST / HTTP/1.1");
    assert_eq!(
        asked.body,
        "{\"cluster\":\"shop\",\"tasks\":[\"0123456789abcdef0123456789abcdef\"]}"
    );
    assert_eq!(asked.header("content-type"), Some("application/x-amz-json-1.1"));
    let target = "AmazonEC2ContainerServiceV20141113.DescribeTasks";
    assert_eq!(asked.header("x-amz-target"), Some(target));
    assert_eq!(asked.header("x-amz-security-token"), Some("tok/en+1=="));
    let signature = "0ac97fa5d607a696e6e0588867ddda2084243333bba9662b390b9cfe7097912b";
    let authorization = asked.header("authorization").unwrap();
    assert!(authorization.ends_with(&format!("Signature={signature}")), "{authorization}");
}

#[test]
fn what_our_credentials_may_not_is_denied() {
    for (status, code) in [
        (400, "AccessDeniedException"),
        (400, "com.amazonaws.ecs#AccessDeniedException"),
        (400, "UnrecognizedClientException"),
        (400, "ExpiredTokenException"),
        (403, "SomethingNew"),
    ] {
        let word = code.rsplit('#').next().unwrap().to_owned();
        let expected = EcsFailure::Denied { code: word, message: "why".to_owned() };
        assert_eq!(refusal(status, code), expected);
    }
    let xml = failure(Reply::Answer(403, error_xml("InvalidClientTokenId")));
    let expected =
        EcsFailure::Denied { code: "InvalidClientTokenId".to_owned(), message: "why".to_owned() };
    assert_eq!(xml, expected);
}

#[test]
fn a_wrong_question_is_refused() {
    for code in ["ClusterNotFoundException", "InvalidParameterException"] {
        let expected = EcsFailure::Refused { code: code.to_owned(), message: "why".to_owned() };
        assert_eq!(refusal(400, code), expected);
    }
    let twice = "{\"__type\":\"X\",\"message\":\"why\",\"Message\":\"Why\"}".to_owned();
    let expected = EcsFailure::Refused { code: "X".to_owned(), message: "why".to_owned() };
    assert_eq!(failure(Reply::Answer(400, twice)), expected);
    let body = format!("{{\"__type\":\"X\",\"Message\":\"\\u001b[2J{}\"}}", "x".repeat(900));
    let EcsFailure::Refused { message, .. } = failure(Reply::Answer(400, body)) else {
        panic!("it is refused");
    };
    assert_eq!(message.chars().count(), 500);
    assert!(!message.contains('\u{1b}'));
}

/// AWS shows what it would have signed, and our session token is part of that.
#[test]
fn a_denial_repeats_nothing_of_the_request() {
    let body = "{\"__type\":\"InvalidSignatureException\",\"message\":\"It does not match.\\n\\nThe \
                Canonical String for this request should have been\\n'POST\\n/\\n\\n\
                x-amz-security-token:tok/en+1==\\n'\"}";
    let failure = failure(Reply::Answer(400, body.to_owned()));
    let expected = "ECS denies it with InvalidSignatureException: It does not match.";
    assert_eq!(failure.to_string(), expected);
}

#[test]
fn trouble_of_ecs_is_nobodys_fault() {
    for reply in [
        Reply::Answer(500, "{\"__type\":\"ServerException\"}".to_owned()),
        Reply::Answer(503, String::new()),
        Reply::Answer(429, String::new()),
        Reply::Answer(400, "{\"__type\":\"ThrottlingException\"}".to_owned()),
        Reply::Hangup,
    ] {
        let failure = failure(reply.clone());
        assert!(matches!(failure, EcsFailure::Unreachable(_)), "{reply:?}: {failure:?}");
    }
    let nobody = describe(&ecs(&refused()), &chain()).unwrap_err();
    assert!(matches!(&nobody, EcsFailure::Unreachable(why) if why.ends_with("connection refused")));
    let server = Server::script(vec![Reply::Silence]);
    let mut quick = ecs(&server.url());
    quick.client = Client::local(IMPATIENT);
    let silent = describe(&quick, &chain()).unwrap_err();
    assert!(matches!(&silent, EcsFailure::Unreachable(why) if why.contains("no answer within")));
}

#[test]
fn what_is_not_ecs_is_not_believed() {
    for reply in [
        Reply::Answer(302, String::new()),
        Reply::Answer(201, "{\"tasks\":[]}".to_owned()),
        Reply::Answer(404, "<html></html>".to_owned()),
        Reply::Answer(400, "{\"__type\":\"a b\"}".to_owned()),
        Reply::ok(""),
        Reply::ok("{}"),
        Reply::ok("{\"tasks\":[1]}"),
        Reply::ok(format!("{{\"tasks\":[]}}{}", " ".repeat(5000))),
        Reply::Raw(b"220 smtp.example.com\r\n\r\n".to_vec()),
    ] {
        let failure = failure(reply.clone());
        assert!(matches!(failure, EcsFailure::Unexpected(_)), "{reply:?}: {failure:?}");
    }
}

#[test]
fn without_credentials_nothing_is_asked() {
    let server = Server::script(vec![Reply::ok("{\"tasks\":[]}")]);
    let nothing = Chain::new(&environment([("AWS_EC2_METADATA_DISABLED", "true")])).unwrap();
    let failure = describe(&ecs(&server.url()), &nothing).unwrap_err();
    assert!(matches!(failure, EcsFailure::Credentials(CredentialsError::NotFound(_))));
    assert_eq!(server.asked().len(), 0);
}

#[test]
fn credentials_that_are_good_no_more_to_ecs_are_forgotten() {
    let source = Server::script(vec![Reply::ok(
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":\"t\"}",
    )]);
    let url = source.url();
    let chain = Chain::new(&environment([("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)])).unwrap();
    let codes = ["ExpiredTokenException", "UnrecognizedClientException", "InvalidToken"];
    let refusals =
        codes.map(|code| Reply::Answer(400, format!("{{\"__type\":\"{code}\",\"message\":\"\"}}")));
    let answer = Reply::ok("{\"tasks\":[]}");
    let server = Server::script([&refusals[..], &[answer]].concat());
    let ecs = ecs(&server.url());
    for asked in 1..=codes.len() {
        assert!(describe(&ecs, &chain).is_err());
        assert_eq!(source.asked().len(), asked);
    }
    assert!(describe(&ecs, &chain).is_ok());
    assert_eq!(source.asked().len(), codes.len() + 1);
}
