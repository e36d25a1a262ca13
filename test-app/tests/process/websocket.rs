//! The WebSocket, with a real client.

use std::net::TcpStream;

use tungstenite::client::IntoClientRequest as _;
use tungstenite::handshake::client::Response;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame};
use tungstenite::protocol::{WebSocket, WebSocketConfig};
use tungstenite::{Bytes, Error, Message};

use crate::Service;

const LARGEST: usize = 16 << 20;

type Client = WebSocket<TcpStream>;

fn open(service: &Service, path: &str, protocols: Option<&str>) -> (Client, Response) {
    let url = format!("ws://{}{path}", service.address);
    let mut request = url.into_client_request().unwrap();
    if let Some(protocols) = protocols {
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
    }
    let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    tungstenite::client::client_with_config(request, service.connect(), Some(config)).unwrap()
}

fn client(service: &Service) -> Client {
    open(service, "/ws", None).0
}

/// Reads the close frame and then the proper end of the connection.
fn closing(client: &mut Client) -> CloseFrame {
    let Message::Close(Some(frame)) = client.read().unwrap() else { panic!("not closed") };
    match client.read() {
        Err(Error::ConnectionClosed) => frame,
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_come_back_as_they_were() {
    let service = Service::start();
    for path in ["/ws", "/api/ws"] {
        let (mut client, response) = open(&service, path, None);
        assert!(response.headers().get("sec-websocket-protocol").is_none());
        for message in [
            Message::text("héllo"),
            Message::text(""),
            Message::binary(vec![0, 255, 1]),
            Message::binary(vec![7; 1 << 20]),
            Message::text("x".repeat(70_000)),
        ] {
            client.send(message.clone()).unwrap();
            assert!(client.read().unwrap() == message);
        }
        client.close(None).unwrap();
        assert!(matches!(client.read(), Ok(Message::Close(None))));
        assert!(matches!(client.read(), Err(Error::ConnectionClosed)));
    }
}

#[test]
fn fragments_are_joined_and_pings_answered() {
    let service = Service::start();
    let mut client = client(&service);
    let part = |text: &str, code, last| {
        Message::Frame(Frame::message(Bytes::copy_from_slice(text.as_bytes()), code, last))
    };
    client.send(part("one ", OpCode::Data(Data::Text), false)).unwrap();
    client.send(Message::Ping("hello".into())).unwrap();
    client.send(part("two", OpCode::Data(Data::Continue), true)).unwrap();
    assert_eq!(client.read().unwrap(), Message::Pong("hello".into()));
    assert_eq!(client.read().unwrap(), Message::text("one two"));
}

#[test]
fn the_first_known_protocol_of_the_offer_is_agreed() {
    let service = Service::start();
    for (offer, protocol) in [("chat, echo.v1", "chat"), ("other, echo.v1, chat", "echo.v1")] {
        let (mut client, response) = open(&service, "/ws", Some(offer));
        assert_eq!(response.headers()["sec-websocket-protocol"], protocol);
        assert_eq!(response.headers()["x-service-name"], "test-app");
        client.send(Message::text("hi")).unwrap();
        assert_eq!(client.read().unwrap(), Message::text("hi"));
    }
}

#[test]
fn the_service_closes_with_the_wanted_code_and_reason() {
    let service = Service::start();
    for (command, code, reason) in [
        ("close 1000 bye now", CloseCode::Normal, "bye now"),
        ("close 4321 own", CloseCode::Library(4321), "own"),
        ("close 1013", CloseCode::Again, ""),
    ] {
        let mut client = client(&service);
        client.send(Message::text(command)).unwrap();
        assert_eq!(closing(&mut client), CloseFrame { code, reason: reason.into() });
    }
}

#[test]
fn sixteen_mebibytes_are_the_most() {
    let service = Service::start();
    let mut client = client(&service);
    let largest = Message::binary(vec![5; LARGEST]);
    client.send(largest.clone()).unwrap();
    assert!(client.read().unwrap() == largest);
    client.send(Message::binary(vec![5; LARGEST + 1])).unwrap();
    assert_eq!(closing(&mut client).code, CloseCode::Size);
}

#[test]
fn what_breaks_the_protocol_is_answered_with_its_code() {
    let service = Service::start();
    let text = Frame::message(&b"\xff\xfe"[..], OpCode::Data(Data::Text), true);
    let stray = Frame::message(&b"x"[..], OpCode::Data(Data::Continue), true);
    for (frame, code) in [(text, CloseCode::Invalid), (stray, CloseCode::Protocol)] {
        let mut client = client(&service);
        client.send(Message::Frame(frame)).unwrap();
        assert_eq!(closing(&mut client).code, code);
    }
}

#[test]
fn the_end_of_the_service_is_told() {
    let mut service = Service::start();
    let mut client = client(&service);
    client.send(Message::text("hi")).unwrap();
    client.read().unwrap();
    service.signal("TERM");
    assert_eq!(closing(&mut client).code, CloseCode::Away);
    assert_eq!(service.end().0.code(), Some(0));
}
