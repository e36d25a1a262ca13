//! Room for hosts: in the routes, and in the metrics. And the lack of room for agents.
//!
//! Agents choose the names, so both are bounded; and whoever was here first must not keep out those that
//! come later. What has no agent any more gives way. Only the first worker decides that, before it
//! welcomes an agent, and tells all others before it tells them of the agent: so all know the same routes
//! by the same names.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh_protocol::control::Hello;

use crate::admin::OTHERS_MAX;
use crate::ingress::Ingress;
use crate::routes::{Place, RouteId};
use crate::workers::Message;

/// What is given up for the hosts of a new agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Routes without any agent.
    pub(crate) routes: Vec<RouteId>,
    /// Counters of hosts and services of which no agent is there.
    pub(crate) counters: Vec<(RouteId, Arc<str>)>,
}

/// Between two lines about agents that find no room: each of them tries again and again.
const LOG_PAUSE: Duration = Duration::from_secs(60);

impl Ingress {
    /// Whether one more agent may try to register. Tunnels whose agent is to open another one, or
    /// is about to leave, keep nobody out, up to as many again: the tunnels in their place could
    /// not get in otherwise.
    pub(crate) fn has_room_for_agent(&self) -> bool {
        let lasting = self.known_tunnels().filter(|one| one.lasts()).count();
        let limits = &self.config.limits;
        lasting + self.registering < limits.tunnels
            && self.all_tunnels() + self.registering < limits.all_tunnels()
    }

    /// An agent was turned away because there are too many.
    pub(crate) fn note_full(&mut self) {
        if is_due(&mut self.full_logged, self.now) {
            log::warn!(
                "agents are turned away: {} tunnels, and {} about to register, are as many as \
                 --max-tunnels ({}) allows",
                self.all_tunnels(),
                self.registering,
                self.config.limits.tunnels,
            );
        }
    }

    /// Somebody was cut off on the agents' port, where there is no word before an upgrade, because there
    /// are too many connections without a tunnel.
    pub(crate) fn note_crowd(&mut self) {
        if is_due(&mut self.crowd_logged, self.now) {
            log::warn!(
                "agents are turned away: there are {} connections on the WebSocket port and the \
                 health port that are no tunnels, and no more than {OTHERS_MAX} are taken",
                self.others,
            );
        }
    }

    /// Makes room for the hosts of an agent that is about to be welcome. False when too many hosts have
    /// agents.
    pub(crate) fn make_room(&mut self, hello: &Hello) -> bool {
        let Some(routes) = self.routes.vacancies(&hello.hosts, self.config.limits.hosts) else {
            return false;
        };
        self.give_up(Forgotten { routes, ..Forgotten::default() });
        let counters = self.unused_counters(hello);
        self.give_up(Forgotten { counters, ..Forgotten::default() });
        self.note_services(hello);
        true
    }

    /// The counters that give way to those of a new agent, as far as there are such: those of hosts that
    /// other services serve now, then those of hosts that are without an agent for longest.
    fn unused_counters(&self, hello: &Hello) -> Vec<(RouteId, Arc<str>)> {
        let counted = &self.metrics.hosts;
        let is_counted = |host: &&String| {
            let route = self.routes.of_pattern(host);
            route.is_some_and(|(id, _)| counted.has(id, &hello.service))
        };
        let wanted = hello.hosts.len() - hello.hosts.iter().filter(is_counted).count();
        let lacking = wanted.saturating_sub(counted.free());
        if lacking == 0 {
            return Vec::new();
        }
        let is_unused = |id: RouteId, service: &str| {
            let route = self.routes.get(id);
            route.is_none_or(|route| {
                let is_to_come = *service == *hello.service
                    && hello.hosts.iter().any(|host| **host == *route.pattern);
                !is_to_come && !route.has_agent_of(service)
            })
        };
        let unused = counted.all().filter(|(id, service)| is_unused(*id, service));
        let mut unused: Vec<_> = unused.map(|(id, service)| (id, Arc::clone(service))).collect();
        unused.sort_by_key(|(id, _)| self.routes.vacant_since(*id));
        unused.truncate(lacking);
        unused
    }

    fn give_up(&mut self, forgotten: Forgotten) {
        if forgotten == Forgotten::default() {
            return;
        }
        self.tell_others(|| Message::Forgotten(Box::new(forgotten.clone())));
        self.forget(&forgotten);
    }

    /// Forgets what the first worker has given up.
    pub(crate) fn forget(&mut self, forgotten: &Forgotten) {
        for (route, service) in &forgotten.counters {
            self.metrics.hosts.give_up(*route, service);
        }
        for route in &forgotten.routes {
            self.metrics.hosts.forget(*route);
            for candidate in self.routes.forget(*route) {
                // It has ended, as the first worker knows, and its own worker's word of it is under way.
                debug_assert!(matches!(candidate.place, Place::There(..)), "a route in use");
                self.remove_remote(candidate.serial);
            }
        }
    }

    /// The hosts of an agent are known from now on, and counted as far as there is room.
    pub(crate) fn learn_hosts(&mut self, hosts: &[String], service: &Arc<str>) {
        for host in hosts {
            let route = self.routes.learn(host, service);
            self.metrics.hosts.claim(route, host, service);
        }
    }

    /// Agents of one host should serve the same; their names of the service say so when they do not.
    fn note_services(&mut self, hello: &Hello) {
        for host in &hello.hosts {
            if let Some(other) = self.routes.note_service(host, &hello.service) {
                let service = &hello.service;
                log::warn!("{host} is served as {other:?} and now also as {service:?}");
            }
        }
    }
}

/// Whether something is to be said again that was last said then.
fn is_due(told: &mut Option<Instant>, now: Instant) -> bool {
    if told.is_some_and(|at| now.saturating_duration_since(at) < LOG_PAUSE) {
        return false;
    }
    *told = Some(now);
    true
}

#[cfg(test)]
mod tests;
