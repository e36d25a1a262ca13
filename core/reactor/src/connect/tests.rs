use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use mesh_protocol::{Awaited, ConnId, Conns, Duplex, Proxy, Target, Traffic};
use mio::{Events, Poll, Token};
use socket2::{Domain, Socket, Type};

use super::attempt::{REMEMBERED_TIMEOUT, by_turns};
use super::{ADDRESS_TIMEOUT, Attempt, Beyond, Connector, Dialled, Outcome, Trust};
use crate::resolve::tests::target;
use crate::resolve::{LATE, Resolution};
use crate::{ClientTls, Handle};

const TOKEN: Token = Token(7);
const PATIENCE: Duration = Duration::from_secs(30);

/// A connector with one attempt that has yet to dial.
struct Bench {
    poll: Poll,
    connector: Connector,
    conn: ConnId,
    start: Instant,
}

impl Bench {
    fn new() -> Self {
        Self::with(Trust::Full)
    }

    fn with(trust: Trust) -> Self {
        let poll = Poll::new().unwrap();
        let (mailbox, _) = Handle::new(poll.registry(), Token(0)).unwrap();
        let mut connector = Connector::new(ClientTls::web_roots(), mailbox, 0);
        let conn = Conns::new().insert(Duplex::new(1), ());
        let start = Instant::now();
        connector.attempts.insert(conn, Attempt::new(target(), None, TOKEN, trust, start));
        Self { poll, connector, conn, start }
    }

    fn dial(&mut self, addresses: &[SocketAddr]) -> Outcome {
        let registry = self.poll.registry();
        self.connector.dial(self.conn, addresses.to_vec(), registry, self.start)
    }

    /// One of which the name led to `before`, a while ago: the name servers are asked again.
    fn knowing(before: SocketAddr) -> Self {
        let mut bench = Self::new();
        bench.connector.resolver.ask(&target(), bench.conn, bench.start).unwrap();
        bench.connector.forget(bench.conn);
        bench.answer(Ok(vec![before]));
        bench.start += Duration::from_secs(1);
        let registry = bench.poll.registry();
        let outcome = bench.connector.start(bench.conn, target(), TOKEN, registry, bench.start);
        assert!(matches!(outcome, Outcome::Pending));
        assert_eq!(bench.connector.awaited(bench.conn), Some(Awaited::Address));
        bench
    }

    /// Lets the first address have its time.
    fn wait(&mut self, time: Duration) -> Outcome {
        let due = self.start + time;
        assert_eq!(self.connector.poll_expired(due), Some(self.conn));
        self.connector.handle_timeout(self.conn, self.poll.registry(), due)
    }

    /// A name server answers; what becomes of the attempt if it waited for that.
    fn answer(&mut self, addresses: std::io::Result<Vec<SocketAddr>>) -> Option<Outcome> {
        let resolution = Resolution::new(&target(), addresses);
        let registry = self.poll.registry();
        let is_wanted = |_| true;
        let outcomes =
            self.connector.handle_resolution(resolution, is_wanted, registry, self.start);
        outcomes.into_iter().map(|(_, outcome)| outcome).next()
    }

    /// Follows the kernel's events until the attempt is over.
    fn conclude(&mut self) -> Outcome {
        loop {
            match self.turn() {
                Outcome::Pending => {}
                outcome @ (Outcome::Connected(_) | Outcome::Failed(_)) => return outcome,
            }
        }
    }

    /// Follows them until no address is being tried.
    fn exhaust(&mut self) {
        while self.connector.attempts[&self.conn].stream.is_some() {
            assert!(matches!(self.turn(), Outcome::Pending));
        }
    }

    fn turn(&mut self) -> Outcome {
        let mut events = Events::with_capacity(8);
        self.poll.poll(&mut events, Some(PATIENCE)).unwrap();
        assert!(!events.is_empty(), "nothing happens");
        self.connector.handle_event(self.conn, self.poll.registry(), self.start)
    }
}

/// An address that takes no connections and refuses none: its queue is full. The sockets keep it
/// so.
fn silent() -> (SocketAddr, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut sockets = vec![listener];
    for _ in 0..8 {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address);
        sockets.push(socket);
    }
    (address.as_socket().unwrap(), sockets)
}

/// What the system says where no name server answers.
fn no_answer() -> std::io::Error {
    std::io::Error::other("failed to lookup address information: Try again")
}

fn closed() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap()
}

/// A group of hosts, to which no connection leads: the kernel says at once that there is no way.
fn unroutable() -> SocketAddr {
    SocketAddr::from(([224, 0, 0, 1], 80))
}

#[test]
fn where_one_family_has_no_way_what_the_other_one_said_is_told() {
    for addresses in [[closed(), unroutable()], [unroutable(), closed()]] {
        let mut bench = Bench::new();
        assert!(matches!(bench.dial(&addresses), Outcome::Pending));
        let Outcome::Failed(error) = bench.conclude() else {
            panic!("nobody listens");
        };
        assert_eq!(error.to_string(), "mesh.invalid:80: Connection refused");
    }
    let Outcome::Failed(error) = Bench::new().dial(&[unroutable(), unroutable()]) else {
        panic!("there is no way");
    };
    assert_eq!(error.to_string(), "mesh.invalid:80: Network is unreachable");
}

#[test]
fn an_address_to_which_there_is_no_way_takes_no_time_from_one_that_is_being_tried() {
    let (silent, _sockets) = silent();
    let mut bench = Bench::new();
    assert!(matches!(bench.dial(&[silent, unroutable()]), Outcome::Pending));
    for round in 1..3 {
        assert!(matches!(bench.wait(round * ADDRESS_TIMEOUT), Outcome::Pending));
        let attempt = &bench.connector.attempts[&bench.conn];
        assert!(attempt.stream.is_some());
        assert_eq!(attempt.tried, [unroutable(), silent], "the present one comes last");
    }
}

#[test]
fn an_address_that_is_silent_is_left_for_the_next_one() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (silent, _sockets) = silent();
    let mut bench = Bench::new();
    let outcome = bench.dial(&[silent, listener.local_addr().unwrap()]);
    assert!(matches!(outcome, Outcome::Pending));
    let due = bench.start + ADDRESS_TIMEOUT;
    assert_eq!(bench.connector.deadline(), Some(due));
    let early = due - Duration::from_millis(1);
    assert_eq!(bench.connector.poll_expired(early), None);
    assert_eq!(bench.connector.poll_expired(due), Some(bench.conn));
    let registry = bench.poll.registry();
    let outcome = bench.connector.handle_timeout(bench.conn, registry, due);
    assert!(matches!(outcome, Outcome::Pending));
    assert!(matches!(bench.conclude(), Outcome::Connected(_)));
    assert_eq!(bench.connector.deadline(), None);
}

#[test]
fn where_one_family_is_silent_the_other_one_is_next() {
    let (silent, _sockets) = silent();
    let Ok(listener) = TcpListener::bind(("::1", 0)) else {
        eprintln!("skipped: there is no IPv6 here");
        return;
    };
    let mut bench = Bench::new();
    bench.dial(&[silent, silent, silent, listener.local_addr().unwrap()]);
    assert!(matches!(bench.wait(ADDRESS_TIMEOUT), Outcome::Pending));
    assert!(matches!(bench.conclude(), Outcome::Connected(_)));
}

#[test]
fn families_take_turns_and_keep_their_order() {
    let address = |text: &&str| SocketAddr::new(text.parse().unwrap(), 80);
    let order = |addresses: &[&str]| -> Vec<String> {
        let addresses = by_turns(addresses.iter().map(address).collect());
        addresses.iter().map(|address| address.ip().to_string()).collect()
    };
    assert_eq!(order(&["::1", "::2", "::3", "10.0.0.1"]), ["::1", "10.0.0.1", "::2", "::3"]);
    let two = ["10.0.0.2", "10.0.0.1", "::2", "::1"];
    assert_eq!(order(&two), ["10.0.0.2", "::2", "10.0.0.1", "::1"]);
    assert_eq!(order(&["10.0.0.1"]), ["10.0.0.1"]);
    assert!(order(&[]).is_empty());
}

/// So many peers, and a bench that dials them.
struct Peers {
    bench: Bench,
    listeners: Vec<TcpListener>,
}

impl Peers {
    fn new(count: usize) -> Self {
        let listen = |_| {
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        };
        Self { bench: Bench::new(), listeners: (0..count).map(listen).collect() }
    }

    /// Has the name lead to these peers, in that order; which one is reached.
    fn dial(&mut self, traffic: Traffic, order: &[usize]) -> usize {
        let address = |peer: &usize| self.listeners[*peer].local_addr().unwrap();
        let addresses: Vec<_> = order.iter().map(address).collect();
        let target = Target { traffic, ..target() };
        let attempt = Attempt::new(target, None, TOKEN, Trust::Full, self.bench.start);
        self.bench.connector.attempts.insert(self.bench.conn, attempt);
        self.bench.dial(&addresses);
        let Outcome::Connected(_) = self.bench.conclude() else { panic!("there is somebody") };
        self.listeners.iter().position(|listener| listener.accept().is_ok()).unwrap()
    }
}

/// One that takes the connection and turns the tunnel away is no reason to try the next one at once.
#[test]
fn each_tunnel_begins_at_another_address_and_what_goes_to_a_service_at_the_first() {
    let mut peers = Peers::new(3);
    peers.bench.connector.first = 4;
    let tunnels = [(); 6].map(|()| peers.dial(Traffic::Multiplexed, &[0, 1, 2]));
    assert_eq!(tunnels, [1, 2, 0, 1, 2, 0]);
    assert_eq!([(); 3].map(|()| peers.dial(Traffic::Single, &[0, 1, 2])), [0; 3]);
}

#[test]
fn each_tunnel_begins_at_another_address_whatever_order_the_name_servers_choose() {
    let mut peers = Peers::new(2);
    let orders = [[0, 1], [1, 0], [0, 1], [1, 0]];
    let tunnels = orders.map(|order| peers.dial(Traffic::Multiplexed, &order));
    assert_eq!(tunnels, [0, 1, 0, 1]);
}

#[test]
fn a_tunnel_begins_where_none_was_for_longest_and_families_take_turns_from_there() {
    let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 80);
    let mut dialled = Dialled::default();
    let order = |dialled: &Dialled, first, addresses: &[&str]| -> Vec<String> {
        let addresses = addresses.iter().map(|text| address(text)).collect();
        let addresses = dialled.plan(addresses, Traffic::Multiplexed, first);
        addresses.iter().map(|address| address.ip().to_string()).collect()
    };
    let both = ["::1", "10.0.0.1"];
    assert_eq!(order(&dialled, 0, &both), both);
    assert_eq!(order(&dialled, 1, &both), ["10.0.0.1", "::1"]);
    dialled.note(address("::1"));
    assert_eq!(order(&dialled, 0, &both), ["10.0.0.1", "::1"], "the other one's turn");
    dialled.note(address("10.0.0.1"));
    assert_eq!(order(&dialled, 1, &both), both);
    let more = ["::1", "::2", "10.0.0.1", "10.0.0.2"];
    assert_eq!(order(&dialled, 0, &more), ["::2", "10.0.0.2", "::1", "10.0.0.1"]);
    assert_eq!(order(&dialled, usize::MAX, &more).len(), 4);
    assert!(order(&dialled, 1, &[]).is_empty());
}

#[test]
fn a_name_that_is_found_late_is_dialled_for_nobody() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut bench = Bench::with(Trust::Full);
    // It has to be waited for, as whoever asks a name server does.
    bench.connector.resolver.ask(&target(), bench.conn, bench.start).unwrap();
    let answer = Resolution::new(&target(), Ok(vec![listener.local_addr().unwrap()]));
    let registry = bench.poll.registry();
    let outcomes = bench.connector.handle_resolution(answer, |_| false, registry, bench.start);
    assert!(outcomes.is_empty() && bench.connector.attempts.is_empty());
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn the_last_address_has_as_long_as_the_application_waits() {
    let (silent, _sockets) = silent();
    let mut bench = Bench::new();
    bench.dial(&[silent]);
    for round in 1..5 {
        let due = bench.start + round * ADDRESS_TIMEOUT;
        assert_eq!(bench.connector.poll_expired(due), Some(bench.conn));
        let registry = bench.poll.registry();
        let outcome = bench.connector.handle_timeout(bench.conn, registry, due);
        assert!(matches!(outcome, Outcome::Pending));
    }
    bench.connector.forget(bench.conn);
    assert_eq!(bench.connector.deadline(), None);
}

#[test]
fn whoever_asks_is_told_what_an_attempt_waits_for() {
    let proxy = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (silent, _sockets) = silent();
    let mut bench = Bench::new();
    let via = Proxy::new("proxy.invalid".to_owned(), 80, None);
    let (first, beyond) = Beyond::split(Target { via: Some(Box::new(via)), ..target() });
    let attempt = Attempt::new(first, beyond, TOKEN, Trust::Full, bench.start);
    bench.connector.attempts.insert(bench.conn, attempt);
    assert_eq!(bench.connector.awaited(bench.conn), Some(Awaited::Address));
    bench.dial(&[silent, proxy.local_addr().unwrap()]);
    assert_eq!(bench.connector.awaited(bench.conn), Some(Awaited::Peer));
    assert!(matches!(bench.wait(ADDRESS_TIMEOUT), Outcome::Pending));
    assert!(matches!(bench.turn(), Outcome::Pending));
    assert_eq!(bench.connector.awaited(bench.conn), Some(Awaited::Proxy));
    bench.connector.forget(bench.conn);
    assert_eq!(bench.connector.awaited(bench.conn), None);
}

#[test]
fn when_all_addresses_refuse_the_error_names_the_target() {
    let mut bench = Bench::new();
    let outcome = bench.dial(&[closed(), closed(), closed()]);
    assert!(matches!(outcome, Outcome::Pending));
    let Outcome::Failed(error) = bench.conclude() else {
        panic!("nobody listens");
    };
    let text = error.to_string();
    assert_eq!(text, "mesh.invalid:80: Connection refused");
}

#[test]
fn a_remembered_address_that_is_silent_has_its_name_looked_up_anew() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (silent, _sockets) = silent();
    let mut bench = Bench::with(Trust::Remembered);
    bench.dial(&[silent]);
    assert!(matches!(bench.wait(REMEMBERED_TIMEOUT), Outcome::Pending));
    let outcome = bench.answer(Ok(vec![listener.local_addr().unwrap()]));
    assert!(matches!(outcome, Some(Outcome::Pending)));
    assert!(matches!(bench.conclude(), Outcome::Connected(_)));
}

#[test]
fn a_remembered_address_that_refuses_has_its_name_looked_up_anew() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut bench = Bench::with(Trust::Remembered);
    bench.dial(&[closed()]);
    bench.exhaust();
    let outcome = bench.answer(Ok(vec![listener.local_addr().unwrap()]));
    assert!(matches!(outcome, Some(Outcome::Pending)));
    assert!(matches!(bench.conclude(), Outcome::Connected(_)));
}

#[test]
fn an_address_that_is_confirmed_goes_on_and_is_not_tried_twice() {
    let (silent, _sockets) = silent();
    for answer in [Ok(vec![silent]), Err(std::io::ErrorKind::NotFound.into())] {
        let mut bench = Bench::with(Trust::Remembered);
        bench.dial(&[silent]);
        bench.wait(REMEMBERED_TIMEOUT);
        assert!(matches!(bench.answer(answer), Some(Outcome::Pending)));
        let attempt = &bench.connector.attempts[&bench.conn];
        assert!(attempt.stream.is_some() && attempt.addresses.is_empty());
        assert!(bench.answer(Ok(vec![silent])).is_none(), "it asked once");
    }
    let refusing = closed();
    let mut bench = Bench::with(Trust::Remembered);
    bench.dial(&[refusing]);
    bench.exhaust();
    let Some(Outcome::Failed(error)) = bench.answer(Ok(vec![refusing])) else {
        panic!("there is no other address");
    };
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn where_the_name_servers_fail_the_addresses_from_before_are_dialled() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut bench = Bench::knowing(listener.local_addr().unwrap());
    assert!(matches!(bench.answer(Err(no_answer())), Some(Outcome::Pending)));
    assert!(matches!(bench.conclude(), Outcome::Connected(_)));
}

#[test]
fn where_nobody_is_there_any_more_either_the_name_servers_are_asked_once_more() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let moved = listener.local_addr().unwrap();
    for answer in [Ok(vec![moved]), Err(no_answer())] {
        let is_found = answer.is_ok();
        let mut bench = Bench::knowing(closed());
        bench.answer(Err(no_answer()));
        bench.exhaust();
        match bench.answer(answer) {
            Some(Outcome::Pending) if is_found => {
                assert!(matches!(bench.conclude(), Outcome::Connected(_)));
            }
            Some(Outcome::Failed(error)) if !is_found => {
                assert_eq!(error.to_string(), "mesh.invalid:80: Connection refused");
            }
            _ => panic!("found: {is_found}"),
        }
    }
}

#[test]
fn where_the_name_servers_are_late_the_addresses_from_before_are_dialled() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut bench = Bench::knowing(listener.local_addr().unwrap());
    assert_eq!(bench.connector.deadline(), Some(bench.start + LATE));
    assert!(matches!(bench.wait(LATE), Outcome::Pending));
    assert_eq!(bench.connector.awaited(bench.conn), Some(Awaited::Peer));
    assert!(matches!(bench.conclude(), Outcome::Connected(_)));
}

#[test]
fn an_answer_that_comes_late_leads_to_where_the_name_leads_now() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (silent, _sockets) = silent();
    for (before, refuses) in [(silent, false), (closed(), true)] {
        let mut bench = Bench::knowing(before);
        bench.wait(LATE);
        if refuses {
            bench.exhaust();
        }
        let outcome = bench.answer(Ok(vec![listener.local_addr().unwrap()]));
        assert!(matches!(outcome, Some(Outcome::Pending)));
        assert!(matches!(bench.conclude(), Outcome::Connected(_)));
    }
}

#[test]
fn where_no_answer_comes_either_an_address_that_refuses_is_soon_told() {
    for is_late_already in [false, true] {
        let mut bench = Bench::knowing(closed());
        bench.wait(LATE);
        bench.start += LATE;
        if is_late_already {
            bench.connector.forget(bench.conn);
            let registry = bench.poll.registry();
            bench.connector.start(bench.conn, target(), TOKEN, registry, bench.start);
        }
        bench.exhaust();
        assert_eq!(bench.connector.deadline(), Some(bench.start + LATE));
        let Outcome::Failed(error) = bench.wait(LATE) else { panic!("it refused") };
        assert_eq!(error.to_string(), "mesh.invalid:80: Connection refused");
        assert!(!matches!(bench.answer(Ok(vec![closed()])), Some(Outcome::Failed(_))), "told once");
    }
}

#[test]
fn a_first_answer_is_waited_for() {
    let mut bench = Bench::new();
    bench.connector.forget(bench.conn);
    let registry = bench.poll.registry();
    bench.connector.start(bench.conn, target(), TOKEN, registry, bench.start);
    assert!(matches!(bench.wait(LATE), Outcome::Pending));
    assert_eq!(bench.connector.awaited(bench.conn), Some(Awaited::Address));
    assert_eq!(bench.connector.deadline(), None);
}

/// One that is to reach something beyond a proxy of the usual name.
fn proxied(trust: Trust) -> Bench {
    let Target { host, port, .. } = target();
    let via = Some(Box::new(Proxy::new(host, port, None)));
    let beyond = Target { host: "beyond.invalid".to_owned(), via, ..target() };
    let mut bench = Bench::new();
    let (first, beyond) = Beyond::split(beyond);
    let attempt = Attempt::new(first, beyond, TOKEN, trust, bench.start);
    bench.connector.attempts.insert(bench.conn, attempt);
    bench
}

/// Two places, and whoever of these has come.
fn two_places() -> ([SocketAddr; 2], impl Fn() -> Vec<TcpStream>) {
    let listeners = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    let addresses = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    let arrivals = move || {
        let accept = |listener: &TcpListener| {
            listener.set_nonblocking(true).unwrap();
            listener.accept().ok()
        };
        listeners.iter().filter_map(accept).map(|(stream, _)| stream).collect()
    };
    (addresses, arrivals)
}

#[test]
fn a_proxy_that_is_being_talked_to_is_left_for_no_other_address() {
    for (trust, patience) in
        [(Trust::Full, ADDRESS_TIMEOUT), (Trust::Remembered, REMEMBERED_TIMEOUT)]
    {
        let (addresses, arrivals) = two_places();
        let mut bench = proxied(trust);
        bench.dial(&addresses);
        assert!(matches!(bench.turn(), Outcome::Pending));
        assert_eq!(bench.connector.awaited(bench.conn), Some(Awaited::Proxy));
        let mut proxy = arrivals().pop().expect("one of them is dialled");
        assert!(matches!(bench.wait(patience), Outcome::Pending));
        let attempt = &bench.connector.attempts[&bench.conn];
        assert_eq!(attempt.tried.len(), 1, "it is stayed with");
        assert!(matches!(attempt.trust, Trust::Full), "nobody has to be asked for its name");
        proxy.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        assert!(matches!(bench.conclude(), Outcome::Connected(_)));
        assert!(arrivals().is_empty(), "the other one sees nobody");
    }
}

#[test]
fn an_answer_about_a_proxy_that_is_being_talked_to_comes_too_late() {
    let ([before, now], arrivals) = two_places();
    let mut bench = proxied(Trust::Full);
    bench.connector.resolver.ask(&target(), bench.conn, bench.start).unwrap();
    bench.dial(&[before]);
    assert!(matches!(bench.turn(), Outcome::Pending));
    let mut proxy = arrivals().pop().expect("it is dialled");
    assert!(bench.answer(Ok(vec![now])).is_none());
    proxy.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    assert!(matches!(bench.conclude(), Outcome::Connected(_)));
    assert!(arrivals().is_empty(), "the other one sees nobody");
}

#[test]
fn an_address_that_is_confirmed_goes_on_beside_new_ones() {
    let (silent, _sockets) = silent();
    let ([other, _], arrivals) = two_places();
    for answer in [vec![silent, other], vec![other, silent]] {
        let mut bench = Bench::with(Trust::Remembered);
        bench.dial(&[silent]);
        bench.wait(REMEMBERED_TIMEOUT);
        assert!(matches!(bench.answer(Ok(answer)), Some(Outcome::Pending)));
        let attempt = &bench.connector.attempts[&bench.conn];
        assert!(attempt.stream.is_some());
        assert_eq!((&attempt.tried[..], &attempt.addresses), (&[silent][..], &[other].into()));
        assert!(arrivals().is_empty(), "the new one has its turn later");
    }
}
