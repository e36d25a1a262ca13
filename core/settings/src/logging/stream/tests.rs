use std::fs::File;
use std::io::{self, PipeWriter, Read};
use std::os::fd::OwnedFd;
use std::thread;

use super::{Stream, is_same};
use crate::logging::background::{Background, Names};

const LINES: usize = 1_000;

fn file(writer: PipeWriter) -> File {
    File::from(OwnedFd::from(writer))
}

#[test]
fn lines_of_two_logs_on_one_pipe_stay_whole() {
    let (mut reader, writer) = io::pipe().unwrap();
    let outs = [writer.try_clone().unwrap(), writer];
    let logs = ["a", "b"].into_iter().zip(outs).map(|(name, out)| {
        let names = Names { log: "log", place: "a pipe".to_owned() };
        let log = Background::start(names, Stream::shared(file(out)), |_| {}).unwrap();
        let line = name.repeat(300) + "\n";
        (0..LINES).for_each(|_| log.queue().put(line.clone()));
        log
    });
    let logs: Vec<_> = logs.collect();
    // Nobody reads before both are in the middle of a batch; when they are dropped they write on.
    let ended = thread::spawn(move || drop(logs));
    let (mut read, mut piece) = (Vec::new(), [0; 1000]);
    loop {
        match reader.read(&mut piece).unwrap() {
            0 => break,
            count => read.extend_from_slice(&piece[..count]),
        }
        thread::yield_now();
    }
    ended.join().unwrap();
    let read = String::from_utf8(read).unwrap();
    let torn = read.lines().filter(|line| *line != "a".repeat(300) && *line != "b".repeat(300));
    assert_eq!(torn.count(), 0, "of {} lines", read.lines().count());
    assert_eq!(read.lines().count(), 2 * LINES);
}

#[test]
fn the_same_place_is_known_by_whichever_way_leads_there() {
    let (reader, writer) = io::pipe().unwrap();
    let (_, other) = io::pipe().unwrap();
    assert!(is_same(&writer, writer.try_clone().unwrap()) && is_same(&writer, reader));
    assert!(!is_same(&writer, other));
}
