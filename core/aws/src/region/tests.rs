use std::time::{Duration, Instant};

use super::{MISSING_FOR, Region, RegionError, Regions};
use crate::Environment;
use crate::instance::Instance;
use crate::tests::{Folder, PATIENT, Reply, Server, environment, refused};

fn find(environment: &Environment) -> Result<String, RegionError> {
    Regions::new(environment).find().map(|region| region.to_string())
}

fn metadata(task_region: &str) -> Server {
    let task = format!(
        "{{\"Cluster\":\"shop\",\"Family\":\"agent\",\
         \"TaskARN\":\"arn:aws:ecs:{task_region}:123456789012:task/shop/0123\"}}"
    );
    Server::script(vec![Reply::ok(task)])
}

#[test]
fn a_region_is_words_and_a_number() {
    for name in
        ["eu-central-1", "us-gov-west-1", "ap-southeast-7", "us-isob-east-1", "eusc-de-east-1"]
    {
        assert_eq!(Region::parse(name).unwrap().as_str(), name);
    }
    for name in [
        "",
        "eu",
        "eu-central",
        "eu-1",
        "EU-central-1",
        "eu-central-1a",
        "eu-central-1.evil.example",
        "eu-central-100",
        "eu--1",
        "a-b-c-d-1",
        "eu-central-1/",
        "eu_central_1",
        "-central-1",
    ] {
        assert_eq!(Region::parse(name), None, "{name}");
    }
}

#[test]
fn the_first_place_that_names_a_region_decides() {
    let folder = Folder::new();
    let config = folder.file("config", "[default]\nregion = eu-west-3\n");
    let config = ("AWS_CONFIG_FILE", config.to_str().unwrap());
    let (task, instance) =
        (metadata("eu-west-4"), Server::script(vec![Reply::ok("t"), Reply::ok("eu-west-5")]));
    let (task, instance) = (task.url(), instance.url());
    let all = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_DEFAULT_REGION", "eu-west-2"),
        config,
        ("ECS_CONTAINER_METADATA_URI_V4", task.as_str()),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", instance.as_str()),
    ];
    for (number, from) in (1..).zip(0..all.len()) {
        let rest: Environment = all[from..].iter().copied().collect();
        assert_eq!(find(&rest), Ok(format!("eu-west-{number}")));
    }
}

#[test]
fn the_profile_that_is_meant_names_the_region() {
    let folder = Folder::new();
    let text = "[default]\nregion = eu-west-1\n[profile shop]\nregion = eu-west-2\n";
    let config = folder.file("config", text);
    let variables =
        environment([("AWS_CONFIG_FILE", config.to_str().unwrap()), ("AWS_PROFILE", "shop")]);
    assert_eq!(find(&variables).as_deref(), Ok("eu-west-2"));
}

#[test]
fn a_profile_that_may_not_be_read_keeps_nobody_from_the_region() {
    let folder = Folder::new();
    let home = folder.file("home", "");
    let home = ("HOME", home.to_str().unwrap());
    let task = metadata("eu-west-4");
    let task = task.url();
    let here = environment([home, ("ECS_CONTAINER_METADATA_URI_V4", task.as_str())]);
    assert_eq!(find(&here).as_deref(), Ok("eu-west-4"));
    let nowhere = environment([home, ("AWS_EC2_METADATA_DISABLED", "true")]);
    let sentence = find(&nowhere).unwrap_err().to_string();
    let expected = format!("the profile names none (cannot read {}/.aws/config: ", home.1);
    assert!(sentence.contains(&expected), "{sentence}");
}

#[test]
fn a_region_is_looked_for_until_it_is_found_and_then_remembered() {
    let server = Server::script(vec![
        Reply::Answer(404, String::new()),
        Reply::ok("token"),
        Reply::ok("eu-west-1"),
        Reply::Hangup,
    ]);
    let url = server.url();
    let regions = Regions::new(&environment([("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)]));
    assert!(regions.find().is_err());
    for _ in 0..2 {
        assert_eq!(regions.find().unwrap().as_str(), "eu-west-1");
    }
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn where_nobody_told_the_region_nobody_is_asked_for_a_while() {
    let answers = [Reply::ok("token"), Reply::ok("eu-west-1")];
    let replies = [vec![Reply::Hangup; 2], answers.to_vec()].concat();
    let server = Server::script(replies);
    let variables = environment([("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.url())]);
    let regions = Regions::with(&variables, Instance::within(&variables, PATIENT));
    let start = Instant::now();
    let missing = regions.find_at(start).unwrap_err();
    assert!(matches!(missing, RegionError::NotFound(_)), "{missing}");
    let before = MISSING_FOR - Duration::from_millis(1);
    for later in [Duration::ZERO, before] {
        // Whoever asked now would be told.
        assert_eq!(regions.find_at(start + later), Err(missing.clone()));
    }
    assert_eq!(regions.find_at(start + MISSING_FOR).unwrap().as_str(), "eu-west-1");
}

#[test]
fn a_region_that_is_configured_meanwhile_is_found_at_once() {
    let folder = Folder::new();
    let variables = environment([("HOME", folder.name()), ("AWS_EC2_METADATA_DISABLED", "true")]);
    let regions = Regions::new(&variables);
    assert!(regions.find().is_err());
    folder.file(".aws/config", "[default]\nregion = eu-west-1\n");
    assert_eq!(regions.find().unwrap().as_str(), "eu-west-1");
}

#[test]
fn what_names_no_region_is_named_itself() {
    let error = find(&environment([("AWS_REGION", "here")])).unwrap_err();
    assert_eq!(error.to_string(), "AWS_REGION: \"here\" is not a region; eu-central-1 is one");
    let url = refused();
    let nobody = environment([("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)]);
    let Err(RegionError::NotFound(sentence)) = find(&nobody) else {
        panic!("there is no region");
    };
    assert!(sentence.contains("AWS_REGION is not set"), "{sentence}");
    assert!(sentence.contains("connection refused"), "{sentence}");
}
