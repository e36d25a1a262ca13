//! A WebSocket that repeats what it is told.

mod handshake;

#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::reply::Refusal;
use crate::shutdown::Shutdown;
use crate::state::Shared;

/// The largest message: 16 MiB.
const LARGEST_MESSAGE: usize = 16 << 20;

/// The longest reason that fits a close frame.
const LONGEST_REASON: usize = 123;

/// How long the other side may take to agree to the end.
const FAREWELL: Duration = Duration::from_secs(5);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Turns the connection into a WebSocket.
pub(crate) async fn upgrade(
    State(app): State<Shared>,
    mut request: Request,
) -> Result<Response, Refusal> {
    let accepted = handshake::accept(&request)?;
    tokio::spawn(serve(hyper::upgrade::on(&mut request), app.shutdown.clone()));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accepted.key);
    if let Some(protocol) = accepted.protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    Ok(response)
}

async fn serve(upgrade: OnUpgrade, shutdown: Shutdown) {
    // An error means that the client went away during the handshake.
    let Ok(connection) = upgrade.await else {
        return;
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(LARGEST_MESSAGE))
        .max_frame_size(Some(LARGEST_MESSAGE));
    let io = TokioIo::new(connection);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let end = tokio::select! {
        end = converse(&mut socket) => end,
        () = shutdown.clone().wait() => End::Ours(frame(CloseCode::Away, "the service is ending")),
    };
    match end {
        End::Theirs => {}
        End::Ours(frame) => drop(timeout(FAREWELL, say_goodbye(&mut socket, frame)).await),
        End::Broken(frame) => drop(timeout(FAREWELL, cut(socket, frame)).await),
    }
    // The process waits for this one until here, with the farewell said.
    drop(shutdown);
}

/// How a conversation comes to its end.
#[derive(Debug, PartialEq)]
enum End {
    /// The other side closed or is gone.
    Theirs,
    /// We close.
    Ours(CloseFrame),
    /// What arrives can no longer be understood.
    Broken(CloseFrame),
}

/// What to do with a message.
#[derive(Debug, PartialEq)]
enum Reaction {
    Reply(Message),
    Close(CloseFrame),
    Nothing,
}

/// Repeats messages until one of the sides wants to end. May be dropped at any time.
async fn converse(socket: &mut Socket) -> End {
    loop {
        let message = match socket.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => return complaint(&error).map_or(End::Theirs, End::Broken),
            None => return End::Theirs,
        };
        match react(message) {
            Reaction::Reply(reply) => {
                if socket.send(reply).await.is_err() {
                    return End::Theirs;
                }
            }
            Reaction::Close(frame) => return End::Ours(frame),
            Reaction::Nothing => {}
        }
    }
}

/// Text and binary come back, except for the text `close CODE REASON`. Pings are answered by the
/// library.
fn react(message: Message) -> Reaction {
    let Message::Text(text) = message else {
        return if message.is_binary() { Reaction::Reply(message) } else { Reaction::Nothing };
    };
    let Some(command) = text.strip_prefix("close ") else {
        return Reaction::Reply(Message::Text(text));
    };
    let (code, reason) = command.split_once(' ').unwrap_or((command, ""));
    match code.parse::<u16>().map(CloseCode::from) {
        Ok(code) if code.is_allowed() => Reaction::Close(frame(code, reason)),
        _ => Reaction::Reply(Message::text(format!("{code:?} is not a code to close with"))),
    }
}

/// What to close with after `error`, or nothing if there is nobody left to tell.
fn complaint(error: &Error) -> Option<CloseFrame> {
    if let Error::Capacity(_) = error {
        Some(frame(CloseCode::Size, "the message is larger than 16 MiB"))
    } else if let Error::Utf8(_) = error {
        Some(frame(CloseCode::Invalid, "the text is not UTF-8"))
    } else if let Error::Protocol(problem) = error {
        Some(frame(CloseCode::Protocol, &problem.to_string()))
    } else {
        None
    }
}

/// A close frame with as much of `reason` as fits.
fn frame(code: CloseCode, reason: &str) -> CloseFrame {
    let mut end = reason.len().min(LONGEST_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    CloseFrame { code, reason: Utf8Bytes::from(&reason[..end]) }
}

/// Closes properly: sends the frame and waits for the other side's.
async fn say_goodbye(socket: &mut Socket, frame: CloseFrame) {
    if socket.close(Some(frame)).await.is_ok() {
        while let Some(Ok(_)) = socket.next().await {}
    }
}

/// Sends the frame and ends the connection, but swallows what is still on its way, for otherwise
/// the system would reset the connection and the frame might be lost.
async fn cut(mut socket: Socket, frame: CloseFrame) {
    if socket.close(Some(frame)).await.is_err() {
        return;
    }
    let mut io = socket.into_inner();
    let mut waste = vec![0; 64 << 10];
    if io.shutdown().await.is_ok() {
        while let Ok(1..) = io.read(&mut waste).await {}
    }
}
