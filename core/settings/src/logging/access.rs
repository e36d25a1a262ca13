//! The access log: whole lines to a file or to standard output, written in the background.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::Access;

use super::background::{Background, Names, Queue};
use super::line::timestamp;
use super::stream::Stream;

/// The target of the lines; `--log-level` does not matter for it.
pub(super) const TARGET: &str = "access";

/// What a line looks like, and so how the time gets in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The time, a space, and the text.
    Text,
    /// A JSON object, the time as its first member.
    Json,
}

/// An open access log. When it is dropped, what waits is written first, if that takes no longer
/// than a second.
#[derive(Debug)]
pub struct AccessLog {
    form: Form,
    background: Background,
}

/// Where a logger puts lines.
#[derive(Debug, Clone)]
pub(super) struct Sink {
    form: Form,
    queue: Arc<Queue>,
}

impl AccessLog {
    /// An access log that appends to this file, or else goes to standard output.
    ///
    /// # Errors
    /// The file cannot be opened for writing, or no thread can be started.
    pub fn open(form: Form, file: Option<&Path>) -> io::Result<Self> {
        let (name, out) = match file {
            Some(path) => {
                let out = OpenOptions::new().create(true).append(true).open(path)?;
                (path.display().to_string(), out)
            }
            // Not through `io::stdout`, whose lock would be held while a reader sleeps.
            None => {
                let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
                ("standard output".to_owned(), out)
            }
        };
        Self::start(form, name, Stream::new(out), |warning| log::warn!(target: "mesh", "{warning}"))
    }

    /// Whether this file could be opened, as far as that shows without making one.
    ///
    /// # Errors
    /// It could not.
    pub fn check(file: &Path) -> io::Result<()> {
        match fs::metadata(file) {
            Ok(found) if found.is_file() || found.is_dir() => {
                OpenOptions::new().append(true).open(file).map(drop)
            }
            // To open a pipe is to wait for its reader.
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
                let folder = folder.unwrap_or_else(|| Path::new("."));
                fs::metadata(folder)?;
                // It may lie in a file system that nobody may write to, root neither.
                Ok(rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
            }
            Err(error) => Err(error),
        }
    }

    fn start(
        form: Form,
        name: String,
        out: impl Write + Send + 'static,
        warn: impl FnMut(&str) + Send + 'static,
    ) -> io::Result<Self> {
        let names = Names { log: "access log", place: name };
        Ok(Self { form, background: Background::start(names, out, warn)? })
    }

    pub(super) fn sink(&self) -> Sink {
        Sink { form: self.form, queue: self.background.queue() }
    }
}

impl Sink {
    /// Adds the time to a line and hands it to the thread, or drops it.
    pub(super) fn put(&self, now: SystemTime, message: &fmt::Arguments<'_>) {
        let time = timestamp(now);
        let line = match self.form {
            Form::Text => format!("{time} {message}\n"),
            Form::Json => {
                let object = message.to_string();
                let members = object.strip_prefix('{').unwrap_or(&object);
                format!("{{\"time\":\"{time}\",{members}\n")
            }
        };
        self.queue.put(line);
    }
}

#[cfg(test)]
mod tests;
