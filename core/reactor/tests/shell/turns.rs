//! Time, and the ways to end the loop.

use std::time::{Duration, Instant};

use mesh_protocol::Duplex;
use mesh_reactor::{ClientTls, Signals};

use crate::probe::{Heard, Probe, Rule, Running, target};

#[test]
fn deadlines_come_in_order_and_not_early() {
    let (mut probe, heard) = Probe::new(Rule::Keep);
    let start = Instant::now();
    let times_ms = [60, 20, 40, 20, 0];
    for time_ms in times_ms {
        // Connections that are being made for ever: their deadlines are all that happens.
        let conn = probe.conns.insert(Duplex::new(1), Probe::state(Rule::Keep));
        assert_eq!(conn.index(), probe.deadlines.len());
        let due = start + Duration::from_millis(time_ms);
        probe.deadlines.push(Some(due));
    }
    probe.tick_at = Some(start + Duration::from_millis(50));
    let running = Running::start((probe, heard), ClientTls::web_roots(), Signals::Ignore);
    assert_eq!(running.next(), Heard::Deadline(4));
    for expected in [1, 3] {
        assert_eq!(running.next(), Heard::Deadline(expected));
    }
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert_eq!(running.next(), Heard::Deadline(2));
    // A thread that wakes late finds both due in one turn, and then connections come first.
    let last = [running.next(), running.next()];
    assert!(last.contains(&Heard::Tick) && last.contains(&Heard::Deadline(0)), "{last:?}");
    assert!(start.elapsed() >= Duration::from_millis(60));
}

#[test]
fn a_stop_from_another_thread_returns_the_application() {
    let server = Running::serve(Rule::Echo);
    let _stream = server.connect();
    assert_eq!(server.next(), Heard::Accepted);
    let probe = server.stop();
    assert_eq!(probe.conns.len(), 1);
}

#[test]
fn a_stop_before_the_start_is_not_lost() {
    let (probe, heard) = Probe::new(Rule::Echo);
    let running = Running::start((probe, heard), ClientTls::web_roots(), Signals::Ignore);
    running.handle.stop();
    running.stop();
}

#[test]
fn a_drain_from_another_thread_is_heard_each_time() {
    let (mut probe, heard) = Probe::new(Rule::Echo);
    probe.drains_to_exit = 2;
    let mut running = Running::start((probe, heard), ClientTls::web_roots(), Signals::Ignore);
    running.handle.drain();
    assert_eq!(running.next(), Heard::Drain);
    running.handle.drain();
    assert_eq!(running.next(), Heard::Drain);
    running.join();
    running.handle.drain();
}

#[test]
fn an_attempt_that_nobody_wants_any_more_ends_quietly() {
    let client = Running::dial(target("192.0.2.1", 80), Rule::Keep);
    client.stop();
}

#[test]
fn a_connection_that_was_made_while_the_process_was_stopped_is_in_time() {
    let server = Running::serve(Rule::Keep);
    let (mut probe, heard) = Probe::new(Rule::Keep);
    probe.dials.push((target("127.0.0.1", server.address.port()), Rule::Keep));
    probe.tick_at = Some(Instant::now());
    probe.stops = true;
    let client = Running::start((probe, heard), ClientTls::web_roots(), Signals::Ignore);
    assert_eq!(client.next(), Heard::Tick);
    assert_eq!(client.next(), Heard::Connected);
}
