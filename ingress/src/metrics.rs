//! What is counted, and how Prometheus reads it (text exposition format 0.0.4).

use std::fmt::{self, Write};
use std::time::Duration;

use mesh_protocol::control::RefusalCode;

use crate::jobs::{Authority, Failure};
use crate::replies::Reason;
use crate::routes::RouteId;

/// All counters of an ingress. Gauges are read from the state itself when asked for.
#[derive(Debug, Default, Clone)]
pub struct Metrics {
    /// By route, as far as [`HOSTS_MAX`] goes.
    hosts: Vec<Requests>,
    /// The other routes, and requests without one.
    others: Requests,
    reasons: [u64; Reason::ALL.len()],
    /// Callers' connections accepted, and refused for a limit.
    pub connections: u64,
    /// See above.
    pub connections_refused: u64,
    /// Exchanges whose caller left before their end.
    pub caller_aborts: u64,
    /// Requests given to a second agent.
    pub retries: u64,
    /// Callers' connections given to another worker.
    pub moves: u64,
    /// Registrations by the kind of proof, in the order of [`METHODS`].
    registered: [u64; METHODS.len()],
    /// Registrations refused, by [`CODES`].
    refused: [u64; CODES.len()],
    /// Registrations withdrawn, by [`CODES`].
    withdrawn: [u64; CODES.len()],
    /// Questions to AWS, by [`AUTHORITIES`] and outcome.
    checks: [[u64; OUTCOMES.len()]; AUTHORITIES.len()],
    /// Tunnels that ended.
    pub tunnels_lost: u64,
    /// Agents ejected for failing.
    pub ejections: u64,
}

/// The requests of one host.
#[derive(Debug, Default, Clone)]
struct Requests {
    /// By the status code's first digit; 0 for exchanges without an answer.
    by_class: [u64; 6],
    /// Durations: one count per bucket, not cumulated.
    buckets: [u64; BOUNDS_MS.len() + 1],
    duration_ms: f64,
    request_bytes: u64,
    response_bytes: u64,
}

/// The kinds of proof, as [`crate::admission::Standing::method`] names them.
const METHODS: [&str; 4] = ["none", "iam", "token", "certificate"];
/// Why registrations are refused or withdrawn.
const CODES: [(RefusalCode, &str); 6] = [
    (RefusalCode::Unauthenticated, "unauthenticated"),
    (RefusalCode::Forbidden, "forbidden"),
    (RefusalCode::Invalid, "invalid"),
    (RefusalCode::Overloaded, "overloaded"),
    (RefusalCode::Draining, "draining"),
    (RefusalCode::Unavailable, "unavailable"),
];
/// Who is asked about agents.
const AUTHORITIES: [(Authority, &str); 2] = [(Authority::Sts, "sts"), (Authority::Ecs, "ecs")];
/// What they say.
const OUTCOMES: [&str; 3] = ["answered", "refused", "unreachable"];

/// Routes that have counters of their own: agents choose the labels, so there must be a bound.
pub const HOSTS_MAX: usize = 500;

/// Upper bounds of the duration buckets, in milliseconds.
const BOUNDS_MS: [f64; 14] = [
    1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0,
    30_000.0,
];

/// One exchange that is over.
#[derive(Debug, Clone, Copy)]
pub struct Observation {
    /// The route it took.
    pub route: Option<RouteId>,
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
    pub fn observe(&mut self, observation: &Observation) {
        let route = observation.route.map(RouteId::index).filter(|index| *index < HOSTS_MAX);
        let requests = match route {
            Some(index) => {
                if index >= self.hosts.len() {
                    self.hosts.resize_with(index + 1, Requests::default);
                }
                &mut self.hosts[index]
            }
            None => &mut self.others,
        };
        let class = usize::from(observation.status / 100).min(5);
        requests.by_class[class] += 1;
        let duration_ms = observation.duration.as_secs_f64() * 1000.0;
        let bucket = BOUNDS_MS.iter().position(|bound| duration_ms <= *bound);
        requests.buckets[bucket.unwrap_or(BOUNDS_MS.len())] += 1;
        requests.duration_ms += duration_ms;
        requests.request_bytes += observation.request_bytes;
        requests.response_bytes += observation.response_bytes;
    }

    /// Counts an answer that the mesh wrote itself.
    pub fn count(&mut self, reason: Reason) {
        if let Some(index) = Reason::ALL.iter().position(|known| *known == reason) {
            self.reasons[index] += 1;
        }
    }

    /// Counts a registration by its kind of proof.
    pub fn registered(&mut self, method: &str) {
        if let Some(index) = METHODS.iter().position(|known| *known == method) {
            self.registered[index] += 1;
        }
    }

    /// Counts a registration that was refused.
    pub fn refused(&mut self, code: RefusalCode) {
        if let Some(index) = CODES.iter().position(|(known, _)| *known == code) {
            self.refused[index] += 1;
        }
    }

    /// Counts a registration that was withdrawn.
    pub fn withdrawn(&mut self, code: RefusalCode) {
        if let Some(index) = CODES.iter().position(|(known, _)| *known == code) {
            self.withdrawn[index] += 1;
        }
    }

    /// Counts a question to AWS, and why it was not answered.
    pub fn checked(&mut self, authority: Authority, failure: Option<&Failure>) {
        let outcome = match failure {
            None => 0,
            Some(Failure::Refused(_) | Failure::Invalid(_) | Failure::Unasked(_)) => 1,
            Some(Failure::Unreachable(_)) => 2,
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

    /// Writes everything; `labels` names a route and its service, `gauges` are values of this
    /// moment.
    ///
    /// # Errors
    /// None: the text grows in memory.
    pub fn write<'n>(
        &self,
        out: &mut String,
        labels: impl Fn(usize) -> (&'n str, &'n str),
        gauges: &[Gauge],
    ) -> fmt::Result {
        for Gauge { name, help, value } in gauges {
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
            ("mesh_moves_total", "Callers' connections given to another worker.", self.moves),
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
        let named = self.hosts.iter().enumerate().map(|(index, requests)| {
            let (host, service) = labels(index);
            (format!("host=\"{}\",service=\"{}\"", escape(host), escape(service)), requests)
        });
        let others = ("host=\"\",service=\"\"".to_owned(), &self.others);
        let all: Vec<_> = named.chain([others]).collect();
        write_requests(out, &all)
    }
}

impl Metrics {
    /// Adds what another worker counted.
    pub fn add(&mut self, other: &Self) {
        if other.hosts.len() > self.hosts.len() {
            self.hosts.resize_with(other.hosts.len(), Requests::default);
        }
        for (sum, one) in self.hosts.iter_mut().zip(&other.hosts) {
            sum.add(one);
        }
        self.others.add(&other.others);
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
        for (method, count) in METHODS.iter().zip(self.registered) {
            writeln!(out, "{name}{{method=\"{method}\"}} {count}")?;
        }
        let families = [
            ("mesh_registrations_refused_total", "Registrations refused.", self.refused),
            ("mesh_registrations_withdrawn_total", "Registrations withdrawn.", self.withdrawn),
        ];
        for (name, help, counts) in families {
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter")?;
            for ((_, reason), count) in CODES.iter().zip(counts) {
                writeln!(out, "{name}{{reason=\"{reason}\"}} {count}")?;
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

impl Requests {
    fn add(&mut self, other: &Self) {
        add_all(&mut self.by_class, &other.by_class);
        add_all(&mut self.buckets, &other.buckets);
        self.duration_ms += other.duration_ms;
        self.request_bytes += other.request_bytes;
        self.response_bytes += other.response_bytes;
    }
}

fn add_all(sums: &mut [u64], others: &[u64]) {
    sums.iter_mut().zip(others).for_each(|(sum, one)| *sum += one);
}

/// A value of this moment.
#[derive(Debug)]
pub struct Gauge {
    /// The metric's name.
    pub name: &'static str,
    /// What it means.
    pub help: &'static str,
    /// Its value.
    pub value: u64,
}

/// A label's value as the text format wants it. Agents choose the service's name.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn write_requests(out: &mut String, hosts: &[(String, &Requests)]) -> fmt::Result {
    let name = "mesh_requests_total";
    writeln!(out, "# HELP {name} Exchanges by host and status class.\n# TYPE {name} counter")?;
    for (labels, requests) in hosts {
        for (class, count) in requests.by_class.iter().enumerate().filter(|(_, count)| **count > 0)
        {
            let class = if class == 0 { "none".to_owned() } else { format!("{class}xx") };
            writeln!(out, "{name}{{{labels},class=\"{class}\"}} {count}")?;
        }
    }
    type Read = fn(&Requests) -> u64;
    let bytes: [(&str, &str, Read); 2] = [
        ("mesh_request_bytes_total", "Body bytes from callers.", |one| one.request_bytes),
        ("mesh_response_bytes_total", "Body bytes to callers.", |one| one.response_bytes),
    ];
    for (name, help, read) in bytes {
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter")?;
        for (labels, requests) in hosts {
            writeln!(out, "{name}{{{labels}}} {}", read(requests))?;
        }
    }
    let name = "mesh_request_duration_seconds";
    writeln!(out, "# HELP {name} From request head to end.\n# TYPE {name} histogram")?;
    for (labels, requests) in hosts {
        let mut total = 0;
        for (bound, count) in BOUNDS_MS.iter().zip(requests.buckets) {
            total += count;
            let bound = bound / 1000.0;
            writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {total}")?;
        }
        total += requests.buckets[BOUNDS_MS.len()];
        writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {total}")?;
        let seconds = requests.duration_ms / 1000.0;
        writeln!(out, "{name}_sum{{{labels}}} {seconds}")?;
        writeln!(out, "{name}_count{{{labels}}} {total}")?;
    }
    Ok(())
}
