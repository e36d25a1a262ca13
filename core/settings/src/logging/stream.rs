//! A stream that both logs may go to: what is written at once stays together.
//!
//! The kernel keeps no more than 4 KiB together in a pipe or a socket while its reader is slow. Where standard
//! output and standard error are the same one, as with `2>&1 |` and with the journal, the lines of the two logs
//! would tear each other.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

/// See the module.
pub(super) struct Stream {
    file: File,
    /// Whether it is standard error, wherever that leads.
    is_shared: bool,
}

/// Held while something is written to standard error.
static TURN: Mutex<()> = Mutex::new(());

impl Stream {
    /// Standard error.
    pub(super) const fn shared(file: File) -> Self {
        Self { file, is_shared: true }
    }

    /// Something else, unless it turns out to be the same.
    pub(super) fn new(file: File) -> Self {
        let is_shared = is_same(&file, io::stderr());
        Self { file, is_shared }
    }
}

impl Write for Stream {
    /// Writes all that it can, and not a part where the rest can go too.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _turn = self.is_shared.then(|| TURN.lock().unwrap_or_else(PoisonError::into_inner));
        let mut count = 0;
        while count < bytes.len() {
            match self.file.write(&bytes[count..]) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if count == 0 => return Err(error),
                // Whoever writes the rest is told.
                Err(_) => break,
            }
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Whether both lead to the same place.
fn is_same(one: impl AsFd, other: impl AsFd) -> bool {
    let place = |fd| rustix::fs::fstat(fd).map(|found| (found.st_dev, found.st_ino));
    match (place(one.as_fd()), place(other.as_fd())) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
