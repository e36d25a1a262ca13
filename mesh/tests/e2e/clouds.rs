//! An agent on a machine of another cloud, which has something else where EC2 has its metadata.

use std::process::Command;

use crate::peers::caller::HOST;
use crate::peers::network::Network;
use crate::peers::process::{Process, Server};
use crate::peers::service::Service;

const NETWORK: Network = Network {
    script: r#"
        set -e
        ip link set lo up
        ip address add 169.254.169.254/32 dev lo
        exec "$@"
    "#,
};

/// What the agent finds out there.
const COMPLAINT: &str = "the instance metadata service gives no token";

/// An agent that was told nothing about AWS but these variables, once it has said that.
fn start(variables: &[(&str, &str)], says: &str, check: impl FnOnce(&Process)) {
    let server = Server::start(&[]);
    let (service, _stranger) =
        (Service::start("a"), Service::start_at("stranger", "169.254.169.254:80".parse().unwrap()));
    let (ingress, local) = (format!("ws://{}", server.tunnels), service.url());
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
    command.args(["client", "--host", HOST, "--log-level", "debug"]);
    command.args(["--ingress-endpoint", &ingress, "--local-endpoint", &local]);
    // Not switched off, as it is for other tests.
    command.env("AWS_EC2_METADATA_DISABLED", "").envs(variables.iter().copied());
    let agent = Process::spawn(&mut command);
    agent.wait_log(says);
    server.wait_available(1);
    check(&agent);
}

#[test]
fn whoever_means_no_aws_hears_no_warning_about_it() {
    NETWORK.inside(|| {
        start(&[], COMPLAINT, |agent| {
            assert_eq!(agent.log_count(" WARN "), 0, "{}", agent.log());
            agent.expect_log(COMPLAINT, 1);
        });
    });
}

#[test]
fn whoever_means_aws_hears_what_is_wrong_with_it() {
    NETWORK.inside(|| {
        start(&[("AWS_REGION", "eu-central-1")], COMPLAINT, |agent| {
            agent.wait_log(&format!("AWS credentials (instance metadata): {COMPLAINT}"));
            agent.expect_log(" WARN ", 1);
        });
    });
}

/// As where nobody is at that address.
#[test]
fn whoever_has_keys_and_no_region_asks_the_sts_of_all_regions() {
    NETWORK.inside(|| {
        let keys = [("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "secret")];
        start(&keys, "this agent's own identity is not known", |agent| {
            agent.expect_log("sts.amazonaws.com", 1);
            agent.expect_log(COMPLAINT, 0);
        });
    });
}
