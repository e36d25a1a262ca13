//! Proves the agent's identity with its AWS credentials, on a helper thread, and finds out about
//! the ECS task that it is part of.

use std::sync::OnceLock;
use std::time::SystemTime;

use log::{Level, debug, info, log, warn};
use mesh_aws::{
    Chain, CredentialsError, Ecs, EcsFailure, Endpoint, Environment, InstanceFacts, Region,
    RegionError, Regions, Source, Statement, Sts, StsFailure,
};
use mesh_protocol::Proxy;
use mesh_protocol::control::{IamProof, Proof};
use mesh_protocol::proof::{
    HELLO_HEADER, NONCE_HEADER, SERVER_ID_HEADER, STS_BODY, STS_CONTENT_TYPE,
};

use crate::Config;
use crate::identity::{Place, Question};

/// Whose lines in the log these are.
const LOG: &str = "mesh_agent";

/// Variables that are set only where AWS is meant.
const MEANS_AWS: [&str; 4] =
    ["AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"];

/// The agent's own AWS.
#[derive(Debug)]
pub(super) struct Aws {
    environment: Environment,
    chain: Chain,
    regions: Regions,
    /// Set once nothing more can be known of the task that this process is part of.
    placed: OnceLock<()>,
    /// Set once the log was told that the metadata of its task are not there.
    was_silent: OnceLock<()>,
}

impl Aws {
    /// Looks nowhere yet. AWS is reached through the proxy, and what is on this host is not.
    ///
    /// # Errors
    /// A sentence about a setting of AWS in the environment.
    pub(super) fn new(proxy: Option<&Proxy>) -> Result<Self, String> {
        let environment = Environment::of_process();
        let environment = match proxy {
            Some(proxy) => environment.through(&proxy.host, proxy.port, proxy.credentials()),
            None => environment,
        };
        let chain = Chain::new(&environment).map_err(|error| error.to_string())?;
        let regions = Regions::new(&environment);
        let (placed, was_silent) = (OnceLock::new(), OnceLock::new());
        Ok(Self { environment, chain, regions, placed, was_silent })
    }

    /// Signs a question to STS for the ingress to ask. Credentials that may be good no more are looked for
    /// anew.
    pub(super) fn prove(&self, question: &Question, anew: bool) -> Result<Proof, String> {
        let now = now();
        if anew {
            self.chain.forget();
        }
        let credentials = self.chain.get(now).map_err(|error| error.to_string())?;
        let endpoint = self.sts()?;
        let binding = question.binding();
        let statement = Statement {
            host: &endpoint.host,
            region: endpoint.region.as_str(),
            content_type: STS_CONTENT_TYPE,
            body: STS_BODY,
            binding: &[
                (HELLO_HEADER, binding.hello),
                (NONCE_HEADER, binding.nonce),
                (SERVER_ID_HEADER, binding.server_id),
            ],
        };
        let proof = mesh_aws::prove(&credentials, statement, now)
            .map_err(|error| format!("the proof of identity cannot be signed: {error}"))?;
        Ok(Proof::Iam(IamProof {
            host: proof.host,
            region: proof.region,
            access_key_id: proof.access_key_id,
            date: proof.date,
            security_token: proof.security_token,
            signature: proof.signature,
        }))
    }

    /// Where this process is: which task it is part of, the first time that its ECS agent can say so, or
    /// else which container instance it runs on, as often as the ECS agent of this host can say so. An
    /// agent that starts with its host may be there before the ECS agent is, and a host that is
    /// registered anew is another container instance: this is asked with each proof.
    pub(super) fn place(&self) -> Option<Place> {
        if self.placed.get().is_some() {
            return None;
        }
        let place = match mesh_aws::task(&self.environment) {
            Some(Ok(task)) => {
                info!(target: LOG, "this agent is part of the ECS task {}", task.task_arn);
                let (cluster, service) = (task.cluster, task.service.unwrap_or_default());
                Place { task: task.task_arn, cluster, service, ..Place::default() }
            }
            Some(Err(error)) => {
                // Who started this task is there, and may have a bad moment.
                let level = match self.was_silent.set(()) {
                    Ok(()) => Level::Warn,
                    Err(()) => Level::Debug,
                };
                log!(target: LOG, level, "{error}; it is asked again with the next proof");
                return None;
            }
            // On most hosts there is no ECS agent, which is nothing to talk about.
            None => {
                let host = mesh_aws::container_instance(mesh_aws::INTROSPECTION).ok()?;
                let InstanceFacts { container_instance, cluster } = host;
                return Some(Place { container_instance, cluster, ..Place::default() });
            }
        };
        self.placed.set(()).ok().map(|()| place)
    }

    /// Looks at the agent's own identity, and at the cluster it names, and says in one sentence
    /// each what is wrong with them. Nothing depends on it but the operator's peace of mind: the
    /// ingress decides.
    pub(super) fn check_own_identity(&self, config: &Config) {
        match self.chain.get(now()) {
            Err(CredentialsError::NotFound(sentence)) => {
                info!(target: LOG, "there is no AWS identity to offer: {sentence}");
                return;
            }
            // Other clouds have something else at that address, and nobody asked for this one. Should
            // the ingress do so, it is said with the proof.
            Err(error @ CredentialsError::Broken { source: Source::Instance, .. })
                if !self.is_configured(config) =>
            {
                return debug!(target: LOG, "there is no AWS identity to offer: {error}");
            }
            Err(error @ (CredentialsError::Broken { .. } | CredentialsError::Expired(_))) => {
                warn!(target: LOG, "{error}");
                return;
            }
            Ok(_) => {}
        }
        match self.identity() {
            Ok(arn) => info!(target: LOG, "this agent is {arn}"),
            Err(sentence) => return warn!(target: LOG, "{sentence}"),
        }
        let cluster = &*config.cluster;
        if !cluster.is_empty()
            && let Err(sentence) = self.check_cluster(cluster)
        {
            warn!(target: LOG, "{sentence}");
        }
    }

    /// Whether somebody set this host up for AWS, or ECS did.
    fn is_configured(&self, config: &Config) -> bool {
        let is_set = |name: &&str| self.environment.get(name).is_some();
        !config.task.is_empty()
            || !config.container_instance.is_empty()
            || MEANS_AWS.iter().any(is_set)
    }

    fn identity(&self) -> Result<String, String> {
        let sts = Sts::new(&self.environment).map_err(|error| error.to_string())?;
        let identity = sts.caller_identity(&self.chain, &self.sts()?, now());
        identity.map(|identity| identity.arn).map_err(|failure| match failure {
            // A wrong clock has the code of a wrong key, and another explanation.
            StsFailure::Refused { .. } => format!(
                "no ingress that asks for this agent's AWS credentials will accept them now: {failure}"
            ),
            StsFailure::Unreachable(sentence) | StsFailure::Unexpected(sentence) => {
                format!("this agent's own identity is not known: {sentence}")
            }
            StsFailure::Credentials(error) => error.to_string(),
        })
    }

    fn check_cluster(&self, cluster: &str) -> Result<(), String> {
        let region = match cluster.split(':').nth(3) {
            Some(region) => Region::parse(region).ok_or("the cluster's ARN names no region")?,
            None => self.regions.find().map_err(|error| error.to_string())?,
        };
        let endpoint = Endpoint::ecs(&self.environment, &region, None);
        let endpoint = endpoint.map_err(|error| error.to_string())?;
        let ecs = Ecs::new(&self.environment, endpoint).map_err(|error| error.to_string())?;
        let question = serde_json::json!({ "clusters": [cluster] });
        let answer: serde_json::Value = ecs
            .call(&self.chain, "DescribeClusters", &question, now())
            .map_err(|failure| match failure {
                EcsFailure::Denied { .. } => format!(
                    "this agent may not describe its cluster {cluster} ({failure}); it needs \
                     ecs:DescribeClusters on it only for this check"
                ),
                EcsFailure::Refused { .. }
                | EcsFailure::Unreachable(_)
                | EcsFailure::Credentials(_)
                | EcsFailure::Unexpected(_) => {
                    format!("the cluster {cluster} cannot be checked: {failure}")
                }
            })?;
        match answer["clusters"][0]["status"].as_str() {
            Some("ACTIVE") => Ok(()),
            Some(status) => Err(format!("the cluster {cluster} is {status}, not ACTIVE")),
            None => Err(format!("there is no cluster {cluster} in {}", region.as_str())),
        }
    }

    /// The STS of the region, or the global one where no region is known.
    fn sts(&self) -> Result<Endpoint, String> {
        let region = match self.regions.find() {
            Ok(region) => Some(region),
            Err(RegionError::NotFound(_)) => None,
            Err(error @ RegionError::Broken(_)) => return Err(error.to_string()),
        };
        let endpoint = Endpoint::sts(&self.environment, region.as_ref(), None);
        endpoint.map_err(|error| error.to_string())
    }
}

#[expect(clippy::disallowed_methods, reason = "signatures have a date; this is a shell's thread")]
fn now() -> SystemTime {
    SystemTime::now()
}
