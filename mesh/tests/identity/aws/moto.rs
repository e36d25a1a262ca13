//! moto's server as a process, with an account in it. It verifies each signature and each policy.
//!
//! What it does not do as AWS does: it takes signatures of any age, and of policies only the actions
//! count; it answers with XML what it refuses of ECS; `DescribeTasks` finds tasks of other
//! clusters; the ids of tasks are UUIDs with dashes.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::python;
use super::seed::{Identity, Seed};
use crate::peers::place::own_address;

/// For Python to load all of moto on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// The account's server. It ends with this value, or with the process of the tests.
#[derive(Debug)]
pub(crate) struct Moto {
    _process: Running,
    pub(crate) address: SocketAddr,
    pub(crate) seed: Seed,
}

/// Killed in the end.
#[derive(Debug)]
struct Running(Child);

impl Moto {
    /// The one that all tests of this process share. They leave what is in it as it is.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Moto>> = OnceLock::new();
        let shared = SHARED.get_or_init(Self::start).as_ref();
        // For the sentence that says why there is none.
        shared.or_else(|| python::script("serve.py").and(None))
    }

    /// One whose account the test may change.
    pub(crate) fn start() -> Option<Self> {
        // moto wants to know its port beforehand; nobody else has this address.
        let address = TcpListener::bind(own_address()).unwrap().local_addr().unwrap();
        let log = format!("moto-{}.log", address.ip());
        let log = File::create(python::folder().join(log)).unwrap();
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let mut server = python::script("serve.py")?;
        let server = server.args([&ip, &port]).stdin(Stdio::piped());
        let server = server.stdout(log.try_clone().unwrap()).stderr(log);
        let mut process = Running(server.spawn().unwrap());
        let due = Instant::now() + START_PATIENCE;
        while TcpStream::connect(address).is_err() {
            let is_running = process.0.try_wait().unwrap().is_none();
            assert!(is_running && Instant::now() < due, "moto does not listen on {address}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let policies = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/iam");
        let seed = python::ask(
            python::script("seed.py")?.args([&format!("http://{address}"), policies]),
            "",
        );
        Some(Self { _process: process, address, seed: serde_json::from_str(&seed).unwrap() })
    }

    /// What the settings `sts-endpoint` and `ecs-endpoint` want.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// One call by boto3, such as `("ecs", "stop_task", {"cluster": .., "task": ..})`. What is
    /// refused comes back as `{"refused": CODE}`.
    pub(crate) fn call(
        &self,
        by: &Identity,
        (service, operation): (&str, &str),
        parameters: &Value,
    ) -> Value {
        let mut asked = json!(by);
        asked["service"] = service.into();
        asked["operation"] = operation.into();
        asked["parameters"] = parameters.clone();
        asked["region"] = self.seed.region.as_str().into();
        let mut script = python::script("call.py").expect("moto runs in it");
        let answer = python::ask(script.arg(self.url()), &asked.to_string());
        serde_json::from_str(&answer).unwrap()
    }

    pub(crate) fn user(&self, name: &str) -> &Identity {
        &self.seed.users[name]
    }

    pub(crate) fn session(&self, name: &str) -> &Identity {
        &self.seed.sessions[name]
    }

    pub(crate) fn task(&self, name: &str) -> &super::seed::Task {
        &self.seed.tasks[name]
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
