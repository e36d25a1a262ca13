//! What the ingress says of itself, and how all workers have a say in it.
//!
//! `/health` says that this process serves, never that agents are connected: a load balancer whose
//! targets all fail sends to all of them anyway. To `/metrics` and `/debug/services` every worker has
//! something to say: they are asked, and the answer goes out when the last one has spoken.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mesh_protocol::http1::{Page, Reply, ServerConn};
use mesh_protocol::ws::upgrade::INGRESS_FIELD;
use mesh_protocol::{Buf, ConnId, Connection, Context};
use serde_json::json;

use crate::downstream::State;
use crate::identity::LaunchType;
use crate::ingress::{Conn, Ingress};
use crate::metrics::{Metrics, Sample};
use crate::verification::EcsStanding;
use crate::workers::Message;

/// What a page is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// `/metrics`
    Metrics,
    /// `/debug/services`
    Services,
}

/// What one worker has to say.
#[derive(Debug)]
pub enum Part {
    /// Its counters, and the values of this moment.
    Metrics(Box<Metrics>, Snapshot),
    /// Its tunnels.
    Services(Vec<serde_json::Value>),
}

/// Values that add up over all workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub(crate) callers: usize,
    pub(crate) in_flight: usize,
    pub(crate) tunnels: usize,
    pub(crate) available: usize,
    pub(crate) jobs: usize,
}

/// Pages that are there at once.
///
/// Invariant: [`PAGES_MAX`] at the most, and at most one for each connection that asks.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    asked: u64,
    /// Those that wait for other workers.
    waiting: BTreeMap<u64, Waiting>,
    /// Whom one was given that may not have left yet, and when.
    given: Vec<(ConnId, Instant)>,
}

#[derive(Debug)]
struct Waiting {
    conn: ConnId,
    question: Question,
    parts: Vec<Part>,
    missing: u8,
    due: Instant,
}

/// Each may have some megabytes, as long as nobody reads it, and is put together in one go, during
/// which all others wait.
const PAGES_MAX: usize = 8;
/// How long other workers have to answer. One that does not is busy for far too long, and a sum
/// without it would be wrong.
const PAGE_TIMEOUT: Duration = Duration::from_secs(2);

impl Pages {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waiting.values().map(|one| one.due).min()
    }
}

impl std::ops::AddAssign for Snapshot {
    fn add_assign(&mut self, other: Self) {
        self.callers += other.callers;
        self.in_flight += other.in_flight;
        self.tunnels += other.tunnels;
        self.available += other.available;
        self.jobs += other.jobs;
    }
}

impl Ingress {
    /// The page, unless other workers have to be asked for it.
    pub(crate) fn page(&mut self, conn: ConnId, method: &str, path: &str) -> Option<Page> {
        if !is_get_or_head(method) {
            return Some(Page::method_not_allowed());
        }
        Some(match path {
            "/health" => {
                self.note_check();
                self.health()
            }
            "/ready" => {
                self.note_check();
                self.ready()
            }
            "/metrics" => return self.ask_all(conn, Question::Metrics),
            "/debug/services" => return self.ask_all(conn, Question::Services),
            _ => Page::text(404, "There is /health, /ready, /metrics and /debug/services.\n"),
        })
    }

    /// Somebody watches: a drain lasts until that has noticed.
    fn note_check(&mut self) {
        self.drain.checked(self.now);
        self.tell_first(Message::Checked);
    }

    fn health(&self) -> Page {
        let is_draining = self.drain.is_draining();
        Page::json(
            if is_draining { 503 } else { 200 },
            &json!({
                "status": if is_draining { "draining" } else { "healthy" },
                "version": env!("CARGO_PKG_VERSION"),
                "uptime_seconds": self.now.saturating_duration_since(self.started).as_secs(),
                "tunnels": self.all_tunnels(),
                "hosts": self.routes.served(),
                "identity": self.identity_state(),
            }),
        )
    }

    /// Whether those can be asked who know agents; never why this process should be replaced.
    fn identity_state(&self) -> serde_json::Value {
        match self.silent_since() {
            None => json!("ok"),
            Some(since) => {
                let seconds = self.now.saturating_duration_since(since).as_secs();
                json!({ "ecs": "silent", "seconds": seconds })
            }
        }
    }

    fn ready(&self) -> Page {
        let age = self.now.saturating_duration_since(self.started);
        match self.drain.is_draining() {
            true => Page::text(503, "draining\n"),
            // The agents have to find this process before callers do.
            false if age < self.config.timeouts.warm_up => Page::text(503, "warming up\n"),
            false => Page::text(200, "ready\n"),
        }
    }

    /// What all workers counted, and how they are.
    fn metrics_page(&self, metrics: &Metrics, snapshot: &Snapshot) -> Page {
        let count = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let up = self.now.saturating_duration_since(self.started).as_secs();
        let silent = self
            .silent_since()
            .map_or(0, |since| self.now.saturating_duration_since(since).as_secs().max(1));
        let gauge = |name, help, value| Sample { name, help, value };
        let gauges = [
            gauge("mesh_uptime_seconds", "Since the process began.", up),
            gauge("mesh_workers", "Event loops of this process.", self.workers.count.into()),
            gauge("mesh_draining", "1 while leaving.", u64::from(self.drain.is_draining())),
            gauge("mesh_connections", "Callers' connections.", count(snapshot.callers)),
            gauge("mesh_requests_in_flight", "Exchanges in progress.", count(snapshot.in_flight)),
            gauge("mesh_tunnels", "Tunnels of registered agents.", count(snapshot.tunnels)),
            gauge(
                "mesh_tunnels_available",
                "Tunnels that take requests.",
                count(snapshot.available),
            ),
            gauge("mesh_identity_jobs", "Questions to AWS that wait.", count(snapshot.jobs)),
            gauge("mesh_ecs_silent_seconds", "Since ECS fell silent; 0 if it answers.", silent),
        ];
        let mut body = String::new();
        let written = metrics.write(&mut body, &gauges, |route| self.agents_available(route));
        debug_assert!(written.is_ok(), "text grows in memory");
        Page { status: 200, content_type: "text/plain; version=0.0.4; charset=utf-8", body }
    }
}

impl Ingress {
    /// The page at once, or its parts are asked for and it follows on this connection.
    fn ask_all(&mut self, conn: ConnId, question: Question) -> Option<Page> {
        if !self.has_room_for_page() {
            let body = "overloaded: too many pages are asked for at once\n";
            return Some(Page::text(503, body));
        }
        let own = self.part(question);
        if self.workers.count == 1 {
            return Some(self.put_together(conn, question, vec![own]));
        }
        self.pages.asked += 1;
        let page = self.pages.asked;
        let (missing, due) = (self.workers.count - 1, self.now + PAGE_TIMEOUT);
        self.pages.waiting.insert(page, Waiting { conn, question, parts: vec![own], missing, due });
        self.tell_others(|| Message::Asked { page, question });
        None
    }

    /// Whether one more page may be put together. One of this very turn of the loop counts although the
    /// system may have all of it.
    fn has_room_for_page(&mut self) -> bool {
        let (conns, now) = (&self.conns, self.now);
        let is_leaving = |conn| conns.get(conn).is_some_and(|one| !one.io.tx.is_empty());
        let Pages { waiting, given, .. } = &mut self.pages;
        waiting.retain(|_, page| conns.get(page.conn).is_some());
        given.retain(|(conn, since)| *since == now || is_leaving(*conn));
        waiting.len() + given.len() < PAGES_MAX
    }

    /// What this worker has to say.
    pub(crate) fn part(&self, question: Question) -> Part {
        match question {
            Question::Metrics => {
                let healthy = self.tunnels.iter().filter(|(_, one)| one.takes_requests());
                let snapshot = Snapshot {
                    callers: self.callers.total(),
                    in_flight: self.in_flight,
                    tunnels: self.tunnels.len(),
                    available: healthy.count(),
                    jobs: self.jobs.len(),
                };
                Part::Metrics(Box::new(self.counted()), snapshot)
            }
            Question::Services => Part::Services(self.services()),
        }
    }

    /// Another worker has spoken.
    pub(crate) fn collect_part(&mut self, page: u64, part: Part, cx: &mut Context<'_>) {
        let Some(waiting) = self.pages.waiting.get_mut(&page) else { return };
        waiting.parts.push(part);
        waiting.missing -= 1;
        if waiting.missing == 0
            && let Some(Waiting { conn, question, parts, .. }) = self.pages.waiting.remove(&page)
            && self.conns.get(conn).is_some()
        {
            let page = self.put_together(conn, question, parts);
            self.send_page(conn, &page, cx);
        }
    }

    /// Gives up on pages for which somebody did not speak in time.
    pub(crate) fn expire_pages(&mut self, cx: &mut Context<'_>) {
        let late = self.pages.waiting.iter().filter(|(_, waiting)| waiting.due <= cx.now);
        let late: Vec<_> = late.map(|(page, _)| *page).collect();
        for page in late {
            let Some(waiting) = self.pages.waiting.remove(&page) else { continue };
            log::warn!("{} workers did not answer in time for a page", waiting.missing);
            let page = Page::text(503, "A worker of this process did not answer in time.\n");
            self.send_page(waiting.conn, &page, cx);
        }
    }

    fn put_together(&mut self, conn: ConnId, question: Question, parts: Vec<Part>) -> Page {
        self.pages.given.push((conn, self.now));
        match question {
            Question::Metrics => {
                // The first part is this worker's own.
                let (mut sum, mut snapshot) = (None::<Box<Metrics>>, Snapshot::default());
                for part in parts {
                    if let Part::Metrics(metrics, one) = part {
                        match &mut sum {
                            None => sum = Some(metrics),
                            Some(sum) => sum.add(&metrics),
                        }
                        snapshot += one;
                    }
                }
                self.metrics_page(&sum.unwrap_or_default(), &snapshot)
            }
            Question::Services => {
                let services = parts.into_iter().filter_map(|part| match part {
                    Part::Services(services) => Some(services),
                    Part::Metrics(..) => None,
                });
                self.services_page(services.flatten().collect())
            }
        }
    }

    /// Writes a page to a caller.
    pub(crate) fn deliver_page(&mut self, conn: ConnId, page: &Page) {
        if let Some(Connection { io, state: Conn::Downstream(downstream) }) =
            self.conns.get_mut(conn)
        {
            write(page, &self.config.process, &mut downstream.http, &mut io.tx);
            self.deliver(conn);
        }
    }

    /// Writes a page that was waited for, if its asker is still there.
    fn send_page(&mut self, conn: ConnId, page: &Page, cx: &mut Context<'_>) {
        match self.conns.get_mut(conn) {
            Some(Connection { state: Conn::Admin(_), .. }) => self.reply_page(conn, page),
            Some(Connection { state: Conn::Downstream(downstream), .. })
                if matches!(downstream.state, State::Asked { .. }) =>
            {
                self.deliver_page(conn, page);
                self.advance_downstream(conn, cx);
            }
            Some(_) | None => {}
        }
    }
}

/// Writes a page that says which ingress it is of: an agent may be told by mistake that this is its service.
pub(crate) fn write(page: &Page, ingress: &str, http: &mut ServerConn, tx: &mut Buf) {
    let reply = page.as_reply();
    let fields = [reply.fields, &[(INGRESS_FIELD, ingress)]].concat();
    http.reply(&Reply { fields: &fields, ..reply }, tx);
}

impl Ingress {
    fn ecs_state(&self, EcsStanding { facts, confirmed, .. }: &EcsStanding) -> serde_json::Value {
        json!({
            "cluster": facts.as_ref().map(|facts| &facts.cluster_name),
            "service": facts.as_ref().and_then(|facts| facts.service.as_ref()),
            "launch_type": facts.as_ref().and_then(|facts| facts.launch_type).map(LaunchType::as_str),
            "confirmed_seconds_ago": self.now.saturating_duration_since(*confirmed).as_secs(),
        })
    }

    /// The tunnels of this worker.
    fn services(&self) -> Vec<serde_json::Value> {
        self.tunnels
            .iter()
            .map(|(_, tunnel)| {
                json!({
                    "session": tunnel.serial.to_string(),
                    "worker": self.workers.own.0,
                    "service": tunnel.hello.service,
                    "cluster": tunnel.hello.cluster,
                    "instance": tunnel.hello.instance,
                    "hosts": tunnel.hello.hosts,
                    "agent_version": tunnel.hello.version,
                    "peer": tunnel.peer.to_string(),
                    "principal": tunnel.standing.principal.as_ref().map(ToString::to_string),
                    "proof": tunnel.standing.proof().name(),
                    "ecs": tunnel.standing.ecs.as_ref().map(|ecs| self.ecs_state(ecs)),
                    "healthy": tunnel.is_healthy,
                    "health_reason": tunnel.health_reason,
                    "draining": tunnel.is_leaving(),
                    "ejected": tunnel.is_ejected(self.now),
                    "in_flight": tunnel.in_flight(),
                    "max_streams": tunnel.hello.streams.min(self.config.limits.streams_per_tunnel),
                    "requests": tunnel.requests,
                    "connected_seconds":
                        self.now.saturating_duration_since(tunnel.since).as_secs(),
                    "round_trip_ms": tunnel.link.round_trip().map(milliseconds),
                })
            })
            .collect()
    }

    fn services_page(&self, services: Vec<serde_json::Value>) -> Page {
        let hosts: Vec<_> = self
            .routes
            .iter()
            .map(|route| json!({ "host": route.pattern, "agents": route.agents().count() }))
            .collect();
        Page::json(200, &json!({ "services": services, "hosts": hosts }))
    }
}

/// Whether a method asks for a page as it is.
pub(crate) fn is_get_or_head(method: &str) -> bool {
    matches!(method, "GET" | "HEAD")
}

/// With three decimals: a float of nanoseconds would show digits that mean nothing.
#[expect(clippy::cast_precision_loss, reason = "microseconds of a round trip are few")]
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_has_three_decimals_at_most() {
        let shown = |nanos| json!(milliseconds(Duration::from_nanos(nanos))).to_string();
        assert_eq!(shown(44_429), "0.044");
        assert_eq!(shown(300_000_000), "300.0");
        assert_eq!(shown(12_034_999), "12.034");
    }
}
