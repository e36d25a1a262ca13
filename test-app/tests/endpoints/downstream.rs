//! Calls to other services.

use std::net::SocketAddr;

use axum::Router;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};

use crate::{Reply, assert_refused, get, service};

/// Serves `router` for the rest of the test.
async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

/// What `/downstream/orders` says when orders is at `url`.
async fn call(url: &str) -> Reply {
    get(&service(&[("DOWNSTREAM_ORDERS", url)]), "/downstream/orders").await
}

#[tokio::test]
async fn the_answer_of_the_other_service_is_reported() {
    let address = serve(service(&[("SERVICE_NAME", "orders")])).await;
    let configured = call(&format!("http://{address}/api/echo?a=b")).await;
    assert_eq!(configured.status, 200);
    let report = configured.json();
    assert_eq!((&report["service"], &report["status"]), (&json!("orders"), &json!(200)));
    assert!(report["duration_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(report["body"]["method"], "GET");
    assert_eq!(report["body"]["query"], "a=b");
    assert_eq!(report["body"]["headers"][0], json!(["host", address.to_string()]));

    let by_name = get(&service(&[]), &format!("/downstream/{address}")).await.json();
    assert_eq!(by_name["body"]["service"], "orders");
    assert_eq!(by_name["body_truncated"], false);
}

#[tokio::test]
async fn any_status_and_any_text_is_an_answer() {
    let address = serve(service(&[])).await;
    let report = call(&format!("http://{address}/api/status/503")).await;
    assert_eq!((report.status.as_u16(), &report.json()["status"]), (200, &json!(503)));
    let report = call(&format!("http://{address}/api/trailers")).await.json();
    assert!(report["body"].as_str().unwrap().starts_with("This body"));
    let report = call(&format!("http://{address}")).await.json();
    assert!(report["body"].as_str().unwrap().starts_with("<!doctype html>"));
}

#[tokio::test]
async fn of_a_long_body_the_beginning_is_reported() {
    let address = serve(service(&[])).await;
    let report = call(&format!("http://{address}/api/bytes/1099511627776")).await.json();
    assert_eq!(report["body_truncated"], true);
    let body = report["body"].as_str().unwrap();
    assert!(body.starts_with("\0\u{1}") && body.chars().count() == 256 << 10);
}

/// Answers one connection with `bytes`.
async fn answer(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        stream.write_all(bytes).await.unwrap();
    });
    address
}

#[tokio::test]
async fn a_failure_is_explained() {
    // Bound, so that nobody else gets it, but not listening.
    let unused = TcpSocket::new_v4().unwrap();
    unused.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = unused.local_addr().unwrap();
    let garbage = answer(b"SSH-2.0-mistake\r\n").await;
    let torn = answer(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await;
    for (url, reason) in [
        (format!("http://{closed}/"), "refused"),
        (format!("http://{garbage}/"), "did not answer properly"),
        (format!("http://{torn}/"), "body broke off"),
        ("https://orders/".to_owned(), "must begin with http://"),
        ("not a url".to_owned(), "is not a URL"),
    ] {
        let reply = call(&url).await;
        assert_eq!(reply.status, 502, "{url}");
        let report = reply.json();
        assert!(report["error"].as_str().unwrap().contains(reason), "{report}");
        assert_eq!(report["service"], "orders");
        assert!(report["duration_ms"].is_f64());
        assert_eq!(report["status"], Value::Null);
    }
}

#[tokio::test(start_paused = true)]
async fn patience_has_an_end() {
    // Listens, but nobody accepts.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let reply = call(&format!("http://{}/", listener.local_addr().unwrap())).await;
    assert_eq!(reply.status, 502);
    assert_eq!(reply.json()["error"], "no answer within 10 seconds");
}

#[tokio::test]
async fn what_is_no_host_is_not_called() {
    for target in ["/downstream/a%2Fb", "/downstream/me@a", "/downstream/a:b"] {
        assert_refused(&service(&[]), target, 400).await;
    }
}
