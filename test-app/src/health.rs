//! The health check, and the switch to make it fail.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;

use crate::reply::Refusal;
use crate::state::Shared;

#[derive(Serialize)]
struct Health<'a> {
    status: &'static str,
    service: &'a str,
    version: &'a str,
    uptime_seconds: u64,
}

/// 200 while healthy and 503 otherwise.
pub(crate) async fn health(State(app): State<Shared>) -> impl IntoResponse {
    let (code, status) = match app.is_healthy() {
        true => (StatusCode::OK, "healthy"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
    };
    (code, report(&app, status)).into_response()
}

/// Switches to `up` or `down`; the switching itself always succeeds with 200.
pub(crate) async fn set(
    State(app): State<Shared>,
    Path(state): Path<String>,
) -> Result<impl IntoResponse, Refusal> {
    let status = match state.as_str() {
        "up" => "healthy",
        "down" => "unhealthy",
        _ => return Err(Refusal::bad_request("the state must be up or down")),
    };
    app.set_healthy(state == "up");
    Ok(report(&app, status).into_response())
}

fn report(app: &Shared, status: &'static str) -> impl IntoResponse {
    Json(Health {
        status,
        service: &app.config.name,
        version: &app.config.version,
        uptime_seconds: app.uptime().as_secs(),
    })
    .into_response()
}
