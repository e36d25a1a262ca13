//! Finds out of which commit this is: `MESH_COMMIT` says so, else git. Without either, nobody does.
//!
//! Only the commit gets into the program, no time, no path and no name, so that building it again
//! gives the same bytes.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// As many digits as tell the commits of a project apart.
const DIGITS: usize = 12;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=MESH_COMMIT");
    let given = env::var("MESH_COMMIT").unwrap_or_default();
    let commit = match given.trim() {
        "" => of_git().unwrap_or_default(),
        given => short(given).unwrap_or_else(|| {
            println!("cargo::warning=MESH_COMMIT is no commit and is ignored: {given:?}");
            String::new()
        }),
    };
    println!("cargo::rustc-env=MESH_COMMIT={commit}");
}

fn short(commit: &str) -> Option<String> {
    let is_one = commit.len() >= 7 && commit.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_one.then(|| commit.chars().take(DIGITS).collect::<String>().to_ascii_lowercase())
}

/// The commit that is checked out, if this is our repository: sources may also lie unpacked within
/// somebody else's.
fn of_git() -> Option<String> {
    let root = manifest_dir()?.join("../..").canonicalize().ok()?;
    let found = git(&["rev-parse", "--show-toplevel"])?;
    if Path::new(&found).canonicalize().ok()? != root {
        return None;
    }
    // What changes when another commit is checked out: the branch that HEAD names, what it leads
    // to, and the diary of both. A file that is not there would have this run each time.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--git-path", name]).map(PathBuf::from);
        if let Some(path) = path.filter(|path| path.exists()) {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    short(&git(&["rev-parse", "HEAD"])?)
}

fn git(words: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(words)
        .current_dir(manifest_dir()?)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// Where this file is now: it may have been compiled elsewhere.
fn manifest_dir() -> Option<PathBuf> {
    env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from)
}
