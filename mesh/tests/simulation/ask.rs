//! A request together with the only right answer to it.

use mesh_protocol::Rng;
use mesh_sim::peers::{Outcome, Request, Response, Served, checksum, pattern};

use crate::stage::HOST;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) request: Request,
    /// What tells it from all others in `X-Ask`.
    pub(crate) name: String,
    /// The body without its framing, as the service has to get it.
    sends: Vec<u8>,
    kind: Kind,
}

/// What answers a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// This status and this body, and trailers if any are named.
    Plain { status: u16, body: Vec<u8>, trailers: &'static [u8] },
    /// The same, but its end is only known by the end of the connection.
    UntilClose(Vec<u8>),
    /// All that is sent comes back, after a 101.
    Upgrade,
    /// The answer to an upload nobody reads: it comes, or is lost when the service's kernel resets a
    /// connection with unread bytes.
    Early,
}

/// What a history does to its callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Nothing is lost on the way: every answer is right.
    Fair,
    /// Connections break: an answer is right, or the mesh's own, or visibly none.
    Foul,
}

impl Ask {
    /// A request without a body, whose path says all about its answer.
    pub(crate) fn new(request: Request) -> Self {
        let kind = Kind::of(&request, &[]);
        Self { request, name: String::new(), sends: Vec::new(), kind }
    }

    /// A request with a body.
    pub(crate) fn sending(request: Request, sends: Vec<u8>) -> Self {
        let kind = Kind::of(&request, &sends);
        Self { request, name: String::new(), sends, kind }
    }

    /// Any request; sizes are below `2^bits`.
    pub(crate) fn draw(rng: &mut Rng, bits: u64) -> Self {
        let len = usize::try_from(magnitude(rng, bits)).expect("small");
        let body = pattern(len);
        let get = |path: String| Self::new(Request::get(HOST, &path));
        let chunk = 1 + usize::try_from(magnitude(rng, 14)).expect("small");
        match rng.below(24) {
            0..=4 => get(format!("/bytes/{len}")),
            5 | 6 => get(format!("/chunked/{len}")),
            7 => get(format!("/close/{len}")),
            8 => Self::sending(Request::post(HOST, "/echo", &body), body),
            9 => Self::sending(Request::put(HOST, "/upload", &body), body),
            10 => Self::sending(Request::post_chunked(HOST, "/echo", &body, chunk), body),
            11 => Self::sending(Request::post(HOST, "/upload", &body), body),
            12 => Self::sending(Request::post_chunked(HOST, "/upload", &body, chunk), body),
            13 => Self::sending(Request::expecting(HOST, "/continue", &body), body),
            14 => Self::sending(Request::post(HOST, "/sip", &body[..len / 8]), pattern(len / 8)),
            15 => Self::new(Request::head(HOST, &format!("/bytes/{len}"))),
            16 if len % 2 == 0 => Self::sending(Request::upgrade(HOST, "/upgrade", &body), body),
            16 => {
                let request = Request::post(HOST, "/upgrade", &body[..len / 2]);
                Self::sending(request.upgrading(&body), body)
            }
            17 if len % 2 == 0 => Self::new(Request::upgrade(HOST, "/upgrade/no", b"never sent")),
            17 => {
                let request = Request::post(HOST, "/upgrade/no", &body);
                Self::sending(request.upgrading(b"never sent"), body)
            }
            18 => get("/trailers".to_owned()),
            19 => get("/hints".to_owned()),
            20 => get(format!("/status/{}", [200, 204, 304, 404, 500][len % 5])),
            21 => get(format!("/slow/{}", len % 3_000)),
            22 => get(format!("/drip/{}", len % 50)),
            _ => Self::sending(Request::post(HOST, "/early", &body), body),
        }
    }

    /// Gives it a name.
    pub(crate) fn sign(&mut self, name: &str) {
        name.clone_into(&mut self.name);
        self.request = self.request.clone().header(&format!("X-Ask: {name}"));
    }

    /// Whether another request may follow before its answer came: an answer that begins before its
    /// request has ended is the last one on its connection.
    pub(crate) fn is_pipelinable(&self) -> bool {
        self.sends.is_empty() && self.request.held.is_empty() && self.kind != Kind::Upgrade
    }

    pub(crate) fn is_method(&self, method: &str) -> bool {
        self.request.head.starts_with(method.as_bytes())
    }

    /// Compares an outcome with what has to be.
    pub(crate) fn judge(&self, response: &Response, weather: Weather) {
        let right = match self.fault_of(response) {
            None => true,
            Some(_) if weather == Weather::Fair => false,
            Some(_) => self.is_excusable(response),
        };
        assert!(
            right,
            "{} {:?}: {} ({:?} {:?}, {} bytes of {}, right up to {:?}, x-mesh-error {:?})",
            self.name,
            String::from_utf8_lossy(&self.request.head[..self.request.head.len().min(60)]),
            self.fault_of(response).unwrap_or_default(),
            response.outcome,
            response.status(),
            response.body.len(),
            self.wanted().1.len(),
            self.wanted().1.iter().zip(&response.body).position(|(right, is)| right != is),
            response.header("x-mesh-error"),
        );
    }

    /// What is wrong with an outcome.
    fn fault_of(&self, response: &Response) -> Option<&'static str> {
        let error = response.header("x-mesh-error");
        let is_reset = response.is(502) && error.as_deref() == Some("upstream_reset");
        if self.kind == Kind::Early && !self.sends.is_empty() && is_reset {
            return None;
        }
        if response.outcome != Outcome::Complete {
            return Some("the answer is not whole");
        }
        let (status, body, trailers) = self.wanted();
        if response.status() != status || error.is_some() {
            return Some("another status");
        }
        if response.body != body {
            return Some("another body");
        }
        if response.trailers != trailers {
            return Some("other trailers");
        }
        None
    }

    fn wanted(&self) -> (u16, &[u8], &[u8]) {
        match &self.kind {
            Kind::Plain { status, body, trailers } => (*status, body, trailers),
            Kind::UntilClose(body) => (200, body, b""),
            Kind::Upgrade => (101, &self.sends, b""),
            Kind::Early => (413, b"", b""),
        }
    }

    /// Whether a wrong outcome says itself that it is one.
    fn is_excusable(&self, response: &Response) -> bool {
        let is_mesh = response.header("x-mesh-error").is_some();
        let (status, body, _) = self.wanted();
        let is_part = response.head.is_empty()
            || is_mesh
            || (response.status() == status && body.starts_with(&response.body));
        match response.outcome {
            // An ingress that was just started knows no host yet.
            Outcome::Complete if is_mesh => matches!(response.status(), 404 | 408 | 502..=504),
            // The end of a connection is all that tells of the end of these.
            Outcome::Complete => {
                is_part && matches!(self.kind, Kind::UntilClose(_) | Kind::Upgrade)
            }
            Outcome::Refused(_) | Outcome::NoAnswer => response.head.is_empty(),
            Outcome::Truncated | Outcome::Failed(_) | Outcome::Abandoned => is_part,
            Outcome::Pending | Outcome::Malformed(_) => false,
        }
    }

    /// Compares what the services got with what was sent.
    pub(crate) fn judge_service(&self, served: &[&Served], response: &Response) {
        // What follows an upgrade is no body.
        let is_upgrade = self.kind == Kind::Upgrade;
        let body = if is_upgrade { &self.request.body } else { &self.sends };
        let is_repeatable = body.is_empty() && !self.is_method("POST");
        assert!(is_repeatable || served.len() <= 1, "{} was served twice", self.name);
        let is_mesh = response.header("x-mesh-error").is_some();
        let is_answered = self.fault_of(response).is_none() && !is_mesh;
        assert!(!is_answered || !served.is_empty(), "{} was answered by nobody", self.name);
        for served in served {
            assert!(served.body_len <= body.len() as u64, "{}: bytes from nowhere", self.name);
            if served.whole_at.is_some() {
                assert_eq!(served.body_len, body.len() as u64, "{}", self.name);
                assert_eq!(served.body_sum, checksum(body), "{}", self.name);
                let sent = self.request.body.ends_with(b"X-Sent: all\r\n\r\n");
                let got = served.trailers == b"X-Sent: all\r\n";
                assert_eq!(sent, got, "{}: trailers", self.name);
            }
            let is_whole = served.whole_at.is_some() || self.kind == Kind::Early;
            assert!(is_answered <= is_whole, "{}: half a request", self.name);
        }
    }
}

impl Kind {
    fn of(request: &Request, sends: &[u8]) -> Self {
        let head = String::from_utf8_lossy(&request.head);
        let mut words = head.split(' ');
        let is_head = words.next() == Some("HEAD");
        let path = words.next().unwrap_or_default();
        let mut parts = path.trim_start_matches('/').split('/');
        let name = parts.next().unwrap_or_default();
        let number: usize = parts.next().and_then(|number| number.parse().ok()).unwrap_or(0);
        let summary = || format!("{} {:016x}", sends.len(), checksum(sends)).into_bytes();
        let (status, body): (u16, Vec<u8>) = match name {
            "early" => return Self::Early,
            "upgrade" if path == "/upgrade" => return Self::Upgrade,
            "upgrade" => (403, b"no".to_vec()),
            "close" => return Self::UntilClose(pattern(number)),
            "bytes" | "chunked" | "drip" => (200, pattern(number)),
            "trailers" => (200, pattern(1_000)),
            "echo" => (200, sends.to_vec()),
            "upload" | "continue" | "sip" => (200, summary()),
            "hints" => (200, b"hinted".to_vec()),
            "slow" => (200, b"slow".to_vec()),
            "status" if matches!(number, 204 | 304) => {
                (204.max(u16::try_from(number).unwrap_or(0)), Vec::new())
            }
            "status" => (u16::try_from(number).unwrap_or(0), b"as asked".to_vec()),
            _ => (404, b"no such path".to_vec()),
        };
        let body = if is_head { Vec::new() } else { body };
        let trailers: &[u8] = if name == "trailers" { b"X-Checksum: 42\r\n" } else { b"" };
        Self::Plain { status, body, trailers }
    }
}

/// A number below `2^bits`, small and large ones equally often by order of magnitude.
fn magnitude(rng: &mut Rng, bits: u64) -> u64 {
    let order = rng.below(bits) + 1;
    rng.below(1 << order)
}
