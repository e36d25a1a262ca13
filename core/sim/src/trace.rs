//! What happened: a bounded record that costs little while a run succeeds and is printed when it
//! fails, and a hash over all of it by which two runs of one seed are compared.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::link::{EndId, Side};
use crate::network::NodeId;

/// The last lines that are kept.
const LINES_MAX: usize = 4_000;

/// The record of one world.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    lines: VecDeque<(Duration, Mark)>,
    names: Vec<String>,
    hash: u64,
}

/// One thing that happened.
#[derive(Debug)]
pub(crate) enum Mark {
    /// A connection attempt left.
    Dialled { link: u32, from: NodeId, to: NodeId },
    /// A connection attempt cannot succeed.
    Unreachable { from: NodeId, why: &'static str },
    /// A connection attempt reached its listener.
    Established { link: u32 },
    /// An end wrote bytes.
    Sent { end: EndId, bytes: usize },
    /// Bytes can be read at an end.
    Arrived { end: EndId, bytes: usize },
    /// The other side's FIN can be read at an end.
    Finished { end: EndId },
    /// A reset reached an end.
    Reset { end: EndId },
    /// An end was closed by its owner.
    Closed { end: EndId },
    /// A fault struck a link.
    Fault { link: u32, what: &'static str },
    /// A node's life changed.
    Life { node: NodeId, what: &'static str },
    /// A test or a peer has something to say.
    Note(String),
}

impl Trace {
    /// A node's name, for the lines about it.
    pub(crate) fn name(&mut self, name: &str) {
        self.names.push(name.to_owned());
    }

    /// Keeps one line.
    pub(crate) fn mark(&mut self, at: Duration, mark: Mark) {
        let nanos = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        self.mix(nanos);
        mark.hash_into(self);
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back((at, mark));
    }

    /// A number that stands for everything that ever happened.
    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    /// The last `count` lines, readable.
    pub(crate) fn tail(&self, count: usize) -> String {
        let mut text = String::new();
        for (at, mark) in self.lines.iter().skip(self.lines.len().saturating_sub(count)) {
            let line = Line { mark, names: &self.names };
            text.push_str(&format!("{:>14.6} ms  {line}\n", at.as_secs_f64() * 1e3));
        }
        text
    }

    const fn mix(&mut self, word: u64) {
        self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Mark {
    fn hash_into(&self, trace: &mut Trace) {
        let words: [u64; 3] = match self {
            Self::Dialled { link, from, to } => {
                [1 | u64::from(*link) << 8, from.index() as u64, to.index() as u64]
            }
            Self::Unreachable { from, why } => [2, from.index() as u64, why.len() as u64],
            Self::Established { link } => [3, u64::from(*link), 0],
            Self::Sent { end, bytes } => [4, end.number(), *bytes as u64],
            Self::Arrived { end, bytes } => [5, end.number(), *bytes as u64],
            Self::Finished { end } => [6, end.number(), 0],
            Self::Reset { end } => [7, end.number(), 0],
            Self::Closed { end } => [8, end.number(), 0],
            Self::Fault { link, what } => [9, u64::from(*link), what.len() as u64],
            Self::Life { node, what } => [10, node.index() as u64, what.len() as u64],
            Self::Note(text) => {
                for byte in text.bytes() {
                    trace.mix(u64::from(byte));
                }
                [11, text.len() as u64, 0]
            }
        };
        for word in words {
            trace.mix(word);
        }
    }
}

struct Line<'a> {
    mark: &'a Mark,
    names: &'a [String],
}

impl Line<'_> {
    fn node(&self, node: NodeId) -> &str {
        self.names.get(node.index()).map_or("?", String::as_str)
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mark {
            Mark::Dialled { link, from, to } => {
                let (from, to) = (self.node(*from), self.node(*to));
                write!(f, "link {link}: {from} dials {to}")
            }
            Mark::Unreachable { from, why } => {
                write!(f, "{} cannot connect: {why}", self.node(*from))
            }
            Mark::Established { link } => write!(f, "link {link}: established"),
            Mark::Sent { end, bytes } => write!(f, "{} sent {bytes}", Named(*end)),
            Mark::Arrived { end, bytes } => write!(f, "{} got {bytes}", Named(*end)),
            Mark::Finished { end } => write!(f, "{} got FIN", Named(*end)),
            Mark::Reset { end } => write!(f, "{} got RST", Named(*end)),
            Mark::Closed { end } => write!(f, "{} closed", Named(*end)),
            Mark::Fault { link, what } => write!(f, "link {link}: fault: {what}"),
            Mark::Life { node, what } => write!(f, "{} {what}", self.node(*node)),
            Mark::Note(text) => f.write_str(text),
        }
    }
}

struct Named(EndId);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.0.side {
            Side::Dialer => "dialer",
            Side::Listener => "listener",
        };
        write!(f, "link {}: {side}", self.0.link)
    }
}
