//! How many files this process may have open, sockets among them.

use rlimit::Resource;

/// Raises the soft limit to the hard one, as far as the system lets us, and says what it is now.
/// `None` when that is unknown.
///
/// Shells, containers and service managers often give a soft limit of 1024 with a higher hard one, for
/// the sake of programs that use `select(2)`, which cannot deal with more (getrlimit(2)).
#[must_use]
pub fn raise_open_files() -> Option<usize> {
    let (soft, hard) = Resource::NOFILE.get().ok()?;
    let is_raised = soft < hard && Resource::NOFILE.set(hard, hard).is_ok();
    let files = if is_raised { hard } else { soft };
    Some(usize::try_from(files).unwrap_or(usize::MAX))
}
