//! Credentials and metadata at their real addresses, and processes that see nothing else.

use std::net::SocketAddr;
use std::time::Duration;

use crate::aws::moto::Moto;
use crate::aws::seed::Identity;
use crate::fakes::container::{self, TaskEndpoints};
use crate::fakes::imds::{self, Imds};
use crate::namespace;
use crate::peers::caller::{Response, ask};
use crate::peers::place::own_address;
use crate::peers::service::Service;
use crate::stage::{self, Scratch};

fn get(address: SocketAddr, path: &str, headers: &str) -> Response {
    ask(address, format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n"))
}

fn value<'a>(variables: &'a [(&str, String)], name: &str) -> &'a str {
    &variables.iter().find(|(key, _)| *key == name).unwrap().1
}

#[test]
fn a_task_finds_its_credentials_and_its_metadata() {
    let Some(moto) = Moto::shared() else { return };
    let task = moto.task("orders");
    let endpoints = TaskEndpoints::start(own_address(), task, "orders");
    let address = endpoints.fake.address;
    let variables = endpoints.variables();
    let path = value(&variables, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    assert!(
        value(&endpoints.variables_in_full(), "AWS_CONTAINER_CREDENTIALS_FULL_URI").ends_with(path)
    );

    let json = |response: Response| -> serde_json::Value {
        serde_json::from_slice(&response.body).unwrap()
    };
    let found = json(get(address, path, ""));
    assert_eq!(found["AccessKeyId"], *task.identity.access_key_id);
    endpoints.rotate(moto.session("operator"), Duration::from_secs(60));
    let rotated = json(get(address, path, ""));
    assert_eq!(rotated["AccessKeyId"], *moto.session("operator").access_key_id);
    assert!(rotated["Expiration"].as_str() < found["Expiration"].as_str());
    assert_eq!(endpoints.credentials_count(), 2);

    assert_eq!(json(get(address, "/v2/credentials/x", ""))["code"], "InvalidIdInRequest");
    endpoints.starting(true);
    assert_eq!(get(address, path, "").status, 503);
    endpoints.starting(false);
    endpoints.demand("Basic abc");
    assert_eq!(get(address, path, "").status, 403);
    assert_eq!(get(address, path, "Authorization: Basic abc\r\n").status, 200);

    let metadata = value(&variables, "ECS_CONTAINER_METADATA_URI_V4");
    let path = metadata.strip_prefix(&endpoints.fake.url()).unwrap();
    let told = json(get(address, &format!("{path}/task"), ""));
    assert_eq!((&told["TaskARN"], &told["ServiceName"]), (&(*task.arn).into(), &"orders".into()));
    assert_eq!((&told["Cluster"], &told["LaunchType"]), (&"production".into(), &"EXTERNAL".into()));
    endpoints.change_metadata(|metadata| metadata["TaskARN"] = "another".into());
    assert_eq!(json(get(address, &format!("{path}/task"), ""))["TaskARN"], "another");
}

#[test]
fn an_instance_gives_credentials_for_a_token_only() {
    let Some(moto) = Moto::shared() else { return };
    let imds = Imds::start(own_address(), "mesh-agent", moto.session("operator"));
    let address = imds.fake.address;
    let roles = "/latest/meta-data/iam/security-credentials/";
    let put = |ttl: &str| {
        let head = format!("PUT /latest/api/token HTTP/1.1\r\nHost: {address}\r\n{ttl}");
        ask(address, head + "Content-Length: 0\r\n\r\n")
    };
    assert_eq!(put("").status, 400);
    let token = put("X-aws-ec2-metadata-token-ttl-seconds: 60\r\n").text();
    let token = format!("X-aws-ec2-metadata-token: {token}\r\n");
    assert_eq!(get(address, roles, "").status, 401);
    assert_eq!(get(address, roles, &token).text(), "mesh-agent");
    let credentials = get(address, &format!("{roles}mesh-agent"), &token).text();
    assert!(credentials.contains(&moto.session("operator").access_key_id), "{credentials}");
    imds.remove_role();
    assert_eq!(get(address, roles, &token).status, 404);
    imds.forget_tokens();
    assert_eq!(get(address, roles, &token).status, 401);
}

#[test]
fn a_network_of_its_own_has_the_addresses_of_aws() {
    namespace::inside(|| {
        let moto = Moto::shared().expect("it was there outside");
        let task = moto.task("orders");
        let endpoints = TaskEndpoints::start(container::ADDRESS.parse().unwrap(), task, "orders");
        let variables = endpoints.variables();
        let path = value(&variables, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        assert_eq!(get(container::ADDRESS.parse().unwrap(), path, "").status, 200);

        let session = moto.session("operator");
        let imds = Imds::start(imds::ADDRESS.parse().unwrap(), "mesh-agent", session);
        assert_eq!(get(imds.fake.address, "/latest/meta-data/", "").status, 401);
        if std::net::TcpListener::bind("[fd00:ec2::254]:0").is_ok() {
            let imds = Imds::start(imds::ADDRESS_V6.parse().unwrap(), "mesh-agent", session);
            assert_eq!(get(imds.fake.address, "/latest/meta-data/", "").status, 401);
        }
        // Nobody outside is reached from in here.
        assert!(std::net::TcpStream::connect("192.0.2.1:80").is_err());
    });
}

#[test]
fn processes_see_the_variables_of_the_test_only() {
    let server = stage::ingress("echo-interval: 5\n", &vec![("MESH_WARM_UP", "0".into())], &[]);
    let service = Service::start("a");
    let mut variables = Identity::unknown().variables();
    variables.push(("MESH_HOST", "shop.example.com".to_owned()));
    let agent = stage::agent(server.tunnels, &service, &[], &variables, &[]);
    server.wait_available(1);
    assert!(server.page("/debug/services").text().contains("shop.example.com"));
    drop(agent);
    let file = Scratch::new().file("aws/credentials", "[default]\n");
    assert!(file.exists());
}
