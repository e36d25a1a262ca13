//! How one end says that it closes, and what the other one makes of it.

use super::*;

#[test]
fn a_close_frame_ends_the_tunnel_with_its_code() {
    let cases: [(&[u8], _); 4] = [
        (b"", Error::Closed(None)),
        (b"\x03", Error::Closed(None)),
        (b"\x03\xe9", closed(1001, "")),
        (b"\x03\xe8bye", closed(1000, "bye")),
    ];
    for (payload, error) in cases {
        let mut rx = Buf::new();
        control(Kind::Close, payload, &mut rx);
        let end = receive(&mut link(Side::Acceptor, origin()), &mut rx, origin());
        assert_eq!(end, (vec![], Some(error)));
    }
}

/// What a link says of its end when the other one sends this close frame.
fn told(payload: &[u8]) -> String {
    let mut rx = Buf::new();
    control(Kind::Close, payload, &mut rx);
    let (_, end) = receive(&mut link(Side::Acceptor, origin()), &mut rx, origin());
    end.unwrap().to_string()
}

/// What a link sends that closes for this reason.
fn goodbye(why: &str) -> Vec<u8> {
    let mut link = link(Side::Opener, origin());
    link.close(1000, why);
    let [(Kind::Close, payload)] = &sent(&mut link, Role::Client)[..] else { panic!("one frame") };
    payload.clone()
}

#[test]
fn the_other_end_is_told_why_a_tunnel_is_closed() {
    let said = told(&goodbye("silent for two echo intervals"));
    assert_eq!(said, r#"closed by the peer with code 1000: "silent for two echo intervals""#);
    assert_eq!(told(&goodbye("")), "closed by the peer with code 1000");
    // Of what is too long for the frame there is as much as fits, in whole characters.
    let long = goodbye(&"\u{e9}".repeat(100));
    assert_eq!(&long[2..], "\u{e9}".repeat(61).as_bytes());
}

#[test]
fn what_a_peer_says_of_the_end_is_quoted() {
    let said = told(b"\x03\xe8a\"\r\n\x1b[2J\xff\xe2\x80\xae.");
    let shown = r#""a\"\r\n\u{1b}[2J\u{fffd}\u{202e}.""#.replace(r"\u{fffd}", "\u{fffd}");
    assert_eq!(said, format!("closed by the peer with code 1000: {shown}"));
}

#[test]
fn our_close_comes_after_all_that_was_to_be_said() {
    let mut link = link(Side::Acceptor, origin());
    link.close(1001, "");
    assert!(link.has_output());
    link.session.send(FrameKind::Drain, b"");
    let drain = about_connection(FrameKind::Drain, b"");
    let close = 1001_u16.to_be_bytes().to_vec();
    assert_eq!(sent(&mut link, Role::Server), [(Kind::Binary, drain), (Kind::Close, close)]);
    assert!(!link.has_output());
}
