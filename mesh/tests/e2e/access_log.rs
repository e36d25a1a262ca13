//! The access log: one line for each answer, wherever it goes, and never at the cost of the
//! answers.

use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use crate::peers::caller::{ask, find, read_response, request};
use crate::peers::frames::RESPONSE;
use crate::peers::network::Network;
use crate::peers::process::{Process, Server, agent};
use crate::peers::raw_agent::RawAgent;
use crate::peers::service::Service;
use crate::peers::wire::{AT_ONCE, Wire, wait_until};

/// A folder of its own for one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mesh-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server whose log is a file of objects.
struct Logged {
    server: Server,
    folder: Folder,
}

impl Logged {
    fn start(name: &str, words: &[&str]) -> Self {
        let folder = Folder::new(name);
        let file = folder.path("access.log");
        let fixed = ["--access-log", "json", "--access-log-file", &file, "--log-level", "warn"];
        let server = Server::start(&[&fixed, words].concat());
        Self { server, folder }
    }

    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path("access.log")).unwrap();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The line about a target; waits for it.
    fn line(&self, target: &str) -> Value {
        let find = || self.lines().into_iter().find(|line| line["target"] == target);
        wait_until(&format!("{target} is in the log"), || find().is_some());
        find().unwrap()
    }
}

/// Whether the line has these members with these values.
fn check(line: &Value, expected: &Value) {
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&line[name], value, "{name}: {line}");
    }
}

const SECRETS: &str = "Authorization: Bearer hush1\r\nCookie: session=hush2\r\n\
    Proxy-Authorization: Basic hush3\r\nX-Api-Key: hush4\r\n";

#[test]
fn text_goes_to_standard_output_and_holds_no_secret() {
    let words = ["--access-log", "text", "--log-level", "off"];
    let (server, service) = (Server::start(&words), Service::start("a"));
    let _agent = agent(server.tunnels, &service, &["--service-name", "the shop"]);
    server.wait_available(1);
    let request = format!(
        "POST /a?b=\"c HTTP/1.1\r\nHost: demo.local\r\n{SECRETS}User-Agent: t/1 \"x\"\r\n\
         X-Forwarded-For: 192.0.2.1\r\nX-Amzn-Trace-Id: Root=1-2\r\nContent-Length: 5\r\n\r\nhello"
    );
    let answer = ask(server.traffic, request);
    assert_eq!(answer.status, 200);
    let health = "GET /health HTTP/1.1\r\nHost: 10.0.0.5:8080\r\n\r\n";
    assert_eq!(ask(server.traffic, health).status, 200);
    let refused = format!("GET / HTTP/1.1\r\n{SECRETS}Host: a\r\nHost: b\r\n\r\n");
    assert_eq!(ask(server.traffic, refused).verdict(), (400, "bad_request"));
    let said = || -> Vec<String> {
        let said = server.process.said();
        said.into_iter().filter(|line| !line.starts_with("listening ")).collect()
    };
    wait_until("both lines are out", || said().len() >= 2);
    let lines = said();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let (time, line) = lines[0].split_once(' ').unwrap();
    assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z'), "{time}");
    let (start, rest) = line.split_once("duration_ms=").unwrap();
    let expected = format!(
        "client=127.0.0.1 forwarded_for=\"192.0.2.1\" method=\"POST\" host=\"demo.local\" \
         target=\"/a?b=\\\"c\" version=HTTP/1.1 status=200 error=- request_bytes=5 \
         response_bytes={} ",
        answer.body.len()
    );
    assert_eq!(start, expected);
    let (duration, rest) = rest.split_once(' ').unwrap();
    assert!(duration.split_once('.').is_some_and(|(_, micros)| micros.len() == 3), "{duration}");
    let expected = "agent=\"1\" service=\"the shop\" retried=false user_agent=\"t/1 \\\"x\\\"\" \
                    trace_id=\"Root=1-2\"";
    assert_eq!(rest, expected);
    assert!(lines[1].contains(" target=- version=- status=400 error=bad_request "), "{lines:?}");
    assert!(!lines.concat().contains("hush"), "{lines:?}");
    assert_eq!(server.process.log(), "");
}

#[test]
fn objects_go_to_a_file_with_the_values_of_each_answer() {
    let logged = Logged::start("access-json", &["--head-timeout", "0.2"]);
    let (server, service) = (&logged.server, Service::start("a"));
    let agent = agent(server.tunnels, &service, &["--health-check-fall", "100"]);
    server.wait_available(1);
    let body = "x".repeat(100_000);
    let answer = ask(server.traffic, request("PUT", "/ok", &body));
    assert_eq!(answer.status, 200);
    ask(server.traffic, "GET /nowhere?q=1 HTTP/1.0\r\nHost: other.local\r\n\r\n");
    ask(server.traffic, format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(70_000)));
    ask(server.traffic, "GET /late HTTP/1.1\r\n");
    let long = format!("/{}", "l".repeat(10_000));
    assert_eq!(server.get(&long).status, 200);
    let mut caller = Wire::connect(server.traffic);
    caller.send(request("GET", "/hold", ""));
    service.wait_held(1);
    caller.abort();
    logged.line("/hold");
    drop(service);
    assert_eq!(server.get("/gone").verdict(), (502, "upstream_connect"));
    drop(agent);
    server.wait_metric("mesh_tunnels", 0);
    assert_eq!(server.get("/nobody").verdict(), (503, "no_healthy_agent"));
    let (none, host) = (Value::Null, "demo.local");
    let cases = [
        (
            "/ok",
            json!({ "status": 200, "error": none, "method": "PUT", "host": host,
            "client": "127.0.0.1", "forwarded_for": none, "version": "HTTP/1.1",
            "request_bytes": 100_000, "response_bytes": answer.body.len(), "agent": "1",
            "service": none, "retried": false, "user_agent": none, "trace_id": none }),
        ),
        (
            "/nowhere?q=1",
            json!({ "status": 404, "error": "no_route", "method": "GET",
            "host": "other.local", "version": "HTTP/1.0", "agent": none, "duration_ms": 0.0 }),
        ),
        ("/hold", json!({ "status": none, "error": "caller_gone", "agent": "1" })),
        ("/gone", json!({ "status": 502, "error": "upstream_connect", "agent": "1" })),
        ("/nobody", json!({ "status": 503, "error": "no_healthy_agent", "agent": none })),
    ];
    for (target, expected) in cases {
        check(&logged.line(target), &expected);
    }
    assert!(logged.line("/ok")["duration_ms"].as_f64().is_some_and(|took| took > 0.0));
    let lines = logged.lines();
    let cut = lines.iter().find(|line| line["target"].as_str().is_some_and(|it| it.contains("ll")));
    assert_eq!(cut.unwrap()["target"], format!("{}…", &long[..2048]));
    let headless: Vec<_> = lines.iter().filter(|line| line["target"].is_null()).collect();
    let errors: Vec<_> = headless.iter().map(|line| &line["error"]).collect();
    assert_eq!(errors, ["head_too_large", "head_timeout"]);
}

#[test]
fn an_agent_is_named_even_when_its_tunnel_is_gone_and_a_retry_is_marked() {
    let logged = Logged::start("access-agents", &[]);
    let server = &logged.server;
    let mut lost = RawAgent::register(server.tunnels);
    server.wait_available(1);
    let mut callers = [Wire::connect(server.traffic), Wire::connect(server.traffic)];
    callers[0].send(request("POST", "/begun", "hello"));
    let stream = lost.expect_request();
    lost.send(RESPONSE, 0, stream, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
    assert!(callers[0].wait(|bytes| find(bytes, b"\r\n\r\n")).is_some());
    callers[1].send(request("POST", "/lost", "hello"));
    lost.expect_request();
    drop(lost);
    assert_eq!(read_response(&mut callers[1]).unwrap().verdict(), (502, "agent_lost"));
    // What the caller got of it said 200.
    check(&logged.line("/begun"), &json!({ "status": 200, "error": "agent_lost", "agent": "1" }));
    let expected = json!({ "status": 502, "error": "agent_lost", "agent": "1", "retried": false });
    check(&logged.line("/lost"), &expected);
    let (broken, sound) = (Service::start("broken"), Service::start("sound"));
    let _broken = agent(server.tunnels, &broken, &["--health-check-fall", "100"]);
    server.wait_available(1);
    let _sound = agent(server.tunnels, &sound, &["--service-name", "sound"]);
    server.wait_available(2);
    drop(broken);
    wait_until("a request is retried", || {
        assert_eq!(ask(server.traffic, request("POST", "/again", "hello")).status, 200);
        server.metric("mesh_retries_total", "") > 0
    });
    let is_retried = |line: &Value| line["retried"] == true;
    wait_until("it is logged", || logged.lines().iter().any(is_retried));
    let line = logged.lines().into_iter().find(is_retried).unwrap();
    let expected = json!({ "target": "/again", "status": 200, "error": null, "agent": "3",
        "service": "sound", "request_bytes": 5 });
    check(&line, &expected);
}

#[test]
fn an_answer_that_was_cut_does_not_look_whole() {
    let late = ["--stream-idle-timeout", "0.3"];
    let cases: [(&str, &str, &[&str], &[&str]); 5] = [
        ("/endless", "caller_gone", &[], &[]),
        ("/endless", "send_timeout", &["--send-timeout", "0.3"], &[]),
        ("/half", "stream_idle", &late, &[]),
        ("/half", "stream_idle", &[], &late),
        ("/endless", "draining", &[], &[]),
    ];
    for (target, error, server_words, agent_words) in cases {
        let mut logged = Logged::start("access-cut", server_words);
        let (server, service) = (&mut logged.server, Service::start("a"));
        let _agent = agent(server.tunnels, &service, agent_words);
        server.wait_available(1);
        let mut caller = Wire::connect(server.traffic);
        caller.send(request("GET", target, ""));
        assert!(caller.wait(|bytes| find(bytes, b"\r\n\r\n")).is_some());
        match error {
            "caller_gone" => caller.abort(),
            "draining" => {
                server.process.signal("TERM");
                wait_until("/health fails", || server.page("/health").status == 503);
                server.process.signal("TERM");
                assert_eq!(server.process.wait_exit().code(), Some(0));
            }
            _ => server.wait_metric("mesh_requests_in_flight", 0),
        }
        check(&logged.line(target), &json!({ "status": 200, "error": error, "agent": "1" }));
    }
}

#[test]
fn a_full_disk_is_one_warning() {
    let words = ["--access-log", "text", "--access-log-file", "/dev/full"];
    let (mut server, service) = (Server::start(&words), Service::start("a"));
    let agent = agent(server.tunnels, &service, &[]);
    server.wait_available(1);
    for _ in 0..50 {
        assert_eq!(server.get("/").status, 200);
    }
    let warning = "access log: write to /dev/full: no space left on device";
    server.process.wait_log(warning);
    drop(agent);
    server.process.signal("TERM");
    assert!(server.process.wait_exit().success());
    server.process.wait_log("access log: 50 lines were dropped");
    server.process.expect_log(warning, 1);
}

#[test]
fn a_reader_that_sleeps_stalls_nobody() {
    const REQUESTS: usize = 8000;
    let folder = Folder::new("access-fifo");
    let fifo = folder.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // A reader that has opened it, and does not read.
    let mut reader = File::options().read(true).write(true).open(&fifo).unwrap();
    let server = Server::start(&["--access-log", "text", "--access-log-file", &fifo]);
    let mut caller = Wire::connect(server.traffic);
    for _ in 0..REQUESTS / 100 {
        caller.send(request("GET", "/", "").repeat(100));
        for _ in 0..100 {
            assert_eq!(read_response(&mut caller).unwrap().status, 404);
        }
    }
    assert_eq!(server.process.log_count("lines were dropped"), 0);
    std::thread::spawn(move || while reader.read(&mut [0; 65536]).is_ok_and(|read| read > 0) {});
    server.process.wait_log("lines were dropped");
}

#[test]
fn a_server_leaves_in_time_though_its_log_is_not_read() {
    let folder = Folder::new("access-stuck");
    let fifo = folder.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _reader = File::options().read(true).write(true).open(&fifo).unwrap();
    let mut server = Server::start(&["--access-log", "json", "--access-log-file", &fifo]);
    let target = format!("/{}", "x".repeat(2000));
    (0..100).for_each(|_| assert_eq!(server.get(&target).status, 404));
    let began = Instant::now();
    server.process.signal("TERM");
    assert!(server.process.wait_exit().success());
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
}

#[test]
fn a_file_that_cannot_be_written_keeps_the_server_from_starting() {
    let folder = Folder::new("access-refused");
    let file = folder.path("missing/access.log");
    let words = ["server", "--access-log", "json", "--access-log-file", &file];
    let mut process = Process::start(&words);
    assert_eq!(process.wait_exit().code(), Some(1));
    let sentence = format!("mesh: --access-log-file: open {file}: no such file or directory\n");
    wait_until("it says why", || process.log() == sentence);
    assert!(process.said().is_empty());
}

/// A socket that listens on IPv6 and IPv4 says an address of the latter in the form of the former.
#[test]
fn a_caller_over_ipv4_has_an_address_of_ipv4_wherever_the_ingress_listens() {
    if TcpListener::bind("[::]:0").is_err() {
        return;
    }
    let logged = Logged::start("mapped", &["--bind", "::"]);
    let traffic = SocketAddr::from((Ipv4Addr::LOCALHOST, logged.server.traffic.port()));
    ask(traffic, request("GET", "/mapped", ""));
    check(&logged.line("/mapped"), &json!({ "client": "127.0.0.1", "forwarded_for": null }));
}

/// A file system that root may not write to either.
const READ_ONLY: Network = Network { script: "mount -t tmpfs -o ro tmpfs /mnt && exec \"$@\"" };

#[test]
fn a_check_refuses_a_file_that_could_not_be_made() {
    READ_ONLY.inside(|| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
        command.args(["server", "--check", "--access-log", "text"]);
        command.args(["--access-log-file", "/mnt/access.log"]);
        let mut server = Process::spawn(&mut command);
        assert_eq!(server.wait_exit().code(), Some(1));
        server.wait_log("--access-log-file: open /mnt/access.log: read-only file system");
    });
}
