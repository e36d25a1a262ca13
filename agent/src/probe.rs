//! One look at the local service's health.

use std::io::Write;
use std::time::{Duration, Instant};

use mesh_protocol::http1::scan::{HeadScan, Kind};
use mesh_protocol::http1::{ResponseHead, Storage};
use mesh_protocol::mux::FrameKind;
use mesh_protocol::ws::upgrade::INGRESS_FIELD;
use mesh_protocol::{
    Awaited, CloseReason, Closing, ConnId, Connection, Context, Duplex, Traffic, WorkerId, control,
};

use crate::agent::{Agent, Conn, authority, target};
use crate::faults::{IS_INGRESS, SPEAKS_TLS, TLS_ALERT};
use crate::health::{Change, Verdict};
use crate::ledger::Ledger;
use crate::upstream::GIVING_WAY;
use crate::workers::Message;

/// A probe under way.
#[derive(Debug)]
pub struct Probe {
    scan: HeadScan,
    /// When it has taken too long to be answered; once it is judged, when it is left.
    due: Instant,
    /// Until it is judged: when a kept connection is to give way to it. Those that wait at the service
    /// before it get the first places.
    make_room_at: Option<Instant>,
    /// Bytes that came behind the head.
    heard: u64,
    /// How many bytes of the answer are yet to come behind its head, where that said so. A service may
    /// keep the connection although it is asked not to.
    rest: Option<u64>,
}

/// The longest answer head that is read.
const ANSWER_BYTES_MAX: usize = 32 * 1024;
/// How long a service is heard out behind a head that has said enough. The next probes do not wait for
/// that, and a service may keep every one of their connections.
const HEARD_FOR: Duration = Duration::from_secs(2);
/// Bytes of an answer that are taken behind its head; it may have no end.
const HEARD_BYTES_MAX: u64 = 256 * 1024;

impl Agent {
    /// Asks the local service how it is.
    pub(crate) fn begin_probe(&mut self, cx: &mut Context<'_>) {
        let scan = HeadScan::new(Kind::Response, ANSWER_BYTES_MAX);
        let mut io = Duplex::new(ANSWER_BYTES_MAX);
        let host = authority(&self.config.local);
        let path = &self.config.health.path;
        write!(
            io.tx,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: mesh-agent/{} (health check)\r\n\
             Accept: */*\r\nConnection: close\r\n\r\n",
            env!("CARGO_PKG_VERSION"),
        )
        .expect("a Buf takes everything");
        let timeout = self.config.health.timeout;
        let (due, make_room_at) = (cx.now + timeout, cx.now + GIVING_WAY.min(timeout / 2));
        let probe = Probe { scan, due, make_room_at: Some(make_room_at), heard: 0, rest: None };
        let conn = self.conns.insert(io, Conn::Probe(probe));
        self.health.probe = Some(conn);
        cx.connect(conn, target(&self.config.local, Traffic::Single));
    }

    /// Reads what the service answered. Once the head has said enough, the rest is only taken, up
    /// to a limit: a service that is still writing is not to meet a reset.
    pub(crate) fn advance_probe(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let is_judged = self.health.probe != Some(conn);
        let Some(Connection { io, state: Conn::Probe(probe) }) = self.conns.get_mut(conn) else {
            return;
        };
        if is_judged {
            return probe.hear_out(io);
        }
        let verdict = loop {
            let length = match probe.scan.poll(io.rx.as_slice()) {
                Ok(Some(length)) => length,
                Ok(None) if !io.rx_eof => return,
                Ok(None) => break Verdict::Bad("closed without an answer".to_owned()),
                Err(error) => {
                    io.close(Closing::Abort);
                    break Verdict::Bad(match io.rx.as_slice().starts_with(&TLS_ALERT) {
                        true => SPEAKS_TLS.to_owned(),
                        false => format!("answered nonsense: {error}"),
                    });
                }
            };
            let mut storage = Storage::new();
            let head = ResponseHead::parse(&io.rx.as_slice()[..length], &mut storage);
            match head {
                // An interim response: the answer follows (RFC 9110 15.2).
                Ok(ResponseHead { status: 100 | 102..=199, .. }) => io.rx.consume(length),
                Ok(head) => {
                    self.health.answered_by =
                        head.field(INGRESS_FIELD).unwrap_or_default().to_vec();
                    let verdict = verdict(&head, &self.ledger);
                    probe.rest = body_length(&head);
                    io.rx.consume(length);
                    break verdict;
                }
                Err(error) => {
                    io.close(Closing::Abort);
                    break Verdict::Bad(format!("answered nonsense: {error}"));
                }
            }
        };
        probe.due = probe.due.min(cx.now + HEARD_FOR);
        probe.make_room_at = None;
        probe.hear_out(io);
        self.judge(conn, verdict);
    }

    /// The service took long to answer, and may have no place for a probe beside the kept connections; or
    /// it took too long, to answer or to end its answer.
    pub(crate) fn expire_probe(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let is_judged = self.health.probe != Some(conn);
        let Some(Connection { io, state: Conn::Probe(probe) }) = self.conns.get_mut(conn) else {
            return;
        };
        if probe.due > cx.now {
            if probe.make_room_at.is_some_and(|at| at <= cx.now) {
                probe.make_room_at = Some(cx.now + GIVING_WAY);
                self.tell_others(|| Message::MakeRoom);
                self.make_room_for_probe();
            }
            return;
        }
        io.close(if is_judged { Closing::Discard } else { Closing::Abort });
        let missing = io.awaits.map_or("no answer", Awaited::missing);
        let timeout = self.config.health.timeout;
        self.judge(conn, Verdict::Bad(format!("{missing} within {timeout:?}")));
    }

    /// The connection ended, with or without an answer.
    pub(crate) fn probe_closed(&mut self, conn: ConnId, reason: &CloseReason) {
        self.judge(conn, Verdict::Bad(reason.to_string()));
    }

    /// When the next probe is due: the first worker looks for all.
    pub(crate) fn probe_due(&self) -> Option<Instant> {
        self.health.due().filter(|_| self.workers.is_first())
    }

    /// A request found the service unreachable.
    pub(crate) fn suspect_service(&mut self, cx: &mut Context<'_>) {
        self.tell(WorkerId::FIRST, Message::Suspect, cx);
    }

    /// Tells every ingress, by the tunnels of this worker.
    pub(crate) fn report_health(&mut self, health: &control::Health) {
        for (id, tunnel) in &mut self.tunnels {
            if let Some(link) = tunnel.serving_mut() {
                link.session.send(FrameKind::Health, &control::encode(health));
                self.conns.touch(id.conn());
            }
        }
    }

    /// Takes the first verdict of a probe.
    fn judge(&mut self, conn: ConnId, verdict: Verdict) {
        if self.health.probe != Some(conn) {
            return;
        }
        let change = self.health.record(verdict, &self.config.health, self.now);
        self.tell_change(change);
    }

    /// A tunnel has reached this ingress. An answer of that may have come before, and been taken for one of
    /// the service.
    pub(crate) fn detect_loop_at_service(&mut self, ingress: &[u8]) {
        let change = self.health.detect_loop(ingress, &self.config.health, self.now);
        self.tell_change(change);
    }

    /// Tells the log and every ingress what changed, if anything did.
    fn tell_change(&mut self, change: Change) {
        match change {
            Change::Same => return,
            Change::Up => log::info!("the local service is healthy"),
            Change::Down => {
                log::warn!("the local service is unhealthy: {}", self.health.reason());
            }
            Change::Cause => {
                log::warn!("the local service is still unhealthy: {}", self.health.reason());
            }
        }
        let health = self.health.report();
        self.tell_others(|| Message::Health(health.clone()));
        self.report_health(&health);
    }
}

impl Probe {
    /// When something is to be done about the probe.
    pub(crate) fn deadline(&self) -> Instant {
        self.make_room_at.map_or(self.due, |at| at.min(self.due))
    }

    /// Takes what nobody needs of an answer, up to its end or to what is enough of it.
    fn hear_out(&mut self, io: &mut Duplex) {
        let taken = io.rx.len() as u64;
        io.rx.clear();
        self.heard += taken;
        self.rest = self.rest.map(|rest| rest.saturating_sub(taken));
        if io.rx_eof || self.rest == Some(0) {
            io.close(Closing::Discard);
        } else if self.heard >= HEARD_BYTES_MAX {
            io.close(Closing::Abort);
        }
    }
}

/// What an answer says of the service. Requests that were sent to an ingress with a tunnel to this agent would
/// come back here.
fn verdict(head: &ResponseHead<'_, '_>, ledger: &Ledger) -> Verdict {
    match head.status {
        _ if head.field(INGRESS_FIELD).is_some_and(|ingress| ledger.leads_to(ingress)) => {
            Verdict::Bad(IS_INGRESS.to_owned())
        }
        200..=399 => Verdict::Good,
        status => Verdict::Bad(format!("answered {status}")),
    }
}

/// How many bytes follow a head, where it says so.
fn body_length(head: &ResponseHead<'_, '_>) -> Option<u64> {
    if matches!(head.status, 204 | 304) {
        return Some(0);
    }
    std::str::from_utf8(head.field("content-length")?).ok()?.trim().parse().ok()
}
