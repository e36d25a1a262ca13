//! What callers get to see.

use super::super::{
    BodyLength, CloseReason, Error, Reply, Request, ResponseHead, ServerConn, Storage,
};
use crate::Buf;

const REPLY: Reply<'_> =
    Reply { status: 503, fields: &[("Retry-After", "1")], content_type: "text/plain", body: b"no" };

fn begin<'b>(conn: &mut ServerConn, head: &'b str) -> Result<Request<'b>, Error> {
    let mut storage = Storage::new();
    let (head, _) = conn.read_head(head.as_bytes(), &mut storage)?.expect("a whole head");
    conn.begin(&head)
}

/// Where the head ends.
fn poll(conn: &mut ServerConn, rx: &str) -> Result<Option<usize>, Error> {
    let mut storage = Storage::new();
    let found = conn.read_head(rx.as_bytes(), &mut storage)?;
    Ok(found.map(|(_, end)| end))
}

/// A connection on which a request has begun.
fn asked(head: &str) -> ServerConn {
    let mut conn = ServerConn::new(4096);
    begin(&mut conn, head).unwrap();
    conn
}

fn with_response<T>(head: &str, act: impl FnOnce(&ResponseHead<'_, '_>) -> T) -> T {
    let mut storage = Storage::new();
    act(&ResponseHead::parse(head.as_bytes(), &mut storage).unwrap())
}

fn text(tx: &Buf) -> String {
    String::from_utf8(tx.as_slice().to_vec()).unwrap()
}

/// The head that is written for a response head.
fn respond(conn: &mut ServerConn, head: &str) -> Result<(BodyLength, String), Error> {
    let mut tx = Buf::new();
    let length = with_response(head, |head| conn.respond(head, &mut tx));
    assert!(length.is_ok() || tx.is_empty());
    Ok((length?, text(&tx)))
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const UPGRADE: &str =
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn requests_are_understood() {
    let mut conn = ServerConn::new(4096);
    let request = begin(
        &mut conn,
        "PUT /x HTTP/1.1\r\nHost: a.b:80\r\nContent-Length: 7\r\nExpect: 100-Continue\r\n\r\n",
    );
    let expected = Request {
        host: "a.b:80",
        body: BodyLength::Sized(7),
        is_upgrade: false,
        expects_continue: true,
        is_idempotent: true,
    };
    assert_eq!(request, Ok(expected));
    let mut conn = ServerConn::new(4096);
    assert!(begin(&mut conn, UPGRADE).unwrap().is_upgrade);
    let mut conn = ServerConn::new(4096);
    let old = UPGRADE.replace("HTTP/1.1", "HTTP/1.0");
    assert!(!begin(&mut conn, &old).unwrap().is_upgrade);
    for (fields, is_upgrade) in [
        ("Upgrade: x", false),
        ("Connection: upgrade", false),
        ("Connection: x, UPGRADE\r\nupgrade: x", true),
        ("Connection: upgrade\r\nUpgrade: h2c", false),
        ("Connection: upgrade\r\nUpgrade: websocket, H2C", false),
        ("Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket", false),
        ("Connection: upgrade\r\nUpgrade: h2c-like", true),
    ] {
        let mut conn = ServerConn::new(4096);
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        let request = begin(&mut conn, &head).unwrap();
        assert_eq!((request.is_upgrade, request.is_idempotent), (is_upgrade, false), "{fields}");
    }
}

/// Version, fields, whether and why the connection ends, and what the answer says about it.
const PERSISTENCE: [(&str, &str, Option<CloseReason>, &str); 10] = [
    ("1.1", "", None, ""),
    ("1.1", "Connection: keep-alive\r\n", None, ""),
    ("1.1", "Connection: close\r\n", CLOSED, CLOSE),
    ("1.1", "Connection: x,, CLOSE\r\n", CLOSED, CLOSE),
    ("1.1", "Connection: x\r\nConnection: close\r\n", CLOSED, CLOSE),
    ("1.1", "Connection: closed\r\n", None, ""),
    ("1.0", "", Some(CloseReason::Http10), CLOSE),
    ("1.0", "Connection: x\r\n", Some(CloseReason::Http10), CLOSE),
    ("1.0", "Connection: Keep-Alive\r\n", None, "Connection: keep-alive\r\n"),
    ("1.0", "Connection: keep-alive, close\r\n", CLOSED, CLOSE),
];
const CLOSED: Option<CloseReason> = Some(CloseReason::PeerAskedClose);
const CLOSE: &str = "Connection: close\r\n";

#[test]
fn who_may_send_another_request() {
    const HEAD: &str = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: x\r\n\r\n";
    for (version, connection, reason, line) in PERSISTENCE {
        let head = format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n");
        let mut conn = asked(&head);
        let (_, written) = respond(&mut conn, HEAD).unwrap();
        assert_eq!(written, format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{line}\r\n"));
        let mut tx = Buf::new();
        conn.write(b"ab", &mut tx).unwrap();
        conn.finish(b"", &mut tx).unwrap();
        assert_eq!(conn.close_reason(), reason, "{head}");

        let mut conn = asked(&head);
        tx.clear();
        conn.reply(&REPLY, &mut tx);
        assert!(text(&tx).contains(&format!("Content-Length: 2\r\n{line}\r\nno")), "{head}");
        assert_eq!(conn.close_reason(), reason, "{head}");
        if reason.is_none() {
            conn.next();
            assert_eq!(conn.close_reason(), None);
            begin(&mut conn, GET).unwrap();
        }
    }
}

#[test]
fn responses_are_framed_for_the_caller() {
    const OLD: &str = "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    const CL: &str = "Content-Length: 5\r\n";
    const TE: &str = "Transfer-Encoding: chunked\r\n";
    for (request, status, fields, length, written) in [
        (GET, "200 OK", CL, BodyLength::Sized(5), CL),
        (GET, "200 OK", "", BodyLength::Chunked, TE),
        (OLD, "200 OK", "", BodyLength::UntilClose, "Connection: close\r\n"),
        (HEAD, "200 OK", CL, BodyLength::Empty, CL),
        (HEAD, "200 OK", "", BodyLength::Empty, ""),
        (GET, "304 Not Modified", CL, BodyLength::Empty, CL),
        (GET, "204 No Content", CL, BodyLength::Empty, ""),
        (OLD, "204 No Content", "", BodyLength::Empty, "Connection: keep-alive\r\n"),
        (GET, "600 What", "", BodyLength::Chunked, TE),
        (GET, "999 Request denied", CL, BodyLength::Sized(5), CL),
    ] {
        let mut conn = asked(request);
        let head = format!("HTTP/1.1 {status}\r\n{fields}\r\n");
        let expected = format!("HTTP/1.1 {status}\r\n{written}\r\n");
        assert!(!conn.is_answer_framed());
        assert_eq!(respond(&mut conn, &head), Ok((length, expected)), "{request} {head}");
        assert_eq!(conn.is_answer_framed(), length != BodyLength::UntilClose, "{request} {head}");
        if length == BodyLength::Empty {
            let mut tx = Buf::new();
            conn.write(b"dropped, however long", &mut tx).unwrap();
            conn.finish(b"X: y\r\n", &mut tx).unwrap();
            assert!(tx.is_empty());
            assert_eq!(conn.close_reason(), None);
        }
    }
}

#[test]
fn fields_about_a_hop_are_removed_from_responses() {
    let head = "HTTP/1.0 299 \u{e9} odd  reason\r\n\
        Set-Cookie:a\r\ntraceparent: t\r\nConnection: close, X-Hop, content-length, traceparent\r\nx-hop: 1\r\nKeep-Alive: 9\r\n\
        Proxy-Connection: x\r\nset-cookie:  b\t\r\nUpgrade: h2c\r\nTE: x\r\nTrailer: X\r\n\
        CONTENT-LENGTH: 3\r\n\r\n";
    let expected = "HTTP/1.1 299 \u{e9} odd  reason\r\n\
        Set-Cookie:a\r\ntraceparent: t\r\nset-cookie:  b\t\r\nCONTENT-LENGTH: 3\r\n\r\n";
    let mut conn = asked(GET);
    assert_eq!(respond(&mut conn, head), Ok((BodyLength::Sized(3), expected.to_owned())));
    let mut conn = asked(GET);
    let head = "HTTP/1.1 200\r\nTrailer: X\r\n\r\n";
    let expected = "HTTP/1.1 200 \r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(respond(&mut conn, head), Ok((BodyLength::Chunked, expected.to_owned())));
    let mut tx = Buf::new();
    conn.write(b"", &mut tx).unwrap();
    conn.write(b"0123456789abcdefg", &mut tx).unwrap();
    conn.finish(b"X: y\r\nContent-Length: 9\r\nHost: evil\r\nz:\r\n", &mut tx).unwrap();
    assert_eq!(text(&tx), "11\r\n0123456789abcdefg\r\n0\r\nX: y\r\nz:\r\n\r\n");
    assert_eq!(conn.close_reason(), None);
}

#[test]
fn hostile_responses_are_refused_and_can_be_replaced() {
    for (fields, error) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", Error::BadTransferCoding),
        ("Transfer-Encoding: chunked", Error::BadTransferCoding),
        ("Connection: transfer-encoding\r\nTransfer-Encoding: x", Error::BadTransferCoding),
        ("Content-Length: 5\r\nContent-Length: 5", Error::ConflictingLengths),
        ("Content-Length: 5, 5", Error::BadLength),
        ("Content-Length: -1", Error::BadLength),
        ("Content-Length:", Error::BadLength),
    ] {
        for request in [GET, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"] {
            let mut conn = asked(request);
            let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
            assert_eq!(respond(&mut conn, &head), Err(error), "{fields}");
            let mut tx = Buf::new();
            conn.reply(&REPLY, &mut tx);
            assert!(!tx.is_empty(), "nothing was answered before");
            assert_eq!(conn.close_reason(), None);
        }
    }
    for status in ["100 Continue", "101 Switching Protocols", "199 X"] {
        let head = format!("HTTP/1.1 {status}\r\n\r\n");
        assert_eq!(respond(&mut asked(GET), &head), Err(Error::BadStatus));
    }
    // Nothing that would be a second head to the caller can be in one.
    for head in [
        "HTTP/1.1 200 OK\r\nX: y\nSet-Cookie: z\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\rSet-Cookie: z\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 O\nK: x\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\n\r\n",
    ] {
        assert!(ResponseHead::parse(head.as_bytes(), &mut Storage::new()).is_err(), "{head:?}");
    }
}

#[test]
fn there_is_one_answer() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(respond(&mut ServerConn::new(99), OK), Err(Error::BadStatus));
    let mut conn = asked(GET);
    let mut tx = Buf::new();
    assert_eq!(conn.write(b"early", &mut tx), Err(Error::BodyOverflow));
    assert_eq!(conn.finish(b"", &mut tx), Err(Error::Truncated));
    respond(&mut conn, OK).unwrap();
    assert_eq!(respond(&mut conn, OK), Err(Error::BadStatus));
    conn.reply(&REPLY, &mut tx);
    with_response("HTTP/1.1 100 Continue\r\n\r\n", |head| conn.interim(head, &mut tx));
    assert!(tx.is_empty());
    assert_eq!(conn.write(b"four", &mut tx), Err(Error::BodyOverflow));
    conn.write(b"tw", &mut tx).unwrap();
    assert_eq!(conn.finish(b"", &mut tx), Err(Error::Truncated));
    assert_eq!(conn.close_reason(), Some(CloseReason::ResponseUnfinished));
    conn.write(b"o", &mut tx).unwrap();
    conn.finish(b"", &mut tx).unwrap();
    conn.finish(b"", &mut tx).unwrap();
    assert_eq!(conn.write(b"x", &mut tx), Err(Error::BodyOverflow));
    assert_eq!(text(&tx), "two");
    assert_eq!(conn.close_reason(), None);
}

#[test]
fn malformed_trailers_are_not_written() {
    for trailers in
        [&b"X: y"[..], b"X: y\n", b"\r\n", b"X: y\r\n\r\nHTTP/1.1 200 OK\r\n", b"X : y\r\n"]
    {
        let mut conn = asked(GET);
        respond(&mut conn, "HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let mut tx = Buf::new();
        assert_eq!(conn.finish(trailers, &mut tx), Err(Error::BadTrailers));
        assert!(tx.is_empty());
        assert_eq!(conn.close_reason(), Some(CloseReason::ResponseUnfinished));
    }
}

#[test]
fn interim_responses_reach_those_who_know_them() {
    const HINTS: &str = "HTTP/1.0 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\n\
        Transfer-Encoding: chunked\r\nConnection: x\r\nX: y\r\n\r\n";
    let mut tx = Buf::new();
    let mut conn = asked(GET);
    with_response(HINTS, |head| conn.interim(head, &mut tx));
    assert_eq!(text(&tx), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    tx.clear();
    for head in ["HTTP/1.1 101 X\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
        with_response(head, |head| conn.interim(head, &mut tx));
    }
    assert!(tx.is_empty());
    respond(&mut conn, "HTTP/1.1 200 OK\r\n\r\n").expect("it is not answered yet");
    let mut conn = asked("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    with_response(HINTS, |head| conn.interim(head, &mut tx));
    assert!(tx.is_empty());
}

#[test]
fn a_caller_waits_for_a_100_until_it_gets_one() {
    const EXPECTING: &str =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    let mut tx = Buf::new();
    let mut conn = asked(EXPECTING);
    for (status, awaits) in [("103", true), ("100", false)] {
        let head = format!("HTTP/1.1 {status} X\r\n\r\n");
        with_response(&head, |head| conn.interim(head, &mut tx));
        assert_eq!(conn.awaits_continue(), awaits, "{status}");
    }
    for request in [GET.to_owned(), EXPECTING.replace("HTTP/1.1", "HTTP/1.0")] {
        assert!(!asked(&request).awaits_continue(), "{request:?}");
    }
}

#[test]
fn an_answer_before_the_end_of_the_request_announces_the_end_of_the_connection() {
    const PLAIN: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
    const EXPECTING: &str =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    const ANSWER: &str = "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n";
    for request in [PLAIN, EXPECTING] {
        let mut conn = asked(request);
        let (_, head) = respond(&mut conn, ANSWER).unwrap();
        assert!(head.contains("Connection: close\r\n"));
        assert_eq!(conn.close_reason(), Some(CloseReason::RequestUnfinished));

        let mut conn = asked(request);
        assert_eq!(conn.decode(b"abGET", 9).unwrap().data, b"ab");
        let (_, head) = respond(&mut conn, ANSWER).unwrap();
        assert!(!head.contains("Connection"));
        assert_eq!(conn.close_reason(), None);
    }
}

#[test]
fn upgrades_happen_only_when_asked_for() {
    const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade, X-Hop\r\nX-Hop: 1\r\nContent-Length: 5\r\nSec-WebSocket-Accept: x\r\n\r\n";
    let body = UPGRADE.replace("\r\n\r\n", "\r\nContent-Length: 1\r\n\r\n");
    for request in [GET, &body, &UPGRADE.replace("HTTP/1.1", "HTTP/1.0")] {
        let mut conn = asked(request);
        let mut tx = Buf::new();
        let refused = with_response(SWITCH, |head| conn.upgrade(head, &mut tx));
        assert_eq!((refused, tx.is_empty()), (Err(Error::BadStatus), true));
    }
    let mut conn = asked(UPGRADE);
    let mut tx = Buf::new();
    with_response(SWITCH, |head| conn.upgrade(head, &mut tx)).unwrap();
    assert_eq!(
        text(&tx),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\
        Connection: Upgrade\r\n\r\n"
    );
    assert_eq!(conn.close_reason(), Some(CloseReason::Upgraded));
    tx.clear();
    conn.write(b"\x81\0", &mut tx).unwrap();
    assert_eq!(tx.as_slice(), b"\x81\0");
    let decoded = conn.decode(b"GET / HTTP", 5).unwrap();
    assert_eq!((decoded.used, decoded.data, decoded.end), (5, &b"GET /"[..], None));
    assert_eq!(with_response(SWITCH, |head| conn.upgrade(head, &mut tx)), Err(Error::BadStatus));
    // Asking does not oblige.
    let (_, head) = respond(&mut asked(UPGRADE), "HTTP/1.1 403 No\r\nUpgrade: x\r\n\r\n").unwrap();
    assert_eq!(head, "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n");
}

#[test]
fn replies_fit_what_was_read() {
    // Nothing was.
    let mut conn = ServerConn::new(4096);
    assert!(poll(&mut conn, "GET / HTTP/1.1\nHost: a\n\n").is_err());
    let mut tx = Buf::new();
    let fields = [("x-mesh-error", "bad_request"), ("evil", "a\r\nSet-Cookie: b"), ("a b", "c")];
    let reply = Reply { status: 400, fields: &fields, ..REPLY };
    conn.reply(&reply, &mut tx);
    assert_eq!(
        text(&tx),
        "HTTP/1.1 400 Bad Request\r\nx-mesh-error: bad_request\r\nContent-Type: text/plain\r\n\
        Content-Length: 2\r\nConnection: close\r\n\r\nno"
    );
    assert_eq!(conn.close_reason(), Some(CloseReason::ProtocolError));
    assert_eq!(poll(&mut conn, GET), Ok(None));

    let mut conn = asked("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    tx.clear();
    conn.reply(&REPLY, &mut tx);
    assert!(text(&tx).ends_with("Content-Length: 2\r\n\r\n"));

    // The HEAD before does not count.
    conn.next();
    tx.clear();
    conn.reply(&REPLY, &mut tx);
    assert!(text(&tx).ends_with("Connection: close\r\n\r\nno"));

    // A HEAD that is refused is still a HEAD.
    let mut conn = ServerConn::new(4096);
    assert_eq!(begin(&mut conn, "HEAD / HTTP/1.1\r\n\r\n"), Err(Error::MissingHost));
    tx.clear();
    conn.reply(&REPLY, &mut tx);
    assert!(text(&tx).ends_with("Connection: close\r\n\r\n"));

    // The rest of an upload is not waited for.
    let mut conn = asked("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    tx.clear();
    conn.reply(&REPLY, &mut tx);
    assert!(text(&tx).contains("Connection: close\r\n"));
    assert_eq!(conn.close_reason(), Some(CloseReason::RequestUnfinished));
}

#[test]
fn draining_is_announced() {
    let mut conn = asked(GET);
    conn.close_after();
    let (_, head) = respond(&mut conn, "HTTP/1.1 204 No\r\n\r\n").unwrap();
    assert_eq!(head, "HTTP/1.1 204 No\r\nConnection: close\r\n\r\n");
    assert_eq!(conn.close_reason(), Some(CloseReason::Draining));
}

#[test]
fn the_next_head_waits_for_the_end_of_the_exchange() {
    let mut conn = asked(GET);
    assert_eq!(poll(&mut conn, GET), Ok(None));
    assert_eq!(conn.decode(GET.as_bytes(), 99).unwrap().used, 0);
    assert!(conn.has_request_ended());
    conn.reply(&REPLY, &mut Buf::new());
    conn.next();
    assert!(!conn.has_request_ended());
    assert_eq!(poll(&mut conn, GET), Ok(Some(GET.len())));
}
