//! Whole connections: each input whole, in every split and byte by byte gives the same, and the
//! corpora of what is refused and of what is odd but valid.

use super::{
    ClientConn, Eof, Error, Received, Reply, RequestHead, ResponseHead, ServerConn, Storage,
    path_of,
};
use crate::Buf;

const HEAD_MAX: usize = 64 * 1024;

const REFUSAL: Reply<'_> = Reply { status: 400, fields: &[], content_type: "", body: b"" };

/// What one side understood of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Understood {
    /// Start line, body, trailers; the last may be incomplete.
    pub(super) messages: Vec<(String, Vec<u8>, Option<Vec<u8>>)>,
    pub(super) error: Option<Error>,
}

impl Understood {
    fn begin(&mut self, head: &[u8]) {
        let line = head.split(|&byte| byte == b'\r').next().unwrap();
        self.messages.push((String::from_utf8_lossy(line).into_owned(), Vec::new(), None));
    }

    /// Whether it goes on.
    fn take(&mut self, decoded: super::Decoded<'_>) -> bool {
        let message = self.messages.last_mut().unwrap();
        message.1.extend_from_slice(decoded.data);
        message.2 = decoded.end.map(<[u8]>::to_vec);
        decoded.used > 0 || decoded.end.is_some()
    }
}

/// Serves every request of a stream, with at most `max` body bytes at a time.
pub(super) fn serve(pieces: &[&[u8]], max: usize) -> Understood {
    let mut understood = Understood::default();
    let mut conn = ServerConn::new(HEAD_MAX);
    let (mut rx, mut tx) = (Buf::new(), Buf::new());
    for piece in pieces {
        rx.extend(piece);
        loop {
            match serve_step(&mut conn, &mut rx, &mut tx, max, &mut understood) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    understood.error = Some(error);
                    conn.reply(&REFUSAL, &mut tx);
                    assert!(conn.close_reason().is_some());
                    return understood;
                }
            }
        }
    }
    understood
}

fn serve_step(
    conn: &mut ServerConn,
    rx: &mut Buf,
    tx: &mut Buf,
    max: usize,
    understood: &mut Understood,
) -> Result<bool, Error> {
    if !conn.has_request_ended() && understood.messages.last().is_none_or(|m| m.2.is_some()) {
        let mut storage = Storage::new();
        let Some((head, end)) = conn.read_head(rx.as_slice(), &mut storage)? else {
            return Ok(false);
        };
        conn.begin(&head)?;
        understood.begin(head.bytes);
        rx.consume(end);
    }
    let decoded = conn.decode(rx.as_slice(), max)?;
    let (goes_on, used) = (understood.take(decoded), decoded.used);
    rx.consume(used);
    if !conn.has_request_ended() {
        return Ok(goes_on);
    }
    conn.reply(&Reply { status: 200, fields: &[], content_type: "", body: b"" }, tx);
    if conn.close_reason().is_some() {
        return Ok(false);
    }
    conn.next();
    Ok(true)
}

/// Reads the response to one request; the stream ends after the pieces.
pub(super) fn receive(method: &str, pieces: &[&[u8]], max: usize) -> Understood {
    let mut conn = ClientConn::new(HEAD_MAX);
    let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut storage = Storage::new();
    let head = RequestHead::parse(request.as_bytes(), &mut storage).unwrap();
    conn.send(&head, &mut Buf::new()).unwrap();
    let mut understood = Understood::default();
    let mut rx = Buf::new();
    let mut is_final = false;
    for (at, piece) in pieces.iter().enumerate() {
        rx.extend(piece);
        let eof = if at + 1 == pieces.len() { Eof::Reached } else { Eof::Open };
        loop {
            match receive_step(&mut conn, &mut rx, max, eof, &mut is_final, &mut understood) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    understood.error = Some(error);
                    return understood;
                }
            }
        }
    }
    understood
}

fn receive_step(
    conn: &mut ClientConn,
    rx: &mut Buf,
    max: usize,
    eof: Eof,
    is_final: &mut bool,
    understood: &mut Understood,
) -> Result<bool, Error> {
    if !*is_final {
        let mut storage = Storage::new();
        let Some(head) = conn.read_head(rx.as_slice(), &mut storage)? else {
            return Ok(false);
        };
        let length = head.bytes.len();
        *is_final = conn.receive(&head)? != Received::Interim;
        understood.begin(head.bytes);
        rx.consume(length);
        return Ok(true);
    }
    let decoded = conn.decode(rx.as_slice(), max, eof)?;
    let (used, has_ended) = (decoded.used, decoded.end.is_some());
    let goes_on = understood.take(decoded);
    rx.consume(used);
    Ok(goes_on && !has_ended)
}

/// Feeds `input` whole, in every two parts, and byte by byte, with and without a narrow reader.
pub(super) fn sweep(input: &[u8], feed: impl Fn(&[&[u8]], usize) -> Understood) -> Understood {
    let whole = feed(&[input], usize::MAX);
    for at in 0..=input.len() {
        let (a, b) = input.split_at(at);
        assert_eq!(feed(&[a, b], usize::MAX), whole, "split at {at}: {}", input.escape_ascii());
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(feed(&bytes, usize::MAX), whole, "byte by byte: {}", input.escape_ascii());
    assert_eq!(feed(&[input], 1), whole, "one byte wanted: {}", input.escape_ascii());
    whole
}

fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}")
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked", body)
}

#[track_caller]
fn refused(input: &str, error: Error) {
    let understood = sweep(input.as_bytes(), serve);
    assert_eq!(understood.error, Some(error), "{}", input.escape_debug());
    assert!(understood.messages.len() < 2, "{}", input.escape_debug());
}

#[test]
fn two_lengths_are_refused() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nTransfer-Encoding: xchunked",
        "Content-Length: 5\r\nTransfer-Encoding:",
        "Content-Length: x\r\nTransfer-Encoding: identity",
        "content-length: 5\r\ntransfer-encoding: identity\r\ntransfer-encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\ncontent-length: 6",
        "Content-Length: 0\r\nContent-Length: 5",
        "Content-Length: 5\r\nX: y\r\nContent-Length: 5\r\nContent-Length: 5",
    ] {
        refused(&post(fields, "0\r\n\r\nG"), Error::ConflictingLengths);
    }
}

#[test]
fn lengths_are_plain_numbers() {
    for length in [
        "5, 5",
        "5,6",
        "5,",
        ",5",
        "+5",
        "-5",
        "",
        " ",
        "0x5",
        "5 5",
        "5;",
        "5.0",
        "1e3",
        "five",
        "\"5\"",
        "5\t5",
        "\t5",
        " \t5",
        "5\t",
        "5 \t ",
        "18446744073709551616",
        "99999999999999999999999",
        "\u{ff15}",
    ] {
        refused(&post(&format!("Content-Length: {length}"), "hello"), Error::BadLength);
    }
}

#[test]
fn the_only_transfer_coding_is_chunked() {
    for coding in [
        "xchunked",
        "chunkedx",
        "chunked, chunked",
        "chunked,chunked",
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, identity",
        "identity, chunked",
        "chunked,",
        ", chunked",
        "chunked;q=1",
        "\"chunked\"",
        "'chunked'",
        "",
        "chunke",
        "chunked chunked",
        "chunked\tchunked",
        "c hunked",
        "cow",
        "chunked\r\nTransfer-Encoding: chunked",
        "chunked\r\nTransfer-Encoding: identity",
        "identity\r\ntransfer-encoding: chunked",
        "\r\nTransfer-Encoding: chunked",
    ] {
        refused(
            &post(&format!("Transfer-Encoding: {coding}"), "0\r\n\r\n"),
            Error::BadTransferCoding,
        );
    }
    let old = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    refused(old, Error::BadTransferCoding);
}

#[test]
fn hidden_framing_fields_are_refused() {
    for fields in [
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding: chunked\u{c}",
        "Transfer-Encoding\u{b}: chunked",
        "Content-Length : 5",
        "Content-Length",
        "Content Length: 5",
        ": chunked",
    ] {
        refused(&post(fields, "0\r\n\r\n"), Error::MalformedHead);
    }
}

#[test]
fn malformed_chunks_are_refused() {
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(256));
    let endless = "5;".to_owned() + &"x".repeat(400);
    for body in [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "-1\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\t\r\nhello\r\n0\r\n\r\n",
        "5 ;a=b\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\rhello\r\n0\r\n\r\n\n",
        "5\r\r\nhello\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5;a\0b\r\nhello\r\n0\r\n\r\n",
        "5;a\u{7f}\r\nhello\r\n0\r\n\r\n",
        "5\0\r\nhello\r\n0\r\n\r\n",
        "5\u{b}\r\nhello\r\n0\r\n\r\n",
        "5,5\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "5.\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "10000000000000000\r\nhello",
        "00000000000000005\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello",
        &long,
        &endless,
    ] {
        refused(&chunked(body), Error::BadChunk);
    }
}

#[test]
fn malformed_trailers_are_refused() {
    let long = format!("X: {}\r\n\r\n", "x".repeat(8 * 1024));
    let endless = "X".repeat(9 * 1024);
    let many = "X: y\r\n".repeat(65) + "\r\n";
    for section in [
        "X : y\r\n\r\n",
        "X\t: y\r\n\r\n",
        " X: y\r\n\r\n",
        "X: y\r\n z\r\n\r\n",
        "X: y\r\n\tz\r\n\r\n",
        "X: y\n\r\n",
        "X: y\r\n\n",
        "X: y\r\r\n\r\n",
        "X: y\rz\r\n\r\n",
        "X: y\0\r\n\r\n",
        "X: y\u{7f}\r\n\r\n",
        "X\r\n\r\n",
        ": y\r\n\r\n",
        "X Y: z\r\n\r\n",
        "X\u{e9}: z\r\n\r\n",
        "GET /admin HTTP/1.1\r\n\r\n",
        "\n",
        "\r\r\n\r\n",
        &many,
    ] {
        refused(&chunked(&format!("0\r\n{section}")), Error::BadTrailers);
    }
    // Too long for all splits.
    for section in [long, endless] {
        let input = chunked(&format!("0\r\n{section}"));
        let bytes: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
        assert_eq!(serve(&bytes, 1).error, Some(Error::BadTrailers));
        assert_eq!(serve(&[input.as_bytes()], 1).error, Some(Error::BadTrailers));
    }
}

#[track_caller]
fn understood(input: &str, body: &str, trailers: &str) {
    // Another request follows: none of its bytes may be taken for this one's.
    for (follower, count) in [("", 1), ("GET /next HTTP/1.1\r\nHost: b\r\n\r\n", 2)] {
        let understood = sweep((input.to_owned() + follower).as_bytes(), serve);
        assert_eq!(understood.error, None, "{}", input.escape_debug());
        assert_eq!(understood.messages.len(), count, "{}", input.escape_debug());
        let (_, got, end) = &understood.messages[0];
        assert_eq!(got, body.as_bytes());
        assert_eq!(end.as_deref(), Some(trailers.as_bytes()), "{}", input.escape_debug());
    }
}

#[test]
fn odd_but_valid_heads_pass() {
    for coding in [" CHUNKED", "chunked", " \tchunked \t"] {
        let fields = format!("transfer-ENCODING:{coding}");
        understood(&post(&fields, "5\r\nhello\r\n0\r\n\r\n"), "hello", "");
    }
    for length in ["5", "   5   ", " 0005", " 00000000000000000000000005"] {
        understood(&post(&format!("cONTENT-lENGTH:{length}"), "hello"), "hello", "");
    }
    understood(&post("Content-Length: 0", ""), "", "");
    understood(&post("X: y", ""), "", "");
    understood(&("\r\n".to_owned() + &post("Content-Length: 5", "hello")), "hello", "");
}

#[test]
fn odd_but_valid_chunks_pass() {
    let extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(255));
    let trailers = "X: y\r\n".repeat(64);
    for (input, body, trailers) in [
        ("0\r\n\r\n", "", ""),
        ("00000000\r\n\r\n", "", ""),
        ("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello", ""),
        ("5;a=b;c=\"d;e\"\r\nhello\r\n0;z\r\n\r\n", "hello", ""),
        ("5;\r\nhello\r\n0\r\n\r\n", "hello", ""),
        (&extension, "hello", ""),
        ("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", ""),
        ("4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n", ""),
        ("1\r\na\r\n0\r\nX: y\r\nz:\r\n\r\n", "a", "X: y\r\nz:\r\n"),
        ("0\r\nX: \u{e9} \tb\r\n\r\n", "", "X: \u{e9} \tb\r\n"),
        (&format!("0\r\n{trailers}\r\n"), "", &trailers),
    ] {
        understood(&chunked(input), body, trailers);
    }
}

#[test]
fn pipelined_requests_are_taken_apart() {
    let pipeline = [
        post("Content-Length: 3", "abc"),
        chunked("3\r\ndef\r\n0\r\n\r\n"),
        "HEAD /1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        chunked("0\r\nX: y\r\n\r\n"),
        "GET /2 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n".to_owned(),
        "GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(),
        "GET /never HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
    ];
    let understood = sweep(pipeline.concat().as_bytes(), serve);
    assert_eq!(understood.error, None);
    assert_eq!(understood.messages.len(), 6);
    assert_eq!(understood.messages[1].1, b"def");
    assert_eq!(understood.messages[5].0, "GET /3 HTTP/1.1");
}

#[test]
fn responses_are_read_alike_in_every_split() {
    const CUT: Option<Error> = Some(Error::Truncated);
    for (method, status, fields, rx, body, error) in [
        ("GET", 200, "Content-Length: 5\r\n", "hello", "hello", None),
        ("GET", 200, "Content-Length: 5\r\n", "hell", "hell", CUT),
        ("GET", 200, "Content-Length: 2\r\n", "hello", "he", None),
        ("GET", 200, "", "until the end", "until the end", None),
        ("GET", 200, "", "", "", None),
        ("GET", 200, "Transfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n", "hi", None),
        ("GET", 200, "Transfer-Encoding: chunked\r\n", "2\r\nhi\r\n", "hi", CUT),
        ("GET", 200, "Transfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r", "hi", CUT),
        ("HEAD", 200, "Content-Length: 5\r\n", "", "", None),
        ("HEAD", 200, "Transfer-Encoding: chunked\r\n", "", "", None),
        ("GET", 304, "Content-Length: 5\r\n", "", "", None),
        ("GET", 204, "", "", "", None),
    ] {
        for interim in ["", "HTTP/1.1 100 Continue\r\n\r\n"] {
            let input = format!("{interim}HTTP/1.1 {status} X\r\n{fields}\r\n{rx}");
            let understood = sweep(input.as_bytes(), |parts, max| receive(method, parts, max));
            assert_eq!(understood.error, error, "{}", input.escape_debug());
            let (_, got, end) = understood.messages.last().unwrap();
            assert_eq!(got, body.as_bytes(), "{}", input.escape_debug());
            assert_eq!(end.is_some(), error.is_none(), "{}", input.escape_debug());
        }
    }
}

#[test]
fn ambiguous_responses_are_refused() {
    for (fields, error) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", Error::ConflictingLengths),
        ("Content-Length: 5\r\nContent-Length: 5", Error::ConflictingLengths),
        ("Content-Length: 5, 5", Error::BadLength),
        ("Content-Length: +5", Error::BadLength),
        ("Content-Length: \t2 \t", Error::BadLength),
        ("Transfer-Encoding: gzip, chunked", Error::BadTransferCoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Error::BadTransferCoding),
        ("Transfer-Encoding: identity", Error::BadTransferCoding),
    ] {
        for method in ["GET", "HEAD"] {
            let input = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n0\r\n\r\n");
            let understood = sweep(input.as_bytes(), |pieces, max| receive(method, pieces, max));
            assert_eq!(understood.error, Some(error), "{fields}");
        }
    }
    let old = b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(receive("GET", &[old], 9).error, Some(Error::BadTransferCoding));
    let unasked = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n";
    assert_eq!(receive("GET", &[unasked], 9).error, Some(Error::BadStatus));
}

/// Takes a response of the service through both ends: what the caller gets.
fn through_the_mesh(request: &str, response: &str) -> (Option<super::CloseReason>, String) {
    let (mut server, mut client) = (ServerConn::new(HEAD_MAX), ClientConn::new(HEAD_MAX));
    let mut storage = Storage::new();
    let head = RequestHead::parse(request.as_bytes(), &mut storage).unwrap();
    server.begin(&head).unwrap();
    let peer = std::net::Ipv4Addr::LOCALHOST.into();
    let via = super::forward::Forwarded::new(peer, super::forward::Proto::Https, 443);
    let (mut tunnel, mut service, mut caller) = (Buf::new(), Buf::new(), Buf::new());
    let (none, no) = (super::forward::BodyKind::Empty, super::forward::Upgrade::No);
    super::forward::request(&head, none, no, &via, &mut tunnel);
    let mut storage = Storage::new();
    let head = RequestHead::parse(tunnel.as_slice(), &mut storage).unwrap();
    client.send(&head, &mut service).unwrap();

    let mut storage = Storage::new();
    let head = client.read_head(response.as_bytes(), &mut storage).unwrap().unwrap();
    let length = head.bytes.len();
    client.receive(&head).unwrap();
    let mut tunnel = Buf::new();
    super::forward::response(&head, &mut tunnel);
    let mut storage = Storage::new();
    let head = ResponseHead::parse(tunnel.as_slice(), &mut storage).unwrap();
    server.respond(&head, &mut caller).unwrap();
    let mut at = length;
    loop {
        let decoded = client.decode(&response.as_bytes()[at..], 4, Eof::Reached).unwrap();
        server.write(decoded.data, &mut caller).unwrap();
        at += decoded.used;
        if let Some(trailers) = decoded.end {
            server.finish(trailers, &mut caller).unwrap();
            break;
        }
    }
    (server.close_reason(), String::from_utf8(caller.as_slice().to_vec()).unwrap())
}

#[test]
fn responses_are_framed_anew_on_their_way() {
    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const OLD: &str = "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    const OK: &str = "HTTP/1.1 200 OK\r\n";
    const TE: &str = "Transfer-Encoding: chunked\r\n";
    const ENDS: Option<super::CloseReason> = Some(super::CloseReason::UntilClose);
    for (request, response, reason, expected) in [
        (GET, format!("{OK}Content-Length: 5\r\n\r\nhello"), None, None),
        (
            GET,
            format!("{OK}{TE}\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n"),
            None,
            Some(format!("{OK}{TE}\r\n4\r\nhell\r\n1\r\no\r\n0\r\nX: y\r\n\r\n")),
        ),
        (
            GET,
            "HTTP/1.0 200 OK\r\nX: y\r\n\r\nhello".to_owned(),
            None,
            Some(format!("{OK}X: y\r\n{TE}\r\n4\r\nhell\r\n1\r\no\r\n0\r\n\r\n")),
        ),
        (
            OLD,
            format!("{OK}{TE}\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n"),
            ENDS,
            Some(format!("{OK}Connection: close\r\n\r\nhello")),
        ),
        (HEAD, format!("{OK}Content-Length: 5\r\n\r\n"), None, None),
        (HEAD, format!("{OK}{TE}\r\n"), None, Some(format!("{OK}\r\n"))),
        (GET, "HTTP/1.1 304 No\r\nContent-Length: 5\r\nETag: x\r\n\r\n".to_owned(), None, None),
    ] {
        let expected = expected.unwrap_or_else(|| response.clone());
        assert_eq!(through_the_mesh(request, &response), (reason, expected));
    }
}

#[test]
fn the_path_of_a_target_is_what_stands_between_authority_and_query() {
    for (target, path) in [
        ("/a/b?c=/d", "/a/b"),
        ("?", ""),
        ("*", "*"),
        ("http://a.example:80/b?c", "/b"),
        ("HTTPS://[::1]:443/b/", "/b/"),
        ("http://a.example", "/"),
        ("http://a.example?b", "/"),
        ("/a?http://b/c", "/a"),
        ("ftp://a/b?c", "ftp://a/b"),
        ("http://u@a/b", "http://u@a/b"),
    ] {
        assert_eq!(path_of(target), path, "{target}");
    }
}
