//! The real binary and what it says to its user.

mod health;
mod strange;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

/// The binary with these words, and none of the settings of whoever runs the tests.
fn mesh(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MESH_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG").args(words);
    command
}

fn run(words: &[&str]) -> Output {
    mesh(words).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A file that is gone at the end of the test.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Each command line ends at once with this sentence and nothing else.
fn check(cases: &[(&[&str], &str)]) {
    for (words, expected) in cases {
        let output = run(words);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{words:?}");
        assert_eq!(text(&output.stderr).trim_end(), *expected, "{words:?}");
        assert_eq!(text(&output.stdout), "", "{words:?}");
    }
}

#[test]
fn a_command_line_without_sense_has_a_code_of_its_own() {
    let senseless: [&[&str]; 4] = [&[], &["--verbose"], &["serve"], &["server", "--alb-prot", "1"]];
    for words in senseless {
        assert_eq!(run(words).status.code(), Some(2), "{words:?}");
    }
    let impossible: [&[&str]; 2] = [&["server", "--alb-port", "70000"], &["client"]];
    for words in impossible {
        assert_eq!(run(words).status.code(), Some(1), "{words:?}");
    }
}

#[test]
fn a_wrong_command_line_ends_with_one_sentence_at_once() {
    check(&[
        (&[], "mesh: a command is missing; give server, client, demo or health; see mesh --help"),
        (
            &["serve"],
            "mesh: \"serve\" is not a command; give server, client, demo or health; see mesh --help",
        ),
        (
            &["server", "--alb-prot", "1"],
            "mesh: --alb-prot is not a flag of this command; --alb-port may be meant; see mesh \
             server --help",
        ),
        (&["server", "--alb-port"], "mesh: --alb-port needs a value; see mesh server --help"),
        (
            &["server", "--alb-port=http"],
            "mesh: --alb-port: \"http\" is not a whole number; give 0 to 65535",
        ),
        (
            &["server", "--request-timeout", "abc"],
            "mesh: --request-timeout: \"abc\" is not a number of seconds; give for example 30 or \
             2.5, or a unit as in 500ms, 5m or 1h",
        ),
        (
            &["client", "--host", "a", "--ingress-endpoint", "mesh.example"],
            "mesh: --ingress-endpoint: \"mesh.example\" is not a URL; give for example \
             ws://localhost:8082",
        ),
        (
            &["--log-level", "loud", "server"],
            "mesh: --log-level: \"loud\" is not a log level; give off, error, warn, info, debug \
             or trace",
        ),
        (
            &["server", "--allowed-role-arns", "arn:aws:iam::1:role/a"],
            "mesh: --allowed-role-arns: \"arn:aws:iam::1:role/a\" must have an account of 12 \
             digits; give for example arn:aws:iam::123456789012:role/mesh-agent-*",
        ),
        (
            &["server", "--allowed-role-arns", "arn:aws:iam::123456789012:role/a"],
            "mesh: --allowed-role-arns: --server-id is missing; give the host name that agents \
             dial, to which their proofs are bound so that nobody can use them elsewhere",
        ),
    ]);
}

/// Whoever names roles believes that they are checked.
#[cfg(not(feature = "aws"))]
#[test]
fn without_aws_there_are_no_rules_about_its_identities() {
    let role = "arn:aws:iam::123456789012:role/a";
    check(&[(
        &[
            "server",
            "--bind",
            "127.0.0.1",
            "--alb-port",
            "0",
            "--websocket-port",
            "0",
            "--health-port",
            "0",
            "--server-id",
            "a",
            "--allowed-role-arns",
            role,
            "--check",
        ],
        "mesh: there are rules for AWS identities, and this program was built without AWS",
    )]);
}

#[test]
fn files_and_ports_that_cannot_be_had_are_named_with_the_reason() {
    let yaml = TempFile::new("wrong.yaml", "# one\n\nrequest-timout: 3\n");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let in_use = format!("mesh: listen on 127.0.0.1:{port} (--alb-port): address already in use");
    let unknown_key = format!(
        "mesh: {} line 3: request-timout is not a setting of this command; request-timeout may be \
         meant",
        yaml.path()
    );
    check(&[
        (
            &["server", "--config", "/nowhere.yaml"],
            "mesh: --config: cannot read /nowhere.yaml: no such file or directory",
        ),
        (
            &["client", "--host=a", "--ingress-endpoint=wss://a", "--ca-file", "/nowhere.pem"],
            "mesh: --ca-file: cannot read /nowhere.pem: no such file or directory",
        ),
        (&["server", "--config", yaml.path()], &unknown_key),
        (&["server", "--bind", "127.0.0.1", "--alb-port", &port], &in_use),
    ]);
    let mut server = mesh(&["server", "--bind", "127.0.0.1"]);
    let output = server.env("MESH_ALB_PORT", &port).output().unwrap();
    assert_eq!(text(&output.stderr).trim_end(), in_use.replace("--alb-port", "MESH_ALB_PORT"));
}

#[test]
fn help_and_version_go_to_standard_output() {
    let cases: [(&[&str], &str); 10] = [
        (&["--version"], "mesh 0"),
        (&["server", "--version"], "mesh 0"),
        (&["client", "--version"], "mesh 0"),
        (&["--help"], "Usage: mesh [<options>] <command>"),
        (&["help"], "Usage: mesh [<options>] <command>"),
        (&["server", "--help"], "Usage: mesh server"),
        (&["client", "--help"], "Usage: mesh client"),
        (&["demo", "--help"], "Usage: mesh demo"),
        (&["health", "--version"], "mesh 0"),
        (&["health", "--help"], "Usage: mesh health"),
    ];
    for (words, expected) in cases {
        let output = run(words);
        assert!(output.status.success(), "{words:?}");
        assert!(text(&output.stdout).starts_with(expected), "{words:?}");
        assert!(text(&output.stdout).lines().all(|line| line.chars().count() <= 90));
        assert_eq!(text(&output.stderr), "", "{words:?}");
    }
}

/// The version stands in one place, and the commit in none: the build finds it.
#[test]
fn the_version_is_that_of_the_workspace_with_the_commit() {
    let version = concat!("mesh ", env!("CARGO_PKG_VERSION"));
    for words in [&["--version"][..], &["server", "--version"], &["demo", "--version"]] {
        let output = run(words);
        let said = text(&output.stdout).trim_end();
        let rest = said.strip_prefix(version).unwrap_or_else(|| panic!("{words:?}: {said}"));
        let is_commit = |commit: &str| {
            (7..=12).contains(&commit.len()) && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let commit = rest.strip_prefix(" (").and_then(|rest| rest.strip_suffix(')'));
        assert!(rest.is_empty() || commit.is_some_and(is_commit), "{words:?}: {said}");
    }
}

#[test]
fn flags_come_before_variables_before_the_file_before_defaults() {
    let yaml = TempFile::new("layers.yaml", "request-timeout: 33\nhead-timeout: 4\nmax-hosts: 5\n");
    let output = mesh(&["--verbose", "server", "--check", "--request-timeout", "31"])
        .env("MESH_CONFIG", yaml.path())
        .env("MESH_REQUEST_TIMEOUT", "32")
        .env("MESH_HEAD_TIMEOUT", "3s")
        .env("MESH_HEAD_TIMOUT", "3s")
        .output()
        .unwrap();
    assert!(output.status.success());
    let shown = text(&output.stdout);
    let from_file = format!("max-hosts: 5 # {} line 3: max-hosts", yaml.path());
    let lines: Vec<String> =
        shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for expected in [
        "request-timeout: 31 # --request-timeout",
        "head-timeout: 3 # MESH_HEAD_TIMEOUT",
        &from_file,
        "idle-timeout: 75 # default",
        "log-level: debug # --verbose",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected}: {shown}");
    }
    let warning = "warning: MESH_HEAD_TIMOUT is not a setting of this command and is ignored; \
                   MESH_HEAD_TIMEOUT may be meant";
    assert_eq!(text(&output.stderr).trim_end(), warning);
}

#[test]
fn a_flag_behind_the_command_counts_more_than_one_before_it() {
    for (words, expected) in [
        (["--log-level", "error", "server", "--verbose"].as_slice(), "log-level: debug"),
        (&["--verbose", "server", "--log-level", "error"], "log-level: error"),
    ] {
        let output = run(&[words, &["--check"]].concat());
        let shown = text(&output.stdout);
        assert!(shown.lines().any(|line| line.starts_with(expected)), "{words:?}: {shown}");
    }
}

#[test]
fn the_file_may_come_from_a_pipe() {
    let mut command = mesh(&["server", "--check", "--config", "/dev/stdin"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"idle-timeout: 81\nrules: []\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let shown = text(&output.stdout);
    assert!(shown.contains("idle-timeout: 81"), "{shown}{}", text(&output.stderr));
}

#[test]
fn a_number_of_workers_is_digits() {
    let output = run(&["server", "--workers", "+4", "--check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("is not a number of workers"));
}

#[test]
fn what_check_prints_is_a_file_that_sets_the_same() {
    for words in [
        &["server", "--idle-timeout", "80", "--check"][..],
        &["client", "--host", "*,a.example", "--service-name", "a b", "--check"],
    ] {
        let first = run(words);
        let file = TempFile::new(&format!("{}.yaml", words[0]), text(&first.stdout));
        let second = run(&[words[0], "--check", "--config", file.path()]);
        assert_eq!(values(&second.stdout), values(&first.stdout));
    }
}

/// What was checked, without origins.
fn values(stdout: &[u8]) -> Vec<&str> {
    text(stdout).lines().map(|line| line.rsplit_once(" # ").unwrap().0.trim_end()).collect()
}

/// A running program, killed at the end of the test.
struct Program {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Program {
    fn start() -> Self {
        Self::server(&[])
    }

    /// A server on free ports, with these words.
    fn server(words: &[&str]) -> Self {
        let ports = ["--alb-port=0", "--websocket-port=0", "--health-port=0"];
        Self::run(mesh(&["server", "--bind", "127.0.0.1"]).args(ports).args(words))
    }

    fn run(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().map(BufReader::new);
        Self { child, stdout }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().unwrap();
        assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "it has ended");
        line
    }

    /// The next `listening NAME ADDRESS`.
    fn listening(&mut self) -> (String, SocketAddr) {
        let line = self.line();
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some("listening"), "{line}");
        let name = words.next().unwrap().to_owned();
        (name, words.next().unwrap().parse().unwrap())
    }

    fn ask(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_says_where_it_listens_and_leaves_when_asked() {
    for signal in ["-TERM", "-INT"] {
        let mut server = Program::start();
        let mut names = Vec::new();
        for _ in 0..3 {
            let (name, address) = server.listening();
            assert_ne!(address.port(), 0);
            TcpStream::connect(address).unwrap();
            names.push(name);
        }
        names.sort();
        assert_eq!(names, ["health", "traffic", "tunnels"]);
        server.ask(signal);
        assert!(server.child.wait().unwrap().success());
        let mut log = String::new();
        let mut stderr = server.child.stderr.take().unwrap();
        stderr.read_to_string(&mut log).unwrap();
        assert!(log.contains("NO AUTHENTICATION IS CONFIGURED"), "{log}");
        assert!(!log.contains('\x1b'), "{log}");
    }
}

#[test]
fn nobody_has_to_listen_to_a_server() {
    let mut server = Program::start();
    let (_, address) = server.listening();
    drop(server.child.stderr.take());
    drop(server.stdout.take());
    TcpStream::connect(address).unwrap();
    server.ask("-TERM");
    assert!(server.child.wait().unwrap().success());
}

#[test]
fn a_log_whose_reader_sleeps_holds_nobody_up() {
    let mut server = Program::server(&["--log-level", "debug"]);
    let (name, address) = server.listening();
    assert_eq!(name, "traffic");
    // A line for each, and more of them than the pipe and the queue hold.
    for _ in 0..6_000 {
        let mut caller = TcpStream::connect(address).unwrap();
        caller.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        caller.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = [0; 12];
        caller.read_exact(&mut answer).unwrap();
        assert_eq!(text(&answer), "HTTP/1.1 400");
    }
    let mut log = BufReader::new(server.child.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().ends_with(" lines were dropped")));
    server.ask("-TERM");
    assert!(log.last().unwrap().unwrap().ends_with("the ingress has left"));
    assert!(server.child.wait().unwrap().success());
}

#[test]
fn an_access_log_that_may_not_grow_is_a_warning() {
    let log = TempFile::new("access.log", "");
    let server = format!(
        "ulimit -f 2; exec {} server --bind 127.0.0.1 --alb-port 0 --websocket-port 0 --health-port 0 \
         --access-log text --access-log-file {}",
        env!("CARGO_BIN_EXE_mesh"),
        log.path(),
    );
    let mut server = Program::run(Command::new("sh").args(["-c", &server]));
    let (_, address) = server.listening();
    for _ in 0..100 {
        let mut caller = TcpStream::connect(address).unwrap();
        caller.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
        caller.read_exact(&mut [0; 12]).unwrap();
    }
    let mut log = BufReader::new(server.child.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().ends_with("file too large")));
    server.ask("-TERM");
    assert!(server.child.wait().unwrap().success());
}

#[test]
fn a_server_leaves_although_nobody_reads_its_log() {
    let mut server = Program::server(&["--log-level", "trace"]);
    let (_, address) = server.listening();
    for _ in 0..1_000 {
        let mut caller = TcpStream::connect(address).unwrap();
        caller.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    }
    server.ask("-TERM");
    assert!(server.child.wait().unwrap().success());
}

#[test]
fn help_without_a_reader_is_no_crash() {
    let mut child =
        mesh(&["server", "--help"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn the_demo_shows_a_request_through_the_mesh() {
    let output = run(&["demo", "--once"]);
    let story = text(&output.stdout);
    assert!(output.status.success(), "{story}{}", text(&output.stderr));
    for part in [
        "> GET /hello HTTP/1.1",
        "> Host: demo.local",
        "< HTTP/1.1 200 OK",
        "\"x-forwarded-for\": \"127.0.0.1\"",
    ] {
        assert!(story.contains(part), "{part} is missing: {story}");
    }
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_demo_that_is_asked_to_leave_before_its_request_is_answered_leaves_in_peace() {
    for _ in 0..5 {
        let mut demo = Program::run(&mut mesh(&["demo"]));
        demo.line();
        demo.ask("-INT");
        assert!(demo.child.wait().unwrap().success());
    }
}

#[test]
fn the_demo_serves_what_it_tells_to_try_until_it_is_asked_to_leave() {
    let mut demo = Program::run(&mut mesh(&["demo"]));
    let line = loop {
        let line = demo.line();
        if line.trim_end().ends_with("/stream") {
            break line;
        }
    };
    let (_, url) = line.trim_end().split_once("http://").unwrap();
    let mut caller = TcpStream::connect(url.strip_suffix("/stream").unwrap()).unwrap();
    let request = "GET /stream HTTP/1.1\r\nHost: demo.local\r\n\r\n";
    caller.write_all(request.as_bytes()).unwrap();
    let mut response = BufReader::new(caller).lines();
    assert_eq!(response.next().unwrap().unwrap(), "HTTP/1.1 200 OK");
    let event = response.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("data:")));
    assert_eq!(event.unwrap().unwrap(), "data: event 1 of 10");
    drop(response);
    // Whoever asks for it looks like a load balancer, for which the ingress waits at its end.
    let line = loop {
        let line = demo.line();
        if line.trim_end().ends_with("/health") {
            break line;
        }
    };
    let (_, url) = line.trim_end().split_once("http://").unwrap();
    let mut caller = TcpStream::connect(url.strip_suffix("/health").unwrap()).unwrap();
    caller.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = BufReader::new(caller).lines();
    assert_eq!(response.next().unwrap().unwrap(), "HTTP/1.1 200 OK");
    demo.ask("-INT");
    assert!(demo.child.wait().unwrap().success());
    let mut log = String::new();
    demo.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(log, "", "nothing is wrong");
}
