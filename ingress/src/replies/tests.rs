use mesh_protocol::Buf;
use mesh_protocol::http1::{ResponseHead, ServerConn, Storage};

use super::{Format, Reason, sanitize, write, write_no_route};

/// What is written for an answer.
fn written(write: impl FnOnce(&mut ServerConn, &mut Buf)) -> Vec<u8> {
    let (mut http, mut tx) = (ServerConn::new(1024), Buf::new());
    write(&mut http, &mut tx);
    tx.as_slice().to_vec()
}

#[test]
fn no_answer_is_kept_by_a_cache() {
    let check = |answer: &[u8]| {
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        let mut storage = Storage::new();
        let head = ResponseHead::parse(&answer[..end], &mut storage).unwrap();
        assert_eq!(head.field("cache-control"), Some(&b"no-store"[..]));
        let word = head.field("x-mesh-error").unwrap();
        let is_small = word.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_');
        assert!(is_small && word.len() <= 32, "agents do not show it: {answer:?}");
        assert_eq!(head.field("retry-after").is_some(), head.status == 503);
    };
    for format in [Format::Text, Format::Json] {
        for reason in Reason::ALL {
            check(&written(|http, tx| write(reason, format, http, tx)));
        }
        check(&written(|http, tx| write_no_route("a.example", format, http, tx)));
    }
}

#[test]
fn json_is_for_those_who_accept_it() {
    let asked = |lines: &str| {
        let head = format!("GET / HTTP/1.1\nHost: h\n{lines}\n").replace('\n', "\r\n");
        Format::asked_in(head.as_bytes())
    };
    for lines in [
        "Accept: application/json\n",
        "ACCEPT: text/html, Application/JSON ; q=0.5\n",
        "Accept: application/json;v=1;q=0.001\n",
        "Accept: text/html\nAccept: application/json\n",
        "Accept: application/json;q=0, application/json;v=2\n",
        "Accept: application/*\n",
        "Accept: application/json, text/plain, */*\n",
        "Accept: text/plain;q=0.5, application/json;q=0.51\n",
        "Accept: text/*;q=0.123, application/json;q=0.2\n",
        "Accept: text/plain;q=0.1, text/*, application/json;q=0.5\n",
    ] {
        assert_eq!(asked(lines), Format::Json, "{lines:?}");
    }
    for lines in [
        "",
        "Accept: */*\n",
        "Accept: application/jsonl\n",
        "Accept: application/json;q=0\n",
        "Accept: application/json; Q=0.000, text/plain\n",
        "Accept: application/json;v=1;q=0\nAccept: text/html\n",
        "Accept: application/json;q=0.1, text/plain\n",
        "Accept: application/json;q=0, application/*\n",
        "Accept: application/*;q=0.8\nAccept: text/*;q=0.81\n",
        "X-Accept: application/json\n",
    ] {
        assert_eq!(asked(lines), Format::Text, "{lines:?}");
    }
}

#[test]
fn names_and_addresses_are_shown_as_they_are() {
    for host in ["shop.example.com", "*.a_b.test:8080", "192.0.2.1", "[2001:db8::1]:80"] {
        assert_eq!(sanitize(host), host);
    }
}

#[test]
fn what_a_page_or_a_terminal_would_act_on_is_not_shown() {
    let host = "<script>\"'&\\\x1b[2J\u{202e}\u{e9}%";
    assert_eq!(sanitize(host), "?script??????[2J???");
}

#[test]
fn a_host_that_is_too_long_is_cut() {
    let longest = "a".repeat(253);
    assert_eq!(sanitize(&longest), longest);
    assert_eq!(sanitize(&"a".repeat(60_000)), format!("{longest}..."));
}
