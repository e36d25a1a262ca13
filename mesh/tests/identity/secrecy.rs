//! Nothing that proves an identity is in any log or on any page, at the most talkative level, when
//! it works and when it does not.

use crate::aws::moto::Moto;
use crate::aws::seed::Identity;
use crate::fakes::container::TaskEndpoints;
use crate::fakes::proxy::{Outage, Proxy};
use crate::fakes::server::Request;
use crate::peers::place::own_address;
use crate::peers::process::Process;
use crate::peers::service::Service;
use crate::stage::{REGION, SERVER_ID, Scratch, Variables, agent, client, get, ingress, strict};

const TRACE: [&str; 2] = ["--log-level", "trace"];
const TOKEN: &str = "5c0d0a3f6d0b4f0e9a7c1f2e8b3d4c5a";
const WRONG_TOKEN: &str = "a4e1d7c2b9f04836a5d2e1c7b8f90342";
const AUTHORIZATION: &str = "Basic Y29udGFpbmVyOnNlY3JldA";

#[test]
fn no_log_and_no_page_has_anything_that_proves_an_identity() {
    let Some(moto) = Moto::shared() else { return };
    let proxy = Proxy::before(moto.address);
    let rules = format!(
        "rules:\n- principal: {}\n  cluster: production\n  hosts: ['*.example.com']\n",
        moto.seed.roles["agent"]
    );
    let tokens = Scratch::new().file("tokens", &format!("edge-1 {TOKEN} edge.example.com\n"));
    let words = [&TRACE[..], &["--token-file", tokens.to_str().unwrap()]].concat();
    let words = [&words[..], &["--ecs-recheck-interval", "1"]].concat();
    let server = strict(moto.user("ingress"), &proxy.url(), &rules, &words);
    let (service, task) = (Service::start("a"), moto.task("orders"));
    let endpoints = TaskEndpoints::start(own_address(), task, "orders");
    endpoints.demand(AUTHORIZATION);
    let mut by_container = endpoints.variables_in_full();
    by_container.push(("AWS_CONTAINER_AUTHORIZATION_TOKEN", AUTHORIZATION.to_owned()));
    let wrong = task.identity.with_wrong_secret();
    let (orders, edge) = (["--host", "orders.example.com"], ["--host", "edge.example.com"]);
    let start = |variables: &_, words: &[&str]| {
        client(&proxy.url(), &server, &service, variables, &[&TRACE, words].concat())
    };
    let agents: [Process; 4] = [
        start(&by_container, &orders),
        start(&vec![("MESH_TOKEN", TOKEN.to_owned())], &edge),
        start(&vec![("MESH_TOKEN", WRONG_TOKEN.to_owned())], &edge),
        start(&wrong.variables(), &[&orders[..], &["--task-arn", &task.arn]].concat()),
    ];
    server.wait_available(2);
    assert_eq!(get(&server, "orders.example.com").status, 200);
    agents[2].wait_log("the ingress does not know this agent's token");
    agents[3].wait_log("STS refuses with SignatureDoesNotMatch (403)");
    // Trouble talks most.
    proxy.outage(Some(Outage::Unavailable));
    agents[3].wait_log("the ingress cannot ask STS who this agent is");
    server.process.wait_log("ECS cannot be asked about registered agents");

    let secrets = secrets(&[&task.identity, &wrong, moto.user("ingress")], &proxy.fake.seen());
    let mut texts: Vec<_> = ["/debug/services", "/metrics", "/health", "/ready"]
        .map(|page| (page.to_owned(), server.page(page).text()))
        .into();
    for (index, process) in agents.iter().chain([&server.process]).enumerate() {
        let log = process.log();
        assert!(log.contains(" TRACE ") || log.contains(" DEBUG "), "{index} is not talkative");
        texts.push((format!("log {index}"), log));
        texts.push((format!("output {index}"), process.said().join("\n")));
    }
    for (name, text) in &texts {
        let found = secrets.iter().find(|secret| text.contains(secret.as_str()));
        assert_eq!(found, None, "{name}");
    }
}

/// Whoever mixes its words up is told so without them: no line is shown while files are read anew.
#[test]
fn a_token_in_the_place_of_its_name_is_not_logged() {
    let good = format!("edge-1 {TOKEN} edge.example.com\n");
    let folder = Scratch::new();
    let file = folder.file("tokens", &good);
    let words = ["--server-id", SERVER_ID, "--token-file", file.to_str().unwrap()];
    let server = ingress("", &Variables::new(), &[&TRACE[..], &words].concat());
    for (line, reason) in [
        (format!("{TOKEN} edge-1\n"), "line 1: the second word is shorter than"),
        (format!("{TOKEN} edge.example.com\n"), "line 1: the second word looks like a host"),
        (format!("edge-1 edge.example.com {TOKEN}/+=\n"), "line 1: the third word is not a list"),
    ] {
        folder.replace("tokens", &line);
        server.process.signal("HUP");
        server.process.wait_log(reason);
    }
    assert!(!server.process.log().contains(TOKEN));
}

#[test]
fn a_password_in_the_address_of_an_endpoint_is_not_logged() {
    let rules = "rules:\n- account: '123456789012'\n  hosts: ['*']\n";
    let server = ingress(rules, &Variables::new(), &["--server-id", SERVER_ID]);
    let service = Service::start("a");
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"] {
        let variables = vec![
            (name, format!("http://user:{AUTHORIZATION}@127.0.0.1:9")),
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "0123456789abcdef".to_owned()),
            ("AWS_REGION", REGION.to_owned()),
        ];
        let words = [&TRACE[..], &["--server-id", SERVER_ID]].concat();
        let agent = agent(server.tunnels, &service, &["edge.example.com"], &variables, &words);
        agent.wait_log(&format!("{name}: a user name or password in a URL is not supported"));
        assert!(!agent.log().contains(AUTHORIZATION));
    }
}

/// Everything that must not be found: what the test gave out, and every signature that was made.
fn secrets(identities: &[&Identity], asked: &[Request]) -> Vec<String> {
    let authorization = AUTHORIZATION.trim_start_matches("Basic ");
    let mut secrets: Vec<_> = [TOKEN, WRONG_TOKEN, authorization].map(str::to_owned).into();
    for Identity { secret_access_key, session_token, .. } in identities {
        secrets.push(secret_access_key.clone());
        secrets.extend(session_token.clone());
    }
    assert!(asked.iter().any(|request| request.action() == "DescribeTasks"), "the ingress signed");
    secrets.extend(asked.iter().filter_map(|request| {
        let (_, signature) = request.field("authorization")?.rsplit_once("Signature=")?;
        Some(signature.to_owned())
    }));
    assert!(secrets.iter().all(|secret| secret.len() >= 16), "{secrets:?}");
    secrets
}
