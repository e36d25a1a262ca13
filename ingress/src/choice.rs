//! Where a request goes: its host has a route, the route has agents, and one of them gets it.

use mesh_protocol::{ConnId, Context, WorkerId};

use crate::balance::{self, Scope, Tried, Unavailable, View};
use crate::ingress::{Conn, Ingress};
use crate::replies::Reason;
use crate::routes::{Candidate, Place, RouteId};
use crate::tunnel::Serial;

impl Ingress {
    /// The agent that gets a request for this host. One that none gets counts as its host's all the same.
    pub(crate) fn choose(
        &mut self,
        conn: ConnId,
        host: &str,
        cx: &mut Context<'_>,
    ) -> Result<(RouteId, Place), Reason> {
        let route = self.routes.lookup(host).ok_or(Reason::NoRoute)?;
        match self.choose_from(conn, route, Scope::Everywhere, None, cx) {
            Ok(place) => Ok((route, place)),
            Err(reason) => self.choose_less_specific(conn, route, host, cx).ok_or_else(|| {
                self.count_unserved(route, reason);
                reason
            }),
        }
    }

    /// The agent of a less specific pattern that gets a request for this host, where those of the better
    /// route were never of use yet, or are about to leave.
    fn choose_less_specific(
        &self,
        conn: ConnId,
        mut route: RouteId,
        host: &str,
        cx: &mut Context<'_>,
    ) -> Option<(RouteId, Place)> {
        let view = self.view(None, Scope::Everywhere);
        while !view.is_held(self.candidates(route)) {
            route = self.routes.lookup_after(route, host)?;
            if let Ok(place) = self.choose_from(conn, route, Scope::Everywhere, None, cx) {
                return Some((route, place));
            }
        }
        None
    }

    /// No agent could take a request for this host.
    pub(crate) fn count_unserved(&mut self, id: RouteId, reason: Reason) {
        if let Some(route) = self.routes.get(id) {
            self.metrics.hosts.observe_unserved(id, &route.service, reason.status());
        }
    }

    /// How many agents of a host take requests.
    pub(crate) fn agents_available(&self, route: RouteId) -> usize {
        self.view(None, Scope::Everywhere).available(self.candidates(route))
    }

    /// The agent of a route that gets a caller's request, not the one that had it already.
    pub(crate) fn choose_from(
        &self,
        conn: ConnId,
        route: RouteId,
        scope: Scope,
        tried: Option<&Tried>,
        cx: &mut Context<'_>,
    ) -> Result<Place, Reason> {
        let view = self.view(self.home_of(conn), scope);
        let picked = balance::pick(self.candidates(route), &view, tried, cx.rng);
        picked.map(|candidate| candidate.place.clone()).map_err(|unavailable| match unavailable {
            Unavailable::NoHealthyAgent => Reason::NoHealthyAgent,
            Unavailable::Overloaded => Reason::Overloaded,
        })
    }

    /// The place here that another worker chose for a caller's request, if it is still good.
    pub(crate) fn keep_choice(
        &self,
        conn: ConnId,
        route: RouteId,
        chosen: Serial,
    ) -> Option<Place> {
        let view = self.view(self.home_of(conn), Scope::Here);
        let confirmed = balance::confirm(self.candidates(route), &view, chosen);
        confirmed.map(|candidate| candidate.place.clone())
    }

    fn candidates(&self, route: RouteId) -> &[Candidate] {
        self.routes.get(route).map_or(&[], |route| &route.candidates)
    }

    /// Where a caller is at home, unless its first request is still to be chosen for.
    fn home_of(&self, conn: ConnId) -> Option<WorkerId> {
        match self.conns.state(conn) {
            Some(Conn::Downstream(downstream)) => downstream.home,
            Some(Conn::Admin(_) | Conn::Registration(_) | Conn::Tunnel | Conn::Moving(_))
            | None => None,
        }
    }

    fn view(&self, home: Option<WorkerId>, scope: Scope) -> View<'_> {
        View {
            tunnels: &self.tunnels,
            own: self.workers.own,
            homes: &self.workers.homes,
            streams_max: self.config.limits.streams_per_tunnel as usize,
            home,
            scope,
            now: self.now,
        }
    }
}
