//! What keeps a program from starting, as one sentence for the operator.

use std::fmt;
use std::io;

/// One sentence: the culprit, what was found, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    sentence: String,
    fault: Fault,
}

/// What an error is about, which decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The command line makes no sense, whatever the world around it is like.
    Misuse,
    /// The program cannot start or go on as things are.
    Failure,
}

impl Error {
    /// An error that reads like this.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), fault: Fault::Failure }
    }

    /// A command line that makes no sense.
    pub fn misuse(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), fault: Fault::Misuse }
    }

    pub(crate) const fn fault(&self) -> Fault {
        self.fault
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Error {}

/// The operating system's words for a failure, fit for the end of a sentence: no error number and
/// no capital letter.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
