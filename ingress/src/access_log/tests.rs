use super::*;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 5));

fn record<'r>(asked: Option<LoggedRequest<'r>>) -> Record<'r> {
    Record {
        client: CLIENT,
        asked,
        status: 200,
        error: None,
        request_bytes: 3,
        response_bytes: 5,
        duration: Duration::from_micros(12_034),
        agent: Some(Serial(7)),
        service: Some("shop"),
        retried: true,
    }
}

fn read(head: HeadSeen<'_>) -> LoggedRequest<'_> {
    LoggedRequest::read(head, Version::Http11, CLIENT).unwrap()
}

fn target(target: &[u8]) -> Record<'_> {
    let head = read(HeadSeen::Received(b"GET / HTTP/1.1\r\n\r\n"));
    record(Some(LoggedRequest { target, ..head }))
}

fn in_json(record: &Record<'_>) -> serde_json::Value {
    serde_json::from_str(&record.json()).unwrap()
}

const HEAD: &[u8] = b"GET /a?b=c HTTP/1.1\r\nHost: a.example\r\nCookie: secret=1\r\n\
    Authorization: Basic c2VjcmV0\r\nuser-agent: curl/8.0\r\nX-Forwarded-For: 192.0.2.1\r\n\
    X-Amzn-Trace-Id: Root=1-2\r\nProxy-Authorization: secret\r\n\r\n";

#[test]
fn both_forms_have_the_same_values_in_the_same_order() {
    let full = record(Some(read(HeadSeen::Received(HEAD))));
    assert_eq!(
        Text(&full).to_string(),
        "client=10.0.0.5 forwarded_for=\"192.0.2.1\" method=\"GET\" host=\"a.example\" \
         target=\"/a?b=c\" version=HTTP/1.1 status=200 error=- request_bytes=3 response_bytes=5 \
         duration_ms=12.034 agent=\"7\" service=\"shop\" retried=true user_agent=\"curl/8.0\" \
         trace_id=\"Root=1-2\""
    );
    assert_eq!(
        full.json(),
        "{\"client\":\"10.0.0.5\",\"forwarded_for\":\"192.0.2.1\",\"method\":\"GET\",\
         \"host\":\"a.example\",\"target\":\"/a?b=c\",\"version\":\"HTTP/1.1\",\"status\":200,\
         \"error\":null,\"request_bytes\":3,\"response_bytes\":5,\"duration_ms\":12.034,\
         \"agent\":\"7\",\"service\":\"shop\",\"retried\":true,\"user_agent\":\"curl/8.0\",\
         \"trace_id\":\"Root=1-2\"}"
    );
}

#[test]
fn what_is_not_known_is_no_value() {
    let empty = Record {
        status: 0,
        error: Some(Fault::Told(Reason::BadRequest)),
        duration: Duration::ZERO,
        agent: None,
        service: Some(""),
        retried: false,
        ..record(None)
    };
    assert_eq!(
        Text(&empty).to_string(),
        "client=10.0.0.5 forwarded_for=- method=- host=- target=- version=- status=- \
         error=bad_request request_bytes=3 response_bytes=5 duration_ms=0.000 agent=- service=- \
         retried=false user_agent=- trace_id=-"
    );
    let json = in_json(&empty);
    for name in ["target", "version", "status", "agent", "service", "trace_id"] {
        assert!(json[name].is_null(), "{name}: {json}");
    }
}

#[test]
fn nothing_that_a_caller_says_leaves_its_value() {
    let cases: [(&[u8], &str, &str); 7] = [
        (b"/a b=c", "\"/a b=c\"", "/a b=c"),
        (b"/\"status=500", "\"/\\\"status=500\"", "/\"status=500"),
        (b"/\\", "\"/\\\\\"", "/\\"),
        (b"/\\\" x=\"", "\"/\\\\\\\" x=\\\"\"", "/\\\" x=\""),
        (b"\t\x1b\r\n\x7f", "\"\\x09\\x1b\\x0d\\x0a\\x7f\"", "\t\u{1b}\r\n\u{7f}"),
        ("é".as_bytes(), "\"\\xc3\\xa9\"", "é"),
        (b"a\xe9\xff", "\"a\\xe9\\xff\"", "a\u{fffd}\u{fffd}"),
    ];
    for (said, text, json) in cases {
        let record = target(said);
        let line = Text(&record).to_string();
        assert!(line.contains(&format!(" target={text} version=")), "{line}");
        assert!(!record.json().contains(['\n', '\r']), "{}", record.json());
        assert_eq!(in_json(&record)["target"], json);
    }
}

#[test]
fn long_values_are_cut() {
    let cases = [
        ("x".repeat(TARGET_MAX), TARGET_MAX, false),
        ("x".repeat(TARGET_MAX + 1), TARGET_MAX, true),
        ("x".repeat(60_000), TARGET_MAX, true),
        // A character is not cut in two.
        (format!("x{}", "é".repeat(TARGET_MAX)), TARGET_MAX - 1, true),
        (format!("x{}", "\u{1f600}".repeat(TARGET_MAX)), TARGET_MAX - 3, true),
    ];
    for (said, kept, is_cut) in cases {
        let mut expected = said[..kept].to_owned();
        expected.extend(is_cut.then_some('…'));
        assert_eq!(in_json(&target(said.as_bytes()))["target"], expected);
        let line = Text(&target(said.as_bytes())).to_string();
        assert_eq!(line.contains("…\" version="), is_cut, "{kept}");
    }
    // Bytes that are no characters are cut anywhere.
    assert_eq!(cut(&[0x80; 10], 5), (&[0x80; 5][..], true));
    let agent = vec![b'a'; OTHER_MAX + 1];
    let head = LoggedRequest { user_agent: Some(&agent), ..read(HeadSeen::Received(HEAD)) };
    let shown = in_json(&record(Some(head)))["user_agent"].as_str().unwrap().chars().count();
    assert_eq!(shown, OTHER_MAX + 1);
}

#[test]
fn forwarded_for_is_what_came_before_us() {
    let cases: [(&str, bool, Option<&str>); 9] = [
        ("", false, None),
        ("X-Forwarded-For: 192.0.2.1\r\n", false, Some("192.0.2.1")),
        // A caller may claim our own address; that is not the one that was added.
        ("X-Forwarded-For: 10.0.0.5\r\n", false, Some("10.0.0.5")),
        ("X-Forwarded-For: 10.0.0.5\r\n", true, None),
        ("X-Forwarded-For:  10.0.0.5\r\n", true, None),
        ("X-Forwarded-For: 192.0.2.1, 10.0.0.5\r\n", true, Some("192.0.2.1")),
        ("X-Forwarded-For: 10.0.0.5, 10.0.0.5\r\n", true, Some("10.0.0.5")),
        ("x-forwarded-for: a\r\nX-Forwarded-For: b, 10.0.0.5\r\n", true, Some("a, b")),
        ("X-Forwarded-For: a\r\nx-forwarded-for:\r\nX-Forwarded-For: b\r\n", false, Some("a, , b")),
    ];
    for (lines, is_rewritten, expected) in cases {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let bytes = head.as_bytes();
        let head =
            if is_rewritten { HeadSeen::Rewritten(bytes) } else { HeadSeen::Received(bytes) };
        assert_eq!(read(head).forwarded_for.as_deref(), expected.map(str::as_bytes), "{lines:?}");
    }
}

#[test]
fn no_other_field_gets_into_a_line() {
    let full = record(Some(read(HeadSeen::Received(HEAD))));
    for line in [full.json(), Text(&full).to_string()] {
        assert!(!line.contains("secret") && !line.contains("c2VjcmV0"), "{line}");
    }
}
