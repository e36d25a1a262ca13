//! Getting a tunnel, and getting another one when it is lost.

use std::time::{Duration, Instant};

use mesh_protocol::control::{self, Hello, Refused, Welcome};
use mesh_protocol::mux::{Event, FrameKind, Session, Side};
use mesh_protocol::ws::Role;
use mesh_protocol::ws::upgrade::Offer;
use mesh_protocol::{
    Alive, Buf, Closing, ConnId, Connection, Context, Duplex, Link, Traffic, link, proof,
};

use crate::agent::{Agent, Conn, Dial, authority, target};
use crate::exchange::Exchange;
use crate::tunnel::{Phase, Tunnel, check_answer};
use crate::upstream::State;

/// Unread bytes of a tunnel: the longest message twice.
const TUNNEL_RX_MAX: usize = 256 * 1024;
/// Bytes of frames besides DATA that may wait for the tunnel.
const PENDING_BYTES_MAX: usize = 256 * 1024;
/// WebSocket status codes (RFC 6455 7.4.1).
pub(crate) const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;

impl Agent {
    /// Begins a new tunnel, to fill a slot.
    pub(crate) fn connect_tunnel(&mut self, slot: usize, cx: &mut Context<'_>) {
        let conn = self.conns.insert(Duplex::new(TUNNEL_RX_MAX), Conn::Tunnel);
        self.tunnels.insert(conn, Box::new(Tunnel::new(cx.now)));
        self.slots[slot].dial = Dial::Tunnel(conn);
        cx.connect(conn, target(&self.config.ingress, Traffic::Multiplexed));
    }

    /// The connection is there: offers the upgrade.
    pub(crate) fn tunnel_connected(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let endpoint = &self.config.ingress;
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let Some(tunnel) = self.tunnels.get_mut(&conn) else { return };
        let tx = &mut connection.io.tx;
        tunnel.offered(Offer::write(&authority(endpoint), &endpoint.path, tx, cx.rng));
    }

    /// Acts on what arrived on a tunnel.
    pub(crate) fn advance_tunnel(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let is_over = connection.io.rx_eof;
        let mut rx = std::mem::take(&mut connection.io.rx);
        let outcome = self.read_tunnel(conn, &mut rx, cx);
        let Some(connection) = self.conns.get_mut(conn) else { return };
        connection.io.rx = rx;
        match outcome {
            Err(Failure::Upgrade(error)) => {
                self.end_tunnel(conn, NORMAL, &error, cx);
            }
            Err(Failure::Link(error @ link::Error::Closed(_))) => {
                self.end_tunnel(conn, NORMAL, &error.to_string(), cx);
            }
            Err(Failure::Link(error)) => {
                self.end_tunnel(conn, PROTOCOL_ERROR, &error.to_string(), cx);
            }
            Ok(()) if is_over => self.end_tunnel(conn, NORMAL, "closed by the peer", cx),
            Ok(()) => self.close_if_drained(conn, cx),
        }
    }

    /// The tunnel's deadline passed: an echo is due, or something took too long.
    pub(crate) fn expire_tunnel(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let timeouts = &self.config.timeouts;
        let Some(tunnel) = self.tunnels.get_mut(&conn) else { return };
        if tunnel.deadline(timeouts) > cx.now {
            return;
        }
        let drained_at = tunnel.moving.map(|since| since + timeouts.drain);
        let Phase::Serving(link) = &mut tunnel.phase else {
            let (since, timeout) = tunnel.patience(timeouts);
            let why = format!("not welcome within {timeout:?}");
            debug_assert!(since + timeout <= cx.now, "the deadline is what it is computed from");
            return self.end_tunnel(conn, NORMAL, &why, cx);
        };
        if link.handle_timeout(cx.now) == Alive::No {
            return self.end_tunnel(conn, NORMAL, "silent for two echo intervals", cx);
        }
        if drained_at.is_some_and(|due| due <= cx.now) {
            return self.end_tunnel(conn, NORMAL, "left behind", cx);
        }
        self.conns.touch(conn);
    }

    fn read_tunnel(
        &mut self,
        conn: ConnId,
        rx: &mut Buf,
        cx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let Some(tunnel) = self.tunnels.get_mut(&conn) else { return Ok(()) };
        if let Phase::Upgrading { offer, scan } = &mut tunnel.phase {
            let Some(ingress) = check_answer(offer, scan, rx).map_err(Failure::Upgrade)? else {
                return Ok(());
            };
            // One that asked us to move may well be where we are to go: with a fresh tunnel.
            let is_known = |other: &Tunnel| other.ingress == ingress && other.moving.is_none();
            if !ingress.is_empty() && self.tunnels.values().any(|other| is_known(other)) {
                self.leave_known(conn, cx);
                return Ok(());
            }
            self.greet(conn, ingress, cx);
        }
        loop {
            let Some(tunnel) = self.tunnels.get_mut(&conn) else { return Ok(()) };
            let Some(link) = tunnel.link() else { return Ok(()) };
            let event = link.poll_event(rx, cx.now).map_err(Failure::Link)?;
            let Some(event) = event else { return Ok(()) };
            match event {
                Event::Handled | Event::Response { .. } => {}
                Event::Opened { stream, head } => self.handle_request(conn, stream, head, cx),
                Event::Data { owner, bytes, end } => self.handle_data(owner, bytes, end, cx),
                Event::Reset { owner, code, text } => self.handle_reset(owner, code, text),
                Event::Connection { kind, payload } => self.handle_notice(conn, kind, payload, cx),
            }
        }
    }

    /// The upgrade is done: introduces this agent.
    fn greet(&mut self, conn: ConnId, ingress: Vec<u8>, cx: &Context<'_>) {
        let limits = &self.config.limits;
        let window = limits.stream_window;
        let session = Session::new(Side::Acceptor, limits.streams, 0, window, PENDING_BYTES_MAX)
            .with_growth(limits.window_growth);
        let mut link = Link::new(Role::Client, session, self.config.timeouts.echo, cx.now);
        let hello = Hello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hosts: self.config.hosts.clone(),
            service: self.config.service.clone(),
            cluster: self.config.cluster.clone(),
            instance: self.instance.clone(),
            window,
            streams: limits.streams,
            healthy: self.health.is_healthy(),
            task: self.config.task.clone(),
            container_instance: self.config.container_instance.clone(),
        };
        let hello = control::encode(&hello);
        link.session.send(FrameKind::Hello, &hello);
        if let Some(tunnel) = self.tunnels.get_mut(&conn) {
            tunnel.hello = proof::digest_hello(&hello);
            tunnel.phase = Phase::Greeting(Box::new(link));
            tunnel.ingress = ingress;
        }
        self.conns.touch(conn);
    }

    /// A frame about the tunnel itself.
    fn handle_notice(
        &mut self,
        conn: ConnId,
        kind: FrameKind,
        payload: &[u8],
        cx: &mut Context<'_>,
    ) {
        match kind {
            FrameKind::Welcome => match control::decode::<Welcome>(payload) {
                Ok(welcome) => self.welcomed(conn, &welcome, cx),
                Err(error) => {
                    self.end_tunnel(conn, PROTOCOL_ERROR, &format!("bad WELCOME: {error}"), cx);
                }
            },
            FrameKind::Refused => {
                let why = match control::decode::<Refused>(payload) {
                    Ok(Refused { code, reason }) => format!("refused ({code:?}): {reason}"),
                    Err(error) => format!("refused, unreadably: {error}"),
                };
                self.complain(format!("the ingress refused this agent: {why}"));
                self.end_tunnel(conn, NORMAL, &why, cx);
            }
            FrameKind::Challenge => self.challenged(conn, payload, cx),
            FrameKind::Drain => self.move_on(conn, cx),
            FrameKind::Hello
            | FrameKind::Proof
            | FrameKind::Request
            | FrameKind::Response
            | FrameKind::Data
            | FrameKind::Window
            | FrameKind::Reset
            | FrameKind::Trailers
            | FrameKind::Health
            | FrameKind::Echo
            | FrameKind::EchoReply => {
                let why = format!("{kind:?} frame out of order");
                self.end_tunnel(conn, PROTOCOL_ERROR, &why, cx);
            }
        }
    }

    fn welcomed(&mut self, conn: ConnId, welcome: &Welcome, cx: &mut Context<'_>) {
        let Some(tunnel) = self.tunnels.get_mut(&conn) else { return };
        let phase = std::mem::replace(&mut tunnel.phase, Phase::Over);
        let (Phase::Greeting(mut link) | Phase::Proving { mut link, .. }) = phase else {
            tunnel.phase = phase;
            return self.end_tunnel(conn, PROTOCOL_ERROR, "welcomed twice", cx);
        };
        link.session.agree(welcome.streams, welcome.window);
        // The state may have changed since HELLO.
        let health = control::Health {
            healthy: self.health.is_healthy(),
            reason: self.health.reason().to_owned(),
        };
        link.session.send(FrameKind::Health, &control::encode(&health));
        tunnel.phase = Phase::Serving(link);
        tunnel.welcomed = Some(cx.now);
        self.complaint.clear();
        self.loss.clear();
        self.conns.touch(conn);
        log::info!(
            "registered {} at {} as session {} (ingress version {})",
            self.config.hosts.join(", "),
            authority(&self.config.ingress),
            welcome.session,
            welcome.version,
        );
    }

    /// Says why this agent is not registered. What is said again and again, at each attempt, is for
    /// those who look closely.
    pub(crate) fn complain(&mut self, complaint: String) {
        if self.complaint == complaint {
            log::debug!("{complaint}");
        } else {
            log::error!("{complaint}");
            self.complaint = complaint;
        }
    }

    /// The ingress is about to leave: another tunnel first, then this one may go.
    fn move_on(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let Some(tunnel) = self.tunnels.get_mut(&conn) else { return };
        if tunnel.moving.replace(cx.now).is_some() {
            return;
        }
        let since = tunnel.since;
        let Some(slot) = self.slot_of(conn) else { return };
        log::info!("the ingress asks to move: opening another tunnel");
        self.redial(slot, Some(since), cx);
    }

    /// Ends a tunnel that cannot go on, saying goodbye as far as that is possible.
    pub(crate) fn end_tunnel(&mut self, conn: ConnId, code: u16, why: &str, cx: &mut Context<'_>) {
        if let Some(link) = self.tunnels.get_mut(&conn).and_then(|tunnel| tunnel.link()) {
            link.close(code);
        }
        self.transmit_tunnel(conn, cx);
        self.lose_tunnel(conn, why, cx);
        if let Some(connection) = self.conns.get_mut(conn) {
            connection.io.close(Closing::AfterFlush);
        }
    }

    /// Plans the next attempt to fill a slot; how long that is from now.
    fn redial(&mut self, slot: usize, welcomed: Option<Instant>, cx: &mut Context<'_>) -> Duration {
        let slot = &mut self.slots[slot];
        let wait = slot.backoff.next(welcomed, cx.now, cx.rng);
        slot.dial = Dial::At(cx.now + wait);
        wait
    }

    /// Leaves an ingress to which there is a tunnel already, before introducing this agent: behind
    /// a load balancer, only trying again leads to the other ones.
    fn leave_known(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        self.tunnels.remove(&conn);
        if let Some(slot) = self.slot_of(conn) {
            let wait = self.redial(slot, None, cx);
            log::debug!("there is a tunnel to this ingress already; trying again in {wait:.1?}");
        }
        if let Some(connection) = self.conns.get_mut(conn) {
            connection.io.close(Closing::AfterFlush);
        }
    }

    /// A tunnel is over: its exchanges end, and another tunnel is begun unless one is there.
    pub(crate) fn lose_tunnel(&mut self, conn: ConnId, why: &str, cx: &mut Context<'_>) {
        let Some(mut tunnel) = self.tunnels.remove(&conn) else { return };
        let mut owners: Vec<_> =
            tunnel.link().map(|link| link.session.owners().collect()).unwrap_or_default();
        owners.sort_unstable();
        for (_, owner) in owners {
            if let Some(Connection { io, state: Conn::Upstream(upstream) }) =
                self.conns.get_mut(owner)
                && let State::Busy(Exchange { .. }) = upstream.state
            {
                upstream.state = State::Spent { since: cx.now };
                io.close(Closing::Abort);
            }
        }
        if let Some(slot) = self.slot_of(conn) {
            let wait = self.redial(slot, tunnel.welcomed, cx);
            let ingress = authority(&self.config.ingress);
            log::warn!("no tunnel to {ingress}: {why}; connecting again in {wait:.1?}");
            self.loss = format!("no tunnel to {ingress}: {why}");
        } else {
            log::info!("a tunnel ended: {why}");
        }
        self.check_drained(cx);
    }
}

/// Why a tunnel cannot go on.
enum Failure {
    /// Half a sentence.
    Upgrade(String),
    Link(link::Error),
}
