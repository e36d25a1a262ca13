//! Real agents with AWS identities before an ingress with rules: whoever signs right and is named
//! by a rule serves its hosts, and nobody else does. Signatures are verified by moto.

use serde_json::Value;

use crate::aws::moto::Moto;
use crate::aws::seed::Identity;
use crate::peers::process::Process;
use crate::peers::service::Service;
use crate::raw::{Challenged, refusal};
use crate::stage::{SERVER_ID, client, decisions, get, lone_client, services, strict};

/// The target of the lines about decisions.
const AUDIT: &str = "[mesh_ingress::audit]";

fn rules(moto: &Moto) -> String {
    format!(
        "rules:\n\
         - principal: {}\n  hosts: [orders.example.com]\n\
         - principal: arn:aws:iam::{account}:user/edge/berlin/*\n  hosts: ['*.berlin.example.com']\n\
         - account: '{}'\n  hosts: [foreign.example.com]\n",
        moto.seed.roles["agent"],
        moto.seed.foreign_account,
        account = moto.seed.account,
    )
}

#[test]
fn sessions_of_allowed_roles_serve_every_host() {
    let Some(moto) = Moto::shared() else { return };
    let role = &moto.seed.roles["agent"];
    let aws = moto.url();
    let server = strict(moto.user("ingress"), &aws, "", &["--allowed-role-arns", role]);
    let service = Service::start("a");
    let session = moto.session("operator");
    let agent = client(&aws, &server, &service, &session.variables(), &["--host", "*"]);
    server.wait_available(1);
    assert_eq!(get(&server, "anything.example.org").status, 200);
    agent.wait_log(&format!("this agent is {}", session.arn));

    // Refused by our ingress: another role, and a user.
    let strangers = [moto.session("other"), moto.user("agent")];
    for stranger in strangers {
        let host = ["--host", "shop.example.com"];
        let agent = client(&aws, &server, &service, &stranger.variables(), &host);
        agent.wait_log(&format!(
            "the ingress refused this agent: refused (Forbidden): {} may not register \
             shop.example.com: no rule is about this identity",
            stranger.arn
        ));
    }
    assert_eq!(services(&server).len(), 1);
}

#[test]
fn rules_give_hosts_to_roles_users_and_accounts() {
    let Some(moto) = Moto::shared() else { return };
    let aws = moto.url();
    let server = strict(moto.user("ingress"), &aws, &rules(moto), &[]);
    let service = Service::start("a");
    let (orders, pathed) = (moto.session("operator"), moto.user("pathed"));
    let foreign = moto.session("foreign");
    let cases =
        [(orders, "orders.example.com"), (pathed, "a.berlin.example.com"), (foreign, FOREIGN)];
    let agents: Vec<Process> = cases
        .iter()
        .enumerate()
        .map(|(index, (identity, host))| {
            // Once by the program that is an agent alone.
            let start = if index == 1 { lone_client } else { client };
            let agent = start(&aws, &server, &service, &identity.variables(), &["--host", host]);
            server.wait_available(u32::try_from(index).unwrap() + 1);
            assert_eq!(get(&server, host).text(), "a: GET /hello HTTP/1.1\n");
            agent
        })
        .collect();
    for (told, (identity, host)) in services(&server).iter().zip(cases) {
        assert_eq!(told["principal"], *identity.arn);
        assert_eq!((&told["proof"], &told["hosts"][0]), (&"iam".into(), &host.into()));
        // No rule asks about ECS.
        assert_eq!(told["ecs"], Value::Null);
        let line = format!("registered {host} as {} (by iam)", identity.arn);
        server.process.expect_log(&line, 1);
    }
    assert_eq!(server.metric("mesh_registrations_total", "method=\"iam\""), 3);
    assert_eq!(server.metric("mesh_registrations_total", ""), 3);
    let checks = "mesh_identity_checks_total";
    assert_eq!(server.metric(checks, "service=\"sts\",outcome=\"answered\""), 3);
    assert_eq!(server.metric(checks, ""), 3);
    server.process.expect_log(AUDIT, 3);
    drop(agents);
}

const FOREIGN: &str = "foreign.example.com";

#[test]
fn every_decision_is_one_line_of_the_audit() {
    let Some(moto) = Moto::shared() else { return };
    let server = strict(moto.user("ingress"), &moto.url(), &rules(moto), &[]);
    let apply = |host: &str, identity: &Identity| {
        let agent = Challenged::at(server.tunnels, host);
        let proof = agent.prove(identity);
        agent.answer(&proof)
    };
    let operator = moto.session("operator");
    let kept = apply("orders.example.com", operator).unwrap();
    // Refused by our ingress.
    let (code, reason) = refusal(apply("shop.example.com", operator));
    let expected = format!("{} may not register shop.example.com: no rule for it", operator.arn);
    assert_eq!((&*code, reason), ("forbidden", expected));
    // Refused by moto.
    let (code, reason) = refusal(apply("orders.example.com", &operator.with_wrong_secret()));
    let expected = "STS refuses with SignatureDoesNotMatch (403): The request signature we \
                    calculated does not match the signature you provided. Check your AWS Secret \
                    Access Key and signing method. Consult the service documentation for details.";
    assert_eq!((&*code, &*reason), ("unauthenticated", expected));
    assert_eq!(decisions(&server), 3);
    server.process.expect_log(AUDIT, 3);
    let log = server.process.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains(AUDIT)).collect();
    assert!(lines[1].contains(&format!("({}), who asked for", operator.arn)), "{}", lines[1]);
    // Nobody proved to be anybody.
    assert!(!lines[2].contains("arn:") && lines[2].contains("orders.example.com"), "{}", lines[2]);
    let refused = "mesh_registrations_refused_total";
    assert_eq!(server.metric(refused, "forbidden"), 1);
    assert_eq!(server.metric(refused, "unauthenticated"), 1);
    drop(kept);
}

/// Refused by moto, all but the last one: AWS lets everybody ask who they are, whatever their
/// policies say, and moto does as well.
#[test]
fn wrong_keys_and_wrong_session_tokens_prove_nothing() {
    let Some(moto) = Moto::shared() else { return };
    let aws = moto.url();
    let everybody = format!("rules:\n- account: '{}'\n  hosts: ['*']\n", moto.seed.account);
    let server = strict(moto.user("ingress"), &aws, &everybody, &[]);
    let service = Service::start("a");
    let operator = moto.session("operator");
    let with_token = |session_token| Identity { session_token, ..operator.clone() };
    let others = moto.session("other").session_token.clone();
    let cases = [
        (moto.user("agent").with_wrong_secret(), "SignatureDoesNotMatch"),
        (operator.with_wrong_secret(), "SignatureDoesNotMatch"),
        (Identity::unknown(), "InvalidClientTokenId"),
        (with_token(None), "InvalidClientTokenId"),
        (with_token(others), "InvalidClientTokenId"),
    ];
    for (identity, code) in cases {
        let host = ["--host", "shop.example.com"];
        let agent = client(&aws, &server, &service, &identity.variables(), &host);
        agent.wait_log(&format!(
            "the ingress refused this agent: refused (Unauthenticated): STS refuses with {code} \
             (403)"
        ));
        agent.wait_log("connecting again in");
        agent.wait_log(&format!(
            "no ingress that asks for this agent's AWS credentials will accept them now: STS \
             refuses with {code} (403): "
        ));
    }
    assert_eq!(server.metric("mesh_registrations_total", ""), 0);
    let powerless = moto.user("powerless");
    let host = ["--host", "shop.example.com"];
    let _agent = client(&aws, &server, &service, &powerless.variables(), &host);
    server.wait_available(1);
    assert_eq!(services(&server)[0]["principal"], *powerless.arn);
}

/// Refused by our ingress, before moto is asked.
#[test]
fn whoever_proves_no_identity_learns_nothing() {
    let Some(moto) = Moto::shared() else { return };
    let server = strict(moto.user("ingress"), &moto.url(), &rules(moto), &[]);
    let hosts = ["orders.example.com", "unknown.example.com", "*"];
    let refusals = hosts.map(|host| {
        let agent = Challenged::at(server.tunnels, host);
        assert_eq!(agent.server_id, SERVER_ID);
        let mut proof = agent.prove(moto.session("operator"));
        proof["signature"] = "f".repeat(64).into();
        refusal(agent.answer(&proof))
    });
    // Whether there is a rule for the host, or not.
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "{refusals:?}");
    let (_, reason) = &refusals[0];
    let telling = ["example.com", "arn:", "rule", &moto.seed.account, "principal"];
    assert!(!telling.iter().any(|word| reason.contains(word)), "{reason}");
}

/// Refused by the agent itself.
#[test]
fn an_agent_gives_no_proof_to_an_ingress_with_another_name() {
    let Some(moto) = Moto::shared() else { return };
    let aws = moto.url();
    let server = strict(moto.user("ingress"), &aws, &rules(moto), &[]);
    let service = Service::start("a");
    let variables = moto.session("operator").variables();
    let words = ["--host", "orders.example.com", "--server-id", "mesh.example.org"];
    let mut environment = variables;
    environment.push(("AWS_ENDPOINT_URL", aws));
    let agent = crate::stage::agent(server.tunnels, &service, &[], &environment, &words);
    agent.wait_log(&format!(
        "the ingress calls itself \"{SERVER_ID}\", and this agent dialled \"mesh.example.org\""
    ));
    agent.wait_log("connecting again in");
    assert_eq!(server.metric("mesh_identity_checks_total", ""), 0);
    assert_eq!(server.metric("mesh_registrations_total", ""), 0);
}
