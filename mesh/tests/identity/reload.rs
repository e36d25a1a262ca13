//! Rules change while everything runs: what they take is withdrawn, what they give is there for
//! the next try, and a file that makes no sense changes nothing.

use crate::aws::moto::Moto;
use crate::peers::service::Service;
use crate::peers::wire::wait_until;
use crate::stage::{
    SERVER_ID, Scratch, Variables, agent, client, decisions, get, ingress, services, strict_from,
};

const AUDIT: &str = "[mesh_ingress::audit]";

#[test]
fn new_rules_withdraw_and_grant_without_a_restart() {
    let Some(moto) = Moto::shared() else { return };
    let (role, user) = (&moto.seed.roles["agent"], moto.user("agent"));
    let first = format!("rules:\n- principal: {role}\n  hosts: [orders.example.com]\n");
    let second = format!("rules:\n- principal: {}\n  hosts: [user.example.com]\n", user.arn);
    let folder = Scratch::new();
    let file = folder.file("server.yaml", &first);
    let server = strict_from(&file, moto.user("ingress"), &moto.url());
    let service = Service::start("a");
    let session = moto.session("operator");
    let words = ["--host", "orders.example.com"];
    let orders = client(&moto.url(), &server, &service, &session.variables(), &words);
    server.wait_available(1);
    let words = ["--host", "user.example.com"];
    let other = client(&moto.url(), &server, &service, &user.variables(), &words);
    other.wait_log("no rule is about this identity");

    folder.replace("server.yaml", &second);
    server.process.signal("HUP");
    server.process.wait_log("new rules are in force");
    let sentence = format!(
        "refused (Forbidden): {} may not register orders.example.com: no rule is about this \
         identity",
        session.arn
    );
    orders.wait_log(&sentence);
    let withdrawn = format!("({}) is withdrawn: {} may not", session.arn, session.arn);
    server.process.wait_log(&withdrawn);
    wait_until("the other is there", || get(&server, "user.example.com").status == 200);
    assert_eq!(services(&server).len(), 1);
    assert_eq!(server.metric("mesh_registrations_withdrawn_total", "forbidden"), 1);

    // A file that makes no sense.
    folder.replace("server.yaml", "rules:\n- principal: everybody\n  hosts: ['*']\n");
    server.process.signal("HUP");
    server.process.wait_log("stays as it is: ");
    server.process.expect_log("stays as it is: ", 1);
    server.process.expect_log("new rules are in force", 1);
    assert_eq!(get(&server, "user.example.com").status, 200);

    folder.replace("server.yaml", &first);
    server.process.signal("HUP");
    wait_until("the first is back", || get(&server, "orders.example.com").status == 200);
    drop((orders, other));
    server.wait_metric("mesh_tunnels", 0);
    // Of each decision there is one line, also of those that a change of the rules made.
    let lines = || u64::try_from(server.process.log_count(AUDIT)).unwrap();
    wait_until("all lines are there", || lines() == decisions(&server));
}

/// Without a signal, by looking at the file from time to time.
#[test]
fn a_broken_file_is_warned_about_once_and_the_old_rules_stay() {
    let Some(moto) = Moto::shared() else { return };
    let role = &moto.seed.roles["agent"];
    let good = format!("rules:\n- principal: {role}\n  hosts: [orders.example.com]\n");
    let folder = Scratch::new();
    let file = folder.file("server.yaml", &good);
    let server = strict_from(&file, moto.user("ingress"), &moto.url());
    let service = Service::start("a");
    let variables = moto.session("operator").variables();
    let words = ["--host", "orders.example.com"];
    let agent = client(&moto.url(), &server, &service, &variables, &words);
    server.wait_available(1);
    // Rules for which nobody could be asked for a proof, if they were taken.
    folder.replace("server.yaml", "rules: [{hosts: ['*']}]\n");
    server.process.wait_log("stays as it is: ");
    folder.replace("server.yaml", &good.replace("orders.", "shop."));
    server.process.wait_log("new rules are in force");
    agent.wait_log("no rule for it");
    server.process.expect_log("stays as it is: ", 1);
    let line = server.process.log();
    let line = line.lines().find(|line| line.contains("stays as it is: ")).unwrap();
    assert!(line.contains("WARN") && line.contains(file.to_str().unwrap()), "{line}");
}

#[test]
fn a_token_that_is_taken_away_ends_what_it_proved() {
    let (first, second) = ("5c0d0a3f6d0b4f0e9a7c1f2e8b3d4c5a", "a4e1d7c2b9f04836a5d2e1c7b8f90342");
    let lines =
        |first: &str| format!("edge-1 {first} one.example.com\nedge-2 {second} two.example.com\n");
    let folder = Scratch::new();
    let file = folder.file("tokens", &lines(first));
    let words = ["--server-id", SERVER_ID, "--token-file", file.to_str().unwrap()];
    let server = ingress("", &Variables::new(), &words);
    let service = Service::start("a");
    let start = |token: &str, host: &str| {
        let variables = vec![("MESH_TOKEN", token.to_owned())];
        agent(server.tunnels, &service, &[host], &variables, &words[..2])
    };
    let taken = start(first, "one.example.com");
    let kept = start(second, "two.example.com");
    server.wait_available(2);
    folder.replace("tokens", &lines("0123456789abcdef0123456789abcdef"));
    server.process.signal("HUP");
    taken.wait_log("refused (Unauthenticated): this agent's token was withdrawn");
    taken.wait_log("refused (Unauthenticated): the ingress does not know this agent's token");
    assert_eq!(get(&server, "two.example.com").status, 200);
    assert_eq!(get(&server, "one.example.com").status, 503);
    assert_eq!(kept.log_count("refused"), 0);
}
