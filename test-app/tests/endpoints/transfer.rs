//! Bytes in either direction, trailers and statuses.

use std::convert::Infallible;
use std::pin::pin;

use axum::body::Body;
use axum::http::{Method, Request};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::stream;
use http_body_util::BodyExt as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;

use crate::{ask, assert_refused, get, service};

#[tokio::test]
async fn the_byte_at_offset_i_is_i_modulo_251() {
    let service = service(&[]);
    for count in [0, 1, 251, 252, 65_511, 65_512, 1_000_003] {
        for suffix in ["", "?chunked=1"] {
            let reply = get(&service, &format!("/api/bytes/{count}{suffix}")).await;
            assert_eq!(reply.status, 200);
            assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
            assert_eq!(reply.body.len(), count);
            let expected = (0..=250).cycle().take(count);
            assert!(reply.body.iter().copied().eq(expected), "{count}{suffix}");
            let length = suffix.is_empty().then(|| count.to_string());
            assert_eq!(reply.header("content-length"), length.as_deref(), "{count}{suffix}");
        }
    }
}

#[tokio::test]
async fn a_tebibyte_is_announced_at_once_and_made_piece_by_piece() {
    let request = Request::get("/api/bytes/1099511627776").body(Body::empty()).unwrap();
    let response = service(&[]).oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-length"], "1099511627776");
    let mut body = pin!(response.into_body());
    let mut offset = 0_usize;
    for _ in 0..100 {
        let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(data.len() <= 64 << 10);
        assert_eq!(usize::from(data[0]), offset % 251);
        offset += data.len();
    }
}

#[tokio::test]
async fn impossible_byte_counts_are_refused() {
    let service = service(&[]);
    for target in ["1099511627777", "-1", "1.5", "many", "9?chunked=maybe"] {
        assert_refused(&service, &format!("/api/bytes/{target}"), 400).await;
    }
}

#[tokio::test]
async fn an_upload_is_measured_and_hashed() {
    let service = service(&[]);
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for method in [Method::POST, Method::PUT] {
        let upload = ask(&service, method, "/api/upload", "abc").await.json();
        assert_eq!((&upload["size"], &upload["sha256"]), (&json!(3), &json!(abc)));
    }
    let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let upload = ask(&service, Method::POST, "/api/upload", "").await.json();
    assert_eq!((&upload["size"], &upload["sha256"]), (&json!(0), &json!(nothing)));
}

#[tokio::test]
async fn an_upload_has_no_limit() {
    let chunk = Bytes::from(vec![b'x'; 1 << 20]);
    let mut hash = Sha256::new();
    (0..40).for_each(|_| hash.update(&chunk));
    let chunks = std::iter::repeat_n(Ok::<_, Infallible>(chunk), 40);
    let body = Body::from_stream(stream::iter(chunks));
    let upload = ask(&service(&[]), Method::PUT, "/api/upload", body).await.json();
    assert_eq!(upload["size"], 40 << 20);
    assert_eq!(upload["sha256"], HEXLOWER.encode(&hash.finalize()));
}

#[tokio::test]
async fn the_trailer_field_is_the_checksum_of_the_body() {
    let reply = get(&service(&[]), "/api/trailers").await;
    assert_eq!(reply.header("trailer"), Some("x-checksum"));
    assert_eq!(reply.header("content-length"), None);
    let checksum = HEXLOWER.encode(&Sha256::digest(&reply.body));
    assert_eq!(reply.trailers["x-checksum"], checksum);
}

#[tokio::test]
async fn any_final_status_can_be_had() {
    let service = service(&[]);
    for (code, reason) in [
        (200, json!("OK")),
        (301, json!("Moved Permanently")),
        (404, json!("Not Found")),
        (503, json!("Service Unavailable")),
        (299, json!(null)),
        (599, json!(null)),
    ] {
        for method in [Method::GET, Method::POST] {
            let reply = ask(&service, method, &format!("/api/status/{code}"), "").await;
            assert_eq!(reply.status, code);
            assert_eq!(reply.json(), json!({ "status": code, "reason": reason }));
        }
    }
    for code in [204, 205, 304] {
        let reply = get(&service, &format!("/api/status/{code}")).await;
        assert_eq!(reply.status, code);
        assert!(reply.body.is_empty() && reply.header("content-type").is_none());
    }
    for code in ["99", "100", "101", "199", "600", "1000", "-1", "ok"] {
        assert_refused(&service, &format!("/api/status/{code}"), 400).await;
    }
}
