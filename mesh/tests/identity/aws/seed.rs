//! Who and what there is in the account that `seed.py` makes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The account.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Seed {
    pub(crate) region: String,
    pub(crate) account: String,
    pub(crate) foreign_account: String,
    /// `admin`, `ingress` (may what the documentation has it need), `agent`, `pathed`, `powerless`.
    pub(crate) users: BTreeMap<String, Identity>,
    /// ARNs: `agent`, `pathed`, `other`, `host`, `ingress`, `foreign`.
    pub(crate) roles: BTreeMap<String, String>,
    /// Sessions of roles that belong to no task: `operator` (of the role `agent`), `pathed`,
    /// `other`, `host` (called like a managed instance), `ingress`, `foreign` (of another account).
    pub(crate) sessions: BTreeMap<String, Identity>,
    /// ARNs: `production`, `staging`.
    pub(crate) clusters: BTreeMap<String, String>,
    /// ARNs, by cluster.
    pub(crate) container_instances: BTreeMap<String, String>,
    /// What ECS writes into `startedBy`, by service: `orders`, `shop`, `reports` and
    /// `orders-staging`.
    pub(crate) deployments: BTreeMap<String, String>,
    /// `orders` (EXTERNAL), `shop` (FARGATE), `reports` (EC2), `staging` (a service called orders
    /// elsewhere), `loose` (no service), `pretender` (no service, but its group says so), `batch`
    /// (of orders, with the role `other`).
    pub(crate) tasks: BTreeMap<String, Task>,
}

/// A task that runs for ever.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Task {
    pub(crate) arn: String,
    /// The cluster's ARN.
    pub(crate) cluster: String,
    pub(crate) launch_type: String,
    pub(crate) started_by: String,
    pub(crate) group: String,
    /// Its ARN; empty on Fargate.
    pub(crate) container_instance: String,
    /// The session that ECS gives to the task.
    pub(crate) identity: Identity,
}

/// Somebody with keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// As `GetCallerIdentity` says it.
    pub(crate) arn: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session_token: Option<String>,
}

impl Identity {
    /// The variables that make it the identity of a program.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("AWS_ACCESS_KEY_ID", self.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret_access_key.clone()),
        ];
        variables.extend(self.session_token.clone().map(|token| ("AWS_SESSION_TOKEN", token)));
        variables
    }

    /// The same keys but for one digit of the secret one.
    pub(crate) fn with_wrong_secret(&self) -> Self {
        let mut secret = self.secret_access_key.clone();
        let last = secret.pop();
        secret.push(if last == Some('A') { 'B' } else { 'A' });
        Self { secret_access_key: secret, ..self.clone() }
    }

    /// Keys that AWS never gave out.
    pub(crate) fn unknown() -> Self {
        Self {
            arn: String::new(),
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
        }
    }
}
