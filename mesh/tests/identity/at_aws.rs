//! `mesh client` as in AWS and on hosts with the ECS agent: in a network where credentials and
//! metadata are at their real addresses, and nothing is configured but what AWS configures.

use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::aws::moto::Moto;
use crate::fakes::container::{self, TaskEndpoints};
use crate::fakes::imds::{self, Imds};
use crate::fakes::proxy::Proxy;
use crate::fakes::server::{Fake, Reply};
use crate::namespace;
use crate::peers::service::Service;
use crate::stage::{SERVER_ID, Variables, agent, client, get, services, strict};

#[test]
fn a_task_needs_no_settings_but_those_of_ecs() {
    namespace::inside(|| {
        let moto = Moto::shared().expect("it was there outside");
        let rules = format!(
            "rules:\n- principal: {}\n  cluster: production\n  service: orders\n  hosts: \
             ['{{service}}.example.com']\n",
            moto.seed.roles["agent"]
        );
        let server = strict(moto.user("ingress"), &moto.url(), &rules, &[]);
        let (service, task) = (Service::start("a"), moto.task("orders"));
        let address = container::ADDRESS.parse().unwrap();
        let endpoints = TaskEndpoints::start(address, task, "orders");
        let words = ["--server-id", SERVER_ID];
        let hosts = ["orders.example.com"];
        let client = agent(server.tunnels, &service, &hosts, &endpoints.variables(), &words);
        server.wait_available(1);
        client.wait_log(&format!("this agent is part of the ECS task {}", task.arn));
        assert_eq!(get(&server, "orders.example.com").status, 200);
        let told = &services(&server)[0];
        assert_eq!(told["principal"], *task.identity.arn);
        // What the metadata say, and what ECS says.
        assert_eq!(
            (&told["service"], &told["cluster"]),
            (&"orders".into(), &(*task.cluster).into())
        );
        let ecs = &told["ecs"];
        assert_eq!((&ecs["service"], &ecs["launch_type"]), (&"orders".into(), &"EXTERNAL".into()));
        assert!(endpoints.credentials_count() >= 1);
    });
}

#[test]
fn an_instance_needs_no_settings_at_all() {
    namespace::inside(|| {
        let moto = Moto::shared().expect("it was there outside");
        let rules = format!("rules:\n- account: '{}'\n  hosts: ['*']\n", moto.seed.account);
        let server = strict(moto.user("ingress"), &moto.url(), &rules, &[]);
        let (service, session) = (Service::start("a"), moto.session("operator"));
        let imds = Imds::start(imds::ADDRESS.parse().unwrap(), "mesh-agent", session);
        let variables: Variables = vec![("AWS_EC2_METADATA_DISABLED", String::new())];
        let words = ["--server-id", SERVER_ID];
        let _client = agent(server.tunnels, &service, &["shop.example.com"], &variables, &words);
        server.wait_available(1);
        assert_eq!(services(&server)[0]["principal"], *session.arn);
        let seen = imds.fake.seen();
        assert_eq!((seen[0].method(), seen[0].path()), ("PUT", "/latest/api/token"));
    });
}

/// A host that is registered anew, after a reinstallation of its ECS agent, is another container
/// instance, and the old one is none any more.
#[test]
fn an_agent_whose_host_is_registered_anew_says_so() {
    namespace::inside(|| {
        let moto = Moto::shared().expect("it was there outside");
        let proxy = Proxy::before(moto.address);
        let old = moto.seed.container_instances["production"].clone();
        let new = format!("{}{}", &old[..old.len() - 4], "beef");
        let (now, anew) = (Arc::new(Mutex::new(old.clone())), new.clone());
        let (told, known) = (Arc::clone(&now), Arc::clone(&now));
        proxy.overrule(move |request| {
            let instance = |arn: &str| {
                let is_it = *known.lock().unwrap() == arn;
                json!({
                    "containerInstanceArn": arn,
                    "ec2InstanceId": "mi-0123456789abcdef0",
                    "status": if is_it { "ACTIVE" } else { "INACTIVE" },
                })
            };
            let all =
                json!({ "failures": [], "containerInstances": [instance(&old), instance(&new)] });
            (request.action() == "DescribeContainerInstances").then(|| Reply::json(200, &all))
        });
        let introspection = "127.0.0.1:51678".parse().unwrap();
        let _ecs = Fake::start_at(introspection, move |_| {
            let arn = told.lock().unwrap().clone();
            Reply::json(200, &json!({ "Cluster": "production", "ContainerInstanceArn": arn }))
        });
        let rules = format!(
            "rules:\n- principal: {}\n  cluster: production\n  hosts: ['*']\n",
            moto.seed.roles["host"]
        );
        let words = ["--ecs-recheck-interval", "1"];
        let server = strict(moto.user("ingress"), &proxy.url(), &rules, &words);
        let (service, session) = (Service::start("a"), moto.session("host"));
        let hosts = ["--host", "edge.example.com"];
        let agent = client(&proxy.url(), &server, &service, &session.variables(), &hosts);
        server.wait_available(1);
        *now.lock().unwrap() = anew.clone();
        agent.wait_log("is INACTIVE and not ACTIVE");
        agent.wait_log(&format!("this agent is on the ECS container instance {anew}"));
        server.wait_available(1);
    });
}

/// After a boot of the host, the agent's unit may run before the ECS agent does.
#[test]
fn an_agent_that_was_there_before_the_ecs_agent_asks_it_later() {
    namespace::inside(|| {
        let moto = Moto::shared().expect("it was there outside");
        let proxy = Proxy::before(moto.address);
        let instance = &moto.seed.container_instances["production"];
        // moto's instances are all of EC2.
        let managed = json!({ "failures": [], "containerInstances": [{
            "containerInstanceArn": instance,
            "ec2InstanceId": "mi-0123456789abcdef0",
            "status": "ACTIVE",
        }] });
        proxy.overrule(move |request| {
            let is_it = request.action() == "DescribeContainerInstances";
            is_it.then(|| Reply::json(200, &managed))
        });
        let rules = format!(
            "rules:\n- principal: {}\n  cluster: production\n  hosts: ['*']\n",
            moto.seed.roles["host"]
        );
        let server = strict(moto.user("ingress"), &proxy.url(), &rules, &[]);
        let (service, session) = (Service::start("a"), moto.session("host"));
        let hosts = ["--host", "edge.example.com"];
        let agent = client(&proxy.url(), &server, &service, &session.variables(), &hosts);
        agent.wait_log("ask about its ECS container instance, and it named none");
        let told = json!({ "Cluster": "production", "ContainerInstanceArn": instance });
        let introspection = "127.0.0.1:51678".parse().unwrap();
        let _ecs = Fake::start_at(introspection, move |_| Reply::json(200, &told));
        server.wait_available(1);
        agent.wait_log(&format!("this agent is on the ECS container instance {instance}"));
    });
}
