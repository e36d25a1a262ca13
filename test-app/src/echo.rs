//! Answers that repeat the request.

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use data_encoding::BASE64;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use serde::Serialize;

use crate::query::Query;
use crate::reply::Refusal;

/// The largest body that is repeated.
const BODY_LIMIT: u64 = 10 << 20;

/// How much of a larger body is still read, so that its sender gets to see the refusal instead of
/// a connection that is cut while it writes.
const DRAIN_LIMIT: u64 = 256 << 20;

type Pairs = Vec<(String, String)>;

#[derive(Serialize)]
pub(crate) struct Echo {
    method: String,
    path: String,
    /// As it was sent, or nothing if the target had no `?`.
    query: Option<String>,
    /// Decoded.
    query_pairs: Pairs,
    http_version: String,
    headers: Pairs,
    /// How `body` is to be read: `utf-8` or `base64`.
    body_encoding: &'static str,
    body: String,
    body_size: usize,
    trailers: Pairs,
}

/// Repeats the whole request, whatever its method.
pub(crate) async fn echo(request: Request) -> Result<Json<Echo>, Refusal> {
    let (head, body) = request.into_parts();
    let (body, trailers) = read(&head.headers, body).await?;
    let body_size = body.len();
    let (body_encoding, body) = match String::from_utf8(body) {
        Ok(text) => ("utf-8", text),
        Err(error) => ("base64", BASE64.encode(error.as_bytes())),
    };
    Ok(Json(Echo {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        query_pairs: Query::of(&head.uri).into_pairs(),
        http_version: format!("{:?}", head.version),
        headers: pairs(&head.headers),
        body_encoding,
        body,
        body_size,
        trailers: pairs(&trailers),
    }))
}

/// Repeats the header fields.
pub(crate) async fn headers(headers: HeaderMap) -> Json<Pairs> {
    Json(pairs(&headers))
}

/// The fields as `[name, value]` in the order received, names in lower case. Fields with the same
/// name stand together where the first of them was, for that is how hyper keeps them.
fn pairs(headers: &HeaderMap) -> Pairs {
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

/// A field's value: UTF-8 if it is that, and otherwise (nothing is lost) as ISO 8859-1.
fn text(value: &HeaderValue) -> String {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// Reads the body and its trailer fields, or refuses what is too large with 413.
async fn read(headers: &HeaderMap, mut body: Body) -> Result<(Vec<u8>, HeaderMap), Refusal> {
    let too_large = || {
        let message = format!("the body is larger than {BODY_LIMIT} bytes");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    // Whoever waits for "100 Continue" has not sent the body yet and need not.
    if body.size_hint().lower() > BODY_LIMIT && headers.contains_key(header::EXPECT) {
        return Err(too_large());
    }
    let (mut kept, mut trailers, mut size) = (Vec::new(), HeaderMap::new(), 0_u64);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::bad_request("the body broke off"))?;
        match frame.into_data() {
            Ok(data) => {
                size += data.len() as u64;
                if size <= BODY_LIMIT {
                    kept.extend_from_slice(&data);
                } else if size > DRAIN_LIMIT {
                    break;
                } else {
                    kept = Vec::new();
                }
            }
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    if size > BODY_LIMIT { Err(too_large()) } else { Ok((kept, trailers)) }
}
