//! Calling another service.

use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::clock;
use crate::reply::Refusal;
use crate::state::Shared;

#[cfg(test)]
mod tests;

/// How long the whole call may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much of the other service's body is shown.
const BODY_LIMIT: usize = 256 << 10;

#[derive(Serialize)]
struct Report {
    service: String,
    #[serde(flatten)]
    outcome: Outcome,
    duration_ms: f64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Outcome {
    Answer(Answer),
    Failure { error: String },
}

#[derive(Serialize)]
struct Answer {
    status: u16,
    /// JSON if it is that, and otherwise text.
    body: serde_json::Value,
    /// Whether the body was longer than what is shown.
    body_truncated: bool,
}

/// Calls `service` and reports its answer, whatever its status, or 502 if there is none.
pub(crate) async fn call(
    State(app): State<Shared>,
    Path(service): Path<String>,
) -> Result<Response, Refusal> {
    if !is_host(&service) {
        return Err(Refusal::bad_request("the service must be a host name, with :port or without"));
    }
    let url = app.config.downstream_url(&service);
    let start = Instant::now();
    let outcome = timeout(PATIENCE, get(&url))
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} seconds", PATIENCE.as_secs())));
    let duration_ms = clock::millis(start.elapsed());
    let (code, outcome) = match outcome {
        Ok(answer) => (StatusCode::OK, Outcome::Answer(answer)),
        Err(error) => (StatusCode::BAD_GATEWAY, Outcome::Failure { error }),
    };
    Ok((code, Json(Report { service, outcome, duration_ms })).into_response())
}

/// Whether `text` can stand where a URL has its host, so that it cannot reach into the path.
fn is_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "80"));
    !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        && port.parse::<u16>().is_ok()
}

async fn get(url: &str) -> Result<Answer, String> {
    let uri: Uri = url.parse().map_err(|_| "the service's URL is not a URL".to_owned())?;
    let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err("the service's URL must begin with http://".to_owned());
    };
    let address = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("cannot connect to {}:{}: {error}", address.0, address.1))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| format!("the connection failed: {error}"))?;
    // The connection lives until the sender and the body are dropped.
    tokio::spawn(connection);
    let host = uri.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let request = Request::get(uri.path_and_query().map_or("/", |target| target.as_str()))
        .header(header::HOST, host)
        .header(header::ACCEPT, "application/json, */*")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("the request cannot be made: {error}"))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| format!("the service did not answer properly: {error}"))?;
    let status = response.status().as_u16();
    let (body, body_truncated) = read(response.into_body()).await?;
    Ok(Answer { status, body, body_truncated })
}

async fn read(mut body: Incoming) -> Result<(serde_json::Value, bool), String> {
    let mut kept = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("the service's body broke off: {error}"))?;
        kept.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
        if kept.len() > BODY_LIMIT {
            kept.truncate(BODY_LIMIT);
            return Ok((String::from_utf8_lossy(&kept).into(), true));
        }
    }
    let json = serde_json::from_slice(&kept);
    Ok((json.unwrap_or_else(|_| String::from_utf8_lossy(&kept).into()), false))
}
