use super::credentials;
use crate::tests::{SECRET, now};
use crate::{Source, timestamp};

fn json(code: &str, expiration: &str) -> String {
    format!(
        "{{{code}\"RoleArn\":\"arn:aws:iam::123456789012:role/mesh\",\"AccessKeyId\":\"ASIAEXAMPLE\",\
         \"SecretAccessKey\":\"{SECRET}\",\"Token\":\"to/ken==\"{expiration}}}"
    )
}

const END: &str = ",\"Expiration\":\"2026-01-01T06:00:00Z\"";

#[test]
fn both_services_answer_in_the_same_way() {
    for code in ["", "\"Code\":\"Success\",\"Type\":\"AWS-HMAC\","] {
        let found = credentials(json(code, END).as_bytes(), Source::Container).unwrap();
        assert_eq!(found.access_key_id(), "ASIAEXAMPLE");
        assert_eq!(found.secret_access_key, SECRET);
        assert_eq!(found.session_token.as_deref(), Some("to/ken=="));
        assert_eq!(found.expires(), timestamp::parse("2026-01-01T06:00:00Z"));
        assert!(found.expires() > Some(now()));
    }
    assert_eq!(credentials(json("", "").as_bytes(), Source::Instance).unwrap().expires(), None);
}

#[test]
fn a_complaint_quotes_nothing() {
    let check = |json: &str, expected: &str| {
        let complaint = credentials(json.as_bytes(), Source::Container).unwrap_err();
        assert!(complaint.contains(expected), "{complaint}");
        assert!(!complaint.contains("wJalr") && !complaint.contains("to/ken"), "{complaint}");
    };
    check("", "not the JSON");
    check("null", "not the JSON");
    check("{}", "lacks AccessKeyId");
    check(&json("", "").replace("\"to/ken==\"", "7"), "not the JSON");
    check(&json("", "").replace("to/ken==", "to/ken\\r\\nx"), "characters");
    check(&json("", "").replace("\"SecretAccessKey\"", "\"Secret\""), "lacks");
    check(&json("", ",\"Expiration\":\"soon\""), "not a point in time");
    check(&json("\"Code\":\"AssumeRoleUnauthorizedAccess\",", END), "no credentials");
    check(&json("", END)[..100], "not the JSON");
}
