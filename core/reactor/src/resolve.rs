//! From a host name to addresses, without ever blocking the loop.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use mesh_protocol::{ConnId, Target};

use crate::Handle;
use crate::handle::Letter;
use crate::offload::Offload;

/// Names that are being looked up, and those found a moment ago.
pub(crate) struct Resolver {
    names: HashMap<(String, u16), Name>,
    offload: Offload,
    mailbox: Handle,
}

enum Name {
    /// These connections wait for the answer: one question serves them all.
    Asked(Vec<ConnId>),
    Known {
        addresses: Vec<SocketAddr>,
        until: Instant,
    },
}

/// Where the addresses of a name are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Here, and no name server knows better.
    Fixed(Vec<SocketAddr>),
    /// Here, from a moment ago.
    Remembered(Vec<SocketAddr>),
    /// They will come as a letter.
    Asked,
}

/// What became of a question.
#[derive(Debug)]
pub(crate) struct Resolution {
    name: (String, u16),
    addresses: io::Result<Vec<SocketAddr>>,
}

/// An answer is used this long: enough for a burst of connections to ask once, and no longer than a
/// container takes to come back at another address.
const KNOWN_FOR: Duration = Duration::from_secs(1);
/// Questions at once: a name server that never answers blocks one.
const THREADS: usize = 4;
/// Names remembered. Beyond it the outdated ones are forgotten first.
const NAMES_MAX: usize = 1024;

#[cfg(test)]
impl Resolution {
    pub(crate) fn new(target: &Target, addresses: io::Result<Vec<SocketAddr>>) -> Self {
        Self { name: (target.host.clone(), target.port), addresses }
    }
}

impl Resolver {
    pub(crate) fn new(mailbox: Handle) -> Self {
        Self { names: HashMap::new(), offload: Offload::new(THREADS), mailbox }
    }

    /// The addresses of `target`, unless they will come as a letter for `conn`.
    ///
    /// Address literals and `localhost` are answered without a name server: RFC 6761 6.3 wants
    /// the latter, and a host with a broken resolver still reaches its own services.
    ///
    /// # Errors
    /// Too many questions are open.
    pub(crate) fn addresses(
        &mut self,
        target: &Target,
        conn: ConnId,
        now: Instant,
    ) -> io::Result<Found> {
        if let Some(addresses) = known_without_asking(&target.host, target.port) {
            return Ok(Found::Fixed(addresses));
        }
        match self.names.get(&(target.host.clone(), target.port)) {
            Some(Name::Known { addresses, until }) if *until > now => {
                return Ok(Found::Remembered(addresses.clone()));
            }
            Some(Name::Known { .. } | Name::Asked(_)) | None => {}
        }
        self.ask(target, conn, now)?;
        Ok(Found::Asked)
    }

    /// Asks, whatever is remembered; the addresses will come as a letter for `conn`.
    ///
    /// # Errors
    /// Too many questions are open.
    pub(crate) fn ask(&mut self, target: &Target, conn: ConnId, now: Instant) -> io::Result<()> {
        let name = (target.host.clone(), target.port);
        if let Some(Name::Asked(waiting)) = self.names.get_mut(&name) {
            waiting.push(conn);
            return Ok(());
        }
        self.submit(name.clone())?;
        self.forget_outdated(now);
        self.names.insert(name, Name::Asked(vec![conn]));
        Ok(())
    }

    /// Takes an answer in: who waited for it, and what it is.
    ///
    /// # Errors
    /// The second value, when the name has no address.
    pub(crate) fn handle_resolution(
        &mut self,
        resolution: Resolution,
        now: Instant,
    ) -> (Vec<ConnId>, io::Result<Vec<SocketAddr>>) {
        let Resolution { name, addresses } = resolution;
        let Some(Name::Asked(waiting)) = self.names.remove(&name) else {
            return (Vec::new(), addresses);
        };
        if let Ok(addresses) = &addresses {
            let known = Name::Known { addresses: addresses.clone(), until: now + KNOWN_FOR };
            self.names.insert(name, known);
        }
        (waiting, addresses)
    }

    fn submit(&mut self, name: (String, u16)) -> io::Result<()> {
        let mailbox = self.mailbox.clone();
        self.offload.submit(
            move || Resolution { addresses: look_up(&name.0, name.1), name },
            move |resolution| mailbox.post(Letter::Resolved(resolution)),
        )
    }

    fn forget_outdated(&mut self, now: Instant) {
        if self.names.len() < NAMES_MAX {
            return;
        }
        self.names.retain(|_, name| match name {
            Name::Asked(_) => true,
            Name::Known { until, .. } => *until > now,
        });
    }
}

fn known_without_asking(host: &str, port: u16) -> Option<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(vec![SocketAddr::new(address, port)]);
    }
    host.eq_ignore_ascii_case("localhost").then(|| {
        vec![
            SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
        ]
    })
}

fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests;
