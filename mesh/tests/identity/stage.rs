//! An ingress with rules and agents with credentials, as real processes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::aws::python;
use crate::peers::process::{Place, Process, Server};
use crate::peers::service::Service;

/// Variables of a process.
pub(crate) type Variables = Vec<(&'static str, String)>;

/// `mesh server` with this text as its configuration file. Of the surroundings it sees only
/// `variables`.
pub(crate) fn ingress(configuration: &str, variables: &Variables, words: &[&str]) -> Server {
    let file = Scratch::new().file("server.yaml", configuration);
    let words = [words, &["--config", file.to_str().unwrap()]].concat();
    let variables = alone(variables);
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, &**value)).collect();
    Server::start_among(Place::own(), &variables, &words)
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
    command
        .args(["client", &format!("--ingress-endpoint=ws://{tunnels}")])
        .arg(format!("--local-endpoint={}", service.url()))
        .args(["--reconnect-min=0.05", "--reconnect-max=0.2", "--health-check-interval=0.1"])
        .args(hosts.iter().map(|host| format!("--host={host}")))
        .args(words)
        .envs(alone(variables));
    Process::spawn(&mut command)
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
}
