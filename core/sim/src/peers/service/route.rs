//! Which path is answered how.

use std::time::Duration;

use super::Health;
use super::answer::{Answer, Source, Then};
use crate::peers::message;

/// What a head asks for.
#[derive(Debug)]
pub(super) enum Route {
    /// This, once the request is whole.
    Whole(Answer),
    /// This, while the request is still coming.
    AtOnce(Answer),
    /// A summary of the request's body.
    Upload(Appetite),
}

/// How a request's body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Appetite {
    All,
    Sips,
    Nothing,
}

impl Route {
    /// The route of a head.
    pub(super) fn of(head: &[u8], health: Health) -> Self {
        let line = message::start_line(head);
        let path = line.split(' ').nth(1).unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default();
        let mut parts = path.trim_start_matches('/').splitn(2, '/');
        let name = parts.next().unwrap_or_default();
        let rest = parts.next();
        let number = rest.and_then(|rest| rest.parse::<u64>().ok()).unwrap_or(0);
        Self::Whole(match name {
            "bytes" => Answer::sized(number),
            "twice" => Answer::twice(number),
            "chunked" => Answer::chunked(number),
            "close" => Answer::until_close(number),
            "drip" => Answer::dripping(number),
            "trailers" => Answer::chunked(1_000).trailed("X-Checksum: 42\r\n"),
            "slow" => Answer::text(200, "slow").delayed(Duration::from_millis(number)),
            "hang" => Answer::silence(Then::Hang),
            "reset" => Answer::breaking(),
            "hints" => Answer::text(200, "hinted").hinted(),
            "status" => Answer::status(u16::try_from(number).unwrap_or(500)),
            "health" => match health {
                Health::Up => Answer::text(200, "up"),
                Health::Down => Answer::text(503, "down"),
                Health::Silent => Answer::silence(Then::Hang),
            },
            "echo" => return Self::AtOnce(Answer::echo()),
            "early" => return Self::AtOnce(Answer::text(413, "").closing()),
            "refuse" => return Self::AtOnce(Answer::silence(Then::Close)),
            "upload" | "continue" => return Self::Upload(Appetite::All),
            "sip" => return Self::Upload(Appetite::Sips),
            "upgrade" if rest.is_some() => Answer::text(403, "no"),
            "upgrade" if message::lists(head, "connection", "upgrade") => Answer::upgrade(),
            "upgrade" => Answer::text(426, "upgrade!"),
            _ => Answer::text(404, "no such path"),
        })
    }

    pub(super) fn appetite(&self) -> Appetite {
        match self {
            Self::AtOnce(answer) if answer.source != Source::Echo => Appetite::Nothing,
            Self::Upload(appetite) => *appetite,
            Self::Whole(_) | Self::AtOnce(_) => Appetite::All,
        }
    }
}
