//! One line in the log for each decision about an agent: who asked for which hosts, and why it was
//! or was not registered.
//!
//! The target is `mesh_ingress::audit`, so that `--log-level warn,mesh_ingress::audit=info` keeps
//! these lines and drops others. What agents say is quoted and escaped. No token, signature or
//! session token is ever in here.

use std::net::SocketAddr;

use mesh_protocol::control::Hello;

use crate::admission::Standing;
use crate::identity::Principal;
use crate::registration::Refusal;

/// An agent is registered.
pub(crate) fn accepted(name: &str, peer: SocketAddr, hello: &Hello, standing: &Standing) {
    let health = if hello.healthy { "healthy" } else { "not yet healthy" };
    let hosts = hello.hosts.join(", ");
    let Hello { service, cluster, .. } = hello;
    match &standing.principal {
        Some(principal) => log::info!(
            "tunnel {name}: agent from {peer} registered {hosts} as {principal} (by {}), service \
             {service:?}, cluster {cluster:?}, {health}",
            standing.method(),
        ),
        None => log::info!(
            "tunnel {name}: agent from {peer} registered {hosts}, service {service:?}, cluster \
             {cluster:?}, {health}"
        ),
    }
}

/// An agent is not registered.
pub(crate) fn refused(
    peer: SocketAddr,
    hello: Option<&Hello>,
    principal: Option<&Principal>,
    refusal: &Refusal,
) {
    let hosts = hello.map(|hello| hello.hosts.join(", ")).unwrap_or_default();
    let hosts = if hosts.is_empty() { hosts } else { format!(", who asked for {hosts:?}") };
    let who = principal.map(|principal| format!(" ({principal})")).unwrap_or_default();
    log::warn!("refused the agent from {peer}{who}{hosts}: {}", refusal.reason);
}

/// A registered agent is no longer to be.
pub(crate) fn withdrawn(name: &str, peer: SocketAddr, standing: &Standing, refusal: &Refusal) {
    let who = standing.principal.as_ref().map(|who| format!(" ({who})")).unwrap_or_default();
    log::warn!(
        "tunnel {name}: the registration of the agent from {peer}{who} is withdrawn: {}",
        refusal.reason
    );
}
