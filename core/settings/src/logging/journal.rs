//! Whether the journal of systemd reads what we write.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

/// Whether this is the stream that `JOURNAL_STREAM` names. The variable alone says nothing: it is
/// still there when somebody in between has redirected the stream.
pub(crate) fn is_behind(stream: impl AsFd) -> bool {
    std::env::var("JOURNAL_STREAM").is_ok_and(|named| is_named(stream, &named))
}

/// Whether the stream is the one with this `DEVICE:INODE`.
fn is_named(stream: impl AsFd, named: &str) -> bool {
    let Ok(stream) = stream.as_fd().try_clone_to_owned() else { return false };
    File::from(stream)
        .metadata()
        .is_ok_and(|found| named == format!("{}:{}", found.dev(), found.ino()))
}

#[cfg(test)]
mod tests;
