//! What is shipped beside the programs: documents, units, and an example for ECS.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{CRATES, read, root, sources};

/// Every file below the root with that ending that is ours.
fn files(extension: &str) -> Vec<PathBuf> {
    const FOREIGN: [&str; 4] = [".git", "node_modules", "target", "cdk.out"];
    fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder of the project").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && !FOREIGN.iter().any(|foreign| name == *foreign) {
                walk(&path, extension, found);
            } else if !is_folder && path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), extension, &mut found);
    found.sort();
    found
}

/// The anchors that a renderer makes of a document's headings.
fn anchors(document: &str) -> BTreeSet<String> {
    let headings = outside_of_blocks(document).filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let text = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

fn outside_of_blocks(document: &str) -> impl Iterator<Item = &str> {
    let mut is_block = false;
    document.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_block ^= is_fence;
        !is_block && !is_fence
    })
}

#[test]
fn every_link_in_a_document_leads_somewhere() {
    let mut dead = Vec::new();
    for path in files("md") {
        let text = read(&path);
        // Links may be broken across lines in their text, not in their target.
        for line in outside_of_blocks(&text) {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                if target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
                let folder = path.parent().expect("a file is in a folder");
                let file = if file.is_empty() { path.clone() } else { folder.join(file) };
                let is_document = file.extension().is_some_and(|extension| extension == "md");
                let leads_there = file.exists()
                    && (anchor.is_empty()
                        || !is_document
                        || anchors(&read(&file)).contains(anchor));
                if !leads_there {
                    dead.push(format!("{}: {target}", path.display()));
                }
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

/// The file of a module as the log names it, such as `mesh_reactor::watch`.
fn file_of(module: &str) -> Option<PathBuf> {
    let mut parts = module.split("::");
    let name = parts.next()?.strip_prefix("mesh_")?;
    let inner: PathBuf = parts.collect();
    let sources = [format!("core/{name}/src"), format!("{name}/src")];
    let inner = if inner.as_os_str().is_empty() { PathBuf::from("lib") } else { inner };
    let mut files =
        sources.iter().map(|folder| Path::new(folder).join(&inner).with_extension("rs"));
    files.find(|file| root().join(file).is_file())
}

#[test]
fn every_line_of_the_log_in_a_document_names_a_module_that_logs() {
    let mut seen = 0;
    for path in files("md") {
        for rest in read(&path).split("[mesh_").skip(1) {
            let module = format!("mesh_{}", rest.split(']').next().expect("a part"));
            let file = file_of(&module);
            let logs = file.is_some_and(|file| read(file).contains("log::"));
            assert!(logs, "{}: {module}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 0, "the documents show how the log looks");
}

/// Where a document says that code is: each `name` of "`name` and `another` in `file.rs`", with the
/// file.
fn places(document: &str) -> Vec<(String, String)> {
    let text: Vec<_> = outside_of_blocks(document).collect();
    let text = text.join("\n");
    let mut found = Vec::new();
    for paragraph in text.split("\n\n") {
        // Every second part is code, the first one is not.
        let parts: Vec<_> = paragraph.split('`').collect();
        for at in (3..parts.len()).step_by(2) {
            let is_code = Path::new(parts[at]).extension().is_some_and(|ending| ending == "rs");
            if !is_code || parts[at - 1].trim() != "in" {
                continue;
            }
            for name in (1..at - 1).rev().step_by(2) {
                let is_file = parts[name].contains(['.', '/']);
                let joint = parts[name + 1].trim();
                if is_file || !["in", "and", "or", ",", ", and"].contains(&joint) {
                    break;
                }
                found.push((parts[name].to_owned(), parts[at].to_owned()));
            }
        }
    }
    found
}

/// Whether there is a function, a type or a constant of that name.
fn declares(text: &str, name: &str) -> bool {
    let goes_on = |rest: &str| rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    ["fn", "struct", "enum", "trait", "type", "const"]
        .iter()
        .any(|kind| text.split(&format!("{kind} {name}")).skip(1).any(|rest| !goes_on(rest)))
}

#[test]
fn documents_know_where_code_is() {
    assert_eq!(
        places("`a` and `B::c` in\n`d.rs`; `e` in `f.txt`, `x.rs`"),
        [("B::c".to_owned(), "d.rs".to_owned()), ("a".to_owned(), "d.rs".to_owned())]
    );
    let code: Vec<_> = CRATES.iter().flat_map(|name| sources(name)).collect();
    let mut lost = Vec::new();
    for path in files("md") {
        for (name, file) in places(&read(&path)) {
            let word = name.rsplit("::").next().expect("a part");
            let mut texts = code.iter().filter(|(path, _)| path.ends_with(&file));
            if !texts.any(|(_, text)| declares(text, word)) {
                lost.push(format!("{}: {name} in {file}", path.display()));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

/// sudo looks for programs in folders of its own, and `/usr/local/bin` is not among them everywhere.
#[test]
fn commands_for_root_say_where_our_programs_are() {
    for path in files("md") {
        for line in read(&path).lines().filter(|line| line.starts_with("sudo ")) {
            let programs =
                line.split(['\'', ';']).map(|part| part.trim().trim_start_matches("sudo "));
            let mut programs = programs.filter_map(|part| part.split(' ').next());
            let is_bare = programs.any(|program| ["mesh", "mesh-agent"].contains(&program));
            assert!(!is_bare, "{}: {line}", path.display());
        }
    }
}

/// Cargo reads the manifest of every member, whatever it is to build: an image whose context lacks one
/// cannot be built.
#[test]
fn the_context_of_images_has_every_member_of_the_workspace() {
    let let_in: Vec<_> = read(".dockerignore")
        .lines()
        .filter_map(|line| line.strip_prefix('!').map(str::to_owned))
        .collect();
    let manifest = read("Cargo.toml");
    let members = manifest.split("\nmembers = [").nth(1).and_then(|rest| rest.split(']').next());
    let members: Vec<_> = members.unwrap().split('"').skip(1).step_by(2).collect();
    assert!(members.contains(&"mesh"), "{members:?}");
    let is_let_in =
        |member: &str| let_in.iter().any(|folder| Path::new(member).starts_with(folder));
    let lacking: Vec<_> = members.into_iter().filter(|member| !is_let_in(member)).collect();
    assert!(lacking.is_empty(), "{lacking:?}");
}

/// A variable that no flag has would be a warning at best.
fn assert_documented(variable: &str, place: &str) {
    let documented = read("docs/configuration.md");
    let flag = variable.trim_start_matches("MESH_").to_lowercase().replace('_', "-");
    assert!(
        documented.contains(&format!("| `--{flag}` |"))
            || documented.contains(&format!("`{variable}`")),
        "{place}: {variable}"
    );
}

#[test]
fn templates_of_settings_name_settings_that_exist() {
    for name in ["systemd/agent.env", "systemd/ingress.env"] {
        for line in read(name).lines() {
            if let Some((variable, _)) = line.trim_start_matches('#').split_once('=')
                && variable.starts_with("MESH_")
            {
                assert_documented(variable, name);
            }
        }
    }
}

#[test]
fn units_leave_time_for_the_drain_and_name_programs_that_exist() {
    let cases = [
        ("mesh-agent", "/usr/local/bin/mesh-agent", 30),
        ("mesh-ingress", "/usr/local/bin/mesh server", 25),
    ];
    for (name, program, drain) in cases {
        let unit = read(format!("systemd/{name}.service"));
        let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        assert_eq!(value("ExecStart="), program);
        assert_eq!(value("Type="), "notify");
        let stop: u32 = value("TimeoutStopSec=").trim_end_matches('s').parse().unwrap();
        assert!(stop > drain, "{name}");
    }
}

/// A file that is bound by itself is seen as it was at the start, whatever is renamed into its place.
#[test]
fn an_agent_that_cannot_see_new_name_servers_gives_up() {
    let files = files("service").into_iter().chain(files("conf"));
    let units: Vec<_> = files.filter(|file| file.starts_with(root().join("systemd"))).collect();
    let texts = units.iter().map(|unit| fs::read_to_string(unit).unwrap());
    let binding: Vec<_> = texts.filter(|text| text.contains("/etc/resolv.conf")).collect();
    assert!(units.len() > 4 && binding.len() == 1, "{} of {units:?}", binding.len());
    let seconds =
        binding[0].lines().find_map(|line| line.strip_prefix("Environment=MESH_GIVE_UP_AFTER="));
    assert!(seconds.is_some_and(|seconds| seconds.parse::<u32>().is_ok_and(|number| number > 60)));
}

#[test]
fn the_ingress_for_ecs_drains_before_it_is_killed_and_has_the_ports_of_the_load_balancer() {
    let name = "docs/ecs/ingress-task-definition.json";
    let task: Value = serde_json::from_str(&read(name)).unwrap();
    let ingress = &task["containerDefinitions"][0];
    assert_eq!(ingress["command"][0], "server");
    let ports = ingress["portMappings"].as_array().unwrap();
    // Service Connect passes bytes as they are only without appProtocol.
    assert!(ports.iter().all(|port| port.get("appProtocol").is_none()));
    let ports: Vec<_> = ports.iter().map(|port| port["containerPort"].as_u64()).collect();
    assert_eq!(ports, [Some(8080), Some(8081), Some(8082)]);
    let environment = ingress["environment"].as_array().unwrap();
    for variable in environment {
        assert_documented(variable["name"].as_str().unwrap(), name);
    }
    let seconds = |name: &str| -> u64 {
        let found = environment.iter().find(|variable| variable["name"] == name).unwrap();
        found["value"].as_str().unwrap().parse().unwrap()
    };
    assert!(seconds("MESH_DRAIN_TIMEOUT") < ingress["stopTimeout"].as_u64().unwrap());
    assert!(seconds("MESH_WARM_UP") > 30, "agents try again after up to 30 s");
}

#[test]
fn the_example_for_ecs_is_a_task_that_ecs_anywhere_runs() {
    let task: Value = serde_json::from_str(&read("docs/ecs/task-definition.json")).unwrap();
    assert_eq!(task["requiresCompatibilities"][0], "EXTERNAL");
    // ECS Anywhere knows no awsvpc.
    assert_eq!(task["networkMode"], "bridge");
    assert!(task["taskRoleArn"].as_str().unwrap().contains(":role/"));
    let containers = task["containerDefinitions"].as_array().unwrap();
    let named = |name: &str| containers.iter().find(|found| found["name"] == name).unwrap();
    let (service, agent) = (named("service"), named("mesh-agent"));
    for container in containers {
        assert_eq!(container["essential"], true);
        assert!(container["memory"].is_number() && container["image"].is_string());
        // A tag that moves makes a rollback none.
        assert!(!container["image"].as_str().unwrap().ends_with(":latest"));
    }
    assert_eq!(agent["command"][0], "client");
    assert_eq!(agent["links"][0], "service");
    assert_eq!(agent["dependsOn"][0]["containerName"], "service");
    // The agent drains for 30 s, and the service outlives it.
    let stop = |container: &Value| container["stopTimeout"].as_u64().unwrap();
    assert!(stop(agent) > 30 && stop(service) > stop(agent) && stop(service) <= 120);
    let environment = agent["environment"].as_array().unwrap();
    for variable in environment {
        assert_documented(variable["name"].as_str().unwrap(), "docs/ecs/task-definition.json");
    }
    let value = |name: &str| {
        let found = environment.iter().find(|variable| variable["name"] == name).unwrap();
        found["value"].as_str().unwrap().to_owned()
    };
    assert!(value("MESH_LOCAL_ENDPOINT").starts_with("http://service:"), "by its link");
    assert!(value("MESH_INGRESS_ENDPOINT").starts_with("wss://"));
    assert!(!value("MESH_HOST").is_empty());
    // docs/operations.md, "Memory": with TLS, twice as many tunnels while they move, and 6 MiB for
    // the program itself.
    let number = |name: &str| value(name).parse::<f64>().unwrap();
    let tunnel_mib = number("MESH_MAX_STREAMS") * 0.5 + 9.1;
    let most_mib = 1.25 * 2.0 * number("MESH_TUNNELS") * tunnel_mib + 6.0 + 6.0;
    assert!(most_mib < agent["memory"].as_f64().unwrap(), "{most_mib} MiB");
}
