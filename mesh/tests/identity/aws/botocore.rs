//! Signatures by botocore, to compare ours with and to send to whoever verifies them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::python;
use super::seed::Identity;
use crate::peers::caller::{Response, ask};

/// The body of the request by which an agent proves its identity.
pub(crate) const STS_BODY: &str = mesh_protocol::proof::STS_BODY;
const STS_CONTENT_TYPE: &str = mesh_protocol::proof::STS_CONTENT_TYPE;

/// A POST to be signed.
#[derive(Debug, Clone)]
pub(crate) struct Unsigned {
    pub(crate) service: &'static str,
    pub(crate) region: String,
    pub(crate) host: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    /// Seconds since 1970; nothing for now.
    pub(crate) time: Option<u64>,
}

/// The same with its signature.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    /// All that are to be sent but for the length, with names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Unsigned {
    /// `GetCallerIdentity` with these headers besides.
    pub(crate) fn sts(region: &str, headers: &[(&str, &str)]) -> Self {
        let own = [("content-type", STS_CONTENT_TYPE)];
        let headers = own.iter().chain(headers);
        Self {
            service: "sts",
            region: region.to_owned(),
            host: format!("sts.{region}.amazonaws.com"),
            headers: headers.map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            body: STS_BODY.to_owned(),
            time: None,
        }
    }

    /// An action of ECS.
    pub(crate) fn ecs(region: &str, action: &str, parameters: &Value) -> Self {
        let target = format!("AmazonEC2ContainerServiceV20141113.{action}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", &target)];
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self {
            service: "ecs",
            region: region.to_owned(),
            host: format!("ecs.{region}.amazonaws.com"),
            headers: headers.map(own).into(),
            body: parameters.to_string(),
            time: None,
        }
    }

    /// Signs it.
    pub(crate) fn sign(self, by: &Identity) -> Option<Signed> {
        let mut asked = json!(by);
        asked["service"] = self.service.into();
        asked["region"] = self.region.into();
        asked["host"] = self.host.into();
        asked["headers"] = json!(self.headers);
        asked["body"] = self.body.as_str().into();
        asked["time"] = json!(self.time);
        let answer = python::ask(&mut python::script("sign.py")?, &json!([asked]).to_string());
        let [headers] = serde_json::from_str(&answer).unwrap();
        Some(Signed { headers, body: self.body })
    }
}

impl Signed {
    /// The header with the signature.
    pub(crate) fn authorization(&self) -> &str {
        &self.headers["authorization"]
    }

    /// Sends it there, whatever host it is signed for.
    pub(crate) fn send(&self, address: SocketAddr) -> Response {
        let lines = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let (lines, length) = (lines.collect::<String>(), self.body.len());
        let body = &self.body;
        let head = format!("POST / HTTP/1.1\r\n{lines}content-length: {length}\r\n\r\n");
        ask(address, head + body)
    }
}
