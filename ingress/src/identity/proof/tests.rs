use std::time::{Duration, SystemTime};

use mesh_protocol::control::{IamProof, TokenProof};

use super::{Binding, DATE_WINDOW, check_date, sts_request};

const NONCE: &str = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";
const HELLO: &str = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";
const BINDING: Binding<'_> = Binding { server_id: "mesh.example.com", nonce: NONCE, hello: HELLO };

/// Made with botocore for the secret key `secret`.
fn proof() -> IamProof {
    IamProof {
        host: "sts.eu-central-1.amazonaws.com".to_owned(),
        region: "eu-central-1".to_owned(),
        access_key_id: "ASIAIOSFODNN7EXAMPLE".to_owned(),
        date: "20260301T120000Z".to_owned(),
        security_token: Some("tok/en+1==".to_owned()),
        signature: "acd48653a4c995ab738b82018b918e05fa9e6bd31270845ac1fdea2b50ceb36a".to_owned(),
    }
}

fn with(change: impl FnOnce(&mut IamProof)) -> Result<super::StsRequest, String> {
    let mut proof = proof();
    change(&mut proof);
    sts_request(&proof, &BINDING, None)
}

#[test]
fn the_request_is_the_one_that_the_agent_signed() {
    let request = with(|_| {}).unwrap();
    assert_eq!(request.host, "sts.eu-central-1.amazonaws.com");
    assert_eq!(request.body, "Action=GetCallerIdentity&Version=2011-06-15");
    let expected = [
        ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("host", "sts.eu-central-1.amazonaws.com"),
        ("x-amz-date", "20260301T120000Z"),
        ("x-amz-security-token", "tok/en+1=="),
        ("x-mesh-hello", HELLO),
        ("x-mesh-nonce", NONCE),
        ("x-mesh-server-id", "mesh.example.com"),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=ASIAIOSFODNN7EXAMPLE/20260301/eu-central-1/sts/\
             aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;\
             x-mesh-hello;x-mesh-nonce;x-mesh-server-id, Signature=\
             acd48653a4c995ab738b82018b918e05fa9e6bd31270845ac1fdea2b50ceb36a",
        ),
    ];
    let headers: Vec<(&str, &str)> =
        request.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(headers, expected);
}

#[test]
fn without_a_security_token_none_is_signed() {
    let request = with(|proof| proof.security_token = None).unwrap();
    assert!(request.headers.iter().all(|(name, _)| *name != "x-amz-security-token"));
    let (_, authorization) = request.headers.last().unwrap();
    assert!(authorization.contains(
        "SignedHeaders=content-type;host;x-amz-date;x-mesh-hello;x-mesh-nonce;x-mesh-server-id, "
    ));
}

#[test]
fn only_hosts_of_sts_are_ever_asked() {
    let long = format!("sts.{}.amazonaws.com", "a".repeat(10_000));
    let hosts = [
        "",
        "sts",
        "STS.eu-central-1.amazonaws.com",
        "sts.EU-CENTRAL-1.amazonaws.com",
        "sts.eu-central-1.amazonaws.com.",
        "sts.eu-central-1.amazonaws.com:443",
        "sts.eu-central-1.amazonaws.com/",
        "sts.eu-central-1.amazonaws.com@evil.example",
        "evil.example@sts.eu-central-1.amazonaws.com",
        "sts.eu-central-1.amazonaws.com.evil.example",
        "evil-sts.eu-central-1.amazonaws.com",
        "evil.sts.eu-central-1.amazonaws.com",
        "sts.eu-central-1.evil.amazonaws.com",
        "sts.eu-central-1.amazonaws.com#.evil.example",
        "sts.eu-central-1.amazonaws.com?.evil.example",
        "https://sts.eu-central-1.amazonaws.com",
        "sts.eu-central-1.amazonaws.com\r\nx: y",
        " sts.eu-central-1.amazonaws.com",
        "sts.eu-central-1.amazonaws.com\0",
        "sts.eu-central-9.amazonaws.com",
        "sts.eu\u{2010}central-1.amazonaws.com",
        "sts.eu-central-1.amazonaws.com.cn",
        "sts.cn-north-1.amazonaws.com",
        "s3.eu-central-1.amazonaws.com",
        "sts.eu-central-1",
        "127.0.0.1",
        "169.254.169.254",
        "localhost",
        &long,
    ];
    for host in hosts {
        let error = with(|proof| proof.host = host.to_owned()).unwrap_err();
        assert!(error.contains("is not for a host of STS"), "{host:?}: {error}");
    }
}

#[test]
fn the_region_is_that_of_the_host() {
    for region in [
        "",
        "us-east-1",
        "EU-CENTRAL-1",
        "eu-central-1 ",
        "eu-central-1/s3",
        "eu-central-1\r\nx: y",
    ] {
        let error = with(|proof| proof.region = region.to_owned()).unwrap_err();
        assert!(error.ends_with("is not signed for the region eu-central-1"), "{error}");
    }
    let global = |region: &str| {
        with(|proof| {
            proof.host = "sts.amazonaws.com".to_owned();
            proof.region = region.to_owned();
        })
    };
    assert!(global("us-east-1").is_ok());
    assert!(global("eu-central-1").is_err());
}

#[test]
fn a_configured_host_is_asked_for_any_region() {
    let endpoint = Some("127.0.0.1:5055");
    let ask = |host: &str, region: &str| {
        let proof = IamProof { host: host.to_owned(), region: region.to_owned(), ..proof() };
        sts_request(&proof, &BINDING, endpoint).map(|request| request.host)
    };
    assert_eq!(ask("127.0.0.1:5055", "eu-nowhere-1").unwrap(), "127.0.0.1:5055");
    assert!(ask("sts.us-east-1.amazonaws.com", "us-east-1").is_ok());
    // Whoever gave the agent its endpoint may have written it in capitals; that is what it signed.
    let proof = IamProof { host: "STS.Example".to_owned(), ..proof() };
    let request = sts_request(&proof, &BINDING, Some("sts.example")).unwrap();
    assert_eq!(request.host, "STS.Example");
    for host in ["127.0.0.1", "127.0.0.1:5056", "127.0.0.1:5055/", ""] {
        assert!(ask(host, "eu-central-1").is_err(), "{host}");
    }
    let long = "a".repeat(33);
    for region in ["", "EU", "a/b", "a b", "a\r\nb", "a\u{e9}", &long] {
        assert_eq!(ask("127.0.0.1:5055", region).unwrap_err(), "the proof has no valid region");
    }
}

/// Stand-ins for AWS have keys such as `test`.
#[test]
fn a_configured_host_may_have_keys_of_its_own() {
    let ask = |host: &str, key: &str| {
        let proof = IamProof { host: host.to_owned(), access_key_id: key.to_owned(), ..proof() };
        sts_request(&proof, &BINDING, Some("127.0.0.1:5055")).map(|request| request.headers)
    };
    for key in ["test", "t", "my_key_1", &"a".repeat(128)] {
        let headers = ask("127.0.0.1:5055", key).unwrap();
        let (_, authorization) = headers.last().unwrap();
        assert!(authorization.contains(&format!("Credential={key}/2026")), "{authorization}");
        let error = ask("sts.eu-central-1.amazonaws.com", key).unwrap_err();
        assert_eq!(error, "the proof has no valid access key id");
    }
    for key in ["", "a b", "a/b", "a,b", "a\r\nb", "\u{e9}", &"a".repeat(129)] {
        let error = ask("127.0.0.1:5055", key).unwrap_err();
        assert_eq!(error, "the proof has no valid access key id", "{key:?}");
    }
}

/// Each field with everything that could end a header, a list or a number early.
#[test]
fn no_field_can_carry_anything_else() {
    let strange = [
        "\r\n", "\n", "\r", "\0", " ", ",", ";", ":", "\t", "\"", "\u{e9}", "\u{661}", "\u{ff11}",
        "\u{2028}",
    ];
    for text in strange {
        for place in [0, 5] {
            let inserted = |field: &str| {
                let mut field = field.to_owned();
                field.insert_str(place, text);
                field
            };
            let changes: [fn(&mut IamProof) -> &mut String; 6] = [
                |proof| &mut proof.host,
                |proof| &mut proof.region,
                |proof| &mut proof.access_key_id,
                |proof| &mut proof.date,
                |proof| proof.security_token.as_mut().unwrap(),
                |proof| &mut proof.signature,
            ];
            for (index, change) in changes.into_iter().enumerate() {
                let result = with(|proof| {
                    let field = change(proof);
                    *field = inserted(field);
                });
                let error = result.expect_err("a changed field");
                assert!(!error.contains(text) || text == " ", "{index}: {error:?}");
            }
        }
    }
}

#[test]
fn fields_have_their_lengths_and_letters() {
    let key = |text: String| with(|proof| proof.access_key_id = text).is_ok();
    assert!(key("A".repeat(16)) && key("A1".repeat(64)));
    for text in ["A".repeat(15), "A".repeat(129), String::new(), "a".repeat(16), "A/".repeat(8)] {
        assert!(!key(text.clone()), "{text}");
    }
    let token = |text: String| with(|proof| proof.security_token = Some(text)).is_ok();
    assert!(token("t".repeat(8192)) && token("Az09+/=-_".to_owned()));
    assert!(!token("t".repeat(8193)) && !token(String::new()) && !token("a%b".to_owned()));
    let signature = |text: String| with(|proof| proof.signature = text).is_ok();
    assert!(signature("0".repeat(64)));
    for text in ["0".repeat(63), "0".repeat(65), "A".repeat(64), "g".repeat(64), String::new()] {
        assert!(!signature(text.clone()), "{text}");
    }
}

#[test]
fn a_date_is_one_that_the_calendar_has() {
    let date = |text: &str| with(|proof| proof.date = text.to_owned()).is_ok();
    let good = ["20240229T235959Z", "20000229T000000Z", "20261231T000000Z", "19700101T000000Z"];
    for text in good {
        assert!(date(text), "{text}");
    }
    let bad = [
        "",
        "20230229T000000Z",
        "21000229T000000Z",
        "20261301T000000Z",
        "20260001T000000Z",
        "20260100T000000Z",
        "20260132T000000Z",
        "20260431T000000Z",
        "20260101T240000Z",
        "20260101T006000Z",
        "20260101T000060Z",
        "19691231T235959Z",
        "20260101 000000Z",
        "20260101T000000",
        "20260101T000000z",
        "2026-01-01T00:00Z",
        "+2260101T000000Z",
        "20260101T000000Z0",
        "99999999T999999Z",
    ];
    for text in bad {
        assert!(!date(text), "{text}");
    }
}

#[test]
fn clocks_may_differ_by_a_few_minutes() {
    let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    // date -u -d 2026-03-01T12:00:00Z +%s
    let signed = 1_772_366_400;
    let check = |now: SystemTime| check_date("20260301T120000Z", now, DATE_WINDOW);
    for seconds in [0, 300] {
        assert_eq!(check(at(signed + seconds)), Ok(()));
        assert_eq!(check(at(signed - seconds)), Ok(()));
    }
    let error = check(at(signed + 301)).unwrap_err();
    assert!(
        error.starts_with("the agent's clock is 301 s behind the ingress's, and 300 s are allowed"),
        "{error}"
    );
    let error = check(at(signed - 7200)).unwrap_err();
    assert!(error.starts_with("the agent's clock is 7200 s ahead of the ingress's"), "{error}");
    assert!(error.contains("chrony"), "{error}");
    assert!(check_date("yesterday", at(signed), DATE_WINDOW).is_err());
    // date -u -d 2000-03-01 +%s, and of the last second that a date can say.
    assert_eq!(check_date("20000301T000000Z", at(951_868_800), Duration::ZERO), Ok(()));
    assert_eq!(check_date("99991231T235959Z", at(253_402_300_799), Duration::ZERO), Ok(()));
}

#[test]
fn proofs_are_read_from_json() {
    let json = r#"{"host":"h","region":"r","access_key_id":"k","date":"d","signature":"s"}"#;
    let proof: IamProof = serde_json::from_str(json).unwrap();
    assert_eq!(proof.security_token, None);
    let token: TokenProof = serde_json::from_str(r#"{"id":"i","mac":"m"}"#).unwrap();
    assert_eq!((token.id.as_str(), token.mac.as_str()), ("i", "m"));
    assert!(serde_json::from_str::<IamProof>(r#"{"host":"h"}"#).is_err());
}
