//! Connections that are being made: one address of a target, or of the proxy before it, after the
//! other.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use mesh_protocol::proxy::{Authority, Way};
use mesh_protocol::{Awaited, ConnId, Security, Target};
use mio::{Registry, Token};
use socket2::SockRef;

use crate::resolve::{Found, LATE, Resolution, Resolved, Resolver};
use crate::transport::{self, Socket};
use crate::{ClientTls, Handle};

mod attempt;
mod beyond;
mod dialled;

use attempt::{ADDRESS_TIMEOUT, Attempt, Trust, Untried, has_no_route};
use beyond::Beyond;
use dialled::Dialled;

/// All attempts to connect.
pub(crate) struct Connector {
    tls: ClientTls,
    resolver: Resolver,
    attempts: HashMap<ConnId, Attempt>,
    /// When to look at which attempt again, in order; entries of finished attempts pass silently.
    due: VecDeque<(Instant, ConnId)>,
    dialled: Dialled,
    /// Which of a name's addresses the first tunnel begins with; any number.
    first: usize,
}

/// What became of an attempt, to be told to the driver.
pub(crate) enum Outcome {
    Pending,
    Connected(Socket),
    Failed(io::Error),
}

impl Connector {
    /// Nothing is being dialled. Of a name's addresses, the first tunnel begins with the one of this
    /// number.
    pub(crate) fn new(tls: ClientTls, mailbox: Handle, first: usize) -> Self {
        Self {
            tls,
            resolver: Resolver::new(mailbox),
            attempts: HashMap::new(),
            due: VecDeque::new(),
            dialled: Dialled::default(),
            first,
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
        let (target, beyond) = Beyond::split(target);
        let (addresses, trust) = match self.resolver.addresses(&target, conn, now) {
            Ok(Found::Fixed(addresses)) => (addresses, Trust::Full),
            Ok(Found::Remembered(addresses)) => (addresses, Trust::Remembered),
            Ok(Found::Asked) => (Vec::new(), Trust::Full),
            Err(error) => return Outcome::Failed(name_target(&target, beyond.as_ref(), &error)),
        };
        let mut attempt = Attempt::new(target, beyond, token, trust, now);
        let is_asked = addresses.is_empty();
        if is_asked {
            attempt.due = now + LATE;
            plan(&mut self.due, attempt.due, conn);
        }
        self.attempts.insert(conn, attempt);
        if is_asked { Outcome::Pending } else { self.dial(conn, addresses, registry, now) }
    }

    /// A name server answered: whoever waited for it, and still waits, dials.
    pub(crate) fn handle_resolution(
        &mut self,
        resolution: Resolution,
        is_wanted: impl Fn(ConnId) -> bool,
        registry: &Registry,
        now: Instant,
    ) -> Vec<(ConnId, Outcome)> {
        let Resolved { waiting, addresses, is_outdated } =
            self.resolver.handle_resolution(resolution, now);
        let mut outcomes = Vec::new();
        for conn in waiting {
            if !is_wanted(conn) {
                self.forget(conn);
                continue;
            }
            if self.attempts.get(&conn).is_some_and(Attempt::has_arrived) {
                continue;
            }
            let attempt = self.attempts.get_mut(&conn);
            let trust = attempt.map(|attempt| attempt.believe(is_outdated));
            let outcome = match (&addresses, trust) {
                (addresses, Some(Trust::Doubted(doubt))) => {
                    let known = addresses.as_deref().unwrap_or_default();
                    self.reconsider(conn, known, &doubt, registry, now)
                }
                (Ok(addresses), _) => self.dial(conn, addresses.clone(), registry, now),
                (Err(error), _) => self.fail(conn, error),
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
            Ok(_) => self.arrive(conn),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Outcome::Pending,
            Err(error) => self.next(conn, &error, registry, now),
        }
    }

    /// An attempt that has waited its time: the next address, if there is one.
    pub(crate) fn poll_expired(&mut self, now: Instant) -> Option<ConnId> {
        while self.due.front().is_some_and(|(due, _)| *due <= now) {
            let (due, conn) = self.due.pop_front()?;
            let attempt = self.attempts.get(&conn);
            if attempt.is_some_and(|attempt| attempt.due == due) {
                return Some(conn);
            }
        }
        None
    }

    /// Moves on from an address that does not answer. The last address may take as long as the
    /// application waits, but is looked at again for whether it still does. Where it is the name servers
    /// that do not answer, what they said before has to do until they do; and if that led nowhere
    /// either, why it did is told.
    pub(crate) fn handle_timeout(
        &mut self,
        conn: ConnId,
        registry: &Registry,
        now: Instant,
    ) -> Outcome {
        let Some(attempt) = self.attempts.get_mut(&conn) else {
            return Outcome::Pending;
        };
        if attempt.stream.is_none() {
            if let Trust::Doubted(doubt) = &attempt.trust {
                let error = copy(doubt);
                return self.fail(conn, &error);
            }
            let Some(addresses) = self.resolver.before(&attempt.target, now) else {
                return Outcome::Pending;
            };
            attempt.trust = Trust::Doubted(io::ErrorKind::TimedOut.into());
            return self.dial(conn, addresses, registry, now);
        }
        if attempt.begin_next(registry, &mut self.dialled).is_ok() {
            attempt.due = now + attempt.trust.patience();
            plan(&mut self.due, attempt.due, conn);
            return Outcome::Pending;
        }
        attempt.due = now + ADDRESS_TIMEOUT;
        plan(&mut self.due, attempt.due, conn);
        if let Trust::Remembered = attempt.trust {
            // Should that fail, the attempt goes on as it is.
            let _ = self.doubt(conn, io::ErrorKind::TimedOut.into(), now);
        }
        Outcome::Pending
    }

    /// What an attempt waits for.
    pub(crate) fn awaited(&self, conn: ConnId) -> Option<Awaited> {
        self.attempts.get(&conn).map(|attempt| match &attempt.stream {
            None => Awaited::Address,
            Some(_) if attempt.has_arrived() => Awaited::Proxy,
            Some(_) => Awaited::Peer,
        })
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
        attempt.addresses = self.dialled.plan(addresses, attempt.target.traffic, self.first);
        self.next(conn, &io::ErrorKind::NotFound.into(), registry, now)
    }

    /// Has the name looked up once more: the remembered addresses lead nowhere.
    ///
    /// # Errors
    /// Nobody can be asked.
    fn doubt(&mut self, conn: ConnId, why: io::Error, now: Instant) -> io::Result<()> {
        if let Some(attempt) = self.attempts.get_mut(&conn) {
            attempt.trust = Trust::Full;
            self.resolver.ask(&attempt.target, conn, now)?;
            attempt.trust = Trust::Doubted(why);
        }
        Ok(())
    }

    /// Goes on with what the name means now, if anything of it is new. An address that is being
    /// tried stays if it is still among them, or if there are none.
    fn reconsider(
        &mut self,
        conn: ConnId,
        addresses: &[SocketAddr],
        doubt: &io::Error,
        registry: &Registry,
        now: Instant,
    ) -> Outcome {
        let Some(attempt) = self.attempts.get_mut(&conn) else {
            return Outcome::Pending;
        };
        let is_new = |address: &&SocketAddr| !attempt.tried.contains(address);
        let fresh = addresses.iter().filter(is_new).copied().collect();
        let fresh = self.dialled.plan(fresh, attempt.target.traffic, self.first);
        let is_current = attempt.tried.last().is_some_and(|last| addresses.contains(last));
        let goes_on = attempt.stream.is_some() && (is_current || fresh.is_empty());
        attempt.addresses = fresh;
        if goes_on { Outcome::Pending } else { self.next(conn, doubt, registry, now) }
    }

    /// Leaves the present address, which failed with `error`, for the next one; fails when there is none.
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
        let error = match attempt.begin_next(registry, &mut self.dialled) {
            Ok(()) => {
                attempt.due = now + attempt.trust.patience();
                plan(&mut self.due, attempt.due, conn);
                return Outcome::Pending;
            }
            Err(Untried::Failed(later)) if !has_no_route(&later) || is_first_try(error) => later,
            // The error of an address that was tried tells more.
            Err(Untried::Failed(_) | Untried::NoneLeft) => copy(error),
        };
        // How long it is hoped that the name leads elsewhere by now.
        attempt.due = now + LATE;
        let asked = match &mut attempt.trust {
            Trust::Full => false,
            Trust::Remembered => self.doubt(conn, copy(&error), now).is_ok(),
            Trust::Doubted(doubt) => {
                *doubt = copy(&error);
                true
            }
        };
        if !asked {
            return self.fail(conn, &error);
        }
        plan(&mut self.due, now + LATE, conn);
        Outcome::Pending
    }

    fn fail(&mut self, conn: ConnId, error: &io::Error) -> Outcome {
        match self.attempts.remove(&conn) {
            Some(Attempt { target, beyond, .. }) => {
                Outcome::Failed(name_target(&target, beyond.as_ref(), error))
            }
            None => Outcome::Pending,
        }
    }

    /// The address answered, and is stayed with: that of the target, or that of a proxy, which may
    /// have to be talked to some more.
    fn arrive(&mut self, conn: ConnId) -> Outcome {
        let way = match self.attempts.get_mut(&conn) {
            Some(Attempt {
                beyond: Some(beyond), stream: Some(stream), addresses, trust, ..
            }) => {
                addresses.clear();
                *trust = Trust::Full;
                beyond.talk(stream)
            }
            Some(_) | None => Ok(Way::Open),
        };
        match way {
            Ok(Way::Open) => self.finish(conn),
            Ok(Way::Pending) => Outcome::Pending,
            Err(error) => self.fail(conn, &error),
        }
    }

    /// The connection is there.
    fn finish(&mut self, conn: ConnId) -> Outcome {
        let Some(Attempt { target, beyond, stream: Some(stream), .. }) =
            self.attempts.remove(&conn)
        else {
            return Outcome::Pending;
        };
        let target = beyond.map_or(target, |beyond| beyond.target);
        transport::set_options(&SockRef::from(&stream), target.traffic);
        match target.security {
            Security::Plain => Outcome::Connected(Socket::plain(stream)),
            Security::Tls => match self.tls.session(&target.host) {
                Ok(filter) => Outcome::Connected(Socket::tls(stream, filter)),
                Err(error) => {
                    let error = io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
                    Outcome::Failed(name_target(&target, None, &error))
                }
            },
        }
    }
}

/// Enters a look. There are few lengths of waits, so its place is near the end.
fn plan(looks: &mut VecDeque<(Instant, ConnId)>, due: Instant, conn: ConnId) {
    let later = looks.iter().rev().take_while(|(other, _)| *other > due).count();
    looks.insert(looks.len() - later, (due, conn));
}

/// Whether nothing was tried before: the error of an attempt that is about to begin.
fn is_first_try(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// A copy of the error.
fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.kind().into(),
    }
}

/// The error with whom it is about: the target, or the proxy before what is beyond.
fn name_target(target: &Target, beyond: Option<&Beyond>, error: &io::Error) -> io::Error {
    let place = beyond.map_or("", |_| "the proxy ");
    let authority = Authority(&target.host, target.port);
    let words = error.to_string();
    // The number says nothing more, and is another one on other systems.
    let words = words.split(" (os error").next().unwrap_or_default();
    io::Error::new(error.kind(), format!("{place}{authority}: {words}"))
}

#[cfg(test)]
mod tests;
