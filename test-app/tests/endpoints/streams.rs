//! Answers that take their time. The clock is paused: it jumps to whatever is waited for.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::{assert_refused, get, service};

#[tokio::test(start_paused = true)]
async fn a_stressful_answer_is_held() {
    let service = service(&[]);
    for (seconds, held) in [("0", 0.0), ("0.25", 0.25), ("300", 300.0), ("1e9", 300.0)] {
        let start = Instant::now();
        let stress = get(&service, &format!("/api/stress/{seconds}")).await.json();
        let near = |seconds: f64| (seconds - held).abs() < 0.01;
        assert!(near(start.elapsed().as_secs_f64()), "{seconds}: {:?}", start.elapsed());
        assert!(near(stress["held_seconds"].as_f64().unwrap()), "{seconds}: {stress}");
        assert_eq!(stress["requested_seconds"], seconds.parse::<f64>().unwrap());
    }
    for seconds in ["-1", "inf", "NaN", "long"] {
        assert_refused(&service, &format!("/api/stress/{seconds}"), 400).await;
    }
}

/// Reads all events of a stream; each with its data and when it came.
async fn events(target: &str) -> Vec<(Value, Duration)> {
    let start = Instant::now();
    let request = Request::get(target).body(Body::empty()).unwrap();
    let response = service(&[]).oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-cache");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let (mut body, mut events) = (response.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        let text = std::str::from_utf8(&data).unwrap().strip_suffix("\n\n").unwrap();
        // A line that begins with a colon only keeps the connection alive.
        if !text.starts_with(':') {
            let (id, json) = text.split_once("\ndata: ").unwrap();
            let json: Value = serde_json::from_str(json).unwrap();
            assert_eq!(id, format!("id: {}", json["sequence"]));
            events.push((json, start.elapsed()));
        }
    }
    events
}

#[tokio::test(start_paused = true)]
async fn ten_events_come_a_second_apart_and_the_first_at_once() {
    let events = events("/api/stream").await;
    assert_eq!(events.len(), 10);
    for (index, (event, came)) in events.iter().enumerate() {
        assert_eq!(event["sequence"], index + 1);
        assert!(event["time"].as_str().unwrap().ends_with('Z'));
        assert!(event["unix_ms"].is_u64());
        assert_eq!(came.as_millis() / 100, index as u128 * 10, "{event}");
    }
    assert_eq!(events[0].1, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn count_and_interval_can_be_chosen() {
    for (target, count, seconds) in [
        ("/api/stream?count=3&interval_ms=60000", 3, 120),
        ("/api/stream?interval_ms=0&count=1000", 1000, 0),
        ("/api/stream?count=0", 0, 0),
    ] {
        let start = Instant::now();
        assert_eq!(events(target).await.len(), count, "{target}");
        // A timer may be late by a millisecond, an interval of 0 included.
        assert!((seconds..=seconds + 1).contains(&start.elapsed().as_secs()), "{target}");
    }
}

#[tokio::test]
async fn impossible_streams_are_refused() {
    let service = service(&[]);
    for query in ["count=-1", "count=1000001", "count=", "interval_ms=x", "interval_ms=3600001"] {
        assert_refused(&service, &format!("/api/stream?{query}"), 400).await;
    }
}
