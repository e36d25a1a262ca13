//! What both programs tell the service manager that started them, which the test plays.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::binaries;
use crate::peers::caller::HOST;
use crate::peers::place::own_ip;
use crate::peers::process::{Place, Process, Server, forget_surroundings};
use crate::peers::service::Service;
use crate::peers::wire::PATIENCE;

/// A service manager that only listens. Its socket is gone at the end of the test.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

/// How soon a process that falls silent would be killed.
const LIMIT: Duration = Duration::from_millis(400);

impl Manager {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mesh-e2e-{}-{test}", std::process::id()));
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, path }
    }

    fn variables(&self) -> [(&str, String); 2] {
        let path = self.path.to_str().unwrap().to_owned();
        [("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", LIMIT.as_micros().to_string())]
    }

    /// Starts a program that is managed.
    fn start(&self, command: &mut Command) -> Process {
        Process::spawn(command.envs(self.variables()))
    }

    /// The lines of the next message.
    fn hear(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let count = self.socket.recv(&mut bytes).expect("a message in time");
        let text = std::str::from_utf8(&bytes[..count]).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits for a message with this line.
    fn wait_for(&self, line: &str) -> Vec<String> {
        let due = Instant::now() + PATIENCE;
        loop {
            let heard = self.hear();
            if heard.iter().any(|heard| heard == line) {
                return heard;
            }
            assert!(Instant::now() < due, "{line:?} was never said");
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[test]
fn an_ingress_is_ready_once_all_its_ports_listen() {
    let manager = Manager::new("ready");
    let ip = own_ip();
    // Free a moment ago, and nobody else uses this address.
    let free = [(); 3].map(|()| TcpListener::bind((ip, 0)).unwrap());
    let ports = free.map(|listener: TcpListener| listener.local_addr().unwrap().port());
    let [traffic, tunnels, health] = ports.map(|port| port.to_string());
    let bind = ip.to_string();
    let mut command = Command::new(binaries::MESH);
    command.args(["server", "--bind", &bind, "--alb-port", &traffic]);
    command.args(["--websocket-port", &tunnels, "--health-port", &health]);
    let mut ingress = manager.start(&mut command);
    let first = manager.hear();
    for port in ports {
        TcpStream::connect((ip, port)).unwrap();
    }
    assert_eq!(first, ["READY=1", "STATUS=serving, tunnels: 0", "WATCHDOG=1"]);
    ingress.signal("TERM");
    let last = manager.wait_for("STOPPING=1");
    assert!(last.iter().any(|line| line.starts_with("STATUS=draining")), "{last:?}");
    assert_eq!(ingress.wait_exit().code(), Some(0), "{}", ingress.log());
}

#[test]
fn an_agent_is_ready_at_once_and_says_when_it_is_registered() {
    let manager = Manager::new("registered");
    let (server, service) = (Server::start(&[]), Service::start("a"));
    let mut command = Command::new(binaries::mesh_agent());
    command.args(["--ingress-endpoint", &format!("ws://{}", server.tunnels), "--host", HOST]);
    command.args(["--local-endpoint", &service.url(), "--reconnect-min", "0.05"]);
    let mut agent = manager.start(&mut command);
    let first = manager.hear();
    assert_eq!(first[0], "READY=1", "{first:?}");
    assert!(first[1].starts_with("STATUS=not registered, tunnels: 0 of 1"), "{first:?}");
    manager.wait_for("STATUS=registered, tunnels: 1 of 1, service: healthy");
    let place = server.place();
    drop(server);
    manager.wait_for("STATUS=not registered, tunnels: 0 of 1, service: healthy");
    let _server = Server::start_at(place, &[]);
    manager.wait_for("STATUS=registered, tunnels: 1 of 1, service: healthy");
    agent.signal("TERM");
    manager.wait_for("STOPPING=1");
    assert_eq!(agent.wait_exit().code(), Some(0), "{}", agent.log());
}

/// An agent that cannot reach its ingress is not hung: starting it anew would help nobody.
#[test]
fn signs_of_life_come_in_time_while_nothing_happens_and_end_when_the_loop_does() {
    let manager = Manager::new("alive");
    let mut command = Command::new(binaries::MESH);
    command.args(["client", "--ingress-endpoint", "ws://127.0.0.1:1", "--host", HOST]);
    command.args(["--local-endpoint", "http://127.0.0.1:1", "--reconnect-min", "60"]);
    command.args(["--reconnect-max", "60"]);
    let start = Instant::now();
    let agent = manager.start(&mut command);
    for _ in 0..6 {
        manager.wait_for("WATCHDOG=1");
    }
    // Half of the limit each but the first; the machine that runs the tests may be slow, but no sign
    // comes before it was sent.
    let took = start.elapsed();
    assert!(took >= LIMIT * 2, "six signs within {took:?}");
    agent.stop();
    manager.socket.set_nonblocking(true).unwrap();
    while manager.socket.recv(&mut [0; 64]).is_ok() {}
    manager.socket.set_nonblocking(false).unwrap();
    manager.socket.set_read_timeout(Some(LIMIT * 2)).unwrap();
    assert!(manager.socket.recv(&mut [0; 64]).is_err(), "somebody else speaks for the loop");
}

#[test]
fn a_manager_that_is_away_keeps_nobody_from_serving() {
    for address in ["/nowhere/notify", "vsock:2:1"] {
        let server = Server::start_among(Place::own(), &[("NOTIFY_SOCKET", address)], &[]);
        assert_eq!(server.page("/health").verdict().0, 200);
        server.process.wait_log("service manager");
    }
}

/// What a command writes to standard error when that is the journal.
fn in_the_journal(words: &[&str]) -> String {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let theirs = OwnedFd::from(theirs);
    let found = std::fs::File::from(theirs.try_clone().unwrap()).metadata().unwrap();
    let mut command = Command::new(binaries::MESH);
    command
        .args(words)
        .env("JOURNAL_STREAM", format!("{}:{}", found.dev(), found.ino()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(theirs));
    let mut child = forget_surroundings(&mut command).spawn().unwrap();
    // The command holds the other end too.
    drop(command);
    let mut text = String::new();
    ours.read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    text
}

#[test]
fn the_journal_gets_priorities_and_keeps_the_time_itself() {
    let log = in_the_journal(&["demo", "--once", "--log-level", "info"]);
    assert!(!log.is_empty());
    for line in log.lines() {
        assert!(line.starts_with("<6>INFO  [mesh") || line.starts_with("<4>WARN  [mesh"), "{line}");
    }
    let sentence = in_the_journal(&["server", "--alb-port", "http"]);
    assert!(sentence.starts_with("<3>mesh: --alb-port: "), "{sentence}");
}
