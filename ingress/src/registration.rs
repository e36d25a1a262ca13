//! From an agent's WebSocket to its place in the routes.
//!
//! ```text
//!   agent                       ingress
//!     | GET / Upgrade: websocket   |
//!     |--------------------------->|   503 when full or draining
//!     |          101               |
//!     |<---------------------------|
//!     | HELLO                      |
//!     |--------------------------->|   who, which hosts
//!     |   (CHALLENGE / PROOF)      |   where an identity is asked for
//!     |          WELCOME | REFUSED |
//!     |<---------------------------|
//! ```

use std::net::SocketAddr;
use std::time::Instant;

use mesh_protocol::control::{self, Hello, RefusalCode, Refused, Welcome};
use mesh_protocol::http1::RequestHead;
use mesh_protocol::mux::{Event, FrameKind, Session, Side, Turn};
use mesh_protocol::ws::{self, Role};
use mesh_protocol::{Buf, Closing, ConnId, Connection, Context, Link, link};

use crate::config::Admission;
use crate::ingress::{Conn, Ingress, TUNNEL_RX_MAX};
use crate::routes;
use crate::tunnel::{Tunnel, TunnelId};

/// An agent that has not been welcomed yet.
#[derive(Debug)]
pub struct Registration {
    link: Link,
    peer: SocketAddr,
    pub(crate) since: Instant,
}

/// Why an agent is not registered.
struct Refusal {
    code: RefusalCode,
    reason: String,
}

impl Refusal {
    fn new(code: RefusalCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// A breach of the registration's policy (RFC 6455 7.4.1).
const POLICY_VIOLATION: u16 = 1008;

impl Ingress {
    /// Whether one more agent may try to register.
    pub(crate) fn has_room_for_agent(&self) -> bool {
        let trying =
            |connection: &Connection<Conn>| matches!(connection.state, Conn::Registration(_));
        let trying = self.conns.iter().filter(|(_, connection)| trying(connection)).count();
        self.tunnels.len() + trying < self.config.limits.tunnels
    }

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
        ws::upgrade::accept(head, &self.identity, tx)?;
        let limits = &self.config.limits;
        let session = Session::new(
            Side::Opener,
            limits.streams_per_tunnel,
            0,
            limits.stream_window,
            limits.tunnel_bytes,
        );
        let link = Link::new(Role::Server, session, self.config.timeouts.echo, self.now);
        Ok(Conn::Registration(Box::new(Registration { link, peer, since: self.now })))
    }

    /// Reads frames until the agent has introduced itself.
    pub(crate) fn advance_registration(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let Some(Connection { io, state: Conn::Registration(registration) }) =
            self.conns.get_mut(conn)
        else {
            return;
        };
        if io.rx_eof {
            return io.close(Closing::AfterFlush);
        }
        let outcome = read_hello(registration, &mut io.rx, cx.now);
        match outcome {
            Ok(None) => {}
            Ok(Some(hello)) => self.introduce(conn, hello, cx),
            Err(error) => {
                let peer = registration.peer;
                log::info!("an agent from {peer} broke the protocol: {error}");
                let refusal = Refusal::new(RefusalCode::Invalid, error.to_string());
                self.refuse_registration(conn, &refusal, cx);
            }
        }
    }

    /// The agent did not introduce itself in time.
    pub(crate) fn expire_registration(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let refusal = Refusal::new(RefusalCode::Invalid, "no registration in time");
        self.refuse_registration(conn, &refusal, cx);
    }

    /// Sends what waits in a registration's link.
    pub(crate) fn transmit_registration(&mut self, conn: ConnId, cx: &mut Context<'_>) {
        let Some(Connection { io, state: Conn::Registration(registration) }) =
            self.conns.get_served(conn)
        else {
            return;
        };
        if registration.link.has_output() {
            registration.link.transmit(&mut io.tx, cx.rng, |_, _, _, _| Turn::Over);
        }
    }

    /// Decides about an agent that said hello.
    fn introduce(&mut self, conn: ConnId, hello: Hello, cx: &mut Context<'_>) {
        let Some(Connection { state: Conn::Registration(registration), .. }) = self.conns.get(conn)
        else {
            return;
        };
        let peer = registration.peer;
        match self.admit(hello, peer) {
            Ok(hello) => self.register(conn, hello, peer, cx),
            Err(refusal) => self.refuse_registration(conn, &refusal, cx),
        }
    }

    /// Checks what the agent wants, and whether it may.
    fn admit(&self, mut hello: Hello, peer: SocketAddr) -> Result<Hello, Refusal> {
        let invalid = |reason: String| Refusal::new(RefusalCode::Invalid, reason);
        if hello.hosts.is_empty() {
            return Err(invalid("no host to register".to_owned()));
        }
        if hello.hosts.len() > self.config.limits.hosts_per_tunnel {
            return Err(invalid(format!("{} hosts are too many", hello.hosts.len())));
        }
        for host in &mut hello.hosts {
            match routes::normalize(host) {
                Some(pattern) => *host = pattern,
                None => return Err(invalid(format!("{host:?} is no host name or pattern"))),
            }
        }
        hello.hosts.sort_unstable();
        hello.hosts.dedup();
        if hello.window == 0 || hello.streams == 0 {
            return Err(invalid("a window or number of streams of 0".to_owned()));
        }
        match &self.config.admission {
            Admission::Loopback if !peer.ip().to_canonical().is_loopback() => Err(Refusal::new(
                RefusalCode::Unauthenticated,
                "no authentication is configured at the ingress, so it accepts agents from \
                 loopback addresses only",
            )),
            Admission::Loopback => Ok(hello),
            Admission::Anyone => {
                let hosts = hello.hosts.join(", ");
                log::warn!("agent from {peer} registers {hosts} without any authentication");
                Ok(hello)
            }
            Admission::Policy(_) => {
                Err(Refusal::new(RefusalCode::Unauthenticated, "the agent did not prove who it is"))
            }
        }
    }

    /// Welcomes an agent: requests may go to it from now on.
    fn register(&mut self, conn: ConnId, hello: Hello, peer: SocketAddr, cx: &mut Context<'_>) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let state = std::mem::replace(&mut connection.state, Conn::Tunnel);
        connection.io.rx_limit = TUNNEL_RX_MAX;
        let Conn::Registration(registration) = state else { return };
        let mut link = registration.link;
        self.registered += 1;
        self.others -= 1;
        let name = self.registered.to_string();
        let limits = &self.config.limits;
        let welcome = Welcome {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            session: name.clone(),
            window: limits.stream_window,
            streams: limits.streams_per_tunnel,
        };
        link.session.agree(hello.streams, hello.window);
        link.session.send(FrameKind::Welcome, &control::encode(&welcome));
        let id = TunnelId(conn);
        for host in &hello.hosts {
            if !self.routes.add(host, &hello.service, id) {
                log::error!("tunnel {name}: too many hosts are known, {host} is not routed");
            }
        }
        log::info!(
            "tunnel {name}: agent from {peer} registered {}, service {:?}, cluster {:?}, {}",
            hello.hosts.join(", "),
            hello.service,
            hello.cluster,
            if hello.healthy { "healthy" } else { "not yet healthy" },
        );
        self.metrics.registrations += 1;
        self.tunnels.insert(id, Tunnel::new(link, name, hello, peer, cx.now));
        if self.drain.is_draining() {
            self.tell_to_move(id);
        }
        // Frames may have followed the HELLO at once.
        self.advance_tunnel(id, cx);
    }

    /// Tells the agent why, and ends the connection.
    fn refuse_registration(&mut self, conn: ConnId, refusal: &Refusal, cx: &mut Context<'_>) {
        let Some(Connection { io, state: Conn::Registration(registration) }) =
            self.conns.get_mut(conn)
        else {
            return;
        };
        log::warn!("refused the agent from {}: {}", registration.peer, refusal.reason);
        let refused = Refused { code: refusal.code, reason: refusal.reason.clone() };
        registration.link.session.send(FrameKind::Refused, &control::encode(&refused));
        registration.link.close(POLICY_VIOLATION);
        registration.link.transmit(&mut io.tx, cx.rng, |_, _, _, _| Turn::Over);
        io.close(Closing::AfterFlush);
        self.metrics.registrations_refused += 1;
    }
}

/// Reads the first frame, which is to be HELLO.
fn read_hello(
    registration: &mut Registration,
    rx: &mut Buf,
    now: Instant,
) -> Result<Option<Hello>, link::Error> {
    let out_of_order = link::Error::Session(mesh_protocol::mux::Error::OutOfOrder);
    while let Some(event) = registration.link.poll_event(rx, now)? {
        match event {
            Event::Handled => {}
            Event::Connection { kind: FrameKind::Hello, payload } => {
                return control::decode(payload).map(Some).map_err(|error| {
                    log::info!("unreadable HELLO: {error}");
                    link::Error::Session(mesh_protocol::mux::Error::MalformedFrame)
                });
            }
            Event::Connection { .. }
            | Event::Opened { .. }
            | Event::Response { .. }
            | Event::Data { .. }
            | Event::Reset { .. } => return Err(out_of_order),
        }
    }
    Ok(None)
}
