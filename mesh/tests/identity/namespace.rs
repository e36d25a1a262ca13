//! A network of a test's own, in which AWS's link-local addresses belong to this machine.
//!
//! The test runs itself anew, alone, under `unshare`: as root with a network of its own, otherwise
//! as root of a namespace of its own. Containers often forbid both, and that is no failure.

use std::any::type_name;
use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::aws::python;

/// Names the test that runs inside.
const INSIDE: &str = "IDENTITY_TEST_INSIDE";

/// The addresses: ECS's and EC2's. Where the machine has no IPv6, the last one is missing.
const SET_UP: &str = "
    set -e
    ip link set lo up
    ip address add 169.254.170.2/32 dev lo
    ip address add 169.254.169.254/32 dev lo
    ip address add fd00:ec2::254/128 dev lo nodad 2>/dev/null || true
    exec \"$@\"
";

/// Runs `test`, which is the whole of a test, in such a network.
///
/// # Panics
/// When it fails there.
pub(crate) fn inside<T: FnOnce()>(test: T) {
    let name = test_name::<T>();
    if std::env::var_os(INSIDE).is_some_and(|inside| *inside == *name) {
        return test();
    }
    // In there nothing can be downloaded.
    if python::script("serve.py").is_none() {
        return;
    }
    let Some(unshare) = unshare() else {
        let _ = writeln!(std::io::stderr(), "not tested: no network namespace can be made here");
        return;
    };
    // A file, because whatever the test leaves behind would keep a pipe open.
    let file = format!("{}.log", name.replace("::", "-"));
    let log = python::folder().join(file);
    let written = File::create(&log).unwrap();
    let status = Command::new("unshare")
        .args(unshare)
        .args(["sh", "-c", SET_UP, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([&*name, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, &*name)
        .stdin(Stdio::null())
        .stdout(written.try_clone().unwrap())
        .stderr(written)
        .status()
        .unwrap();
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(status.success() && said.contains("1 passed"), "{name}, inside:\n{said}");
}

/// The arguments with which `unshare` works here.
fn unshare() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [&["--net"], &["--map-root-user", "--net"]];
    ways.into_iter().find(|way| {
        let mut probe = Command::new("unshare");
        probe.args(*way).args(["ip", "link", "set", "lo", "up"]);
        let probe = probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    })
}

/// The name under which the harness knows the test whose closure this is.
fn test_name<T>() -> String {
    let path = type_name::<T>().trim_end_matches("::{{closure}}");
    let (_crate, name) = path.split_once("::").expect("a closure has a path");
    name.to_owned()
}
