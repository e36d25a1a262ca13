//! Getting a tunnel, and getting another one when it is lost.

use log::Level;
use mesh_protocol::control::{self, Hello, RefusalCode, Refused, Welcome, shorten};
use mesh_protocol::http1::scan::{HeadScan, Kind};
use mesh_protocol::http1::{ResponseHead, Storage};
use mesh_protocol::mux::frame::full_frames;
use mesh_protocol::mux::{self, FrameKind, Session, Side};
use mesh_protocol::ws::upgrade::Offer;
use mesh_protocol::ws::{self, Role, close};
use mesh_protocol::{Buf, Closing, Context, Duplex, Link, Target, Traffic, link, proof};

use crate::agent::{Agent, Conn, Dial, authority, target};
use crate::drain::say_drain;
use crate::faults::TLS_ALERT;
use crate::ledger::Serial;
use crate::tunnel::{Phase, Tunnel, TunnelId};
use crate::workers::Message;

/// Bytes of frames besides DATA that may wait for the tunnel.
const PENDING_BYTES_MAX: usize = 256 * 1024;
/// Tunnels for each of those that there are to be which are to be left, and which the ingress does not close.
const MOVING_MAX: usize = 2;
/// The longest answer to the upgrade.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// What is shown of a sentence of the ingress, in which there may be the name of a role and of hosts.
const SENTENCE_CHARS_MAX: usize = 1000;
/// What is shown of a name that the ingress sent.
pub(crate) const NAME_CHARS_MAX: usize = 64;

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
        let offer = Offer::write(&authority(endpoint), &endpoint.path, tx, cx.rng);
        let scan = HeadScan::new(Kind::Response, ANSWER_BYTES_MAX);
        tunnel.phase = Phase::Upgrading { offer, scan };
    }

    /// Looks for the answer to the upgrade as long as that is to come, and acts on it.
    ///
    /// # Errors
    /// It is another answer; half a sentence.
    pub(crate) fn read_upgrade(
        &mut self,
        id: TunnelId,
        rx: &mut Buf,
        cx: &mut Context<'_>,
    ) -> Result<(), String> {
        let Some(tunnel) = self.tunnels.get_mut(&id) else { return Ok(()) };
        let Phase::Upgrading { offer, scan } = &mut tunnel.phase else { return Ok(()) };
        let Some(ingress) = check_answer(offer, scan, rx)? else { return Ok(()) };
        let enough = self.config.limits.tunnels_per_ingress;
        if !ingress.is_empty() && self.ledger.lasting_to(&ingress).count() >= enough {
            self.leave_known(id, cx);
        } else {
            self.greet(id, ingress, cx);
        }
        Ok(())
    }

    /// The upgrade is done: introduces this agent.
    fn greet(&mut self, id: TunnelId, ingress: Vec<u8>, cx: &mut Context<'_>) {
        if self.process.is_empty() {
            self.process = format!("{:016x}{:016x}", cx.rng.bits(), cx.rng.bits());
        }
        // HELLO says how the service is.
        self.detect_loop_at_service(&ingress);
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
        let kept = self.ledger.predecessors(tunnel.serial);
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
            return self.reject_oversized_hello(id, hello.len(), cx);
        }
        link.session.send(FrameKind::Hello, &hello);
        tunnel.digest = proof::digest_hello(&hello);
        tunnel.phase = Phase::Greeting(Box::new(link));
        self.conns.touch(id.conn());
    }

    /// No ingress would read on: what to do about it is known here alone.
    fn reject_oversized_hello(&mut self, id: TunnelId, length: usize, cx: &mut Context<'_>) {
        let why = format!(
            "this agent introduces itself with {length} bytes, of which {} hosts are the most, and an \
             ingress takes {}: give some of the hosts to another agent",
            self.config.hosts.len(),
            control::CONTROL_BYTES_MAX,
        );
        self.complain(&why);
        self.close_tunnel(id, close::NORMAL, "too many hosts", cx);
    }

    pub(crate) fn welcomed(&mut self, id: TunnelId, welcome: &Welcome, cx: &mut Context<'_>) {
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
        self.assign_tunnel(id, serial, cx);
    }

    /// Says why this agent is not registered. What is said again and again, at each attempt, is for
    /// those who look closely. The tunnel that it is about is to end.
    pub(crate) fn complain(&mut self, complaint: &str) {
        let level = if self.losses.complain(complaint) { Level::Error } else { Level::Debug };
        log::log!(level, "{complaint}");
    }

    /// A tunnel, at whatever worker, is to be replaced.
    pub(crate) fn tunnel_moves(&mut self, serial: Serial, why: &str, cx: &mut Context<'_>) {
        let since = self.ledger.moves(serial, cx.now);
        if self.ledger.serving() == 0 {
            self.note_loss_by_move(why);
        }
        self.leave_oldest(cx);
        match self.slot_of(serial) {
            Some(slot) => self.redial_for_move(slot, serial, since, why, cx),
            // Another one is looked for already, without haste while this one served.
            None => self.redial_soon(since, cx),
        }
    }

    /// Ends the oldest of the tunnels that are moving, if they are too many: the ingress may keep them, or a
    /// long stream that is on each.
    pub(crate) fn leave_oldest(&mut self, cx: &mut Context<'_>) {
        if let Some((oldest, worker)) = self.ledger.leave_behind(MOVING_MAX * self.slots.len()) {
            self.tell(worker, Message::Leave(oldest), cx);
        }
    }

    /// Leaves an ingress to which there are tunnels enough already, before introducing this agent: behind
    /// a load balancer, only trying again leads to the other ones.
    fn leave_known(&mut self, id: TunnelId, cx: &mut Context<'_>) {
        if let Some(tunnel) = self.tunnels.remove(&id) {
            self.ledger.close(tunnel.serial);
            if let Some(slot) = self.slot_of(tunnel.serial) {
                let wait = self.continue_search(slot, cx);
                log::debug!(
                    "there is a tunnel to this ingress already; trying again in {wait:.1?}"
                );
            }
        }
        if let Some(connection) = self.conns.get_mut(id.conn()) {
            connection.io.close(Closing::AfterFlush);
        }
    }

    /// A tunnel, at whatever worker, is over: another one is begun unless one is there.
    pub(crate) fn tunnel_ended(&mut self, serial: Serial, why: &str, cx: &mut Context<'_>) {
        let Some(ended) = self.ledger.close(serial) else { return };
        if ended.welcomed.is_some() {
            self.without_tunnel_since = cx.now;
        }
        if let Some(slot) = self.slot_of(serial) {
            let wait = self.redial(slot, ended.welcomed, cx);
            return self.report_loss(why, &ended, Some(wait));
        }
        if !self.ledger.has_welcome() {
            self.redial_soon(ended.welcomed, cx);
        }
        if ended.is_good() && !self.drain.is_draining() {
            let wait = self.next_dial().map(|due| due.saturating_duration_since(cx.now));
            return self.report_loss(why, &ended, wait);
        }
        log::info!("a tunnel ended: {why} ({ended})");
        self.losses.note_old();
    }
}

/// Reads a WELCOME, with no more of its words than fits into a log.
pub(crate) fn read_welcome(payload: &[u8]) -> Result<Welcome, String> {
    let welcome = control::decode::<Welcome>(payload);
    // What the ingress sent may be quoted in it.
    let welcome = welcome.map_err(|error| sentence(&format!("bad WELCOME: {error}")))?;
    let name = |words: &str| shorten(words, NAME_CHARS_MAX).to_owned();
    if welcome.window == 0 || welcome.streams == 0 {
        return Err("bad WELCOME: window and streams must not be 0".to_owned());
    }
    Ok(Welcome { version: name(&welcome.version), session: name(&welcome.session), ..welcome })
}

/// Why this agent is refused, in words as far as they fit into a log.
pub(crate) fn read_refusal(payload: &[u8]) -> (RefusalCode, String) {
    let (code, words) = match control::decode::<Refused>(payload) {
        Ok(Refused { code, reason }) => (code, format!("refused ({code:?}): {reason}")),
        Err(error) => (RefusalCode::Other, format!("refused, reason unreadable: {error}")),
    };
    (code, sentence(&words))
}

/// A sentence that may be the ingress's.
pub(crate) fn sentence(words: &str) -> String {
    shorten(words, SENTENCE_CHARS_MAX).to_owned()
}

/// Looks for the answer to the upgrade: which ingress gave it, once it is there and good.
///
/// # Errors
/// It is another answer; half a sentence.
fn check_answer(
    offer: &Offer,
    scan: &mut HeadScan,
    rx: &mut Buf,
) -> Result<Option<Vec<u8>>, String> {
    if rx.as_slice().starts_with(&TLS_ALERT) {
        return Err("the peer speaks TLS; give its endpoint as wss://".to_owned());
    }
    loop {
        let length = scan.poll(rx.as_slice()).map_err(|_| malformed())?;
        let Some(length) = length else { return Ok(None) };
        let ingress = read_answer(offer, &rx.as_slice()[..length])?;
        rx.consume(length);
        if ingress.is_some() {
            return Ok(ingress);
        }
    }
}

/// Which ingress gave an answer; `None` where that is still to come, after an interim one of whoever is on
/// the way (RFC 9110 15.2).
fn read_answer(offer: &Offer, head: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut storage = Storage::new();
    let head = ResponseHead::parse(head, &mut storage).map_err(|_| malformed())?;
    if matches!(head.status, 100 | 102..=199) {
        return Ok(None);
    }
    let ingress = offer.verify(&head).map_err(|error| match (reason(&head), elsewhere(&head)) {
        (Some(reason @ "no_route"), _) => format!(
            "{error} ({reason}): that port is for requests; agents dial the ingress's --websocket-port"
        ),
        (Some(reason), _) => format!("{error} ({reason})"),
        (None, Some(place)) => {
            format!("{error}, which leads to {place:?}; if that is the ingress, give its endpoint")
        }
        (None, None) => error.to_string(),
    })?;
    Ok(Some(ingress.unwrap_or_default().to_vec()))
}

fn malformed() -> String {
    ws::Error::BadUpgrade.to_string()
}

/// Whom a redirect leads to; followed, it could take a proof of identity to anybody. What is behind
/// the host is nobody's business, nor are the name and password before it.
fn elsewhere<'b>(head: &ResponseHead<'_, 'b>) -> Option<&'b str> {
    const PLACE_BYTES_MAX: usize = 256;
    let location = head.field("location").filter(|_| matches!(head.status, 300..=399))?;
    let location = std::str::from_utf8(location).ok()?;
    let (scheme, rest) = location.split_once("://")?;
    let host = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let place = &location[..scheme.len() + "://".len() + host];
    (place.len() <= PLACE_BYTES_MAX && !place.contains('@')).then_some(place)
}

/// The word by which an ingress says why it refuses, such as `draining`.
fn reason<'b>(head: &ResponseHead<'_, 'b>) -> Option<&'b str> {
    let word = std::str::from_utf8(head.field("x-mesh-error")?).ok()?;
    let is_word = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    (is_word && (1..=32).contains(&word.len())).then_some(word)
}

#[cfg(test)]
mod tests;
