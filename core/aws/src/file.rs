//! Small text files that others write: read within a limit, and watched.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How a file looked when it was read. Another look means that it was written again.
///
/// Programs that rotate credentials either write the file anew or put another in its place; the
/// length, the time to the nanosecond and the inode tell both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    path: PathBuf,
    /// `None` while there is no file to be seen.
    seen: Option<(u64, u64, i64, i64)>,
}

/// What a file holds for whoever reads it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Text(String),
    /// There is no file.
    Missing,
    /// The way to it is not for this user to go; why.
    Withheld(String),
}

/// Far more than any list of profiles or authorities needs; a device file never ends.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

impl Look {
    /// Whether the file looks otherwise now.
    pub(crate) fn is_outdated(&self) -> bool {
        self.seen != fs::metadata(&self.path).ok().as_ref().map(shape)
    }
}

/// What the file holds and its look, taken before the first byte was read: what is written during
/// the reading makes the look outdated.
pub(crate) fn read_watched(path: &Path) -> Result<(Content, Look), String> {
    let look = |seen| Look { path: path.to_owned(), seen };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((Content::Missing, look(None)));
        }
        // One that can be seen is meant to be read.
        Err(error) if is_barred(&error) && fs::metadata(path).is_err() => {
            return Ok((Content::Withheld(reason(&error)), look(None)));
        }
        Err(error) => return Err(reason(&error)),
    };
    let seen = file.metadata().map_err(|error| reason(&error))?;
    let look = look(Some(shape(&seen)));
    Ok((Content::Text(read(file)?), look))
}

/// The file's text, or why there is none.
pub(crate) fn read_text(path: &Path) -> Result<String, String> {
    read(File::open(path).map_err(|error| reason(&error))?)
}

fn read(file: File) -> Result<String, String> {
    let mut text = String::new();
    match file.take(FILE_BYTES_MAX).read_to_string(&mut text) {
        Ok(length) if (length as u64) < FILE_BYTES_MAX => Ok(text),
        Ok(_) => Err("it is larger than 1 MiB".to_owned()),
        Err(error) => Err(reason(&error)),
    }
}

fn is_barred(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory)
}

fn shape(metadata: &Metadata) -> (u64, u64, i64, i64) {
    (metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

/// The system's reason as part of a sentence, without the number that it ends with.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect()
}

#[cfg(test)]
mod tests;
