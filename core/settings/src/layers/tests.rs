use super::{Layers, Origin};
use crate::{Environment, File, Flags};

fn flags(timeout: Option<&str>, hosts: &[&str]) -> Flags {
    Flags::new()
        .one("request-timeout", timeout.map(str::to_owned))
        .many("host", hosts.iter().map(|&host| host.to_owned()).collect())
        .switch("skip-iam-validation", false)
        .one("config", None)
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().copied().collect()
}

fn file(text: &str) -> File {
    File::parse("server.yaml", text).unwrap()
}

#[test]
fn the_first_layer_that_names_a_setting_decides() {
    let from_file = "# first\n\nrequest-timeout: 3\n";
    let variable = [("MESH_REQUEST_TIMEOUT", "2")];
    let empty = [("MESH_REQUEST_TIMEOUT", " ")];
    type Case<'a> =
        (Option<&'a str>, &'a [(&'a str, &'a str)], &'a str, Option<(&'a str, &'a str)>);
    let cases: [Case<'_>; 6] = [
        (Some("1"), &variable, from_file, Some(("1", "--request-timeout"))),
        (None, &variable, from_file, Some(("2", "MESH_REQUEST_TIMEOUT"))),
        (None, &empty, from_file, Some(("3", "server.yaml line 3: request-timeout"))),
        (None, &[], from_file, Some(("3", "server.yaml line 3: request-timeout"))),
        (None, &variable, "", Some(("2", "MESH_REQUEST_TIMEOUT"))),
        (None, &[], "", None),
    ];
    for (typed, variables, text, expected) in cases {
        let layers =
            Layers::new(flags(typed, &[]), environment(variables)).with_file(file(text)).unwrap();
        let found = layers.get("request-timeout");
        let found = found.as_ref().map(|found| (found.text().to_owned(), found.origin.to_string()));
        let expected = expected.map(|(text, origin)| (text.to_owned(), origin.to_owned()));
        assert_eq!(found, expected);
    }
}

#[test]
fn lists_are_repeated_flags_commas_or_sequences() {
    let cases = [
        (flags(None, &["a", "b,c"]), environment(&[]), ""),
        (flags(None, &[]), environment(&[("MESH_HOST", " a, b ,,c")]), ""),
        (flags(None, &[]), environment(&[]), "host: [a, b, c]\n"),
        (flags(None, &[]), environment(&[]), "host: a,b,c\n"),
    ];
    for (flags, environment, text) in cases {
        let layers = Layers::new(flags, environment).with_file(file(text)).unwrap();
        let found = layers.get("host").unwrap();
        assert_eq!(found.items().collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}

#[test]
fn a_key_that_is_no_setting_is_an_error_with_the_nearest_one() {
    let cases = [
        (
            "# c\nrequest-timout: 3\n",
            "server.yaml line 2: request-timout is not a setting of this command; \
             request-timeout may be meant",
        ),
        (
            "colour: red\n",
            "server.yaml line 1: colour is not a setting of this command; \
             the keys are the names of the flags without their dashes",
        ),
        (
            "request-timeout: [1, 2]\n",
            "server.yaml line 1: request-timeout takes one value and has a list",
        ),
        (
            "skip-iam-validation: [true]\n",
            "server.yaml line 1: skip-iam-validation takes one value and has a list",
        ),
        ("config: other.yaml\n", "server.yaml line 1: config cannot name another file"),
        (
            "MESH_REQUEST_TIMEOUT: 3\n",
            "server.yaml line 1: MESH_REQUEST_TIMEOUT is not a setting of this command; \
             request-timeout may be meant",
        ),
    ];
    for (text, expected) in cases {
        let layers = Layers::new(flags(None, &[]), environment(&[]));
        let error = layers.with_file(file(text)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_variable_that_is_no_setting_is_pointed_out() {
    let variables = environment(&[
        ("MESH_HOST", "a"),
        ("MESH_REQUEST_TIMOUT", "3"),
        ("MESH_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("MESHED", "no"),
        ("PATH", "/bin"),
    ]);
    let layers = Layers::new(flags(None, &[]), variables);
    assert_eq!(
        layers.unknown_variables(),
        [
            "MESH_PORT_80_TCP is not a setting of this command and is ignored",
            "MESH_REQUEST_TIMOUT is not a setting of this command and is ignored; \
             MESH_REQUEST_TIMEOUT may be meant",
        ]
    );
}

#[test]
fn origins_are_ordered_as_the_layers_are() {
    let file = Origin::File { file: "f".to_owned(), line: 1, key: "a" };
    let origins = [Origin::Flag("a"), Origin::Variable("A".to_owned()), file, Origin::Default];
    assert!(origins.is_sorted());
}

fn with_rules() -> Flags {
    flags(None, &[]).records("rules", &["principal", "hosts"]).secret("tokens")
}

#[test]
fn records_are_in_the_file_only_and_have_known_members() {
    let cases = [
        (
            "rules:\n  - hosts: a\n    pricipal: b\n",
            "server.yaml line 3: pricipal is not a member of rules; principal may be meant",
        ),
        (
            "rules:\n  - colour: a\n",
            "server.yaml line 2: colour is not a member of rules; these are principal, hosts",
        ),
        (
            "rules: a\n",
            "server.yaml line 1: rules must be a list of mappings with some of principal, hosts",
        ),
        (
            "rules: [a]\n",
            "server.yaml line 1: rules must be a list of mappings with some of principal, hosts",
        ),
        (
            "host: [{b: 1}]\n",
            "server.yaml line 1: host must be one value or a list of values, without anything nested",
        ),
        (
            "tokens: a\n",
            "server.yaml line 1: tokens is a secret; it can only be the variable MESH_TOKENS",
        ),
        (
            "token: a\n",
            "server.yaml line 1: token is not a setting of this command; tokens may be meant, which can only be the variable MESH_TOKENS",
        ),
    ];
    for (text, expected) in cases {
        let layers = Layers::new(with_rules(), environment(&[]));
        let error = layers.with_file(file(text)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let layers = Layers::new(with_rules(), environment(&[("MESH_RULES", "x")]));
    assert_eq!(layers.unknown_variables(), ["MESH_RULES is ignored: rules can only be in a file"]);
    assert_eq!(layers.records("rules"), None);
    let layers = layers.with_file(file("\nrules: []\n")).unwrap();
    let origin = Origin::File { file: "server.yaml".to_owned(), line: 2, key: "rules" };
    assert_eq!(layers.records("rules"), Some((&[][..], origin)));
}

#[test]
fn a_secret_is_a_known_variable_and_never_shown() {
    let layers = Layers::new(with_rules(), environment(&[("MESH_TOKENS", "hush")]));
    assert_eq!(layers.unknown_variables(), [""; 0]);
    let found = layers.get("tokens").unwrap();
    assert_eq!((found.text(), found.origin.to_string().as_str()), ("hush", "MESH_TOKENS"));
    assert!(!format!("{layers:?}").contains("hush"));
}
