//! STS says what moto never does: that a session is over, that it is busy, or something forged.
//! The ingress believes only an answer to its own question.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use crate::aws::seed::Identity;
use crate::fakes::clock;
use crate::fakes::server::{Fake, Reply};
use crate::fakes::sts;
use crate::peers::process::Server;
use crate::peers::service::Service;
use crate::raw::{Challenged, Outcome, refusal};
use crate::stage::{client, strict};

const ARN: &str = "arn:aws:sts::123456789012:assumed-role/mesh-agent/0123456789abcdef";
const RULES: &str = "rules:\n- account: '123456789012'\n  hosts: ['*']\n";

fn before(sts: &Fake) -> Server {
    strict(&Identity::unknown(), &sts.url(), RULES, &[])
}

/// An agent by hand; nothing where there is no botocore to sign.
fn apply(server: &Server) -> Option<Outcome> {
    crate::aws::python::script("sign.py")?;
    let agent = Challenged::at(server.tunnels, "shop.example.com");
    let proof = agent.prove(&Identity::unknown());
    Some(agent.answer(&proof))
}

/// Refused by STS. In AWS such a session has signed right, and an hour too late.
#[test]
fn an_agent_learns_that_its_session_is_over() {
    let message = "The security token included in the request is expired";
    let sts = sts::scripted(vec![sts::refusal(403, "ExpiredToken", message)]);
    let (server, service) = (before(&sts), Service::start("a"));
    let variables = Identity::unknown().variables();
    let host = ["--host", "shop.example.com"];
    let agent = client(&sts.url(), &server, &service, &variables, &host);
    agent.wait_log(
        "the ingress refused this agent: refused (Unauthenticated): STS refuses with ExpiredToken \
         (403): The security token included in the request is expired",
    );
    agent.wait_log("connecting again in");
    agent.wait_log(
        "no ingress that asks for this agent's AWS credentials will accept them now: STS refuses with \
         ExpiredToken (403): The security token included in the request is expired",
    );
}

/// As when its role is deleted and made anew: its session ends long before its time, and the container
/// endpoint has another one.
#[test]
fn an_agent_whose_credentials_were_taken_back_looks_for_others() {
    let key = Arc::new(Mutex::new("ASIAFORMER"));
    let held = Arc::clone(&key);
    let container = Fake::start(move |_| {
        let expiration = clock::from_now(Duration::from_secs(6 * 3600));
        Reply::json(
            200,
            &json!({ "AccessKeyId": *held.lock().unwrap(), "SecretAccessKey": "secret",
                     "Token": "token", "Expiration": expiration }),
        )
    });
    let sts = Fake::start(|request| {
        let is_former = request.field("authorization").is_some_and(|it| it.contains("ASIAFORMER"));
        let message = "The security token included in the request is invalid";
        if is_former {
            sts::refusal(403, "InvalidClientTokenId", message)
        } else {
            sts::identity(ARN)
        }
    });
    let (server, service) = (before(&sts), Service::start("a"));
    let variables = vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.url())];
    let host = ["--host", "shop.example.com"];
    let agent = client(&sts.url(), &server, &service, &variables, &host);
    // Its look at itself asks for others too, and is over then.
    agent.wait_log("AWS credentials will accept them now: STS refuses with InvalidClientTokenId");
    sts.wait_count("GetCallerIdentity", sts.count("GetCallerIdentity") + 2);
    *key.lock().unwrap() = "ASIALATTER";
    server.wait_available(1);
}

#[test]
fn a_busy_sts_is_no_fault_of_the_agent() {
    let elsewhere = sts::scripted(vec![sts::identity(ARN)]);
    let trouble = [
        (sts::throttle(), "answers 503 (Throttling)"),
        (sts::refusal(400, "Throttling", "Rate exceeded"), "answers 400 (Throttling)"),
        (sts::broken(), "answers 500 (InternalFailure)"),
        (sts::redirect(&elsewhere.url()), "answers 307, a redirect"),
        (sts::page(ARN), ""),
        (sts::torn(ARN), ""),
        (sts::large(ARN, 1 << 20), ""),
        (sts::endless(ARN), ""),
        (Reply::Close, ""),
    ];
    for (reply, complaint) in trouble {
        let sts = sts::scripted(vec![reply, sts::identity(ARN)]);
        let server = before(&sts);
        let Some(outcome) = apply(&server) else { return };
        let (code, reason) = refusal(outcome);
        let expected = "the ingress cannot ask STS who this agent is";
        assert_eq!((&*code, &*reason), ("unavailable", expected), "{complaint}");
        server.process.wait_log("STS cannot be asked who an agent is: ");
        assert!(server.process.log().contains(complaint), "{complaint}");
        // The next one is lucky.
        drop(apply(&server).unwrap().unwrap());
    }
    assert_eq!(elsewhere.seen().len(), 0, "nobody follows");
}

/// STS closes connections that rest, whenever it wants: that is no outage.
#[test]
fn a_connection_that_sts_has_closed_meanwhile_costs_nobody_anything() {
    let Reply::Bytes(bytes) = sts::identity(ARN) else { panic!("it goes on after an answer") };
    let sts = sts::scripted(vec![Reply::Last(bytes)]);
    let server = before(&sts);
    for _ in 0..5 {
        let Some(outcome) = apply(&server) else { return };
        drop(outcome.unwrap());
    }
    assert_eq!(sts.count("GetCallerIdentity"), 5);
}

/// Refused by our ingress.
#[test]
fn forged_answers_of_sts_name_nobody() {
    let forgeries = sts::forgeries(ARN);
    let names: Vec<_> = forgeries.iter().map(|(name, _)| *name).collect();
    let sts = sts::scripted(forgeries.into_iter().map(|(_, reply)| reply).collect());
    let server = before(&sts);
    for name in names {
        let Some(outcome) = apply(&server) else { return };
        let (_, reason) = refusal(outcome);
        assert!(!reason.contains("mesh-agent"), "{name}: {reason}");
    }
    assert_eq!(server.metric("mesh_registrations_total", ""), 0);
    assert_eq!(server.process.log_count(ARN), 0);
}

/// Refused by our ingress.
#[test]
fn an_identity_that_makes_no_sense_is_refused() {
    let strange = ["arn:aws:iam::123456789012:role/mesh-agent", "arn:aws:s3:::bucket", "x"];
    let sts = sts::scripted(strange.iter().map(|arn| sts::identity(arn)).collect());
    let server = before(&sts);
    for arn in strange {
        let Some(outcome) = apply(&server) else { return };
        let (code, reason) = refusal(outcome);
        let is_told = reason.contains("is not an identity that this ingress knows");
        assert!(code == "unavailable" || code == "forbidden" && is_told, "{arn}: {code} {reason}");
    }
    assert_eq!(sts.count("GetCallerIdentity"), strange.len());
    assert_eq!(server.metric("mesh_registrations_total", ""), 0);
}
