//! What the sample service says, by path.

use std::collections::BTreeMap;

use mesh_protocol::http1::RequestHead;
use serde::Serialize;

/// What to say to a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// All at once.
    Json {
        /// The status code.
        status: u16,
        /// The body.
        body: Vec<u8>,
    },
    /// Server-sent events, one after the other.
    Events,
}

/// Shows the caller what arrived: that is how one sees what the mesh did on the way.
#[derive(Debug, Serialize)]
struct Hello<'a> {
    message: &'a str,
    method: &'a str,
    path: &'a str,
    /// The fields of the request, those that the mesh added among them.
    headers_received: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Debug, Serialize)]
struct NotFound {
    error: &'static str,
    try_instead: [&'static str; 3],
}

/// The answer to a request.
pub(crate) fn answer(head: &RequestHead<'_, '_>) -> Answer {
    let path = head.target.split('?').next().unwrap_or_default();
    match path {
        "/stream" => Answer::Events,
        "/health" | "/api/health" => json(200, &Health { status: "healthy" }),
        "/" | "/hello" => json(
            200,
            &Hello {
                message: "Hello from the service behind the mesh.",
                method: head.method,
                path,
                headers_received: fields(head),
            },
        ),
        _ => json(
            404,
            &NotFound {
                error: "the sample service has nothing there",
                try_instead: ["/hello", "/health", "/stream"],
            },
        ),
    }
}

fn json(status: u16, value: &impl Serialize) -> Answer {
    let mut body = serde_json::to_vec_pretty(value).unwrap_or_default();
    body.push(b'\n');
    Answer::Json { status, body }
}

fn fields(head: &RequestHead<'_, '_>) -> BTreeMap<String, String> {
    head.fields
        .iter()
        .map(|field| {
            let value = String::from_utf8_lossy(field.value).into_owned();
            (field.name.to_ascii_lowercase(), value)
        })
        .collect()
}
