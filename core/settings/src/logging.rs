//! The log: one line per event on standard error, `simple_logger` deciding which. The access log
//! goes its own way.
//!
//! `simple_logger` writes with `eprintln!`, which ends the process when standard error is closed, and
//! stops it while the reader sleeps, so that the lines are written here and only its rules are used.

mod access;
mod background;
pub(crate) mod journal;
mod line;
mod rules;
mod stream;

pub use access::{AccessLog, Form};
pub use rules::Rules;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use log::{Level, LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;

use self::background::{Background, Names, Queue};
pub(crate) use self::line::printable;
use self::stream::Stream;
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
const LEAKS_SECRETS: &str = "ureq";

/// The TLS library warns of what peers say wrong: any stranger could fill the log. What ends a
/// connection is logged by whoever had it, in words of its own.
const NOISY: &str = "rustls";

struct Logger {
    rules: SimpleLogger,
    reader: Reader,
    access: Option<access::Sink>,
    /// To the thread that writes; without one, whoever logs does.
    lines: Option<Arc<Queue>>,
    /// The same thread, until all is said.
    background: Mutex<Option<Background>>,
}

/// Logs by these rules from now on. A second call changes nothing.
pub fn init(rules: &Rules, access: Option<&AccessLog>) {
    let chosen = chosen(rules);
    let reader = Reader::of_standard_error();
    let access_level = access.map_or(LevelFilter::Off, |_| LevelFilter::Info);
    let level_max = chosen.max_level().max(access_level);
    let background = in_background(reader).ok();
    let logger = Logger {
        rules: chosen,
        reader,
        access: access.map(AccessLog::sink),
        lines: background.as_ref().map(Background::queue),
        background: Mutex::new(background),
    };
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(level_max);
    }
}

/// Writes what was logged, as far as that takes no longer than a second. Nothing is logged after it.
pub(crate) fn finish() {
    log::logger().flush();
}

/// A thread that writes to standard error: not through `io::stderr`, whose lock would be held while a
/// reader sleeps.
fn in_background(reader: Reader) -> io::Result<Background> {
    let out = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    // What the thread itself has to say it writes itself: the queue may be full.
    let mut aside = Stream::shared(out.try_clone()?);
    let warn = move |warning: &str| {
        let arguments = format_args!("{warning}");
        let record = Record::builder().level(Level::Warn).target("mesh").args(arguments).build();
        let line = line::line(&record, SystemTime::now(), reader) + "\n";
        // Where nothing can be written, there is nobody to be told.
        let _ = aside.write_all(line.as_bytes());
    };
    Background::start(
        Names { log: "log", place: "standard error".to_owned() },
        Stream::shared(out),
        warn,
    )
}

/// What decides by these rules.
fn chosen(rules: &Rules) -> SimpleLogger {
    let mut chosen = SimpleLogger::new().with_level(rules.level);
    for (target, level) in &rules.targets {
        chosen = chosen.with_module_level(target, *level);
    }
    let is_asked_for = rules.targets.iter().any(|(target, _)| NOISY.starts_with(target));
    if rules.level < LevelFilter::Debug && !is_asked_for {
        chosen = chosen.with_module_level(NOISY, rules.level.min(LevelFilter::Error));
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
        self.rules.enabled(metadata) && !metadata.target().starts_with(LEAKS_SECRETS)
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
            let line = line::line(record, now, self.reader);
            match &self.lines {
                Some(lines) => lines.put(line + "\n"),
                None => output::complain(&line),
            }
        }
    }

    fn flush(&self) {
        drop(self.background.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

#[cfg(test)]
mod tests;
