use super::{Body, Framing, declared, lists, start_line, take_head, values};

/// The body of these bytes, fed in two parts at every split.
fn body(framing: Framing, bytes: &[u8]) -> Result<(Vec<u8>, bool, Vec<u8>), &'static str> {
    let mut results = Vec::new();
    for split in 0..=bytes.len() {
        let mut body = Body::new(framing);
        let (mut rx, mut out) = (bytes[..split].to_vec(), Vec::new());
        let result = body.advance(&mut rx, &mut out).and_then(|()| {
            rx.extend_from_slice(&bytes[split..]);
            body.advance(&mut rx, &mut out)
        });
        results.push(result.map(|()| (out, body.is_done(), rx)));
    }
    results.dedup();
    assert_eq!(results.len(), 1, "it depends on the split: {results:?}");
    results.remove(0)
}

#[test]
fn bodies_end_where_their_framing_says() {
    let chunks = "3\r\nabc\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\nGET";
    let cases = [
        (Framing::Empty, "GET", "", true, "GET"),
        (Framing::Length(3), "abcGET", "abc", true, "GET"),
        (Framing::Length(9), "abc", "abc", false, ""),
        (Framing::UntilClose, "abc", "abc", false, ""),
        (Framing::Chunked, chunks, "abc0123456789", true, "GET"),
    ];
    for (framing, bytes, content, done, rest) in cases {
        let expected = (content.as_bytes().to_vec(), done, rest.as_bytes().to_vec());
        assert_eq!(body(framing, bytes.as_bytes()), Ok(expected), "{framing:?}");
    }
}

#[test]
fn chunks_have_one_form_only() {
    let bad: [&[u8]; 7] = [
        b"3\nabc\r\n",
        b"3;x=y\r\nabc\r\n",
        b"+3\r\nabc\r\n",
        b"3 \r\nabc\r\n",
        b"3\r\nabcd\r\n",
        b"\r\n",
        b"10000000000000000\r\n",
    ];
    for bytes in bad {
        assert!(body(Framing::Chunked, bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn heads_are_taken_whole_and_read_by_name() {
    let mut rx = b"GET / HTTP/1.1\r\nA: 1\r\na:2 \r\nConnection: x, Upgrade\r\n\r\nrest".to_vec();
    let head = take_head(&mut rx).expect("it is whole");
    assert_eq!(rx, b"rest");
    assert_eq!(take_head(&mut rx), None);
    assert_eq!(start_line(&head), "GET / HTTP/1.1");
    assert_eq!(values(&head, "A"), ["1", "2"]);
    assert!(lists(&head, "connection", "upgrade"));
    assert_eq!(declared(&head), Ok(None));
}

#[test]
fn ambiguous_framing_is_no_framing() {
    let cases = [
        ("Content-Length: 5\r\n", Ok(Some(Framing::Length(5)))),
        ("Transfer-Encoding: Chunked\r\n", Ok(Some(Framing::Chunked))),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Err("several lengths")),
        ("Content-Length: -5\r\n", Err("a length that is no number")),
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            Err("a transfer coding and a length"),
        ),
    ];
    for (lines, expected) in cases {
        let head = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        assert_eq!(declared(head.as_bytes()), expected, "{lines}");
    }
}
