//! Several workers: connections that move between them, and how they live and end together.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::thread;

use mesh_reactor::ServiceManager;

use crate::probe::{
    EXIT, GREETING, HANG, Heard, PANIC, PATIENCE, Probe, Rule, Running, connect, pattern,
};

/// From the first worker over the others back to it, and to the second in the end.
fn round_trip(rule: Rule) -> Rule {
    let pass = |to, rule| Rule::Pass(to, Box::new(rule));
    pass(1, pass(2, pass(0, pass(1, rule))))
}

/// A connection that is no longer new to the server.
fn greeted(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    let mut greeting = [0; GREETING.len()];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(greeting, GREETING);
    stream
}

/// Sends the bytes while all that comes back is read, until the connection ends.
fn send_and_expect_back(mut stream: TcpStream, bytes: &Arc<Vec<u8>>) {
    let mut reader = stream.try_clone().unwrap();
    let expected = Arc::clone(bytes);
    let reader = thread::spawn(move || {
        let mut back = Vec::new();
        reader.read_to_end(&mut back).unwrap();
        assert!(back == *expected, "what was sent comes back");
    });
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    reader.join().unwrap();
}

#[test]
fn a_connection_that_moves_loses_no_byte() {
    let server = Running::three(Probe::new(round_trip(Rule::Echo)), None, None);
    let bytes = Arc::new(pattern(1_000_000));
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let (address, bytes) = (server.address, Arc::clone(&bytes));
            thread::spawn(move || {
                send_and_expect_back(connect(address), &bytes);
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    let (mut adopted, mut closed) = ([0; 3], 0);
    while closed < 20 {
        match server.next() {
            Heard::Adopted(worker) => adopted[usize::from(worker)] += 1,
            Heard::Closed(reason) => {
                assert_eq!(reason, "finished");
                closed += 1;
            }
            Heard::Accepted => {}
            other @ (Heard::Connected
            | Heard::Holding(_)
            | Heard::Received(_)
            | Heard::Deadline(_)
            | Heard::Tick
            | Heard::Drain
            | Heard::Told(..)) => panic!("{other:?}"),
        }
    }
    assert_eq!(adopted, [20, 40, 20]);
    assert!(server.stop().conns.is_empty(), "the first worker kept none of them");
}

/// A question is asked as soon as the last one is answered: perhaps before the connection is back.
#[test]
fn a_connection_that_is_lent_answers_at_once_and_loses_no_wake_up() {
    let server = Running::three(Probe::new(Rule::Visit(1)), None, None);
    let callers: Vec<_> = (0..8_u8)
        .map(|number| {
            let address = server.address;
            thread::spawn(move || {
                let mut stream = greeted(address);
                let (question, mut answer) = ([number; 100], [0; 100]);
                for _ in 0..300 {
                    stream.write_all(&question).unwrap();
                    stream.read_exact(&mut answer).unwrap();
                    assert_eq!(question, answer);
                }
                stream.shutdown(Shutdown::Write).unwrap();
                assert_eq!(stream.read(&mut answer).unwrap(), 0);
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    let (mut returned, mut closed) = (0, 0);
    while closed < 8 {
        match server.next() {
            Heard::Adopted(0) => returned += 1,
            Heard::Closed(reason) => {
                assert_eq!(reason, "finished");
                closed += 1;
            }
            Heard::Adopted(_) | Heard::Accepted => {}
            other @ (Heard::Connected
            | Heard::Holding(_)
            | Heard::Received(_)
            | Heard::Deadline(_)
            | Heard::Tick
            | Heard::Drain
            | Heard::Told(..)) => panic!("{other:?}"),
        }
    }
    assert!(returned > 0, "some came back before they were asked again");
}

#[test]
fn a_connection_that_is_lent_is_kept_when_more_is_to_come_than_was_there() {
    let server = Running::three(Probe::new(Rule::Visit(2)), None, None);
    let bytes = Arc::new(pattern(3_000_000));
    send_and_expect_back(greeted(server.address), &bytes);
}

#[test]
fn an_end_that_was_heard_of_before_the_move_is_not_forgotten() {
    let server = Running::three(Probe::new(round_trip(Rule::Swallow)), None, None);
    let mut stream = server.connect();
    stream.write_all(b"all").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.received(), b"all");
}

#[test]
fn messages_arrive_in_order_and_wake_who_sleeps() {
    let (mut probe, heard) = Probe::new(Rule::Echo);
    probe.at_drain = (0..5_000).map(|number| (2, number)).collect();
    let server = Running::three((probe, heard), None, None);
    server.handle.drain();
    assert_eq!(server.next(), Heard::Drain);
    for number in 0..5_000 {
        assert_eq!(server.next(), Heard::Told(2, number));
    }
}

#[test]
fn all_end_when_one_exits() {
    let (mut probe, heard) = Probe::new(Rule::Echo);
    probe.at_drain = vec![(1, EXIT)];
    let mut server = Running::three((probe, heard), None, None);
    server.handle.drain();
    server.join();
}

#[test]
fn a_panic_of_one_is_a_panic_of_all() {
    let (mut probe, heard) = Probe::new(Rule::Echo);
    probe.at_drain = vec![(1, PANIC)];
    let mut server = Running::three((probe, heard), None, None);
    server.handle.drain();
    let cause = server.outcome().err().expect("a panic");
    assert_eq!(cause.downcast_ref::<&str>(), Some(&"as it was told"));
}

#[test]
fn the_manager_hears_no_sign_of_life_while_one_worker_hangs() {
    let name = format!("mesh-workers-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let ear = UnixDatagram::bind(&path).unwrap();
    ear.set_read_timeout(Some(PATIENCE)).unwrap();
    let socket = path.to_str().unwrap();
    let manager = ServiceManager::find(|name| match name {
        "NOTIFY_SOCKET" => Some(socket),
        "WATCHDOG_USEC" => Some("100000"),
        _ => None,
    });
    let (mut probe, heard) = Probe::new(Rule::Echo);
    probe.at_drain = vec![(2, HANG)];
    let gate = Arc::clone(&probe.gate);
    let server = Running::three((probe, heard), None, Some(manager.unwrap()));
    let hear = || {
        let mut bytes = [0; 1024];
        let count = ear.recv(&mut bytes).expect("a message in time");
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    };
    let lives = |message: &String| message.contains("WATCHDOG=1");
    assert!(lives(&hear()), "the first sign comes with READY");
    assert!(lives(&hear()) && lives(&hear()), "others follow although nobody does anything");
    server.handle.drain();
    // One may be under way; then there is silence for longer than the manager waits.
    ear.set_read_timeout(Some(std::time::Duration::from_millis(400))).unwrap();
    let mut bytes = [0; 1024];
    let mut last = 0;
    while ear.recv(&mut bytes).is_ok() {
        last += 1;
        assert!(last <= 3, "STOPPING, and one sign or two that were due");
    }
    gate.open();
    ear.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(lives(&hear()), "it lives again");
    drop(server);
    let _ = std::fs::remove_file(path);
}
