//! The IAM policies of the documentation are what a linter thinks well of, and what the page shows.

use std::path::{Path, PathBuf};

use crate::aws::python;
use crate::stage::Scratch;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/iam")
}

fn policies() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).unwrap().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn lint(paths: &[PathBuf]) -> Option<String> {
    Some(python::ask(python::script("policies.py")?.args(paths), ""))
}

#[test]
fn the_policies_have_no_fault() {
    let policies = policies();
    assert!(policies.len() >= 3, "{policies:?}");
    let Some(findings) = lint(&policies) else { return };
    assert_eq!(findings, "");
}

#[test]
fn every_policy_is_on_the_page_about_security() {
    let page = std::fs::read_to_string(folder().join("../security.md")).unwrap();
    for path in policies() {
        let name = path.file_name().unwrap().to_string_lossy();
        assert!(page.contains(&format!("(iam/{name})")), "{name}");
    }
}

/// ECS knows no narrower resource for it than the cluster, and the ECS agent does not call it.
#[test]
fn no_host_may_put_others_out() {
    let policy = std::fs::read_to_string(folder().join("anywhere-host.json")).unwrap();
    assert!(policy.contains("\"ecs:RegisterContainerInstance\""), "{policy}");
    assert!(!policy.contains("DeregisterContainerInstance"), "{policy}");
}

#[test]
fn the_linter_finds_faults() {
    let statement = |text: &str| {
        format!(
            "{{\"Version\": \"2012-10-17\", \"Statement\": [{{\"Effect\": \"Allow\", {text}}}]}}"
        )
    };
    let faulty = [
        (
            "\"Action\": \"ecs:DescribeTask\", \"Resource\": \"arn:aws:ecs:*:*:task/a/*\"",
            "no such action",
        ),
        ("\"Action\": \"ecs:DescribeTasks\", \"Resource\": \"*\"", "not limited"),
        (
            "\"Action\": [\"ecs:DiscoverPollEndpoint\", \"ecs:Poll\"], \"Resource\": \"*\"",
            "not limited",
        ),
        (
            "\"Action\": \"ecs:DescribeTasks\", \"Resource\": \"arn:aws:s3:::bucket\"",
            "RESOURCE_MISMATCH",
        ),
        ("\"Action\": \"sts:AssumeRole\", \"Principal\": {\"AWS\": \"*\"}", "trusts too many"),
    ];
    let scratch = Scratch::new();
    for (index, (text, expected)) in faulty.iter().enumerate() {
        let file = scratch.file(&format!("{index}.json"), &statement(text));
        let Some(findings) = lint(&[file]) else { return };
        assert!(findings.contains(expected), "{text}: {findings:?}");
    }
}
