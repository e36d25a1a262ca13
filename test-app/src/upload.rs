//! Taking a body of any size without keeping it.

use std::time::Instant;

use axum::Json;
use axum::body::Body;
use data_encoding::HEXLOWER;
use http_body_util::BodyExt as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::clock;
use crate::reply::Refusal;

#[derive(Serialize)]
pub(crate) struct Upload {
    size: u64,
    sha256: String,
    duration_ms: f64,
}

/// Answers with the size and the SHA-256 of the body.
pub(crate) async fn upload(mut body: Body) -> Result<Json<Upload>, Refusal> {
    let start = Instant::now();
    let (mut size, mut hash) = (0, Sha256::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::bad_request("the body broke off"))?;
        if let Some(data) = frame.data_ref() {
            size += data.len() as u64;
            hash.update(data);
        }
    }
    let sha256 = HEXLOWER.encode(&hash.finalize());
    Ok(Json(Upload { size, sha256, duration_ms: clock::millis(start.elapsed()) }))
}
