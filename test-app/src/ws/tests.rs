use axum::body::Body;
use axum::extract::Request;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{Reaction, frame, handshake, react};

#[test]
fn text_and_binary_are_repeated() {
    for message in [Message::text("close"), Message::text(""), Message::binary(vec![0, 255])] {
        assert_eq!(react(message.clone()), Reaction::Reply(message));
    }
    assert_eq!(react(Message::Ping("x".into())), Reaction::Nothing);
    assert_eq!(react(Message::Pong("x".into())), Reaction::Nothing);
}

#[test]
fn a_command_closes() {
    let close = |code, reason| Reaction::Close(frame(code, reason));
    assert_eq!(react(Message::text("close 1000 bye now")), close(CloseCode::Normal, "bye now"));
    assert_eq!(react(Message::text("close 4000")), close(CloseCode::Library(4000), ""));
}

#[test]
fn a_code_that_must_not_be_sent_is_refused() {
    for code in ["0", "999", "1005", "1006", "1015", "2999", "5000", "65536", "x"] {
        let Reaction::Reply(Message::Text(text)) = react(Message::text(format!("close {code} y")))
        else {
            panic!("{code} was not refused");
        };
        assert_eq!(text.as_str(), format!("\"{code}\" is not a code to close with"));
    }
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    assert_eq!(frame(CloseCode::Normal, &"x".repeat(200)).reason.len(), 123);
    assert_eq!(frame(CloseCode::Normal, &"é".repeat(100)).reason.as_str(), "é".repeat(61));
}

#[test]
fn the_first_known_protocol_of_the_offer_is_taken() {
    for (offers, protocol) in [
        (&["chat, echo.v1"][..], Some("chat")),
        (&["other,echo.v1", "chat"], Some("echo.v1")),
        (&["other", "chat"], Some("chat")),
        (&["ECHO.v1"], None),
        (&[], None),
    ] {
        let mut request = Request::get("/ws")
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "WebSocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        for offer in offers {
            request = request.header("sec-websocket-protocol", *offer);
        }
        let accepted = handshake::accept(&request.body(Body::empty()).unwrap()).unwrap();
        assert_eq!(accepted.protocol, protocol);
        // The example of RFC 6455, section 1.3.
        assert_eq!(accepted.key, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
