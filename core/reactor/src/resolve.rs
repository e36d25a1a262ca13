//! From a host name to addresses, without ever blocking the loop.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use log::{info, warn};
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
    Asked {
        /// These connections wait for the answer: one question serves them all.
        waiting: Vec<ConnId>,
        since: Instant,
        /// What the name led to before.
        before: Option<Answer>,
    },
    Known {
        answer: Answer,
        until: Instant,
    },
}

/// What the name servers said last.
struct Answer {
    addresses: Vec<SocketAddr>,
    at: Instant,
    /// They were asked again and gave no answer, and the log says so.
    is_outdated: bool,
}

/// Where the addresses of a name are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Here, and no name server knows better.
    Fixed(Vec<SocketAddr>),
    /// Here, from a moment ago; or from before, while the name servers give no answer.
    Remembered(Vec<SocketAddr>),
    /// They will come as a letter.
    Asked,
}

/// What is known once a question is over.
pub(crate) struct Resolved {
    /// Who waited for that.
    pub(crate) waiting: Vec<ConnId>,
    /// Where the name leads, or why that is unknown.
    pub(crate) addresses: io::Result<Vec<SocketAddr>>,
    /// They are from before: there was no answer.
    pub(crate) is_outdated: bool,
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
/// An answer that does not come within this time is not waited for, if there is an older one. It still
/// counts when it comes.
pub(crate) const LATE: Duration = Duration::from_millis(500);
/// After this long without an answer the log says that there is none; merely slow name servers would be
/// told of with each question. By default a question goes to the next server after 5 s (resolv.conf(5)), and
/// one about both families takes twice as long where a firewall drops one of them.
const SILENT: Duration = Duration::from_secs(12);
/// An answer is used this long when no other one comes (RFC 8767 5 has one to three days): longer than
/// outages of name servers are, and not as long as it takes until nobody remembers whose address it was.
const OUTDATED_FOR: Duration = Duration::from_hours(24);
/// How the system's libraries, musl and glibc, say that there was no answer. Of its errors, the standard
/// library hands out the words only.
const NO_ANSWER: [&str; 4] = [
    "Try again",
    "Non-recoverable error",
    "Temporary failure in name resolution",
    "Non-recoverable failure in name resolution",
];
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
        let name = (target.host.clone(), target.port);
        match self.names.get(&name) {
            Some(Name::Known { answer, until }) if *until > now => {
                return Ok(Found::Remembered(answer.addresses.clone()));
            }
            Some(Name::Known { .. } | Name::Asked { .. }) | None => {}
        }
        if let Some(addresses) = self.before(target, now) {
            return Ok(Found::Remembered(addresses));
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
        if let Some(Name::Asked { waiting, .. }) = self.names.get_mut(&name) {
            waiting.push(conn);
            return Ok(());
        }
        self.submit(name.clone())?;
        let before = match self.names.remove(&name) {
            Some(Name::Known { answer, .. }) => Some(answer),
            Some(Name::Asked { .. }) | None => None,
        };
        self.forget_outdated(now);
        self.names.insert(name, Name::Asked { waiting: vec![conn], since: now, before });
        Ok(())
    }

    /// What `target` led to before, while an answer is late.
    pub(crate) fn before(&mut self, target: &Target, now: Instant) -> Option<Vec<SocketAddr>> {
        let name = (target.host.clone(), target.port);
        match self.names.get_mut(&name) {
            Some(Name::Asked { since, before: Some(before), .. })
                if *since + LATE <= now && before.is_of_use(now) =>
            {
                if *since + SILENT <= now {
                    before.tell_outdated(&name, "the answer is late");
                }
                Some(before.addresses.clone())
            }
            Some(_) | None => None,
        }
    }

    /// Takes an answer in. Where there is none, what was known before holds for another moment.
    pub(crate) fn handle_resolution(&mut self, resolution: Resolution, now: Instant) -> Resolved {
        let Resolution { name, addresses } = resolution;
        let (waiting, before) = match self.names.remove(&name) {
            Some(Name::Asked { waiting, before, .. }) => (waiting, before),
            Some(Name::Known { .. }) | None => (Vec::new(), None),
        };
        let answer = match (addresses, before) {
            (Ok(addresses), before) => {
                if before.is_some_and(|before| before.is_outdated) {
                    info!("the name servers answer for {} again", name.0);
                }
                Answer { addresses, at: now, is_outdated: false }
            }
            (Err(error), Some(mut before)) if is_no_answer(&error) && before.is_of_use(now) => {
                before.tell_outdated(&name, &error.to_string());
                before
            }
            (Err(error), _) => {
                return Resolved { waiting, addresses: Err(error), is_outdated: false };
            }
        };
        let (addresses, is_outdated) = (Ok(answer.addresses.clone()), answer.is_outdated);
        self.names.insert(name, Name::Known { answer, until: now + KNOWN_FOR });
        Resolved { waiting, addresses, is_outdated }
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
            Name::Asked { .. } => true,
            Name::Known { until, .. } => *until > now,
        });
    }
}

impl Answer {
    fn is_of_use(&self, now: Instant) -> bool {
        now < self.at + OUTDATED_FOR
    }

    /// Says once that the addresses have to do, because the name servers give no others.
    fn tell_outdated(&mut self, name: &(String, u16), why: &str) {
        if !mem::replace(&mut self.is_outdated, true) {
            let host = &name.0;
            warn!("no answer from the name servers for {host}; its last addresses are used: {why}");
        }
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

/// Whether nobody said what the name is, rather than that it is none.
fn is_no_answer(error: &io::Error) -> bool {
    let words = error.to_string();
    error.raw_os_error().is_some() || NO_ANSWER.iter().any(|end| words.ends_with(end))
}

#[cfg(test)]
pub(crate) mod tests;
