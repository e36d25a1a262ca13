//! What is counted by host and service.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Arc;

use super::{Observation, add_all};
use crate::routes::RouteId;

/// The requests by host and service.
#[derive(Debug, Default, Clone)]
pub(crate) struct Hosts {
    /// Invariant: [`Hosts::MAX`] at the most, and the same ones in all workers, which claim and give up
    /// rows in the same order.
    rows: BTreeMap<RouteId, Vec<Row>>,
    /// The requests that have no row.
    others: Requests,
}

/// The requests of one host to one service.
#[derive(Debug, Clone)]
struct Row {
    host: Arc<str>,
    service: Arc<str>,
    requests: Requests,
}

/// What is counted of requests.
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

/// Upper bounds of the duration buckets, in milliseconds.
const BOUNDS_MS: [f64; 14] = [
    1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0,
    30_000.0,
];

impl Hosts {
    /// Rows at the most: agents choose the labels, so there must be a bound.
    pub(crate) const MAX: usize = 500;

    /// Gives a host counters of its own for a service, if there is room for them.
    pub(crate) fn claim(&mut self, route: RouteId, host: &str, service: &Arc<str>) {
        if !self.has(route, service) && self.free() > 0 {
            let service = Arc::clone(service);
            let row = Row { host: host.into(), service, requests: Requests::default() };
            self.rows.entry(route).or_default().push(row);
        }
    }

    /// Whether a host has counters of its own for a service.
    pub(crate) fn has(&self, route: RouteId, service: &str) -> bool {
        let rows = self.rows.get(&route);
        rows.is_some_and(|rows| rows.iter().any(|row| *row.service == *service))
    }

    /// How many more hosts may have counters of their own.
    pub(crate) fn free(&self) -> usize {
        Self::MAX.saturating_sub(self.all().count())
    }

    /// Hosts and services with counters of their own.
    pub(crate) fn all(&self) -> impl Iterator<Item = (RouteId, &Arc<str>)> {
        self.rows.iter().flat_map(|(id, rows)| rows.iter().map(|row| (*id, &row.service)))
    }

    /// Forgets what was counted for a host and a service.
    pub(crate) fn give_up(&mut self, route: RouteId, service: &str) {
        if let Some(rows) = self.rows.get_mut(&route) {
            rows.retain(|row| *row.service != *service);
            if rows.is_empty() {
                self.rows.remove(&route);
            }
        }
    }

    /// Forgets what was counted for a host.
    pub(crate) fn forget(&mut self, route: RouteId) {
        self.rows.remove(&route);
    }

    fn requests(&mut self, route: RouteId, service: &str) -> &mut Requests {
        let rows = self.rows.get_mut(&route).map(Vec::as_mut_slice).unwrap_or_default();
        let row = rows.iter_mut().find(|row| *row.service == *service);
        row.map_or(&mut self.others, |row| &mut row.requests)
    }

    /// Counts an exchange.
    pub(super) fn observe(&mut self, observation: &Observation<'_>) {
        let requests = self.requests(observation.route, observation.service);
        requests.by_class[class_of(observation.status)] += 1;
        let duration_ms = observation.duration.as_secs_f64() * 1000.0;
        let bucket = BOUNDS_MS.iter().position(|bound| duration_ms <= *bound);
        requests.buckets[bucket.unwrap_or(BOUNDS_MS.len())] += 1;
        requests.duration_ms += duration_ms;
        requests.request_bytes += observation.request_bytes;
        requests.response_bytes += observation.response_bytes;
    }

    /// Counts body bytes from a caller and to it, of an exchange that is not over.
    pub(crate) fn add_bytes(&mut self, route: RouteId, service: &str, up: u64, down: u64) {
        let requests = self.requests(route, service);
        requests.request_bytes += up;
        requests.response_bytes += down;
    }

    /// Counts a request for a host of which no agent could take it. It took no time that would tell
    /// anything of the service.
    pub(crate) fn observe_unserved(&mut self, route: RouteId, service: &str, status: u16) {
        self.requests(route, service).by_class[class_of(status)] += 1;
    }

    /// Adds what another worker counted. Rows that are not here were given up, and the other one has not
    /// heard of it yet.
    pub(super) fn add(&mut self, other: &Self) {
        for (route, rows) in &mut self.rows {
            let others = other.rows.get(route).map(Vec::as_slice).unwrap_or_default();
            for row in rows {
                if let Some(same) = others.iter().find(|one| one.service == row.service) {
                    row.requests.add(&same.requests);
                }
            }
        }
        self.others.add(&other.others);
    }

    /// Writes everything; `available` says how many agents of a host take requests.
    pub(super) fn write(
        &self,
        out: &mut String,
        available: impl Fn(RouteId) -> usize,
    ) -> fmt::Result {
        let name = "mesh_host_agents_available";
        writeln!(out, "# HELP {name} Agents that take requests.\n# TYPE {name} gauge")?;
        for (route, rows) in &self.rows {
            if let Some(row) = rows.first() {
                let host = escape(&row.host);
                writeln!(out, "{name}{{host=\"{host}\"}} {}", available(*route))?;
            }
        }
        let named = self.rows.values().flatten().map(|row| {
            let (host, service) = (escape(&row.host), escape(&row.service));
            (format!("host=\"{host}\",service=\"{service}\""), &row.requests)
        });
        let others = ("host=\"\",service=\"\"".to_owned(), &self.others);
        let all: Vec<_> = named.chain([others]).collect();
        write_requests(out, &all)
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

/// Where the exchanges with this status are counted.
fn class_of(status: u16) -> usize {
    usize::from(status / 100).min(5)
}

/// A label's value as the text format wants it. Agents choose the service's name. No other control
/// character can be written in it, and a single one would make the whole page unreadable.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for char in value.chars() {
        match char {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            char if char.is_control() => escaped.push(char::REPLACEMENT_CHARACTER),
            char => escaped.push(char),
        }
    }
    escaped
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
        ("mesh_response_bytes_total", "Body bytes from services.", |one| one.response_bytes),
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
