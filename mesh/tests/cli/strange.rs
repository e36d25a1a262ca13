//! What is strange in the settings and keeps nothing from starting, and what `--check` looks at.

use std::process::Command;

use super::{TempFile, mesh, run, text};

/// What a command says on standard error that ends with this code.
fn said(command: &mut Command, code: i32) -> Vec<String> {
    let output = command.output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    said.lines().map(str::to_owned).collect()
}

#[test]
fn what_is_strange_is_said_before_what_keeps_a_program_from_starting() {
    let cases: [(&[&str], &str, &str, &str); 4] = [
        (&["client"], "MESH_HOSTS", "MESH_HOST", "mesh: --host is missing; "),
        (
            &["server", "--tls-cert", "a"],
            "MESH_TLS_KY",
            "MESH_TLS_KEY",
            "mesh: --tls-cert: the private key of the certificate is missing; ",
        ),
        (
            &["server", "--access-log", "text", "--access-log-file", "/nowhere/a.log"],
            "MESH_BNID",
            "MESH_BIND",
            "mesh: --access-log-file: open /nowhere/a.log: ",
        ),
        (&["demo", "--log-level", "loud"], "MESH_VERBOS", "MESH_VERBOSE", "mesh: --log-level: "),
    ];
    for (words, strange, meant, error) in cases {
        let said = said(mesh(words).env(strange, "x"), 1);
        let warning = format!(
            "warning: {strange} is not a setting of this command and is ignored; {meant} may be \
             meant"
        );
        assert!(said.len() == 2 && said[0] == warning && said[1].starts_with(error), "{said:?}");
    }
}

/// It is the operator's, who may have it from somebody else.
#[test]
fn what_stands_in_a_name_looks_like_no_other_line_and_steers_no_terminal() {
    let yaml = TempFile::new("names.yaml", "\"x\\n\\x1b[31mred\": 5\n");
    let error = said(&mut mesh(&["server", "--config", yaml.path()]), 1);
    let at = format!("mesh: {} line 1: x\\n\\u{{1b}}[31mred is not a setting", yaml.path());
    assert!(error.len() == 1 && error[0].starts_with(&at), "{error:?}");
    let error = said(&mut mesh(&["server", "--fo\no", "1"]), 2);
    assert!(error.len() == 1 && error[0].starts_with("mesh: --fo\\no is not a flag"), "{error:?}");
    let lines = said(mesh(&["server", "--alb-port", "x"]).env("MESH_X\nY", "1"), 1);
    assert!(lines.len() == 2 && lines[0].starts_with("warning: MESH_X\\nY is not"), "{lines:?}");
}

/// The warnings of a server with this file and these tokens.
fn warnings(yaml: &TempFile, tokens: &str) -> Vec<String> {
    let words = ["server", "--check", "--server-id", "a", "--config", yaml.path()];
    said(mesh(&words).env("MESH_TOKENS", tokens), 0)
}

#[test]
fn a_rule_that_can_match_nobody_is_pointed_out() {
    let rules = "rules:\n\
                 - {token: egde-1, hosts: a.test}\n\
                 - {token: edge-1, hosts: a.test}\n\
                 - {token: \"edge-*\", hosts: a.test}\n\
                 - {token: shop, hosts: a.test}\n\
                 - {certificate: a.test, hosts: a.test}\n";
    let yaml = TempFile::new("rules.yaml", rules);
    let at = |line: usize, rest: &str| format!("warning: {} line {line}: {rest}", yaml.path());
    let certificate = at(
        6,
        "certificate: this rule matches nobody: agents are asked for certificates with \
         --client-ca-file only",
    );
    let expected = [
        at(
            2,
            "token: this rule matches nobody: there is no token of that name; edge-1 may be meant",
        ),
        at(5, "token: this rule matches nobody: there is no token of that name"),
        certificate.clone(),
    ];
    assert_eq!(warnings(&yaml, "edge-1 0123456789abcdef"), expected);
    let without_tokens = warnings(&yaml, "");
    let nobody = |line| at(line, "token: this rule matches nobody: there are no tokens");
    assert_eq!(without_tokens[..4], [2, 3, 4, 5].map(nobody));
    assert_eq!(without_tokens[4..], [certificate]);
}

#[test]
fn files_that_are_not_read_anew_because_of_a_pipe_are_named() {
    let yaml = TempFile::new("anew.yaml", "rules: []\n");
    let words = ["server", "--check", "--config", yaml.path(), "--token-file", "/dev/null"];
    let expected = format!(
        "warning: --token-file: /dev/null cannot be read again, so {} is read only at the start \
         too",
        yaml.path()
    );
    assert!(said(&mut mesh(&words), 0).contains(&expected));
    let alone = said(&mut mesh(&["server", "--check", "--config", "/dev/null"]), 0);
    assert_eq!(alone, [""; 0]);
}

#[test]
fn check_looks_at_the_access_log_and_makes_none() {
    let log = std::env::temp_dir().join(format!("{}-checked.log", std::process::id()));
    let words = |file| ["server", "--check", "--access-log", "text", "--access-log-file", file];
    assert!(run(&words(log.to_str().unwrap())).status.success());
    assert!(!log.exists());
    for file in ["/nowhere/a.log", "/"] {
        let said = said(&mut mesh(&words(file)), 1);
        let expected = format!("mesh: --access-log-file: open {file}: ");
        assert!(said[0].starts_with(&expected), "{said:?}");
    }
}

#[cfg(feature = "aws")]
#[test]
fn check_looks_at_the_settings_of_aws() {
    let role = "arn:aws:iam::123456789012:role/a";
    let words = ["server", "--check", "--server-id", "a", "--allowed-role-arns", role];
    let said = said(mesh(&words).env("AWS_CA_BUNDLE", "/nowhere.pem"), 1);
    assert!(said[0].contains("/nowhere.pem"), "{said:?}");
}
