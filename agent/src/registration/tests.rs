use mesh_protocol::http1::scan::{HeadScan, Kind};
use mesh_protocol::http1::{RequestHead, Storage};
use mesh_protocol::ws::upgrade::{Offer, accept};
use mesh_protocol::{Buf, Rng};

use super::{ANSWER_BYTES_MAX, check_answer, read_refusal, read_welcome};

/// An offer, and the answer of the ingress `i1`.
fn offered() -> (Offer, Vec<u8>) {
    let (mut request, mut answer) = (Buf::new(), Buf::new());
    let offer = Offer::write("ingress:8082", "/", &mut request, &mut Rng::from_seed(1));
    let mut storage = Storage::new();
    let head = RequestHead::parse(request.as_slice(), &mut storage).unwrap();
    accept(&head, "i1", &mut answer).unwrap();
    (offer, answer.as_slice().to_vec())
}

/// The answer to the offer that comes in such pieces, and what is left behind it.
fn answered(offer: &Offer, bytes: &[u8], piece: usize) -> (Result<Option<Vec<u8>>, String>, usize) {
    let mut scan = HeadScan::new(Kind::Response, ANSWER_BYTES_MAX);
    let mut rx = Buf::new();
    for piece in bytes.chunks(piece) {
        rx.extend(piece);
        let answer = check_answer(offer, &mut scan, &mut rx);
        if answer != Ok(None) {
            return (answer, rx.len());
        }
    }
    (Ok(None), rx.len())
}

#[test]
fn interim_answers_come_before_the_answer() {
    let (offer, switching) = offered();
    let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n";
    let bytes = [&interim[..], &switching[..], b"frames"].concat();
    for piece in [1, 7, 1000] {
        let (answer, left) = answered(&offer, &bytes, piece);
        assert_eq!(answer, Ok(Some(b"i1".to_vec())), "in pieces of {piece}");
        assert!(left <= b"frames".len(), "{left} bytes in pieces of {piece}");
    }
    assert_eq!(answered(&offer, interim, 1000), (Ok(None), 0));
    let refused = [&interim[..], b"HTTP/1.1 503 Full\r\n\r\n"].concat();
    let (answer, _) = answered(&offer, &refused, 1000);
    assert_eq!(answer, Err("upgrade answered with status 503".to_owned()));
}

#[test]
fn a_welcome_without_a_window_or_streams_is_none() {
    for (window, streams) in [(0, 100), (65_536, 0)] {
        let welcome =
            format!(r#"{{"version":"1","session":"1","window":{window},"streams":{streams}}}"#);
        let why = read_welcome(welcome.as_bytes()).unwrap_err();
        assert_eq!(why, "bad WELCOME: window and streams must not be 0");
    }
}

#[test]
fn little_is_kept_of_what_an_ingress_says() {
    let long = "x".repeat(8000);
    let welcome =
        format!(r#"{{"version":"{long}","session":"{long}","window":65536,"streams":100}}"#);
    let welcome = read_welcome(welcome.as_bytes()).unwrap();
    assert_eq!((welcome.version.len(), welcome.session.len()), (64, 64));
    assert_eq!((welcome.window, welcome.streams), (65_536, 100));
    let bad = format!(r#"{{"version":"1","session":"1","window":"{long}","streams":1}}"#);
    let why = read_welcome(bad.as_bytes()).unwrap_err();
    assert!(why.starts_with("bad WELCOME: ") && why.len() == 1000, "{why}");
    let (_, refused) =
        read_refusal(format!(r#"{{"code":"invalid","reason":"{long}"}}"#).as_bytes());
    assert!(refused.starts_with("refused (Invalid): xx") && refused.len() == 1000, "{refused}");
    let (_, refused) = read_refusal(format!(r#"{{"code":1,"{long}":[]}}"#).as_bytes());
    assert!(
        refused.starts_with("refused, reason unreadable: ") && refused.len() <= 1000,
        "{refused}"
    );
}
