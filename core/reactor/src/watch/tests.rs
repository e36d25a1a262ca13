use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use signal_hook::consts::SIGHUP;
use signal_hook::low_level;

use super::{Look, REMIND_EVERY, Watch, Watched};

/// A folder of its own, gone at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("mesh-watch-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.join(name);
        fs::write(&file, text).unwrap();
        file
    }

    /// Puts a new file in the place of the old one.
    fn replace(&self, name: &str, text: &str) {
        let new = self.write("new", text);
        fs::rename(new, self.0.join(name)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a reload found in the first file, when it was possible.
fn watched(files: Vec<PathBuf>) -> (Watched, Receiver<Result<String, String>>) {
    let (sender, found) = mpsc::channel();
    let file = files[0].clone();
    let watched = Watched::new("the text", files).reloading(move || {
        let read = fs::read_to_string(&file).map_err(|error| error.to_string());
        let read = read.and_then(|text| match text.as_str() {
            "broken" => Err(text),
            _ => Ok(text),
        });
        let _ = sender.send(read.clone());
        read.map(drop)
    });
    (watched, found)
}

#[test]
fn what_stays_is_not_read() {
    let folder = Folder::new("stays");
    let (mut watched, found) = watched(vec![folder.write("a", "one")]);
    for _ in 0..3 {
        assert_eq!(watched.look(), Look::Settled);
    }
    assert!(found.try_recv().is_err());
}

#[test]
fn a_change_is_read_once_it_is_over() {
    let folder = Folder::new("change");
    let (mut watched, found) = watched(vec![folder.write("a", "one"), folder.write("b", "")]);
    folder.write("a", "first");
    assert_eq!(watched.look(), Look::Changing);
    folder.write("b", "second");
    assert_eq!(watched.look(), Look::Changing, "it goes on");
    assert!(found.try_recv().is_err());
    assert_eq!(watched.look(), Look::Settled);
    assert_eq!(found.try_recv().unwrap().unwrap(), "first");
    assert_eq!(watched.look(), Look::Settled);
    assert!(found.try_recv().is_err(), "read once");
}

#[test]
fn a_file_replaced_by_one_of_the_same_length_and_time_is_a_change() {
    let folder = Folder::new("replaced");
    let (mut watched, found) = watched(vec![folder.write("a", "one")]);
    let modified = fs::metadata(folder.0.join("a")).unwrap().modified().unwrap();
    folder.replace("a", "two");
    let file = fs::File::options().write(true).open(folder.0.join("a")).unwrap();
    file.set_modified(modified).unwrap();
    assert_eq!([watched.look(), watched.look()], [Look::Changing, Look::Settled]);
    assert_eq!(found.try_recv().unwrap().unwrap(), "two");
}

/// As Kubernetes does it: the file is a link through a link to a folder, and that one is replaced.
#[test]
fn a_link_that_leads_elsewhere_is_a_change() {
    let folder = Folder::new("link");
    for (name, text) in [("v1", "one"), ("v2", "two")] {
        fs::create_dir_all(folder.0.join(name)).unwrap();
        folder.write(&format!("{name}/a"), text);
    }
    symlink("v1", folder.0.join("data")).unwrap();
    symlink("data/a", folder.0.join("a")).unwrap();
    let (mut watched, found) = watched(vec![folder.0.join("a")]);
    symlink("v2", folder.0.join("data.new")).unwrap();
    fs::rename(folder.0.join("data.new"), folder.0.join("data")).unwrap();
    assert_eq!([watched.look(), watched.look()], [Look::Changing, Look::Settled]);
    assert_eq!(found.try_recv().unwrap().unwrap(), "two");
}

#[test]
fn a_file_that_is_missing_for_a_moment_is_nothing() {
    let folder = Folder::new("moment");
    let (mut watched, found) = watched(vec![folder.write("a", "one")]);
    let (here, away) = (folder.0.join("a"), folder.0.join("away"));
    fs::rename(&here, &away).unwrap();
    assert_eq!(watched.look(), Look::Changing);
    fs::rename(&away, &here).unwrap();
    assert_eq!(watched.look(), Look::Settled);
    assert!(found.try_recv().is_err(), "it came back as it was");
}

#[test]
fn a_file_that_is_missing_is_missed_and_then_found() {
    let folder = Folder::new("missing");
    let file = folder.write("a", "one");
    let (mut watched, found) = watched(vec![file.clone()]);
    fs::remove_file(&file).unwrap();
    assert_eq!([watched.look(), watched.look()], [Look::Changing, Look::Settled]);
    assert!(found.try_recv().unwrap().unwrap_err().contains("No such file"));
    folder.write("a", "two");
    assert_eq!([watched.look(), watched.look()], [Look::Changing, Look::Settled]);
    assert_eq!(found.try_recv().unwrap().unwrap(), "two");
}

#[test]
fn what_failed_is_tried_again_at_each_look() {
    let folder = Folder::new("failed");
    let (mut watched, found) = watched(vec![folder.write("a", "one")]);
    folder.write("a", "broken");
    assert_eq!([watched.look(), watched.look()], [Look::Changing, Look::Settled]);
    assert!(found.try_recv().unwrap().is_err());
    assert_eq!(watched.look(), Look::Settled);
    assert!(found.try_recv().unwrap().is_err());
    folder.write("a", "whole");
    assert_eq!([watched.look(), watched.look()], [Look::Changing, Look::Settled]);
    assert_eq!(found.try_recv().unwrap().unwrap(), "whole");
    assert_eq!(watched.look(), Look::Settled);
    assert!(found.try_recv().is_err(), "and then no more");
}

#[test]
fn of_files_that_stay_there_is_a_reminder_once_a_day() {
    const SECOND: Duration = Duration::from_secs(1);
    let (sender, reminders) = mpsc::channel();
    let mut watched = Watched::new("nothing", Vec::new()).reminding(move || {
        let _ = sender.send(());
    });
    let mut reminded = |at| {
        watched.remind(at);
        reminders.try_iter().count()
    };
    let first = Instant::now() + REMIND_EVERY;
    assert_eq!(reminded(first - 60 * SECOND), 0, "it was said at the start");
    assert_eq!(reminded(first), 1);
    assert_eq!(reminded(first + REMIND_EVERY - SECOND), 0);
    assert_eq!(reminded(first + REMIND_EVERY), 1);
}

#[test]
fn the_thread_reminds_whether_files_change_or_not() {
    let (sender, reminders) = mpsc::channel();
    let mut watched = Watched::new("nothing", Vec::new()).reminding(move || {
        let _ = sender.send(());
    });
    watched.remind_at = Instant::now();
    let _watch = Watch::start(vec![watched], Duration::from_millis(5)).unwrap();
    reminders.recv_timeout(Duration::from_secs(15)).unwrap();
}

#[test]
fn the_thread_hears_the_clock_and_the_signal_and_ends_with_its_watch() {
    const PATIENCE: Duration = Duration::from_secs(15);
    let folder = Folder::new("thread");
    let (by_clock, changes) = watched(vec![folder.write("a", "one")]);
    let (by_signal, signals) = watched(vec![folder.write("b", "one")]);
    let clock = Watch::start(vec![by_clock], Duration::from_millis(5)).unwrap();
    folder.replace("a", "two");
    while changes.recv_timeout(PATIENCE).unwrap().unwrap() != "two" {}

    let alive = Arc::new(Mutex::new(()));
    let kept = Arc::clone(&alive);
    let ending = Watched::new("a thread", Vec::new()).reloading(move || {
        drop(kept.lock());
        Ok(())
    });
    let signal = Watch::start(vec![by_signal, ending], Duration::from_secs(3600)).unwrap();
    low_level::raise(SIGHUP).unwrap();
    assert_eq!(signals.recv_timeout(PATIENCE).unwrap().unwrap(), "one");
    drop((clock, signal));
    let due = Instant::now() + PATIENCE;
    while Arc::strong_count(&alive) > 1 {
        assert!(Instant::now() < due, "the thread goes on");
        std::thread::yield_now();
    }
}

#[test]
fn where_there_is_nothing_to_watch_there_is_no_thread() {
    assert!(Watch::start(Vec::new(), Watch::INTERVAL).unwrap().is_none());
}
