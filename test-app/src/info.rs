//! What the service knows about itself and the time.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::clock::{self, Moment};
use crate::state::Shared;

#[derive(Serialize)]
struct Info<'a> {
    service: &'a str,
    version: &'a str,
    color: &'a str,
    hostname: &'a str,
    pid: u32,
    uptime_seconds: f64,
    requests: u64,
}

#[derive(Serialize)]
struct Version<'a> {
    service: &'a str,
    version: &'a str,
}

pub(crate) async fn info(State(app): State<Shared>) -> Response {
    Json(Info {
        service: &app.config.name,
        version: &app.config.version,
        color: &app.config.color,
        hostname: &app.hostname,
        pid: std::process::id(),
        uptime_seconds: clock::seconds(app.uptime()),
        requests: app.requests(),
    })
    .into_response()
}

pub(crate) async fn version(State(app): State<Shared>) -> Response {
    Json(Version { service: &app.config.name, version: &app.config.version }).into_response()
}

pub(crate) async fn time() -> Json<Moment> {
    Json(Moment::now())
}

/// The few environment variables that may be shown; see [`crate::config`].
pub(crate) async fn environment(State(app): State<Shared>) -> Response {
    Json(&app.config.environment).into_response()
}
