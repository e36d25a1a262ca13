//! What the ECS agent serves to a task: credentials of the task role, and the task's metadata.
//!
//! Shapes as in amazon-ecs-agent: `credentials/manager.go`, `tmds/handlers/v4/state/response.go`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::clock;
use super::server::{Fake, Reply, Request};
use crate::aws::seed::{Identity, Task};

/// Where the ECS agent is for a task.
pub(crate) const ADDRESS: &str = "169.254.170.2:80";

const CREDENTIALS: &str = "/v2/credentials/7d6bd5f4-6f0c-4c2e-8a3b-0d8f0e2d1c11";
const METADATA: &str = "/v4/8c7c0b3d-1111-2222-3333-444455556666";

/// The endpoints of one task.
#[derive(Debug)]
pub(crate) struct TaskEndpoints {
    pub(crate) fake: Fake,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    identity: Identity,
    lifetime: Duration,
    authorization: Option<String>,
    is_starting: bool,
    is_struggling: bool,
    metadata: Value,
}

impl TaskEndpoints {
    /// The endpoints of `task`, which give out its identity for six hours.
    pub(crate) fn start(address: SocketAddr, task: &Task, service: &str) -> Self {
        let state = Arc::new(Mutex::new(State {
            identity: task.identity.clone(),
            lifetime: Duration::from_secs(6 * 3600),
            authorization: None,
            is_starting: false,
            is_struggling: false,
            metadata: metadata(task, service),
        }));
        let served = Arc::clone(&state);
        let fake = Fake::start_at(address, move |request| served.lock().unwrap().answer(request));
        Self { fake, state }
    }

    /// Gives out other credentials from now on, which are good for so long.
    pub(crate) fn rotate(&self, identity: &Identity, lifetime: Duration) {
        let mut state = self.state.lock().unwrap();
        state.identity = identity.clone();
        state.lifetime = lifetime;
    }

    /// Refuses credentials to whoever does not send this as `Authorization`.
    pub(crate) fn demand(&self, authorization: &str) {
        self.state.lock().unwrap().authorization = Some(authorization.to_owned());
    }

    /// Whether it has no credentials yet, as shortly after the ECS agent's start.
    pub(crate) fn starting(&self, is_starting: bool) {
        self.state.lock().unwrap().is_starting = is_starting;
    }

    /// Whether it answers each question about the task with 500.
    pub(crate) fn struggling(&self, is_struggling: bool) {
        self.state.lock().unwrap().is_struggling = is_struggling;
    }

    /// The metadata of the task, to be changed.
    pub(crate) fn change_metadata(&self, change: impl FnOnce(&mut Value)) {
        change(&mut self.state.lock().unwrap().metadata);
    }

    /// How often credentials were asked for.
    pub(crate) fn credentials_count(&self) -> usize {
        let seen = self.fake.seen();
        seen.iter().filter(|request| request.path() == CREDENTIALS).count()
    }

    /// The variables by which a task finds them, where they are at [`ADDRESS`].
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", CREDENTIALS.to_owned()),
            ("ECS_CONTAINER_METADATA_URI_V4", format!("{}{METADATA}", self.fake.url())),
        ]
    }

    /// The same with the credentials' whole URL, wherever they are.
    pub(crate) fn variables_in_full(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}{CREDENTIALS}", self.fake.url())),
            ("ECS_CONTAINER_METADATA_URI_V4", format!("{}{METADATA}", self.fake.url())),
        ]
    }
}

impl State {
    fn answer(&self, request: &Request) -> Reply {
        let path = request.path();
        if path == METADATA {
            return Reply::json(200, &self.metadata["Containers"][0]);
        }
        if path.strip_prefix(METADATA) == Some("/task") {
            if self.is_struggling {
                return Reply::new(500, "text/plain", "failed to get task metadata");
            }
            return Reply::json(200, &self.metadata);
        }
        if path.starts_with("/v2/credentials") {
            return self.answer_credentials(request);
        }
        Reply::new(404, "text/plain", "404 page not found")
    }

    fn answer_credentials(&self, request: &Request) -> Reply {
        let is_allowed = self
            .authorization
            .as_deref()
            .is_none_or(|authorization| request.field("authorization") == Some(authorization));
        if !is_allowed {
            return refusal(403, "AccessDenied", "bad Authorization");
        }
        if self.is_starting {
            return refusal(503, "CredentialsUninitialized", "Credentials uninitialized for ID");
        }
        match request.path() {
            CREDENTIALS => Reply::json(
                200,
                &json!({
                    "RoleArn": self.identity.arn,
                    "AccessKeyId": self.identity.access_key_id,
                    "SecretAccessKey": self.identity.secret_access_key,
                    "Token": self.identity.session_token,
                    "Expiration": clock::from_now(self.lifetime),
                }),
            ),
            "/v2/credentials" | "/v2/credentials/" => refusal(
                400,
                "NoIdInRequest",
                "CredentialsV2Request: No Credential ID in the request",
            ),
            _ => refusal(400, "InvalidIdInRequest", "CredentialsV2Request: Credentials not found"),
        }
    }
}

fn refusal(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({ "code": code, "message": message, "HTTPErrorCode": status }))
}

/// What a task of this kind is told of itself. On external instances there is neither a VPC nor an
/// availability zone, and the cluster is written as the instance's configuration has it.
fn metadata(task: &Task, service: &str) -> Value {
    let cluster = task.cluster.rsplit('/').next().unwrap_or_default();
    let container = task.arn.replacen(":task/", ":container/", 1);
    json!({
        "Cluster": if task.launch_type == "EXTERNAL" { cluster } else { &task.cluster },
        "TaskARN": task.arn,
        "Family": "agent",
        "Revision": "1",
        "ServiceName": service,
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "PullStartedAt": "2026-01-01T00:00:00.1Z",
        "PullStoppedAt": "2026-01-01T00:00:00.9Z",
        "LaunchType": task.launch_type,
        "Containers": [{
            "DockerId": "ea32192c8553fbff06c9340478a2ff089b2bb5646fb718b4ee206641c9086d66",
            "Name": "agent",
            "DockerName": "ecs-agent-1-agent-cca48e8dcadd97805600",
            "Image": "mesh-agent:1",
            "ImageID": "sha256:d691691e9652791a60114e67b365688d20d19940dde7c4736ea30e660d8d3553",
            "Labels": {
                "com.amazonaws.ecs.cluster": cluster,
                "com.amazonaws.ecs.container-name": "agent",
                "com.amazonaws.ecs.task-arn": task.arn,
                "com.amazonaws.ecs.task-definition-family": "agent",
                "com.amazonaws.ecs.task-definition-version": "1",
            },
            "DesiredStatus": "RUNNING",
            "KnownStatus": "RUNNING",
            "Limits": { "CPU": 64, "Memory": 64 },
            "CreatedAt": "2026-01-01T00:00:01.1Z",
            "StartedAt": "2026-01-01T00:00:02.2Z",
            "Type": "NORMAL",
            "ContainerARN": format!("{container}/0206b271-b33f-47ab-86c6-a0ba208a70a9"),
            "Networks": [{ "NetworkMode": "bridge", "IPv4Addresses": ["172.17.0.3"] }],
        }],
        "FaultInjectionEnabled": false,
    })
}
