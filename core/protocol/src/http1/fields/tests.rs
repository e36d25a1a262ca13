use super::{
    Name, elements, is_hop_by_hop, is_host, is_protected, is_token_byte, is_trailer_allowed,
};

#[test]
fn names_are_known_in_any_case() {
    let hop = [
        "connection",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
    ];
    for name in hop {
        assert!(is_hop_by_hop(name) && is_hop_by_hop(&name.to_uppercase()), "{name}");
        assert!(!is_protected(name) && !is_trailer_allowed(name), "{name}");
    }
    let others = ["trailer", "host", "tea", "connection-", "transfer_encoding", "", "x"];
    assert!(!others.into_iter().any(is_hop_by_hop));
}

#[test]
fn protected_names_and_trailers() {
    let protected = [
        "Host",
        "Content-Length",
        "X-Forwarded-For",
        "x-forwarded-",
        "X-FORWARDED-ANYTHING",
        "Forwarded",
        "Authorization",
        "Cookie",
        "traceparent",
        "tracestate",
        "X-Amzn-Trace-Id",
        "x-amzn-oidc-identity",
    ];
    assert!(protected.into_iter().all(is_protected));
    assert!(
        !["x-forwarded", "hosts", "x-amzn", "x", "", "\u{e9}\u{e9}"].into_iter().any(is_protected)
    );

    assert!(
        ["grpc-status", "Digest", "ETag", "x-checksum", "Server-Timing"]
            .into_iter()
            .all(is_trailer_allowed)
    );
    assert!(
        ![
            "Content-Length",
            "HOST",
            "trailer",
            "Set-Cookie",
            "content-type",
            "x-forwarded-for",
            "WWW-Authenticate",
        ]
        .into_iter()
        .any(is_trailer_allowed)
    );
}

#[test]
fn elements_are_what_stands_between_commas() {
    for (value, expected) in
        [(&b"a, B"[..], &[&b"a"[..], b"B"][..]), (b"", &[]), (b",,\tc d , ,e", &[b"c d", b"e"])]
    {
        assert_eq!(elements(value).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn token_bytes() {
    let count = (0..=u8::MAX).filter(|&byte| is_token_byte(byte)).count();
    assert_eq!(count, 10 + 26 + 26 + 15);
    assert!(!b" \t:,;\"()/<=>?@[\\]{}\x00\x7f\x80\xff".iter().any(|&byte| is_token_byte(byte)));
}

const HOSTS: &[&str] = &[
    "a",
    "example.com",
    "EXAMPLE.com.",
    "a:1",
    "a:65535",
    "127.0.0.1:80",
    "a_b-c~d",
    "%41",
    "[::1]",
    "[::1]:80",
    "[2001:db8::1]:8080",
    "[::ffff:1.2.3.4]",
    "1",
    ".",
];

const NO_HOSTS: &[&str] = &[
    "",
    ":",
    ":80",
    "a:",
    "a:123456",
    "a:b",
    "a:1:2",
    "a b",
    " a",
    "a ",
    "a,b",
    "a/b",
    "a@b",
    "u:p@a",
    "a?b",
    "a#b",
    "a\\b",
    "*",
    "*.a",
    "[",
    "[]",
    "[::1",
    "::1",
    "[::1]a",
    "[::1]:",
    "[::1]:x",
    "[g::1]",
    "[1.2.3.4]",
    "[fe80::1%eth0]",
    "a\0",
    "a\t",
    "a;b",
    "http://a",
    "\u{e9}",
    "a:+1",
    "a'",
    "a$",
    "<a>",
    "[::1][::1]",
    "x[::1]",
];

#[test]
fn hosts() {
    for host in HOSTS {
        assert!(is_host(host.as_bytes()), "{host}");
    }
    for host in NO_HOSTS {
        assert!(!is_host(host.as_bytes()), "{host}");
    }
    assert!(!is_host(b"\xff") && !is_host(b"[\xff]"));
}

#[test]
fn names_are_known_in_whatever_case_and_no_others_are() {
    for known in [
        "te",
        "host",
        "expect",
        "trailer",
        "upgrade",
        "connection",
        "keep-alive",
        "content-length",
        "x-forwarded-for",
        "x-forwarded-port",
        "x-forwarded-host",
        "proxy-connection",
        "x-forwarded-proto",
        "transfer-encoding",
    ] {
        let name = Name::new(known);
        assert_ne!(name, Name::Other, "{known}");
        assert_eq!(Name::new(&known.to_ascii_uppercase()), name);
        for at in 0..known.len() {
            for byte in (0..=127).filter(|&byte| is_token_byte(byte)) {
                let mut other = known.as_bytes().to_vec();
                other[at] = byte;
                let is_same = other.eq_ignore_ascii_case(known.as_bytes());
                let other = std::str::from_utf8(&other).unwrap();
                assert_eq!(Name::new(other) == name, is_same, "{other}");
            }
        }
    }
}
