//! Slow answers and answers with any status.

use std::time::Duration;

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::Instant;

use crate::clock;
use crate::reply::Refusal;

/// The longest that an answer is held.
const LONGEST_SECONDS: f64 = 300.0;

#[derive(Serialize)]
pub(crate) struct Stress {
    requested_seconds: f64,
    held_seconds: f64,
}

#[derive(Serialize)]
struct Status {
    status: u16,
    reason: Option<&'static str>,
}

/// Holds the answer for `seconds`, at most five minutes.
pub(crate) async fn stress(Path(seconds): Path<String>) -> Result<Json<Stress>, Refusal> {
    let requested_seconds = seconds
        .parse()
        .ok()
        .filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0)
        .ok_or_else(|| Refusal::bad_request("the seconds must be a number such as 2 or 0.5"))?;
    let start = Instant::now();
    tokio::time::sleep(Duration::from_secs_f64(requested_seconds.min(LONGEST_SECONDS))).await;
    Ok(Json(Stress { requested_seconds, held_seconds: clock::seconds(start.elapsed()) }))
}

/// Answers with the given status. 1xx is refused, for a final response cannot have it.
pub(crate) async fn status(Path(code): Path<String>) -> Result<Response, Refusal> {
    let code = code.parse().ok().filter(|code| (100..=599).contains(code));
    let Some(status) = code.and_then(|code| StatusCode::from_u16(code).ok()) else {
        return Err(Refusal::bad_request("the status must be a number from 200 to 599"));
    };
    if status.is_informational() {
        let message = format!("{} announces a response and cannot be one", status.as_u16());
        return Err(Refusal::bad_request(message));
    }
    Ok(match status {
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED => {
            status.into_response()
        }
        _ => {
            let body = Status { status: status.as_u16(), reason: status.canonical_reason() };
            (status, Json(body)).into_response()
        }
    })
}
