use super::{Statement, prove};
use crate::tests::{SECRET, now, session};
use crate::{Credentials, Source, Unsignable};

const HELLO: &str = "abababababababababababababababababababababababababababababababab";

fn statement<'a>(host: &'a str, binding: &'a [(&'a str, &'a str)]) -> Statement<'a> {
    Statement {
        host,
        region: "eu-central-1",
        content_type: "application/x-www-form-urlencoded; charset=utf-8",
        body: "Action=GetCallerIdentity&Version=2011-06-15",
        binding,
    }
}

const HOST: &str = "sts.eu-central-1.amazonaws.com";
const BINDING: [(&str, &str); 3] = [
    ("x-mesh-server-id", "ingress.example.com"),
    ("x-mesh-nonce", "bm9uY2U"),
    ("x-mesh-hello", HELLO),
];

/// The signature is botocore's: core/aws/tests/with_botocore.py prints it as `sts-proof`.
#[test]
fn botocore_signs_alike() {
    let proof = prove(&session(), statement(HOST, &BINDING), now()).unwrap();
    assert_eq!(proof.signature, "03c9bba1522bbf88f405479f66b03f8f1f8114fe7336900a5306c329201dc9f8");
    assert_eq!(proof.date, "20260101T000000Z");
    assert_eq!(proof.host, HOST);
    assert_eq!(proof.region, "eu-central-1");
    assert_eq!(proof.access_key_id, "AKIDEXAMPLE");
    assert_eq!(proof.security_token.as_deref(), Some("tok/en+1=="));
}

#[test]
fn everything_that_binds_is_in_the_signature() {
    let signed = |statement: Statement<'_>| prove(&session(), statement, now()).unwrap().signature;
    let original = signed(statement(HOST, &BINDING));
    for index in 0..BINDING.len() {
        let mut other = BINDING;
        other[index].1 = "other";
        assert_ne!(signed(statement(HOST, &other)), original, "{}", other[index].0);
    }
    assert_ne!(signed(statement(HOST, &BINDING[1..])), original);
    assert_ne!(signed(statement("sts.amazonaws.com", &BINDING)), original);
    let base = statement(HOST, &BINDING);
    assert_ne!(signed(Statement { body: "Action=GetSessionToken", ..base }), original);
    assert_ne!(signed(Statement { content_type: "text/plain", ..base }), original);
    assert_ne!(signed(Statement { region: "eu-west-1", ..base }), original);
    let later = now() + std::time::Duration::from_secs(1);
    assert_ne!(prove(&session(), base, later).unwrap().signature, original);
}

#[test]
fn the_order_of_the_binding_does_not_matter() {
    let mut reversed = BINDING;
    reversed.reverse();
    let signed = |binding| prove(&session(), statement(HOST, binding), now()).unwrap();
    assert_eq!(signed(&reversed), signed(&BINDING));
}

#[test]
fn keys_without_an_end_have_no_token() {
    let keys = Credentials::new("AKIDEXAMPLE", SECRET, None, None, Source::Environment).unwrap();
    let proof = prove(&keys, statement(HOST, &BINDING), now()).unwrap();
    assert_eq!(proof.security_token, None);
}

#[test]
fn a_host_that_is_more_than_a_host_is_not_signed() {
    for host in ["", "a b", "a/../b?", "evil.example/", "user@evil.example", "a\r\nb", "[", "a#b"] {
        assert_eq!(prove(&session(), statement(host, &BINDING), now()), Err(Unsignable), "{host}");
    }
    let broken = [("x-mesh-nonce", "a\nb")];
    assert_eq!(prove(&session(), statement(HOST, &broken), now()), Err(Unsignable));
}

#[test]
fn a_proof_does_not_show_what_it_proves_with() {
    let proof = prove(&session(), statement(HOST, &BINDING), now()).unwrap();
    let shown = format!("{proof:?}");
    assert!(!shown.contains("tok/en") && !shown.contains(&proof.signature), "{shown}");
}
