use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mesh_protocol::{ConnId, Conns, Duplex, Security, Target, Traffic};
use mio::{Poll, Token};

use super::{Found, KNOWN_FOR, LATE, NO_ANSWER, Name, OUTDATED_FOR, SILENT};
use super::{Resolution, Resolved, Resolver, known_without_asking};
use crate::Handle;

/// A name that is looked up again and again. What its name servers say is up to the test.
struct Bench {
    resolver: Resolver,
    conn: ConnId,
    now: Instant,
    /// Of the mailbox.
    _poll: Poll,
}

impl Bench {
    /// The name led to `addresses` and has to be looked up again.
    fn knowing(addresses: &[SocketAddr]) -> Self {
        let poll = Poll::new().unwrap();
        let (mailbox, _) = Handle::new(poll.registry(), Token(0)).unwrap();
        let conn = Conns::new().insert(Duplex::new(1), ());
        let (resolver, now) = (Resolver::new(mailbox), Instant::now());
        let mut bench = Self { resolver, conn, now, _poll: poll };
        assert_eq!(bench.addresses(), Found::Asked);
        assert_eq!(bench.answer(Ok(addresses.to_vec())).addresses.unwrap(), addresses);
        bench.pass(KNOWN_FOR);
        bench
    }

    fn addresses(&mut self) -> Found {
        self.resolver.addresses(&target(), self.conn, self.now).unwrap()
    }

    fn answer(&mut self, answer: io::Result<Vec<SocketAddr>>) -> Resolved {
        self.resolver.handle_resolution(Resolution::new(&target(), answer), self.now)
    }

    /// Whether the log said that there is no answer.
    fn is_told(&self) -> bool {
        self.resolver.names.values().any(|name| match name {
            Name::Asked { before, .. } => before.as_ref().is_some_and(|before| before.is_outdated),
            Name::Known { answer, .. } => answer.is_outdated,
        })
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }
}

/// One whose name has to be looked up.
pub(crate) fn target() -> Target {
    Target {
        host: "mesh.invalid".to_owned(),
        port: 80,
        security: Security::Plain,
        traffic: Traffic::Single,
        via: None,
    }
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 80))
}

/// What the standard library makes of an error of the resolver.
fn failure(words: &str) -> io::Error {
    io::Error::other(format!("failed to lookup address information: {words}"))
}

fn check(host: &str, expected: &[&str]) {
    let expected: Vec<SocketAddr> =
        expected.iter().map(|address| address.parse().unwrap()).collect();
    let known = known_without_asking(host, 80).unwrap_or_default();
    assert_eq!(known, expected, "{host}");
}

#[test]
fn addresses_and_localhost_need_no_name_server() {
    check("192.0.2.7", &["192.0.2.7:80"]);
    check("2001:db8::7", &["[2001:db8::7]:80"]);
    check("localhost", &["127.0.0.1:80", "[::1]:80"]);
    check("LocalHost", &["127.0.0.1:80", "[::1]:80"]);
}

#[test]
fn names_need_one() {
    check("localhost.example.com", &[]);
    check("mesh.test", &[]);
    check("", &[]);
}

#[test]
fn name_servers_without_an_answer_leave_a_name_as_it_was() {
    for words in NO_ANSWER {
        let mut bench = Bench::knowing(&[address(1)]);
        for _ in 0..3 {
            assert_eq!(bench.addresses(), Found::Asked, "they are asked again");
            let resolved = bench.answer(Err(failure(words)));
            assert_eq!(resolved.waiting, [bench.conn]);
            assert_eq!(resolved.addresses.unwrap(), [address(1)], "{words}");
            assert!(resolved.is_outdated && bench.is_told());
            assert_eq!(bench.addresses(), Found::Remembered(vec![address(1)]));
            bench.pass(KNOWN_FOR);
        }
        assert_eq!(bench.addresses(), Found::Asked);
        let resolved = bench.answer(Ok(vec![address(2)]));
        assert_eq!(resolved.addresses.unwrap(), [address(2)]);
        assert!(!resolved.is_outdated);
    }
}

#[test]
fn a_name_that_is_none_any_more_is_forgotten() {
    for words in ["Name does not resolve", "Name or service not known"] {
        let mut bench = Bench::knowing(&[address(1)]);
        assert_eq!(bench.addresses(), Found::Asked);
        bench.answer(Err(failure(words))).addresses.unwrap_err();
        assert_eq!(bench.addresses(), Found::Asked);
        bench.answer(Err(failure(NO_ANSWER[0]))).addresses.unwrap_err();
    }
}

#[test]
fn an_answer_that_is_late_is_not_waited_for_where_there_is_an_older_one() {
    let mut bench = Bench::knowing(&[address(1)]);
    assert_eq!(bench.addresses(), Found::Asked);
    bench.pass(LATE - Duration::from_millis(1));
    assert_eq!(bench.addresses(), Found::Asked);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.addresses(), Found::Remembered(vec![address(1)]));
    let resolved = bench.answer(Ok(vec![address(2)]));
    assert_eq!(resolved.waiting, [bench.conn; 2]);
    assert_eq!(bench.addresses(), Found::Remembered(vec![address(2)]));
}

/// The log tells of an outage, not of each question that takes a while.
#[test]
fn name_servers_that_are_merely_slow_are_not_told_of() {
    let mut bench = Bench::knowing(&[address(1)]);
    // The last one is what a question takes of which a firewall drops the half about IPv6.
    for late in [LATE, Duration::from_millis(5_010), Duration::from_millis(10_010)] {
        assert_eq!(bench.addresses(), Found::Asked);
        bench.pass(late);
        assert_eq!(bench.addresses(), Found::Remembered(vec![address(1)]));
        assert_eq!(bench.resolver.before(&target(), bench.now), Some(vec![address(1)]));
        assert!(!bench.is_told());
        bench.answer(Ok(vec![address(1)]));
        bench.pass(KNOWN_FOR);
    }
    assert_eq!(bench.addresses(), Found::Asked);
    bench.pass(SILENT);
    assert_eq!(bench.addresses(), Found::Remembered(vec![address(1)]));
    assert!(bench.is_told(), "nobody knows whether there will be an answer");
}

#[test]
fn nobody_believes_an_old_answer_for_ever() {
    let mut bench = Bench::knowing(&[address(1)]);
    bench.pass(OUTDATED_FOR);
    assert_eq!(bench.addresses(), Found::Asked);
    bench.pass(LATE);
    assert_eq!(bench.addresses(), Found::Asked);
    assert_eq!(bench.resolver.before(&target(), bench.now), None);
    bench.answer(Err(failure(NO_ANSWER[0]))).addresses.unwrap_err();
}
