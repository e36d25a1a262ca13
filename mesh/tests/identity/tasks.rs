//! Rules that ask about ECS: which task an agent is of, where it runs, and which service started
//! it. Who signed, moto's STS says; what runs, moto's ECS. Refusals here are our ingress's.

use serde_json::{Value, json};

use crate::aws::moto::Moto;
use crate::aws::seed::{Identity, Task};
use crate::fakes::proxy::Proxy;
use crate::fakes::server::Reply;
use crate::peers::process::Server;
use crate::peers::service::Service;
use crate::raw::{Challenged, Outcome, hello, refusal};
use crate::stage::{client, get, services, strict};

/// The services of the cluster production have the hosts that are called like them.
fn rules(moto: &Moto) -> String {
    format!(
        "rules:\n- principal: {}\n  cluster: production\n  service: '*'\n  hosts: \
         ['{{service}}.example.com']\n",
        moto.seed.roles["agent"]
    )
}

fn before(moto: &Moto, rules: &str, words: &[&str]) -> Server {
    strict(moto.user("ingress"), &moto.url(), rules, words)
}

/// An agent that says it is of this task, and proves to be somebody.
fn apply(server: &Server, host: &str, task: &str, identity: &Identity) -> Outcome {
    let mut said = hello(&[host]);
    said["task"] = task.into();
    apply_saying(server, &said, identity)
}

fn apply_saying(server: &Server, said: &Value, identity: &Identity) -> Outcome {
    let agent = Challenged::saying(server.tunnels, said);
    let proof = agent.prove(identity);
    agent.answer(&proof)
}

fn apply_as(server: &Server, host: &str, task: &Task) -> Outcome {
    apply(server, host, &task.arn, &task.identity)
}

/// The reason for which an agent that proved its identity is refused.
fn forbidden(outcome: Outcome) -> String {
    let (code, reason) = refusal(outcome);
    assert_eq!(code, "forbidden", "{reason}");
    reason
}

#[test]
fn a_task_of_a_service_serves_the_host_of_the_service() {
    let Some(moto) = Moto::shared() else { return };
    let server = before(moto, &rules(moto), &[]);
    let service = Service::start("a");
    let task = moto.task("orders");
    let words = ["--host", "orders.example.com", "--task-arn", &task.arn];
    let agent = client(&moto.url(), &server, &service, &task.identity.variables(), &words);
    server.wait_available(1);
    assert_eq!(get(&server, "orders.example.com").status, 200);
    let told = &services(&server)[0];
    assert_eq!(told["principal"], *task.identity.arn);
    let ecs = &told["ecs"];
    assert_eq!((&ecs["cluster"], &ecs["service"]), (&json!("production"), &json!("orders")));
    assert_eq!(ecs["launch_type"], "EXTERNAL");
    assert!(ecs["confirmed_seconds_ago"].as_u64().unwrap() < 60, "{ecs}");
    let answered = "service=\"ecs\",outcome=\"answered\"";
    assert_eq!(server.metric("mesh_identity_checks_total", answered), 1);
    drop(agent);
}

/// What it says of its service is for people; what ECS says counts.
#[test]
fn two_services_cannot_take_each_others_hosts() {
    let Some(moto) = Moto::shared() else { return };
    let server = before(moto, &rules(moto), &[]);
    let (orders, shop) = (moto.task("orders"), moto.task("shop"));
    let kept = [
        apply_as(&server, "orders.example.com", orders).unwrap(),
        apply_as(&server, "shop.example.com", shop).unwrap(),
    ];
    let reason = forbidden(apply_as(&server, "shop.example.com", orders));
    assert_eq!(
        reason,
        format!(
            "{} may not register shop.example.com: no rule for it accepts cluster production, \
             service orders, launch type EXTERNAL",
            orders.identity.arn
        )
    );
    let mut said = hello(&["orders.example.com", "shop.example.com"]);
    said["task"] = shop.arn.as_str().into();
    said["service"] = "orders".into();
    let reason = forbidden(apply_saying(&server, &said, &shop.identity));
    let end = "orders.example.com: no rule for it accepts cluster production, service shop, \
               launch type FARGATE";
    assert!(reason.ends_with(end), "{reason}");
    // The session of one and the task of the other.
    let reason = forbidden(apply(&server, "shop.example.com", &shop.arn, &orders.identity));
    assert_eq!(
        reason,
        format!(
            "{} is not the session of the task {}: ECS names sessions after the last part of the \
             task's ARN",
            orders.identity.arn, shop.arn
        )
    );
    assert_eq!(services(&server).len(), 2);
    drop(kept);
}

#[test]
fn the_service_of_the_same_name_in_another_cluster_is_another() {
    let Some(moto) = Moto::shared() else { return };
    let server = before(moto, &rules(moto), &[]);
    let staging = moto.task("staging");
    let end = "no rule for it accepts cluster staging, service orders, launch type EXTERNAL";
    let reason = forbidden(apply_as(&server, "orders.example.com", staging));
    assert!(reason.ends_with(end), "{reason}");
    // A lie about where it is.
    let lie = staging.arn.replace("/staging/", "/production/");
    let reason = forbidden(apply(&server, "orders.example.com", &lie, &staging.identity));
    let expected = format!("ECS does not know {lie} in the cluster: (nothing was said)");
    assert!(reason.ends_with(&expected), "{reason}");
}

#[test]
fn a_group_that_names_a_service_is_no_proof_of_it() {
    let Some(moto) = Moto::shared() else { return };
    let server = before(moto, &rules(moto), &[]);
    let pretender = moto.task("pretender");
    let reason = forbidden(apply_as(&server, "orders.example.com", pretender));
    assert_eq!(
        reason,
        format!(
            "{} may not register orders.example.com: no rule for it accepts cluster production, \
             launch type EXTERNAL; {} was not started by a deployment of the service orders",
            pretender.identity.arn, pretender.arn
        )
    );
    let loose = moto.task("loose");
    let reason = forbidden(apply_as(&server, "orders.example.com", loose));
    let end = "no rule for it accepts cluster production, launch type EXTERNAL";
    assert!(reason.ends_with(end), "{reason}");
}

#[test]
fn the_session_has_to_be_the_one_that_ecs_made_for_the_task() {
    let Some(moto) = Moto::shared() else { return };
    let everybody = rules(moto)
        .replace("principal: ", "account: '")
        .replace(&moto.seed.roles["agent"], &format!("{}'", moto.seed.account));
    let server = before(moto, &everybody, &[]);
    let (host, task) = ("orders.example.com", moto.task("orders"));
    let cases = [
        // Somebody who may assume the role.
        (moto.session("operator"), &*task.arn, "is not the session of the task"),
        (moto.session("operator"), "", "and it named none; give --task-arn"),
        (&task.identity, "arn:aws:ecs", "\"arn:aws:ecs\" is not the ARN of a task"),
        (moto.user("agent"), &*task.arn, "is not a session of a role, so it cannot be that of"),
        (moto.session("host"), &*task.arn, "and it named none; give --container-instance"),
    ];
    for (identity, task, expected) in cases {
        let reason = forbidden(apply(&server, host, task, identity));
        assert!(reason.contains(expected) && reason.contains(&identity.arn), "{reason}");
    }
    // A session that is called as a task of its account, of which ECS knows nothing.
    let (cluster, _) = task.arn.rsplit_once('/').unwrap();
    let stray = moto.session("stray");
    let (_, name) = stray.arn.rsplit_once('/').unwrap();
    let unknown = format!("{cluster}/{name}");
    let reason = forbidden(apply(&server, host, &unknown, stray));
    assert!(reason.contains("ECS does not know"), "{reason}");
    let foreign = moto.session("foreign");
    let reason = forbidden(apply(&server, host, &unknown, foreign));
    assert!(reason.ends_with("no rule is about this identity"), "{reason}");
}

#[test]
fn a_task_of_another_account_is_somebody_elses() {
    let Some(moto) = Moto::shared() else { return };
    let foreign = moto.session("foreign");
    let rules = format!(
        "rules:\n- account: '{}'\n  cluster: production\n  hosts: ['*']\n",
        moto.seed.foreign_account
    );
    let server = before(moto, &rules, &[]);
    let task = &moto.task("orders").arn;
    let reason = forbidden(apply(&server, "orders.example.com", task, foreign));
    assert_eq!(reason, format!("{} does not belong to the account of {task}", foreign.arn));
}

#[test]
fn the_right_place_with_another_role_is_not_enough() {
    let Some(moto) = Moto::shared() else { return };
    let server = before(moto, &rules(moto), &[]);
    let batch = moto.task("batch");
    let reason = forbidden(apply_as(&server, "orders.example.com", batch));
    assert!(reason.ends_with("no rule is about this identity"), "{reason}");
    // ECS is not asked about strangers.
    assert_eq!(server.metric("mesh_identity_checks_total", "service=\"ecs\""), 0);
}

#[test]
fn the_launch_type_decides_where_a_rule_asks_for_it() {
    let Some(moto) = Moto::shared() else { return };
    let rules = format!(
        "rules:\n- principal: {}\n  launch-type: EXTERNAL\n  hosts: ['*.example.com']\n",
        moto.seed.roles["agent"]
    );
    let server = before(moto, &rules, &[]);
    let host = "a.example.com";
    let _orders = apply_as(&server, host, moto.task("orders")).unwrap();
    for (name, launch_type) in [("shop", "FARGATE"), ("reports", "EC2")] {
        let reason = forbidden(apply_as(&server, host, moto.task(name)));
        let end = format!("accepts cluster production, launch type {launch_type}");
        assert!(reason.ends_with(&end), "{reason}");
    }
}

#[test]
fn allowed_clusters_hold_for_every_role() {
    let Some(moto) = Moto::shared() else { return };
    let role = moto.seed.roles["agent"].as_str();
    let words = ["--allowed-role-arns", role, "--allowed-clusters", "production"];
    let server = before(moto, "", &words);
    let host = "anything.example.org";
    let _loose = apply_as(&server, host, moto.task("loose")).unwrap();
    let reason = forbidden(apply_as(&server, host, moto.task("staging")));
    assert!(reason.ends_with("accepts cluster staging, launch type EXTERNAL"), "{reason}");
    let reason = forbidden(apply(&server, host, "", moto.session("operator")));
    assert!(reason.contains("ask about its ECS task, and it named none"), "{reason}");
}

/// moto's instances are all of EC2: the proxy tells of one that Systems Manager manages.
#[test]
fn an_agent_on_a_managed_host_is_asked_about_by_its_container_instance() {
    let Some(moto) = Moto::shared() else { return };
    let proxy = Proxy::before(moto.address);
    let rules = format!(
        "rules:\n- principal: {}\n  cluster: production\n  launch-type: EXTERNAL\n  hosts: ['*']\n",
        moto.seed.roles["host"]
    );
    let server = strict(moto.user("ingress"), &proxy.url(), &rules, &[]);
    let instance = &moto.seed.container_instances["production"];
    let mut said = hello(&["edge.example.com"]);
    said["container_instance"] = instance.as_str().into();
    let host = moto.session("host");
    let reason = forbidden(apply_saying(&server, &said, host));
    let end = format!("{instance} is another machine than mi-0123456789abcdef0");
    assert!(reason.ends_with(&end), "{reason}");

    let told = |status: &str| {
        json!({ "failures": [], "containerInstances": [{
            "containerInstanceArn": instance,
            "ec2InstanceId": "mi-0123456789abcdef0",
            "status": status,
        }] })
    };
    let overrule = |answer: Value| {
        proxy.overrule(move |request| {
            let is_it = request.action() == "DescribeContainerInstances";
            is_it.then(|| Reply::json(200, &answer))
        });
    };
    overrule(told("DRAINING"));
    let reason = forbidden(apply_saying(&server, &said, host));
    assert!(reason.ends_with(&format!("{instance} is DRAINING and not ACTIVE")), "{reason}");
    overrule(told("ACTIVE"));
    let _kept = apply_saying(&server, &said, host).unwrap();
    let ecs = &services(&server)[0]["ecs"];
    assert_eq!((&ecs["cluster"], &ecs["launch_type"]), (&json!("production"), &json!("EXTERNAL")));
    // Nobody else on the host, and no task's session.
    let reason = forbidden(apply_saying(&server, &said, &moto.task("orders").identity));
    assert!(reason.ends_with("no rule is about this identity"), "{reason}");
}

/// A permitted agent that names a cluster which is not there is wrong itself, and ECS is well.
#[test]
fn a_cluster_that_is_not_there_is_the_agents_fault() {
    let Some(moto) = Moto::shared() else { return };
    let server = before(moto, &rules(moto), &[]);
    let task = moto.task("orders");
    let lie = task.arn.replace("/production/", "/nowhere/");
    let reason = forbidden(apply(&server, "orders.example.com", &lie, &task.identity));
    assert!(reason.contains("ECS does not know") && reason.contains("nowhere"), "{reason}");
    assert!(server.page("/health").text().contains("\"identity\":\"ok\""));
    assert_eq!(server.process.log_count("ECS cannot be asked"), 0);
}
