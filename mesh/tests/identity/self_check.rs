//! What `mesh client` says about itself at its start: in one sentence each what is wrong, before
//! the ingress decides. Refusals are moto's.

use crate::aws::moto::Moto;
use crate::aws::seed::Identity;
use crate::fakes::proxy::Proxy;
use crate::peers::process::Process;
use crate::peers::service::Service;
use crate::stage::{Variables, client, ingress};

/// How the check's own lines begin, behind the time.
const WARNING: &str = " WARN  [mesh_agent] ";

/// An agent of that cluster, which comes to say that.
fn look(aws: &str, variables: &Variables, cluster: &str, sentence: &str) -> Process {
    // It asks nobody for a proof: what the agent says is of its own accord.
    let server = ingress("", &Variables::new(), &[]);
    let service = Service::start("a");
    let words = ["--host", "shop.example.com", "--cluster-name", cluster];
    let agent = client(aws, &server, &service, variables, &words);
    agent.wait_log(sentence);
    server.wait_available(1);
    agent
}

#[test]
fn an_agent_that_finds_nothing_wrong_says_who_it_is() {
    let Some(moto) = Moto::shared() else { return };
    let (user, production) = (moto.user("agent"), &moto.seed.clusters["production"]);
    for cluster in ["production", production] {
        let sentence = format!("this agent is {}", user.arn);
        let proxy = Proxy::before(moto.address);
        let agent = look(&proxy.url(), &user.variables(), cluster, &sentence);
        proxy.fake.wait_count("DescribeClusters", 1);
        assert_eq!(agent.log_count(WARNING), 0, "{}", agent.log());
    }
}

#[test]
fn an_agent_without_credentials_has_no_identity_to_offer() {
    let Some(moto) = Moto::shared() else { return };
    let sentence = "there is no AWS identity to offer: there are no AWS credentials: ";
    let agent = look(&moto.url(), &Variables::new(), "production", sentence);
    assert_eq!(agent.log_count(WARNING), 0, "it may need none: {}", agent.log());
}

#[test]
fn an_agent_that_sts_refuses_is_told_what_will_come_of_it() {
    let Some(moto) = Moto::shared() else { return };
    let wrong = moto.user("agent").with_wrong_secret();
    for (identity, code) in
        [(wrong, "SignatureDoesNotMatch"), (Identity::unknown(), "InvalidClientTokenId")]
    {
        let sentence = format!(
            "no ingress that asks for this agent's AWS credentials will accept them now: STS \
             refuses with {code} (403): "
        );
        let agent = look(&moto.url(), &identity.variables(), "production", &sentence);
        agent.expect_log(WARNING, 1);
    }
}

#[test]
fn an_agent_that_may_not_look_at_its_cluster_says_which_permission_is_missing() {
    let Some(moto) = Moto::shared() else { return };
    let variables = moto.user("powerless").variables();
    let sentence = format!(
        "this agent may not describe its cluster production (ECS denies it with AccessDenied: User: \
         {} is not authorized to perform: ecs:DescribeClusters); it needs ecs:DescribeClusters on \
         it only for this check",
        moto.user("powerless").arn
    );
    let agent = look(&moto.url(), &variables, "production", &sentence);
    agent.expect_log(WARNING, 1);
}

#[test]
fn an_agent_of_a_cluster_that_is_not_there_says_so() {
    let Some(moto) = Moto::shared() else { return };
    let variables = moto.user("agent").variables();
    let sentence = "there is no cluster nowhere in eu-central-1";
    let agent = look(&moto.url(), &variables, "nowhere", sentence);
    agent.expect_log(WARNING, 1);
}
