//! Listening sockets.

use std::io;
use std::net::{self, SocketAddr};
use std::time::{Duration, Instant};

use log::warn;
use mesh_protocol::{ListenerId, Traffic};
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockRef, Socket, Type};

use crate::ServerTls;
use crate::transport::{Socket as Connected, set_options};

/// A listening socket to be served, and what its connections carry.
#[derive(Debug)]
pub struct Listen {
    /// How the application knows it.
    pub id: ListenerId,
    /// The socket; [`listen`] makes one.
    pub socket: net::TcpListener,
    /// Sets the options of each connection.
    pub traffic: Traffic,
    /// With it, TLS is spoken on each connection.
    pub tls: Option<ServerTls>,
}

/// Connections that the kernel may hold for us: a reconnect of every agent at once. The kernel
/// lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Opens a listening socket, non-blocking, with `SO_REUSEADDR`: a restart need not wait for the
/// connections of its predecessor to time out. An unspecified IPv6 address listens on IPv4 too.
///
/// # Errors
/// The kernel's, without the address: the caller words it.
pub fn listen(address: SocketAddr) -> io::Result<net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    // Whoever connects has them from then on, before anybody accepts.
    set_options(&SockRef::from(&socket), Traffic::Single);
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A registered listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) id: ListenerId,
    tls: Option<ServerTls>,
    /// None once it is closed.
    socket: Option<TcpListener>,
    /// Where it listens, for the log.
    address: SocketAddr,
    state: State,
    trouble: Trouble,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The kernel will say when somebody comes.
    Waiting,
    /// Somebody may be there.
    Ready,
    /// The process or the system is out of something. The kernel's edge is consumed, so only the
    /// clock makes the listener look again.
    Exhausted { until: Instant },
}

/// How long to leave those who wait alone when there is no descriptor or no memory for them.
const RETRY_AFTER: Duration = Duration::from_millis(100);

impl Listener {
    pub(crate) fn new(listen: Listen, registry: &Registry, token: Token) -> io::Result<Self> {
        listen.socket.set_nonblocking(true)?;
        let address = listen.socket.local_addr()?;
        let mut socket = TcpListener::from_std(listen.socket);
        set_options(&SockRef::from(&socket), listen.traffic);
        registry.register(&mut socket, token, Interest::READABLE)?;
        let Listen { id, tls, .. } = listen;
        let (state, trouble) = (State::Waiting, Trouble::default());
        Ok(Self { id, tls, socket: Some(socket), address, state, trouble })
    }

    /// What an accepted connection is served by; `None` when TLS cannot be had.
    pub(crate) fn wrap(&self, stream: TcpStream) -> Option<Connected> {
        let Some(tls) = &self.tls else {
            return Some(Connected::plain(stream));
        };
        match tls.session() {
            Ok(filter) => Some(Connected::tls(stream, filter)),
            Err(error) => {
                warn!("no TLS on {}: {error}", self.address);
                None
            }
        }
    }

    /// The kernel says that somebody came.
    pub(crate) fn latch(&mut self) {
        if self.state == State::Waiting {
            self.state = State::Ready;
        }
    }

    /// Somebody may have come of whom the kernel has not told yet.
    pub(crate) const fn look_again(&mut self) {
        self.state = State::Ready;
    }

    /// Nobody comes any more.
    pub(crate) fn close(&mut self) {
        self.socket = None;
        self.state = State::Waiting;
    }

    /// Whether [`Self::poll_accept`] may bring something now.
    pub(crate) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// When to call [`Self::poll_accept`] without having heard from the kernel.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Waiting | State::Ready => None,
            State::Exhausted { until } => Some(until),
        }
    }

    /// The next one who came; `None` when nobody is there or nobody can be taken in.
    pub(crate) fn poll_accept(&mut self, now: Instant) -> Option<(TcpStream, SocketAddr)> {
        match self.state {
            State::Waiting => return None,
            State::Exhausted { until } if until > now => return None,
            State::Exhausted { .. } | State::Ready => {}
        }
        let Some(socket) = &self.socket else {
            self.state = State::Waiting;
            return None;
        };
        for _ in 0..GONE_MAX {
            match socket.accept() {
                Ok(accepted) => {
                    self.state = State::Ready;
                    return Some(accepted);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.state = State::Waiting;
                    return None;
                }
                Err(error) if is_about_the_peer(&error) => {}
                Err(error) => {
                    // The application never hears of those it cannot have, and the operator must.
                    if self.trouble.is_to_be_told(now) {
                        warn!("cannot accept on {}: {error}", self.address);
                    }
                    self.state = State::Exhausted { until: now + RETRY_AFTER };
                    return None;
                }
            }
        }
        self.state = State::Ready;
        None
    }
}

/// What the operator is told of now and then while it lasts.
#[derive(Debug, Default)]
struct Trouble {
    logged_at: Option<Instant>,
}

/// Between two lines about the same trouble.
const TROUBLE_PAUSE: Duration = Duration::from_secs(10);

impl Trouble {
    fn is_to_be_told(&mut self, now: Instant) -> bool {
        let is_due =
            self.logged_at.is_none_or(|at| now.saturating_duration_since(at) >= TROUBLE_PAUSE);
        if is_due {
            self.logged_at = Some(now);
        }
        is_due
    }
}

/// Connections that ended before they were accepted, skipped in one call.
const GONE_MAX: usize = 64;

/// Whether accepting failed because of the connection and not because of us: accept(2) reports
/// errors that are already pending on the new connection.
fn is_about_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests;
