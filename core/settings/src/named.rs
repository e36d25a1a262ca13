//! Files that settings name: read at the start, and perhaps again.

use std::fmt::{self, Display};
use std::path::Path;

use crate::file::read_bytes;
use crate::{Error, read_text};

/// A file and the setting that names it, which is to blame for what is wrong with it.
#[derive(Clone, PartialEq, Eq)]
pub struct NamedFile {
    path: String,
    culprit: String,
}

impl NamedFile {
    /// The file at `path`; `culprit` is how a sentence begins that blames the setting.
    #[must_use]
    pub fn new(path: impl Into<String>, culprit: impl Into<String>) -> Self {
        Self { path: path.into(), culprit: culprit.into() }
    }

    /// Where it is, as the user wrote it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The setting that names it, as the culprit of a sentence.
    #[must_use]
    pub fn culprit(&self) -> &str {
        &self.culprit
    }

    /// Its text, at most 1 MiB.
    ///
    /// # Errors
    /// It cannot be read, is no text, or is too large.
    pub fn read(&self) -> Result<String, Error> {
        read_text(&self.path, &self.culprit)
    }

    /// What is in it, text or not, at most 1 MiB.
    ///
    /// # Errors
    /// It cannot be read, or is too large.
    pub fn read_bytes(&self) -> Result<Vec<u8>, Error> {
        read_bytes(&self.path, &self.culprit)
    }

    /// Whether it can be read again: what is in a pipe can be read once.
    #[must_use]
    pub fn can_be_read_again(&self) -> bool {
        Path::new(&self.path).is_file()
    }

    /// A warning when some of these files, which are read together, are not read again because
    /// another one cannot be.
    #[must_use]
    pub fn held_back(together: &[Self]) -> Option<String> {
        let (files, pipes): (Vec<_>, Vec<_>) =
            together.iter().partition(|file| file.can_be_read_again());
        let (pipe, _) = pipes.first().zip(files.first())?;
        let are = if files.len() == 1 { "is" } else { "are" };
        let names: Vec<_> = files.into_iter().map(Self::path).collect();
        Some(format!(
            "{}: {} cannot be read again, so {} {are} read only at the start too",
            pipe.culprit,
            pipe.path,
            names.join(" and ")
        ))
    }

    /// An error about what is in it.
    #[must_use]
    pub fn blame(&self, reason: impl Display) -> Error {
        Error::new(format!("{}: cannot use {}: {reason}", self.culprit, self.path))
    }
}

impl fmt::Debug for NamedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.path, f)
    }
}
