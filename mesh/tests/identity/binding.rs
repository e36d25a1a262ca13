//! A proof is good for one connection to one ingress and for what HELLO said. Proofs here are made
//! by botocore and sent by hand; where they are put to another use, moto finds that the signature
//! does not fit.

use serde_json::{Value, json};

use crate::aws::moto::Moto;
use crate::fakes::proxy::Proxy;
use crate::peers::process::Server;
use crate::raw::{Challenged, PROOF, Refused, hello, outcome, proof_of, refusal};
use crate::stage::{REGION, strict};

const HOST: &str = "shop.example.com";

/// What somebody does to a proof.
type Change = dyn Fn(&mut Value);

fn open(moto: &Moto, aws: &str, words: &[&str]) -> Server {
    let rules = format!("rules:\n- account: '{}'\n  hosts: ['*']\n", moto.seed.account);
    strict(moto.user("ingress"), aws, &rules, words)
}

/// What moto says when something that was signed is another thing now.
fn unfit() -> Refused {
    let reason = "STS refuses with SignatureDoesNotMatch (403): The request signature we calculated \
                  does not match the signature you provided. Check your AWS Secret Access Key and \
                  signing method. Consult the service documentation for details.";
    ("unauthenticated".to_owned(), reason.to_owned())
}

#[test]
fn a_proof_is_no_proof_on_another_connection() {
    let Some(moto) = Moto::shared() else { return };
    let server = open(moto, &moto.url(), &[]);
    let identity = &moto.task("orders").identity;
    let agent = Challenged::at(server.tunnels, HOST);
    let proof = agent.prove(identity);
    // While the first connection is there, and when it has used the proof.
    let thief = Challenged::at(server.tunnels, HOST);
    assert_eq!(thief.hello, agent.hello);
    assert_ne!(thief.nonce, agent.nonce);
    assert_eq!(refusal(thief.answer(&proof)), unfit());
    let registered = agent.answer(&proof).unwrap();
    let thief = Challenged::at(server.tunnels, HOST);
    assert_eq!(refusal(thief.answer(&proof)), unfit());
    drop(registered);
    let thief = Challenged::at(server.tunnels, HOST);
    assert_eq!(refusal(thief.answer(&proof)), unfit());
}

#[test]
fn a_proof_is_no_proof_at_another_ingress() {
    let Some(moto) = Moto::shared() else { return };
    let server = open(moto, &moto.url(), &[]);
    let rules = format!("rules:\n- account: '{}'\n  hosts: ['*']\n", moto.seed.account);
    let elsewhere = crate::stage::ingress(
        &rules,
        &moto.user("ingress").variables(),
        &["--server-id", "mesh.example.org", "--sts-endpoint", &moto.url()],
    );
    // The lying ingress asks for a proof with what the other one wants proved.
    let identity = moto.user("agent");
    let wanted = Challenged::at(elsewhere.tunnels, HOST);
    let mut lured = Challenged::at(server.tunnels, HOST);
    lured.nonce.clone_from(&wanted.nonce);
    assert_eq!((&*wanted.server_id, &wanted.hello), ("mesh.example.org", &lured.hello));
    let proof = lured.prove(identity);
    assert_eq!(refusal(wanted.answer(&proof)), unfit());
}

#[test]
fn a_proof_for_some_hosts_is_none_for_others() {
    let Some(moto) = Moto::shared() else { return };
    let server = open(moto, &moto.url(), &[]);
    let task = moto.task("orders");
    let honest = hello(&[HOST]);
    let mut elsewhere = honest.clone();
    elsewhere["task"] = task.arn.as_str().into();
    let others = [hello(&["pay.example.com"]), hello(&[HOST, "pay.example.com"]), elsewhere];
    for said in others {
        // Somebody between: the agent said one thing and the ingress heard another.
        let mut relay = Challenged::saying(server.tunnels, &said);
        relay.hello = mesh_protocol::proof::digest_hello(honest.to_string().as_bytes());
        let proof = relay.prove(&task.identity);
        assert_eq!(refusal(relay.answer(&proof)), unfit(), "{said}");
    }
}

/// Each field is another one than what was signed: moto refuses.
#[test]
fn no_field_of_a_proof_can_be_changed() {
    let Some(moto) = Moto::shared() else { return };
    let server = open(moto, &moto.url(), &[]);
    let identity = &moto.task("orders").identity;
    let changes: [(&str, &Change); 4] = [
        ("a host of the same region", &|proof| proof["host"] = "sts.eu-central-1.api.aws".into()),
        ("another region and its host", &|proof| {
            proof["host"] = "sts.eu-west-1.amazonaws.com".into();
            proof["region"] = "eu-west-1".into();
        }),
        ("a second earlier or later", &|proof| {
            let date = proof["date"].as_str().unwrap();
            let digit = if date.as_bytes()[14] == b'0' { '1' } else { '0' };
            proof["date"] = format!("{}{digit}Z", &date[..14]).into();
        }),
        ("one bit", &|proof| {
            let signature = proof["signature"].as_str().unwrap();
            let digit = if signature.starts_with('0') { '1' } else { '0' };
            proof["signature"] = format!("{digit}{}", &signature[1..]).into();
        }),
    ];
    for (name, change) in changes {
        let agent = Challenged::at(server.tunnels, HOST);
        let mut proof = agent.prove(identity);
        change(&mut proof);
        assert_eq!(refusal(agent.answer(&proof)), unfit(), "{name}");
    }
    for (name, value, code) in [
        ("access_key_id", &moto.user("agent").access_key_id, "InvalidClientTokenId"),
        (
            "security_token",
            moto.session("other").session_token.as_ref().unwrap(),
            "InvalidClientTokenId",
        ),
    ] {
        let agent = Challenged::at(server.tunnels, HOST);
        let mut proof = agent.prove(identity);
        proof[name] = value.as_str().into();
        let (_, reason) = refusal(agent.answer(&proof));
        let why = "The security token included in the request is invalid.";
        assert_eq!(reason, format!("STS refuses with {code} (403): {why}"), "{name}");
    }
}

/// Refused by our ingress: moto is not even asked.
#[test]
fn a_proof_that_cannot_be_right_is_not_passed_on() {
    let Some(moto) = Moto::shared() else { return };
    let proxy = Proxy::before(moto.address);
    let server = open(moto, &proxy.url(), &[]);
    let set = |name: &'static str, value: &'static str| {
        move |proof: &mut Value| proof[name] = value.into()
    };
    let unknown = "the proof is not for a host of STS that this ingress knows";
    let mismatch = "the proof for sts.eu-central-1.amazonaws.com is not signed for the region \
                    eu-central-1";
    let cases: [(Box<Change>, &str); 11] = [
        (Box::new(set("host", "sts.eu-central-1.amazonaws.com.example.com")), unknown),
        (Box::new(set("host", "ecs.eu-central-1.amazonaws.com")), unknown),
        (Box::new(set("host", "sts.eu-central-1.amazonaws.com:8443")), unknown),
        (Box::new(set("host", "127.0.0.1")), unknown),
        (Box::new(set("host", "a@sts.eu-central-1.amazonaws.com")), unknown),
        (Box::new(set("host", "sts.eu-central-1.amazonaws.com\r\nx: y")), unknown),
        (Box::new(set("region", "eu-west-1")), mismatch),
        (
            Box::new(set("access_key_id", "AKIA/../EXAMPLE0000")),
            "the proof has no valid access key id",
        ),
        (Box::new(set("date", "20261301T000000Z")), "the proof has no valid date"),
        (Box::new(set("signature", "f")), "the proof has no valid signature"),
        (Box::new(set("security_token", "a b")), "the proof has no valid security token"),
    ];
    for (change, expected) in cases {
        let agent = Challenged::at(server.tunnels, HOST);
        let mut proof = agent.prove(&moto.task("orders").identity);
        change(&mut proof);
        let expected = ("unauthenticated".to_owned(), expected.to_owned());
        assert_eq!(refusal(agent.answer(&proof)), expected, "{proof}");
    }
    assert_eq!(proxy.fake.seen().len(), 0);
}

/// Refused by our ingress; moto looks at no dates.
#[test]
fn a_proof_of_another_hour_is_refused_with_the_difference() {
    let Some(moto) = Moto::shared() else { return };
    let proxy = Proxy::before(moto.address);
    let server = open(moto, &proxy.url(), &[]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for (time, direction) in [(now - 3600, "behind"), (now + 3600, "ahead of")] {
        let agent = Challenged::at(server.tunnels, HOST);
        let mut question = agent.question();
        question.time = Some(time);
        let proof = proof_of(question, moto.user("agent"));
        let (code, reason) = refusal(agent.answer(&proof));
        assert_eq!(code, "unauthenticated");
        let (start, end) = reason.split_once(" s ").unwrap();
        let seconds: u64 = start.rsplit(' ').next().unwrap().parse().unwrap();
        assert!((3500..3700).contains(&seconds), "{reason}");
        assert!(
            start.starts_with("the agent's clock is ") && end.starts_with(direction),
            "{reason}"
        );
    }
    assert_eq!(proxy.fake.seen().len(), 0);
}

#[test]
fn sts_sees_the_request_of_the_ingress_and_nothing_of_the_agents_choice() {
    let Some(moto) = Moto::shared() else { return };
    let proxy = Proxy::before(moto.address);
    let server = open(moto, &proxy.url(), &[]);
    let agent = Challenged::at(server.tunnels, HOST);
    let mut proof = agent.prove(&moto.task("orders").identity);
    // What a proof by a signed URL would have, and other attempts.
    proof["url"] = "https://example.com/?X-Amz-Signature=0".into();
    proof["headers"] = json!({ "x-amz-target": "x", "accept": "application/json" });
    proof["body"] = "Action=AssumeRole".into();
    proof["X-Amz-Expires"] = 604_800.into();
    let (nonce, digest) = (agent.nonce.clone(), agent.hello.clone());
    drop(agent.answer(&proof).unwrap());
    let [request] = &proxy.fake.seen()[..] else { panic!("{:?}", proxy.fake.seen()) };
    assert_eq!((request.method(), request.path()), ("POST", "/"));
    assert_eq!(request.body, mesh_protocol::proof::STS_BODY.as_bytes());
    assert_eq!(request.field("host"), Some(&*format!("sts.{REGION}.amazonaws.com")));
    assert_eq!(request.field("x-mesh-nonce"), Some(&*nonce));
    assert_eq!(request.field("x-mesh-hello"), Some(&*digest));
    assert_eq!(request.field("x-mesh-server-id"), Some("mesh.example.com"));
    let authorization = request.field("authorization").unwrap();
    let signed = "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-mesh-hello;\
                  x-mesh-nonce;x-mesh-server-id,";
    assert!(authorization.contains(signed), "{authorization}");
    let known = [
        "authorization",
        "content-length",
        "content-type",
        "host",
        "x-amz-date",
        "x-amz-security-token",
        "x-mesh-hello",
        "x-mesh-nonce",
        "x-mesh-server-id",
        // What any client may say of itself.
        "accept",
        "accept-encoding",
        "user-agent",
    ];
    for line in request.head.lines().skip(1).filter(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap().to_ascii_lowercase();
        assert!(known.contains(&&*name), "{line}");
    }
    assert_ne!(request.field("accept"), Some("application/json"));
}

/// Refused by our ingress.
#[test]
fn a_challenge_is_answered_once_and_by_a_kind_of_proof_that_is_known() {
    let Some(moto) = Moto::shared() else { return };
    let server = open(moto, &moto.url(), &[]);
    let signed_url = json!({ "method": "presigned", "url": "https://sts.amazonaws.com/?x=y" });
    let (code, reason) = refusal(Challenged::at(server.tunnels, HOST).answer(&signed_url));
    assert_eq!(
        (&*code, &*reason),
        ("unauthenticated", "the ingress does not know this kind of proof")
    );

    let mut agent = Challenged::at(server.tunnels, HOST);
    let right = agent.prove(moto.user("agent"));
    let mut wrong = right.clone();
    wrong["signature"] = "0".repeat(64).into();
    for proof in [&wrong, &right] {
        agent.agent.send(PROOF, 0, 0, proof.to_string().as_bytes());
    }
    let (code, _) = refusal(outcome(agent.agent));
    assert!(["invalid", "unauthenticated"].contains(&&*code), "{code}");
    assert_eq!(server.metric("mesh_registrations_total", ""), 0);
}
