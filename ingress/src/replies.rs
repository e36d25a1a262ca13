//! The answers that the mesh writes itself. Each names its reason in `x-mesh-error`, because the
//! load balancer's own 502, 503 and 504 look alike.

use mesh_protocol::http1::{self, Reply, RequestHead, ServerConn, Storage};
use mesh_protocol::{Buf, ws};

use crate::routes::HOST_BYTES_MAX;

/// Why the mesh answers in place of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The request is malformed.
    BadRequest,
    /// It came to the agents' port by HTTP/1.0, which cannot ask for a tunnel.
    HttpVersion,
    /// It came to the agents' port and asks for no tunnel, or not any more.
    NoUpgrade,
    /// The request head is too large.
    HeadTooLarge,
    /// No agent is known for this host.
    NoRoute,
    /// The host is known, but no healthy agent serves it now.
    NoHealthyAgent,
    /// A limit is reached.
    Overloaded,
    /// The agent's tunnel broke.
    AgentLost,
    /// The service could not be connected to.
    UpstreamConnect,
    /// The service broke the connection.
    UpstreamReset,
    /// The service's answer is malformed or too large.
    UpstreamProtocol,
    /// The service did not answer in time.
    RequestTimeout,
    /// The caller did not finish its request head in time.
    HeadTimeout,
    /// The caller did not go on with its request body in time.
    BodyTimeout,
    /// The ingress is leaving.
    Draining,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::BadRequest,
        Self::HttpVersion,
        Self::NoUpgrade,
        Self::HeadTooLarge,
        Self::NoRoute,
        Self::NoHealthyAgent,
        Self::Overloaded,
        Self::AgentLost,
        Self::UpstreamConnect,
        Self::UpstreamReset,
        Self::UpstreamProtocol,
        Self::RequestTimeout,
        Self::HeadTimeout,
        Self::BodyTimeout,
        Self::Draining,
    ];

    /// Why a request head is refused.
    pub(crate) const fn of_head(error: http1::Error) -> Self {
        if error.is_head_too_large() { Self::HeadTooLarge } else { Self::BadRequest }
    }

    /// Whether it is the service that failed, or the way to it.
    pub(crate) const fn is_of_service(self) -> bool {
        match self {
            Self::AgentLost
            | Self::UpstreamConnect
            | Self::UpstreamReset
            | Self::UpstreamProtocol => true,
            Self::BadRequest
            | Self::HttpVersion
            | Self::NoUpgrade
            | Self::HeadTooLarge
            | Self::NoRoute
            | Self::NoHealthyAgent
            | Self::Overloaded
            | Self::RequestTimeout
            | Self::HeadTimeout
            | Self::BodyTimeout
            | Self::Draining => false,
        }
    }

    /// The status code of the answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::NoRoute => 404,
            Self::HeadTimeout | Self::BodyTimeout => 408,
            Self::HttpVersion | Self::NoUpgrade => 426,
            Self::HeadTooLarge => 431,
            Self::AgentLost
            | Self::UpstreamConnect
            | Self::UpstreamReset
            | Self::UpstreamProtocol => 502,
            Self::NoHealthyAgent | Self::Overloaded | Self::Draining => 503,
            Self::RequestTimeout => 504,
        }
    }

    /// The word in `x-mesh-error`, in metrics and in logs. Agents show only those of small letters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::HttpVersion => "http_version",
            Self::NoUpgrade => "no_upgrade",
            Self::HeadTooLarge => "head_too_large",
            Self::NoRoute => "no_route",
            Self::NoHealthyAgent => "no_healthy_agent",
            Self::Overloaded => "overloaded",
            Self::AgentLost => "agent_lost",
            Self::UpstreamConnect => "upstream_connect",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamProtocol => "upstream_protocol",
            Self::RequestTimeout => "request_timeout",
            Self::HeadTimeout => "head_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::Draining => "draining",
        }
    }

    /// A sentence for whoever sees the answer.
    const fn sentence(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is malformed.",
            Self::HttpVersion => "This port is for agents, and HTTP/1.0 cannot ask for a tunnel.",
            Self::NoUpgrade => "This port is for agents, and the request asks for no tunnel.",
            Self::HeadTooLarge => "The request head is too large.",
            Self::NoRoute => "No service is registered for this host.",
            Self::NoHealthyAgent => "The service is not available now.",
            Self::Overloaded => "A limit of the ingress or of the service's agent is reached.",
            Self::AgentLost => "The connection to the service was lost.",
            Self::UpstreamConnect => "The service cannot be reached.",
            Self::UpstreamReset => "The service broke the connection.",
            Self::UpstreamProtocol => "The service sent no valid answer.",
            Self::RequestTimeout => "The service did not answer in time.",
            Self::HeadTimeout => "The request head did not arrive in time.",
            Self::BodyTimeout => "The request body did not arrive in time.",
            Self::Draining => "The ingress is about to leave.",
        }
    }
}

/// In which form a caller likes its errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `text/plain`
    Text,
    /// `application/json`
    Json,
}

impl Format {
    /// The form that the `Accept` of this request head asks for; text unless that names JSON and likes
    /// plain text no better. Hardly any request needs to know, so it is read only when there is something
    /// to answer.
    #[must_use]
    pub fn asked_in(bytes: &[u8]) -> Self {
        let mut storage = Storage::new();
        RequestHead::parse_forwarded(bytes, &mut storage).map_or(Self::Text, |head| Self::of(&head))
    }

    fn of(head: &RequestHead<'_, '_>) -> Self {
        let accepts = head.fields.iter().filter(|field| field.name.eq_ignore_ascii_case("accept"));
        // By name, and by a range that holds also for others: the name decides (RFC 9110 12.5.1).
        let (mut json, mut text) = ([None; 2], [None; 2]);
        for range in accepts.flat_map(|field| field.value.split(|byte| *byte == b',')) {
            let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let Some(kind) = parts.next() else { continue };
            let is = |name: &str| kind.eq_ignore_ascii_case(name.as_bytes());
            let weight = parts.find_map(weight).unwrap_or(1000);
            let known = [("application/json", "application/*"), ("text/plain", "text/*")];
            for ((name, range), weights) in known.into_iter().zip([&mut json, &mut text]) {
                if is(name) {
                    weights[0] = weights[0].max(Some(weight));
                } else if is(range) {
                    weights[1] = weights[1].max(Some(weight));
                }
            }
        }
        let [json, text] = [json, text].map(|[name, range]| name.or(range).unwrap_or(0));
        if json > 0 && json >= text { Self::Json } else { Self::Text }
    }
}

/// The head of a request, as far as there is one to look at.
#[derive(Debug, Clone, Copy)]
pub(crate) enum HeadSeen<'b> {
    /// There is none.
    None,
    /// As the caller sent it, and refused: what its parts mean is not certain.
    Refused(&'b [u8]),
    /// As the caller sent it.
    Received(&'b [u8]),
    /// As it goes to the agent, the caller's address added to it.
    Rewritten(&'b [u8]),
}

impl HeadSeen<'_> {
    /// The form in which its caller likes errors.
    pub(crate) fn format(self) -> Format {
        match self {
            Self::None => Format::Text,
            Self::Refused(bytes) | Self::Received(bytes) | Self::Rewritten(bytes) => {
                Format::asked_in(bytes)
            }
        }
    }
}

/// The thousandths of a parameter that is a weight; 0 is "not acceptable" (RFC 9110 12.4.2).
fn weight(parameter: &[u8]) -> Option<u32> {
    let (name, value) = parameter.split_at_checked("q=".len())?;
    let digits = value.iter().filter(|byte| **byte != b'.').chain(b"000").take(4);
    let thousandths = digits.fold(0, |sum, digit| 10 * sum + u32::from(digit.saturating_sub(b'0')));
    name.eq_ignore_ascii_case(b"q=").then_some(thousandths)
}

/// Writes the answer for a reason.
pub fn write(reason: Reason, format: Format, http: &mut ServerConn, tx: &mut Buf) {
    send(reason, format, reason.sentence(), None, http, tx);
}

/// Writes the answer for [`Reason::NoRoute`], which names the host: a caller behind a load balancer
/// often did not choose it.
pub fn write_no_route(host: &str, format: Format, http: &mut ServerConn, tx: &mut Buf) {
    let host = sanitize(host);
    let sentence = format!("No service is registered for the host {host}.");
    send(Reason::NoRoute, format, &sentence, Some(&host), http, tx);
}

/// A host as it may stand in an answer, whoever shows that: what no name or address has in it becomes
/// `?`, and what is longer than any name is cut.
fn sanitize(host: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-._:[]*".contains(char);
    let shown = host.chars().take(HOST_BYTES_MAX);
    let mut shown: String = shown.map(|char| if is_plain(char) { char } else { '?' }).collect();
    if host.chars().nth(HOST_BYTES_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

fn send(
    reason: Reason,
    format: Format,
    sentence: &str,
    host: Option<&str>,
    http: &mut ServerConn,
    tx: &mut Buf,
) {
    let (content_type, body) = match format {
        Format::Text => ("text/plain; charset=utf-8", format!("{sentence}\n")),
        Format::Json => {
            let mut body = serde_json::json!({ "error": reason.name(), "message": sentence });
            if let Some(host) = host {
                body["host"] = host.into();
            }
            ("application/json", format!("{body}\n"))
        }
    };
    let error = ("x-mesh-error", reason.name());
    // A cache may keep a 404 without asking (RFC 9110 15.1), and the next moment the host is there.
    let cache = ("Cache-Control", "no-store");
    let retry = ("Retry-After", "1");
    // RFC 6455 4.2.2 wants the version to be named.
    let version = ("Sec-WebSocket-Version", ws::upgrade::VERSION);
    let fields: &[_] = match reason.status() {
        426 => &[error, cache, ("Connection", "Upgrade"), ("Upgrade", "websocket"), version],
        503 => &[error, cache, retry],
        _ => &[error, cache],
    };
    let reply = Reply { status: reason.status(), fields, content_type, body: body.as_bytes() };
    http.reply(&reply, tx);
}

#[cfg(test)]
mod tests;
