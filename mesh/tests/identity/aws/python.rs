//! The Python environment in which moto and botocore live.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::peers::missing::miss;
use crate::peers::process::forget_surroundings;

/// Where the scripts lie.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/identity/python");

/// Where everything that the tests write lies, the environment too; it is below the target folder
/// and stays to be looked at.
pub(crate) fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("identity");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// One of the scripts, in the environment; nothing, and a sentence, where that cannot be made.
pub(crate) fn script(name: &str) -> Option<Command> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let interpreter = match FOUND.get_or_init(make) {
        Ok(interpreter) => interpreter,
        Err(reason) => return miss(reason),
    };
    let mut command = Command::new(interpreter);
    forget_surroundings(command.arg("-I").arg(path(name)));
    Some(command)
}

/// What a script prints about `input`.
///
/// # Panics
/// When it fails.
pub(crate) fn ask(command: &mut Command, input: &str) -> String {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaints}");
    String::from_utf8(output.stdout).unwrap()
}

fn path(name: &str) -> PathBuf {
    Path::new(SCRIPTS).join(name)
}

/// The interpreter of the environment, which is made first where there is none.
fn make() -> Result<PathBuf, String> {
    // pip may need the proxy and the settings of whoever runs the tests.
    let made = Command::new("python3")
        .arg("-I")
        .arg(path("environment.py"))
        .arg(folder())
        .arg(path("requirements.txt"))
        .stdin(Stdio::null())
        .output();
    let made = made.map_err(|error| format!("python3 cannot be started: {error}"))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
    if made.status.success() { Ok(text(made.stdout).into()) } else { Err(text(made.stderr)) }
}
