use super::super::{Error, RequestHead, ResponseHead, Storage};
use super::{FIELDS_MAX, METHOD_BYTES_MAX, Name, OPTIONS_MAX, Version};

fn request(bytes: &[u8]) -> Result<Version, Error> {
    RequestHead::parse(bytes, &mut Storage::new()).map(|head| head.version)
}

fn response(bytes: &[u8]) -> Result<u16, Error> {
    ResponseHead::parse(bytes, &mut Storage::new()).map(|head| head.status)
}

const NO_REQUESTS: &[(&[u8], Error)] = &[
    (b"", Error::MalformedHead),
    (b"GET / HTTP/1.1\r\n", Error::MalformedHead),
    (b"GET / HTTP/1.1\r\nHost: a\r\n", Error::MalformedHead),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest", Error::MalformedHead),
    (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Error::MalformedHead),
    (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Error::MalformedHead),
    (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Error::MalformedHead),
    (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Error::MalformedHead),
    (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", Error::UnsupportedVersion),
    (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", Error::UnsupportedVersion),
    (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", Error::MalformedHead),
    (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Error::MalformedHead),
    (b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", Error::MalformedHead),
    (b"GET /\r\n\r\n", Error::MalformedHead),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", Error::UnsupportedVersion),
    (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", Error::UnsupportedVersion),
    (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", Error::UnsupportedVersion),
    (b"GET / http/1.1\r\nHost: a\r\n\r\n", Error::UnsupportedVersion),
    (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", Error::MalformedHead),
    (b"GET /# HTTP/1.1\r\nHost: a\r\n\r\n", Error::BadTarget),
    (b"GET /\xc2\x85 HTTP/1.1\r\nHost: a\r\n\r\n", Error::BadTarget),
    (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", Error::MalformedHead),
    (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", Error::MalformedHead),
    (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", Error::MalformedHead),
    (b"GET / HTTP/1.1\nHost: a\r\n\r\n", Error::BareLineFeed),
    (b"GET / HTTP/1.1\n\r\n", Error::BareLineFeed),
    (b"GET / HTTP/1.1\r\nHost: a\n\r\n", Error::BareLineFeed),
    (b"GET / HTTP/1.1\r\nA:\nHost: a\r\n\r\n", Error::BareLineFeed),
    (b"GET / HTTP/1.1\r\nHost: a\nB: c\r\n\r\n", Error::BareLineFeed),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\n", Error::BareLineFeed),
    (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", Error::MalformedHead),
    (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", Error::MalformedHead),
    (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", Error::MalformedHead),
    (b"GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", Error::MalformedHead),
    (b"GET / HTTP/1.1\r\nHost\r\n\r\n", Error::MalformedHead),
    (b"GET / HTTP/1.1\r\n: a\r\n\r\n", Error::MalformedHead),
    (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", Error::MalformedHead),
    (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", Error::MalformedHead),
    (b"GET / HTTP/1.1\r\nHo\x00st: a\r\n\r\n", Error::MalformedHead),
    (b"GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n", Error::MalformedHead),
    (b"GET / HTTP/1.1\r\nHost: a\x7f\r\n\r\n", Error::MalformedHead),
    (b"GET / HTTP/1.1\r\nHo(st: a\r\n\r\n", Error::MalformedHead),
    (b"GET / HTTP/1.1\r\nHo\xffst: a\r\n\r\n", Error::MalformedHead),
    (b"GET / HTTP/1.1\r\nHo st: a\r\n\r\n", Error::MalformedHead),
];

#[test]
fn requests_that_are_none_are_refused_by_name() {
    for (bytes, error) in NO_REQUESTS {
        assert_eq!(request(bytes), Err(*error), "{:?}", bytes.escape_ascii().to_string());
    }
}

#[test]
fn no_control_character_passes_anywhere() {
    for byte in (0..32_u8).chain([127]) {
        for length in [1, 15, 31, 70] {
            let fill = "a".repeat(length);
            let mut target = format!("GET /{fill}").into_bytes();
            target.push(byte);
            target.extend(format!("{fill} HTTP/1.1\r\n\r\n").into_bytes());
            assert!(request(&target).is_err(), "{byte} in a target");
            for (before, after) in [("A: ", ""), ("A", ": b")] {
                let mut field = format!("GET / HTTP/1.1\r\n{before}{fill}").into_bytes();
                field.push(byte);
                field.extend(format!("{fill}{after}\r\n\r\n").into_bytes());
                let is_tab_in_value = byte == b'\t' && after.is_empty();
                assert_eq!(request(&field).is_ok(), is_tab_in_value, "{byte} in a field");
            }
        }
    }
}

const NO_RESPONSES: &[(&[u8], Error)] = &[
    (b"HTTP/1.1 099 No\r\n\r\n", Error::BadStatus),
    (b"HTTP/1.1 000 No\r\n\r\n", Error::BadStatus),
    (b"HTTP/1.1 20 OK\r\n\r\n", Error::BadStatus),
    (b"HTTP/1.1 2000 OK\r\n\r\n", Error::BadStatus),
    (b"HTTP/1.1  200 OK\r\n\r\n", Error::BadStatus),
    (b"HTTP/1.1 200\tOK\r\n\r\n", Error::BadStatus),
    (b"HTTP/1.1 200 O\x00K\r\n\r\n", Error::BadStatus),
    (b"HTTP/1.1 200 O\rK\r\n\r\n", Error::BadStatus),
    (b"HTTP/2.0 200 OK\r\n\r\n", Error::UnsupportedVersion),
    (b"http/1.1 200 OK\r\n\r\n", Error::UnsupportedVersion),
    (b"ICY 200 OK\r\n\r\n", Error::UnsupportedVersion),
    (b"HTTP/1.1 200 OK\n\r\n", Error::BareLineFeed),
    (b"HTTP/1.1 200 OK\r\nA: b\n\r\n", Error::BareLineFeed),
    (b"HTTP/1.1 200 OK\r\nA: b\r\n\n", Error::BareLineFeed),
    (b"HTTP/1.1 200\n\r\n", Error::BareLineFeed),
    (b"\r\nHTTP/1.1 200 OK\r\n\r\n", Error::MalformedHead),
    (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Error::MalformedHead),
    (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Error::MalformedHead),
    (b"HTTP/1.1 200 OK\r\n A: b\r\n\r\n", Error::MalformedHead),
];

#[test]
fn responses_that_are_none_are_refused_by_name() {
    for (bytes, error) in NO_RESPONSES {
        assert_eq!(response(bytes), Err(*error), "{:?}", bytes.escape_ascii().to_string());
    }
    for (bytes, status) in [
        (&b"HTTP/1.1 100 Continue\r\n\r\n"[..], 100),
        (b"HTTP/1.0 599 \xff\xfe\r\n\r\n", 599),
        (b"HTTP/1.1 600 What\r\n\r\n", 600),
        (b"HTTP/1.1 999 Request denied\r\n\r\n", 999),
        (b"HTTP/1.1 204\r\n\r\n", 204),
        (b"HTTP/1.1 204 \r\n\r\n", 204),
        (b"HTTP/1.1 200  two\tspaces \r\nA:\r\n\r\n", 200),
    ] {
        assert_eq!(response(bytes), Ok(status));
    }
}

#[test]
fn limits_are_exact() {
    let head = |fields: usize| format!("GET / HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(fields));
    assert_eq!(request(head(FIELDS_MAX).as_bytes()), Ok(Version::Http10));
    assert_eq!(request(head(FIELDS_MAX + 1).as_bytes()), Err(Error::TooManyFields));
    let forwarded = head(FIELDS_MAX + 4);
    let mut storage = Storage::new();
    assert!(RequestHead::parse_forwarded(forwarded.as_bytes(), &mut storage).is_ok());

    let head = |length: usize| format!("{} / HTTP/1.1\r\n\r\n", "M".repeat(length));
    assert_eq!(request(head(METHOD_BYTES_MAX).as_bytes()), Ok(Version::Http11));
    assert_eq!(request(head(METHOD_BYTES_MAX + 1).as_bytes()), Err(Error::MalformedHead));

    let head = |options: usize| {
        let half = vec!["a"; options - 1].join(",");
        format!("GET / HTTP/1.1\r\nConnection: {half}\r\nX: y,z\r\nconnection: close\r\n\r\n")
    };
    assert_eq!(request(head(OPTIONS_MAX).as_bytes()), Ok(Version::Http11));
    assert_eq!(request(head(OPTIONS_MAX + 1).as_bytes()), Err(Error::TooManyFields));
}

#[test]
fn what_is_read_stands_in_the_head() {
    let bytes = b"get /?q=\"{}|^` HTTP/1.1\r\nHOST:\ta \r\nX-Empty:  \r\nx: \xe9\r\n\r\n";
    let mut storage = Storage::new();
    let head = RequestHead::parse(bytes, &mut storage).unwrap();
    assert_eq!((head.method, head.target), ("get", "/?q=\"{}|^`"));
    assert_eq!(head.field("Host"), Some(&b"a"[..]));
    assert_eq!(head.field("x-empty"), Some(&b""[..]));
    assert_eq!(head.field("X"), Some(&b"\xe9"[..]));
    assert_eq!(head.field("y"), None);
    for field in head.fields {
        let line = &bytes[super::line_start(bytes, field)..];
        assert!(line.starts_with(field.name.as_bytes()));
        assert!(bytes[..super::value_end(bytes, field)].ends_with(field.value));
    }
}

#[test]
fn values_come_from_all_fields_of_a_name() {
    let bytes =
        b"GET / HTTP/1.1\r\nConnection: a\r\nOther: x\r\nCONNECTION:\r\nconnection: b, c\r\n\r\n";
    let mut storage = Storage::new();
    let head = RequestHead::parse(bytes, &mut storage).unwrap();
    let found: Vec<&[u8]> = head.framing.values(Name::Connection).collect();
    assert_eq!(found, [&b"a"[..], b"", b"b, c"]);
    assert_eq!((head.framing.last(Name::Connection), head.framing.last(Name::Te)), (Some(3), None));
    assert!(head.framing.is_of_hop(Name::Other, "c") && !head.framing.is_of_hop(Name::Other, "x"));
}
