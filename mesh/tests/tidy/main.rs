//! The rules of the house that no compiler knows: layers, sizes, and words.

mod shipping;

use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file below `folder`, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder of the project").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    found.sort();
    found.into_iter().map(|path| (path.clone(), read(path))).collect()
}

const CRATES: [&str; 11] = [
    "bench/load",
    "bench/micro",
    "core/aws",
    "core/protocol",
    "core/reactor",
    "core/settings",
    "core/sim",
    "ingress",
    "agent",
    "mesh",
    "test-app",
];

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
}

#[test]
fn no_file_grows_beyond_what_a_reader_holds_in_mind() {
    let long: Vec<_> = CRATES
        .iter()
        .flat_map(|name| sources(&format!("{name}/src")))
        .filter(|(path, _)| !is_test(path))
        .map(|(path, text)| (text.lines().count(), path))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .collect();
    assert!(long.is_empty(), "split by state machine, not by size: {long:?}");
}

#[test]
fn every_file_says_first_what_it_is() {
    let mute: Vec<_> = CRATES
        .iter()
        .flat_map(|name| sources(&format!("{name}/src")))
        .filter(|(path, text)| !is_test(path) && !text.starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    assert!(mute.is_empty(), "{mute:?}");
}

/// The folders of the layers, and what each may build on.
#[test]
fn the_layers_build_only_on_what_lies_below() {
    let layers: [(&str, &[&str]); 8] = [
        ("core/aws", &[]),
        ("core/protocol", &[]),
        ("core/settings", &[]),
        ("core/reactor", &["mesh-protocol"]),
        ("core/sim", &["mesh-protocol"]),
        ("ingress", &["mesh-protocol"]),
        ("agent", &["mesh-aws", "mesh-protocol", "mesh-reactor", "mesh-settings"]),
        (
            "mesh",
            &[
                "mesh-agent",
                "mesh-aws",
                "mesh-ingress",
                "mesh-protocol",
                "mesh-reactor",
                "mesh-settings",
            ],
        ),
    ];
    for (folder, allowed) in layers {
        let manifest = read(format!("{folder}/Cargo.toml"));
        let normal = manifest.split("[dependencies]").nth(1).unwrap_or("");
        let normal = normal.split("\n[").next().unwrap_or("");
        let ours: Vec<_> = normal
            .lines()
            .filter_map(|line| line.split(['.', ' ']).next())
            .filter(|name| name.starts_with("mesh-"))
            .collect();
        assert_eq!(ours, allowed, "{folder}");
    }
}

/// The applications and the protocols leave sockets, threads, files and clocks to the shells. The
/// lints in their clippy.toml say so too; this keeps the lints from being switched off unseen.
#[test]
fn rules_do_no_input_or_output() {
    const BANNED: [&str; 8] = [
        "std::fs",
        "std::thread",
        "std::env::var",
        "Instant::now",
        "SystemTime::now",
        "TcpStream",
        "TcpListener",
        "RefCell",
    ];
    for folder in ["core/protocol/src", "ingress/src", "agent/src"] {
        for (path, text) in sources(folder) {
            // The small binary of the agent is its own shell.
            let is_shell = path.ends_with("agent/src/main.rs")
                || path.components().any(|part| part.as_os_str() == "args");
            if is_test(&path) || is_shell || path.ends_with("args.rs") {
                continue;
            }
            for word in BANNED {
                assert!(!text.contains(word), "{} uses {word}", path.display());
            }
            // What workers share are numbers, and they are all in one place.
            let is_gauge = path.ends_with("ingress/src/gauge.rs");
            assert!(is_gauge || !text.contains("sync::atomic"), "{}", path.display());
        }
    }
    for folder in ["core/protocol", "ingress", "agent"] {
        let lints = read(format!("{folder}/clippy.toml"));
        assert_eq!(lints, read("core/protocol/clippy.toml"), "{folder}: the same rules for all");
        assert!(read(format!("{folder}/Cargo.toml")).contains("[lints]\nworkspace = true"));
    }
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    assert!(read("Cargo.toml").contains("unsafe_code = \"forbid\""));
    for name in CRATES {
        let manifest = read(format!("{name}/Cargo.toml"));
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name}");
    }
}

#[test]
fn every_direct_dependency_has_its_reason() {
    let reasons = read("deny.toml");
    let workspace = read("Cargo.toml");
    let table = workspace.split("[workspace.dependencies]").nth(1).expect("a table");
    let table = table.split("\n[").next().expect("its end");
    for name in table.lines().filter_map(|line| line.split([' ', '.']).next()) {
        if name.is_empty() || name.starts_with("mesh-") || name.starts_with('#') {
            continue;
        }
        let has_reason = reasons.lines().any(|line| line.starts_with(&format!("# {name} ")));
        assert!(has_reason, "say in deny.toml why {name} is needed");
    }
}

#[test]
fn the_readme_shows_the_two_commands() {
    let readme = read("README.md");
    assert!(readme.contains("cargo run --release --bin mesh -- demo"));
    assert!(readme.contains("cargo test --workspace"));
    assert!(read(".ci/run").contains("cargo test --workspace"));
}

/// Runs the command and returns what it printed; it has to succeed.
fn mesh(words: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_mesh"))
        .args(words)
        .env_clear()
        .output()
        .expect("the binary runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {complaint}");
    String::from_utf8(output.stdout).expect("text")
}

/// The key of a line of a template, whether it is commented out or not.
fn key(line: &str) -> Option<&str> {
    let (key, _) = line.strip_prefix('#').unwrap_or(line).split_once(':')?;
    let is_key = |key: &str| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    (!key.is_empty() && is_key(key)).then_some(key)
}

#[test]
fn the_templates_have_every_setting_with_its_default() {
    for command in ["server", "client"] {
        let path = format!("config/{command}.yaml");
        let template = read(&path);
        let keys: Vec<_> = template.lines().filter_map(key).collect();
        let help = mesh(&[command, "--help"]);
        let flags = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
        let flags = flags.filter_map(|line| line.split_whitespace().next());
        let flags = flags.map(|flag| flag.trim_end_matches(','));
        let elsewhere = ["config", "check", "version", "help", "verbose"];
        for flag in flags.filter(|flag| !elsewhere.contains(flag)) {
            assert!(keys.contains(&flag), "{path} lacks {flag}");
        }
        // As it is, it changes nothing but what is required.
        let file = root().join(&path);
        let report = mesh(&[command, "--check", "--config", file.to_str().expect("text")]);
        assert!(report.lines().count() > 20, "{report}");
        for line in report.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let (setting, origin) = line.split_once('#').expect("an origin");
            if !origin.trim().starts_with("default") {
                continue;
            }
            let (name, value) = setting.trim().split_once(':').expect("a value");
            let value = value.trim();
            let given = template.lines().find(|line| key(line) == Some(name));
            let given = given.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value);
            let is_example = value == "\"\"" || value.is_empty() || value == "none";
            assert!(is_example || given.trim() == value, "{path}: {name} is {value}, not {given}");
        }
    }
}

#[test]
fn every_flag_is_documented() {
    let documented = read("docs/configuration.md");
    for command in ["server", "client", "demo", "health"] {
        let help = std::process::Command::new(env!("CARGO_BIN_EXE_mesh"))
            .args([command, "--help"])
            .output()
            .expect("the binary runs");
        let help = String::from_utf8(help.stdout).expect("text");
        let flags: Vec<_> = help
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .map(|word| word.trim_end_matches(','))
            .filter(|word| word.starts_with("--"))
            .collect();
        assert!(!flags.is_empty(), "{help}");
        for flag in flags {
            assert!(documented.contains(&format!("`{flag}")), "mesh {command} {flag}");
        }
    }
}
