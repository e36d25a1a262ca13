//! What is counted, and how Prometheus reads it (text exposition format 0.0.4).

mod hosts;

use std::fmt::{self, Write};
use std::time::Duration;

use mesh_protocol::control::RefusalCode;

use crate::admission::ProofKind;
use crate::ending::Fault;
use crate::jobs::{Authority, Failure};
use crate::replies::Reason;
use crate::routes::RouteId;

pub(crate) use hosts::Hosts;

/// All counters of an ingress. Gauges are read from the state itself when asked for.
#[derive(Debug, Default, Clone)]
pub struct Metrics {
    /// Requests by host and service.
    pub(crate) hosts: Hosts,
    reasons: [u64; Reason::ALL.len()],
    /// Answers that were cut after their head.
    cuts: [u64; Reason::ALL.len()],
    /// Callers' connections accepted.
    pub connections: u64,
    /// Callers' connections refused for a limit.
    pub connections_refused: u64,
    /// Exchanges whose caller left before their end.
    pub caller_aborts: u64,
    /// Requests given to a second agent.
    pub retries: u64,
    /// Callers' connections given to another worker.
    pub moves: u64,
    /// Registrations by the kind of proof.
    registered: [u64; ProofKind::ALL.len()],
    /// Registrations refused.
    refused: [u64; RefusalCode::ALL.len()],
    /// Registrations withdrawn.
    withdrawn: [u64; RefusalCode::ALL.len()],
    /// Questions to AWS, by [`AUTHORITIES`] and outcome.
    checks: [[u64; OUTCOMES.len()]; AUTHORITIES.len()],
    /// Tunnels that ended.
    pub tunnels_lost: u64,
    /// Agents ejected for failing.
    pub ejections: u64,
}

/// Who is asked about agents.
const AUTHORITIES: [(Authority, &str); 2] = [(Authority::Sts, "sts"), (Authority::Ecs, "ecs")];
/// What they say.
const OUTCOMES: [&str; 3] = ["answered", "refused", "unreachable"];

/// One exchange that is over.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'s> {
    /// The route it took.
    pub route: RouteId,
    /// The service named by the agent that served it last.
    pub service: &'s str,
    /// The status that the caller saw, 0 for none.
    pub status: u16,
    /// From its head to its end.
    pub duration: Duration,
    /// Body bytes from the caller.
    pub request_bytes: u64,
    /// Body bytes to the caller.
    pub response_bytes: u64,
}

impl Metrics {
    /// Counts an exchange.
    pub fn observe(&mut self, observation: &Observation<'_>) {
        self.hosts.observe(observation);
    }

    /// Counts an answer that the mesh wrote itself.
    pub fn count(&mut self, reason: Reason) {
        if let Some(index) = Reason::ALL.iter().position(|known| *known == reason) {
            self.reasons[index] += 1;
        }
    }

    /// Counts an answer of a service that was cut after its head.
    pub fn cut(&mut self, reason: Reason) {
        if let Some(index) = Reason::ALL.iter().position(|known| *known == reason) {
            self.cuts[index] += 1;
        }
    }

    /// Counts a registration by its kind of proof.
    pub fn registered(&mut self, proof: ProofKind) {
        if let Some(index) = ProofKind::ALL.iter().position(|known| *known == proof) {
            self.registered[index] += 1;
        }
    }

    /// Counts a registration that was refused.
    pub fn refused(&mut self, code: RefusalCode) {
        if let Some(index) = RefusalCode::ALL.iter().position(|known| *known == code) {
            self.refused[index] += 1;
        }
    }

    /// Counts a registration that was withdrawn.
    pub fn withdrawn(&mut self, code: RefusalCode) {
        if let Some(index) = RefusalCode::ALL.iter().position(|known| *known == code) {
            self.withdrawn[index] += 1;
        }
    }

    /// Counts a question to AWS, and why it was not answered. One that was not asked is none.
    pub fn checked(&mut self, authority: Authority, failure: Option<&Failure>) {
        let outcome = match failure {
            None => 0,
            Some(Failure::Refused(_) | Failure::Invalid(_)) => 1,
            Some(Failure::Unreachable(_)) => 2,
            Some(Failure::StaleProof(_)) => return,
        };
        if let Some(index) = AUTHORITIES.iter().position(|(known, _)| *known == authority) {
            self.checks[index][outcome] += 1;
        }
    }

    /// How often the mesh answered itself for that reason.
    #[must_use]
    pub fn reason(&self, reason: Reason) -> u64 {
        let index = Reason::ALL.iter().position(|known| *known == reason);
        index.map_or(0, |index| self.reasons[index])
    }

    /// Writes everything; `gauges` are values of this moment, and `available` says how many agents of a
    /// host take requests.
    ///
    /// # Errors
    /// None: the text grows in memory.
    pub fn write(
        &self,
        out: &mut String,
        gauges: &[Sample],
        available: impl Fn(RouteId) -> usize,
    ) -> fmt::Result {
        for Sample { name, help, value } in gauges {
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}")?;
        }
        let counters = [
            ("mesh_connections_total", "Callers' connections accepted.", self.connections),
            (
                "mesh_connections_refused_total",
                "Callers' connections refused for a limit.",
                self.connections_refused,
            ),
            ("mesh_caller_aborts_total", "Exchanges the caller abandoned.", self.caller_aborts),
            ("mesh_retries_total", "Requests given to a second agent.", self.retries),
            ("mesh_moves_total", "Callers' connections that came from another worker.", self.moves),
            ("mesh_tunnels_lost_total", "Tunnels that ended.", self.tunnels_lost),
            ("mesh_ejections_total", "Agents ejected for failing.", self.ejections),
        ];
        for (name, help, value) in counters {
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}")?;
        }
        self.write_registrations(out)?;
        let name = "mesh_errors_total";
        writeln!(out, "# HELP {name} Answers of the mesh itself.\n# TYPE {name} counter")?;
        for (reason, count) in Reason::ALL.iter().zip(self.reasons) {
            writeln!(out, "{name}{{reason=\"{}\"}} {count}", reason.name())?;
        }
        let name = "mesh_answers_cut_total";
        writeln!(out, "# HELP {name} Answers that broke off.\n# TYPE {name} counter")?;
        for (reason, count) in Reason::ALL.into_iter().zip(self.cuts) {
            writeln!(out, "{name}{{reason=\"{}\"}} {count}", Fault::of_begun(reason).name())?;
        }
        self.hosts.write(out, available)
    }
}

impl Metrics {
    /// Adds what another worker counted.
    pub fn add(&mut self, other: &Self) {
        self.hosts.add(&other.hosts);
        let singles = [
            (&mut self.connections, other.connections),
            (&mut self.connections_refused, other.connections_refused),
            (&mut self.caller_aborts, other.caller_aborts),
            (&mut self.retries, other.retries),
            (&mut self.moves, other.moves),
            (&mut self.tunnels_lost, other.tunnels_lost),
            (&mut self.ejections, other.ejections),
        ];
        singles.into_iter().for_each(|(sum, one)| *sum += one);
        add_all(&mut self.reasons, &other.reasons);
        add_all(&mut self.cuts, &other.cuts);
        add_all(&mut self.registered, &other.registered);
        add_all(&mut self.refused, &other.refused);
        add_all(&mut self.withdrawn, &other.withdrawn);
        for (sum, one) in self.checks.iter_mut().zip(&other.checks) {
            add_all(sum, one);
        }
    }

    fn write_registrations(&self, out: &mut String) -> fmt::Result {
        let name = "mesh_registrations_total";
        writeln!(out, "# HELP {name} Registrations by kind of proof.\n# TYPE {name} counter")?;
        for (proof, count) in ProofKind::ALL.iter().zip(self.registered) {
            writeln!(out, "{name}{{method=\"{}\"}} {count}", proof.name())?;
        }
        let families = [
            ("mesh_registrations_refused_total", "Registrations refused.", self.refused),
            ("mesh_registrations_withdrawn_total", "Registrations withdrawn.", self.withdrawn),
        ];
        for (name, help, counts) in families {
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter")?;
            for (code, count) in RefusalCode::ALL.iter().zip(counts) {
                writeln!(out, "{name}{{reason=\"{}\"}} {count}", code.name())?;
            }
        }
        let name = "mesh_identity_checks_total";
        writeln!(out, "# HELP {name} Questions to AWS about agents.\n# TYPE {name} counter")?;
        for ((_, service), counts) in AUTHORITIES.iter().zip(self.checks) {
            for (outcome, count) in OUTCOMES.iter().zip(counts) {
                let labels = format!("service=\"{service}\",outcome=\"{outcome}\"");
                writeln!(out, "{name}{{{labels}}} {count}")?;
            }
        }
        Ok(())
    }
}

/// A value of this moment.
#[derive(Debug)]
pub struct Sample {
    /// The metric's name.
    pub name: &'static str,
    /// What it means.
    pub help: &'static str,
    /// Its value.
    pub value: u64,
}

fn add_all(sums: &mut [u64], others: &[u64]) {
    sums.iter_mut().zip(others).for_each(|(sum, one)| *sum += one);
}

#[cfg(test)]
mod tests;
