//! A sample HTTP service to put behind the mesh.
//!
//! It answers with what it was asked, streams, takes uploads, speaks WebSocket and can be told to
//! be unhealthy. `GET /` is a page to try all of that in a browser.
//!
//! [`router`] builds the service for use inside another program or a test; [`run`] is the whole
//! program.

mod clock;
mod color;
mod config;
mod downstream;
mod echo;
mod health;
mod info;
mod page;
mod pattern;
mod query;
mod reply;
mod server;
mod shutdown;
mod simulate;
mod state;
mod stream;
mod trailers;
mod upload;
mod ws;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{any, get, post, put};

pub use crate::config::Config;
pub use crate::server::run;

use crate::shutdown::Shutdown;
use crate::state::{App, Shared};

/// The response header that names the service.
const SERVICE_HEADER: HeaderName = HeaderName::from_static("x-service-name");

/// The service as an [`axum::Router`].
pub fn router(config: Config) -> Router {
    router_until(config, Shutdown::never())
}

/// The service, whose endless answers (event streams, WebSockets) stop at `shutdown`.
fn router_until(config: Config, shutdown: Shutdown) -> Router {
    let app = App::new(config, shutdown);
    Router::new()
        .route("/", get(page::page))
        .route("/health", get(health::health))
        .route("/api/health", get(health::health))
        .route("/api/health/{state}", put(health::set).post(health::set))
        .route("/api/info", get(info::info))
        .route("/api/version", get(info::version))
        .route("/api/time", get(info::time))
        .route("/api/environment", get(info::environment))
        .route("/api/echo", any(echo::echo))
        .route("/api/echo/{*rest}", any(echo::echo))
        .route("/api/headers", any(echo::headers))
        .route("/api/stress/{seconds}", any(simulate::stress))
        .route("/api/status/{code}", any(simulate::status))
        .route("/api/bytes/{count}", get(pattern::bytes))
        .route("/api/upload", post(upload::upload).put(upload::upload))
        .route("/api/stream", get(stream::stream))
        .route("/api/trailers", get(trailers::trailers))
        .route("/downstream/{service}", get(downstream::call))
        .route("/ws", get(ws::upgrade))
        .route("/api/ws", get(ws::upgrade))
        .fallback(reply::not_found)
        .method_not_allowed_fallback(reply::method_not_allowed)
        .layer(from_fn_with_state(app.clone(), stamp))
        .with_state(app)
}

/// Counts the request and puts the fields every response has on its response.
async fn stamp(State(app): State<Shared>, request: Request, next: Next) -> Response {
    app.count_request();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(SERVICE_HEADER, app.name_header());
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
