//! Leaving in peace: from SIGTERM to the exit.
//!
//! Each ingress is told with DRAIN that no new requests should come, and asked with an ECHO behind
//! it. Requests that crossed the DRAIN are served like those before it. Once the echo is answered, the
//! last exchange is over, and the service has taken all that was sent to it, the tunnel closes. When no
//! worker has a tunnel or something for the service left, the agent leaves. What is unfinished when it
//! is to leave at once, or its time is up, is cut first: the exit alone would end it in good order.
//!
//! ```text
//!   Serving -- SIGTERM --> Draining -- its time is up, or SIGTERM again --> Cut
//!                             | nothing is left              nothing is left |
//!                             `----------------> Over <----------------------'
//!                                                 | at all workers
//!                                                exit; without it after 1 s of Cut, or at SIGTERM
//! ```

use std::time::{Duration, Instant};

use mesh_protocol::mux::FrameKind;
use mesh_protocol::ws::close;
use mesh_protocol::{Closing, ConnId, Connection, Context, Link, WorkerId, control};

use crate::agent::{Agent, Conn, Dial};
use crate::config::Timeouts;
use crate::ledger::Serial;
use crate::tunnel::{self, TunnelId};
use crate::workers::Message;

/// How far the leaving is.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    phase: Phase,
    /// How many other workers have nothing left; counted by the first one.
    others_over: u8,
}

/// How far this worker is.
#[derive(Debug, Default)]
enum Phase {
    /// Not leaving.
    #[default]
    Serving,
    /// Finishing what it is at.
    Draining { since: Instant },
    /// What was unfinished has been ended.
    Cut { at: Instant },
    /// Nothing is left, and it has said so or left.
    Over,
}

/// How long other workers may take to cut what they have.
const CUTTING: Duration = Duration::from_secs(1);

impl Drain {
    pub(crate) const fn is_draining(&self) -> bool {
        !matches!(self.phase, Phase::Serving)
    }

    const fn is_cut(&self) -> bool {
        matches!(self.phase, Phase::Cut { .. })
    }

    /// When the agent leaves at the latest.
    pub(crate) fn deadline(&self, timeouts: &Timeouts) -> Option<Instant> {
        match self.phase {
            Phase::Draining { since } => Some(since + timeouts.drain),
            Phase::Cut { at } => Some(at + CUTTING),
            Phase::Serving | Phase::Over => None,
        }
    }
}

impl Agent {
    /// The operator asked to leave; when asked again, at once.
    pub(crate) fn asked_to_leave(&mut self, cx: &mut Context<'_>) {
        if self.drain.is_draining() {
            log::info!("asked to leave again: leaving at once");
            return self.cut_and_leave(cx);
        }
        for slot in &mut self.slots {
            slot.dial = Dial::Never;
        }
        self.tell_others(|| Message::Drain);
        self.begin_drain(cx);
    }

    /// When it leaves for want of a tunnel. The first worker knows of all of them.
    pub(crate) fn gives_up_at(&self) -> Option<Instant> {
        let waits =
            self.workers.is_first() && !self.drain.is_draining() && !self.ledger.has_welcome();
        waits.then_some(self.without_tunnel_since + self.config.timeouts.give_up?)
    }

    /// What keeps it from an ingress may be how this process was begun: in a container or a sandbox, it
    /// has the name servers of that time.
    pub(crate) fn give_up(&mut self, cx: &mut Context<'_>) {
        let alone = cx.now.saturating_duration_since(self.without_tunnel_since);
        log::error!("no tunnel for {alone:.0?}: leaving, to be started anew");
        self.asked_to_leave(cx);
    }

    /// Finishes what this worker is at.
    pub(crate) fn begin_drain(&mut self, cx: &mut Context<'_>) {
        self.drain.phase = Phase::Draining { since: cx.now };
        let ids: Vec<_> = self.tunnels.keys().copied().collect();
        let under_way = self.under_way();
        log::info!(
            "draining{}: {under_way} exchanges; leaving in {:?} at the latest",
            self.workers.name(),
            self.config.timeouts.drain,
        );
        for id in ids {
            let Some(tunnel) = self.tunnels.get_mut(&id) else { continue };
            match &mut tunnel.phase {
                tunnel::Phase::Serving(link) => {
                    say_drain(link, cx.now);
                    self.conns.touch(id.conn());
                }
                // The ingress may have welcomed it already, and sent requests.
                tunnel::Phase::Greeting(_) | tunnel::Phase::Proving { has_sent: true, .. } => {}
                tunnel::Phase::Connecting
                | tunnel::Phase::Upgrading { .. }
                | tunnel::Phase::Proving { has_sent: false, .. }
                | tunnel::Phase::Over => {
                    self.say_goodbye(id, cx);
                }
            }
        }
    }

    /// Has all workers end what is unfinished, and leaves when that is done. Asked again, at once.
    fn cut_and_leave(&mut self, cx: &mut Context<'_>) {
        match self.drain.phase {
            Phase::Cut { .. } | Phase::Over => cx.exit(),
            Phase::Serving | Phase::Draining { .. } => {
                self.tell_others(|| Message::Cut);
                self.cut_unfinished(cx);
            }
        }
    }

    /// Ends what this worker is at. The service is not to take what it got for the whole.
    pub(crate) fn cut_unfinished(&mut self, cx: &mut Context<'_>) {
        if matches!(self.drain.phase, Phase::Over) {
            return;
        }
        self.drain.phase = Phase::Cut { at: cx.now };
        let ids: Vec<_> = self.tunnels.keys().copied().collect();
        for id in ids {
            self.close_tunnel(id, close::NORMAL, "this agent leaves", cx);
        }
        let has_rest = |(conn, one): (ConnId, &Connection<Conn>)| {
            (matches!(one.state, Conn::Upstream(_)) && !one.io.tx.is_empty()).then_some(conn)
        };
        let rests: Vec<_> = self.conns.iter().filter_map(has_rest).collect();
        for conn in rests {
            if let Some(connection) = self.conns.get_mut(conn) {
                connection.io.abandon();
            }
        }
    }

    /// Another tunnel has come in place of this one. The ingress need not know: to it, whoever proves
    /// to be somebody else is another agent. It lets go of this one after its last stream.
    pub(crate) fn tell_replaced(&mut self, serial: Serial) {
        let found = self.tunnels.iter_mut().find(|(_, tunnel)| tunnel.serial == serial);
        if let Some((id, tunnel)) = found {
            tunnel.moving.get_or_insert(self.now);
            let Some(link) = tunnel.serving_mut() else { return };
            link.session.send(FrameKind::Drain, control::REPLACED);
            self.conns.touch(id.conn());
        }
    }

    /// The drain has lasted long enough.
    pub(crate) fn drain_expired(&mut self, cx: &mut Context<'_>) {
        let due = self.drain.deadline(&self.config.timeouts);
        if due.is_some_and(|due| due <= cx.now) {
            match self.under_way() {
                _ if self.drain.is_cut() => {}
                0 if self.has_rest(None) => {
                    log::warn!("leaving before the service has taken all that it was sent");
                }
                0 if !self.others_are_over() => {
                    log::warn!("leaving before all other workers have finished");
                }
                0 => log::warn!("leaving before every ingress has let go of its tunnel"),
                unfinished => log::warn!("leaving with {unfinished} exchanges unfinished"),
            }
            self.cut_and_leave(cx);
        }
    }

    /// Exchanges of this worker.
    fn under_way(&self) -> usize {
        let links = self.tunnels.values().filter_map(|tunnel| tunnel.link());
        links.map(|link| link.session.len()).sum()
    }

    /// Whether no other worker has anything left.
    fn others_are_over(&self) -> bool {
        self.drain.others_over == self.workers.others_count()
    }

    /// Another worker has nothing left.
    pub(crate) fn other_drained(&mut self) {
        self.drain.others_over = self.drain.others_over.saturating_add(1);
    }

    /// Closes the tunnels that are not needed any more, and leaves when nothing is left. A connection
    /// that has just ended is not forgotten yet.
    pub(crate) fn close_drained(&mut self, ended: Option<ConnId>, cx: &mut Context<'_>) {
        match self.drain.phase {
            Phase::Serving | Phase::Over => return,
            Phase::Draining { .. } | Phase::Cut { .. } => {}
        }
        let idle: Vec<_> = self
            .tunnels
            .iter_mut()
            .filter_map(|(id, tunnel)| {
                let link = tunnel.serving_mut()?;
                (link.session.is_empty() && link.is_answered()).then_some(*id)
            })
            .collect();
        let is_busy = idle.is_empty() && !self.tunnels.is_empty();
        if is_busy || self.has_rest(ended) {
            return;
        }
        idle.into_iter().for_each(|id| self.say_goodbye(id, cx));
        self.check_drained(cx);
    }

    /// Whether the service has not taken all that it was sent, the last of requests that are over
    /// included. What has left here is not waited for any more once the rest was cut.
    fn has_rest(&self, ended: Option<ConnId>) -> bool {
        let is_cut = self.drain.is_cut();
        self.conns.iter().any(|(conn, connection)| {
            let io = &connection.io;
            let is_closing = match io.closing {
                None => false,
                Some(Closing::Abort) => true,
                Some(Closing::Write | Closing::AfterFlush | Closing::Agreed | Closing::Discard) => {
                    !is_cut
                }
            };
            Some(conn) != ended
                && matches!(connection.state, Conn::Upstream(_))
                && (is_closing || !io.tx.is_empty())
        })
    }

    /// Says goodbye on a tunnel and closes it once that has left.
    pub(crate) fn say_goodbye(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        if let Some(link) = self.link_mut(id) {
            link.close(close::NORMAL, "this agent leaves");
        }
        self.transmit_tunnel(id, cx);
        if let Some(connection) = self.conns.get_mut(id.conn()) {
            // What waits for a handshake may wait for good.
            let is_mute = connection.io.is_handshaking;
            connection.io.close(if is_mute { Closing::Abort } else { Closing::AfterFlush });
        }
        if let Some(tunnel) = self.tunnels.get_mut(&id) {
            tunnel.phase = tunnel::Phase::Over;
        }
    }

    /// Leaves when no tunnel of any worker is left; another worker than the first says that it could.
    fn check_drained(&mut self, cx: &mut Context<'_>) {
        if !self.workers.is_first() {
            if self.tunnels.is_empty() {
                self.drain.phase = Phase::Over;
                self.tell(WorkerId::FIRST, Message::Drained, cx);
            }
            return;
        }
        if self.ledger.is_empty() && self.others_are_over() {
            if !self.drain.is_cut() {
                log::info!("drained");
            }
            self.drain.phase = Phase::Over;
            cx.exit();
        }
    }
}

/// Says that no new requests should come, and asks whether that has arrived.
pub(crate) fn say_drain(link: &mut Link, now: Instant) {
    link.session.send(FrameKind::Drain, &[]);
    link.ask(now);
}
