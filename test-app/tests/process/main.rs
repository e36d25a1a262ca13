//! The real program, spoken to over TCP.

mod lifecycle;
mod websocket;
mod wire;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program with nothing but these environment variables.
fn command(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_test-app"));
    command.env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    command
}

/// A running service; ended with the test.
struct Service {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// As the service announced it.
    address: String,
}

impl Service {
    fn start() -> Self {
        let mut child = command(&[("PORT", "0"), ("BIND", "127.0.0.1")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on http://").unwrap();
        Self { child, stdout, address: address.trim_end().to_owned() }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends a request whose last line is to be ended.
    fn begin(&self, request: &str) -> TcpStream {
        let mut stream = self.connect();
        write!(stream, "{request}\r\nHost: test\r\n\r\n").unwrap();
        stream
    }

    /// Sends a request and returns what comes until the service closes the connection.
    fn exchange(&self, request: &str) -> String {
        let mut response = String::new();
        self.begin(&format!("{request}\r\nConnection: close"))
            .read_to_string(&mut response)
            .unwrap();
        response
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits until the process has ended; returns its status and what it printed since the start.
    fn end(&mut self) -> (ExitStatus, String) {
        let status = wait_for("the process to end", || self.child.try_wait().unwrap());
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (status, rest)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again and again until there is something.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reads until `part` has come.
fn read_until(stream: &mut TcpStream, part: &str) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(part.as_bytes()) {
        let seen = String::from_utf8_lossy(&text);
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "no {part:?} after {seen:?}");
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}
