//! The mesh's own processes: started with the real binary, watched, signalled, and gone at the end
//! of the test.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::caller::{self, HOST, Response};
use super::place::own_ip;
use super::service::Service;
use super::wire::{PATIENCE, wait_until};

/// A running process and what it logged so far.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts `mesh` with these words.
    pub(crate) fn start(words: &[&str]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_mesh")).args(words))
    }

    /// Starts a program with none of the settings of whoever runs the tests.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        forget_surroundings(command).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (log, said) = (Arc::new(Mutex::new(String::new())), Arc::new(Mutex::new(Vec::new())));
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let written = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                written.lock().unwrap().push(line);
            }
        });
        let written = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log: std::sync::MutexGuard<'_, String> = written.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, log, said }
    }

    /// What follows `start` on the line of its standard output that begins so; waits for it.
    pub(crate) fn wait_said(&self, start: &str) -> String {
        wait(&self.log, &format!("it never said {start:?}"), || {
            let lines = self.said.lock().unwrap();
            lines.iter().find_map(|line| line.strip_prefix(start)).map(str::to_owned)
        })
    }

    /// The lines of its standard output so far.
    pub(crate) fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// Everything that it logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// How many of its log lines hold that text.
    pub(crate) fn log_count(&self, text: &str) -> usize {
        self.log.lock().unwrap().lines().filter(|line| line.contains(text)).count()
    }

    /// Waits until a line of its log holds that text.
    pub(crate) fn wait_log(&self, text: &str) {
        let lack = format!("{text:?} is not in the log");
        wait(&self.log, &lack, || self.log().contains(text).then_some(()));
    }

    /// Waits until so many lines of its log hold that text, which must be all: it is written a moment
    /// after what it tells of.
    pub(crate) fn expect_log(&self, text: &str, count: usize) {
        let lack = format!("{text:?} is not in {count} lines of the log");
        wait(&self.log, &lack, || (self.log_count(text) >= count).then_some(()));
        assert_eq!(self.log_count(text), count, "{text:?} in the log:\n{}", self.log());
    }

    /// Sends a signal: `TERM`, `KILL`, `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(status.success(), "kill -s {name} {pid}");
    }

    /// Stops it, and waits until none of its threads does anything any more.
    pub(crate) fn stop(&self) {
        self.signal("STOP");
        let threads = format!("/proc/{}/task", self.child.id());
        let is_still = || {
            std::fs::read_dir(&threads).unwrap().all(|thread| {
                let status = std::fs::read_to_string(thread.unwrap().path().join("status"));
                status.is_ok_and(|status| status.contains("\nState:\tT"))
            })
        };
        wait(&self.log, "not stopped yet", || is_still().then_some(()));
    }

    /// Waits for its end.
    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        wait(&self.log, "still running", || self.child.try_wait().unwrap())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Descriptors that it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Memory that it occupies, in KiB.
    pub(crate) fn memory_kib(&self) -> usize {
        self.status("VmRSS:")
    }

    /// The most memory that it ever occupied, in KiB.
    pub(crate) fn peak_memory_kib(&self) -> usize {
        self.status("VmHWM:")
    }

    /// How many files it may have open, and what it could raise that to.
    pub(crate) fn open_files_max(&self) -> (String, String) {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.child.id())).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let mut words = line.split_whitespace().map(str::to_owned);
        (words.next().unwrap(), words.next().unwrap())
    }

    fn status(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

/// Asks until there is an answer; `lack` and the log are what is said when that takes too long.
fn wait<T>(log: &Mutex<String>, lack: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let due = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        if Instant::now() > due {
            let log = log.lock().unwrap().clone();
            panic!("{lack}:\n{log}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of {}:\n{}", self.child.id(), self.log());
        }
    }
}

/// Keeps from a program what whoever runs the tests has set: settings of the mesh, their AWS
/// account, their proxies, their service manager, and the machine that is theirs: nobody asks EC2's
/// metadata service. What the test itself sets for it stays.
pub(crate) fn forget_surroundings(command: &mut Command) -> &mut Command {
    let own: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
    for (name, _) in std::env::vars_os().filter(|(name, _)| !own.contains(name)) {
        let upper = name.to_string_lossy().to_uppercase();
        let is_foreign = ["MESH_", "AWS_", "ECS_"].iter().any(|start| upper.starts_with(start));
        let is_systemd = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "JOURNAL_STREAM"].contains(&&*upper);
        if is_foreign || is_systemd || upper.ends_with("_PROXY") || upper == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    if !own.contains(&NO_METADATA.into()) {
        command.env(NO_METADATA, "true");
    }
    command
}

/// `mesh`, started by a shell that sets limits of the system before.
pub(crate) fn limited(ulimit: &str) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("ulimit {ulimit}; exec \"$0\" \"$@\"");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_mesh")]);
    shell
}

/// With it, AWS clients ask no machine whether it is one of EC2's.
const NO_METADATA: &str = "AWS_EC2_METADATA_DISABLED";

/// `mesh server` on ports of the system's choice.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) traffic: SocketAddr,
    pub(crate) tunnels: SocketAddr,
    pub(crate) health: SocketAddr,
}

/// Where an ingress listens: for callers, agents and health checks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    ip: IpAddr,
    ports: [u16; 3],
}

impl Place {
    /// On ports of the system's choice.
    pub(crate) fn own() -> Self {
        Self { ip: own_ip(), ports: [0; 3] }
    }

    /// Its address, by which agents dial it.
    pub(crate) const fn ip(&self) -> IpAddr {
        self.ip
    }
}

impl Server {
    pub(crate) fn start(words: &[&str]) -> Self {
        Self::start_at(Place::own(), words)
    }

    /// The same there.
    pub(crate) fn start_at(place: Place, words: &[&str]) -> Self {
        Self::start_among(place, &[], words)
    }

    /// The same with these variables.
    pub(crate) fn start_among(place: Place, variables: &[(&str, &str)], words: &[&str]) -> Self {
        let mut mesh = Command::new(env!("CARGO_BIN_EXE_mesh"));
        mesh.envs(variables.iter().copied());
        Self::start_as(mesh, place, words)
    }

    /// The same by a shell that sets limits of the system before.
    pub(crate) fn start_limited(ulimit: &str, words: &[&str]) -> Self {
        Self::start_as(limited(ulimit), Place::own(), words)
    }

    fn start_as(mut mesh: Command, Place { ip, ports }: Place, words: &[&str]) -> Self {
        let [traffic, tunnels, health] = ports.map(|port| port.to_string());
        let ip = ip.to_string();
        let bind = ["--bind", &ip];
        // A test may have its own idea.
        let bind: &[&str] = if words.contains(&"--bind") { &[] } else { &bind };
        let fixed = [
            "server",
            "--alb-port",
            &traffic,
            "--websocket-port",
            &tunnels,
            "--health-port",
            &health,
        ];
        let words = [&fixed, bind, words].concat();
        let process = Process::spawn(mesh.args(words));
        let find = |name: &str| {
            let lines = process.said.lock().unwrap();
            lines.iter().find_map(|line| {
                let address = line.strip_prefix(&format!("listening {name} "))?;
                address.replace("0.0.0.0", "127.0.0.1").parse().ok()
            })
        };
        wait_until("the ingress listens", || find("health").is_some());
        let [traffic, tunnels, health] =
            ["traffic", "tunnels", "health"].map(|name| find(name).unwrap());
        Self { process, traffic, tunnels, health }
    }

    /// Where it listens, to start another one there.
    pub(crate) fn place(&self) -> Place {
        let ports = [self.traffic, self.tunnels, self.health].map(|address| address.port());
        Place { ip: self.traffic.ip(), ports }
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        caller::get(self.traffic, path)
    }

    /// A page of the health port.
    pub(crate) fn page(&self, path: &str) -> Response {
        caller::get(self.health, path)
    }

    /// The sum of a metric over its labels, those with `label` in them.
    pub(crate) fn metric(&self, name: &str, label: &str) -> u64 {
        let page = self.page("/metrics").text();
        let values = page.lines().filter_map(|line| {
            let (key, value) = line.rsplit_once(' ')?;
            let (found, labels) = key.split_once('{').unwrap_or((key, ""));
            (found == name && labels.contains(label)).then(|| value.parse::<u64>().unwrap())
        });
        values.sum()
    }

    /// Waits until a metric has that value.
    pub(crate) fn wait_metric(&self, name: &str, value: u64) {
        wait_until(&format!("{name} is {value}"), || self.metric(name, "") == value);
    }

    /// Waits until so many agents take requests.
    pub(crate) fn wait_available(&self, agents: u32) {
        self.wait_metric("mesh_tunnels_available", u64::from(agents));
    }
}

/// Settings with which an agent notices and comes back within a fraction of a second. The connect
/// timeout is not among them: where the test itself is the ingress, the agent has to wait for a test
/// that gets no processor for a while.
const QUICK: [&str; 6] =
    ["--reconnect-min", "0.05", "--reconnect-max", "0.2", "--health-check-interval", "0.1"];

/// `mesh client` for the host of these tests.
pub(crate) fn agent(tunnels: SocketAddr, service: &Service, words: &[&str]) -> Process {
    let words = [&QUICK, words].concat();
    bare_agent(&format!("ws://{tunnels}"), &service.url(), HOST, &words)
}

/// The same with its defaults: whom it dials, what for, and under which name.
pub(crate) fn bare_agent(ingress: &str, local: &str, host: &str, words: &[&str]) -> Process {
    let fixed =
        ["client", "--ingress-endpoint", ingress, "--local-endpoint", local, "--host", host];
    Process::start(&[&fixed, words].concat())
}

/// An ingress, an agent and a service that answers through them.
pub(crate) fn mesh(server: &[&str], client: &[&str]) -> (Server, Process, Service) {
    let (server, service) = (Server::start(server), Service::start("a"));
    let agent = agent(server.tunnels, &service, client);
    server.wait_available(1);
    (server, agent, service)
}
