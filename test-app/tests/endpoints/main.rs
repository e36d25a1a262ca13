//! The endpoints, driven without a network.

mod about;
mod downstream;
mod echo;
mod streams;
mod transfer;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

/// A service with these environment variables.
fn service(variables: &[(&str, &str)]) -> Router {
    let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    test_app::router(test_app::Config::from_variables(variables).unwrap())
}

/// A response that has been read to its end.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    trailers: HeaderMap,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.body).unwrap()
    }
}

async fn send(service: &Router, request: Request<Body>) -> Reply {
    let (head, body) = service.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    Reply { status: head.status, headers: head.headers, body: body.to_bytes(), trailers }
}

async fn ask(service: &Router, method: Method, target: &str, body: impl Into<Body>) -> Reply {
    let request = Request::builder().method(method).uri(target).body(body.into()).unwrap();
    send(service, request).await
}

async fn get(service: &Router, target: &str) -> Reply {
    ask(service, Method::GET, target, Body::empty()).await
}

/// Asserts that the service refuses `target` with `status` and says why.
async fn assert_refused(service: &Router, target: &str, status: u16) {
    let reply = get(service, target).await;
    assert_eq!(reply.status, status, "{target}");
    assert!(!reply.json()["error"].as_str().unwrap().is_empty(), "{target}");
}
