//! Where an agent has its credentials from: files that somebody rotates, the endpoint of a
//! container, an instance's metadata, a role assumed with other keys or for a token. Whatever the
//! source, moto verifies the signature.

use std::time::Duration;

use serde_json::json;

use crate::aws::moto::Moto;
use crate::aws::seed::Identity;
use crate::fakes::clock;
use crate::fakes::container::TaskEndpoints;
use crate::fakes::imds::Imds;
use crate::fakes::proxy::Proxy;
use crate::fakes::server::Reply;
use crate::peers::place::own_address;
use crate::peers::process::{Process, Server};
use crate::peers::service::Service;
use crate::stage::{Scratch, Variables, client, services, strict, strict_at};

const HOST: [&str; 2] = ["--host", "shop.example.com"];

/// An ingress that accepts everybody of the account.
fn open(moto: &Moto) -> Server {
    strict(moto.user("ingress"), &moto.url(), &rules(moto), &[])
}

fn rules(moto: &Moto) -> String {
    format!("rules:\n- account: '{}'\n  hosts: ['*']\n", moto.seed.account)
}

/// An agent with these variables, which has to become registered as that.
fn register(moto: &Moto, server: &Server, service: &Service, variables: &Variables, arn: &str) {
    let agent = client(&moto.url(), server, service, variables, &HOST);
    server.wait_available(1);
    assert_eq!(services(server)[0]["principal"], *arn);
    drop(agent);
    server.wait_metric("mesh_tunnels", 0);
}

/// An agent with these variables, which has to be registered never, because of that.
fn complain(moto: &Moto, server: &Server, variables: &Variables, sentence: &str) -> Process {
    let service = Service::start("a");
    let agent = client(&moto.url(), server, &service, variables, &HOST);
    agent.wait_log(sentence);
    agent.wait_log("connecting again in");
    assert_eq!(server.metric("mesh_tunnels", ""), 0);
    agent
}

fn profile(name: &str, identity: &Identity) -> String {
    let Identity { access_key_id, secret_access_key, .. } = identity;
    let mut text = format!(
        "[{name}]\naws_access_key_id = {access_key_id}\n\
         aws_secret_access_key = {secret_access_key}\n"
    );
    if let Some(token) = &identity.session_token {
        text += &format!("aws_session_token = {token}\n");
    }
    text
}

#[test]
fn a_profile_that_is_rotated_is_read_anew_for_the_next_connection() {
    let Some(moto) = Moto::shared() else { return };
    let (server, service) = (open(moto), Service::start("a"));
    let (first, second) = (moto.session("operator"), moto.session("pathed"));
    let folder = Scratch::new();
    let file = folder.file("credentials", &profile("edge", first));
    let variables = vec![
        ("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap().to_owned()),
        ("AWS_PROFILE", "edge".to_owned()),
    ];
    let agent = client(&moto.url(), &server, &service, &variables, &HOST);
    server.wait_available(1);
    assert_eq!(services(&server)[0]["principal"], *first.arn);

    folder.replace("credentials", &profile("edge", second));
    let place = server.place();
    drop(server);
    let server = strict_at(place, moto.user("ingress"), &moto.url(), &rules(moto), &[]);
    server.wait_available(1);
    assert_eq!(services(&server)[0]["principal"], *second.arn);

    // Keys that are wrong are replaced as well, without a restart. moto refuses them.
    folder.replace("credentials", &profile("edge", &first.with_wrong_secret()));
    drop(server);
    let server = strict_at(place, moto.user("ingress"), &moto.url(), &rules(moto), &[]);
    agent.wait_log("STS refuses with SignatureDoesNotMatch (403)");
    folder.replace("credentials", &profile("edge", first));
    server.wait_available(1);
}

#[test]
fn the_endpoint_of_a_container_gives_credentials_for_its_token() {
    let Some(moto) = Moto::shared() else { return };
    let (server, service) = (open(moto), Service::start("a"));
    let task = moto.task("orders");
    let endpoints = TaskEndpoints::start(own_address(), task, "orders");
    let arn = &task.identity.arn;
    register(moto, &server, &service, &endpoints.variables_in_full(), arn);

    endpoints.demand("Basic abc");
    // Refused by the endpoint.
    let sentence = "AWS credentials (container endpoint): the endpoint in \
                    AWS_CONTAINER_CREDENTIALS_FULL_URI gives none: it answers 403 (bad \
                    Authorization)";
    complain(moto, &server, &endpoints.variables_in_full(), sentence);
    let mut variables = endpoints.variables_in_full();
    variables.push(("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic abc".to_owned()));
    register(moto, &server, &service, &variables, arn);

    let folder = Scratch::new();
    let file = folder.file("token", "Bearer 2").to_str().unwrap().to_owned();
    endpoints.demand("Bearer 2");
    variables.push(("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file));
    register(moto, &server, &service, &variables, arn);

    // The ECS agent has just begun: there will be credentials.
    endpoints.starting(true);
    let agent = complain(moto, &server, &variables, "it answers 503 (Credentials uninitialized");
    endpoints.starting(false);
    endpoints.rotate(moto.session("operator"), Duration::from_secs(60));
    server.wait_metric("mesh_tunnels", 1);
    assert_eq!(services(&server)[0]["principal"], *moto.session("operator").arn);
    drop(agent);
}

#[test]
fn the_metadata_of_an_instance_give_the_credentials_of_its_role() {
    let Some(moto) = Moto::shared() else { return };
    let (server, service) = (open(moto), Service::start("a"));
    let session = moto.session("pathed");
    let imds = Imds::start(own_address(), "mesh-agent-pathed", session);
    let variables = vec![
        ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.fake.url()),
    ];
    register(moto, &server, &service, &variables, &session.arn);
    imds.remove_role();
    complain(moto, &server, &variables, "the EC2 instance has no role");
}

#[test]
fn a_profile_can_assume_a_role_with_the_keys_of_another() {
    let Some(moto) = Moto::shared() else { return };
    let (server, service) = (open(moto), Service::start("a"));
    let (admin, folder) = (moto.user("admin"), Scratch::new());
    // moto knows no trust in services of AWS once it verifies, so that no seeded role will do.
    let trust = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "AWS": admin.arn } },
    ] });
    let role = json!({ "RoleName": "edge", "AssumeRolePolicyDocument": trust.to_string() });
    let made = moto.call(admin, ("iam", "create_role"), &role);
    let role = made["Role"]["Arn"].as_str().unwrap();
    let config = format!(
        "[profile edge]\nrole_arn = {role}\nsource_profile = base\nrole_session_name = edge-1\n"
    );
    let config = folder.file("config", &config).to_str().unwrap().to_owned();
    let keys = folder.file("credentials", &profile("base", admin));
    let variables = vec![
        ("AWS_CONFIG_FILE", config),
        ("AWS_SHARED_CREDENTIALS_FILE", keys.to_str().unwrap().to_owned()),
        ("AWS_PROFILE", "edge".to_owned()),
    ];
    let arn = format!("arn:aws:sts::{}:assumed-role/edge/edge-1", moto.seed.account);
    register(moto, &server, &service, &variables, &arn);

    // Refused by moto: this user may not assume the role.
    folder.replace("credentials", &profile("base", moto.user("powerless")));
    let sentence = format!(
        "AWS credentials (profile): the profile edge: {role}: STS refuses with AccessDenied (403)"
    );
    complain(moto, &server, &variables, &sentence);
}

/// Once moto verifies, it fails at questions without a signature, and this is one. So the proxy
/// exchanges the token, and what comes of it is moto's.
#[test]
fn a_token_of_somebody_else_is_exchanged_for_a_role() {
    let Some(moto) = Moto::shared() else { return };
    let service = Service::start("a");
    let (proxy, session) = (Proxy::before(moto.address), moto.session("other"));
    let action = "AssumeRoleWithWebIdentity";
    let xml = format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>\
         <Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
         <SessionToken>{}</SessionToken><Expiration>{}</Expiration></Credentials>\
         </{action}Result></{action}Response>",
        session.access_key_id,
        session.secret_access_key,
        session.session_token.as_ref().unwrap(),
        clock::from_now(Duration::from_secs(3600)),
    );
    proxy.overrule(move |request| {
        (request.action() == action).then(|| Reply::new(200, "text/xml", &xml))
    });
    let token = Scratch::new().file("token", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln\n");
    let variables = vec![
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap().to_owned()),
        ("AWS_ROLE_ARN", moto.seed.roles["other"].clone()),
        ("AWS_ROLE_SESSION_NAME", "pod-1".to_owned()),
        // The proof itself is for the host by which the ingress knows STS.
        ("AWS_ENDPOINT_URL", proxy.url()),
    ];
    let server = strict(moto.user("ingress"), &proxy.url(), &rules(moto), &[]);
    register(moto, &server, &service, &variables, &session.arn);
    let asked = proxy.fake.seen();
    let asked = asked.iter().find(|request| request.action() == action).unwrap();
    let body = String::from_utf8_lossy(&asked.body);
    assert!(body.contains("RoleSessionName=pod-1&WebIdentityToken=eyJhbGciOiJSUzI1NiJ9.e30.c2ln"));
    assert_eq!(asked.field("authorization"), None);
}

/// Refused by the agent: it has nothing to sign with.
#[test]
fn without_credentials_an_agent_says_where_it_looked() {
    let Some(moto) = Moto::shared() else { return };
    let server = open(moto);
    let agent = complain(moto, &server, &Variables::new(), "there are no AWS credentials: ");
    let looked = [
        "AWS_ACCESS_KEY_ID",
        "there is no profile default",
        "AWS_WEB_IDENTITY_TOKEN_FILE is not set",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and AWS_CONTAINER_CREDENTIALS_FULL_URI are not set",
        "AWS_EC2_METADATA_DISABLED switches the instance metadata service off",
    ];
    for place in looked {
        assert!(agent.log().contains(place), "{place}");
    }
}
