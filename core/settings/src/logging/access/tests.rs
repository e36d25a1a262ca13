use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::super::background::{BYTES_MAX, FLUSH_TIMEOUT, LINES_MAX};
use super::{AccessLog, Form};

/// What was warned about.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn start(out: impl Write + Send + 'static) -> (AccessLog, Warnings) {
    let warnings = Warnings::default();
    let written = warnings.clone();
    let warn = move |warning: &str| written.0.lock().unwrap().push(warning.to_owned());
    (AccessLog::start(Form::Text, "out".to_owned(), out, warn).unwrap(), warnings)
}

fn put(log: &AccessLog, message: &str) {
    log.sink().put(UNIX_EPOCH, &format_args!("{message}"));
}

const TIME: &str = "1970-01-01T00:00:00.000Z";

/// Takes what it is given as soon as it is told to, and at most so much.
struct Gate {
    permits: Receiver<io::Result<usize>>,
    entered: Sender<()>,
    taken: Arc<Mutex<String>>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.entered.send(());
        // Once nobody holds it back any more it takes everything.
        let count = self.permits.recv().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
        self.taken.lock().unwrap().push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Keeper {
    permits: Sender<io::Result<usize>>,
    entered: Receiver<()>,
    taken: Arc<Mutex<String>>,
}

fn gate() -> (Gate, Keeper) {
    let (permits, permitted) = channel();
    let (entered, noticed) = channel();
    let taken = Arc::new(Mutex::new(String::new()));
    let gate = Gate { permits: permitted, entered, taken: Arc::clone(&taken) };
    (gate, Keeper { permits, entered: noticed, taken })
}

fn no_space() -> io::Error {
    io::Error::from_raw_os_error(28)
}

#[test]
fn lines_get_the_time_in_front_and_are_out_at_the_end() {
    let directory = std::env::temp_dir().join(format!("mesh-access-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("access.log");
    std::fs::write(&path, "before\n").unwrap();
    let log = AccessLog::open(Form::Text, Some(&path)).unwrap();
    (0..1000).for_each(|index| put(&log, &format!("n={index}")));
    drop(log);
    let log = AccessLog::open(Form::Json, Some(&path)).unwrap();
    put(&log, "{\"n\":1}");
    drop(log);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1002);
    assert_eq!((lines[0], lines[1000]), ("before", format!("{TIME} n=999").as_str()));
    assert_eq!(lines[1001], format!("{{\"time\":\"{TIME}\",\"n\":1}}"));
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn lines_beyond_the_limit_are_dropped_at_once_and_counted() {
    let (gate, keeper) = gate();
    let (log, warnings) = start(gate);
    put(&log, "first");
    keeper.entered.recv().unwrap();
    let began = Instant::now();
    (0..LINES_MAX + 7).for_each(|_| put(&log, "next"));
    assert!(began.elapsed() < Duration::from_secs(5), "logging waits for a writer that hangs");
    assert!(warnings.all().is_empty());
    let taken = Arc::clone(&keeper.taken);
    drop(keeper);
    drop(log);
    assert_eq!(taken.lock().unwrap().lines().count(), 1 + LINES_MAX);
    assert_eq!(warnings.all(), ["access log: 7 lines were dropped"]);
}

#[test]
fn long_lines_are_dropped_before_they_take_much_memory() {
    let (gate, keeper) = gate();
    let (log, warnings) = start(gate);
    put(&log, "first");
    keeper.entered.recv().unwrap();
    let long = "x".repeat(BYTES_MAX / 4);
    (0..9).for_each(|_| put(&log, &long));
    // What is short still fits.
    put(&log, "short");
    let taken = Arc::clone(&keeper.taken);
    drop(keeper);
    drop(log);
    let taken = taken.lock().unwrap();
    assert_eq!(taken.lines().filter(|line| line.ends_with(&long)).count(), 3);
    assert!(taken.ends_with("short\n") && taken.len() < BYTES_MAX);
    assert_eq!(warnings.all(), ["access log: 6 lines were dropped"]);
}

#[test]
fn lines_that_were_dropped_are_told_of_though_no_more_come() {
    let (gate, keeper) = gate();
    let (log, warnings) = start(gate);
    for lost in [7, 5] {
        put(&log, "first");
        keeper.entered.recv().unwrap();
        (0..LINES_MAX + lost).for_each(|_| put(&log, "next"));
        // Until all that waits is written.
        let lines = keeper.taken.lock().unwrap().lines().count() + 1 + LINES_MAX;
        while keeper.taken.lock().unwrap().lines().count() < lines {
            keeper.permits.send(Ok(usize::MAX)).unwrap();
            let _ = keeper.entered.recv_timeout(Duration::from_millis(10));
        }
    }
    let due = Instant::now() + Duration::from_secs(30);
    while warnings.all().len() < 2 {
        assert!(Instant::now() < due, "{:?}", warnings.all());
        std::thread::sleep(Duration::from_millis(5));
    }
    let expected = ["access log: 7 lines were dropped", "access log: 5 lines were dropped"];
    assert_eq!(warnings.all(), expected);
    drop(log);
}

#[test]
fn a_reader_that_is_gone_is_one_warning() {
    let (gate, keeper) = gate();
    let (log, warnings) = start(gate);
    // Each one is tried by itself.
    for _ in 0..20 {
        put(&log, "line");
        keeper.entered.recv().unwrap();
        keeper.permits.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
    }
    drop(log);
    let expected = ["access log: write to out: broken pipe", "access log: 20 lines were dropped"];
    assert_eq!(warnings.all(), expected);
}

#[test]
fn a_reader_that_sleeps_delays_the_end_for_a_second_only() {
    let (mut reader, writer) = io::pipe().unwrap();
    let (log, _warnings) = start(writer);
    // More than any pipe holds.
    let line = "x".repeat(4096);
    (0..LINES_MAX).for_each(|_| put(&log, &line));
    let began = Instant::now();
    drop(log);
    let took = began.elapsed();
    assert!((FLUSH_TIMEOUT..FLUSH_TIMEOUT * 5).contains(&took), "{took:?}");
    let mut byte = [0];
    reader.read_exact(&mut byte).unwrap();
    assert_eq!(byte, TIME.as_bytes()[..1]);
}

#[test]
fn a_line_after_half_a_line_begins_anew() {
    let (gate, keeper) = gate();
    let (log, warnings) = start(gate);
    let half = TIME.len() + 3;
    for permit in [Ok(half), Err(no_space())] {
        keeper.permits.send(permit).unwrap();
    }
    put(&log, "torn apart");
    keeper.entered.recv().unwrap();
    keeper.entered.recv().unwrap();
    // The next one fails, too, and both are missing.
    keeper.permits.send(Err(no_space())).unwrap();
    put(&log, "lost");
    keeper.entered.recv().unwrap();
    let taken = Arc::clone(&keeper.taken);
    drop(keeper);
    put(&log, "whole");
    drop(log);
    assert_eq!(*taken.lock().unwrap(), format!("{TIME} to\n{TIME} whole\n"));
    let expected =
        ["access log: write to out: no space left on device", "access log: 2 lines were dropped"];
    assert_eq!(warnings.all(), expected);
}

#[test]
fn a_file_that_cannot_be_written_is_an_error() {
    let directory = std::env::temp_dir();
    assert!(AccessLog::open(Form::Text, Some(&directory)).is_err());
    assert!(AccessLog::open(Form::Text, Some(&directory.join("no/such/folder"))).is_err());
}

#[test]
fn lines_after_the_end_go_nowhere() {
    let (log, warnings) = start(io::sink());
    let sink = log.sink();
    drop(log);
    sink.put(SystemTime::now(), &format_args!("late"));
    assert!(warnings.all().is_empty());
}
