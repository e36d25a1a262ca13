//! The log: one line per event on standard error, `simple_logger` deciding which.
//!
//! `simple_logger` writes with `eprintln!`, which ends the process when standard error is closed,
//! so that the lines are written here and only its rules are used.

mod line;
mod rules;

pub use rules::Rules;

use std::io::{self, IsTerminal};
use std::time::SystemTime;

use log::{Log, Metadata, Record};
use simple_logger::SimpleLogger;

use crate::output;

/// Whether the level is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colour {
    Level,
    None,
}

struct Logger {
    rules: SimpleLogger,
    colour: Colour,
}

/// Logs by these rules from now on. A second call changes nothing.
pub fn init(rules: &Rules) {
    let mut chosen = SimpleLogger::new().with_level(rules.level);
    for (target, level) in &rules.targets {
        chosen = chosen.with_module_level(target, *level);
    }
    // https://no-color.org: any value but the empty one.
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = if io::stderr().is_terminal() && !refused { Colour::Level } else { Colour::None };
    let level_max = chosen.max_level();
    let logger = Logger { rules: chosen, colour };
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(level_max);
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.rules.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            output::complain(&line::line(record, SystemTime::now(), self.colour));
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests;
