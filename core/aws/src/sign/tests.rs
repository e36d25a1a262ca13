use std::time::{Duration, SystemTime};

use super::{Scope, Unsignable, Unsigned, sign};
use crate::{Credentials, Source, timestamp};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFq\
                     wAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2w\
                     UE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+x\
                     o0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3i\
                     SIlTJabIQwj2ICCR/oLxBA==";
const URL: &str = "https://example.amazonaws.com/";
const HOST: (&str, &str) = ("host", "example.amazonaws.com");

fn credentials(token: Option<&str>) -> Credentials {
    Credentials::new("AKIDEXAMPLE", SECRET, token, None, Source::Environment).unwrap()
}

/// The vectors that AWS publishes are signed at this time and for this service.
fn scope() -> Scope<'static> {
    let now = timestamp::parse("2015-08-30T12:36:00Z").unwrap();
    Scope { region: "us-east-1", service: "service", now }
}

fn check(token: Option<&str>, request: Unsigned<'_>, signed: &str, expected: &str) {
    let signature = sign(&credentials(token), scope(), request).unwrap();
    assert_eq!(signature.signature, expected);
    assert_eq!(signature.date, "20150830T123600Z");
    let (_, authorization) =
        signature.headers.iter().find(|(name, _)| *name == "authorization").unwrap();
    assert_eq!(
        *authorization,
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders={signed}, Signature={expected}"
        )
    );
}

#[test]
fn the_vector_get_vanilla() {
    let request = Unsigned { method: "GET", url: URL, headers: &[HOST], body: b"" };
    let expected = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    check(None, request, "host;x-amz-date", expected);
}

#[test]
fn the_vector_post_vanilla_with_the_host_of_the_url() {
    let request = Unsigned { method: "POST", url: URL, headers: &[], body: b"" };
    let expected = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
    check(None, request, "host;x-amz-date", expected);
}

#[test]
fn the_vector_post_sts_header_before() {
    let request = Unsigned { method: "POST", url: URL, headers: &[HOST], body: b"" };
    let expected = "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead";
    check(Some(TOKEN), request, "host;x-amz-date;x-amz-security-token", expected);
}

/// There the token is added after signing, which is the signature without a token.
#[test]
fn the_vector_post_sts_header_after() {
    let request = Unsigned { method: "POST", url: URL, headers: &[HOST], body: b"" };
    let expected = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
    check(None, request, "host;x-amz-date", expected);
}

#[test]
fn the_vector_post_x_www_form_urlencoded() {
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        HOST,
        ("content-length", "13"),
        (
            "x-amz-content-sha256",
            "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e",
        ),
    ];
    let request = Unsigned { method: "POST", url: URL, headers: &headers, body: b"Param1=value1" };
    let expected = "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b";
    let signed = "content-length;content-type;host;x-amz-content-sha256;x-amz-date";
    check(None, request, signed, expected);
}

#[test]
fn the_host_header_counts_and_not_the_url() {
    let elsewhere =
        Unsigned { method: "GET", url: "http://127.0.0.1:4566/", headers: &[HOST], body: b"" };
    let expected = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    check(None, elsewhere, "host;x-amz-date", expected);
}

#[test]
fn what_cannot_be_a_request_is_not_signed() {
    let of = |url, headers| Unsigned { method: "POST", url, headers, body: b"" };
    for request in [
        of("/", &[HOST]),
        of("https://", &[HOST]),
        of("https://a b/", &[HOST]),
        of(URL, &[("x-mesh-nonce", "line\nbreak")]),
        of(URL, &[("x mesh", "nonce")]),
    ] {
        let signed = sign(&credentials(None), scope(), request).map(|_| ());
        assert_eq!(signed, Err(Unsignable), "{:?}", request.url);
    }
}

#[test]
fn the_headers_of_the_signature_follow_those_of_the_request() {
    let request = Unsigned { method: "POST", url: URL, headers: &[HOST], body: b"" };
    let signature = sign(&credentials(Some(TOKEN)), scope(), request).unwrap();
    let names: Vec<_> = signature.with(&[HOST]).iter().map(|(name, _)| *name).collect();
    assert_eq!(names[0], "host");
    for name in ["authorization", "x-amz-date", "x-amz-security-token"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[test]
fn any_time_can_be_signed() {
    let request = Unsigned { method: "GET", url: URL, headers: &[HOST], body: b"" };
    for seconds in [0, 1, 4_102_444_800, 253_402_300_799] {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(sign(&credentials(None), Scope { now, ..scope() }, request).is_ok(), "{seconds}");
    }
}
