//! Server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::Serialize;

use crate::clock::Moment;
use crate::query::Query;
use crate::reply::Refusal;
use crate::shutdown::Shutdown;
use crate::state::Shared;

const MOST_EVENTS: u64 = 1_000_000;
const LONGEST_INTERVAL_MS: u64 = 3_600_000;

/// Asks reverse proxies that know it (nginx among them) not to hold events back.
const NO_BUFFERING: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

#[derive(Serialize)]
struct Tick {
    sequence: u64,
    #[serde(flatten)]
    moment: Moment,
}

/// `?count=10` events, the first at once and the others `?interval_ms=1000` apart.
pub(crate) async fn stream(State(app): State<Shared>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let count = query.number("count", 10, MOST_EVENTS)?;
    let interval = query.number("interval_ms", 1000, LONGEST_INTERVAL_MS)?;
    let events = events(count, Duration::from_millis(interval), app.shutdown.clone());
    let body = Sse::new(events).keep_alive(KeepAlive::default());
    Ok(([NO_BUFFERING], body).into_response())
}

fn events(
    count: u64,
    interval: Duration,
    shutdown: Shutdown,
) -> impl Stream<Item = Result<Event, Infallible>> {
    unfold((1, shutdown), move |(sequence, shutdown)| async move {
        if sequence > count {
            return None;
        }
        if sequence > 1 {
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = shutdown.clone().wait() => return None,
            }
        }
        let tick = Tick { sequence, moment: Moment::now() };
        let event = Event::default().id(sequence.to_string()).json_data(tick).unwrap_or_default();
        Some((Ok(event), (sequence + 1, shutdown)))
    })
}
