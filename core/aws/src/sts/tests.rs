use std::time::Duration;

use super::{Identity, SignedRequest, Sts, StsFailure};
use crate::http::Client;
use crate::tests::{
    IMPATIENT, PATIENT, Reply, Server, environment, error_xml, explained_xml, identity_xml, keys,
    now, refused,
};
use crate::{Chain, CredentialsError, Endpoint, Region};

const REQUEST: SignedRequest<'static> = SignedRequest {
    host: "sts.eu-central-1.amazonaws.com",
    headers: &[
        ("content-type", "text/plain"),
        ("x-amz-security-token", "hushhush"),
        ("authorization", "AWS4-HMAC-SHA256 hush"),
    ],
    body: "Action=GetCallerIdentity&Version=2011-06-15",
};

fn sts() -> Sts {
    Sts { client: Client::local(PATIENT) }
}

fn forward(reply: Reply) -> Result<Identity, StsFailure> {
    let server = Server::script(vec![reply]);
    let answer = sts().forward(REQUEST, Some(&server.url()));
    assert_eq!(server.asked().len(), 1);
    answer
}

#[test]
fn a_signed_request_is_sent_as_it_is() {
    let server = Server::script(vec![Reply::ok(identity_xml())]);
    let url = format!("{}/", server.url());
    let identity = sts().forward(REQUEST, Some(&url)).unwrap();
    assert_eq!(identity.account, "123456789012");
    let asked = &server.asked()[0];
    assert_eq!(asked.line, "POST / HTTP/1.1");
    assert_eq!(asked.header("host"), Some(REQUEST.host));
    assert_eq!(asked.header("content-type"), Some("text/plain"));
    assert_eq!(asked.header("authorization"), Some("AWS4-HMAC-SHA256 hush"));
    assert_eq!(asked.body, REQUEST.body);
}

#[test]
fn a_refusal_has_the_word_of_aws() {
    for code in ["InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken"] {
        let failure = forward(Reply::Answer(403, error_xml(code))).unwrap_err();
        let (code, message) = (code.to_owned(), "why".to_owned());
        assert_eq!(failure, StsFailure::Refused { code, status: 403, message });
    }
    let silent = "<ErrorResponse><Error><Code>RequestExpired</Code></Error></ErrorResponse>";
    let failure = forward(Reply::Answer(400, silent.to_owned())).unwrap_err();
    assert_eq!(failure.to_string(), "STS refuses with RequestExpired (400)");
}

#[test]
fn a_refusal_says_what_aws_says_of_it() {
    let late = "Signature expired: 20260101T000000Z is now earlier than 20260101T004500Z \
                (20260101T010000Z - 15 min.)";
    let answer = Reply::Answer(403, explained_xml("SignatureDoesNotMatch", late));
    let expected = format!("STS refuses with SignatureDoesNotMatch (403): {late}");
    assert_eq!(forward(answer).unwrap_err().to_string(), expected);
}

#[test]
fn a_refusal_repeats_nothing_of_the_request() {
    let said = |message: &str| {
        let answer = Reply::Answer(403, explained_xml("SignatureDoesNotMatch", message));
        forward(answer).unwrap_err().to_string()
    };
    let plain = "STS refuses with SignatureDoesNotMatch (403)";
    let echo = "It does not match.\n\nThe Canonical String for this request should have been\n\
                'POST\n/\n\nx-amz-security-token:hushhush\n'";
    assert_eq!(said(echo), format!("{plain}: It does not match."));
    assert_eq!(said(&echo.replace('\n', " ")), plain);
    assert_eq!(said("'AWS4-HMAC-SHA256 Credential=A/x, Signature=hush' lacks a part."), plain);
}

#[test]
fn trouble_of_sts_is_not_the_signers_fault() {
    for reply in [
        Reply::Answer(500, String::new()),
        Reply::Answer(503, error_xml("ServiceUnavailable")),
        Reply::Answer(429, String::new()),
        Reply::Answer(400, error_xml("Throttling")),
        Reply::Hangup,
    ] {
        let failure = forward(reply.clone()).unwrap_err();
        assert!(matches!(failure, StsFailure::Unreachable(_)), "{reply:?}: {failure:?}");
    }
    let nobody = sts().forward(REQUEST, Some(&refused())).unwrap_err();
    assert!(matches!(&nobody, StsFailure::Unreachable(why) if why.ends_with("connection refused")));
    let quick = Sts { client: Client::local(IMPATIENT) };
    for reply in [Reply::Silence, Reply::Drip] {
        let server = Server::script(vec![reply]);
        let slow = quick.forward(REQUEST, Some(&server.url())).unwrap_err();
        assert!(matches!(&slow, StsFailure::Unreachable(why) if why.contains("within 0.3 s")));
    }
}

#[test]
fn what_is_not_sts_is_not_believed() {
    for reply in [
        Reply::Answer(302, String::new()),
        Reply::Answer(307, identity_xml()),
        Reply::Answer(201, identity_xml()),
        Reply::Answer(204, String::new()),
        Reply::Answer(403, "<html>blocked</html>".to_owned()),
        Reply::Answer(403, error_xml("a b")),
        Reply::Answer(404, String::new()),
        Reply::ok(""),
        Reply::ok("{}"),
        Reply::ok(format!("{}{}", identity_xml(), " ".repeat(5000))),
        Reply::Raw(b"220 smtp.example.com\r\n\r\n".to_vec()),
    ] {
        let failure = forward(reply.clone()).unwrap_err();
        assert!(matches!(failure, StsFailure::Unexpected(_)), "{reply:?}: {failure:?}");
        assert!(!failure.to_string().contains("hush"), "{failure}");
    }
    assert!(!format!("{REQUEST:?}").contains("hush"));
}

fn endpoint(server: &Server) -> Endpoint {
    Endpoint::at(&server.url(), Region::parse("eu-central-1").unwrap(), "test").unwrap()
}

#[test]
fn an_agent_can_look_at_itself() {
    let server = Server::script(vec![Reply::ok(identity_xml())]);
    let chain = Chain::new(&keys()).unwrap();
    let identity = sts().caller_identity(&chain, &endpoint(&server), now()).unwrap();
    assert_eq!(identity.user_id, "AROAEXAMPLE:0123");
    let asked = &server.asked()[0];
    assert_eq!(asked.header("host").map(str::to_owned), Some(endpoint(&server).host));
    let authorization = asked.header("authorization").unwrap();
    let scope = "AKIDEXAMPLE/20260101/eu-central-1/sts/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date, ";
    assert!(authorization.contains(scope), "{authorization}");
    let nothing = environment([("AWS_EC2_METADATA_DISABLED", "true")]);
    let failure = sts().caller_identity(&Chain::new(&nothing).unwrap(), &endpoint(&server), now());
    assert!(matches!(failure, Err(StsFailure::Credentials(CredentialsError::NotFound(_)))));
}

#[test]
fn credentials_that_are_good_no_more_to_sts_are_forgotten() {
    let source = Server::start(|_, before| {
        Reply::ok(format!(
            "{{\"AccessKeyId\":\"A{before}\",\"SecretAccessKey\":\"s\",\"Token\":\"t\"}}"
        ))
    });
    let url = source.url();
    let chain = Chain::new(&environment([("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)])).unwrap();
    let server = Server::script(vec![
        Reply::Answer(403, error_xml("SignatureDoesNotMatch")),
        Reply::Answer(403, error_xml("ExpiredToken")),
        Reply::Answer(403, error_xml("InvalidClientTokenId")),
        Reply::Answer(403, error_xml("IncompleteSignature")),
        Reply::ok(identity_xml()),
    ]);
    let ask = || sts().caller_identity(&chain, &endpoint(&server), now() + Duration::from_secs(1));
    for _ in 0..4 {
        assert!(ask().is_err());
    }
    assert!(ask().is_ok());
    for (asked, key) in server.asked().iter().zip(["A0", "A0", "A1", "A2", "A2"]) {
        let authorization = asked.header("authorization").unwrap();
        assert!(authorization.contains(&format!("Credential={key}/")), "{key}: {authorization}");
    }
}
