//! Leaving in peace: from SIGTERM to the exit.
//!
//! `/health` fails at once, so that the load balancer turns away, while requests that still come
//! are served. Agents are told to open tunnels elsewhere, and keep theirs here for the rest. The
//! ingress leaves when its time is over, or before that when no caller is connected any more and
//! no load balancer watches it. One that does sends callers until it has noticed, and nobody can
//! know when that is. Before it leaves it accepts nobody any more: whoever is refused goes
//! elsewhere, and whoever was accepted is served.
//!
//! ```text
//!   Serving -- SIGTERM --> Draining -- time is nearly up, or nobody is left and nobody watches --> Closed
//!                             | SIGTERM again               time is up, nobody is left, SIGTERM again |
//!                             `--------------------> Leaving <----------------------------------------'
//!                                                       | all agents have heard their goodbye
//!                                                      Over, exit; without it after 1 s, or at SIGTERM
//! ```
//!
//! The first worker decides. The others drain and leave when it says so, and are never `Closed`; one of
//! them is over when its own agents have heard their goodbye.

use std::time::{Duration, Instant};

use mesh_protocol::mux::FrameKind;
use mesh_protocol::ws::close;
use mesh_protocol::{ConnId, Connection, Context};

use crate::config::Timeouts;
use crate::ingress::{Conn, Ingress, TRAFFIC};
use crate::tunnel::TunnelId;
use crate::workers::Message;

/// How far the leaving is.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    phase: Phase,
    /// When `/health` or `/ready` was last asked for.
    checked_at: Option<Instant>,
    /// At the first worker: how many others have said goodbye to their agents.
    goodbyes: u8,
}

#[derive(Debug, Default)]
enum Phase {
    /// Not leaving.
    #[default]
    Serving,
    /// Serving who is still there, and who comes.
    Draining { since: Instant },
    /// Serving who was there at that time; all of it ends at `limit`.
    Closed { since: Instant, limit: Instant },
    /// Saying goodbye to the agents.
    Leaving { since: Instant },
    /// The agents have heard their goodbye, and the first worker knows.
    Over,
}

/// Whoever has not asked for one of them for that long does not watch. Load balancers ask every 30 s
/// by default; those that ask less often would not notice in time anyway.
const WATCHED: Duration = Duration::from_secs(60);
/// Whoever waited when the port was closed has been accepted by then.
const TAKEN_IN: Duration = Duration::from_millis(10);
/// The last part of a drain, in which nobody new is accepted; an eighth of a short one.
const CLOSED: Duration = Duration::from_secs(1);
/// How long goodbyes may take.
const GOODBYE: Duration = Duration::from_secs(1);

impl Drain {
    /// Whether the ingress is about to leave.
    #[must_use]
    pub(crate) const fn is_draining(&self) -> bool {
        !matches!(self.phase, Phase::Serving)
    }

    /// Whether the agents are told goodbye, or have heard it.
    pub(crate) const fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving { .. } | Phase::Over)
    }

    /// Somebody asked for `/health` or `/ready`.
    pub(crate) const fn checked(&mut self, now: Instant) {
        self.checked_at = Some(now);
    }

    /// Another worker has said goodbye to its agents.
    pub(crate) const fn said_goodbye(&mut self) {
        self.goodbyes += 1;
    }

    fn is_watched(&self, now: Instant) -> bool {
        self.checked_at.is_some_and(|at| now.saturating_duration_since(at) < WATCHED)
    }

    fn deadline(&self, timeouts: &Timeouts, is_unused: bool) -> Option<Instant> {
        let drain = timeouts.drain;
        match self.phase {
            Phase::Serving | Phase::Over => None,
            Phase::Draining { since } => Some(since + drain.saturating_sub(CLOSED.min(drain / 8))),
            Phase::Closed { since, limit } if is_unused => Some(limit.min(since + TAKEN_IN)),
            Phase::Closed { limit, .. } => Some(limit),
            Phase::Leaving { since } => Some(since + GOODBYE),
        }
    }
}

impl Ingress {
    /// The operator asked to leave; when asked again, without waiting for what is under way. That is
    /// cut as when time is up, so that no caller takes a part for the whole, and takes no longer
    /// than the goodbyes do. Whoever asks once more does not want to wait for those either.
    pub(crate) fn asked_to_leave(&mut self, cx: &mut Context<'_>) {
        match self.drain.phase {
            Phase::Serving => {}
            Phase::Draining { .. } | Phase::Closed { .. } => {
                log::info!("asked to leave again: leaving at once");
                return self.leave(cx);
            }
            Phase::Leaving { .. } | Phase::Over => return cx.exit(),
        }
        log::info!(
            "draining: {} callers' connections, {} exchanges; leaving in {:?} at the latest",
            self.callers.total(),
            self.in_flight + self.workers.in_flight(),
            self.config.timeouts.drain,
        );
        self.tell_others(|| Message::Drain);
        self.begin_drain(cx);
    }

    /// Serves who is still there, and has agents look for another ingress.
    pub(crate) fn begin_drain(&mut self, cx: &mut Context<'_>) {
        self.drain.phase = Phase::Draining { since: cx.now };
        let tunnels: Vec<_> = self.tunnels.iter().map(|(id, _)| id).collect();
        for id in tunnels {
            self.tell_to_move(id);
        }
        self.close_door_if_unused(cx);
    }

    /// When the present phase ends at the latest: the first worker decides when all leave.
    pub(crate) fn drain_deadline(&self) -> Option<Instant> {
        let deadline = self.drain.deadline(&self.config.timeouts, self.is_unused());
        deadline.filter(|_| self.workers.is_first())
    }

    /// Ends the phase if it has lasted long enough.
    pub(crate) fn end_drain_if_due(&mut self, cx: &mut Context<'_>) {
        if self.drain_deadline().is_none_or(|due| due > cx.now) {
            return;
        }
        match self.drain.phase {
            Phase::Serving | Phase::Over => {}
            Phase::Draining { since } => self.close_door(since, cx),
            Phase::Closed { .. } => {
                match self.in_flight + self.workers.in_flight() {
                    0 => log::info!("drained"),
                    unfinished => log::info!("leaving with {unfinished} exchanges unfinished"),
                }
                self.leave(cx);
            }
            Phase::Leaving { .. } => cx.exit(),
        }
    }

    /// Asks an agent to open another tunnel; this one serves on until it is closed.
    pub(crate) fn tell_to_move(&mut self, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(id) else { return };
        if !std::mem::replace(&mut tunnel.was_told_to_move, true) {
            tunnel.link.session.send(FrameKind::Drain, &[]);
            tunnel.publish();
            self.conns.touch(id.conn());
        }
    }

    /// A connection is about to be removed, or was at another worker: it may have been the last one
    /// that mattered.
    pub(crate) fn check_drained(&mut self, closed: Option<ConnId>, cx: &mut Context<'_>) {
        match self.drain.phase {
            // `Closed` ends by its deadline, not with a connection.
            Phase::Serving | Phase::Closed { .. } | Phase::Over => {}
            Phase::Draining { .. } => self.close_door_if_unused(cx),
            Phase::Leaving { .. } => self.end_when_said(closed, cx),
        }
    }

    /// Exits when the last agent has heard its goodbye, at any worker.
    fn end_when_said(&mut self, closed: Option<ConnId>, cx: &mut Context<'_>) {
        let is_agents =
            |one: &Connection<Conn>| matches!(one.state, Conn::Tunnel | Conn::Moving(_));
        let closed_one = closed.and_then(|conn| self.conns.get(conn));
        // Callers end in crowds now, and only an agent's end can be the last that is waited for.
        let is_irrelevant = closed_one.is_some_and(|one| !is_agents(one));
        let is_left = |(id, one)| Some(id) != closed && is_agents(one);
        if is_irrelevant || self.conns.iter().any(is_left) {
            return;
        }
        if !self.workers.is_first() {
            self.drain.phase = Phase::Over;
            self.tell_first(Message::SaidGoodbye);
        } else if self.drain.goodbyes + 1 >= self.workers.count {
            self.drain.phase = Phase::Over;
            cx.exit();
        }
    }

    fn close_door_if_unused(&mut self, cx: &mut Context<'_>) {
        let Phase::Draining { since } = self.drain.phase else { return };
        if self.workers.is_first() && self.is_unused() && !self.drain.is_watched(cx.now) {
            self.close_door(since, cx);
        }
    }

    fn is_unused(&self) -> bool {
        self.callers.total() == 0
    }

    /// Takes in nobody after those who wait for it.
    fn close_door(&mut self, since: Instant, cx: &mut Context<'_>) {
        let limit = since + self.config.timeouts.drain;
        self.drain.phase = Phase::Closed { since: cx.now, limit };
        cx.stop_accepting(TRAFFIC);
    }

    /// Says goodbye to the agents, and exits when they have heard it. What is still under way ends at
    /// once, however long they take: the exit itself could not tell a caller that its answer is cut.
    pub(crate) fn leave(&mut self, cx: &mut Context<'_>) {
        self.drain.phase = Phase::Leaving { since: cx.now };
        if self.workers.is_first() {
            self.tell_others(|| Message::Leave);
        }
        let tunnels: Vec<_> = self.tunnels.iter().map(|(id, _)| id).collect();
        for id in tunnels {
            self.say_goodbye(id, cx);
        }
        self.end_when_said(None, cx);
    }

    pub(crate) fn say_goodbye(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        self.close_tunnel(id, close::GOING_AWAY, "leaving", cx);
    }
}
