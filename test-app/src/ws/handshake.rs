//! The opening handshake of RFC 6455.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use data_encoding::BASE64;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::reply::Refusal;

/// The sub-protocols that the service knows; both are the same echo.
const PROTOCOLS: [&str; 2] = ["echo.v1", "chat"];

/// What an acceptable handshake comes to.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The value of `Sec-WebSocket-Accept`.
    pub(crate) key: HeaderValue,
    /// The first known sub-protocol among those that the client offers.
    pub(crate) protocol: Option<&'static str>,
}

/// Examines a handshake.
pub(crate) fn accept(request: &Request) -> Result<Accepted, Refusal> {
    let headers = request.headers();
    let asks = |name, token: &str| tokens(headers, name).any(|t| t.eq_ignore_ascii_case(token));
    if request.method() != Method::GET
        || !asks(header::UPGRADE, "websocket")
        || !asks(header::CONNECTION, "upgrade")
    {
        return Err(upgrade_required("this address speaks WebSocket; upgrade to it"));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(upgrade_required("only version 13 of WebSocket is spoken here")
            .with_header(header::SEC_WEBSOCKET_VERSION, "13"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map_or(&[][..], HeaderValue::as_bytes);
    if BASE64.decode(key).map_or(0, |nonce| nonce.len()) != 16 {
        return Err(Refusal::bad_request("Sec-WebSocket-Key must be 16 bytes in base64"));
    }
    let key = HeaderValue::from_str(&derive_accept_key(key))
        .map_err(|_| Refusal::bad_request("Sec-WebSocket-Key cannot be answered"))?;
    let protocol = tokens(headers, header::SEC_WEBSOCKET_PROTOCOL)
        .find_map(|offer| PROTOCOLS.into_iter().find(|known| *known == offer));
    Ok(Accepted { key, protocol })
}

fn upgrade_required(message: &str) -> Refusal {
    Refusal::new(StatusCode::UPGRADE_REQUIRED, message)
        .with_header(header::UPGRADE, "websocket")
        .with_header(header::CONNECTION, "Upgrade")
}

/// The members of a comma-separated field, over all its lines.
fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter();
    lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).map(str::trim)
}
