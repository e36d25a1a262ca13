//! moto and botocore, without anything of the mesh.

use serde_json::json;

use crate::aws::botocore::Unsigned;
use crate::aws::moto::Moto;
use crate::aws::seed::Identity;

const MESH: [(&str, &str); 3] =
    [("x-mesh-server-id", "mesh.example.com"), ("x-mesh-nonce", "n0nce"), ("x-mesh-hello", "0123")];

#[test]
fn moto_names_whoever_signed() {
    let Some(moto) = Moto::shared() else { return };
    let (user, session, foreign) =
        (moto.user("agent"), moto.session("pathed"), moto.session("foreign"));
    for identity in [user, session, foreign, moto.user("powerless"), &moto.task("orders").identity]
    {
        let signed = Unsigned::sts(&moto.seed.region, &MESH).sign(identity).unwrap();
        let answer = signed.send(moto.address);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.text().contains(&format!("<Arn>{}</Arn>", identity.arn)), "{answer:?}");
    }
    // The role's path is not in the name of its sessions.
    assert!(!session.arn.contains("berlin") && moto.seed.roles["pathed"].contains("/berlin/"));
    assert_eq!(foreign.arn.split(':').nth(4), Some(&*moto.seed.foreign_account));
}

#[test]
fn moto_refuses_what_is_not_signed_right() {
    let Some(moto) = Moto::shared() else { return };
    let session = &moto.task("orders").identity;
    let without_token = Identity { session_token: None, ..session.clone() };
    let cases = [
        (session.with_wrong_secret(), "SignatureDoesNotMatch"),
        (moto.user("agent").with_wrong_secret(), "SignatureDoesNotMatch"),
        (Identity::unknown(), "InvalidClientTokenId"),
        (without_token, "InvalidClientTokenId"),
    ];
    for (identity, code) in cases {
        let signed = Unsigned::sts(&moto.seed.region, &MESH).sign(&identity).unwrap();
        let answer = signed.send(moto.address);
        assert_eq!(answer.status, 403, "{code}");
        assert!(answer.text().contains(&format!("<Code>{code}</Code>")), "{}", answer.text());
    }
}

#[test]
fn moto_refuses_what_was_changed_after_the_signature() {
    let Some(moto) = Moto::shared() else { return };
    let session = &moto.task("orders").identity;
    for (name, _) in MESH {
        let mut signed = Unsigned::sts(&moto.seed.region, &MESH).sign(session).unwrap();
        signed.headers.insert(name.to_owned(), "another".to_owned());
        let answer = signed.send(moto.address);
        assert!(answer.text().contains("SignatureDoesNotMatch"), "{name}: {}", answer.text());
    }
}

#[test]
fn a_signature_is_the_same_at_the_same_time() {
    let request = || Unsigned { time: Some(1_767_225_600), ..Unsigned::sts("eu-central-1", &MESH) };
    let Some(first) = request().sign(&Identity::unknown()) else { return };
    let again = request().sign(&Identity::unknown()).unwrap();
    assert_eq!(first.headers["x-amz-date"], "20260101T000000Z");
    assert_eq!(first.authorization(), again.authorization());
    let scope = "Credential=AKIAIOSFODNN7EXAMPLE/20260101/eu-central-1/sts/aws4_request";
    let names =
        "SignedHeaders=content-type;host;x-amz-date;x-mesh-hello;x-mesh-nonce;x-mesh-server-id";
    assert!(first.authorization().contains(scope), "{first:?}");
    assert!(first.authorization().contains(names), "{first:?}");
}

#[test]
fn ecs_tells_the_ingress_of_tasks_and_of_their_services() {
    let Some(moto) = Moto::shared() else { return };
    for name in ["orders", "shop", "reports"] {
        let task = moto.task(name);
        let asked = json!({ "cluster": task.cluster, "tasks": [task.arn] });
        let request = Unsigned::ecs(&moto.seed.region, "DescribeTasks", &asked);
        let answer = request.sign(moto.session("ingress")).unwrap().send(moto.address);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let found = &answer["tasks"][0];
        assert_eq!(found["lastStatus"], "RUNNING", "the state is frozen");
        assert_eq!(found["launchType"], *task.launch_type);
        assert_eq!(found["clusterArn"], *task.cluster);
        assert_eq!(found["group"], *task.group);
        assert_eq!(found["startedBy"], *task.started_by);
        assert_eq!(task.started_by, moto.seed.deployments[name]);
        // As ECS names the sessions of tasks.
        assert_eq!(task.arn.rsplit('/').next(), task.identity.arn.rsplit('/').next());
    }
}

#[test]
fn policies_keep_others_from_asking_ecs() {
    let Some(moto) = Moto::shared() else { return };
    let task = moto.task("orders");
    let asked = json!({ "cluster": task.cluster, "tasks": [task.arn] });
    let call = ("ecs", "describe_tasks");
    // AWS refuses in JSON and with AccessDeniedException; moto in XML, which boto3 cannot read.
    for identity in [moto.user("powerless"), moto.user("agent"), &task.identity] {
        let refused = moto.call(identity, call, &asked);
        assert_eq!(refused["refused"], "403", "{refused}");
    }
    let asked = json!({ "cluster": task.cluster, "containerInstances": [task.container_instance] });
    let call = ("ecs", "describe_container_instances");
    assert_eq!(moto.call(&task.identity, call, &asked)["refused"], "403");
    let found = moto.call(moto.user("ingress"), call, &asked);
    let found = &found["containerInstances"][0]["containerInstanceArn"];
    assert_eq!(*found, moto.seed.container_instances["production"]);
    // The agent's own policy lets it look at its cluster.
    let own = json!({ "clusters": [task.cluster] });
    let found = moto.call(&task.identity, ("ecs", "describe_clusters"), &own);
    assert_eq!(found["clusters"][0]["clusterName"], "production", "{found}");
}

#[test]
fn a_task_of_a_moto_of_ones_own_can_be_stopped() {
    let Some(moto) = Moto::start() else { return };
    let task = moto.task("orders");
    assert_eq!(task.cluster, moto.seed.clusters["production"]);
    assert!(task.cluster.contains(&moto.seed.account), "{task:?}");
    let asked = json!({ "cluster": task.cluster, "task": task.arn });
    let stopped = moto.call(moto.user("admin"), ("ecs", "stop_task"), &asked);
    assert_eq!(stopped["task"]["desiredStatus"], "STOPPED", "{stopped}");
    let asked = json!({ "cluster": task.cluster, "tasks": [task.arn] });
    let found = moto.call(moto.user("ingress"), ("ecs", "describe_tasks"), &asked);
    assert_eq!(found["tasks"][0]["lastStatus"], "STOPPED", "{found}");
}
