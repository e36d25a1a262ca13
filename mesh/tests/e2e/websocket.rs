//! WebSockets and other upgrades: after the service's own 101, bytes pass as they are.

#![expect(clippy::result_large_err, reason = "the WebSocket library's own signatures")]

use std::io::{self, Cursor, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread::{self, JoinHandle};

use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Response as Accepted;
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::http::{HeaderValue, StatusCode};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Bytes, Error, HandshakeError, Message, Utf8Bytes, WebSocket};

use crate::harness::answer::{Answer, expect, take_head};
use crate::harness::mesh::Mesh;
use crate::harness::origin::{Call, Origin};
use crate::peers::wire::{End, PATIENCE, Wire};

/// A third party's client, through the mesh.
fn connect(mesh: &Mesh, fields: &[(&'static str, &str)]) -> (WebSocket<TcpStream>, Accepted) {
    try_connect(mesh, fields).unwrap()
}

fn try_connect(
    mesh: &Mesh,
    fields: &[(&'static str, &str)],
) -> Result<(WebSocket<TcpStream>, Accepted), Error> {
    let mut request = "ws://demo.local/ws".into_client_request().unwrap();
    for (name, value) in fields {
        request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
    }
    let stream = TcpStream::connect(mesh.server.traffic).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    match tungstenite::client(request, stream) {
        Ok(connected) => Ok(connected),
        Err(HandshakeError::Failure(error)) => Err(error),
        Err(HandshakeError::Interrupted(_)) => panic!("no answer to the handshake"),
    }
}

/// A third party's server behind the mesh, for one connection: `shake` answers the handshake, and
/// `talk` does the rest.
fn serve<T: Send + 'static>(
    shake: impl Fn(&Request, Response) -> Result<Response, ErrorResponse> + Send + 'static,
    talk: impl FnOnce(WebSocket<Rewound>) -> T + Send + 'static,
) -> (Mesh, JoinHandle<Option<T>>) {
    let (mesh, origin) = Mesh::start_by_hand();
    let served = thread::spawn(move || {
        let Call { head, wire } = origin.next();
        let stream = wire.stream().try_clone().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let stream = Rewound { head: Cursor::new(head), stream };
        let shake = |request: &Request, response: Response| shake(request, response);
        match tungstenite::accept_hdr(stream, shake) {
            Ok(socket) => Some(talk(socket)),
            Err(HandshakeError::Failure(Error::Http(_))) => None,
            Err(error) => panic!("{error}"),
        }
    });
    (mesh, served)
}

/// A connection whose first request is still to be read.
struct Rewound {
    head: Cursor<Vec<u8>>,
    stream: TcpStream,
}

impl Read for Rewound {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.head.read(buffer)? {
            0 => self.stream.read(buffer),
            count => Ok(count),
        }
    }
}

impl Write for Rewound {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the library's own signature")]
fn welcome(_: &Request, response: Response) -> Result<Response, ErrorResponse> {
    Ok(response)
}

fn busy() -> CloseFrame {
    CloseFrame { code: CloseCode::from(4001), reason: Utf8Bytes::from_static("busy") }
}

fn close_frame(message: Result<Message, Error>) -> Option<CloseFrame> {
    match message {
        Ok(Message::Close(frame)) => frame,
        other => panic!("no close frame but {other:?}"),
    }
}

#[test]
fn the_service_chooses_the_sub_protocol() {
    let (mesh, _app) = Mesh::start();
    // By hand: the client library insists on a sub-protocol when it offered one.
    for (offers, chosen) in [("v9, chat, echo.v1", Some("chat")), ("v9", None)] {
        let mut wire = mesh.call();
        wire.send(format!(
            "GET /ws HTTP/1.1\r\nHost: demo.local\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             Sec-WebSocket-Protocol: {offers}\r\n\r\n"
        ));
        let accepted = String::from_utf8(take_head(&mut wire).unwrap()).unwrap();
        assert!(accepted.starts_with("HTTP/1.1 101 "), "{accepted}");
        let found = accepted.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("sec-websocket-protocol").then_some(value)
        });
        assert_eq!(found, chosen, "{accepted}");
    }
}

#[test]
fn cookies_and_origins_reach_the_service_and_cookies_come_back() {
    let cookie = |request: &Request| {
        let values = ["cookie", "origin", "x-forwarded-for"];
        values.map(|name| request.headers()[name].to_str().unwrap().to_owned()).join(" ")
    };
    let (mesh, served) = serve(
        move |request, mut response| {
            let seen = HeaderValue::from_str(&cookie(request)).unwrap();
            response.headers_mut().append("set-cookie", HeaderValue::from_static("a=1"));
            response.headers_mut().append("set-cookie", HeaderValue::from_static("b=2"));
            response.headers_mut().insert("x-seen", seen);
            Ok(response)
        },
        drop,
    );
    let fields = [("Cookie", "sid=7"), ("Origin", "https://demo.local")];
    let (_, accepted) = connect(&mesh, &fields);
    assert_eq!(accepted.headers()["x-seen"], "sid=7 https://demo.local 127.0.0.1");
    let cookies: Vec<_> = accepted.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    served.join().unwrap();
}

#[test]
fn a_service_that_refuses_is_heard() {
    let (mesh, served) = serve(
        |_, _| {
            let mut refusal = ErrorResponse::new(Some("members only".to_owned()));
            *refusal.status_mut() = StatusCode::FORBIDDEN;
            // The client's library knows no chunks.
            refusal.headers_mut().insert("content-length", HeaderValue::from_static("12"));
            refusal.headers_mut().insert("x-why", HeaderValue::from_static("no ticket"));
            Err(refusal)
        },
        drop,
    );
    let Err(Error::Http(refusal)) = try_connect(&mesh, &[]) else { panic!("it was let in") };
    assert_eq!(refusal.status(), StatusCode::FORBIDDEN);
    assert_eq!(refusal.headers()["x-why"], "no ticket");
    assert_eq!(refusal.body().as_deref(), Some(&b"members only"[..]));
    served.join().unwrap();
}

#[test]
fn close_codes_and_reasons_pass_in_both_directions() {
    let (mesh, served) = serve(welcome, |mut socket| close_frame(socket.read()));
    let (mut socket, _) = connect(&mesh, &[]);
    socket.close(Some(busy())).unwrap();
    assert_eq!(served.join().unwrap(), Some(Some(busy())));

    let (mesh, _app) = Mesh::start();
    let (mut socket, _) = connect(&mesh, &[]);
    socket.send(Message::text("close 4001 busy")).unwrap();
    assert_eq!(close_frame(socket.read()), Some(busy()));
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
}

#[test]
fn messages_of_every_kind_and_size_come_back_whole() {
    let (mesh, _app) = Mesh::start();
    let (mut socket, _) = connect(&mesh, &[]);
    for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        let bytes: Vec<_> = (0..size).map(|index: u32| index.to_le_bytes()[0]).collect();
        let message = Message::binary(bytes);
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
    let ping = Bytes::from_static(b"are you there?");
    socket.send(Message::Ping(ping.clone())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(ping));
    for number in 0..2000 {
        let message = Message::text(format!("message {number}"));
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
}

#[test]
fn many_messages_under_way_at_once_keep_their_order() {
    let (mesh, _app) = Mesh::start();
    let (mut socket, _) = connect(&mesh, &[]);
    for batch in 0..20 {
        for number in 0..500 {
            socket.write(Message::text(format!("message {batch} {number}"))).unwrap();
        }
        socket.flush().unwrap();
        for number in 0..500 {
            let expected = Message::text(format!("message {batch} {number}"));
            assert_eq!(socket.read().unwrap(), expected);
        }
    }
}

#[test]
fn a_service_may_speak_first() {
    let (mesh, _served) = serve(welcome, |mut socket| {
        socket.send(Message::text("hello")).unwrap();
        socket.read()
    });
    let (mut socket, _) = connect(&mesh, &[]);
    assert_eq!(socket.read().unwrap(), Message::text("hello"));
}

#[test]
fn a_service_that_dies_ends_its_websockets() {
    let (mesh, app) = Mesh::start();
    let (mut socket, _) = connect(&mesh, &[]);
    app.process.signal("KILL");
    let error = socket.read().unwrap_err();
    assert!(matches!(error, Error::Protocol(_) | Error::Io(_)), "{error:?}");
    assert!(!is_late(&error), "{error:?}");
}

#[test]
fn a_client_that_dies_ends_its_websocket_at_the_service() {
    let (mesh, served) = serve(welcome, |mut socket| socket.read().unwrap_err());
    let (socket, _) = connect(&mesh, &[]);
    Wire::new(socket.get_ref().try_clone().unwrap()).abort();
    drop(socket);
    let error = served.join().unwrap().unwrap();
    assert!(matches!(error, Error::Protocol(_) | Error::Io(_)), "{error:?}");
    assert!(!is_late(&error), "{error:?}");
}

fn is_late(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock)
}

const UPGRADE: &str = "GET /raw HTTP/1.1\r\nHost: demo.local\r\nConnection: keep-alive, Upgrade\r\n\
                       Upgrade: raw/2\r\n\r\n";
const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw/2\r\nConnection: Upgrade\r\n\r\n";

/// Both ends of a connection that speaks another protocol than HTTP or WebSocket.
fn upgraded(mesh_and_origin: &(Mesh, Origin)) -> (Wire, Call) {
    let (mesh, origin) = mesh_and_origin;
    let mut caller = mesh.call();
    caller.send(UPGRADE);
    let mut call = origin.next();
    assert_eq!(call.lines_of("upgrade"), ["Upgrade: raw/2"]);
    assert_eq!(call.lines_of("connection"), ["Connection: Upgrade"]);
    call.wire.send(format!("{SWITCHED}the service speaks at once"));
    assert_eq!(take_head(&mut caller).unwrap(), SWITCHED.as_bytes());
    expect(&mut caller, "the service speaks at once");
    (caller, call)
}

#[test]
fn any_protocol_passes_byte_for_byte_after_an_upgrade() {
    let mesh = Mesh::start_by_hand();
    let (mut caller, mut call) = upgraded(&mesh);
    let bytes: Vec<_> = (0..=255_u8).cycle().take(100_000).collect();
    caller.send(&bytes);
    expect(&mut call.wire, &bytes);
    call.wire.send(&bytes);
    expect(&mut caller, &bytes);
}

#[test]
fn each_direction_of_an_upgraded_connection_ends_by_itself() {
    let mesh = Mesh::start_by_hand();
    let (mut caller, mut call) = upgraded(&mesh);
    caller.send("last words");
    caller.finish();
    assert_eq!(call.wire.read_to_end(), (b"last words".to_vec(), End::Closed));
    call.wire.send("an answer to them");
    expect(&mut caller, "an answer to them");
    call.wire.finish();
    assert_eq!(caller.read_to_end(), (Vec::new(), End::Closed));

    let (mut caller, mut call) = upgraded(&mesh);
    call.wire.send("last words");
    call.wire.finish();
    assert_eq!(caller.read_to_end(), (b"last words".to_vec(), End::Closed));
    caller.send("an answer to them");
    expect(&mut call.wire, "an answer to them");
    caller.finish();
    assert_eq!(call.wire.read_to_end(), (Vec::new(), End::Closed));
}

#[test]
fn a_reset_of_an_upgraded_connection_is_no_peaceful_end_to_the_other_side() {
    let mesh = Mesh::start_by_hand();
    let (caller, mut call) = upgraded(&mesh);
    caller.abort();
    assert_eq!(call.wire.read_to_end(), (Vec::new(), End::Reset));
    let (mut caller, call) = upgraded(&mesh);
    call.wire.abort();
    assert_eq!(caller.read_to_end(), (Vec::new(), End::Reset));
    // An agent that leaves with it at once breaks it for both.
    let (mut caller, mut call) = upgraded(&mesh);
    mesh.0.client.signal("TERM");
    mesh.0.client.wait_log("draining");
    mesh.0.client.signal("TERM");
    assert_eq!(call.wire.read_to_end(), (Vec::new(), End::Reset));
    assert_eq!(caller.read_to_end(), (Vec::new(), End::Reset));
}

/// With a byte unread, closing is a reset: of the caller's kernel, right behind what it sent.
#[test]
fn what_a_caller_says_before_its_reset_reaches_the_service() {
    let mesh = Mesh::start_by_hand();
    for _ in 0..20 {
        let (caller, mut call) = upgraded(&mesh);
        call.wire.send("tick");
        assert_eq!(caller.stream().peek(&mut [0]).unwrap(), 1);
        let mut caller = caller;
        caller.send("close frame");
        drop(caller);
        assert_eq!(call.wire.read_to_end(), (b"close frame".to_vec(), End::Reset));
    }
}

/// When nothing is read from it any more, and nothing is written.
#[test]
fn a_reset_of_whoever_ended_its_direction_before_is_noticed() {
    let mesh = Mesh::start_by_hand();
    let server = &mesh.0.server;
    let (mut caller, mut call) = upgraded(&mesh);
    caller.finish();
    assert_eq!(call.wire.read_to_end().1, End::Closed);
    caller.abort();
    server.wait_metric("mesh_requests_in_flight", 0);
    let (mut caller, mut call) = upgraded(&mesh);
    call.wire.finish();
    assert_eq!(caller.read_to_end().1, End::Closed);
    call.wire.abort();
    server.wait_metric("mesh_requests_in_flight", 0);
}

#[test]
fn both_directions_of_an_upgraded_connection_run_at_once() {
    const TOTAL: usize = 32 << 20;
    let mesh = Mesh::start_by_hand();
    let (caller, call) = upgraded(&mesh);
    thread::scope(|scope| {
        for wire in [&caller, &call.wire] {
            scope.spawn(|| {
                let mut sending = Wire::new(wire.stream().try_clone().unwrap());
                let piece: Vec<_> = (0..=255_u8).cycle().take(1 << 16).collect();
                (0..TOTAL / piece.len()).for_each(|_| sending.try_send(&piece).unwrap());
                sending.stream().shutdown(Shutdown::Write).unwrap();
            });
            scope.spawn(|| {
                let mut receiving = Wire::new(wire.stream().try_clone().unwrap());
                let mut count = 0_usize;
                while let Some(arrived) = receiving.wait(|b| (!b.is_empty()).then_some(b.len())) {
                    for byte in receiving.take(arrived) {
                        assert_eq!(usize::from(byte), count % 256);
                        count += 1;
                    }
                }
                assert_eq!((count, receiving.read_to_end().1), (TOTAL, End::Closed));
            });
        }
    });
}

#[test]
fn an_upgrade_never_meets_a_kept_connection_that_is_about_to_be_closed() {
    let (mesh, origin) = Mesh::start_by_hand();
    let mut caller = mesh.call();
    caller.send("GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n");
    let mut kept = origin.next();
    kept.approve();
    assert_eq!(Answer::read(&mut caller).status, 200);
    caller.send(UPGRADE);
    let mut call = origin.next();
    call.wire.send(SWITCHED);
    expect(&mut caller, SWITCHED);
}

#[test]
fn a_service_may_ignore_an_upgrade() {
    let (mesh, origin) = Mesh::start_by_hand();
    let mut caller = mesh.call();
    caller.send(UPGRADE);
    origin.next().approve();
    assert_eq!(Answer::read(&mut caller).status, 200);
    caller.send("GET / HTTP/1.1\r\nHost: demo.local\r\n\r\n");
    origin.next().approve();
    assert_eq!(Answer::read(&mut caller).status, 200);
}

#[test]
fn the_service_is_asked_for_no_http2_and_for_nothing_by_head() {
    let (mesh, origin) = Mesh::start_by_hand();
    let mut caller = mesh.call();
    let settings = "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n";
    let http2 = format!("Upgrade: h2c\r\n{settings}");
    for (method, fields) in [
        ("GET", format!("Connection: Upgrade, HTTP2-Settings\r\n{http2}")),
        ("GET", format!("Connection: Upgrade\r\n{http2}")),
        ("HEAD", "Connection: Upgrade\r\nUpgrade: raw/2\r\n".to_owned()),
    ] {
        caller.send(format!("{method} / HTTP/1.1\r\nHost: demo.local\r\n{fields}\r\n"));
        let mut call = origin.next();
        for name in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(call.lines_of(name), [""; 0], "{method} {fields}");
        }
        if method == "HEAD" {
            call.wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
            assert!(take_head(&mut caller).unwrap().starts_with(b"HTTP/1.1 200 "));
        } else {
            call.approve();
            assert_eq!(Answer::read(&mut caller).status, 200);
        }
    }
}

/// What ends a body in chunks would end all that the caller says.
#[test]
fn the_service_is_asked_for_no_upgrade_where_a_body_comes_in_chunks() {
    let (mesh, origin) = Mesh::start_by_hand();
    let mut caller = mesh.call();
    caller.send(format!("{POST}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
    let mut call = origin.next();
    for name in ["upgrade", "connection"] {
        assert_eq!(call.lines_of(name), [""; 0]);
    }
    expect(&mut call.wire, "5\r\nhello\r\n0\r\n\r\n");
    call.wire.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(Answer::read(&mut caller).status, 200);
}

const POST: &str = "POST /raw HTTP/1.1\r\nHost: demo.local\r\nConnection: Upgrade\r\n\
                    Upgrade: raw/2\r\n";

#[test]
fn the_service_gets_the_body_of_an_upgrade_and_then_what_follows() {
    let (mesh, origin) = Mesh::start_by_hand();
    let mut caller = mesh.call();
    caller.send(format!("{POST}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"));
    let mut call = origin.next();
    assert_eq!(call.lines_of("upgrade"), ["Upgrade: raw/2"]);
    assert_eq!(call.lines_of("content-length"), ["Content-Length: 5"]);
    call.wire.send("HTTP/1.1 100 Continue\r\n\r\n");
    expect(&mut caller, "HTTP/1.1 100 Continue\r\n\r\n");
    caller.send("hello, and more");
    expect(&mut call.wire, "hello");
    call.wire.send(SWITCHED);
    expect(&mut caller, SWITCHED);
    expect(&mut call.wire, ", and more");
    call.wire.send("an answer");
    expect(&mut caller, "an answer");
}
