//! An ingress with rules and agents with credentials, as real processes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::aws::python;
use crate::aws::seed::Identity;
use crate::peers::binaries::mesh_agent;
use crate::peers::caller::{Response, ask};
use crate::peers::process::{Place, Process, Server};
use crate::peers::service::Service;

/// Variables of a process.
pub(crate) type Variables = Vec<(&'static str, String)>;

/// The name by which the agents of these tests know the ingress.
pub(crate) const SERVER_ID: &str = "mesh.example.com";
/// Where everything is.
pub(crate) const REGION: &str = "eu-central-1";

/// `mesh server` with this text as its configuration file. Of the surroundings it sees only
/// `variables`.
pub(crate) fn ingress(configuration: &str, variables: &Variables, words: &[&str]) -> Server {
    ingress_at(Place::own(), configuration, variables, words)
}

fn ingress_at(place: Place, configuration: &str, own: &Variables, words: &[&str]) -> Server {
    let file = Scratch::new().file("server.yaml", configuration);
    ingress_from(place, &file, own, words)
}

fn ingress_from(place: Place, file: &Path, own: &Variables, words: &[&str]) -> Server {
    let words = [words, &["--config", file.to_str().unwrap()]].concat();
    let variables = alone(own);
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, &**value)).collect();
    Server::start_among(place, &variables, &words)
}

/// The same with a name, before this AWS, as somebody there.
pub(crate) fn strict(own: &Identity, aws: &str, configuration: &str, words: &[&str]) -> Server {
    strict_at(Place::own(), own, aws, configuration, words)
}

/// The same with a configuration file of the test's own.
pub(crate) fn strict_from(file: &Path, own: &Identity, aws: &str) -> Server {
    let endpoints = ["--sts-endpoint", aws, "--ecs-endpoint", aws, "--server-id", SERVER_ID];
    ingress_from(Place::own(), file, &own.variables(), &endpoints)
}

/// The same there.
pub(crate) fn strict_at(
    place: Place,
    own: &Identity,
    aws: &str,
    configuration: &str,
    words: &[&str],
) -> Server {
    let endpoints = ["--sts-endpoint", aws, "--ecs-endpoint", aws, "--server-id", SERVER_ID];
    ingress_at(place, configuration, &own.variables(), &[&endpoints, words].concat())
}

/// `mesh client` for these hosts, quick to come back. Of the surroundings it sees only `variables`.
pub(crate) fn agent(
    tunnels: SocketAddr,
    service: &Service,
    hosts: &[&str],
    variables: &Variables,
    words: &[&str],
) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
    command.arg("client").args(hosts.iter().map(|host| format!("--host={host}"))).args(words);
    spawn(command, tunnels, service, variables)
}

/// The same for the ingress of [`strict`], and before this AWS.
pub(crate) fn client(
    aws: &str,
    server: &Server,
    service: &Service,
    variables: &Variables,
    words: &[&str],
) -> Process {
    let words = [&["--server-id", SERVER_ID], words].concat();
    agent(server.tunnels, service, &[], &before(aws, variables), &words)
}

/// The same by the program that is an agent alone.
pub(crate) fn lone_client(
    aws: &str,
    server: &Server,
    service: &Service,
    variables: &Variables,
    words: &[&str],
) -> Process {
    let mut command = Command::new(mesh_agent());
    command.args(["--server-id", SERVER_ID]).args(words);
    spawn(command, server.tunnels, service, &before(aws, variables))
}

fn spawn(
    mut command: Command,
    tunnels: SocketAddr,
    service: &Service,
    variables: &Variables,
) -> Process {
    command
        .arg(format!("--ingress-endpoint=ws://{tunnels}"))
        .arg(format!("--local-endpoint={}", service.url()))
        .args(["--reconnect-min=0.05", "--reconnect-max=0.2", "--health-check-interval=0.1"])
        .envs(alone(variables));
    Process::spawn(&mut command)
}

fn before(aws: &str, variables: &Variables) -> Variables {
    let mut variables = variables.clone();
    for (name, value) in [("AWS_ENDPOINT_URL", aws), ("AWS_REGION", REGION)] {
        if !variables.iter().any(|(set, _)| *set == name) {
            variables.push((name, value.to_owned()));
        }
    }
    variables
}

/// With these variables a program finds no credentials but those of the test: no home, and no EC2,
/// unless the test says so.
fn alone(variables: &Variables) -> Variables {
    let mut alone = variables.clone();
    for (name, value) in [("HOME", "/nonexistent"), ("AWS_EC2_METADATA_DISABLED", "true")] {
        if !alone.iter().any(|(set, _)| *set == name) {
            alone.push((name, value.to_owned()));
        }
    }
    alone
}

/// A caller's request for that host.
pub(crate) fn get(server: &Server, host: &str) -> Response {
    ask(server.traffic, format!("GET /hello HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

/// What the ingress tells of its agents, in the order of their registrations.
pub(crate) fn services(server: &Server) -> Vec<serde_json::Value> {
    let page: serde_json::Value =
        serde_json::from_slice(&server.page("/debug/services").body).unwrap();
    let mut services = page["services"].as_array().unwrap().clone();
    services.sort_by_key(|service| service["session"].as_str().unwrap().parse::<u64>().unwrap());
    services
}

/// What the ingress decided about agents so far: as many lines as its audit should have.
pub(crate) fn decisions(server: &Server) -> u64 {
    let names = ["mesh_registrations_total", "mesh_registrations_refused_total"];
    let withdrawn = server.metric("mesh_registrations_withdrawn_total", "");
    names.iter().map(|name| server.metric(name, "")).sum::<u64>() + withdrawn
}

/// A folder that nobody else uses. It stays, to be looked at.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        // Few numbers, so that the folders do not become ever more.
        let name = format!("scratch-{}-{number}", std::process::id() % 100);
        let path = python::folder().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A file in it with this text.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Puts this text in place of a file's in one step, as what rotates keys does.
    pub(crate) fn replace(&self, name: &str, text: &str) {
        let new = self.file(&format!("{name}.new"), text);
        std::fs::rename(new, self.0.join(name)).unwrap();
    }
}
