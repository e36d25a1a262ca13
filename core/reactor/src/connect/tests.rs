use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use mesh_protocol::{ConnId, Conns, Duplex, Security, Target, Traffic};
use mio::{Events, Poll, Token};
use socket2::{Domain, Socket, Type};

use super::{ADDRESS_TIMEOUT, Attempt, Connector, Outcome};
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
        let poll = Poll::new().unwrap();
        let (mailbox, _) = Handle::new(poll.registry(), Token(0)).unwrap();
        let mut connector = Connector::new(ClientTls::web_roots(), mailbox);
        let conn = Conns::new().insert(Duplex::new(1), ());
        let start = Instant::now();
        let attempt = Attempt {
            target: Target {
                host: "mesh.test".to_owned(),
                port: 80,
                security: Security::Plain,
                traffic: Traffic::Single,
            },
            token: TOKEN,
            stream: None,
            addresses: [].into(),
            due: start,
        };
        connector.attempts.insert(conn, attempt);
        Self { poll, connector, conn, start }
    }

    fn dial(&mut self, addresses: &[SocketAddr]) -> Outcome {
        let registry = self.poll.registry();
        self.connector.dial(self.conn, addresses.to_vec(), registry, self.start)
    }

    /// Follows the kernel's events until the attempt is over.
    fn conclude(&mut self) -> Outcome {
        let mut events = Events::with_capacity(8);
        loop {
            self.poll.poll(&mut events, Some(PATIENCE)).unwrap();
            assert!(!events.is_empty(), "nothing happens");
            let registry = self.poll.registry();
            match self.connector.handle_event(self.conn, registry, self.start) {
                Outcome::Pending => {}
                outcome @ (Outcome::Connected(_) | Outcome::Failed(_)) => return outcome,
            }
        }
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

fn closed() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap()
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
fn when_all_addresses_refuse_the_error_names_the_target() {
    let mut bench = Bench::new();
    let outcome = bench.dial(&[closed(), closed(), closed()]);
    assert!(matches!(outcome, Outcome::Pending));
    let Outcome::Failed(error) = bench.conclude() else {
        panic!("nobody listens");
    };
    let text = error.to_string();
    assert!(text.starts_with("mesh.test:80: "), "{text}");
    assert!(text.contains("refused"), "{text}");
}
