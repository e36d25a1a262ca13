//! Which version of the programs this is, and of which commit.

/// The version of all crates; it stands in the workspace's `Cargo.toml`.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit, as far as the build knew it.
const COMMIT: &str = env!("MESH_COMMIT");

/// `0.1.0 (0123456789ab)`, or without the commit `0.1.0`.
#[must_use]
pub fn version() -> String {
    if COMMIT.is_empty() { VERSION.to_owned() } else { format!("{VERSION} ({COMMIT})") }
}
