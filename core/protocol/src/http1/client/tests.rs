//! What the service gets to see, and what is made of its answers.

use super::super::{
    BodyLength, ClientConn, CloseReason, Eof, Error, Received, RequestHead, Storage,
};
use crate::Buf;

fn send(conn: &mut ClientConn, head: &str, tx: &mut Buf) -> Result<(), Error> {
    let mut storage = Storage::new();
    conn.send(&RequestHead::parse(head.as_bytes(), &mut storage)?, tx)
}

/// A connection on which a request was sent.
fn asked(head: &str) -> ClientConn {
    let mut conn = ClientConn::new(4096);
    send(&mut conn, head, &mut Buf::new()).unwrap();
    conn
}

fn receive(conn: &mut ClientConn, head: &str) -> Result<Received, Error> {
    let mut storage = Storage::new();
    let head = conn.read_head(head.as_bytes(), &mut storage)?.expect("a whole head");
    conn.receive(&head)
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n";

#[test]
fn requests_go_out_as_they_are() {
    for (fields, parts, body) in [
        ("X:  y \t\r\n", &[][..], ""),
        ("Content-Length: 5\r\n", &["he", "", "llo"], "hello"),
        ("transfer-encoding: Chunked\r\n", &["he", "", "llo"], "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
    ] {
        let head = format!("POST /a%20b HTTP/1.1\r\nhost: A\r\n{fields}\r\n");
        let mut conn = ClientConn::new(99);
        let mut tx = Buf::new();
        send(&mut conn, &head, &mut tx).unwrap();
        assert_eq!(conn.has_request_ended(), body.is_empty());
        for part in parts {
            conn.write(part.as_bytes(), &mut tx).unwrap();
        }
        conn.finish(b"", &mut tx).unwrap();
        assert_eq!(tx.as_slice(), (head + body).as_bytes());
        assert!(conn.has_request_ended());
        assert_eq!(conn.write(b"x", &mut tx), Err(Error::BodyOverflow));
    }
}

#[test]
fn ambiguous_requests_do_not_go_out() {
    for (fields, error) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", Error::ConflictingLengths),
        ("Content-Length: 5\r\nContent-Length: 5", Error::ConflictingLengths),
        ("Content-Length: 5,5", Error::BadLength),
        ("Transfer-Encoding: chunked, chunked", Error::BadTransferCoding),
        ("X: y\nZ: a", Error::BareLineFeed),
    ] {
        let mut tx = Buf::new();
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        assert_eq!(send(&mut ClientConn::new(99), &head, &mut tx), Err(error), "{fields}");
        assert!(tx.is_empty());
    }
}

#[test]
fn bodies_keep_their_promise() {
    let mut conn = asked("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    let mut tx = Buf::new();
    assert_eq!(conn.write(b"four", &mut tx), Err(Error::BodyOverflow));
    conn.write(b"tw", &mut tx).unwrap();
    assert_eq!(conn.finish(b"", &mut tx), Err(Error::Truncated));
    assert_eq!(tx.as_slice(), b"tw");
    assert_eq!(conn.close_reason(), Some(CloseReason::RequestUnfinished));
}

#[test]
fn who_takes_another_request() {
    const CLOSED: Option<CloseReason> = Some(CloseReason::PeerAskedClose);
    for (head, reason) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", None),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", CLOSED),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n", CLOSED),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", Some(CloseReason::Http10)),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", None),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive, close\r\n\r\n", CLOSED),
        ("HTTP/1.1 200 OK\r\n\r\n", Some(CloseReason::UntilClose)),
        ("HTTP/1.1 204 No\r\n\r\n", None),
        ("HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", None),
    ] {
        let mut conn = asked(GET);
        assert_eq!(conn.close_reason(), Some(CloseReason::ResponseUnfinished));
        receive(&mut conn, head).unwrap();
        assert_eq!(conn.decode(b"", 9, Eof::Reached).unwrap().end, Some(&b""[..]));
        assert_eq!(conn.close_reason(), reason, "{head}");
        if reason.is_none() {
            conn.next();
            send(&mut conn, GET, &mut Buf::new()).unwrap();
        }
    }
    let mut conn = asked("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    receive(&mut conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert_eq!(conn.close_reason(), Some(CloseReason::Draining));
}

#[test]
fn early_answers_leave_the_request_open() {
    let mut conn = asked("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
    receive(&mut conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert_eq!(conn.decode(b"", 9, Eof::Open).unwrap().end, Some(&b""[..]));
    assert_eq!(conn.close_reason(), Some(CloseReason::RequestUnfinished));
    conn.write(b"ab", &mut Buf::new()).unwrap();
    assert_eq!(conn.close_reason(), None);
}

#[test]
fn answers_come_in_order() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n";
    assert_eq!(receive(&mut ClientConn::new(99), OK), Err(Error::BadStatus));
    let mut conn = asked(GET);
    assert_eq!(conn.decode(b"x", 9, Eof::Open).unwrap().used, 0);
    assert_eq!(receive(&mut conn, "HTTP/1.1 100 Go\r\n\r\n"), Ok(Received::Interim));
    assert_eq!(receive(&mut conn, "HTTP/1.1 103 Hints\r\n\r\n"), Ok(Received::Interim));
    assert_eq!(receive(&mut conn, OK), Ok(Received::Final(BodyLength::Sized(1))));
    assert_eq!(receive(&mut conn, OK), Err(Error::BadStatus));
    assert_eq!(conn.close_reason(), Some(CloseReason::ProtocolError));
}

#[test]
fn a_body_can_be_cut_short() {
    for (fields, rx) in
        [("Content-Length: 3\r\n", "ab"), ("Transfer-Encoding: chunked\r\n", "5\r\nab")]
    {
        let mut conn = asked(GET);
        receive(&mut conn, &format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).unwrap();
        let decoded = conn.decode(rx.as_bytes(), 9, Eof::Reached).unwrap();
        assert_eq!((decoded.data, decoded.used, decoded.end), (&b"ab"[..], rx.len(), None));
        for _ in 0..2 {
            assert_eq!(conn.decode(b"", 9, Eof::Reached), Err(Error::Truncated));
        }
        assert_eq!(conn.close_reason(), Some(CloseReason::ProtocolError));
    }
    // What is not asked for yet is not missing.
    let mut conn = asked(GET);
    receive(&mut conn, "HTTP/1.1 200 OK\r\n\r\n").unwrap();
    assert_eq!(conn.decode(b"ab", 0, Eof::Reached).unwrap().end, None);
    assert_eq!(conn.decode(b"ab", 9, Eof::Reached).unwrap().data, b"ab");
    assert_eq!(conn.decode(b"", 9, Eof::Open).unwrap().end, None);
    assert_eq!(conn.decode(b"", 0, Eof::Reached).unwrap().end, Some(&b""[..]));
}

#[test]
fn only_upgrades_that_were_asked_for_are_taken() {
    let body = UPGRADE.replace("\r\n\r\n", "\r\nContent-Length: 1\r\n\r\n");
    for request in [GET, &body] {
        let mut conn = asked(request);
        assert_eq!(receive(&mut conn, SWITCH), Err(Error::BadStatus));
        assert_eq!(conn.close_reason(), Some(CloseReason::ProtocolError));
    }
    let mut conn = asked(UPGRADE);
    assert_eq!(receive(&mut conn, SWITCH), Ok(Received::Upgraded));
    assert_eq!(conn.close_reason(), Some(CloseReason::Upgraded));
    let mut tx = Buf::new();
    conn.write(b"raw", &mut tx).unwrap();
    assert_eq!(tx.as_slice(), b"raw");
    assert_eq!(conn.decode(b"HTTP/1.1", 4, Eof::Open).unwrap().data, b"HTTP");
    assert_eq!(conn.decode(b"", 4, Eof::Reached).unwrap().end, Some(&b""[..]));
    let mut conn = asked(UPGRADE);
    let refusal = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(receive(&mut conn, refusal), Ok(Received::Final(BodyLength::Sized(0))));
}
