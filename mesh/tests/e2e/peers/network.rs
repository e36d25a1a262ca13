//! A network of a test's own, which it may change and break as it likes.
//!
//! The test runs itself anew, alone, under `unshare`: as root with namespaces of its own, otherwise
//! as root of a namespace of its own. Containers often forbid both, and that is no failure but where
//! `CI` is set.

use std::any::type_name;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::peers::missing::miss;

/// Names the test that runs inside.
const INSIDE: &str = "MESH_TEST_INSIDE";

/// What such a network is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Network {
    /// For `sh`, before the test; it ends with `exec "$@"`. `HOSTS` names an empty file of the
    /// test's own.
    pub(crate) script: &'static str,
}

impl Network {
    /// Runs `test`, which is the whole of a test, in such a network.
    ///
    /// # Panics
    /// When it fails there.
    pub(crate) fn inside<T: FnOnce()>(self, test: T) {
        let name = test_name::<T>();
        if std::env::var_os(INSIDE).is_some_and(|inside| *inside == *name) {
            return test();
        }
        let Some(unshare) = unshare() else { return };
        let file = |end: &str| {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("network");
            std::fs::create_dir_all(&folder).unwrap();
            folder.join(format!("{}.{end}", name.replace("::", "-")))
        };
        // A file, because whatever the test leaves behind would keep a pipe open.
        let (log, hosts) = (file("log"), file("hosts"));
        let written = File::create(&log).unwrap();
        File::create(&hosts).unwrap();
        let status = Command::new("unshare")
            .args(unshare)
            .args(["sh", "-c", self.script, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args([&*name, "--exact", "--nocapture", "--test-threads=1"])
            .env(INSIDE, &*name)
            .env("HOSTS", hosts)
            .stdin(Stdio::null())
            .stdout(written.try_clone().unwrap())
            .stderr(written)
            .status()
            .unwrap();
        let said = std::fs::read_to_string(&log).unwrap();
        assert!(status.success() && said.contains("1 passed"), "{name}, inside:\n{said}");
    }
}

/// The arguments with which `unshare` works here; nothing, and a sentence, where it does not.
fn unshare() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [&["--net", "--mount"], &["--map-root-user", "--net", "--mount"]];
    let found = ways.into_iter().find(|way| {
        let mut probe = Command::new("unshare");
        probe.args(*way).args(["ip", "link", "set", "lo", "up"]);
        let probe = probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    });
    found.or_else(|| miss("no network namespace can be made"))
}

/// The name under which the harness knows the test whose closure this is.
fn test_name<T>() -> String {
    let path = type_name::<T>().trim_end_matches("::{{closure}}");
    let (_crate, name) = path.split_once("::").expect("a closure has a path");
    name.to_owned()
}
