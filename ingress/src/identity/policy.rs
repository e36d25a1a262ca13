//! The policy: which identity may register which hosts. What no rule allows is refused.

use std::fmt::Write;

use mesh_protocol::control::{Hello, TokenProof};
use mesh_protocol::proof::Binding;

use super::ecs::EcsFacts;
use super::host::service_label;
use super::principal::Principal;
use super::rule::{ClusterPattern, Rule, Who};
use super::tokens::Tokens;

/// All rules of an ingress.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: Vec<Rule>,
    /// The clusters in which every AWS identity must be; anywhere, if there are none.
    clusters: Vec<ClusterPattern>,
    tokens: Tokens,
}

/// What an agent wants, in its own words.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The hosts, as [`crate::routes::normalize`] returns them.
    pub hosts: &'a [String],
    /// The service that it says it is of; for people, never for decisions.
    pub service: &'a str,
    /// The cluster that it says it is in: a hint which one to ask about.
    pub cluster: &'a str,
    /// The ARN of its task, if it has one.
    pub task: Option<&'a str>,
    /// The ARN of the container instance that is its host, if it is no task.
    pub container_instance: Option<&'a str>,
}

impl<'a> Claim<'a> {
    /// What an agent's HELLO asks for.
    pub(crate) fn of(hello: &'a Hello) -> Self {
        Self {
            hosts: &hello.hosts,
            service: &hello.service,
            cluster: &hello.cluster,
            task: Some(&*hello.task).filter(|task| !task.is_empty()),
            container_instance: Some(&*hello.container_instance).filter(|arn| !arn.is_empty()),
        }
    }
}

/// What becomes of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// All of it is allowed.
    Granted,
    /// It depends on what ECS says.
    NeedsEcs(Requirement),
    /// Something of it is not allowed; a sentence that names the principal and the host.
    Denied(String),
}

/// What has to be found out from ECS, less first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// Whether the task or host is there, in which cluster, and how it was launched.
    Place,
    /// That, and the service of which the task is.
    Service,
}

/// How an agent can prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By a signed request to STS.
    Iam,
    /// By a pre-shared token.
    Token,
}

impl Method {
    /// Its name in a challenge.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Iam => "iam",
            Self::Token => "token",
        }
    }
}

impl Policy {
    /// A policy of these rules, each of which [`Rule::check`] accepts. Where clusters are named,
    /// AWS identities must be in one of them, whatever the rule.
    #[must_use]
    pub const fn new(rules: Vec<Rule>, clusters: Vec<ClusterPattern>, tokens: Tokens) -> Self {
        Self { rules, clusters, tokens }
    }

    /// The kinds of proof that can lead to anything here.
    #[must_use]
    pub fn methods(&self) -> Vec<Method> {
        let iam = self.rules.iter().any(|rule| rule.who.is_aws()).then_some(Method::Iam);
        let token = (!self.tokens.is_empty()).then_some(Method::Token);
        iam.into_iter().chain(token).collect()
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether ECS is asked about anybody.
    #[must_use]
    pub fn asks_ecs(&self) -> bool {
        self.rules.iter().any(|rule| self.needs_ecs(rule))
    }

    /// Who holds the token of this proof; `None` when the proof is wrong, for whatever reason.
    #[must_use]
    pub fn holder(&self, proof: &TokenProof, binding: &Binding<'_>) -> Option<Principal> {
        let name = self.tokens.verify(proof, binding)?.to_owned();
        Some(Principal::Token { name })
    }

    /// Whether the token of that name is still the one with this id.
    #[must_use]
    pub fn holds(&self, name: &str, id: &str) -> bool {
        self.tokens.holds(name, id)
    }

    /// Decides about a claim before ECS was asked.
    #[must_use]
    pub fn decide(&self, principal: &Principal, claim: &Claim<'_>) -> Decision {
        let mut requirement = None;
        for host in claim.hosts {
            if self.is_own(principal, host) || self.covers(principal, host, None) {
                continue;
            }
            let wanted =
                self.rules_for(principal)
                    .filter(|rule| self.needs_ecs(rule) && rule.may_cover(host))
                    .map(|rule| {
                        if rule.needs_service() { Requirement::Service } else { Requirement::Place }
                    })
                    .max();
            if wanted.is_none() {
                return self.denied(principal, host, None);
            }
            requirement = requirement.max(wanted);
        }
        match requirement {
            Some(requirement) => Decision::NeedsEcs(requirement),
            None if claim.hosts.is_empty() => {
                Decision::Denied(format!("{principal} asks for no host"))
            }
            None => Decision::Granted,
        }
    }

    /// Decides about a claim with what ECS said; never [`Decision::NeedsEcs`].
    #[must_use]
    pub fn decide_with(
        &self,
        principal: &Principal,
        claim: &Claim<'_>,
        facts: &EcsFacts,
    ) -> Decision {
        let refused = claim.hosts.iter().find(|host| {
            !self.is_own(principal, host) && !self.covers(principal, host, Some(facts))
        });
        match refused {
            Some(host) => self.denied(principal, host, Some(facts)),
            None if claim.hosts.is_empty() => {
                Decision::Denied(format!("{principal} asks for no host"))
            }
            None => Decision::Granted,
        }
    }

    fn rules_for(&self, principal: &Principal) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| rule.who.matches(principal))
    }

    /// Whether the rule cannot be applied without ECS. No such rule is ever applied to others than
    /// AWS identities, of whom ECS knows nothing.
    fn needs_ecs(&self, rule: &Rule) -> bool {
        rule.needs_ecs() || (rule.who.is_aws() && !self.clusters.is_empty())
    }

    fn covers(&self, principal: &Principal, host: &str, facts: Option<&EcsFacts>) -> bool {
        self.rules_for(principal).any(|rule| match facts {
            _ if !self.needs_ecs(rule) => rule.covers(host, None),
            Some(facts) => {
                rule.who.is_aws()
                    && self.is_in_allowed_cluster(facts)
                    && rule.accepts(facts)
                    && rule.covers(host, facts.service.as_deref())
            }
            None => false,
        })
    }

    fn is_in_allowed_cluster(&self, facts: &EcsFacts) -> bool {
        self.clusters.is_empty()
            || self.clusters.iter().any(|cluster| cluster.matches(&facts.cluster_arn))
    }

    /// Whether the host comes with the identity itself: the hosts in the token's line, or, as long
    /// as no rule is about certificates, the names in the certificate.
    fn is_own(&self, principal: &Principal, host: &str) -> bool {
        match principal {
            Principal::Aws(_) => false,
            Principal::Token { name } => {
                self.tokens.hosts(name).iter().any(|own| own.covers(host, None))
            }
            Principal::Certificate { names } => {
                !self.has_certificate_rules()
                    && names.iter().any(|name| certificate_covers(name, host))
            }
        }
    }

    fn has_certificate_rules(&self) -> bool {
        self.rules.iter().any(|rule| match rule.who {
            Who::Certificate(_) => true,
            Who::Arn(_) | Who::Account(_) | Who::Token(_) => false,
        })
    }

    fn denied(&self, principal: &Principal, host: &str, facts: Option<&EcsFacts>) -> Decision {
        let mut sentence = format!("{principal} may not register {host}: ");
        let has_own = match principal {
            Principal::Aws(_) => false,
            Principal::Token { name } => !self.tokens.hosts(name).is_empty(),
            Principal::Certificate { .. } => !self.has_certificate_rules(),
        };
        match (principal, facts) {
            (Principal::Certificate { .. }, _) if has_own => {
                sentence.push_str("it is not among the names of the certificate");
            }
            (_, _) if !has_own && self.rules_for(principal).next().is_none() => {
                sentence.push_str("no rule is about this identity");
            }
            (_, Some(facts)) if self.rules_for(principal).any(|rule| rule.may_cover(host)) => {
                let _ = write!(sentence, "no rule for it accepts {facts}");
                let unfit = facts.service.as_deref().filter(|name| service_label(name).is_none());
                if let Some(service) = unfit {
                    let _ = write!(sentence, "; {service:?} cannot be part of a host name");
                }
                if let Some(refusal) = &facts.unproved {
                    let _ = write!(sentence, "; {refusal}");
                }
            }
            (_, _) => sentence.push_str("no rule for it"),
        }
        Decision::Denied(sentence)
    }
}

/// Whether a name of a certificate gives the right to a host. A star stands for one label, as it
/// does for the clients of a TLS server (RFC 6125 6.4.3), and gives no right to a pattern, which
/// would match names of more labels.
fn certificate_covers(name: &str, host: &str) -> bool {
    if host.contains('*') {
        return false;
    }
    let name = name.to_ascii_lowercase();
    match name.strip_prefix("*.") {
        Some(suffix) => host.split_once('.').is_some_and(|(_, parent)| parent == suffix),
        None => name == host,
    }
}

#[cfg(test)]
mod tests;
