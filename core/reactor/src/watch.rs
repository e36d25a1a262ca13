//! Files that are read anew when they change, or when SIGHUP asks for it.
//!
//! One thread looks at them from time to time. It compares what `stat` says, which tells apart
//! files that were written, replaced by a rename, or reached by a symbolic link that now leads
//! elsewhere, as in Kubernetes. A change counts only when nothing changes any more, so that a
//! certificate and its key are not read between the writing of one and of the other.
//!
//! ```text
//!   unchanged -- something differs --> changing -- the same for SETTLED --> reload
//!                                        ^   |                                |
//!                                        '---' differs again                  |
//!   unchanged <-- done, one line -----------------------------------+---------'
//!   failed: tried again at each look <-- one line per reason -------'
//! ```

use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use log::{info, warn};
use signal_hook::SigId;
use signal_hook::consts::SIGHUP;
use signal_hook::low_level;

/// A thread that watches files. It ends with this value, after the reload that it is at.
#[derive(Debug)]
pub struct Watch {
    /// Closing it tells the thread.
    sender: UnixStream,
    handler: SigId,
}

/// Files that belong together, and what to do when they change.
pub struct Watched {
    what: String,
    files: Vec<PathBuf>,
    /// What the files looked like when they were last read.
    known: Vec<Stamp>,
    /// What the files looked like at the last look, if that is something else.
    changing: Option<Vec<Stamp>>,
    /// What was said last of a reload that failed.
    complaint: Option<String>,
    reload: Box<dyn FnMut() -> Result<(), String> + Send>,
    remind: Box<dyn FnMut() + Send>,
    /// When that is to be called next.
    remind_at: Instant,
}

/// What tells one state of a file from another, without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stamp {
    Present {
        bytes: u64,
        /// Seconds and nanoseconds.
        modified: (i64, i64),
        /// Device and number of the file.
        place: (u64, u64),
    },
    Absent(ErrorKind),
}

/// What a look at files found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Settled,
    /// To be looked at again soon.
    Changing,
}

/// How long files have to stay as they are before they are read.
const SETTLED: Duration = Duration::from_secs(1);
/// Between two reminders of what time alone does to files that stay as they are.
const REMIND_EVERY: Duration = Duration::from_secs(24 * 3600);

impl Watched {
    /// Files that make up `what`, a noun for the log. They are looked at now: construct this before
    /// reading them for the first time, and no change in between is lost.
    pub fn new(what: impl Into<String>, files: Vec<PathBuf>) -> Self {
        Self {
            what: what.into(),
            known: look_at(&files),
            files,
            changing: None,
            complaint: None,
            reload: Box::new(|| Ok(())),
            remind: Box::new(|| ()),
            remind_at: Instant::now() + REMIND_EVERY,
        }
    }

    /// Calls `reload` when the files have changed. It reads them anew and puts what it read in
    /// place of the old; if that cannot be, it changes nothing and names file and reason in a
    /// sentence. It is then tried again at every look, and the sentence logged when it is new.
    #[must_use]
    pub fn reloading(
        mut self,
        reload: impl FnMut() -> Result<(), String> + Send + 'static,
    ) -> Self {
        self.reload = Box::new(reload);
        self
    }

    /// Calls `remind` once a day, for what is to be said of files that nobody changes: that a
    /// certificate ends soon.
    #[must_use]
    pub fn reminding(mut self, remind: impl FnMut() + Send + 'static) -> Self {
        self.remind = Box::new(remind);
        self
    }

    /// Reminds of the files when their day is over.
    fn remind(&mut self, now: Instant) {
        if self.remind_at <= now {
            self.remind_at = now + REMIND_EVERY;
            (self.remind)();
        }
    }

    /// Looks at the files, and reads them if they changed a while ago or could not be read before.
    fn look(&mut self) -> Look {
        let seen = look_at(&self.files);
        if seen == self.known {
            self.changing = None;
            if self.complaint.is_some() {
                self.read(seen);
            }
            return Look::Settled;
        }
        if self.changing.as_ref() != Some(&seen) {
            self.changing = Some(seen);
            return Look::Changing;
        }
        self.read(seen);
        Look::Settled
    }

    fn read(&mut self, seen: Vec<Stamp>) {
        let was_as_known = seen == self.known;
        self.changing = None;
        self.known = seen;
        match (self.reload)() {
            Ok(()) => {
                self.complaint = None;
                info!("{} was reloaded", self.what);
            }
            Err(complaint) => {
                if !was_as_known || self.complaint.as_ref() != Some(&complaint) {
                    warn!("{} stays as it is: {complaint}", self.what);
                }
                self.complaint = Some(complaint);
            }
        }
    }

    /// Reads the files whether they changed or not.
    fn read_now(&mut self) {
        self.complaint = None;
        let seen = look_at(&self.files);
        self.read(seen);
    }
}

impl Watch {
    /// How often files are looked at, unless somebody has a reason for something else.
    pub const INTERVAL: Duration = Duration::from_secs(10);

    /// Begins to watch, on a thread of its own; where there is nothing to watch, there is none. From here on
    /// SIGHUP reads all the files anew.
    ///
    /// # Errors
    /// The system gives no thread, no socket or no signal handler.
    pub fn start(mut watched: Vec<Watched>, interval: Duration) -> io::Result<Option<Self>> {
        if watched.is_empty() {
            return Ok(None);
        }
        let (sender, mut receiver) = UnixStream::pair()?;
        let handler = low_level::pipe::register(SIGHUP, sender.try_clone()?)?;
        let watch = Self { sender, handler };
        thread::Builder::new().name("watch".to_owned()).spawn(move || {
            let mut pause = interval;
            while let Some(woken) = wait(&mut receiver, pause) {
                let look = match woken {
                    Woken::BySignal => {
                        watched.iter_mut().for_each(Watched::read_now);
                        Look::Settled
                    }
                    Woken::ByClock => look_over(&mut watched),
                };
                let now = Instant::now();
                watched.iter_mut().for_each(|watched| watched.remind(now));
                pause = match look {
                    Look::Settled => interval,
                    Look::Changing => interval.min(SETTLED),
                };
            }
        })?;
        Ok(Some(watch))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        low_level::unregister(self.handler);
        let _ = self.sender.shutdown(Shutdown::Both);
    }
}

/// Why the thread goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    ByClock,
    BySignal,
}

/// Sleeps; `None` when nobody wants the watch any more.
fn wait(receiver: &mut UnixStream, pause: Duration) -> Option<Woken> {
    /// A read timeout of zero would be none.
    const PAUSE_MIN: Duration = Duration::from_millis(1);
    receiver.set_read_timeout(Some(pause.max(PAUSE_MIN))).ok()?;
    // Signals that came together are one.
    match receiver.read(&mut [0; 64]) {
        Ok(0) => None,
        Ok(_) => Some(Woken::BySignal),
        Err(error) => matches!(
            error.kind(),
            ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
        )
        .then_some(Woken::ByClock),
    }
}

fn look_over(watched: &mut [Watched]) -> Look {
    let mut over_all = Look::Settled;
    for watched in watched {
        if watched.look() == Look::Changing {
            over_all = Look::Changing;
        }
    }
    over_all
}

fn look_at(files: &[PathBuf]) -> Vec<Stamp> {
    files.iter().map(|file| Stamp::of(file)).collect()
}

impl Stamp {
    fn of(file: &Path) -> Self {
        match std::fs::metadata(file) {
            Ok(found) => Self::Present {
                bytes: found.len(),
                modified: (found.mtime(), found.mtime_nsec()),
                place: (found.dev(), found.ino()),
            },
            Err(error) => Self::Absent(error.kind()),
        }
    }
}

#[cfg(test)]
mod tests;
