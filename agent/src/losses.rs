//! Tunnels that were lost, and those that never came to be, for the log and for whoever asks.
//!
//! An ingress that is away for a night costs each tunnel some attempts a minute. One line stands for
//! all that fail in the same way.

use std::time::{Duration, Instant};

use log::Level;

use crate::agent::{Agent, authority};
use crate::ledger::Entry;

/// Until the same is said once more.
const PAUSE: Duration = Duration::from_secs(600);
/// Different losses that are said within that time. An ingress has its say in them.
const LOGGED_MAX: usize = 16;
/// Behind these words of a sentence there is a status of HTTP.
const STATUS_FOLLOWS: [&str; 3] = ["status ", "answers ", "answered "];
/// Why a tunnel is to be replaced: the ingress leaves, or wants another proof of identity. It does not
/// say.
pub(crate) const ASKED: &str = "the ingress asks this agent to move";
/// Why a tunnel is to be replaced: the token that proved it may be taken back.
pub(crate) const NEW_TOKEN: &str = "there is a new token";
/// Why a tunnel is to be replaced: with TLS 1.2 keys are not renewed, and a session ends when they
/// are used up.
pub(crate) const WORN: &str = "half of what a tunnel's TLS session can carry is used up";

/// What was lost since a tunnel was last welcomed, and what of it was said.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    /// Each as [`without_numbers`] has it. Invariant: at most [`LOGGED_MAX`].
    logged: Vec<(String, Instant)>,
    last: String,
    /// Why this agent was last not registered, as the log was told and [`without_numbers`] has it; empty
    /// since it was.
    complaint: String,
    /// More about the loss that comes next, if there is more to say.
    explanation: Option<String>,
}

impl Losses {
    /// The last loss, or why another tunnel is to come; empty since a tunnel was welcomed.
    pub(crate) fn last(&self) -> &str {
        &self.last
    }

    /// A tunnel is welcome: whatever comes next is news.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Says more of a tunnel that is about to be lost.
    fn explain(&mut self, explanation: &str) {
        self.explanation = Some(explanation.to_owned());
    }

    /// Takes down why this agent is not registered, of which a tunnel is to end; whether that is news.
    pub(crate) fn complain(&mut self, complaint: &str) -> bool {
        self.explain(complaint);
        let kind = without_numbers(complaint);
        let is_news = self.complaint != kind;
        self.complaint = kind;
        is_news
    }

    /// A tunnel has ended that was to be replaced: that is no loss, but for what there is to
    /// explain.
    pub(crate) fn note_old(&mut self) {
        if let Some(explanation) = self.explanation.take() {
            self.last = explanation;
        }
    }

    /// Takes down a loss; whether it deserves a warning.
    fn note(&mut self, loss: String, now: Instant) -> bool {
        self.logged.retain(|(_, at)| now < *at + PAUSE);
        let kind = without_numbers(&loss);
        let is_news =
            self.logged.len() < LOGGED_MAX && self.logged.iter().all(|(said, _)| *said != kind);
        if is_news {
            self.logged.push((kind, now));
        }
        self.last = self.explanation.take().unwrap_or(loss);
        is_news
    }
}

/// What a sentence has in common with those that differ from it in a time or a count: one that counts
/// seconds is not news each second. Another status of HTTP is.
fn without_numbers(sentence: &str) -> String {
    let mut before = "";
    let words = sentence.split_inclusive(' ').map(|word| {
        let is_status = STATUS_FOLLOWS.contains(&std::mem::replace(&mut before, word));
        if is_status { word.to_owned() } else { word.replace(|one: char| one.is_ascii_digit(), "") }
    });
    words.collect()
}

impl Agent {
    /// The last tunnel that served is to be replaced: what failed beside it before is not why there
    /// is none.
    pub(crate) fn note_loss_by_move(&mut self, why: &str) {
        self.losses.complaint.clear();
        self.losses.last = format!("{why}, and there is no other tunnel yet");
    }

    /// A tunnel that is to be is not there any more, or not yet: says why.
    pub(crate) fn report_loss(&mut self, why: &str, ended: &Entry, wait: Option<Duration>) {
        let ingress = authority(&self.config.ingress);
        let (serving, wanted) = (self.ledger.serving(), self.slots.len());
        let loss = match self.ledger.has_welcome() {
            true => format!("no other tunnel to {ingress}: {why}"),
            false => format!("no tunnel to {ingress}: {why}"),
        };
        // Which one it was is not what a loss has in common with others.
        let line = match (self.ledger.has_welcome(), ended.welcomed) {
            (false, None) => loss.clone(),
            (false, Some(_)) => format!("{loss} ({ended} was lost)"),
            (true, None) => format!("{loss} ({serving} of {wanted} there)"),
            (true, Some(_)) => format!(
                "a tunnel to {ingress}, {ended}, was lost: {why} ({serving} of {wanted} left)"
            ),
        };
        let level = match (self.losses.note(loss, self.now), ended.welcomed) {
            (true, _) => Level::Warn,
            (false, Some(_)) => Level::Info,
            (false, None) => Level::Debug,
        };
        match wait {
            Some(wait) => log::log!(level, "{line}; connecting again in {wait:.1?}"),
            // An attempt is under way.
            None => log::log!(level, "{line}"),
        }
    }
}

#[cfg(test)]
mod tests;
