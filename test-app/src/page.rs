//! The page to try the service with.

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::config::Config;
use crate::state::Shared;

#[cfg(test)]
mod tests;

const TEMPLATE: &str = include_str!("page.html");

pub(crate) async fn page(State(app): State<Shared>) -> Response {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    ([(CONTENT_TYPE, html)], app.page.clone()).into_response()
}

/// The page with the service's name, version and colour filled in.
pub(crate) fn render(config: &Config) -> String {
    // The name comes last: what it contains is not a place to fill in.
    TEMPLATE
        .replace("{{color}}", &escape(&config.color))
        .replace("{{version}}", &escape(&config.version))
        .replace("{{name}}", &escape(&config.name))
}

/// `text` as it must be written in HTML, in an attribute or between elements.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
