//! AWS stops answering, or answers that something has changed: what was proved is asked again, kept
//! for a while, or withdrawn.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::aws::moto::Moto;
use crate::aws::seed::Task;
use crate::fakes::container::TaskEndpoints;
use crate::fakes::proxy::{Outage, Proxy};
use crate::fakes::server::Reply;
use crate::peers::place::own_address;
use crate::peers::process::{Process, Server};
use crate::peers::raw_agent::RawAgent;
use crate::peers::service::Service;
use crate::peers::wire::wait_until;
use crate::raw::{Challenged, Outcome, hello, refusal};
use crate::stage::{client, decisions, get, services, strict};

/// Rules for any task in production, and without ECS for a user.
fn rules(moto: &Moto) -> String {
    format!(
        "rules:\n- principal: {}\n  cluster: production\n  hosts: ['*.example.com']\n\
         - principal: {}\n  hosts: [user.example.com]\n",
        moto.seed.roles["agent"],
        moto.user("agent").arn,
    )
}

const QUICKLY: [&str; 2] = ["--ecs-recheck-interval", "1"];

fn apply(server: &Server, host: &str, task: &Task) -> Outcome {
    let mut said = hello(&[host]);
    said["task"] = task.arn.as_str().into();
    let agent = Challenged::saying(server.tunnels, &said);
    let proof = agent.prove(&task.identity);
    agent.answer(&proof)
}

fn apply_as_user(server: &Server, moto: &Moto) -> Outcome {
    let agent = Challenged::at(server.tunnels, "user.example.com");
    let proof = agent.prove(moto.user("agent"));
    agent.answer(&proof)
}

/// An agent of a task, as a real process that comes back whenever it can.
fn task_agent(moto: &Moto, aws: &str, server: &Server, service: &Service, name: &str) -> Process {
    let task = moto.task(name);
    let host = format!("{name}.example.com");
    let words = ["--host", &host, "--task-arn", &task.arn];
    client(aws, server, service, &task.identity.variables(), &words)
}

fn identity(server: &Server) -> Value {
    let health = server.page("/health");
    assert_eq!(health.status, 200);
    let health: Value = serde_json::from_slice(&health.body).unwrap();
    health["identity"].clone()
}

/// The reason in the REFUSED that a registered agent gets.
fn wait_withdrawn(mut agent: RawAgent) -> String {
    agent.expect_refusal()
}

#[test]
fn a_task_that_stops_loses_its_registration_and_others_keep_theirs() {
    let Some(moto) = Moto::start() else { return };
    let server = strict(moto.user("ingress"), &moto.url(), &rules(&moto), &QUICKLY);
    let service = Service::start("a");
    let shop = task_agent(&moto, &moto.url(), &server, &service, "shop");
    server.wait_available(1);
    let orders = moto.task("orders");
    let stopped = apply(&server, "orders.example.com", orders).unwrap();
    assert_eq!(server.metric("mesh_tunnels", ""), 2);

    let asked = json!({ "cluster": orders.cluster, "task": orders.arn });
    moto.call(moto.user("admin"), ("ecs", "stop_task"), &asked);
    let begun = Instant::now();
    let reason = wait_withdrawn(stopped);
    let expected = format!("{} is STOPPED and not RUNNING", orders.arn);
    assert!(reason.contains(&expected) && reason.contains("forbidden"), "{reason}");
    // The interval, and what a busy machine takes besides.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    server.wait_metric("mesh_tunnels", 1);
    assert_eq!(server.metric("mesh_registrations_withdrawn_total", "forbidden"), 1);
    let line = format!("({}) is withdrawn: {expected}", orders.identity.arn);
    server.process.expect_log(&line, 1);
    server.process.expect_log("[mesh_ingress::audit]", 3);
    assert_eq!(decisions(&server), 3);

    // It cannot come back.
    let (code, reason) = refusal(apply(&server, "orders.example.com", orders));
    assert_eq!((&*code, reason.ends_with(&expected)), ("forbidden", true), "{reason}");
    assert_eq!(get(&server, "shop.example.com").status, 200);
    assert_eq!(shop.log_count("refused"), 0, "{}", shop.log());
}

#[test]
fn registrations_are_kept_while_ecs_is_away() {
    let Some(moto) = Moto::shared() else { return };
    let proxy = Proxy::before(moto.address);
    let server = strict(moto.user("ingress"), &proxy.url(), &rules(moto), &QUICKLY);
    let service = Service::start("a");
    let agent = task_agent(moto, &proxy.url(), &server, &service, "shop");
    server.wait_available(1);
    assert_eq!(identity(&server), "ok");
    assert_eq!(server.metric("mesh_ecs_silent_seconds", ""), 0);

    ecs_is_away(&proxy);
    wait_until("ECS is known to be away", || identity(&server)["ecs"] == "silent");
    wait_until("seconds of it", || server.metric("mesh_ecs_silent_seconds", "") >= 2);
    let unreachable = "service=\"ecs\",outcome=\"unreachable\"";
    assert!(server.metric("mesh_identity_checks_total", unreachable) >= 1);
    let line = "ECS cannot be asked about registered agents: ";
    server.process.expect_log(line, 1);
    assert!(server.process.log().contains("they are kept for 900s"));
    assert_eq!(get(&server, "shop.example.com").status, 200);

    // New ones that need ECS are refused, and nothing of why is theirs to know.
    let (code, reason) = refusal(apply(&server, "orders.example.com", moto.task("orders")));
    let expected = "the ingress cannot ask ECS about this agent";
    assert_eq!((&*code, &*reason), ("unavailable", expected));
    assert_eq!(server.metric("mesh_registrations_refused_total", "unavailable"), 1);
    let _user = apply_as_user(&server, moto).expect("ECS does not matter for this one");

    proxy.overrule(|_| None);
    server.process.wait_log("ECS answers again after");
    wait_until("all is well", || identity(&server) == "ok");
    assert_eq!(server.metric("mesh_ecs_silent_seconds", ""), 0);
    let _orders = apply(&server, "orders.example.com", moto.task("orders")).unwrap();
    assert_eq!(agent.log_count("refused"), 0, "{}", agent.log());
}

/// Its capacity providers may change at any time, and what becomes of that is no agent's concern.
#[test]
fn a_cluster_that_changes_keeps_its_agents() {
    let Some(moto) = Moto::shared() else { return };
    let proxy = Proxy::before(moto.address);
    let server = strict(moto.user("ingress"), &proxy.url(), &rules(moto), &QUICKLY);
    let orders = moto.task("orders");
    let kept = apply(&server, "orders.example.com", orders).unwrap();
    let answered = "service=\"ecs\",outcome=\"answered\"";
    for status in ["PROVISIONING", "DEPROVISIONING", "FAILED"] {
        cluster_is(&proxy, &orders.cluster, status);
        let before = server.metric("mesh_identity_checks_total", answered);
        // The first of them may have been asked before.
        let asked = || server.metric("mesh_identity_checks_total", answered) >= before + 2;
        wait_until("ECS is asked again", asked);
        assert_eq!(server.metric("mesh_tunnels", ""), 1, "{status}");
    }
    cluster_is(&proxy, &orders.cluster, "INACTIVE");
    let reason = wait_withdrawn(kept);
    assert!(reason.contains("cluster/production was deleted"), "{reason}");
}

fn cluster_is(proxy: &Proxy, arn: &str, status: &str) {
    let clusters = json!([{ "clusterArn": arn, "clusterName": "production", "status": status }]);
    let answer = json!({ "clusters": clusters, "failures": [] });
    proxy.overrule(move |request| {
        (request.action() == "DescribeClusters").then(|| Reply::json(200, &answer))
    });
}

/// ECS takes no question at all in which one name is none of its own.
#[test]
fn whom_ecs_takes_no_question_about_goes_alone() {
    let Some(moto) = Moto::shared() else { return };
    let proxy = Proxy::before(moto.address);
    // Both in one question.
    let words = [&QUICKLY[..], &["--ecs-grace", "2", "--workers", "1"]].concat();
    let server = strict(moto.user("ingress"), &proxy.url(), &rules(moto), &words);
    let _kept = apply(&server, "shop.example.com", moto.task("shop")).unwrap();
    let orders = moto.task("orders");
    let gone = apply(&server, "orders.example.com", orders).unwrap();
    let strange = orders.arn.clone();
    let answer = json!({ "__type": "InvalidParameterException", "message": "taskId is strange" });
    proxy.overrule(move |request| {
        let is_named = request.action() == "DescribeTasks"
            && String::from_utf8_lossy(&request.bytes()).contains(&strange);
        is_named.then(|| Reply::json(400, &answer))
    });
    let reason = wait_withdrawn(gone);
    assert!(reason.contains("ECS has not confirmed this agent's place for 2s"), "{reason}");
    let line = "ECS takes no question about its agent: ECS refuses with InvalidParameterException: \
                taskId is strange";
    server.process.wait_log(line);
    assert_eq!(services(&server).len(), 1);
    assert_eq!(server.process.log_count("ECS cannot be asked about registered agents"), 0);
}

fn ecs_is_away(proxy: &Proxy) {
    proxy.overrule(|request| request.field("x-amz-target").is_some().then_some(Reply::Close));
}

#[test]
fn after_the_grace_what_ecs_has_not_confirmed_is_withdrawn() {
    let Some(moto) = Moto::shared() else { return };
    let proxy = Proxy::before(moto.address);
    let words = [&QUICKLY[..], &["--ecs-grace", "2"]].concat();
    let server = strict(moto.user("ingress"), &proxy.url(), &rules(moto), &words);
    let service = Service::start("a");
    let agent = task_agent(moto, &proxy.url(), &server, &service, "shop");
    server.wait_available(1);
    let user = apply_as_user(&server, moto).unwrap();

    let begun = Instant::now();
    ecs_is_away(&proxy);
    let reason = "refused (Unavailable): ECS has not confirmed this agent's place for 2s";
    agent.wait_log(reason);
    assert!(begun.elapsed() >= Duration::from_secs(1), "confirmed within the second before");
    assert_eq!(server.metric("mesh_registrations_withdrawn_total", "unavailable"), 1);
    agent.wait_log("refused (Unavailable): the ingress cannot ask ECS about this agent");
    // Whose rule does not ask about ECS is none of its concern.
    let left = services(&server);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["principal"], *moto.user("agent").arn);

    proxy.overrule(|_| None);
    wait_until("it is back", || get(&server, "shop.example.com").status == 200);
    drop(user);
}

#[test]
fn while_sts_is_away_nobody_comes_and_nobody_goes() {
    let Some(moto) = Moto::shared() else { return };
    let proxy = Proxy::before(moto.address);
    let server = strict(moto.user("ingress"), &proxy.url(), &rules(moto), &[]);
    let kept = apply_as_user(&server, moto).unwrap();
    for (outage, complaint) in
        [(Outage::Close, "http://"), (Outage::Unavailable, "answers 503 (ServiceUnavailable)")]
    {
        proxy.outage(Some(outage));
        let (code, reason) = refusal(apply_as_user(&server, moto));
        let expected = "the ingress cannot ask STS who this agent is";
        assert_eq!((&*code, &*reason), ("unavailable", expected));
        let line = "STS cannot be asked who an agent is: STS at ";
        wait_until(complaint, || {
            let log = server.process.log();
            log.lines().any(|said| said.contains(line) && said.contains(complaint))
        });
    }
    proxy.outage(None);
    let _another = apply_as_user(&server, moto).unwrap();
    assert_eq!(services(&server).len(), 2);
    drop(kept);
}

/// Refused by moto: the ingress's own user has no right to ask. AWS names the right in its answer,
/// which moto does not; so a second time the proxy answers as AWS does.
#[test]
fn an_ingress_without_permissions_tells_its_own_operator_only() {
    let Some(moto) = Moto::shared() else { return };
    let proxy = Proxy::before(moto.address);
    let powerless = moto.user("powerless");
    let server = strict(powerless, &proxy.url(), &rules(moto), &[]);
    let expected = "the ingress cannot ask ECS about this agent";
    let (code, reason) = refusal(apply(&server, "orders.example.com", moto.task("orders")));
    assert_eq!((&*code, &*reason), ("unavailable", expected));
    server.process.wait_log(
        "ECS cannot be asked about an agent that wants to register: ECS denies it with AccessDenied",
    );
    let refused = "service=\"ecs\",outcome=\"refused\"";
    assert_eq!(server.metric("mesh_identity_checks_total", refused), 1);

    let server = strict(powerless, &proxy.url(), &rules(moto), &[]);
    let message = format!(
        "User: {} is not authorized to perform: ecs:DescribeTasks on resource: * because no \
         identity-based policy allows the ecs:DescribeTasks action",
        powerless.arn
    );
    let answer =
        json!({ "__type": "com.amazonaws.ecs#AccessDeniedException", "message": message.clone() });
    proxy.overrule(move |request| {
        request.field("x-amz-target").is_some().then(|| Reply::json(400, &answer))
    });
    let (code, reason) = refusal(apply(&server, "orders.example.com", moto.task("orders")));
    assert_eq!((&*code, &*reason), ("unavailable", expected));
    server.process.wait_log(&format!("ECS denies it with AccessDeniedException: {message}"));
}

/// Without a restart of the agent: its first HELLO names no task, and a later one does.
#[test]
fn an_agent_whose_task_metadata_have_a_bad_moment_at_its_start_asks_for_them_again() {
    let Some(moto) = Moto::shared() else { return };
    let server = strict(moto.user("ingress"), &moto.url(), &rules(moto), &[]);
    let (service, task) = (Service::start("a"), moto.task("orders"));
    let endpoints = TaskEndpoints::start(own_address(), task, "orders");
    endpoints.struggling(true);
    let hosts = ["--host", "orders.example.com"];
    let agent = client(&moto.url(), &server, &service, &endpoints.variables_in_full(), &hosts);
    agent.wait_log("ask about its ECS task, and it named none");
    endpoints.struggling(false);
    server.wait_available(1);
    agent.wait_log(&format!("this agent is part of the ECS task {}", task.arn));
    agent.expect_log("ECS_CONTAINER_METADATA_URI_V4: it answers 500; it is asked again", 1);
}
