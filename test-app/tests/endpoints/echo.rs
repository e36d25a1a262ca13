//! `/api/echo` and `/api/headers`.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request};
use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::json;

use crate::{ask, get, send, service};

const LIMIT: usize = 10 << 20;

#[tokio::test]
async fn every_method_is_repeated() {
    let service = service(&[]);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let reply = ask(&service, method.clone(), "/api/echo", "hé").await;
        assert_eq!(reply.status, 200);
        let echo = reply.json();
        assert_eq!(echo["method"], method.as_str());
        assert_eq!(echo["body"], "hé");
        assert_eq!(echo["body_encoding"], "utf-8");
        assert_eq!(echo["body_size"], 3);
    }
}

#[tokio::test]
async fn path_and_query_are_repeated_raw_and_the_query_also_decoded() {
    let service = service(&[]);
    let echo = get(&service, "/api/echo/a%2Fb//c?q=a+b%26&q=2&flag&=x&bad=%ff").await.json();
    assert_eq!(echo["path"], "/api/echo/a%2Fb//c");
    assert_eq!(echo["query"], "q=a+b%26&q=2&flag&=x&bad=%ff");
    let pairs = json!([["q", "a b&"], ["q", "2"], ["flag", ""], ["", "x"], ["bad", "\u{fffd}"]]);
    assert_eq!(echo["query_pairs"], pairs);
    assert_eq!(echo["http_version"], "HTTP/1.1");
    assert_eq!(get(&service, "/api/echo").await.json()["query"], json!(null));
    assert_eq!(get(&service, "/api/echo?").await.json()["query"], "");
}

#[tokio::test]
async fn headers_are_repeated_in_order() {
    let latin = HeaderValue::from_bytes(b"caf\xe9").unwrap();
    let utf8 = HeaderValue::from_bytes("café".as_bytes()).unwrap();
    for target in ["/api/echo", "/api/headers"] {
        let request = Request::post(target)
            .header("zebra", "1")
            .header("Accept", "a, b")
            .header("x-twice", "first")
            .header("x-twice", "")
            .header("latin", &latin)
            .header("utf8", &utf8)
            .body(Body::empty())
            .unwrap();
        let reply = send(&service(&[]), request).await.json();
        let headers = if target == "/api/echo" { &reply["headers"] } else { &reply };
        let expected = json!([
            ["zebra", "1"],
            ["accept", "a, b"],
            ["x-twice", "first"],
            ["x-twice", ""],
            ["latin", "café"],
            ["utf8", "café"],
        ]);
        assert_eq!(headers, &expected, "{target}");
    }
}

#[tokio::test]
async fn a_binary_body_comes_back_as_base64() {
    let echo = ask(&service(&[]), Method::PUT, "/api/echo", vec![0xff, 0, 0xfe]).await.json();
    assert_eq!(echo["body"], "/wD+");
    assert_eq!(echo["body_encoding"], "base64");
    assert_eq!(echo["body_size"], 3);
}

#[tokio::test]
async fn trailer_fields_are_repeated() {
    let fields = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("7"))]);
    let frames = [Frame::data(Bytes::from_static(b"ab")), Frame::trailers(fields)];
    let body = StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>)));
    let echo = ask(&service(&[]), Method::POST, "/api/echo", Body::new(body)).await.json();
    assert_eq!(echo["body"], "ab");
    assert_eq!(echo["trailers"], json!([["x-sum", "7"]]));
}

#[tokio::test]
async fn ten_mebibytes_are_the_most() {
    let service = service(&[]);
    let reply = ask(&service, Method::POST, "/api/echo", "x".repeat(LIMIT)).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["body_size"]), (200, &json!(LIMIT)));
    let reply = ask(&service, Method::POST, "/api/echo", "x".repeat(LIMIT + 1)).await;
    assert_eq!(reply.status, 413);
    assert!(reply.json()["error"].as_str().unwrap().contains("10485760"));
}

#[tokio::test]
async fn a_body_without_a_length_is_limited_too() {
    let chunk = Bytes::from(vec![b'x'; 1 << 20]);
    let chunks = std::iter::repeat_n(Ok::<_, Infallible>(chunk), 11);
    let body = Body::from_stream(stream::iter(chunks));
    let reply = ask(&service(&[]), Method::POST, "/api/echo", body).await;
    assert_eq!(reply.status, 413);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    for target in ["/api/echo", "/api/upload"] {
        let parts = [Ok(Bytes::from_static(b"ab")), Err(std::io::Error::other("gone"))];
        let body = Body::from_stream(stream::iter(parts));
        let reply = ask(&service(&[]), Method::POST, target, body).await;
        assert_eq!(reply.status, 400, "{target}");
    }
}
