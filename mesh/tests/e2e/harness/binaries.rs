//! Where the programs are that cargo does not build for these tests by itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// `mesh`, which cargo built for these tests.
pub(crate) const MESH: &str = env!("CARGO_BIN_EXE_mesh");

/// `mesh-agent`, as old as `mesh` at most.
pub(crate) fn mesh_agent() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| fresh("mesh-agent"))
}

/// `test-app`, the sample service.
pub(crate) fn test_app() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| fresh("test-app"))
}

/// The program beside `mesh`, built first unless it is newer than that: packages and programs are
/// named alike.
fn fresh(name: &str) -> PathBuf {
    let program = Path::new(MESH).with_file_name(name);
    let age = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    if age(&program) < age(Path::new(MESH)) {
        build(name);
    }
    assert!(program.exists(), "{} was not built", program.display());
    program
}

/// Builds with the profile and in the target directory of `mesh`.
fn build(package: &str) {
    let profile_dir = Path::new(MESH).parent().unwrap();
    let profile = match profile_dir.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    let mut cargo = Command::new(env!("CARGO"));
    // What cargo told these tests about their own package would have it compile others anew.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&*name);
        }
    }
    let built = cargo
        .args(["build", "--quiet", "--locked", "--package", package, "--profile", profile])
        .arg("--target-dir")
        .arg(profile_dir.parent().unwrap())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(built.success(), "cargo build --package {package}");
}
