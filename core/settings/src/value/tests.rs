use std::fmt::Debug;
use std::time::Duration;

use super::{Url, host_pattern, seconds, show_seconds, show_size, size, switch, url};

/// Each text is accepted with that value, or refused with a sentence that has this part.
fn check<T: PartialEq + Debug>(
    parse: impl Fn(&str) -> Result<T, String>,
    cases: Vec<(&str, Result<T, &str>)>,
) {
    for (text, expected) in cases {
        match (parse(text), expected) {
            (Ok(value), Ok(expected)) => assert_eq!(value, expected, "{text:?}"),
            (Err(reason), Err(part)) => {
                assert!(reason.contains(part), "{text:?}: {reason} has no {part:?}");
            }
            (result, expected) => panic!("{text:?}: {result:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn durations_are_positive_seconds_or_have_a_unit() {
    let ms = |ms| Ok(Duration::from_millis(ms));
    let none = || Err("is not a number of seconds; give for example 30 or 2.5");
    check(
        seconds,
        vec![
            ("30", ms(30_000)),
            ("2.5", ms(2_500)),
            ("0.05", ms(50)),
            ("500ms", ms(500)),
            ("30s", ms(30_000)),
            ("30 s", ms(30_000)),
            ("30.", ms(30_000)),
            ("0.0015h", ms(5_400)),
            ("5m", ms(300_000)),
            ("1.5h", ms(5_400_000)),
            ("0", Err("must be more than 0")),
            ("0.0000000001", Err("must be more than 0")),
            ("abc", none()),
            ("", none()),
            ("s", none()),
            ("-1", none()),
            ("+1", none()),
            ("1e3", none()),
            (".5", none()),
            ("1.2.3", none()),
            ("inf", none()),
            ("nan", none()),
            ("30 minutes", none()),
            ("30x", none()),
            ("99999999999999999999999999", Ok(Duration::from_nanos(u64::MAX))),
            ("٣", none()),
        ],
    );
}

#[test]
fn sizes_are_bytes_or_have_a_binary_unit() {
    let none = || Err("is not a number of bytes; give for example 65536");
    check(
        size,
        vec![
            ("0", Ok(0)),
            ("65536", Ok(65_536)),
            ("512B", Ok(512)),
            ("64KiB", Ok(65_536)),
            ("1 MiB", Ok(1_048_576)),
            ("2GiB", Ok(2_147_483_648)),
            ("64KB", none()),
            ("64k", none()),
            ("KiB", none()),
            ("", none()),
            ("-1", none()),
            ("1.5MiB", none()),
            ("99999999999GiB", Ok(u64::MAX)),
            ("99999999999999999999", Ok(u64::MAX)),
        ],
    );
}

#[test]
fn what_is_shown_is_read_back() {
    for us in [1, 1_000, 50_000, 500_000, 1_000_000, 2_500_000, 30_000_000, 3_600_000_000] {
        let duration = Duration::from_micros(us);
        assert_eq!(seconds(&show_seconds(&duration)), Ok(duration));
    }
    for bytes in [0, 1, 1000, 1024, 65_536, 65_537, 1 << 20, 3 << 30] {
        assert_eq!(size(&show_size(bytes)), Ok(bytes));
    }
    assert_eq!(show_size(65_536), "64KiB");
    assert_eq!(show_seconds(&Duration::from_secs(30)), "30");
}

#[test]
fn switches_have_their_everyday_names() {
    check(
        switch,
        vec![
            ("true", Ok(true)),
            ("Yes", Ok(true)),
            ("1", Ok(true)),
            ("off", Ok(false)),
            ("FALSE", Ok(false)),
            ("maybe", Err("\"maybe\" is neither true nor false")),
            ("", Err("neither")),
        ],
    );
}

#[test]
fn hosts_are_names_or_patterns_and_nothing_else() {
    let host = |text: &str| Ok(text.to_owned());
    let long = "a".repeat(64);
    let longest = [&"a".repeat(63); 4].map(String::as_str).join(".");
    check(
        host_pattern,
        vec![
            ("demo.local", host("demo.local")),
            ("Demo.LOCAL.", host("demo.local")),
            ("*", host("*")),
            ("*.Example.com", host("*.example.com")),
            ("my_service", host("my_service")),
            ("10.0.0.1", host("10.0.0.1")),
            ("xn--bcher-kva.example", host("xn--bcher-kva.example")),
            ("demo.local:8080", Err("without the port")),
            ("http://demo.local", Err("without the scheme")),
            ("demo.local/path", Err("without a path")),
            ("\"demo.local\"", Err("without the quotes")),
            ("'*'", Err("without the quotes")),
            ("a.*", Err("a star stands alone or as the first label")),
            ("*a.com", Err("a star stands alone")),
            ("*.*.com", Err("a star stands alone")),
            ("*.", Err("a star stands alone")),
            ("bücher.example", Err("xn--")),
            ("a..b", Err("is not a host name")),
            (".", Err("is not a host name")),
            ("", Err("is not a host name")),
            ("-a.com", Err("is not a host name")),
            ("a-.com", Err("is not a host name")),
            ("a b", Err("is not a host name")),
            ("a\r\nb", Err("is not a host name")),
            ("[::1]", Err("is not a host name")),
            (&long, Err("is not a host name")),
            (&longest, Err("is not a host name")),
        ],
    );
}

#[test]
fn urls_are_scheme_host_port_and_path() {
    let parts = |scheme: &str, host: &str, port, path: &str| {
        Ok(Url { scheme: scheme.to_owned(), host: host.to_owned(), port, path: path.to_owned() })
    };
    let example = "give for example ws://localhost:8082";
    check(
        |text| url(text, &["ws", "wss"], "ws://localhost:8082"),
        vec![
            ("ws://localhost", parts("ws", "localhost", None, "/")),
            ("WSS://Mesh.Example:443/a/b", parts("wss", "mesh.example", Some(443), "/a/b")),
            ("ws://[::1]:8082/", parts("ws", "::1", Some(8082), "/")),
            ("ws://127.0.0.1:1", parts("ws", "127.0.0.1", Some(1), "/")),
            ("ws://localhost.:1", parts("ws", "localhost.", Some(1), "/")),
            ("localhost:8082", Err("is not a URL; give for example")),
            ("http://localhost", Err("must begin with ws:// or wss://")),
            ("ws://", Err("no valid host name")),
            ("ws://:8082", Err("no valid host name")),
            ("ws://a b", Err("no valid host name")),
            ("ws://*.a", Err("no valid host name")),
            ("ws://::1", Err(example)),
            ("ws://[::1", Err("IPv6 address in brackets")),
            ("ws://[localhost]", Err("IPv6 address in brackets")),
            ("ws://[::1]8082", Err("a port from 1 to 65535")),
            ("ws://a:", Err("a port from 1 to 65535")),
            ("ws://a:0", Err("a port from 1 to 65535")),
            ("ws://a:+1", Err("a port from 1 to 65535")),
            ("ws://a:65536", Err("a port from 1 to 65535")),
            ("ws://a:x", Err("a port from 1 to 65535")),
            ("ws://a/?q", Err("must end with its path")),
            ("ws://a#f", Err("must end with its path")),
            ("ws://a/b c", Err("characters that a URL cannot have")),
        ],
    );
}

#[test]
fn a_password_in_a_url_is_refused_without_being_shown() {
    for text in [
        "ws://user:secret@host/",
        "ftp://user:secret@host",
        "user:secret@host:8082",
        "ws:/user:secret@host",
        "ws://user:se/secret@host",
        "ws://user:se#secret@host",
        "ws://user:se?secret@host",
        "ws://host/ secret@host",
        "ws://[user:secret@host",
    ] {
        let refusal = url(text, &["ws"], "ws://localhost").unwrap_err();
        assert!(refusal.contains("user name or password"), "{refusal}");
        assert!(!refusal.contains("secret"), "{refusal}");
    }
}
