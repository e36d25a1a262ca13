//! What concerns a whole process, tried on a child: this test binary run again as a server.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Lines, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use mesh_reactor::{ClientTls, Signals};

use crate::probe::{Heard, PATIENCE, Probe, Rule, Running, connect};

/// Makes [`be_the_child`] serve instead of passing at once.
const CHILD: &str = "MESH_SHELL_CHILD";

/// The child's whole life: an echo server that leaves at the second drain.
#[test]
fn be_the_child() {
    if env::var_os(CHILD).is_none() {
        return;
    }
    let (mut probe, heard) = Probe::new(Rule::Echo);
    probe.drains_to_exit = 2;
    let mut running = Running::start((probe, heard), ClientTls::web_roots(), Signals::Handle);
    println!("\nport {}", running.address.port());
    for _ in 0..2 {
        while running.heard.recv().unwrap() != Heard::Drain {}
        println!("\ndrain");
    }
    running.join();
    println!("\nleft");
}

struct Server {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
}

impl Server {
    /// Starts a child, through a shell that first runs `setup`.
    fn start(setup: &str) -> Self {
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("{setup}; exec \"$0\" \"$@\""))
            .arg(env::current_exe().unwrap())
            .args(["--exact", "process::be_the_child", "--nocapture"])
            .env(CHILD, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let mut server = Self {
            child,
            lines: BufReader::new(stdout).lines(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let port = server.wait_for("port ");
        server.address.set_port(port.parse().unwrap());
        server
    }

    /// Waits for a line that begins like this, and returns its rest.
    fn wait_for(&mut self, prefix: &str) -> String {
        for line in &mut self.lines {
            if let Some(rest) = line.unwrap().strip_prefix(prefix) {
                return rest.to_owned();
            }
        }
        panic!("the child ended without saying {prefix:?}");
    }

    fn signal(&self, name: &str) {
        let sent =
            Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status();
        assert!(sent.unwrap().success());
    }

    fn descriptors(&self) -> usize {
        let directory = format!("/proc/{}/fd", self.child.id());
        fs::read_dir(directory).unwrap().count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn echo(stream: &mut TcpStream) {
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
}

#[test]
fn sigterm_and_sigint_are_drains_and_sighup_is_nothing() {
    let mut server = Server::start(":");
    server.signal("HUP");
    server.signal("TERM");
    server.wait_for("drain");
    echo(&mut connect(server.address));
    server.signal("INT");
    server.wait_for("drain");
    server.wait_for("left");
    assert!(server.child.wait().unwrap().success());
}

#[test]
fn a_thousand_connections_leave_no_descriptor_behind() {
    let server = Server::start(":");
    echo(&mut connect(server.address));
    let start = Instant::now();
    let before = server.descriptors();
    for _ in 0..1000 {
        echo(&mut connect(server.address));
    }
    while server.descriptors() > before {
        assert!(
            start.elapsed() < PATIENCE,
            "{} descriptors more than before",
            server.descriptors() - before
        );
        std::thread::yield_now();
    }
}

/// With edge triggering, the failed accept consumed the event: only a timer brings the others in.
#[test]
fn a_server_out_of_descriptors_recovers() {
    let server = Server::start("ulimit -n 40");
    let mut streams: Vec<_> = (0..100).map(|_| connect(server.address)).collect();
    echo(&mut streams[0]);
    let mut last = streams.pop().unwrap();
    last.write_all(b"x").unwrap();
    last.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let error = last.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "it waits in the queue");
    drop(streams);
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    last.read_exact(&mut [0]).unwrap();
}
