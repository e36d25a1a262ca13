//! A mesh in one line: an ingress, an agent and a service, on ports of the system's choice and with
//! times so short that nobody has to wait for them.

use std::net::SocketAddr;
use std::process::Command;

use super::binaries;
use super::origin::Origin;
use crate::peers::caller::HOST;
use crate::peers::place::own_ip;
use crate::peers::process::{Process, Server};
use crate::peers::wire::Wire;

/// A whole mesh. Its parts are gone at the end of the test.
#[derive(Debug)]
pub(crate) struct Mesh {
    pub(crate) server: Server,
    pub(crate) client: Process,
}

impl Mesh {
    /// A mesh in front of the sample service.
    pub(crate) fn start() -> (Self, TestApp) {
        let app = TestApp::start();
        (Self::before(app.address), app)
    }

    /// A mesh in front of a service that the test plays itself.
    pub(crate) fn start_by_hand() -> (Self, Origin) {
        let origin = Origin::start();
        (Self::before(origin.address), origin)
    }

    /// A mesh in front of what listens there.
    pub(crate) fn before(service: SocketAddr) -> Self {
        let server = Server::start(&[]);
        let client = client(server.tunnels, service, &[HOST]);
        server.wait_available(1);
        Self { server, client }
    }

    /// A new connection of a caller.
    pub(crate) fn call(&self) -> Wire {
        Wire::connect(self.server.traffic)
    }
}

/// `mesh client` for these hosts.
pub(crate) fn client(tunnels: SocketAddr, service: SocketAddr, hosts: &[&str]) -> Process {
    let words = client_words(tunnels, service, hosts);
    Process::spawn(Command::new(binaries::MESH).arg("client").args(words))
}

/// The same with the small binary.
pub(crate) fn mesh_agent(tunnels: SocketAddr, service: SocketAddr, hosts: &[&str]) -> Process {
    let words = client_words(tunnels, service, hosts);
    Process::spawn(Command::new(binaries::mesh_agent()).args(words))
}

fn client_words(tunnels: SocketAddr, service: SocketAddr, hosts: &[&str]) -> Vec<String> {
    let hosts = hosts.iter().map(|host| format!("--host={host}"));
    let words = [
        format!("--ingress-endpoint=ws://{tunnels}"),
        format!("--local-endpoint=http://{service}"),
        "--health-check-interval=0.2".to_owned(),
        "--reconnect-min=0.05".to_owned(),
    ];
    words.into_iter().chain(hosts).collect()
}

/// The sample service in its own process.
#[derive(Debug)]
pub(crate) struct TestApp {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl TestApp {
    pub(crate) fn start() -> Self {
        let mut command = Command::new(binaries::test_app());
        let process = Process::spawn(command.env("BIND", own_ip().to_string()).env("PORT", "0"));
        let address = process.wait_said("listening on http://").parse().unwrap();
        Self { process, address }
    }
}
