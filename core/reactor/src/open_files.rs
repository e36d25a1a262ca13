//! How many files this process may have open, sockets among them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one, as far as the system lets us, and says what it is now.
/// `None` when nothing limits them.
///
/// Shells, containers and service managers often give a soft limit of 1024 with a higher hard one, for
/// the sake of programs that use `select(2)`, which cannot deal with more (getrlimit(2)).
#[must_use]
pub fn raise_open_files() -> Option<usize> {
    let Rlimit { current: soft, maximum: hard } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: hard, maximum: hard };
    let is_raised = soft != hard && setrlimit(Resource::Nofile, raised).is_ok();
    let files = if is_raised { hard } else { soft };
    files.map(|files| usize::try_from(files).unwrap_or(usize::MAX))
}
