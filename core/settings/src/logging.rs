//! The log: one line per event on standard error, `simple_logger` deciding which. The access log
//! goes its own way.
//!
//! `simple_logger` writes with `eprintln!`, which ends the process when standard error is closed,
//! so that the lines are written here and only its rules are used.

mod access;
pub(crate) mod journal;
mod line;
mod rules;

pub use access::{AccessLog, Form};
pub use rules::Rules;

use std::io::{self, IsTerminal};
use std::time::SystemTime;

use log::{LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;

use crate::output;

/// Who reads the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// A terminal: the level is coloured.
    Terminal,
    /// The journal of systemd, which knows the time itself and wants the level as a number.
    Journal,
    Other,
}

/// The HTTP client for AWS writes all bytes of its requests at level trace, keys and tokens among
/// them. No rule can bring that into the log.
const INDISCREET: &str = "ureq";

/// The TLS library warns of what peers say wrong: any stranger could fill the log. What ends a
/// connection is logged by whoever had it, in words of its own.
const TALKATIVE: &str = "rustls";

struct Logger {
    rules: SimpleLogger,
    reader: Reader,
    access: Option<access::Sink>,
}

/// Logs by these rules from now on. A second call changes nothing.
pub fn init(rules: &Rules, access: Option<&AccessLog>) {
    let chosen = chosen(rules);
    let reader = Reader::of_standard_error();
    let access_level = access.map_or(LevelFilter::Off, |_| LevelFilter::Info);
    let level_max = chosen.max_level().max(access_level);
    let logger = Logger { rules: chosen, reader, access: access.map(AccessLog::sink) };
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(level_max);
    }
}

/// What decides by these rules.
fn chosen(rules: &Rules) -> SimpleLogger {
    let mut chosen = SimpleLogger::new().with_level(rules.level);
    for (target, level) in &rules.targets {
        chosen = chosen.with_module_level(target, *level);
    }
    let is_asked_for = rules.targets.iter().any(|(target, _)| TALKATIVE.starts_with(target));
    if rules.level < LevelFilter::Debug && !is_asked_for {
        chosen = chosen.with_module_level(TALKATIVE, rules.level.min(LevelFilter::Error));
    }
    chosen
}

impl Reader {
    fn of_standard_error() -> Self {
        // https://no-color.org: any value but the empty one.
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if journal::is_behind(io::stderr()) {
            Self::Journal
        } else if io::stderr().is_terminal() && !refused {
            Self::Terminal
        } else {
            Self::Other
        }
    }
}

impl Logger {
    /// Whether the rules want it, and nothing speaks against it.
    fn is_wanted(&self, metadata: &Metadata<'_>) -> bool {
        self.rules.enabled(metadata) && !metadata.target().starts_with(INDISCREET)
    }

    /// The access log, when that is for it.
    fn sink(&self, metadata: &Metadata<'_>) -> Option<&access::Sink> {
        self.access.as_ref().filter(|_| metadata.target() == access::TARGET)
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.sink(metadata).is_some() || self.is_wanted(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let now = SystemTime::now();
        if let Some(sink) = self.sink(record.metadata()) {
            sink.put(now, record.args());
        } else if self.is_wanted(record.metadata()) {
            output::complain(&line::line(record, now, self.reader));
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests;
