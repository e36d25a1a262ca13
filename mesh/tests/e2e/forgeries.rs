//! Proofs by IAM that are not what they seem, and answers of STS that were forged: the ingress asks
//! STS exactly one thing, at a host of its own choice, and believes nothing but a plain answer.

use std::net::TcpListener;

use mesh_protocol::control::{IamProof, Proof};
use mesh_protocol::proof::{STS_BODY, STS_CONTENT_TYPE, digest_hello};

use crate::fakes::server::{Fake, Reply};
use crate::fakes::sts;
use crate::harness::fortress::{Fortress, ROLE, ROLE_HOST, SERVER_ID, Stranger, date, iam_proof};
use crate::peers::place::own_address;
use crate::peers::wire::wait_until;

/// What STS says of somebody else.
const MALLORY: &str = "arn:aws:iam::666666666666:user/mallory";

/// A good proof with one thing changed.
fn with(change: impl FnOnce(&mut IamProof)) -> IamProof {
    let mut proof = iam_proof();
    change(&mut proof);
    proof
}

fn tried(fortress: &Fortress, proof: IamProof) -> Stranger {
    let mut stranger = fortress.stranger().greet(ROLE_HOST);
    stranger.prove(Proof::Iam(proof));
    stranger
}

/// An ingress that asks this STS.
fn before(fake: &Fake) -> Fortress {
    Fortress::start(&["--sts-endpoint", &fake.url()])
}

/// Hosts that look like STS to one who reads them otherwise.
const FALSE_HOSTS: &[&str] = &[
    "",
    ".",
    "sts",
    "amazonaws.com",
    "sts.amazonaws.com.evil.example",
    "sts.eu-central-1.amazonaws.com.evil.example",
    "evil.example/sts.eu-central-1.amazonaws.com",
    "evilsts.eu-central-1.amazonaws.com",
    "evil.sts.eu-central-1.amazonaws.com",
    "sts.eu-central-1.evil.amazonaws.com",
    "sts.eu-central-1.amazonaws.com@evil.example",
    "sts.eu-central-1.amazonaws.com:443",
    "sts.eu-central-1.amazonaws.com:8443",
    "sts.eu-central-1.amazonaws.com.",
    "STS.EU-CENTRAL-1.AMAZONAWS.COM",
    "sts.EU-central-1.amazonaws.com",
    "sts.eu-central-1.amazonaws.com ",
    " sts.eu-central-1.amazonaws.com",
    "sts.eu-central-1.amazonaws.com/",
    "sts.eu-central-1.amazonaws.com/?",
    "sts.eu-central-1.amazonaws.com?x=",
    "sts.eu-central-1.amazonaws.com#",
    "sts.eu-central-1.amazonaws.com\\",
    "sts.eu-central-1.amazonaws.com%2eevil.example",
    "sts.eu-central-1.amazonaws%2ecom",
    "sts%2eeu-central-1.amazonaws.com",
    "sts.eu-central-1.amazonaws.com%00.evil.example",
    "sts.eu-central-1.amazonaws.com\0.evil.example",
    "sts.eu-central-1.amazonaws.com\r\nx-evil: 1",
    "sts.eu-central-1.amazonaws.com\nhost: evil.example",
    "sts.eu-central-1.am\u{430}zonaws.com",
    "sts.eu-central-1\u{3002}amazonaws.com",
    "sts.eu\u{2011}central-1.amazonaws.com",
    "sts.evil-region-1.amazonaws.com",
    "sts..amazonaws.com",
    "sts.*.amazonaws.com",
    "s3.eu-central-1.amazonaws.com",
    "sts.eu-central-1.amazonaws.com.cn",
    "sts.cn-north-1.amazonaws.com",
    "sts-fips.eu-central-1.amazonaws.com",
    "bucket.sts.amazonaws.com",
    "localhost",
    "0.0.0.0",
    "169.254.169.254",
    "169.254.170.2",
    "[::1]",
    "2852039166",
    "0x7f000001",
];

/// Those, and hosts that lead to `trap`.
fn forged_hosts(trap: &str) -> Vec<String> {
    let ip = trap.split(':').next().unwrap();
    let trapped = [
        trap.to_owned(),
        ip.to_owned(),
        format!("{trap}/"),
        format!("http://{trap}"),
        format!("sts.eu-central-1.amazonaws.com@{trap}"),
        format!("sts.eu-central-1.amazonaws.com:x@{trap}"),
        format!("{trap}#sts.eu-central-1.amazonaws.com"),
        format!("{trap}?.sts.eu-central-1.amazonaws.com"),
        format!("{trap}/.sts.eu-central-1.amazonaws.com"),
        format!("{trap}\\.sts.eu-central-1.amazonaws.com"),
    ];
    FALSE_HOSTS.iter().map(|host| (*host).to_owned()).chain(trapped).collect()
}

#[test]
fn a_host_that_is_not_of_sts_is_never_connected_to() {
    let trap = TcpListener::bind(own_address()).unwrap();
    trap.set_nonblocking(true).unwrap();
    let fake = sts::scripted(vec![sts::identity(ROLE)]);
    let asking_aws = Fortress::start(&[]);
    let asking_fake = before(&fake);
    for fortress in [&asking_aws, &asking_fake] {
        for host in forged_hosts(&trap.local_addr().unwrap().to_string()) {
            let stranger = tried(fortress, with(|proof| proof.host = host.clone()));
            let sentence = fortress.turned_away(stranger, &host);
            assert!(sentence.contains(r#""code":"unauthenticated""#), "{host:?}: {sentence}");
            assert!(sentence.contains("the proof "), "{host:?}: {sentence}");
        }
        assert_eq!(fortress.asked_sts(), 0);
        fortress.assert_unharmed();
    }
    assert!(trap.accept().is_err(), "somebody connected to a forged host");
    assert_eq!(fake.seen().len(), 0);
}

#[test]
fn fields_that_are_more_than_they_should_be_reach_nobody() {
    let fake = sts::scripted(vec![sts::identity(ROLE)]);
    let fortress = before(&fake);
    let long = "A".repeat(8 * 1024 + 1);
    let smuggled = [
        "\r\nx-evil: 1",
        "\nx-evil: 1",
        "\r\n\r\nGET / HTTP/1.1",
        " ",
        "\t",
        "\0",
        ",",
        ";",
        "\"",
        "/../",
        "%0d%0a",
        "\u{85}x-evil: 1",
        "\u{2028}x-evil: 1",
        "\u{10a}\u{10d}",
        "é",
        ", SignedHeaders=host",
        "/us-east-1/s3/aws4_request",
    ];
    type Change = fn(&mut IamProof, &str);
    let fields: [(&str, Change); 6] = [
        ("host", |proof, text| proof.host.push_str(text)),
        ("region", |proof, text| proof.region.push_str(text)),
        ("access_key_id", |proof, text| proof.access_key_id.push_str(text)),
        ("date", |proof, text| proof.date.push_str(text)),
        ("signature", |proof, text| proof.signature.push_str(text)),
        ("security_token", |proof, text| {
            proof.security_token.as_mut().unwrap().push_str(text);
        }),
    ];
    for (name, change) in fields {
        for text in smuggled.iter().copied().chain([&*long]) {
            // Session tokens are opaque, and their letters are those of Base64.
            if name == "security_token" && text.starts_with("/us-east-1") {
                continue;
            }
            let case = format!("{name} with {:?}", &text[..text.len().min(30)]);
            let sentence =
                fortress.turned_away(tried(&fortress, with(|proof| change(proof, text))), &case);
            let shown: String = text.chars().filter(|byte| !byte.is_control()).collect();
            assert!(shown.len() < 3 || !sentence.contains(&shown), "{case}: {sentence}");
        }
    }
    assert_eq!((fortress.asked_sts(), fake.seen().len()), (0, 0));
    fortress.assert_unharmed();
}

#[test]
fn fields_that_are_less_than_they_should_be_reach_nobody() {
    let fake = sts::scripted(vec![sts::identity(ROLE)]);
    let fortress = before(&fake);
    type Change = fn(&mut IamProof);
    let others: [(&str, Change); 10] = [
        ("a region that is not the host's", |proof| proof.region = "us-east-1".to_owned()),
        ("no region", |proof| proof.region.clear()),
        ("no key", |proof| proof.access_key_id.clear()),
        ("a key in small letters", |proof| proof.access_key_id.make_ascii_lowercase()),
        ("no date", |proof| proof.date.clear()),
        ("a date of the calendar of nobody", |proof| proof.date = "20260230T000000Z".to_owned()),
        ("a date in other digits", |proof| proof.date = "２０２６1120T161426Z".to_owned()),
        ("no signature", |proof| proof.signature.clear()),
        ("a signature in capitals", |proof| proof.signature.make_ascii_uppercase()),
        ("an empty session token", |proof| proof.security_token = Some(String::new())),
    ];
    for (name, change) in others {
        let sentence = fortress.turned_away(tried(&fortress, with(change)), name);
        assert!(sentence.contains("the proof "), "{name}: {sentence}");
    }
    assert_eq!((fortress.asked_sts(), fake.seen().len()), (0, 0));
    fortress.assert_unharmed();
}

#[test]
fn a_proof_of_another_time_is_not_passed_on() {
    let fake = sts::scripted(vec![sts::identity(ROLE)]);
    let fortress = before(&fake);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    for (seconds, word) in [(now - 400, "behind"), (now + 400, "ahead of"), (0, "behind")] {
        let proof = with(|proof| proof.date = date(seconds));
        let sentence = fortress.turned_away(tried(&fortress, proof), word);
        assert!(sentence.contains("the agent's clock is"), "{sentence}");
        assert!(sentence.contains(&format!(" s {word} the ingress's")), "{sentence}");
    }
    assert_eq!(fake.seen().len(), 0);
    fortress.assert_unharmed();
}

/// Whatever else is in a proof, the question is always the same.
#[test]
fn sts_is_asked_one_question_and_it_is_the_ingresss_own() {
    let fake = sts::scripted(vec![sts::identity(ROLE)]);
    let fortress = before(&fake);
    let mut stranger = fortress.stranger().greet(ROLE_HOST);
    let proof = serde_json::to_string(&Proof::Iam(iam_proof())).unwrap();
    let more = r#"{"url":"https://evil.example/?Action=GetSessionToken","method_":"GET","port":1,
        "headers":{"host":"evil.example","x-mesh-nonce":"0","x-evil":"1"},"path":"/evil",
        "signed_headers":"host","body":"Action=AssumeRole","action":"AssumeRole","nonce":"0",
        "X-Amz-Signature":"0","X-Amz-Expires":"604800","server_id":"evil.example","hello":"0","#;
    stranger.send_proof(format!("{more}{}", &proof[1..]).as_bytes());
    let (nonce, hello) = (stranger.nonce().to_owned(), digest_hello(stranger.hello.as_bytes()));
    drop(stranger.welcome());
    let seen = fake.seen();
    let [request] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((request.method(), request.path()), ("POST", "/"));
    assert_eq!(request.body, STS_BODY.as_bytes());
    for (name, value) in [
        ("host", "sts.eu-central-1.amazonaws.com"),
        ("content-type", STS_CONTENT_TYPE),
        ("x-mesh-server-id", SERVER_ID),
        ("x-mesh-nonce", &nonce),
        ("x-mesh-hello", &hello),
    ] {
        assert_eq!(request.field(name), Some(value));
        let count = request.head.to_lowercase().matches(&format!("\r\n{name}:")).count();
        assert_eq!(count, 1, "{}", request.head);
    }
    let authorization = request.field("authorization").unwrap();
    let signed = "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-mesh-hello;\
                  x-mesh-nonce;x-mesh-server-id, ";
    assert!(authorization.contains(signed), "{authorization}");
    let bytes = String::from_utf8(request.bytes()).unwrap();
    assert!(!bytes.to_lowercase().contains("evil") && !bytes.contains("AssumeRole"), "{bytes}");
    fortress.server.wait_metric("mesh_tunnels", 1);
    fortress.assert_unharmed();
}

#[test]
fn whoever_sts_does_not_name_in_so_many_words_gets_nothing() {
    let portal = Fake::start(|_| sts::identity(ROLE));
    let mut cases = sts::forgeries(ROLE);
    cases.extend([
        ("somebody else", sts::identity(MALLORY)),
        ("the role's name in another account", sts::identity(&ROLE.replace("1234", "6666"))),
        ("a role whose name only begins so", sts::identity(&ROLE.replace("-role/", "-role2/"))),
        ("a user of the role's name", sts::identity("arn:aws:iam::123456789012:user/secret-role")),
        ("no ARN", sts::identity("")),
        ("an ARN of two lines", sts::identity(&ROLE.replace("session", "x\r\n2026 ERROR x"))),
        ("a redirect", sts::redirect(&format!("{}/", portal.url()))),
        ("a page", sts::page(ROLE)),
        ("more than 64 KiB", sts::large(ROLE, 70_000)),
        ("no end", sts::endless(ROLE)),
        ("half of it", sts::torn(ROLE)),
        ("an empty answer", Reply::new(200, "text/xml", "")),
        ("a wrong signature", sts::refusal(403, "SignatureDoesNotMatch", "It is not of\nhonest")),
        ("a good answer with 403", { Reply::new(403, "text/xml", &sts::identity_xml(ROLE)) }),
    ]);
    for (name, reply) in cases {
        let fake = Fake::start(move |_| reply.clone());
        let fortress = before(&fake);
        let mut stranger = tried(&fortress, iam_proof());
        let from = stranger.agent.wire.stream().local_addr().unwrap();
        let sentence = stranger.refusal(name);
        stranger.agent.wait_end();
        assert!(!sentence.contains("honest") && !sentence.contains("mallory\\n"), "{sentence}");
        let line = format!("refused the agent from {from}");
        fortress.server.process.wait_log(&line);
        fortress.server.process.expect_log(&line, 1);
        assert_eq!(fortress.server.metric("mesh_tunnels", ""), 1, "{name}: {sentence}");
        assert!(fake.count("GetCallerIdentity") >= 1, "{name}");
        fortress.assert_unharmed();
    }
    assert_eq!(portal.seen().len(), 0, "no redirect is followed");
}

#[test]
fn an_sts_that_never_answers_costs_its_askers_their_time_and_nobody_else() {
    let silent = sts::scripted(vec![Reply::Silence]);
    let fortress = before(&silent);
    let mut waiting: Vec<_> = (0..40).map(|_| tried(&fortress, iam_proof())).collect();
    silent.wait_count("GetCallerIdentity", 1);
    // Neither callers, nor the health port, nor those with tokens wait for it.
    fortress.assert_unharmed();
    let mut tenant = fortress.stranger().greet(crate::harness::fortress::TENANT);
    let proof = tenant.token_proof(crate::harness::fortress::TENANT_TOKEN);
    tenant.prove(Proof::Token(proof));
    drop(tenant.welcome());
    // An answer that comes late changes nothing for one who has gone.
    let patient = waiting.swap_remove(0);
    drop(waiting);
    wait_until("those who left are gone", || {
        fortress.server.process.log_count("left before it was registered") == 39
    });
    let sentence = fortress.turned_away(patient, "a silent STS");
    assert!(sentence.contains("the ingress cannot ask STS who this agent is"), "{sentence}");
    fortress.assert_unharmed();
}
