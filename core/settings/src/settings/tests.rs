use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::Settings;
use crate::logging::Rules;
use crate::{Environment, Flags, value};

const SECOND: Duration = Duration::from_secs(1);

fn settings(flags: Flags, variables: &[(&str, &str)]) -> Settings {
    let flags = flags.one("config", None).one("log-level", None).switch("verbose", false);
    Settings::load(flags, variables.iter().copied().collect()).unwrap()
}

fn typed(name: &'static str, text: &str) -> Settings {
    settings(Flags::new().one(name, Some(text.to_owned())), &[])
}

#[test]
fn a_bad_value_is_one_sentence_with_the_culprit_first() {
    let cases = [
        (
            typed("timeout", "abc").seconds("timeout", SECOND, 100..=300_000).map(drop),
            "--timeout: \"abc\" is not a number of seconds; give for example 30 or 2.5, or a unit \
             as in 500ms, 5m or 1h",
        ),
        (
            typed("timeout", "0.01").seconds("timeout", SECOND, 100..=300_000).map(drop),
            "--timeout: \"0.01\" is out of bounds; give 0.1 to 300 seconds",
        ),
        (
            typed("port", "70000").number("port", 80_u16, 0..=65_535).map(drop),
            "--port: \"70000\" is out of bounds; give 0 to 65535",
        ),
        (
            typed("port", "99999999999999999999").number("port", 80_u16, 0..=65_535).map(drop),
            "--port: \"99999999999999999999\" is out of bounds; give 0 to 65535",
        ),
        (
            typed("timeout", "99999999999h").seconds("timeout", SECOND, 100..=300_000).map(drop),
            "--timeout: \"99999999999h\" is out of bounds; give 0.1 to 300 seconds",
        ),
        (
            typed("port", "http").number("port", 80_u16, 0..=65_535).map(drop),
            "--port: \"http\" is not a whole number; give 0 to 65535",
        ),
        (
            typed("window", "1KiB").size("window", 65_536_u32, 16_384..=16 << 20).map(drop),
            "--window: \"1KiB\" is out of bounds; give 16KiB to 16MiB",
        ),
        (
            settings(Flags::new().switch("skip", false), &[("MESH_SKIP", "perhaps")])
                .switch("skip")
                .map(drop),
            "MESH_SKIP: \"perhaps\" is neither true nor false",
        ),
        (
            settings(Flags::new().many("host", Vec::new()), &[("MESH_HOST", "a,b:80")])
                .list("host", value::host_pattern, String::clone)
                .map(drop),
            "MESH_HOST: \"b:80\" is not a host name; give it without the port: a host is served \
             on every port",
        ),
    ];
    for (result, expected) in cases {
        assert_eq!(result.unwrap_err().to_string(), expected);
    }
}

#[test]
fn the_report_is_a_file_that_sets_the_same() {
    let flags = Flags::new()
        .one("timeout", Some("1.50".to_owned()))
        .one("window", None)
        .one("name", Some("a: \"b\" #c".to_owned()))
        .one("ca-file", None)
        .many("host", vec!["*".to_owned(), "a.example,A.example".to_owned()])
        .switch("skip", true);
    let mut settings = settings(flags, &[("MESH_WINDOW", "65536")]);
    settings.seconds("timeout", SECOND, 100..=300_000).unwrap();
    settings.size("window", 16_384_u32, 0..=1 << 20).unwrap();
    settings.parsed("name", String::new(), value::label, String::clone).unwrap();
    settings.optional("ca-file", value::label).unwrap();
    settings.list("host", value::host_pattern, String::clone).unwrap();
    settings.switch("skip").unwrap();
    let report = settings.report();
    let expected = [
        "timeout: 1.5                             # --timeout",
        "window: 64KiB                            # MESH_WINDOW",
        "name: \"a: \\\"b\\\" #c\"                      # --name",
        "# ca-file: none                          # default",
        "host: [\"*\", a.example]                   # --host",
        "skip: true                               # --skip",
    ];
    assert_eq!(report.lines().collect::<Vec<_>>(), expected);
    let file = crate::File::parse("f", &report).unwrap();
    let values: Vec<&[String]> = file.entries.iter().map(|e| e.value.texts()).collect();
    let expected: [&[&str]; 5] =
        [&["1.5"], &["64KiB"], &["a: \"b\" #c"], &["*", "a.example"], &["true"]];
    assert_eq!(values, expected);
}

#[test]
fn the_log_level_has_its_own_order_of_layers() {
    let directory = std::env::temp_dir().join(format!("mesh-settings-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("log.yaml");
    std::fs::write(&file, "log-level: error\n").unwrap();
    let file = file.to_str().unwrap();
    type Case<'a> = (Option<&'a str>, bool, &'a [(&'a str, &'a str)], Option<&'a str>, &'a str);
    let all = [("MESH_LOG_LEVEL", "warn"), ("RUST_LOG", "trace"), ("MESH_VERBOSE", "true")];
    let cases: [Case<'_>; 9] = [
        (Some("off"), true, &all, Some(file), "off"),
        (None, true, &all, Some(file), "debug"),
        (None, false, &all, Some(file), "warn"),
        (None, false, &all[1..], Some(file), "debug"),
        (None, false, &all[1..2], Some(file), "trace"),
        (None, false, &[("RUST_LOG", "warn,mesh_agent=trace")], None, "warn,mesh_agent=trace"),
        (None, false, &[("RUST_LOG", "mesh_agent")], None, "info,mesh_agent=trace"),
        (None, false, &[], Some(file), "error"),
        (None, false, &[("MESH_VERBOSE", "false")], None, "info"),
    ];
    for (level, verbose, variables, file, expected) in cases {
        let flags = Flags::new()
            .one("config", file.map(str::to_owned))
            .one("log-level", level.map(str::to_owned))
            .switch("verbose", verbose);
        let mut settings = Settings::load(flags, variables.iter().copied().collect()).unwrap();
        assert_eq!(settings.log_rules(Rules::default()).unwrap().to_string(), expected);
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn who_is_told_not_to_be_verbose_asks_nobody_else() {
    let directory = std::env::temp_dir().join(format!("mesh-quiet-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("log.yaml");
    let file = file.to_str().unwrap();
    for (content, expected) in
        [("verbose: true\n", "info"), ("verbose: true\nlog-level: warn\n", "warn")]
    {
        std::fs::write(file, content).unwrap();
        let flags = Flags::new()
            .one("config", Some(file.to_owned()))
            .one("log-level", None)
            .switch("verbose", false);
        let variables = [("MESH_VERBOSE", "false")].into_iter().collect();
        let mut settings = Settings::load(flags, variables).unwrap();
        assert_eq!(settings.log_rules(Rules::default()).unwrap().to_string(), expected);
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_strange_rust_log_is_a_warning_and_a_strange_log_level_an_error() {
    let mut strange = settings(Flags::new(), &[("RUST_LOG", "mesh=loud")]);
    assert_eq!(strange.log_rules(Rules::default()).unwrap().to_string(), "info");
    assert_eq!(
        strange.warnings(),
        ["RUST_LOG is ignored: \"loud\" is not a log level; \
          give off, error, warn, info, debug or trace"]
    );
    let mut strange = settings(Flags::new(), &[("MESH_LOG_LEVEL", "loud")]);
    assert_eq!(
        strange.log_rules(Rules::default()).unwrap_err().to_string(),
        "MESH_LOG_LEVEL: \"loud\" is not a log level; give off, error, warn, info, debug or trace"
    );
    let mut empty = settings(Flags::new(), &[("MESH_LOG_LEVEL", " , ")]);
    let error = empty.log_rules(Rules::default()).unwrap_err().to_string();
    assert!(error.contains("is not a log level"), "{error}");
    assert!(Rules::strict("").is_err());
}

#[test]
fn a_part_of_the_log_that_cannot_be_is_an_error() {
    let cases = [
        ("warn mesh=debug", "\"warn mesh\" is no part of the log"),
        ("warn,mesh-agent=debug", "\"mesh-agent\" is no part of the log; mesh_agent may be meant"),
        ("=debug", "\"\" is no part of the log; give for example info,mesh_agent=debug"),
        ("mesh:agent=debug", "\"mesh:agent\" is no part of the log"),
    ];
    for (text, expected) in cases {
        let complaint = Rules::strict(text).unwrap_err();
        assert!(complaint.starts_with(expected), "{text}: {complaint}");
    }
    let rules = Rules::strict("warn, mesh_ingress::registration = debug").unwrap();
    assert_eq!(rules.to_string(), "warn,mesh_ingress::registration=debug");
}

#[test]
fn a_socket_that_cannot_be_had_names_what_has_to_change() {
    let flags = Flags::new().one("port", None).one("bind", None).one("other", None);
    let mut settings = settings(flags, &[("MESH_PORT", "8080")]);
    settings.number("port", 80_u16, 0..=u16::MAX).unwrap();
    let wanted = SocketAddr::from(([192, 0, 2, 1], 8080));
    let sentence = |port, kind: io::ErrorKind| {
        settings.cannot_listen(wanted, port, &io::Error::from(kind)).to_string()
    };
    let cases = [
        ("port", io::ErrorKind::AddrInUse, "MESH_PORT): address"),
        ("other", io::ErrorKind::AddrInUse, "--other): address"),
        ("port", io::ErrorKind::PermissionDenied, "MESH_PORT): permission denied"),
        ("port", io::ErrorKind::AddrNotAvailable, "--bind): this machine has no such address"),
    ];
    for (port, kind, expected) in cases {
        let sentence = sentence(port, kind);
        let expected = format!("listen on 192.0.2.1:8080 ({expected}");
        assert!(sentence.starts_with(&expected), "{sentence}");
    }
    let error = io::Error::from(io::ErrorKind::PermissionDenied);
    let sentence = settings.cannot_listen(SocketAddr::from(([0; 4], 80)), "port", &error);
    assert!(sentence.to_string().ends_with("; ports below 1024 need CAP_NET_BIND_SERVICE"));
}

#[test]
fn every_variable_is_named_after_its_flag() {
    assert_eq!(Environment::variable("request-timeout"), "MESH_REQUEST_TIMEOUT");
}

#[test]
fn records_are_reported_as_they_can_be_read_and_secrets_are_not() {
    let text = "rules:\n\
                \x20 - account: \"123456789012\"\n\
                \x20   hosts: [\"{service}.x\", a.x]\n\
                \x20 - token: \"edge-*\"\n\
                \x20   hosts: '*'\n";
    let path = std::env::temp_dir().join(format!("mesh-records-{}.yaml", std::process::id()));
    let report = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let flags = Flags::new()
            .one("config", Some(path.to_str().unwrap().to_owned()))
            .records("rules", &["account", "token", "hosts"])
            .secret("tokens")
            .secret("others");
        let variables = [("MESH_TOKENS", "hush")];
        let mut settings = Settings::load(flags, variables.into_iter().collect()).unwrap();
        assert_eq!(settings.records("rules").len(), 2);
        assert_eq!(settings.secret("tokens").as_deref(), Some("hush"));
        assert_eq!(settings.secret("others"), None);
        settings.report()
    };
    let first = report(text);
    let lines: Vec<&str> = first.lines().map(|line| line.split(" # ").next().unwrap()).collect();
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    let expected = [
        "rules:",
        "  - account: 123456789012",
        "    hosts: [\"{service}.x\", a.x]",
        "  - token: \"edge-*\"",
        "    hosts: \"*\"",
        "# tokens: set",
        "# others: none",
    ];
    assert_eq!(lines, expected);
    assert_eq!(report(&first), first);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_text_of_any_letters_is_reported_as_it_is_read_back() {
    for text in ["it's Bücher", "a\"b\\c", "a\tb\u{7}", "日本", "# no comment", "a: b", "null", "-"]
    {
        let mut settings = settings(Flags::new().one("name", Some(text.to_owned())), &[]);
        let parse = |text: &str| Ok(text.to_owned());
        settings.parsed("name", String::new(), parse, String::clone).unwrap();
        let report = settings.report();
        let file =
            crate::File::parse("f", &report).unwrap_or_else(|error| panic!("{error}: {report}"));
        assert_eq!(file.entries[0].value.texts(), [text]);
    }
}
