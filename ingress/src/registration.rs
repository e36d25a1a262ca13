//! From an agent's WebSocket to its place in the routes.
//!
//! ```text
//!   agent                       ingress
//!     | GET / Upgrade: websocket   |
//!     |--------------------------->|   503 when full or draining
//!     |          101               |
//!     |<---------------------------|
//!     | HELLO                      |
//!     |--------------------------->|   Greeting: who, which hosts
//!     |          CHALLENGE         |
//!     |<---------------------------|   where an identity is asked for
//!     | PROOF                      |
//!     |--------------------------->|   Applying: challenged, then looked at by AWS
//!     |          WELCOME | REFUSED |
//!     |<---------------------------|
//! ```
//!
//! Nothing is routed to an agent before its WELCOME, and one that does not get there in time is
//! cut. `admission` decides; here is what goes over the wire.

mod leaving;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mesh_protocol::control::{self, Hello, Proof, RefusalCode, Refused, Welcome};
use mesh_protocol::http1::RequestHead;
use mesh_protocol::mux::frame::full_frames;
use mesh_protocol::mux::{self, Event, FrameKind, Session, Side};
use mesh_protocol::ws::{self, Role, close};
use mesh_protocol::{Buf, Closing, ConnId, Connection, Context, Duplex, Link, link, proof};

use crate::admission::Standing;
use crate::application::{Applicant, Application, Step};
use crate::audit;
use crate::config::Timeouts;
use crate::identity::Principal;
use crate::ingress::{Conn, Ingress};
use crate::tunnel::{AgentId, Serial, Tunnel};

/// An agent that has not been welcomed yet.
#[derive(Debug)]
pub struct Registration {
    pub(crate) link: Link,
    pub(crate) peer: SocketAddr,
    /// When its connection became a WebSocket.
    since: Instant,
    /// The host that it dialled, in lower case and without its port, as its upgrade says.
    pub(crate) dialled: String,
    pub(crate) phase: Phase,
}

/// How far it is.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it lies in a box with the rest of the registration")]
pub(crate) enum Phase {
    /// Its HELLO is awaited.
    Greeting,
    /// It has introduced itself.
    Applying(Application),
    /// Decided; the connection is about to close, or is a tunnel by now.
    Over,
}

/// Why an agent is not registered, or not any more.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: RefusalCode,
    /// For the agent's operator.
    pub(crate) reason: String,
}

/// What an agent sent.
enum Received {
    Hello { hello: Box<Hello>, digest: String },
    Proof(Box<Proof>),
}

/// Why an agent that is not registered yet is listened to no longer.
enum Failure {
    Link(link::Error),
    /// Half a sentence.
    Unreadable(String),
}

/// Unread bytes of an agent that is not known yet: the longest frame that it may send, twice.
pub(crate) const REGISTRATION_RX_MAX: usize = 2 * control::CONTROL_BYTES_MAX;
/// How long AWS may be asked about one agent, STS and ECS together, waiting in line included. Agents
/// wait for 30 s.
pub(crate) const VERIFICATION_TIMEOUT: Duration = Duration::from_secs(25);

impl Refusal {
    pub(crate) fn new(code: RefusalCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

impl Registration {
    /// Whether it is decided about, or gone.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// What it has said of itself, while it is not decided about.
    pub(crate) const fn application(&self) -> Option<&Application> {
        match &self.phase {
            Phase::Applying(application) => Some(application),
            Phase::Greeting | Phase::Over => None,
        }
    }

    /// When it has taken too long, or ECS is to be asked again.
    pub(crate) fn deadline(&self, timeouts: &Timeouts) -> Instant {
        let again = self.application().and_then(Application::again);
        let verifying = self.application().and_then(Application::verifying_since);
        match (again, verifying) {
            (Some(again), _) => again,
            (None, Some(since)) => since + VERIFICATION_TIMEOUT,
            (None, None) => self.since + timeouts.registration,
        }
    }
}

impl Ingress {
    /// Answers an upgrade request: from here on the connection speaks frames.
    ///
    /// # Errors
    /// It is no upgrade to a tunnel; nothing was written.
    pub(crate) fn upgrade(
        &self,
        head: &RequestHead<'_, '_>,
        peer: SocketAddr,
        tx: &mut Buf,
    ) -> Result<Conn, ws::Error> {
        ws::upgrade::accept(head, &self.config.process, tx)?;
        let limits = &self.config.limits;
        let limits = mux::Limits {
            streams: limits.streams_per_tunnel,
            send_window: 0,
            recv_window: full_frames(limits.stream_window),
            pending_bytes: limits.tunnel_bytes,
            growth: limits.window_growth,
        };
        let session = Session::new(Side::Opener, limits);
        let link = Link::new(Role::Server, session, self.config.timeouts.echo, self.now);
        let dialled = head
            .field("host")
            .map(|field| host_of(&String::from_utf8_lossy(field)))
            .unwrap_or_default();
        let (since, phase) = (self.now, Phase::Greeting);
        let registration = Registration { link, peer, since, dialled, phase };
        Ok(Conn::Registration(Box::new(registration)))
    }

    /// Reads frames until the agent is decided about.
    pub(crate) fn advance_registration(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        loop {
            let Some((registration, io)) = self.registration(conn) else { return };
            let is_eof = io.rx_eof;
            if registration.is_over() && !is_eof {
                return;
            }
            match read_frame(registration, io, cx.now) {
                // As a rule the end of its connection comes with its goodbye.
                Err(Failure::Link(link::Error::Closed(goodbye))) => {
                    return self.leave_unregistered(conn, goodbye, cx);
                }
                Ok(_) | Err(_) if is_eof => return self.leave_unregistered(conn, None, cx),
                Ok(None) => return,
                Ok(Some(Received::Hello { hello, digest })) => {
                    self.introduce(conn, *hello, digest, cx);
                }
                Ok(Some(Received::Proof(proof))) => self.examine(conn, &proof, cx),
                Err(failure) => {
                    let reason = match failure {
                        Failure::Link(error) => error.to_string(),
                        Failure::Unreadable(why) => why,
                    };
                    let refusal = Refusal::new(RefusalCode::Invalid, reason);
                    return self.refuse_agent(conn, None, &refusal, cx);
                }
            }
        }
    }

    /// The agent took too long, or AWS did; or it is time to ask again.
    pub(crate) fn expire_registration(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let Some(Conn::Registration(registration)) = self.conns.state(conn) else { return };
        let refusal = match registration.application().map(|one| &one.step) {
            Some(Step::Inspecting { again: Some(_), .. }) => return self.inspect_again(conn),
            None | Some(Step::Introduced) => {
                Refusal::new(RefusalCode::Invalid, "no registration in time")
            }
            Some(Step::Challenged { .. }) => {
                Refusal::new(RefusalCode::Unauthenticated, "no proof of identity in time")
            }
            Some(Step::Identifying { .. } | Step::Inspecting { .. }) => Refusal::new(
                RefusalCode::Unavailable,
                "AWS did not answer the ingress's questions about this agent in time",
            ),
        };
        self.refuse_agent(conn, None, &refusal, cx);
    }

    /// Sends what waits in a registration's link.
    pub(crate) fn transmit_registration(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let Some(Connection { io, state: Conn::Registration(registration) }) =
            self.conns.get_served(conn)
        else {
            return;
        };
        if registration.link.has_output() {
            registration.link.transmit_control(&mut io.tx, cx.rng);
        }
    }

    /// Welcomes an agent: requests may go to it from now on. If there is no room for its hosts, it is told
    /// so instead.
    pub(crate) fn register(&mut self, conn: ConnId, standing: Standing, cx: &mut Context<'_>) {
        let Some(application) = self.application_mut(conn) else { return };
        let Applicant { hello, introduced, .. } = &application.applicant;
        let (hello, introduced) = (hello.clone(), *introduced);
        let who = standing.principal.as_ref();
        let refusal = if self.is_overtaken(&hello, introduced, who) {
            Some((RefusalCode::Unavailable, "this agent has registered again meanwhile"))
        } else if self.make_room(&hello) {
            None
        } else {
            Some((
                RefusalCode::Overloaded,
                "the ingress has no room for the hosts of another agent",
            ))
        };
        if let Some((code, reason)) = refusal {
            return self.refuse_agent(conn, who, &Refusal::new(code, reason), cx);
        }
        let Some(Connection { io, state }) = self.conns.get_mut(conn) else { return };
        let Conn::Registration(registration) = std::mem::replace(state, Conn::Tunnel) else {
            unreachable!("only registrations are decided about")
        };
        io.rx_limit = link::RX_BYTES_MAX;
        let Registration { mut link, peer, phase, .. } = *registration;
        let Phase::Applying(Application { applicant, .. }) = phase else {
            unreachable!("only who applies is welcomed")
        };
        self.registered += 1;
        self.others -= 1;
        self.end_registration(conn);
        let serial = Serial(self.registered);
        let agent = self.agent_of(&hello.process, standing.principal.as_ref());
        let agent = agent.unwrap_or(AgentId(serial));
        let limits = &self.config.limits;
        let welcome = Welcome {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            session: serial.to_string(),
            window: link.session.recv_window(),
            streams: limits.streams_per_tunnel,
        };
        link.session.agree(hello.streams, hello.window);
        link.session.send(FrameKind::Welcome, &control::encode(&welcome));
        self.metrics.registered(standing.proof());
        let mut tunnel = Tunnel::new(link, serial, agent, applicant, peer, standing, cx.now);
        tunnel.spread_renewal(&self.config.identity, cx.rng);
        audit::accepted(&tunnel);
        self.assign_tunnel(conn, tunnel, cx);
        // After it is known: what fails with the old ones may go to it.
        self.replace_tunnels(agent, &hello, serial, cx);
    }

    /// Tells the agent why, and ends the connection.
    pub(crate) fn refuse_agent(
        &mut self,
        conn: ConnId,
        principal: Option<&Principal>,
        refusal: &Refusal,
        cx: &mut Context<'_>,
    ) {
        let Some((registration, io)) = self.registration(conn) else { return };
        if registration.is_over() {
            return;
        }
        let hello = registration.application().map(|one| &one.applicant.hello);
        audit::refused(registration.peer, hello, principal, refusal);
        registration.phase = Phase::Over;
        let refused = Refused { code: refusal.code, reason: refusal.reason.clone() };
        registration.link.session.send(FrameKind::Refused, &control::encode(&refused));
        registration.link.close(close::POLICY_VIOLATION, "refused");
        registration.link.transmit_control(&mut io.tx, cx.rng);
        io.close(Closing::AfterFlush);
        self.metrics.refused(refusal.code);
        self.end_registration(conn);
    }

    /// The agent is decided about, or gone: it takes no place any more among those that are to become
    /// tunnels, however long its connection still takes to end, and nothing is asked about it.
    pub(crate) fn end_registration(&mut self, conn: ConnId) {
        self.registering -= 1;
        self.jobs.forget(conn);
    }
}

/// Reads the next frame that means something: HELLO first, PROOF when it was asked for.
fn read_frame(
    registration: &mut Registration,
    io: &mut Duplex,
    now: Instant,
) -> Result<Option<Received>, Failure> {
    let Registration { link, phase, .. } = registration;
    for _ in 0..link::EVENTS_MAX {
        let event = link.poll_event(&mut io.rx, now).map_err(Failure::Link)?;
        let Some(event) = event else { return Ok(None) };
        match (event, &*phase) {
            (Event::Handled, _) => {}
            (Event::Connection { kind: FrameKind::Hello, payload }, Phase::Greeting) => {
                let hello = Box::new(decode(payload, "HELLO")?);
                let digest = proof::digest_hello(payload);
                return Ok(Some(Received::Hello { hello, digest }));
            }
            (
                Event::Connection { kind: FrameKind::Proof, payload },
                Phase::Applying(Application { step: Step::Challenged { .. }, .. }),
            ) => {
                return Ok(Some(Received::Proof(Box::new(decode(payload, "PROOF")?))));
            }
            (
                Event::Connection { .. }
                | Event::Opened { .. }
                | Event::Response { .. }
                | Event::Data { .. }
                | Event::Reset { .. },
                Phase::Greeting | Phase::Applying(_) | Phase::Over,
            ) => return Err(Failure::Link(link::Error::Session(mux::Error::OutOfOrder))),
        }
    }
    io.is_behind = true;
    Ok(None)
}

fn decode<'de, T: serde::Deserialize<'de>>(payload: &'de [u8], name: &str) -> Result<T, Failure> {
    control::decode(payload).map_err(|error| {
        // What a stranger sent may be quoted in it.
        Failure::Unreadable(format!("unreadable {name}: {:.256}", error.to_string()))
    })
}

/// The name in a `Host` field, in lower case and without its port.
fn host_of(field: &str) -> String {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let name = match field.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        Some(_) | None => field,
    };
    name.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}
