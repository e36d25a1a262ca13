use super::{Offer, accept};
use crate::http1::{RequestHead, ResponseHead, Storage};
use crate::ws::Error;
use crate::{Buf, Rng};

fn offer() -> (Offer, String) {
    let mut tx = Buf::new();
    let offer = Offer::write("ingress:8082", "/", &mut tx, &mut Rng::from_seed(1));
    (offer, String::from_utf8(tx.as_slice().to_vec()).unwrap())
}

fn answer(request: &str) -> Result<String, Error> {
    let mut tx = Buf::new();
    let mut storage = Storage::new();
    accept(&RequestHead::parse(request.as_bytes(), &mut storage).unwrap(), "i1", &mut tx)?;
    Ok(String::from_utf8(tx.as_slice().to_vec()).unwrap())
}

fn verify(offer: &Offer, response: &str) -> Result<Option<String>, Error> {
    let mut storage = Storage::new();
    let head = ResponseHead::parse(response.as_bytes(), &mut storage).unwrap();
    let ingress = offer.verify(&head)?;
    Ok(ingress.map(|name| String::from_utf8(name.to_vec()).unwrap()))
}

#[test]
fn offer_and_acceptance_fit() {
    let (offer, request) = offer();
    let response = answer(&request).unwrap();
    assert_eq!(verify(&offer, &response), Ok(Some("i1".to_owned())));
    assert_eq!(verify(&offer, &response.replace("X-Mesh-Ingress", "X-Other")), Ok(None));
}

#[test]
fn an_offer_may_say_that_its_body_is_empty() {
    let (_, request) = offer();
    assert!(answer(&request.replace("User-Agent", "Content-Length: 0\r\nUser-Agent")).is_ok());
}

#[test]
fn lists_may_lie_in_several_lines() {
    let (offer, request) = offer();
    let response = answer(&request).unwrap();
    let connection = ("Connection: Upgrade", "Connection: keep-alive\r\nConnection: x, upgrade");
    let upgrade = ("Upgrade: websocket", "Upgrade: h2c\r\nUPGRADE: WebSocket");
    let protocol = "Sec-WebSocket-Protocol: chat\r\nsec-websocket-protocol: mesh.v1, y";
    for (from, to) in [connection, upgrade, ("Sec-WebSocket-Protocol: mesh.v1", protocol)] {
        assert_eq!(answer(&request.replace(from, to)).as_ref(), Ok(&response), "{to}");
    }
    for (from, to) in [connection, upgrade] {
        let verified = verify(&offer, &response.replace(from, to));
        assert_eq!(verified, Ok(Some("i1".to_owned())), "{to}");
    }
}

#[test]
fn tungstenite_accepts_our_offer_in_the_same_words() {
    let (_, request) = offer();
    let key = request.split("Sec-WebSocket-Key: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let theirs = tungstenite::handshake::server::create_response(
        &tungstenite::http::Request::builder()
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", key)
            .body(())
            .unwrap(),
    )
    .unwrap();
    let accept = theirs.headers()["sec-websocket-accept"].to_str().unwrap();
    assert!(answer(&request).unwrap().contains(&format!("Sec-WebSocket-Accept: {accept}\r\n")));
}

#[test]
fn a_request_that_is_no_offer_is_refused() {
    let (_, request) = offer();
    let cases = [
        ("GET /", "POST /", Error::BadUpgrade),
        ("Connection: Upgrade", "Connection: close", Error::BadUpgrade),
        ("Upgrade: websocket", "Upgrade: h2c", Error::BadUpgrade),
        ("HTTP/1.1", "HTTP/1.0", Error::BadUpgrade),
        ("User-Agent", "Content-Length: 5\r\nUser-Agent", Error::BadUpgrade),
        ("User-Agent", "Transfer-Encoding: chunked\r\nUser-Agent", Error::BadUpgrade),
        ("Version: 13", "Version: 8", Error::BadUpgrade),
        ("Sec-WebSocket-Key: ", "Sec-WebSocket-Key: x", Error::BadUpgrade),
        ("Sec-WebSocket-Key", "X-Key", Error::BadUpgrade),
        ("mesh.v1", "mesh.v0", Error::WrongProtocol),
        ("Sec-WebSocket-Protocol", "X-Protocol", Error::WrongProtocol),
        ("User-Agent", "Origin: http://ingress:8082\r\nUser-Agent", Error::FromWebPage),
        ("User-Agent", "origin: null\r\nUser-Agent", Error::FromWebPage),
        ("User-Agent", "Origin:\r\nUser-Agent", Error::FromWebPage),
    ];
    for (from, to, error) in cases {
        assert_eq!(answer(&request.replace(from, to)), Err(error), "{from} -> {to}");
    }
}

#[test]
fn an_answer_that_does_not_fit_the_offer_is_refused() {
    let (offer, request) = offer();
    let response = answer(&request).unwrap();
    let cases = [
        ("101 Switching Protocols", "403 Forbidden", Error::NotSwitching(403)),
        ("Connection: Upgrade", "Connection: close", Error::BadUpgrade),
        ("Upgrade: websocket", "Upgrade: h2c", Error::BadUpgrade),
        ("Accept: ", "Accept: x", Error::BadUpgrade),
        ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: x\r\n\r\n", Error::BadUpgrade),
        ("mesh.v1", "chat", Error::WrongProtocol),
    ];
    for (from, to, error) in cases {
        assert_eq!(verify(&offer, &response.replace(from, to)), Err(error), "{from} -> {to}");
    }
}
