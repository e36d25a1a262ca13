use super::{HeadScan, Kind, leading_empty_line};
use crate::http1::{Error, RequestHead, ResponseHead, Storage};

const MAX: usize = 64 * 1024;

/// Reads the first head of `stream`, which arrives in pieces that end at `cuts`: in one step as well
/// as in two.
fn read(kind: Kind, stream: &[u8], cuts: &[usize]) -> Result<Option<usize>, Error> {
    let found = read_in_two(kind, stream, cuts);
    assert_eq!(read_in_one(kind, stream, cuts), found, "{}", stream.escape_ascii());
    found
}

fn read_in_one(kind: Kind, stream: &[u8], cuts: &[usize]) -> Result<Option<usize>, Error> {
    let mut scan = HeadScan::new(kind, MAX);
    let mut found = None;
    for &cut in cuts.iter().chain(&[stream.len()]) {
        let (rx, mut storage) = (&stream[..cut], Storage::new());
        found = match kind {
            Kind::Request => scan
                .read(rx, |bytes| RequestHead::parse_front(bytes, &mut storage))?
                .map(|head| head.bytes.len()),
            Kind::Response => scan
                .read(rx, |bytes| ResponseHead::parse_front(bytes, &mut storage))?
                .map(|head| head.bytes.len()),
        };
        if found.is_some() {
            break;
        }
    }
    Ok(found)
}

fn read_in_two(kind: Kind, stream: &[u8], cuts: &[usize]) -> Result<Option<usize>, Error> {
    let mut scan = HeadScan::new(kind, MAX);
    for &cut in cuts.iter().chain(&[stream.len()]) {
        let Some(length) = scan.poll(&stream[..cut])? else {
            continue;
        };
        let head = &stream[..length];
        match kind {
            Kind::Request => RequestHead::parse(head, &mut Storage::new()).map(drop)?,
            Kind::Response => ResponseHead::parse(head, &mut Storage::new()).map(drop)?,
        }
        return Ok(Some(length));
    }
    Ok(None)
}

/// A stream, and the length of the head that it begins with.
struct Case(&'static [u8], Result<Option<usize>, Error>);

const REQUESTS: &[Case] = &[
    // Of two faults the first one is named.
    Case(b"GET /#a HTTP/1.1\r\nHost\r\n\r\n", Err(Error::BadTarget)),
    Case(b"GET / HTTP/9.1\r\nHost: a\0\r\n\r\n", Err(Error::UnsupportedVersion)),
    Case(b"GET / HTTP/1.1\r\nHost : a\n\r\n", Err(Error::MalformedHead)),
    Case(b"GET / HTTP/1.1\r\nA: b\r\n c\r\nHost : a\r\n\r\n", Err(Error::ObsoleteFold)),
    Case(b"", Ok(None)),
    Case(b"G", Ok(None)),
    Case(b"GET / HTTP/1.1\r\n", Ok(None)),
    Case(b"GET / HTTP/1.1\r\nHost: a\r\n", Ok(None)),
    Case(b"GET / HTTP/1.1\r\nHost: a\r\n\r", Ok(None)),
    Case(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Some(27))),
    Case(b"GET / HTTP/1.0\r\n\r\n", Ok(Some(18))),
    Case(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\n\r\0 body", Ok(Some(27))),
    Case(b"POST /a?b=%20 HTTP/1.1\r\nA:\r\nB: \xff\t\r\n\r\nGET /", Ok(Some(37))),
    Case(b"GET / HTTP/1.1\nHost: a\r\n\r\n", Err(Error::BareLineFeed)),
    Case(b"GET / HTTP/1.1\r\nHost: a\n\r\n", Err(Error::BareLineFeed)),
    Case(b"GET / HTTP/1.1\r\nHost: a\r\n\n", Err(Error::BareLineFeed)),
    Case(b"GET / HTTP/1.1\r\nHost: a\n\n", Err(Error::BareLineFeed)),
    Case(b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", Err(Error::BareCarriageReturn)),
    Case(b"GET / HTTP/1.1\rHost: a\r\n\r\n", Err(Error::BareCarriageReturn)),
    Case(b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", Err(Error::BareCarriageReturn)),
    Case(b"GET / HTTP/1.1\r\nHost: a\r\n\rX", Err(Error::BareCarriageReturn)),
    Case(b"GET / HTTP/1.1\r\nHost: a\0\r\n\r\n", Err(Error::Nul)),
    Case(b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", Err(Error::Nul)),
    Case(b"GET / HTTP/1.1\r\nHo\0st: a\r\n\r\n", Err(Error::Nul)),
    Case(b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", Err(Error::ObsoleteFold)),
    Case(b"GET / HTTP/1.1\r\nHost: a\r\n\tb\r\n\r\n", Err(Error::ObsoleteFold)),
    Case(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", Err(Error::ObsoleteFold)),
    Case(b"GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n", Err(Error::ObsoleteFold)),
    Case(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", Err(Error::MalformedHead)),
    Case(b"GET / HTTP/1.1\r\nHost\r\n\r\n", Err(Error::MalformedHead)),
    Case(b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", Err(Error::UnsupportedVersion)),
    Case(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Err(Error::UnsupportedVersion)),
    Case(b"GET / http/1.1\r\nHost: a\r\n\r\n", Err(Error::UnsupportedVersion)),
    Case(b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", Err(Error::BadTarget)),
    Case(b" GET / HTTP/1.1\r\n\r\n", Err(Error::MalformedHead)),
    Case(b"\r\r\n", Err(Error::MalformedHead)),
    Case(b"\r\nGET / HTTP/1.1\r\n\r\n", Err(Error::MalformedHead)),
    Case(b"\n", Err(Error::MalformedHead)),
    Case(b"\0\0\0\0", Err(Error::MalformedHead)),
    Case(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Err(Error::MalformedHead)),
];

const RESPONSES: &[Case] = &[
    Case(b"HTTP/1.1 099 No\r\nA : b\n\r\n", Err(Error::BadStatus)),
    Case(b"HTTP/1.1 200 OK\r\n", Ok(None)),
    Case(b"HTTP/1.1 200 OK\r\n\r\n", Ok(Some(19))),
    Case(b"HTTP/1.1 204\r\nA: b\r\n\r\nHTTP/1.1", Ok(Some(22))),
    Case(b"HTTP/1.0 404 \xff\t x\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n", Ok(Some(51))),
    Case(b"HTTP/1.1 200 OK\n\n", Err(Error::BareLineFeed)),
    Case(b"HTTP/1.1 200 OK\r\nA: b\r\n c: d\r\n\r\n", Err(Error::ObsoleteFold)),
    Case(b"HTTP/1.1 200 O\0K\r\n\r\n", Err(Error::Nul)),
    Case(b"HTTP/1.1 200 O\rK\r\n\r\n", Err(Error::BareCarriageReturn)),
    Case(b"HTTP/1.1 700 No\r\n\r\n", Ok(Some(19))),
    Case(b"HTTP/1.1 099 No\r\n\r\n", Err(Error::BadStatus)),
    Case(b"HTTP/3.0 200 OK\r\n\r\n", Err(Error::UnsupportedVersion)),
    Case(b"SSH-2.0-OpenSSH_9.6\r\n", Err(Error::MalformedHead)),
    Case(b"\r\nHTTP/1.1 200 OK\r\n\r\n", Err(Error::MalformedHead)),
];

#[test]
fn cuts_change_nothing() {
    for (kind, corpus) in [(Kind::Request, REQUESTS), (Kind::Response, RESPONSES)] {
        for Case(stream, expected) in corpus {
            let name = stream.escape_ascii().to_string();
            assert_eq!(read(kind, stream, &[]), *expected, "whole: {name}");
            for cut in 0..=stream.len() {
                assert_eq!(read(kind, stream, &[cut]), *expected, "cut at {cut}: {name}");
            }
            let all: Vec<usize> = (0..stream.len()).collect();
            assert_eq!(read(kind, stream, &all), *expected, "bytewise: {name}");
        }
    }
}

#[test]
fn one_step_reads_what_two_read() {
    for (kind, head) in [
        (Kind::Request, &b"GET /a HTTP/1.1\r\nHost: a\r\nB:c \r\n\r\nGET / HTTP/1.1\r\n\r\n"[..]),
        (Kind::Response, b"HTTP/1.1 200 OK\r\nA: b\r\nB:c \r\n\r\nbody\r\n\r\n"),
    ] {
        for at in 0..head.len() {
            for new in [&b"\r"[..], b"\n", b"\r\n", b"\0", b" ", b"\t", b":", b"a", b"\x80", b""] {
                for taken in 0..=2.min(head.len() - at) {
                    let stream = [&head[..at], new, &head[at + taken..]].concat();
                    // That it is the same is looked at inside.
                    let _ = read(kind, &stream, &[]);
                    let _ = read(kind, &stream, &[stream.len() / 2]);
                }
            }
        }
    }
}

#[test]
fn one_scan_finds_head_after_head() {
    let stream =
        b"GET /1 HTTP/1.1\r\nA: b\r\n\r\n\r\nPUT /22 HTTP/1.1\r\n\r\nGET /3 HTTP/1.0\r\n\r\n";
    let mut scan = HeadScan::new(Kind::Request, 64);
    let mut rx: &[u8] = stream;
    let mut lengths = Vec::new();
    loop {
        rx = &rx[leading_empty_line(rx)..];
        let Some(length) = scan.poll(rx).unwrap() else {
            break;
        };
        lengths.push(length);
        rx = &rx[length..];
    }
    assert_eq!(lengths, [25, 20, 19]);
}

#[test]
fn an_empty_line_in_front_may_come_in_halves() {
    let mut scan = HeadScan::new(Kind::Request, 64);
    assert_eq!(leading_empty_line(b"\r"), 0);
    assert_eq!(scan.poll(b"\r"), Ok(None));
    assert_eq!(leading_empty_line(b"\r\n"), 2);
    assert_eq!(leading_empty_line(b"\r\n\r\n"), 2);
    assert_eq!(scan.poll(b"GET / HTTP/1.1\r\n\r\n"), Ok(Some(18)));
    assert_eq!(HeadScan::new(Kind::Response, 64).poll(b"\r"), Err(Error::MalformedHead));
}

#[test]
fn the_limit_is_exact() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let body = [&head[..], b"and what follows"].concat();
    for max in [0, 1, 2, 15, 26, 27, 28] {
        let expected = if max < 27 { Err(Error::HeadTooLarge) } else { Ok(Some(27)) };
        assert_eq!(HeadScan::new(Kind::Request, max).poll(head), expected, "{max}");
        assert_eq!(HeadScan::new(Kind::Request, max).poll(&body), expected, "{max}");
        let mut scan = HeadScan::new(Kind::Request, max);
        let bytewise = (1..=head.len()).find_map(|cut| scan.poll(&head[..cut]).transpose());
        assert_eq!(bytewise, expected.transpose(), "{max}");
    }
}

#[test]
fn too_many_fields_are_noticed_before_the_end() {
    let stream = format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(1000));
    let mut scan = HeadScan::new(Kind::Request, MAX);
    assert_eq!(scan.poll(stream.as_bytes()), Err(Error::TooManyFields));
}

#[test]
fn garbage_is_not_listened_to_for_long() {
    for first in 0..=u8::MAX {
        for kind in [Kind::Request, Kind::Response] {
            let stream = vec![first; 1024];
            let mut scan = HeadScan::new(kind, MAX);
            let refused = (1..=1024).find(|&cut| scan.poll(&stream[..cut]).is_err());
            assert!(refused.is_some_and(|cut| cut <= 128), "{first} as {kind:?}: {refused:?}");
        }
    }
}

#[test]
fn dribbled_heads_take_linear_work() {
    let mut head = b"GET / HTTP/1.1\r\n".to_vec();
    for field in 0..200 {
        head.extend(format!("X-{field}: {}\r\n", "v".repeat(310)).bytes());
    }
    head.resize(MAX - 4, b'y');
    let start = head.len() - 200;
    head[start..start + 4].copy_from_slice(b"\r\nL:");
    head.extend(b"\r\n\r\n");
    assert_eq!(head.len(), MAX);

    let mut scan = HeadScan::new(Kind::Request, MAX);
    let (mut attempts, mut scanned) = (0, 0);
    for cut in 1..MAX {
        let before = scan.progress;
        assert_eq!(scan.poll(&head[..cut]), Ok(None));
        attempts += usize::from(scan.progress.try_at != before.try_at);
        // Everything but a carriage return at the end is done with for good.
        assert!(scan.progress.scanned >= before.scanned && scan.progress.scanned + 1 >= cut);
        scanned += cut - before.scanned;
    }
    assert_eq!(scan.poll(&head), Ok(Some(MAX)));
    assert_eq!(attempts, 16, "one for each power of two");
    assert!(scanned < 2 * MAX, "{scanned}");
}
