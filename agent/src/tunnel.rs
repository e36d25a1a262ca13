//! The agent's side of a tunnel, from the first packet to the last.
//!
//! ```text
//!   Connecting --> Upgrading --> Greeting ------------> Serving
//!                   GET, 101     HELLO  |        WELCOME   ^ streams
//!                                       `--> Proving ------'
//!                                  CHALLENGE, PROOF
//! ```

use std::time::{Duration, Instant};

use mesh_protocol::control::{self, Refused, Welcome, shorten};
use mesh_protocol::http1::scan::{HeadScan, Kind};
use mesh_protocol::http1::{ResponseHead, Storage};
use mesh_protocol::mux::StreamId;
use mesh_protocol::ws::upgrade::Offer;
use mesh_protocol::{Awaited, Buf, ConnId, Duplex, Link, ws};

use crate::agent::Agent;
use crate::config::Timeouts;
use crate::identity::PROVING;
use crate::ledger::Serial;

/// Names a tunnel: the connection it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TunnelId(pub(crate) ConnId);

impl TunnelId {
    /// The connection the tunnel runs on.
    pub(crate) const fn conn(self) -> ConnId {
        self.0
    }
}

/// A connection to an ingress.
#[derive(Debug)]
pub struct Tunnel {
    /// Its number in this process.
    pub(crate) serial: Serial,
    pub(crate) phase: Phase,
    /// The digest of the HELLO that was sent.
    pub(crate) hello: String,
    /// When it was begun.
    pub(crate) since: Instant,
    /// When it turned out that it will not last, or another one came in its place.
    pub(crate) moving: Option<Instant>,
}

/// How far it is.
#[derive(Debug)]
pub(crate) enum Phase {
    Connecting,
    Upgrading {
        offer: Offer,
        scan: HeadScan,
    },
    Greeting(Box<Link>),
    /// Asked who we are, and when; the proof may be still to be made.
    Proving {
        link: Box<Link>,
        since: Instant,
        has_sent: bool,
    },
    Serving(Box<Link>),
    /// About to close; nothing that comes counts any more.
    Over,
}

/// How long an ingress may take to let go of a tunnel that it asked us to leave, or that was replaced: as
/// long as it can take to drain. It closes such a tunnel itself.
const LETTING_GO: Duration = Duration::from_secs(3600);
/// The longest answer to the upgrade.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

impl Tunnel {
    pub(crate) const fn new(serial: Serial, now: Instant) -> Self {
        Self { serial, phase: Phase::Connecting, hello: String::new(), since: now, moving: None }
    }

    /// The upgrade was offered.
    pub(crate) fn offered(&mut self, offer: Offer) {
        let scan = HeadScan::new(Kind::Response, ANSWER_BYTES_MAX);
        self.phase = Phase::Upgrading { offer, scan };
    }

    /// The link, once there is one.
    pub(crate) fn link(&self) -> Option<&Link> {
        match &self.phase {
            Phase::Greeting(link) | Phase::Proving { link, .. } | Phase::Serving(link) => {
                Some(link)
            }
            Phase::Connecting | Phase::Upgrading { .. } | Phase::Over => None,
        }
    }

    /// The link, once there is one, to be worked on.
    pub(crate) fn link_mut(&mut self) -> Option<&mut Link> {
        match &mut self.phase {
            Phase::Greeting(link) | Phase::Proving { link, .. } | Phase::Serving(link) => {
                Some(link)
            }
            Phase::Connecting | Phase::Upgrading { .. } | Phase::Over => None,
        }
    }

    /// Whether frames wait to be sent.
    pub(crate) fn has_output(&self) -> bool {
        self.link().is_some_and(Link::has_output)
    }

    /// Whether our direction of a stream has ended, or the stream is over.
    pub(crate) fn has_ended(&self, stream: StreamId) -> bool {
        self.link().is_none_or(|link| link.session.has_ended(stream))
    }

    /// The link, if requests may come through it.
    pub(crate) fn serving_mut(&mut self) -> Option<&mut Link> {
        match &mut self.phase {
            Phase::Serving(link) => Some(link),
            Phase::Connecting
            | Phase::Upgrading { .. }
            | Phase::Greeting(_)
            | Phase::Proving { .. }
            | Phase::Over => None,
        }
    }

    /// Since when it has waited for its next phase, and how long it may.
    pub(crate) const fn patience(&self, timeouts: &Timeouts) -> (Instant, Duration) {
        match &self.phase {
            Phase::Proving { since, .. } => (*since, PROVING),
            Phase::Connecting
            | Phase::Upgrading { .. }
            | Phase::Greeting(_)
            | Phase::Serving(_)
            | Phase::Over => (self.since, timeouts.connect),
        }
    }

    /// What has not come until its deadline, for the log.
    pub(crate) fn lack(&self, io: &Duplex) -> &'static str {
        match &self.phase {
            Phase::Connecting => io.awaits.unwrap_or(Awaited::Peer).lack(),
            Phase::Upgrading { .. } if io.is_handshaking => "no end of the TLS handshake",
            Phase::Upgrading { .. } => "no answer to the upgrade",
            Phase::Greeting(_) | Phase::Proving { .. } | Phase::Serving(_) | Phase::Over => {
                "not welcome"
            }
        }
    }

    /// When it has waited long enough.
    pub(crate) fn deadline(&self, timeouts: &Timeouts) -> Instant {
        match &self.phase {
            Phase::Connecting
            | Phase::Upgrading { .. }
            | Phase::Greeting(_)
            | Phase::Proving { .. }
            | Phase::Over => {
                let (since, timeout) = self.patience(timeouts);
                since + timeout
            }
            Phase::Serving(link) => {
                let due = link.deadline();
                self.left_at().map_or(due, |left_at| left_at.min(due))
            }
        }
    }

    /// When it is left although the ingress has not closed it.
    pub(crate) fn left_at(&self) -> Option<Instant> {
        self.moving.map(|since| since + LETTING_GO)
    }
}

impl Agent {
    /// The link of a tunnel, once there is one.
    pub(crate) fn link_mut(&mut self, tunnel: TunnelId) -> Option<&mut Link> {
        self.tunnels.get_mut(&tunnel)?.link_mut()
    }
}

/// How an alert of TLS begins: what whoever speaks TLS answers to plain HTTP.
pub(crate) const TLS_ALERT: [u8; 2] = [21, 3];

/// What is shown of a sentence of the ingress, in which there may be the name of a role and of hosts.
const SENTENCE_CHARS_MAX: usize = 1000;
/// What is shown of a name that the ingress sent.
pub(crate) const NAME_CHARS_MAX: usize = 64;

/// Reads a WELCOME, with no more of its words than fits into a log.
pub(crate) fn read_welcome(payload: &[u8]) -> Result<Welcome, String> {
    let welcome = control::decode::<Welcome>(payload);
    // What the ingress sent may be quoted in it.
    let welcome = welcome.map_err(|error| sentence(&format!("bad WELCOME: {error}")))?;
    let name = |words: &str| shorten(words, NAME_CHARS_MAX).to_owned();
    if welcome.window == 0 || welcome.streams == 0 {
        return Err("bad WELCOME: a window or number of streams of 0".to_owned());
    }
    Ok(Welcome { version: name(&welcome.version), session: name(&welcome.session), ..welcome })
}

/// Why this agent is refused, as far as that fits into a log.
pub(crate) fn read_refusal(payload: &[u8]) -> String {
    sentence(&match control::decode::<Refused>(payload) {
        Ok(Refused { code, reason }) => format!("refused ({code:?}): {reason}"),
        Err(error) => format!("refused, unreadably: {error}"),
    })
}

/// A sentence that may be the ingress's.
pub(crate) fn sentence(words: &str) -> String {
    shorten(words, SENTENCE_CHARS_MAX).to_owned()
}

/// Looks for the answer to the upgrade: which ingress gave it, once it is there and good.
///
/// # Errors
/// It is another answer; half a sentence.
pub(crate) fn check_answer(
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
/// the host is nobody's business, and nor is whose name and password stand before it.
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
