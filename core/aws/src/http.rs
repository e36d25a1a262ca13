//! One request, one answer, within limits of time and size.
//!
//! Nothing is followed and nothing is guessed: a redirect is an answer like any other, the only proxy
//! is the one that somebody named to us, on the way to the internet, and there are no cookies. TLS
//! trusts the web's authorities, or those of `AWS_CA_BUNDLE` instead.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ureq::config::Config;
use ureq::http::{Method, Request};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Proxy};

use self::names::Names;
use crate::file::{read_text, reason};
use crate::{Environment, SetupError};

mod names;

/// What a request may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// From a name to a connection that is ready, TLS included.
    pub(crate) connect: Duration,
    /// The whole exchange.
    pub(crate) total: Duration,
    /// The body of the answer.
    pub(crate) answer_bytes_max: u64,
}

/// Makes requests. Cheap to keep, safe to share; a connection is used again within 15 s.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    limits: Limits,
}

/// What came back, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HttpError {
    /// No connection, or one that broke: the system's reason.
    Connection(String),
    /// The limits' time was over.
    Timeout(Duration),
    /// The peer is not who it should be, or speaks no TLS.
    Tls(String),
    /// More bytes came than are wanted.
    TooLarge(u64),
    /// What came is no HTTP.
    NotHttp,
    /// The URL or a header cannot be sent.
    Unsendable,
}

/// Where ureq logs each byte that it sends and receives, at the level trace: secret keys and
/// tokens among them. It cannot be told not to, so whoever sets up a logger has to drop what is
/// logged under this target, whatever levels the operator asks for.
pub const SECRET_LOG_TARGET: &str = "ureq_proto::util";

/// Enough for any head that AWS sends.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// For a head that is too large to be seen as such.
const INPUT_BYTES: usize = 2 * HEAD_BYTES_MAX;
/// For the longest header, which is a session token.
const OUTPUT_BYTES: usize = 16 * 1024;

impl Client {
    /// A client for services on the internet. Those of one environment share connections, and the
    /// authorities, which take hundreds of KiB.
    ///
    /// # Errors
    /// `AWS_CA_BUNDLE` names no readable list of certificates.
    pub(crate) fn new(environment: &Environment, limits: Limits) -> Result<Self, SetupError> {
        Ok(Self { agent: environment.internet()?, limits })
    }

    /// A client for services of this machine, which are reached without TLS.
    pub(crate) fn local(limits: Limits) -> Self {
        Self { agent: agent(TlsConfig::default(), None), limits }
    }

    pub(crate) fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Answer, HttpError> {
        self.send(request(Method::GET, url, headers, ())?)
    }

    pub(crate) fn put(&self, url: &str, headers: &[(&str, &str)]) -> Result<Answer, HttpError> {
        self.send(request(Method::PUT, url, headers, &[][..])?)
    }

    /// Posts `body`. A `host` among the headers is sent in place of the URL's.
    pub(crate) fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, HttpError> {
        self.send(request(Method::POST, url, headers, body)?)
    }

    fn send(&self, request: Request<impl ureq::AsSendBody>) -> Result<Answer, HttpError> {
        let request = self
            .agent
            .configure_request(request)
            .timeout_connect(Some(self.limits.connect))
            .timeout_global(Some(self.limits.total))
            .build();
        let mut response = self.agent.run(request).map_err(|error| self.explain(error))?;
        let status = response.status().as_u16();
        let body = response
            .body_mut()
            .with_config()
            // ureq's limit is the first length that is refused.
            .limit(self.limits.answer_bytes_max + 1)
            .read_to_vec()
            .map_err(|error| self.explain(error))?;
        Ok(Answer { status, body })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "not our enum, and it may grow")]
    fn explain(&self, error: ureq::Error) -> HttpError {
        match error {
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                HttpError::Timeout(self.limits.connect)
            }
            ureq::Error::Timeout(_) => HttpError::Timeout(self.limits.total),
            ureq::Error::BodyExceedsLimit(_) => HttpError::TooLarge(self.limits.answer_bytes_max),
            ureq::Error::LargeResponseHeader(_, limit) => HttpError::TooLarge(limit as u64),
            ureq::Error::HostNotFound => HttpError::Connection("the name has no address".into()),
            ureq::Error::ConnectionFailed => HttpError::Connection("no connection".into()),
            ureq::Error::Protocol(_) => HttpError::NotHttp,
            ureq::Error::Rustls(error) => HttpError::Tls(error.to_string()),
            ureq::Error::Tls(reason) => HttpError::Tls(reason.to_owned()),
            ureq::Error::Io(error) => explain_io(&error),
            ureq::Error::Http(_) | ureq::Error::BadUri(_) => HttpError::Unsendable,
            // Their texts hold no header and no body.
            other => HttpError::Connection(other.to_string()),
        }
    }
}

/// What asks services on the internet for all [`Client`]s of an environment.
///
/// # Errors
/// `AWS_CA_BUNDLE` names no readable list of certificates.
pub(crate) fn internet(environment: &Environment) -> Result<Agent, SetupError> {
    let tls = TlsConfig::builder();
    let tls = match authorities(environment)? {
        Some(roots) => tls.root_certs(roots),
        None => tls,
    };
    Ok(agent(tls.build(), environment.proxy()))
}

fn agent(tls: TlsConfig, proxy: Option<Proxy>) -> Agent {
    Agent::with_parts(config(tls, proxy), DefaultConnector::default(), Names::new())
}

fn config(tls: TlsConfig, proxy: Option<Proxy>) -> Config {
    Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(proxy)
        .user_agent(concat!("mesh/", env!("CARGO_PKG_VERSION")))
        .max_response_header_size(HEAD_BYTES_MAX)
        .input_buffer_size(INPUT_BYTES)
        .output_buffer_size(OUTPUT_BYTES)
        .build()
}

fn request<B>(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: B,
) -> Result<Request<B>, HttpError> {
    headers
        .iter()
        .fold(Request::builder().method(method).uri(url), |request, (name, value)| {
            request.header(*name, *value)
        })
        .body(body)
        .map_err(|_| HttpError::Unsendable)
}

/// rustls reports what it thinks of a peer as invalid data, wrapped.
fn explain_io(error: &io::Error) -> HttpError {
    if error.kind() == io::ErrorKind::InvalidData {
        return HttpError::Tls(error.get_ref().map_or_else(|| error.to_string(), plain));
    }
    HttpError::Connection(reason(error))
}

fn plain(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// The certificates of `AWS_CA_BUNDLE`, which take the place of the web's, as in AWS's tools.
fn authorities(environment: &Environment) -> Result<Option<RootCerts>, SetupError> {
    let Some(path) = environment.get("AWS_CA_BUNDLE") else {
        return Ok(None);
    };
    let text = read_text(path.as_ref())
        .map_err(|error| SetupError::new(format!("AWS_CA_BUNDLE: cannot read {path}: {error}")))?;
    let certificates: Vec<_> = parse_pem(text.as_bytes())
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            Ok(_) | Err(_) => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(SetupError::new(format!("AWS_CA_BUNDLE: {path} holds no PEM certificate")));
    }
    Ok(Some(RootCerts::Specific(Arc::new(certificates))))
}

impl HttpError {
    /// Whether the same request may do better a moment later.
    pub(crate) const fn is_transient(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Timeout(_) | Self::Tls(_) => true,
            Self::TooLarge(_) | Self::NotHttp | Self::Unsendable => false,
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(reason) => f.write_str(reason),
            Self::Timeout(limit) => write!(f, "no answer within {} s", limit.as_secs_f32()),
            Self::Tls(reason) => write!(f, "TLS: {reason}"),
            Self::TooLarge(limit) => write!(f, "the answer is larger than {limit} bytes"),
            Self::NotHttp => f.write_str("the answer is not HTTP"),
            Self::Unsendable => f.write_str("the address or a header of the request is malformed"),
        }
    }
}

#[cfg(test)]
mod tests;
