//! A chunked response with a trailer field.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use sha2::{Digest as _, Sha256};

/// The trailer field: the SHA-256 of the body.
const CHECKSUM: HeaderName = HeaderName::from_static("x-checksum");

const LINES: [&str; 3] = [
    "This body comes in three chunks.\n",
    "After the last chunk comes the trailer field x-checksum,\n",
    "the SHA-256 of this body, if the request said \"TE: trailers\".\n",
];

/// hyper sends the trailer field only to those who say `TE: trailers`, as RFC 9110 (6.5.1)
/// advises; the others get the same response without it.
pub(crate) async fn trailers() -> Response {
    let checksum = HEXLOWER.encode(&Sha256::digest(LINES.concat()));
    let fields: HeaderMap =
        HeaderValue::from_str(&checksum).map(|checksum| (CHECKSUM, checksum)).into_iter().collect();
    let chunks = LINES.map(|line| Frame::data(Bytes::from_static(line.as_bytes())));
    let frames = chunks.into_iter().chain([Frame::trailers(fields)]).map(Ok::<_, Infallible>);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::TRAILER, HeaderValue::from(CHECKSUM)),
    ];
    (headers, Body::new(StreamBody::new(stream::iter(frames)))).into_response()
}
