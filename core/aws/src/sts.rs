//! STS, the service that says who signed a request.
//!
//! An agent signs the question "who am I?" and hands over the signature; the ingress, which knows
//! everything else in the request, builds it and sends it. STS recomputes the signature with the
//! secret key that only it and the agent know, and answers with the signer's ARN.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::http::{Client, Limits};
use crate::sign::{self, Scope, Unsigned};
use crate::{Chain, CredentialsError, Endpoint, Environment, SetupError};

mod failure;
mod identity;
mod proof;
pub(crate) mod session;

pub use failure::StsFailure;
pub use identity::Identity;
pub use proof::{Proof, Statement, prove};

/// Asks STS.
#[derive(Debug)]
pub struct Sts {
    client: Client,
}

/// A request that somebody signed for STS, to be sent as it is.
#[derive(Clone, Copy)]
pub struct SignedRequest<'a> {
    /// The host that it is signed for, and sent to unless somewhere else is asked for.
    pub host: &'a str,
    /// All of its headers but `host` and `content-length`.
    pub headers: &'a [(&'a str, &'a str)],
    /// Its body.
    pub body: &'a str,
}

const QUESTION: &str = "Action=GetCallerIdentity&Version=2011-06-15";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// An agent waits for its registration meanwhile. The answer is less than 1 KiB.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    total: Duration::from_secs(10),
    answer_bytes_max: 64 * 1024,
};

impl Sts {
    /// A client of STS.
    ///
    /// # Errors
    /// `AWS_CA_BUNDLE` names no readable list of certificates.
    pub fn new(environment: &Environment) -> Result<Self, SetupError> {
        Ok(Self { client: Client::new(environment, LIMITS)? })
    }

    /// Sends a request that somebody else signed to `https://HOST/`, or to the URL `send_to` with
    /// the signed host in its `Host` header. Blocks for up to 10 s.
    ///
    /// The caller vouches for the host: what answers there decides who the signer is.
    ///
    /// # Errors
    /// See [`StsFailure`].
    pub fn forward(
        &self,
        request: SignedRequest<'_>,
        send_to: Option<&str>,
    ) -> Result<Identity, StsFailure> {
        let url = match send_to {
            Some(url) => format!("{}/", url.trim_end_matches('/')),
            None => format!("https://{}/", request.host),
        };
        let mut headers = vec![("host", request.host)];
        headers.extend(request.headers);
        let token = headers.iter().find(|(name, _)| *name == "x-amz-security-token");
        let token = token.map(|(_, token)| *token);
        let body = failure::post(&self.client, &url, &headers, request.body, token)?;
        Identity::parse(&body)
    }

    /// Who the chain's credentials belong to: for looking at oneself. Blocks for up to 20 s.
    ///
    /// # Errors
    /// See [`StsFailure`]. Credentials that are good no more are forgotten.
    pub fn caller_identity(
        &self,
        chain: &Chain,
        endpoint: &Endpoint,
        now: SystemTime,
    ) -> Result<Identity, StsFailure> {
        let credentials = chain.get(now).map_err(StsFailure::Credentials)?;
        let headers = [("content-type", FORM), ("host", endpoint.host.as_str())];
        let url = format!("{}/", endpoint.url);
        let request =
            Unsigned { method: "POST", url: &url, headers: &headers, body: QUESTION.as_bytes() };
        let scope = Scope { region: endpoint.region.as_str(), service: "sts", now };
        let signature = sign::sign(&credentials, scope, request)
            .map_err(|error| StsFailure::Unexpected(error.to_string()))?;
        let token = credentials.session_token.as_deref();
        failure::post(&self.client, &url, &signature.with(&headers), QUESTION, token)
            .and_then(|body| Identity::parse(&body))
            .inspect_err(|failure| {
                if failure.ends_credentials() {
                    chain.forget();
                }
            })
    }
}

/// Without its headers: the signature in them is good for some minutes.
impl fmt::Debug for SignedRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedRequest").field("host", &self.host).finish_non_exhaustive()
    }
}

impl From<CredentialsError> for StsFailure {
    fn from(error: CredentialsError) -> Self {
        Self::Credentials(error)
    }
}

#[cfg(test)]
mod tests;
