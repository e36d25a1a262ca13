//! What the service says about itself, its health included.

use axum::body::Body;
use axum::http::Method;
use serde_json::json;

use crate::{ask, assert_refused, get, service};

#[tokio::test]
async fn the_page_is_html() {
    let reply = get(&service(&[("SERVICE_NAME", "orders")]), "/").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(reply.text().starts_with("<!doctype html>"));
    assert!(reply.text().contains("<h1>orders</h1>"));
}

#[tokio::test]
async fn health_can_be_switched_off_and_on() {
    let service = service(&[]);
    let assert_health = async |code: u16, status: &str| {
        for target in ["/health", "/api/health"] {
            let reply = get(&service, target).await;
            assert_eq!((reply.status.as_u16(), &reply.json()["status"]), (code, &json!(status)));
        }
    };
    assert_health(200, "healthy").await;
    for (method, state, code, status) in [
        (Method::PUT, "down", 503, "unhealthy"),
        (Method::PUT, "up", 200, "healthy"),
        (Method::POST, "down", 503, "unhealthy"),
        (Method::POST, "up", 200, "healthy"),
    ] {
        let reply = ask(&service, method, &format!("/api/health/{state}"), Body::empty()).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["status"]), (200, &json!(status)));
        assert_health(code, status).await;
    }
    let reply = ask(&service, Method::PUT, "/api/health/sideways", Body::empty()).await;
    assert_eq!(reply.status, 400);
    assert_refused(&service, "/api/health/down", 405).await;
    assert_health(200, "healthy").await;
}

#[tokio::test]
async fn info_describes_the_process_and_counts_requests() {
    let variables = [("SERVICE_NAME", "orders"), ("SERVICE_VERSION", "7"), ("COLOR", "teal")];
    let service = service(&variables);
    get(&service, "/health").await;
    get(&service, "/nowhere").await;
    let info = get(&service, "/api/info").await.json();
    assert_eq!(info["service"], "orders");
    assert_eq!(info["version"], "7");
    assert_eq!(info["color"], "teal");
    assert_eq!(info["pid"], std::process::id());
    assert_eq!(info["requests"], 3);
    assert!(info["uptime_seconds"].as_f64().unwrap() >= 0.0);
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(info["hostname"], hostname.trim());
}

#[tokio::test]
async fn the_version_is_short() {
    let service = service(&[("SERVICE_VERSION", "7.8.9")]);
    let version = get(&service, "/api/version").await.json();
    assert_eq!(version, json!({ "service": "test-app", "version": "7.8.9" }));
}

#[tokio::test]
async fn the_time_is_now() {
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let before = now();
    let time = get(&service(&[]), "/api/time").await.json();
    let unix_ms = u128::from(time["unix_ms"].as_u64().unwrap());
    assert!((before..=now()).contains(&unix_ms));
    let text = time["time"].as_str().unwrap();
    assert!(text.len() == 24 && text.starts_with("20") && text.ends_with('Z'), "{text}");
}

#[tokio::test]
async fn the_environment_keeps_secrets() {
    let service = service(&[
        ("AWS_REGION", "eu-central-1"),
        ("ECS_CLUSTER", "edge"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
        ("API_TOKEN", "hush"),
        ("DOWNSTREAM_DB", "http://me:hush@db/"),
    ]);
    let environment = get(&service, "/api/environment").await.json();
    assert_eq!(environment, json!({ "AWS_REGION": "eu-central-1", "ECS_CLUSTER": "edge" }));
}

#[tokio::test]
async fn every_response_names_the_service_and_is_not_stored() {
    let service = service(&[("SERVICE_NAME", "orders")]);
    for target in ["/", "/health", "/nowhere", "/ws", "/api/status/204", "/api/bytes/9"] {
        let reply = get(&service, target).await;
        assert_eq!(reply.header("x-service-name"), Some("orders"), "{target}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{target}");
    }
    let reply = ask(&service, Method::DELETE, "/health", Body::empty()).await;
    assert_eq!(reply.header("x-service-name"), Some("orders"));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused() {
    let service = service(&[]);
    assert_refused(&service, "/nowhere?x", 404).await;
    assert_refused(&service, "/api/upload", 405).await;
    let reply = ask(&service, Method::DELETE, "/health", Body::empty()).await;
    assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, Some("GET,HEAD")));
}
