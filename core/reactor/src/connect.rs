//! Connections that are being made: one address of a target after the other.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mesh_protocol::{ConnId, Security, Target};
use mio::net::TcpStream;
use mio::{Registry, Token};

use crate::resolve::{Resolution, Resolver};
use crate::transport::{self, Socket};
use crate::{ClientTls, Handle};

/// All attempts to connect.
pub(crate) struct Connector {
    tls: ClientTls,
    resolver: Resolver,
    attempts: HashMap<ConnId, Attempt>,
    /// When to look at which attempt again; entries of finished attempts pass silently. All waits
    /// are equally long, so this is in order.
    due: VecDeque<(Instant, ConnId)>,
}

struct Attempt {
    target: Target,
    token: Token,
    /// `None` while the name is looked up.
    stream: Option<TcpStream>,
    /// Still to be tried.
    addresses: VecDeque<SocketAddr>,
    due: Instant,
}

/// What became of an attempt, to be told to the driver.
pub(crate) enum Outcome {
    Pending,
    Connected(Socket),
    Failed(io::Error),
}

/// How long one address has while there are others.
const ADDRESS_TIMEOUT: Duration = Duration::from_millis(2500);

impl Connector {
    pub(crate) fn new(tls: ClientTls, mailbox: Handle) -> Self {
        Self {
            tls,
            resolver: Resolver::new(mailbox),
            attempts: HashMap::new(),
            due: VecDeque::new(),
        }
    }

    /// Begins to connect. The socket's events will come with `token`.
    pub(crate) fn start(
        &mut self,
        conn: ConnId,
        target: Target,
        token: Token,
        registry: &Registry,
        now: Instant,
    ) -> Outcome {
        let addresses = match self.resolver.addresses(&target, conn, now) {
            Ok(addresses) => addresses,
            Err(error) => return Outcome::Failed(name_target(&target, &error)),
        };
        let attempt = Attempt { target, token, stream: None, addresses: VecDeque::new(), due: now };
        self.attempts.insert(conn, attempt);
        match addresses {
            Some(addresses) => self.dial(conn, addresses, registry, now),
            None => Outcome::Pending,
        }
    }

    /// A name server answered: whoever waited for it dials.
    pub(crate) fn handle_resolution(
        &mut self,
        resolution: Resolution,
        registry: &Registry,
        now: Instant,
    ) -> Vec<(ConnId, Outcome)> {
        let (waiting, addresses) = self.resolver.handle_resolution(resolution, now);
        let mut outcomes = Vec::new();
        for conn in waiting {
            let outcome = match &addresses {
                Ok(addresses) => self.dial(conn, addresses.clone(), registry, now),
                Err(error) => self.fail(conn, error),
            };
            outcomes.push((conn, outcome));
        }
        outcomes
    }

    /// The kernel said something of an attempt's socket. A failed connect may look readable,
    /// writable or both, so the socket is asked itself.
    pub(crate) fn handle_event(
        &mut self,
        conn: ConnId,
        registry: &Registry,
        now: Instant,
    ) -> Outcome {
        let Some(stream) = self.attempts.get(&conn).and_then(|attempt| attempt.stream.as_ref())
        else {
            return Outcome::Pending;
        };
        match stream.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return self.next(conn, &error, registry, now),
        }
        match stream.peer_addr() {
            Ok(_) => self.finish(conn),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Outcome::Pending,
            Err(error) => self.next(conn, &error, registry, now),
        }
    }

    /// An attempt that has waited its time: the next address, if there is one.
    pub(crate) fn poll_expired(&mut self, now: Instant) -> Option<ConnId> {
        while self.due.front().is_some_and(|(due, _)| *due <= now) {
            let (due, conn) = self.due.pop_front()?;
            let attempt = self.attempts.get(&conn);
            if attempt.is_some_and(|attempt| attempt.due == due && attempt.stream.is_some()) {
                return Some(conn);
            }
        }
        None
    }

    /// Moves on from an address that does not answer. The last address may take as long as the
    /// application waits, but is looked at again for whether it still does.
    pub(crate) fn handle_timeout(
        &mut self,
        conn: ConnId,
        registry: &Registry,
        now: Instant,
    ) -> Outcome {
        let Some(attempt) = self.attempts.get_mut(&conn) else {
            return Outcome::Pending;
        };
        if attempt.addresses.is_empty() {
            attempt.due = now + ADDRESS_TIMEOUT;
            self.due.push_back((attempt.due, conn));
            return Outcome::Pending;
        }
        self.next(conn, &io::ErrorKind::TimedOut.into(), registry, now)
    }

    /// The application no longer wants this connection.
    pub(crate) fn forget(&mut self, conn: ConnId) {
        self.attempts.remove(&conn);
    }

    /// When to call [`Self::poll_expired`] again.
    pub(crate) fn deadline(&mut self) -> Option<Instant> {
        while let Some((due, conn)) = self.due.front() {
            let attempt = self.attempts.get(conn);
            if attempt.is_some_and(|attempt| attempt.due == *due) {
                return Some(*due);
            }
            self.due.pop_front();
        }
        None
    }

    fn dial(
        &mut self,
        conn: ConnId,
        addresses: Vec<SocketAddr>,
        registry: &Registry,
        now: Instant,
    ) -> Outcome {
        let Some(attempt) = self.attempts.get_mut(&conn) else {
            return Outcome::Pending;
        };
        attempt.addresses = addresses.into();
        self.next(conn, &io::ErrorKind::NotFound.into(), registry, now)
    }

    /// Tries the next address; fails with `error`, or a later one, when there is none.
    fn next(
        &mut self,
        conn: ConnId,
        error: &io::Error,
        registry: &Registry,
        now: Instant,
    ) -> Outcome {
        let Some(attempt) = self.attempts.get_mut(&conn) else {
            return Outcome::Pending;
        };
        attempt.stream = None;
        let mut refused = None;
        while let Some(address) = attempt.addresses.pop_front() {
            match begin(address, attempt.token, registry) {
                Ok(stream) => {
                    attempt.stream = Some(stream);
                    attempt.due = now + ADDRESS_TIMEOUT;
                    self.due.push_back((attempt.due, conn));
                    return Outcome::Pending;
                }
                Err(error) => refused = Some(error),
            }
        }
        self.fail(conn, refused.as_ref().unwrap_or(error))
    }

    fn fail(&mut self, conn: ConnId, error: &io::Error) -> Outcome {
        match self.attempts.remove(&conn) {
            Some(attempt) => Outcome::Failed(name_target(&attempt.target, error)),
            None => Outcome::Pending,
        }
    }

    /// The connection is there.
    fn finish(&mut self, conn: ConnId) -> Outcome {
        let Some(Attempt { target, stream: Some(stream), .. }) = self.attempts.remove(&conn) else {
            return Outcome::Pending;
        };
        transport::set_options(&stream, target.traffic);
        match target.security {
            Security::Plain => Outcome::Connected(Socket::plain(stream)),
            Security::Tls => match self.tls.session(&target.host) {
                Ok(filter) => Outcome::Connected(Socket::tls(stream, filter)),
                Err(error) => {
                    let error = io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
                    Outcome::Failed(name_target(&target, &error))
                }
            },
        }
    }
}

fn begin(address: SocketAddr, token: Token, registry: &Registry) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    transport::register(&mut stream, registry, token)?;
    Ok(stream)
}

fn name_target(target: &Target, error: &io::Error) -> io::Error {
    let Target { host, port, .. } = target;
    let text = if host.contains(':') {
        format!("[{host}]:{port}: {error}")
    } else {
        format!("{host}:{port}: {error}")
    };
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests;
