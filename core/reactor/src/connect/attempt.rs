//! One connection that is being made: where it goes, what was tried, and how far it is believed.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mesh_protocol::{Target, Traffic};
use mio::net::TcpStream;
use mio::{Registry, Token};
use rustix::io::Errno;

use super::beyond::Beyond;
use super::dialled::Dialled;
use crate::transport;

pub(super) struct Attempt {
    /// Whom to connect to.
    pub(super) target: Target,
    /// If that is a proxy: what is to be reached through it.
    pub(super) beyond: Option<Beyond>,
    pub(super) token: Token,
    /// `None` while the name is looked up.
    pub(super) stream: Option<TcpStream>,
    /// Still to be tried.
    pub(super) addresses: VecDeque<SocketAddr>,
    /// The present one, and those before it. Invariant: not empty while there is a stream.
    pub(super) tried: Vec<SocketAddr>,
    pub(super) trust: Trust,
    pub(super) due: Instant,
}

/// How far the addresses of an attempt are believed.
pub(super) enum Trust {
    /// Nobody knows better ones.
    Full,
    /// They were told to an earlier attempt: what was there may have moved.
    Remembered,
    /// The name is being looked up once more, because of this.
    Doubted(io::Error),
}

/// Why no other address is being tried.
pub(super) enum Untried {
    /// All of them have been.
    NoneLeft,
    /// Those that were left could not even be begun with: the error of the last one.
    Failed(io::Error),
}

/// How long one address has while there are others.
pub(super) const ADDRESS_TIMEOUT: Duration = Duration::from_millis(2500);
/// How long a remembered one has until the name is looked up anew: a first packet that was lost is
/// repeated after this long.
pub(super) const REMEMBERED_TIMEOUT: Duration = Duration::from_secs(1);

impl Attempt {
    pub(super) const fn new(
        target: Target,
        beyond: Option<Beyond>,
        token: Token,
        trust: Trust,
        now: Instant,
    ) -> Self {
        Self {
            target,
            beyond,
            token,
            stream: None,
            addresses: VecDeque::new(),
            tried: Vec::new(),
            trust,
            due: now,
        }
    }

    /// Begins with the next address that can be tried, in place of the present one, which goes on if
    /// there is none.
    pub(super) fn begin_next(
        &mut self,
        registry: &Registry,
        dialled: &mut Dialled,
    ) -> Result<(), Untried> {
        let mut untried = Untried::NoneLeft;
        while let Some(address) = self.addresses.pop_front() {
            match self.target.traffic {
                Traffic::Single => {}
                Traffic::Multiplexed => dialled.note(address),
            }
            match begin(address, self.token, registry) {
                Ok(stream) => {
                    self.tried.push(address);
                    self.stream = Some(stream);
                    return Ok(());
                }
                Err(error) => {
                    let before = self.tried.len() - usize::from(self.stream.is_some());
                    self.tried.insert(before, address);
                    untried = Untried::Failed(error);
                }
            }
        }
        Err(untried)
    }

    /// Whether a proxy is being talked to: no other address is wanted.
    pub(super) fn has_arrived(&self) -> bool {
        self.beyond.as_ref().is_some_and(Beyond::has_begun)
    }

    /// The question for the name is over; how it was before. Outdated addresses are doubted once and no
    /// more: name servers that fail at once would be asked without end.
    pub(super) const fn believe(&mut self, is_outdated: bool) -> Trust {
        let trust = match &self.trust {
            Trust::Full if is_outdated => Trust::Remembered,
            Trust::Full | Trust::Remembered | Trust::Doubted(_) => Trust::Full,
        };
        mem::replace(&mut self.trust, trust)
    }
}

impl Trust {
    /// How long an address has.
    pub(super) const fn patience(&self) -> Duration {
        match self {
            Self::Full | Self::Doubted(_) => ADDRESS_TIMEOUT,
            Self::Remembered => REMEMBERED_TIMEOUT,
        }
    }
}

fn begin(address: SocketAddr, token: Token, registry: &Registry) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    transport::register(&mut stream, registry, token)?;
    Ok(stream)
}

/// Whether this machine has no way to an address, such as one of IPv6 where there is no IPv6.
pub(super) fn has_no_route(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::ADDRNOTAVAIL | Errno::NETUNREACH | Errno::AFNOSUPPORT))
}

/// Addresses of the two families by turns, each family in its order, and the one that comes first
/// first: where all of one are silent, the other one is reached in time (RFC 8305 4).
pub(super) fn by_turns(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let is_first = addresses.first().map(SocketAddr::is_ipv6);
    let families: (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| Some(address.is_ipv6()) == is_first);
    let mut addresses = VecDeque::new();
    let mut families = [families.0.into_iter(), families.1.into_iter()];
    while families.iter().any(|family| family.len() > 0) {
        addresses.extend(families.iter_mut().filter_map(Iterator::next));
    }
    addresses
}
