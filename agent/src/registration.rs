//! Getting a tunnel, and getting another one when it is lost.

use mesh_protocol::control::{self, Hello, Welcome};
use mesh_protocol::mux::frame::full_frames;
use mesh_protocol::mux::{self, Event, FrameKind, Session, Side};
use mesh_protocol::ws::upgrade::Offer;
use mesh_protocol::ws::{Role, close};
use mesh_protocol::{
    Alive, Buf, Closing, Connection, Context, Duplex, Link, Target, Traffic, WorkerId, link, proof,
};

use crate::agent::{Agent, Conn, Dial, authority, target};
use crate::drain::say_drain;
use crate::exchange::Exchange;
use crate::ledger::Serial;
use crate::losses::{ASKED, WORN};
use crate::tunnel::{Phase, Tunnel, TunnelId, check_answer, read_refusal, read_welcome};
use crate::upstream::State;
use crate::workers::Message;

/// Bytes of frames besides DATA that may wait for the tunnel.
const PENDING_BYTES_MAX: usize = 256 * 1024;
/// Tunnels for each of those that there are to be which the ingress asked to leave and does not close.
const MOVING_MAX: usize = 2;
/// Why the agent closes such a tunnel.
const LEFT_BEHIND: &str = "left behind";

impl Agent {
    /// Begins a new tunnel, to fill a slot.
    pub(crate) fn connect_tunnel(&mut self, slot: usize, cx: &mut Context<'_>) {
        let conn = self.conns.insert(Duplex::new(link::RX_BYTES_MAX), Conn::Tunnel);
        let serial = self.ledger.open(cx.now);
        self.tunnels.insert(TunnelId(conn), Box::new(Tunnel::new(serial, cx.now)));
        self.slots[slot].dial = Dial::Tunnel(serial);
        let via = self.config.proxy.clone().map(Box::new);
        let direct = target(&self.config.ingress, Traffic::Multiplexed);
        cx.connect(conn, Target { via, ..direct });
    }

    /// The connection is there: offers the upgrade.
    pub(crate) fn tunnel_connected(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        let endpoint = &self.config.ingress;
        let Some(connection) = self.conns.get_mut(id.conn()) else { return };
        let Some(tunnel) = self.tunnels.get_mut(&id) else { return };
        let tx = &mut connection.io.tx;
        tunnel.offered(Offer::write(&authority(endpoint), &endpoint.path, tx, cx.rng));
    }

    /// Acts on what arrived on a tunnel.
    pub(crate) fn advance_tunnel(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        let Some(connection) = self.conns.get_mut(id.conn()) else { return };
        let (is_over, is_worn) = (connection.io.rx_eof, connection.io.is_worn);
        let mut rx = std::mem::take(&mut connection.io.rx);
        let outcome = self.read_tunnel(id, &mut rx, cx);
        let Some(connection) = self.conns.get_mut(id.conn()) else { return };
        connection.io.rx = rx;
        if let Conn::Moving(_) = connection.state {
            // Its worker reads on.
            return;
        }
        match outcome {
            Err(Failure::Upgrade(error)) => {
                self.close_tunnel(id, close::NORMAL, &error, cx);
            }
            Err(Failure::Link(error @ link::Error::Closed(_))) => {
                self.close_tunnel(id, close::NORMAL, &error.to_string(), cx);
            }
            Err(Failure::Link(error)) => {
                self.close_tunnel(id, close::PROTOCOL_ERROR, &error.to_string(), cx);
            }
            Ok(()) if is_over => self.close_tunnel(id, close::NORMAL, "closed by the peer", cx),
            Ok(()) if is_worn => self.move_on(id, WORN, cx),
            Ok(()) => {}
        }
    }

    /// The tunnel's deadline passed: an echo is due, or something took too long.
    pub(crate) fn expire_tunnel(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        let timeouts = &self.config.timeouts;
        let Some(tunnel) = self.tunnels.get_mut(&id) else { return };
        if tunnel.deadline(timeouts) > cx.now {
            return;
        }
        let left_at = tunnel.left_at();
        let Phase::Serving(link) = &mut tunnel.phase else {
            let (since, timeout) = tunnel.patience(timeouts);
            let lack =
                self.conns.get(id.conn()).map_or("", |connection| tunnel.lack(&connection.io));
            let why = format!("{lack} within {timeout:?}");
            debug_assert!(since + timeout <= cx.now, "the deadline is what it is computed from");
            return self.close_tunnel(id, close::NORMAL, &why, cx);
        };
        if link.handle_timeout(cx.now) == Alive::No {
            return self.close_tunnel(id, close::NORMAL, "silent for two echo intervals", cx);
        }
        if left_at.is_some_and(|due| due <= cx.now) {
            return self.close_tunnel(id, close::NORMAL, LEFT_BEHIND, cx);
        }
        self.conns.touch(id.conn());
    }

    fn read_tunnel(
        &mut self,
        id: TunnelId,
        rx: &mut Buf,
        cx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let Some(tunnel) = self.tunnels.get_mut(&id) else { return Ok(()) };
        if let Phase::Upgrading { offer, scan } = &mut tunnel.phase {
            let Some(ingress) = check_answer(offer, scan, rx).map_err(Failure::Upgrade)? else {
                return Ok(());
            };
            let enough = self.config.limits.tunnels_per_ingress;
            if !ingress.is_empty() && self.ledger.lasting_to(&ingress).count() >= enough {
                self.leave_known(id, cx);
                return Ok(());
            }
            self.greet(id, ingress, cx);
        }
        loop {
            let Some(tunnel) = self.tunnels.get_mut(&id) else { return Ok(()) };
            let Some(link) = tunnel.link_mut() else { return Ok(()) };
            if let Some(run) = link.poll_run(rx, cx.now).map_err(Failure::Link)? {
                self.handle_data(run.owner, run.pieces(), None, cx);
                continue;
            }
            let event = link.poll_event(rx, cx.now).map_err(Failure::Link)?;
            let Some(event) = event else { return Ok(()) };
            match event {
                Event::Handled | Event::Response { .. } => {}
                // Before WELCOME no window is agreed, nor which worker the tunnel is to have.
                Event::Opened { .. } if tunnel.serving_mut().is_none() => {
                    return Err(Failure::Link(link::Error::Session(mux::Error::OutOfOrder)));
                }
                Event::Opened { stream, head } => self.handle_request(id, stream, head, cx),
                Event::Data { owner, bytes, end } => self.handle_data(owner, &[bytes], end, cx),
                Event::Reset { owner, code, text } => self.handle_reset(owner, code, text),
                Event::Connection { kind, payload } => self.handle_notice(id, kind, payload, cx),
            }
        }
    }

    /// The upgrade is done: introduces this agent.
    fn greet(&mut self, id: TunnelId, ingress: Vec<u8>, cx: &mut Context<'_>) {
        if self.process.is_empty() {
            self.process = format!("{:016x}{:016x}", cx.rng.bits(), cx.rng.bits());
        }
        let Some(tunnel) = self.tunnels.get_mut(&id) else { return };
        let limits = &self.config.limits;
        let (window, streams) = (full_frames(limits.stream_window), limits.streams_per_tunnel());
        let limits = mux::Limits {
            streams,
            send_window: 0,
            recv_window: window,
            pending_bytes: PENDING_BYTES_MAX,
            growth: limits.window_growth,
        };
        let session = Session::new(Side::Acceptor, limits);
        let mut link = Link::new(Role::Client, session, self.config.timeouts.echo, cx.now);
        let lane = self.ledger.arrived(tunnel.serial, ingress);
        let kept = self.ledger.formers(tunnel.serial);
        let mut hello = Hello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hosts: self.config.hosts.clone(),
            service: self.config.service.clone(),
            cluster: self.config.cluster.clone(),
            instance: self.instance.clone(),
            process: self.process.clone(),
            lane,
            keeps_former: !kept.is_empty(),
            // Where one has no name that could be said, it has them all.
            kept: if kept.iter().any(String::is_empty) { Vec::new() } else { kept },
            window,
            streams,
            healthy: self.health.is_healthy(),
            task: self.config.task.clone(),
            container_instance: self.config.container_instance.clone(),
        };
        if control::encode(&hello).len() > control::CONTROL_BYTES_MAX {
            // Without their names it has all of them, too.
            hello.kept.clear();
        }
        let hello = control::encode(&hello);
        if hello.len() > control::CONTROL_BYTES_MAX {
            return self.do_not_greet(id, hello.len(), cx);
        }
        link.session.send(FrameKind::Hello, &hello);
        tunnel.hello = proof::digest_hello(&hello);
        tunnel.phase = Phase::Greeting(Box::new(link));
        self.conns.touch(id.conn());
    }

    /// No ingress would read on: what to do about it is known here alone.
    fn do_not_greet(&mut self, id: TunnelId, length: usize, cx: &mut Context<'_>) {
        let why = format!(
            "this agent introduces itself with {length} bytes, of which {} hosts are the most, and an \
             ingress takes {}: give some of the hosts to another agent",
            self.config.hosts.len(),
            control::CONTROL_BYTES_MAX,
        );
        self.complain(why);
        self.close_tunnel(id, close::NORMAL, "too many hosts", cx);
    }

    /// A frame about the tunnel itself.
    fn handle_notice(
        &mut self,
        id: TunnelId,
        kind: FrameKind,
        payload: &[u8],
        cx: &mut Context<'_>,
    ) {
        match kind {
            FrameKind::Welcome => match read_welcome(payload) {
                Ok(welcome) => self.welcomed(id, &welcome, cx),
                Err(why) => self.close_tunnel(id, close::PROTOCOL_ERROR, &why, cx),
            },
            FrameKind::Refused => {
                let why = read_refusal(payload);
                self.complain(format!("the ingress refused this agent: {why}"));
                self.close_tunnel(id, close::NORMAL, &why, cx);
            }
            FrameKind::Challenge => self.challenged(id, payload, cx),
            FrameKind::Drain => self.move_on(id, ASKED, cx),
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
                self.close_tunnel(id, close::PROTOCOL_ERROR, &why, cx);
            }
        }
    }

    fn welcomed(&mut self, id: TunnelId, welcome: &Welcome, cx: &mut Context<'_>) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else { return };
        let phase = std::mem::replace(&mut tunnel.phase, Phase::Over);
        let (Phase::Greeting(mut link) | Phase::Proving { mut link, .. }) = phase else {
            tunnel.phase = phase;
            return self.close_tunnel(id, close::PROTOCOL_ERROR, "welcomed twice", cx);
        };
        link.session.agree(welcome.streams, welcome.window);
        // The state may have changed since HELLO.
        link.session.send(FrameKind::Health, &control::encode(&self.health.report()));
        if self.drain.is_draining() {
            say_drain(&mut link, cx.now);
        }
        tunnel.phase = Phase::Serving(link);
        let serial = tunnel.serial;
        self.ledger.name(serial, &welcome.session);
        self.complaint.clear();
        self.losses.clear();
        self.conns.touch(id.conn());
        if let Some(entry) = self.ledger.get(serial) {
            log::info!(
                "registered {} at {} as {entry} (ingress version {})",
                self.config.hosts.join(", "),
                authority(&self.config.ingress),
                welcome.version,
            );
        }
        self.settle_tunnel(id, serial, cx);
    }

    /// Says why this agent is not registered. What is said again and again, at each attempt, is for
    /// those who look closely. The tunnel that it is about is to end.
    pub(crate) fn complain(&mut self, complaint: String) {
        self.losses.explain(&complaint);
        if self.complaint == complaint {
            log::debug!("{complaint}");
        } else {
            log::error!("{complaint}");
            self.complaint = complaint;
        }
    }

    /// The tunnel will not last, for this reason: another one first, then this one may go.
    fn move_on(&mut self, id: TunnelId, why: &'static str, cx: &mut Context<'_>) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else { return };
        if tunnel.moving.is_some() {
            return;
        }
        tunnel.moving = Some(cx.now);
        let serial = tunnel.serial;
        self.tell(WorkerId::FIRST, Message::Moves(serial, why), cx);
    }

    /// A tunnel, at whatever worker, is to be replaced.
    pub(crate) fn tunnel_moves(&mut self, serial: Serial, why: &str, cx: &mut Context<'_>) {
        let since = self.ledger.moves(serial, cx.now);
        if self.ledger.serving() == 0 {
            self.blame_the_move(why);
        }
        // An honest ingress lets go of its own.
        if let Some((oldest, worker)) = self.ledger.leave_behind(MOVING_MAX * self.slots.len()) {
            self.tell(worker, Message::Leave(oldest), cx);
        }
        match self.slot_of(serial) {
            Some(slot) => self.redial_for_move(slot, serial, since, why, cx),
            // Another one is looked for already, without haste while this one served.
            None => self.redial_soon(since, cx),
        }
    }

    /// Ends a tunnel that others have come in place of.
    pub(crate) fn leave_tunnel(&mut self, serial: Serial, cx: &mut Context<'_>) {
        let found = self.tunnels.iter().find(|(_, tunnel)| tunnel.serial == serial);
        if let Some(id) = found.map(|(id, _)| *id) {
            self.close_tunnel(id, close::NORMAL, LEFT_BEHIND, cx);
        }
    }

    /// Ends a tunnel that cannot go on, saying goodbye as far as that is possible.
    pub(crate) fn close_tunnel(
        &mut self,
        id: TunnelId,
        code: u16,
        why: &str,
        cx: &mut Context<'_>,
    ) {
        if let Some(link) = self.link_mut(id) {
            link.close(code);
        }
        self.transmit_tunnel(id, cx);
        self.lose_tunnel(id, why, cx);
        if let Some(connection) = self.conns.get_mut(id.conn()) {
            connection.io.close(Closing::AfterFlush);
        }
    }

    /// Leaves an ingress to which there are tunnels enough already, before introducing this agent: behind
    /// a load balancer, only trying again leads to the other ones.
    fn leave_known(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        if let Some(tunnel) = self.tunnels.remove(&id) {
            self.ledger.close(tunnel.serial);
            if let Some(slot) = self.slot_of(tunnel.serial) {
                let wait = self.search_on(slot, cx);
                log::debug!(
                    "there is a tunnel to this ingress already; trying again in {wait:.1?}"
                );
            }
        }
        if let Some(connection) = self.conns.get_mut(id.conn()) {
            connection.io.close(Closing::AfterFlush);
        }
    }

    /// A tunnel is over, and so are its exchanges.
    pub(crate) fn lose_tunnel(&mut self, id: TunnelId, why: &str, cx: &mut Context<'_>) {
        let Some(tunnel) = self.tunnels.remove(&id) else { return };
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
        self.tell(WorkerId::FIRST, Message::Ended(tunnel.serial, why.to_owned()), cx);
    }

    /// A tunnel, at whatever worker, is over: another one is begun unless one is there.
    pub(crate) fn tunnel_ended(&mut self, serial: Serial, why: &str, cx: &mut Context<'_>) {
        let Some(ended) = self.ledger.close(serial) else { return };
        if ended.welcomed.is_some() {
            self.alone_since = cx.now;
        }
        if let Some(slot) = self.slot_of(serial) {
            let wait = self.redial(slot, ended.welcomed, cx);
            return self.report_loss(why, &ended, wait);
        }
        log::info!("a tunnel ended: {why} ({ended})");
        self.losses.note_old();
        if !self.ledger.has_welcome() {
            self.redial_soon(ended.welcomed, cx);
        }
    }
}

/// Why a tunnel cannot go on.
enum Failure {
    /// Half a sentence.
    Upgrade(String),
    Link(link::Error),
}
