use super::{EcsAnswers, EcsFacts, EcsQuestion, EcsRefusal, EcsSubject, Operation};
use crate::identity::{AwsPrincipal, Claim, LaunchType, Requirement};

const ACCOUNT: &str = "123456789012";
const TASK_ID: &str = "0123456789abcdef0123456789abcdef";
const TASK: &str =
    "arn:aws:ecs:eu-central-1:123456789012:task/production/0123456789abcdef0123456789abcdef";
const OLD_TASK: &str =
    "arn:aws:ecs:eu-central-1:123456789012:task/0123456789abcdef0123456789abcdef";
const CLUSTER: &str = "arn:aws:ecs:eu-central-1:123456789012:cluster/production";
const INSTANCE: &str = "arn:aws:ecs:eu-central-1:123456789012:container-instance/production/\
     fedcba9876543210fedcba9876543210";

fn session(name: &str) -> AwsPrincipal {
    let arn = format!("arn:aws:sts::{ACCOUNT}:assumed-role/mesh-agent/{name}");
    AwsPrincipal::parse(&arn, ACCOUNT).unwrap()
}

fn claim<'a>(task: Option<&'a str>, instance: Option<&'a str>, cluster: &'a str) -> Claim<'a> {
    Claim { hosts: &[], service: "", cluster, task, container_instance: instance }
}

fn task_subject() -> EcsSubject {
    EcsSubject::new(&session(TASK_ID), &claim(Some(TASK), None, "")).unwrap()
}

fn instance_subject() -> EcsSubject {
    EcsSubject::new(&session("mi-0123"), &claim(None, Some(INSTANCE), "")).unwrap()
}

/// As ECS answers, with members that are of no interest.
fn answers(task: &str) -> EcsAnswers {
    let mut answers = EcsAnswers::default();
    let clusters = format!(
        r#"{{"clusters":[{{"clusterArn":"{CLUSTER}","clusterName":"production","status":"ACTIVE",
           "runningTasksCount":1,"tags":[]}}],"failures":[]}}"#
    );
    answers.add(Operation::DescribeClusters, json(&clusters)).unwrap();
    answers.add(Operation::DescribeTasks, json(task)).unwrap();
    let services = format!(
        r#"{{"services":[
            {{"serviceArn":"arn:aws:ecs:eu-central-1:123456789012:service/production/orders",
              "serviceName":"orders","clusterArn":"{CLUSTER}","status":"ACTIVE",
              "deployments":[{{"id":"ecs-svc/1","status":"PRIMARY"}},{{"id":"ecs-svc/2"}}]}},
            {{"serviceArn":"s","serviceName":"gone","clusterArn":"{CLUSTER}","status":"INACTIVE",
              "deployments":[{{"id":"ecs-svc/1"}}]}},
            {{"serviceArn":"s","serviceName":"leaving","clusterArn":"{CLUSTER}",
              "status":"DRAINING","deployments":[{{"id":"ecs-svc/1"}}]}},
            {{"serviceArn":"s","serviceName":"elsewhere","clusterArn":"{CLUSTER}-2",
              "status":"ACTIVE","deployments":[{{"id":"ecs-svc/1"}}]}},
            {{"serviceArn":"s","serviceName":"idle","clusterArn":"{CLUSTER}","status":"ACTIVE",
              "deployments":[{{}}],"taskSets":[{{"startedBy":"CODE_DEPLOY"}}]}},
            {{"serviceArn":"s","serviceName":"blue-green","clusterArn":"{CLUSTER}",
              "status":"ACTIVE","deploymentController":{{"type":"CODE_DEPLOY"}},"deployments":[],
              "taskSets":[{{"id":"ecs-svc/4","status":"PRIMARY","startedBy":"CODE_DEPLOY"}},
                          {{"id":"ecs-svc/5","status":"ACTIVE","externalId":"x"}}]}}
        ]}}"#
    );
    answers.add(Operation::DescribeServices, json(&services)).unwrap();
    let instances = format!(
        r#"{{"containerInstances":[{{"containerInstanceArn":"{INSTANCE}",
           "ec2InstanceId":"mi-0123","status":"ACTIVE","agentConnected":true,"version":3}}]}}"#
    );
    answers.add(Operation::DescribeContainerInstances, json(&instances)).unwrap();
    answers
}

/// A running task of the service `orders`, with these members instead of its own.
fn task_with(changes: &[(&str, serde_json::Value)]) -> String {
    let mut task = serde_json::json!({
        "taskArn": TASK, "clusterArn": CLUSTER, "lastStatus": "RUNNING", "desiredStatus": "RUNNING",
        "launchType": "EXTERNAL", "startedBy": "ecs-svc/2", "group": "service:orders",
        "containerInstanceArn": INSTANCE, "containers": [{"name": "mesh"}], "version": 7,
    });
    for (name, value) in changes {
        task[*name] = value.clone();
    }
    serde_json::json!({"tasks": [task], "failures": []}).to_string()
}

fn verify(requirement: Requirement, task: &str) -> Result<EcsFacts, EcsRefusal> {
    task_subject().verify(requirement, &answers(task))
}

#[test]
fn a_running_task_has_its_facts() {
    let facts = verify(Requirement::Service, &task_with(&[])).unwrap();
    let expected = EcsFacts {
        cluster_arn: CLUSTER.to_owned(),
        cluster_name: "production".to_owned(),
        service: Some("orders".to_owned()),
        unproved: None,
        launch_type: Some(LaunchType::External),
    };
    assert_eq!(facts, expected);
    assert_eq!(facts.to_string(), "cluster production, service orders, launch type EXTERNAL");
    let facts = verify(Requirement::Place, &task_with(&[])).unwrap();
    assert_eq!(facts, EcsFacts { service: None, ..expected });
    let newer = task_with(&[("launchType", "LUNAR".into())]);
    assert_eq!(verify(Requirement::Place, &newer).unwrap().launch_type, None);
    let silent = task_with(&[("launchType", serde_json::Value::Null)]);
    assert_eq!(verify(Requirement::Place, &silent).unwrap().launch_type, None);
}

#[test]
fn a_task_that_is_not_there_is_refused() {
    let missing = format!(r#"{{"tasks":[],"failures":[{{"arn":"{TASK}","reason":"MISSING"}}]}}"#);
    let error = verify(Requirement::Place, &missing).unwrap_err();
    assert_eq!(error.to_string(), format!("ECS does not know {TASK} in the cluster: MISSING"));
    for silent in [r#"{"tasks":[]}"#, "{}"] {
        let error = verify(Requirement::Place, silent).unwrap_err();
        assert!(error.to_string().ends_with("in the cluster: (nothing was said)"), "{error}");
    }
    let another = task_with(&[("taskArn", format!("{TASK}0").into())]);
    let error = verify(Requirement::Place, &another).unwrap_err();
    assert!(matches!(error, EcsRefusal::UnknownTask { .. }), "{error}");
}

#[test]
fn a_task_of_another_cluster_is_refused() {
    for cluster in [format!("{CLUSTER}-2"), "production".to_owned(), String::new()] {
        let task = task_with(&[("clusterArn", cluster.clone().into())]);
        let error = verify(Requirement::Place, &task).unwrap_err();
        assert_eq!(error, EcsRefusal::OtherCluster { task: TASK.to_owned(), cluster });
    }
}

#[test]
fn a_task_must_run_and_go_on_running() {
    for status in ["PROVISIONING", "PENDING", "ACTIVATING"] {
        let pending = task_with(&[("lastStatus", status.into())]);
        let error = verify(Requirement::Place, &pending).unwrap_err();
        assert_eq!(error.to_string(), format!("{TASK} is {status} and has not started"));
        assert!(error.is_transient());
        // It never will.
        let words = [("desiredStatus", "STOPPED".into()), ("lastStatus", status.into())];
        let error = verify(Requirement::Place, &task_with(&words)).unwrap_err();
        assert_eq!(error.to_string(), format!("{TASK} is {status} and not RUNNING"));
        assert!(!error.is_transient());
    }
    for status in ["DEACTIVATING", "STOPPED", "running", ""] {
        let task = task_with(&[("lastStatus", status.into())]);
        let error = verify(Requirement::Place, &task).unwrap_err();
        let expected = EcsRefusal::NotRunning { task: TASK.to_owned(), status: status.to_owned() };
        assert_eq!(error, expected);
    }
    for status in ["RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED"] {
        let words = [("desiredStatus", "STOPPED".into()), ("lastStatus", status.into())];
        let error = verify(Requirement::Place, &task_with(&words)).unwrap_err();
        let lives = !matches!(status, "DEPROVISIONING" | "STOPPED");
        assert_eq!(matches!(error, EcsRefusal::Stopping { .. }), lives, "{error}");
    }
}

#[test]
fn a_cluster_must_be_there() {
    let mut answers = answers(&task_with(&[]));
    for status in ["PROVISIONING", "DEPROVISIONING", "FAILED", "ACTIVE"] {
        answers.clusters[0].status = status.to_owned();
        assert!(task_subject().verify(Requirement::Place, &answers).is_ok(), "{status}");
    }
    answers.clusters[0].status = "INACTIVE".to_owned();
    let error = task_subject().verify(Requirement::Place, &answers).unwrap_err();
    assert_eq!(error.to_string(), format!("{CLUSTER} was deleted"));
    answers.clusters[0].cluster_arn.push('x');
    let error = task_subject().verify(Requirement::Place, &answers).unwrap_err();
    assert_eq!(error.to_string(), format!("ECS does not know {CLUSTER}"));
}

/// Why the service is not proved; where the task is, is.
fn unproved(seen: Result<EcsFacts, EcsRefusal>) -> EcsRefusal {
    let facts = seen.unwrap();
    assert_eq!((facts.cluster_name.as_str(), facts.service), ("production", None));
    facts.unproved.unwrap()
}

#[test]
fn a_service_is_proved_by_its_deployment_and_not_by_the_group() {
    let with = |group: serde_json::Value, started_by: serde_json::Value| {
        let task = task_with(&[("group", group), ("startedBy", started_by)]);
        verify(Requirement::Service, &task)
    };
    let null = || serde_json::Value::Null;
    for deployment in ["ecs-svc/1", "ecs-svc/2"] {
        let facts = with("service:orders".into(), deployment.into()).unwrap();
        assert_eq!(facts.service.as_deref(), Some("orders"));
    }
    for started_by in ["ecs-svc/3".into(), "".into(), "somebody".into(), null()] {
        let error = unproved(with("service:orders".into(), started_by));
        let expected = format!("{TASK} was not started by a deployment of the service orders");
        assert_eq!(error.to_string(), expected);
    }
    let error = unproved(with("service:idle".into(), "".into()));
    assert!(matches!(error, EcsRefusal::NotOfService { .. }), "two empty texts prove nothing");
    for group in ["service:payments", "service:Orders", "service:elsewhere"] {
        let error = unproved(with(group.into(), "ecs-svc/1".into()));
        assert!(matches!(error, EcsRefusal::UnknownService { .. }), "{group}: {error}");
    }
    let error = unproved(with("service:gone".into(), "ecs-svc/1".into()));
    assert!(matches!(error, EcsRefusal::ServiceDeleted { .. }) && !error.is_transient(), "{error}");
    let facts = with("service:leaving".into(), "ecs-svc/1".into()).unwrap();
    assert_eq!(facts.service.as_deref(), Some("leaving"));
    for group in ["family:mesh".into(), "orders".into(), "service:".into(), "".into(), null()] {
        let facts = with(group, "ecs-svc/1".into()).unwrap();
        assert_eq!((facts.service, facts.unproved), (None, None));
    }
}

/// CodeDeploy and deployers outside of AWS make task sets, and ECS lists no deployments then.
#[test]
fn a_service_without_deployments_is_proved_by_its_task_sets() {
    let with = |group: &str, started_by: &str| {
        let task = task_with(&[("group", group.into()), ("startedBy", started_by.into())]);
        verify(Requirement::Service, &task)
    };
    for set in ["ecs-svc/4", "ecs-svc/5"] {
        let facts = with("service:blue-green", set).unwrap();
        assert_eq!(facts.service.as_deref(), Some("blue-green"));
    }
    for (group, started_by) in [
        ("service:blue-green", "ecs-svc/1"),
        // Says who made the set, and anybody can say the same of a task.
        ("service:blue-green", "CODE_DEPLOY"),
        ("service:blue-green", "x"),
        ("service:blue-green", ""),
        ("service:orders", "ecs-svc/4"),
        ("service:idle", ""),
    ] {
        let error = unproved(with(group, started_by));
        assert!(matches!(error, EcsRefusal::NotOfService { .. }), "{group}: {error}");
    }
}

#[test]
fn a_host_is_its_container_instance() {
    let subject = instance_subject();
    let mut answers = answers("{}");
    let facts = subject.verify(Requirement::Service, &answers).unwrap();
    assert_eq!(facts.service, None, "a host is of no service");
    assert_eq!(facts.launch_type, Some(LaunchType::External));
    assert_eq!(facts.cluster_name, "production");
    answers.instances[0].status = "DRAINING".to_owned();
    let error = subject.verify(Requirement::Place, &answers).unwrap_err();
    assert_eq!(error.to_string(), format!("{INSTANCE} is DRAINING and not ACTIVE"));
    for id in [Some("mi-9999".to_owned()), None] {
        answers.instances[0].ec2_instance_id = id;
        let error = subject.verify(Requirement::Place, &answers).unwrap_err();
        assert_eq!(error.to_string(), format!("{INSTANCE} is another machine than mi-0123"));
    }
    answers.instances.clear();
    let body = format!(r#"{{"failures":[{{"arn":"{INSTANCE}","reason":"MISSING"}}]}}"#);
    answers.add(Operation::DescribeContainerInstances, json(&body)).unwrap();
    let error = subject.verify(Requirement::Place, &answers).unwrap_err();
    assert_eq!(error.to_string(), format!("ECS does not know {INSTANCE} in the cluster: MISSING"));
    let ec2 = EcsSubject::new(&session("i-0123"), &claim(None, Some(INSTANCE), "")).unwrap();
    let mut answers = self::answers("{}");
    answers.instances[0].ec2_instance_id = Some("i-0123".to_owned());
    let facts = ec2.verify(Requirement::Place, &answers).unwrap();
    assert_eq!(facts.launch_type, Some(LaunchType::Ec2));
}

#[test]
fn a_session_stands_for_its_own_task_only() {
    let cases: [(&str, Claim<'_>, &str); 9] = [
        ("ffff", claim(Some(TASK), None, ""), "is not the session of the task"),
        ("production", claim(Some(TASK), None, ""), "is not the session of the task"),
        (&TASK_ID[..31], claim(Some(TASK), None, ""), "is not the session of the task"),
        (TASK_ID, claim(None, None, "production"), "it named none; give --task-arn"),
        (TASK_ID, claim(None, Some(INSTANCE), ""), "it named none; give --task-arn"),
        ("mi-0123", claim(Some(TASK), None, ""), "it named none; give --container-instance"),
        ("i-0123", claim(None, Some(TASK), ""), "is not the ARN of a container-instance"),
        (TASK_ID, claim(Some(OLD_TASK), None, ""), "does not name its cluster, and \"\""),
        (TASK_ID, claim(Some(INSTANCE), None, ""), "is not the ARN of a task"),
    ];
    for (name, claim, expected) in cases {
        let error = EcsSubject::new(&session(name), &claim).unwrap_err();
        assert!(error.starts_with("arn:aws:sts::123456789012:assumed-role/mesh-agent/"), "{error}");
        assert!(error.contains(expected), "{error}");
    }
    let user = format!("arn:aws:iam::{ACCOUNT}:user/{TASK_ID}");
    let user = AwsPrincipal::parse(&user, ACCOUNT).unwrap();
    let error = EcsSubject::new(&user, &claim(Some(TASK), None, "")).unwrap_err();
    assert!(error.contains("is not a session of a role"), "{error}");
}

#[test]
fn a_task_of_another_account_or_partition_is_refused() {
    let arn = TASK.replace(ACCOUNT, "210987654321");
    let error = EcsSubject::new(&session(TASK_ID), &claim(Some(&arn), None, "")).unwrap_err();
    assert!(error.contains("does not belong to the account of"), "{error}");
    let arn = TASK.replace("aws:ecs:eu-central-1", "aws-cn:ecs:cn-north-1");
    let error = EcsSubject::new(&session(TASK_ID), &claim(Some(&arn), None, "")).unwrap_err();
    assert!(error.contains("does not belong to the account of"), "{error}");
}

#[test]
fn what_is_no_arn_of_a_known_region_is_never_asked_about() {
    let regions = [
        "",
        "eu-central-9",
        "evil.example",
        "eu-central-1.evil.example#",
        "EU-CENTRAL-1",
        "cn-north-1",
        "eu-central-1\r\nx",
        "eu-central-1@evil.example",
    ];
    for region in regions {
        let arn = TASK.replace("eu-central-1", region);
        let error = EcsSubject::new(&session(TASK_ID), &claim(Some(&arn), None, "")).unwrap_err();
        assert!(error.contains("is in a region that this ingress does not know"), "{error}");
    }
    let long = format!("arn:aws:ecs:eu-central-1:{ACCOUNT}:task/{}/{TASK_ID}", "c".repeat(256));
    let arns = [
        "",
        "task",
        TASK_ID,
        &format!("{TASK}/x"),
        &format!("{TASK}:x"),
        &TASK.replace("production/", "/"),
        &TASK.replace("production", "produc*"),
        &TASK.replace("production", "a b"),
        &TASK.replace(TASK_ID, ""),
        &TASK.replace(TASK_ID, "a_b"),
        &TASK.replace(TASK_ID, "a"),
        &TASK.replace(TASK_ID, &"a".repeat(31)),
        &TASK.replace(TASK_ID, &"a".repeat(33)),
        &TASK.replace(TASK_ID, &"a".repeat(37)),
        &TASK.replace("ecs", "sts"),
        &TASK.replace("task/", "service/"),
        &format!("{TASK}\r\n"),
        &long,
    ];
    for arn in arns {
        let error = EcsSubject::new(&session(TASK_ID), &claim(Some(arn), None, "")).unwrap_err();
        assert!(error.contains("is not the ARN of a task"), "{error}");
    }
}

#[test]
fn an_old_arn_takes_its_cluster_from_the_claim() {
    for cluster in ["production", CLUSTER] {
        let claim = claim(Some(OLD_TASK), None, cluster);
        let subject = EcsSubject::new(&session(TASK_ID), &claim).unwrap();
        assert_eq!(subject.cluster_arn(), CLUSTER);
    }
    let other_account = CLUSTER.replace(ACCOUNT, "210987654321");
    let other_region = CLUSTER.replace("eu-central-1", "us-east-1");
    for cluster in ["", "a b", "x/production", &other_account, &other_region] {
        let claim = claim(Some(OLD_TASK), None, cluster);
        assert!(EcsSubject::new(&session(TASK_ID), &claim).is_err(), "{cluster}");
    }
    // A new ARN says it itself, whatever the agent calls its cluster.
    let subject = EcsSubject::new(&session(TASK_ID), &claim(Some(TASK), None, "mine")).unwrap();
    assert_eq!((subject.cluster_arn(), subject.arn()), (CLUSTER, TASK));
}

#[test]
fn the_requests_are_those_of_the_api() {
    let question = EcsQuestion::about(&task_subject(), Requirement::Service);
    let bodies: Vec<(&str, String)> = question
        .requests()
        .into_iter()
        .map(|request| (request.operation.as_str(), request.body.to_string()))
        .collect();
    let expected = [
        ("DescribeClusters", format!(r#"{{"clusters":["{CLUSTER}"]}}"#)),
        ("DescribeTasks", format!(r#"{{"cluster":"{CLUSTER}","tasks":["{TASK}"]}}"#)),
    ];
    assert_eq!(bodies, expected);
    let requests = EcsQuestion::about(&instance_subject(), Requirement::Place).requests();
    let expected = format!(r#"{{"cluster":"{CLUSTER}","containerInstances":["{INSTANCE}"]}}"#);
    assert_eq!(requests[1].operation, Operation::DescribeContainerInstances);
    assert_eq!(requests[1].body.to_string(), expected);
    assert_eq!(requests.len(), 2);
}

#[test]
fn services_are_asked_about_where_they_matter() {
    let answers = answers(&task_with(&[]));
    let requests = EcsQuestion::about(&task_subject(), Requirement::Service).follow_up(&answers);
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].operation.as_str(), "DescribeServices");
    assert_eq!(
        requests[0].body.to_string(),
        format!(r#"{{"cluster":"{CLUSTER}","services":["orders"]}}"#)
    );
    let question = EcsQuestion::about(&task_subject(), Requirement::Place);
    assert_eq!(question.follow_up(&answers), []);
    let alone = self::answers(&task_with(&[("group", "family:x".into())]));
    let question = EcsQuestion::about(&task_subject(), Requirement::Service);
    assert_eq!(question.follow_up(&alone), []);
    let hostile = self::answers(&task_with(&[("group", "service:\"],\"x\":[\"".into())]));
    let body = question.follow_up(&hostile)[0].body.clone();
    assert_eq!(body["services"][0], "\"],\"x\":[\"");
    assert!(body.get("x").is_none());
}

fn numbered(cluster: &str, number: usize) -> EcsSubject {
    let id = format!("{number:032x}");
    let task = format!("arn:aws:ecs:eu-central-1:{ACCOUNT}:task/{cluster}/{id}");
    EcsSubject::new(&session(&id), &claim(Some(&task), None, "")).unwrap()
}

#[test]
fn many_agents_make_few_questions() {
    let subjects: Vec<EcsSubject> = (0..250).map(|number| numbered("a", number)).collect();
    let others: Vec<EcsSubject> = (0..3).map(|number| numbered("b", number)).collect();
    let host = instance_subject();
    let mut all: Vec<(&EcsSubject, Requirement)> =
        subjects.iter().chain(&others).map(|subject| (subject, Requirement::Place)).collect();
    all.push((&host, Requirement::Place));
    all.push((&subjects[0], Requirement::Service));
    all.push((&subjects[0], Requirement::Place));
    let questions = EcsQuestion::batches(&all);
    let sizes: Vec<(usize, usize, usize)> = questions
        .iter()
        .map(|q| (q.tasks.len(), q.instances.len(), q.tasks_of_services.len()))
        .collect();
    assert_eq!(sizes, [(100, 0, 1), (100, 0, 0), (50, 0, 0), (3, 0, 0), (0, 1, 0)]);
    assert!(questions[..3].iter().all(|question| question.cluster_arn.ends_with("cluster/a")));
    assert_eq!(EcsQuestion::batches(&[]), []);
}

#[test]
fn tasks_and_hosts_of_a_cluster_share_a_question_and_services_come_in_tens() {
    let subjects: Vec<EcsSubject> = (0..25).map(|number| numbered("production", number)).collect();
    let host = instance_subject();
    let mut all: Vec<(&EcsSubject, Requirement)> =
        subjects.iter().map(|subject| (subject, Requirement::Service)).collect();
    all.push((&host, Requirement::Service));
    let questions = EcsQuestion::batches(&all);
    assert_eq!(questions.len(), 1);
    assert_eq!((questions[0].tasks.len(), questions[0].instances.len()), (25, 1));
    let tasks: Vec<serde_json::Value> = subjects
        .iter()
        .enumerate()
        .map(|(index, subject)| {
            let group = format!("service:s{}", index / 2);
            serde_json::json!({"taskArn": subject.arn(), "clusterArn": CLUSTER, "group": group})
        })
        .collect();
    let answers = answers(&serde_json::json!({"tasks": tasks}).to_string());
    let requests = questions[0].follow_up(&answers);
    let services = |index: usize| requests[index].body["services"].as_array().unwrap().len();
    assert_eq!(requests.len(), 2);
    assert_eq!((services(0), services(1)), (10, 3));
}

#[test]
fn an_answer_that_is_not_what_ecs_says_is_an_error() {
    let mut answers = EcsAnswers::default();
    for body in ["3", "\"x\"", r#"{"tasks":[{}]}"#, r#"{"tasks":{}}"#] {
        let error = answers.add(Operation::DescribeTasks, json(body)).unwrap_err();
        assert!(error.starts_with("the answer to DescribeTasks is unreadable: "), "{error}");
    }
    assert_eq!(answers, EcsAnswers::default());
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}
