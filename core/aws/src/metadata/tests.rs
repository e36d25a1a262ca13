use super::{INTROSPECTION, TaskFacts, ask_task, container_instance, is_local, task};
use crate::tests::{IMPATIENT, PATIENT, Reply, Server, environment, refused};

const TASK_ARN: &str = "arn:aws:ecs:eu-central-1:123456789012:task/shop/0123456789abcdef";
const CLUSTER_ARN: &str = "arn:aws:ecs:eu-central-1:123456789012:cluster/shop";

/// As an agent on a host of one's own answers, without what nobody asks for here.
fn task_json(cluster: &str) -> String {
    format!(
        "{{\"Cluster\":\"{cluster}\",\"TaskARN\":\"{TASK_ARN}\",\"Family\":\"mesh-agent\",\
         \"Revision\":\"7\",\"DesiredStatus\":\"RUNNING\",\"KnownStatus\":\"RUNNING\",\
         \"LaunchType\":\"EXTERNAL\",\"ServiceName\":\"orders\",\"Containers\":[{{\"Name\":\"a\"}}]}}"
    )
}

fn of(json: &str) -> Result<TaskFacts, String> {
    let server = Server::script(vec![Reply::ok(json)]);
    ask_task(&server.url(), PATIENT).map_err(|error| error.to_string())
}

#[test]
fn a_task_knows_what_it_is() {
    let facts = of(&task_json(CLUSTER_ARN)).unwrap();
    assert_eq!(
        facts,
        TaskFacts {
            cluster: CLUSTER_ARN.to_owned(),
            task_arn: TASK_ARN.to_owned(),
            family: "mesh-agent".to_owned(),
            service: Some("orders".to_owned()),
            launch_type: Some("EXTERNAL".to_owned()),
        }
    );
    assert_eq!(facts.region(), "eu-central-1");
}

#[test]
fn the_short_name_of_a_cluster_is_made_comparable() {
    assert_eq!(of(&task_json("shop")).unwrap().cluster, CLUSTER_ARN);
}

#[test]
fn service_and_launch_type_may_be_missing() {
    let json = format!("{{\"Cluster\":\"shop\",\"TaskARN\":\"{TASK_ARN}\",\"Family\":\"f\"}}");
    let facts = of(&json).unwrap();
    assert_eq!((facts.service, facts.launch_type), (None, None));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let cluster = |name: &str| task_json(name);
    for json in [
        cluster(""),
        cluster("a b"),
        cluster("a/b"),
        cluster("arn:aws:ecs:eu-central-1:123456789012:service/shop"),
        cluster("arn:aws:sts:eu-central-1:123456789012:cluster/shop"),
        cluster("shop").replace("task/shop", "job/shop"),
        cluster("shop").replace(TASK_ARN, "task"),
        cluster("shop").replace("orders", "or ders"),
        cluster("shop").replace("mesh-agent", &"f".repeat(256)),
    ] {
        assert!(of(&json).unwrap_err().ends_with("makes no sense"), "{json}");
    }
    for json in ["", "[]", "{}", "null", "{\"Cluster\":1}", &task_json("shop")[..50]] {
        assert!(of(json).unwrap_err().contains("JSON"), "{json}");
    }
    let large = format!("{}{}", task_json("shop"), " ".repeat(5000));
    assert!(of(&large).unwrap_err().contains("larger than 4096 bytes"));
}

#[test]
fn the_endpoint_is_asked_again_while_it_is_not_ready() {
    let later = Reply::Answer(500, String::new());
    let server = Server::script(vec![later.clone(), Reply::Hangup, Reply::ok(task_json("shop"))]);
    assert!(ask_task(&server.url(), PATIENT).is_ok());
    assert_eq!(server.asked()[2].line, "GET /task HTTP/1.1");
    let server = Server::script(vec![later]);
    let error = ask_task(&server.url(), PATIENT).unwrap_err().to_string();
    assert_eq!(error, "ECS_CONTAINER_METADATA_URI_V4: it answers 500");
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn a_silent_endpoint_is_given_up() {
    let server = Server::script(vec![Reply::Silence]);
    let error = ask_task(&server.url(), IMPATIENT).unwrap_err().to_string();
    assert!(error.contains("no answer within 0.3 s"), "{error}");
}

#[test]
fn the_variable_says_whether_this_is_a_task() {
    assert_eq!(task(&environment([])), None);
    let server = Server::script(vec![Reply::ok(task_json("shop"))]);
    let url = format!("{}/v4/0123", server.url());
    let found = task(&environment([("ECS_CONTAINER_METADATA_URI_V4", &url)]));
    assert_eq!(found.unwrap().unwrap().cluster, CLUSTER_ARN);
    assert_eq!(server.asked()[0].line, "GET /v4/0123/task HTTP/1.1");
}

#[test]
fn only_this_machine_and_its_link_are_asked() {
    for url in [
        "http://169.254.170.2/v4/0123",
        "http://127.0.0.1:51678",
        "http://localhost/v4",
        "http://[::1]:80/",
        "http://[fe80::1]/v4",
        INTROSPECTION,
    ] {
        assert!(is_local(url), "{url}");
    }
    for url in [
        "https://169.254.170.2/v4",
        "http://10.0.0.1/v4",
        "http://localhost.example.com/v4",
        "http://169.254.170.2@example.com/v4",
        "http://example.com/v4",
        "http://169.254.170.2/v4?x",
        "http://2130706433/",
        "file:///etc/passwd",
        "/v4",
        "",
    ] {
        assert!(!is_local(url), "{url}");
        let asked = task(&environment([("ECS_CONTAINER_METADATA_URI_V4", url)]));
        assert!(asked.is_none_or(|facts| facts.is_err()), "{url}");
    }
}

#[test]
fn the_agent_of_ecs_knows_its_host() {
    let arn = "arn:aws:ecs:eu-central-1:123456789012:container-instance/shop/0123";
    let registered = format!("{{\"Cluster\":\"shop\",\"ContainerInstanceArn\":\"{arn}\"}}");
    let server = Server::script(vec![
        Reply::ok(registered),
        Reply::ok("{\"Cluster\":\"shop\",\"ContainerInstanceArn\":null}"),
    ]);
    let facts = container_instance(&server.url()).unwrap();
    assert_eq!((facts.cluster.as_str(), facts.container_instance.as_str()), (CLUSTER_ARN, arn));
    assert_eq!(server.asked()[0].line, "GET /v1/metadata HTTP/1.1");
    let error = container_instance(&server.url()).unwrap_err().to_string();
    assert!(error.ends_with("it has not registered the host in a cluster"), "{error}");
    let nobody = refused();
    let error = container_instance(&nobody).unwrap_err().to_string();
    assert_eq!(error, format!("the ECS agent at {nobody}: connection refused"));
}
