//! The instance metadata service of EC2, version 2: a token first, then the role's credentials.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use super::clock;
use super::server::{Fake, Reply, Request};
use crate::aws::seed::Identity;

/// Where it is for an instance.
pub(crate) const ADDRESS: &str = "169.254.169.254:80";
/// The same with IPv6.
pub(crate) const ADDRESS_V6: &str = "[fd00:ec2::254]:80";

const TOKEN: &str = "/latest/api/token";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
const TOKEN_FIELD: &str = "x-aws-ec2-metadata-token";
const TTL_FIELD: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// The metadata service of one instance.
#[derive(Debug)]
pub(crate) struct Imds {
    pub(crate) fake: Fake,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    role: Option<(String, Identity)>,
    lifetime: Duration,
    /// With their ends.
    tokens: BTreeMap<String, Instant>,
    given: u64,
}

impl Imds {
    /// The service of an instance with this role, whose credentials are good for six hours.
    pub(crate) fn start(address: SocketAddr, role: &str, identity: &Identity) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let served = Arc::clone(&state);
        let fake = Fake::start_at(address, move |request| served.lock().unwrap().answer(request));
        let imds = Self { fake, state };
        imds.rotate(role, identity, Duration::from_secs(6 * 3600));
        imds
    }

    /// Gives out other credentials from now on, which are good for so long.
    pub(crate) fn rotate(&self, role: &str, identity: &Identity, lifetime: Duration) {
        let mut state = self.state.lock().unwrap();
        state.role = Some((role.to_owned(), identity.clone()));
        state.lifetime = lifetime;
    }

    /// Takes the role off the instance.
    pub(crate) fn remove_role(&self) {
        self.state.lock().unwrap().role = None;
    }

    /// Forgets all tokens, as when their time is over.
    pub(crate) fn forget_tokens(&self) {
        self.state.lock().unwrap().tokens.clear();
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Reply {
        if request.path() == TOKEN {
            return self.give_token(request);
        }
        let token = request.field(TOKEN_FIELD).unwrap_or_default();
        if self.tokens.get(token).is_none_or(|end| *end < Instant::now()) {
            return text(401, "");
        }
        let asked = request.path().strip_prefix(ROLES);
        match (asked, &self.role) {
            (Some(""), Some((role, _))) => text(200, role),
            (Some(asked), Some((role, identity))) if asked == role => {
                let credentials = json!({
                    "Code": "Success",
                    "LastUpdated": clock::from_now(Duration::ZERO),
                    "Type": "AWS-HMAC",
                    "AccessKeyId": identity.access_key_id,
                    "SecretAccessKey": identity.secret_access_key,
                    "Token": identity.session_token,
                    "Expiration": clock::from_now(self.lifetime),
                });
                text(200, &credentials.to_string())
            }
            (_, _) => text(404, "Not Found"),
        }
    }

    fn give_token(&mut self, request: &Request) -> Reply {
        let ttl = request.field(TTL_FIELD).and_then(|ttl| ttl.parse::<u64>().ok());
        let Some(ttl) = ttl.filter(|ttl| (1..=21_600).contains(ttl)) else { return text(400, "") };
        // Behind a proxy there is no instance.
        if request.method() != "PUT" || request.field("x-forwarded-for").is_some() {
            return text(403, "");
        }
        self.given += 1;
        let token = format!("token-{}", self.given);
        self.tokens.insert(token.clone(), Instant::now() + Duration::from_secs(ttl));
        let ttl = ttl.to_string();
        Reply::with_headers(200, &[("content-type", "text/plain"), (TTL_FIELD, &ttl)], &token)
    }
}

fn text(status: u16, body: &str) -> Reply {
    Reply::new(status, "text/plain", body)
}
