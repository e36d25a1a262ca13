//! One line in the log for each decision about an agent: who asked for which hosts, and why it was
//! or was not registered.
//!
//! The target is `mesh_ingress::audit`, so that `--log-level warn,mesh_ingress::audit=info` keeps
//! these lines and drops others. What agents say is quoted and escaped. No token, signature or
//! session token is ever in here.

use std::net::SocketAddr;

use mesh_protocol::control::Hello;

use crate::identity::Principal;
use crate::registration::Refusal;
use crate::tunnel::Tunnel;

/// Hosts that are named of those that somebody asked for who proved nothing: anybody may, again and again.
const HOSTS_OF_STRANGERS: usize = 3;

/// An agent is registered.
pub(crate) fn accepted(tunnel: &Tunnel) {
    log::info!("{}", acceptance(tunnel));
}

/// What is said of an agent that is registered. Behind a load balancer its address says nothing, and its
/// own name for itself is the only word for the machine.
fn acceptance(tunnel: &Tunnel) -> String {
    let Tunnel { serial, peer, standing, hello, .. } = tunnel;
    let Hello { service, cluster, instance, .. } = hello;
    let hosts = hello.hosts.join(", ");
    let by_what_right = match &standing.principal {
        Some(principal) => format!(" as {principal} (by {})", standing.proof().name()),
        None => String::new(),
    };
    let health = if hello.healthy { "healthy" } else { "not yet healthy" };
    format!(
        "tunnel {serial}: agent from {peer} registered {hosts}{by_what_right}, service {service:?}, \
         cluster {cluster:?}, instance {instance:?}, {health}"
    )
}

/// An agent is not registered.
pub(crate) fn refused(
    peer: SocketAddr,
    hello: Option<&Hello>,
    principal: Option<&Principal>,
    refusal: &Refusal,
) {
    let hosts = hello.map_or(&[][..], |hello| &hello.hosts);
    let hosts = asked_for(hosts, principal);
    let who = principal.map(|principal| format!(" ({principal})")).unwrap_or_default();
    log::warn!("refused the agent from {peer}{who}{hosts}: {}", refusal.reason);
}

/// Which hosts somebody asked for who is not registered.
fn asked_for(hosts: &[String], principal: Option<&Principal>) -> String {
    let most = if principal.is_some() { hosts.len() } else { HOSTS_OF_STRANGERS };
    let (shown, more) = hosts.split_at(most.min(hosts.len()));
    match (shown, more.len()) {
        ([], _) => String::new(),
        (shown, 0) => format!(", who asked for {:?}", shown.join(", ")),
        (shown, more) => format!(", who asked for {:?} and {more} more", shown.join(", ")),
    }
}

/// A registration is withdrawn.
pub(crate) fn withdrawn(tunnel: &Tunnel, refusal: &Refusal) {
    let who = tunnel.standing.principal.as_ref().map(|who| format!(" ({who})")).unwrap_or_default();
    log::warn!(
        "{tunnel}: the registration of the agent from {}{who} is withdrawn: {}",
        tunnel.peer,
        refusal.reason
    );
}

#[cfg(test)]
mod tests;
